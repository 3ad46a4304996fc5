"""The prior: a decoder's latent with a pull to what a denoiser returns, and with noise."""

from __future__ import annotations

import math

import tensorflow as tf

from keras_listen.errors import ParameterError
from keras_listen.priors import Denoised


class PlugAndPlay(Denoised):
    """A decoder's latent [shape=(batch, units)] that is pulled to the denoised one at each step.

    Args:
        component: component of a bundle, with encoder and decoder.
        denoiser: Keras model from latents to latents; None to decode and encode a latent instead.
        pull: share of the difference to the denoised latent that is added at each step, from 0 to 1
            (the paper's epsilon 1).
        noise: standard deviation of the noise added at each step (epsilon 3).
        start_deviation: standard deviation of the noise that an ascent starts from.

    Raises:
        ParameterError: `pull`, `noise` or `start_deviation` is out of its range.
    """

    def __init__(self, component, *, denoiser=None, pull=0.3, noise=0.0, start_deviation=0.1):
        if not 0 <= noise < math.inf:
            raise ParameterError(f"noise is {noise}; expected 0 or a finite number above it")
        super().__init__(component, start_deviation, denoiser, pull)
        self.noise = noise

    def move(self, z, *, step, seeds):
        """Return pull and noise [shape=(batch, units)]."""
        change = super().move(z, step=step, seeds=seeds)
        if self.noise:
            change += self.noise * draw(seeds, step, self.latent_shape)
        return change


def draw(seeds, step, shape):
    """Return N(0, 1) [shape=(batch, *shape)] drawn from each row of `seeds` and `step`.

    Rows are drawn one by one, because a sample must not depend on its position in the batch.
    """

    def one(seed):
        return tf.random.stateless_normal(shape, tf.random.fold_in(seed, step))

    return tf.map_fn(one, tf.cast(seeds, tf.int64), fn_output_signature=tf.float32)
