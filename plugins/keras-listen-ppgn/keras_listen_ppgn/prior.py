"""The prior itself."""

from __future__ import annotations

import math

import tensorflow as tf

from keras_listen.errors import ParameterError
from keras_listen.priors import Latent


class PlugAndPlay(Latent):
    """A decoder's latent [shape=(batch, units)] that is pulled to what a denoiser makes of it.

    Args:
        component: of a bundle, with encoder and decoder.
        denoiser: Keras model from latents to latents; where None, a latent is decoded and encoded
            again instead.
        pull: share of its way to the denoised latent that a latent goes at each step, from 0 to 1
            (the paper's epsilon 1).
        noise: standard deviation of what is added at each step (epsilon 3).
        start_deviation: standard deviation of the noise that an ascent starts from.

    Raises:
        ParameterError: `pull`, `noise` or `start_deviation` is out of its range.
    """

    def __init__(self, component, *, denoiser=None, pull=0.3, noise=0.0, start_deviation=0.1):
        if not 0 <= pull <= 1:
            raise ParameterError(f"pull is {pull}; expected a number from 0 to 1")
        if not 0 <= noise < math.inf:
            raise ParameterError(f"noise is {noise}; expected 0 or a finite number above it")
        super().__init__(component, start_deviation)
        self.denoiser, self.pull, self.noise = denoiser, pull, noise

    def denoise(self, z):
        """Return latents of real speech that are near [shape=(batch, units)]."""
        if self.denoiser is None:
            return self.encode(self.decode(z))
        return self.denoiser(z, training=False)

    def move(self, z, *, step, seeds):
        """Return pull and noise [shape=(batch, units)]."""
        change = self.pull * (self.denoise(z) - z)
        if self.noise:
            change += self.noise * draw(seeds, step, self.latent_shape)
        return change


def draw(seeds, step, shape):
    """Draw N(0, 1) for each row of `seeds`, other values at each step [shape=(batch, *shape)].

    TensorFlow draws a whole batch from one seed; a sample must not depend on its place in it.
    """

    def one(seed):
        return tf.random.stateless_normal(shape, tf.random.fold_in(seed, step))

    return tf.map_fn(one, tf.cast(seeds, tf.int64), fn_output_signature=tf.float32)
