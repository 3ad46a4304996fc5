"""The prior itself."""

from __future__ import annotations

import copy
import math
from functools import cached_property

import tensorflow as tf

from keras_listen.errors import ParameterError
from keras_listen.rewrites import Rewritten
from keras_listen.seeds import normal


class PlugAndPlay:
    """A decoder's latent [shape=(batch, units)] that is pulled to what a denoiser makes of it.

    Args:
        component: of a bundle, with encoder and decoder; an encoder with two outputs gives mean and
            log-variance.
        denoiser: Keras model from latents to latents; where None, a latent is decoded and encoded
            again instead.
        pull: share of its way to the denoised latent that a latent goes at each step, from 0 to 1
            (the paper's epsilon 1).
        noise: standard deviation of what is added at each step (epsilon 3).
        start_deviation: standard deviation of the noise that an ascent starts from.

    Raises:
        ParameterError: `pull`, `noise` or `start_deviation` is out of its range.
    """

    bounded = True
    step_size = 0.1

    def __init__(self, component, *, denoiser=None, pull=0.3, noise=0.0, start_deviation=0.1):
        if not 0 <= pull <= 1:
            raise ParameterError(f"pull is {pull}; expected a number from 0 to 1")
        for what, value in (("noise", noise), ("start_deviation", start_deviation)):
            if not 0 <= value < math.inf:
                raise ParameterError(f"{what} is {value}; expected 0 or a finite number above it")
        self.spec, self.denoiser = component.spec, denoiser
        self.pull, self.noise, self.start_deviation = pull, noise, start_deviation
        self._encoder, self._decoder = component.model("encoder"), component.model("decoder")
        self._decode = lambda z: self._decoder(z, training=False)

    def start(self, targets, seeds):
        """Return noise for each row of `seeds` [shape=(batch, units)]."""
        return normal(seeds, self._decoder.input_shape[1:], self.start_deviation)

    def encode(self, features):
        """Return the latent of features, for a VAE its mean."""
        encoded = self._encoder(features, training=False)
        return encoded[0] if isinstance(encoded, (list, tuple)) else encoded

    def decode(self, z):
        """Return features [shape=(batch, frames, mels, 1), in [0, 1]]."""
        return self._decode(z)

    @cached_property
    def rewritten(self) -> PlugAndPlay:
        """The same prior, decoding in keras-listen's faster ways."""
        other = copy.copy(self)
        other._decode = Rewritten(self._decoder)
        other.refresh = other._decode.refresh
        return other

    def denoise(self, z):
        """Return latents of real speech that are near [shape=(batch, units)]."""
        if self.denoiser is None:
            return self.encode(self.decode(z))
        return self.denoiser(z, training=False)

    def move(self, z, *, step, seeds):
        """Return pull and noise [shape=(batch, units)]."""
        change = self.pull * (self.denoise(z) - z)
        if self.noise:
            change += self.noise * draw(seeds, step, z.shape[1:])
        return change


def draw(seeds, step, shape):
    """Draw N(0, 1) for each row of `seeds`, other values at each step [shape=(batch, *shape)].

    TensorFlow draws a whole batch from one seed; a sample must not depend on its place in it.
    """

    def one(seed):
        return tf.random.stateless_normal(shape, tf.random.fold_in(seed, step))

    return tf.map_fn(one, tf.cast(seeds, tf.int64), fn_output_signature=tf.float32)
