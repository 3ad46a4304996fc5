"""From a prior's features to the input of a classifier that hears something else.

    features -> linear magnitudes -> held phase -> sound -> sample rate and length -> front end

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

from ..features import FeatureSpec, count_samples, left_padding, mel_basis, window
from . import spectra

#: Momentum of fast Griffin-Lim.
_MOMENTUM = 0.99
#: Share of the spectrum below the lower Nyquist frequency over which resampling fades out.
_TAPER = 0.05


class Phase(NamedTuple):
    """Held phases of spectra, as points on the unit circle.

    Attributes:
        real, imaginary: [shape=(batch, frames, bins), float32].
    """

    real: tf.Tensor
    imaginary: tf.Tensor


class SoundPath:
    """Turns features into a front end's output, by way of sound.

    Args:
        spec: of the features.
        frontend: from sound to a classifier's input, see `keras_listen.hookspecs`.

    Attributes:
        samples: length of the sounds that the front end gets, in samples at its rate.
    """

    def __init__(self, spec: FeatureSpec, frontend: Any):
        self.spec, self.frontend = spec, frontend
        self._length = count_samples(spec.frames, spec)
        # NumPy, because tensors would belong to the graph in which they are first used.
        basis = mel_basis(spec)
        self._bins = int(np.flatnonzero(basis.any(axis=0))[-1]) + 1
        self._inverse = np.linalg.pinv(basis).T[:, : self._bins].astype(np.float32)
        self._window = window(spec).astype(np.float32)
        self._level = _level(spec)
        angle = np.random.default_rng(0).uniform(0, 2 * np.pi, (spec.frames, self._bins))
        self._first = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
        self._resample = _Resampling(self._length, spec.sample_rate, frontend.sample_rate)
        self.samples = frontend.samples or self._resample.result

    def __call__(self, features: tf.Tensor, phase: Phase) -> tf.Tensor:
        """Return the classifier's input of features [shape=(batch, frames, mels, 1)]."""
        return self.frontend(self.sound(features, phase))

    def sound(self, features: tf.Tensor, phase: Phase) -> tf.Tensor:
        """Return the sounds that the front end gets [shape=(batch, samples), at its rate]."""
        whole = self._synthesize(self.magnitudes(features), phase)
        return self._fit(self._resample(whole))

    def magnitudes(self, features: tf.Tensor) -> tf.Tensor:
        """Return linear magnitudes [shape=(batch, frames, bins)]; features of 0 are silent."""
        spec = self.spec
        scale = -spec.floor_db * spec.power / 20 * math.log(10)
        offset = (spec.floor_db + spec.reference_db) * spec.power / 20 * math.log(10)
        mel = tf.exp(scale * features[..., 0] + offset)
        # What becomes 0 in a feature is silence here, or the floor of all bands would be noise.
        power = tf.matmul(tf.nn.relu(mel - math.exp(offset)), self._inverse)
        linear = tf.nn.relu(power)
        # A root has no finite gradient at 0.
        return linear if spec.power == 1 else tf.sqrt(linear + 1e-12) - 1e-6

    def begin(self, features: tf.Tensor, iterations: int = 16) -> Phase:
        """Estimate phases from the same random ones for every sample; there is no gradient."""
        shape = tf.shape(features)[0], self.spec.frames, self._bins
        first = Phase(*(tf.broadcast_to(part, shape) for part in self._first))
        return self.refresh(features, first, iterations)

    def refresh(self, features: tf.Tensor, phase: Phase, iterations: int) -> Phase:
        """Improve phases for current features by iterations of Griffin-Lim; no gradient."""
        magnitude = tf.stop_gradient(self.magnitudes(features))
        before = None
        for _ in range(iterations):
            again = self._analyze(self._overlap(self._frames(magnitude, phase)))
            ahead = again if before is None else again + _MOMENTUM * (again - before)
            before, phase = again, _unit(ahead)
        return Phase(*map(tf.stop_gradient, phase))

    def _synthesize(self, magnitude: tf.Tensor, phase: Phase) -> tf.Tensor:
        left = left_padding(self.spec)
        padded = self._overlap(self._frames(magnitude, phase))
        return padded[:, left : left + self._length]

    def _frames(self, magnitude: tf.Tensor, phase: Phase) -> tf.Tensor:
        """Return windowed frames of sound [shape=(batch, frames, n_fft)]."""
        return spectra.frames_of(magnitude, *phase, self.spec.n_fft) * self._window

    def _overlap(self, frames: tf.Tensor) -> tf.Tensor:
        """Add frames up, and divide by the windows' sum [shape=(batch, samples)]."""
        return spectra.overlap_and_add(frames, self.spec.hop_length) * self._level

    def _analyze(self, padded: tf.Tensor) -> tf.Tensor:
        """Return spectra [shape=(batch, frames, bins), complex64] of padded sounds."""
        n_fft, hop = self.spec.n_fft, self.spec.hop_length
        framed = spectra.frame(padded, n_fft, hop) * self._window
        return tf.signal.rfft(framed)[..., : self._bins]

    def _fit(self, sounds: tf.Tensor) -> tf.Tensor:
        """Cut sounds at the end, or put them in the middle of longer ones."""
        room = self.samples - sounds.shape[1]
        if room <= 0:
            return sounds[:, : self.samples]
        return tf.pad(sounds, [[0, 0], [room // 2, room - room // 2]])


def _level(spec: FeatureSpec) -> np.ndarray:
    """Return the factor of each padded sample that undoes the windows [shape=(samples,)]."""
    total = np.zeros((spec.frames - 1) * spec.hop_length + spec.n_fft)
    for frame in range(spec.frames):
        start = frame * spec.hop_length
        total[start : start + spec.n_fft] += window(spec) ** 2
    # At the very ends, where few windows overlap, division would amplify.
    return (1 / np.maximum(total, 0.1 * total.max())).astype(np.float32)


class _Resampling:
    """Resampling of sounds of one length by cutting or extending their spectrum.

    Attributes:
        result: length of the resampled sounds.
    """

    def __init__(self, length: int, rate: int, wanted: int):
        common = math.gcd(rate, wanted)
        down, up = rate // common, wanted // common
        self.result = length * up // down
        self._same = rate == wanted
        # Both lengths whole; silence behind, as the spectrum's end is the sound's beginning.
        blocks = range(-(-(length + rate // 50) // down), -(-(length + rate // 5) // down) + 1)
        count = min(blocks, key=lambda n: max(_largest_factor(n * down), _largest_factor(n * up)))
        self._padding = count * down - length
        self._inner, self._outer = count * down, count * up
        bins = min(self._inner, self._outer) // 2 + 1
        fade = np.clip((1 - np.arange(bins) / (bins - 1)) / _TAPER, 0, 1)
        self._gain = (fade * up / down).astype(np.complex64)

    def __call__(self, sounds: tf.Tensor) -> tf.Tensor:
        if self._same:
            return sounds
        padded = tf.pad(sounds, [[0, 0], [0, self._padding]])
        spectrum = tf.signal.rfft(padded)[:, : self._gain.shape[0]] * self._gain
        return tf.signal.irfft(spectrum, [self._outer])[:, : self.result]


def _largest_factor(number: int) -> int:
    """Return the largest prime factor; transforms of lengths with small ones are fast."""
    largest, factor = 1, 2
    while number > 1:
        while number % factor == 0:
            number, largest = number // factor, factor
        factor += 1
    return largest


def _unit(spectrum: tf.Tensor) -> Phase:
    real, imaginary = tf.math.real(spectrum), tf.math.imag(spectrum)
    scale = tf.math.rsqrt(tf.maximum(real * real + imaginary * imaginary, 1e-20))
    return Phase(real * scale, imaginary * scale)
