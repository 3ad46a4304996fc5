"""From a prior's features to the input of a classifier that hears something else.

    features -> linear magnitudes -> held phase -> sound of the model's rate and length -> front end

Priors decode one kind of features; a classifier that others made takes another. What fits both is
sound. Every part has a gradient but the phase: a few iterations of fast Griffin-Lim estimate it for
the current magnitudes, and it is held constant until it is estimated again. Sounds are then linear
in the magnitudes.

References:
    Perraudin, Balazs and Sondergaard, "A Fast Griffin-Lim Algorithm", WASPAA 2013.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ..errors import ParameterError, unknown
from ..features import FeatureSpec
from .synthesis import Synthesis

#: Where a sound stands in a longer window; "anywhere" is a place of its own for each sample.
PLACES = ("start", "middle", "end", "anywhere")
#: Seeds of samples that have none: "anywhere" is the middle then.
MIDDLE = np.array([0, 2**31], np.uint32)


class Held(NamedTuple):
    """What an ascent holds constant of its sounds.

    Attributes:
        phase: points on the unit circle [shape=(batch, frames, bins), complex64].
        before: samples of silence before each sound [shape=(batch,), int32].
    """

    phase: tf.Tensor
    before: tf.Tensor


class SoundPath:
    """Turns features into a front end's output, by way of sound.

    Args:
        spec: of the features.
        frontend: from sound to a classifier's input, see `keras_listen.hookspecs`.
        place: where sounds stand in a longer window, see `PLACES`.

    Attributes:
        samples: length of the sounds that the front end gets, in samples at its rate.

    Raises:
        ParameterError: there is no such place.
    """

    def __init__(self, spec: FeatureSpec, frontend: Any, place: str = "middle"):
        if place not in PLACES:
            raise ParameterError(unknown("place", place, PLACES))
        self.spec, self.frontend, self.place = spec, frontend, place
        self._synthesis = Synthesis(spec, frontend.sample_rate, frontend.samples)
        self.samples = self._synthesis.samples
        # NumPy, because tensors would belong to the graph in which they are first used.
        shape = spec.frames, self._synthesis.bins
        angle = np.random.default_rng(0).uniform(0, 2 * np.pi, shape)
        self._first = np.exp(1j * angle).astype(np.complex64)

    def __call__(self, features: tf.Tensor, held: Held) -> tf.Tensor:
        """Return the classifier's input of features [shape=(batch, frames, mels, 1)]."""
        return self.frontend(self.sound(features, held))

    def before(self, seeds: Any) -> tf.Tensor:
        """Return how many samples of silence stand before each sound [shape=(batch,), int32].

        Args:
            seeds: of the samples [shape=(batch, 2), uint32].
        """
        seeds, room = tf.convert_to_tensor(seeds), self._synthesis.room
        if self.place == "anywhere":
            share = tf.cast(seeds[:, 1], tf.float64) / 2**32
            return tf.cast(share * (room + 1), tf.int32)
        fixed = {"start": 0, "middle": room // 2, "end": room}[self.place]
        return tf.fill(tf.shape(seeds)[:1], fixed)

    def sound(self, features: tf.Tensor, held: Held) -> tf.Tensor:
        """Return the sounds that the front end gets [shape=(batch, samples), at its rate].

        Where its window is shorter than they are, it gets their beginning.
        """
        synthesis = self._synthesis

        @tf.custom_gradient
        def apply(magnitude: tf.Tensor) -> Any:
            sounds = _computed(synthesis.sounds, magnitude, *held)
            sounds.set_shape((magnitude.shape[0], synthesis.samples))

            def gradient(change: tf.Tensor | tf.IndexedSlices) -> tf.Tensor:
                # A network that gathers frames gives slices, when nothing is compiled.
                change = tf.convert_to_tensor(change)
                found = _computed(synthesis.transposed, change, magnitude, *held)
                found.set_shape(magnitude.shape)
                return found

            return sounds, gradient

        return apply(self._magnitudes(features))

    def _magnitudes(self, features: tf.Tensor) -> tf.Tensor:
        """Return linear magnitudes [shape=(batch, frames, bins)]; those below 0 are silence."""
        spec = self.spec
        scale = -spec.floor_db * spec.power / 20 * math.log(10)
        offset = (spec.floor_db + spec.reference_db) * spec.power / 20 * math.log(10)
        mel = tf.exp(scale * features[..., 0] + offset)
        # What becomes 0 in a feature is silence here, or the floor of all bands would be noise.
        linear = tf.matmul(tf.nn.relu(mel - math.exp(offset)), self._synthesis.inverse)
        # A root has no finite gradient at 0.
        return linear if spec.power == 1 else tf.sqrt(tf.nn.relu(linear) + 1e-12) - 1e-6

    def begin(self, features: tf.Tensor, iterations: int = 16, seeds: Any = None) -> Held:
        """Estimate phases from the same random ones for every sample; there is no gradient.

        Args:
            features: [shape=(batch, frames, mels, 1)].
            iterations: of Griffin-Lim.
            seeds: of the samples, on which their place may depend; in the middle where None.
        """
        count = tf.shape(features)[:1]
        if seeds is None:
            seeds = tf.broadcast_to(MIDDLE, tf.concat([count, [2]], 0))
        phase = tf.broadcast_to(self._first, tf.concat([count, self._first.shape], 0))
        return self.refresh(features, Held(phase, self.before(seeds)), iterations)

    def refresh(self, features: tf.Tensor, held: Held, iterations: int) -> Held:
        """Improve phases for current features by iterations of Griffin-Lim; no gradient."""
        magnitude = tf.stop_gradient(self._magnitudes(features))

        def compute(*arrays: np.ndarray) -> np.ndarray:
            return self._synthesis.refresh(*arrays, iterations)

        found = tf.numpy_function(compute, [magnitude, held.phase], tf.complex64, stateful=False)
        found.set_shape(magnitude.shape)
        return held._replace(phase=found)


def _computed(function: Any, *tensors: tf.Tensor) -> tf.Tensor:
    """Return what a function of NumPy arrays computes."""
    return tf.numpy_function(function, tensors, tf.float32, stateful=False)
