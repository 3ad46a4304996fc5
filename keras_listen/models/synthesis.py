"""Synthesis of sounds with held phases, its transpose, and Griffin-Lim, sample by sample.

The same as TensorFlow's operations, but a sample's spectra and frames stay in the processor's cache
from the first step to the last: TensorFlow passes over those of a whole block at each step, which
takes twice the time. No sample's bits depend on the others.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.fft

from ..features import FeatureSpec, count_samples, left_padding, window
from .rewrites.operations import in_parts

#: Momentum of fast Griffin-Lim.
MOMENTUM = 0.99
#: Share of the spectrum below the lower Nyquist frequency over which resampling fades out.
_TAPER = 0.05


class Resampling:
    """Resampling of sounds of one length by cutting or extending their spectrum.

    Args:
        length: of the sounds, in samples.
        rate, wanted: before and after, in Hz.

    Attributes:
        result: length of the resampled sounds.
    """

    def __init__(self, length: int, rate: int, wanted: int):
        common = math.gcd(rate, wanted)
        down, up = rate // common, wanted // common
        self.length, self.result = length, length * up // down
        self._same = rate == wanted
        # Both lengths whole; silence behind, as the spectrum's end is the sound's beginning.
        blocks = range(-(-(length + rate // 50) // down), -(-(length + rate // 5) // down) + 1)
        count = min(blocks, key=lambda n: max(_largest_factor(n * down), _largest_factor(n * up)))
        self._inner, self._outer = count * down, count * up
        bins = min(self._inner, self._outer) // 2 + 1
        fade = np.clip((1 - np.arange(bins) / (bins - 1)) / _TAPER, 0, 1)
        self._gain = (fade * up / down).astype(np.float32)

    def __call__(self, sounds: np.ndarray) -> np.ndarray:
        """Resample sounds [shape=(batch, length)] to [shape=(batch, result)].

        Several at once, as SciPy transforms as many together as the processor's registers hold.
        """
        if self._same:
            return sounds
        spectra = scipy.fft.rfft(sounds, self._inner)[:, : len(self._gain)] * self._gain
        return scipy.fft.irfft(spectra, self._outer)[:, : self.result]

    def transposed(self, sounds: np.ndarray) -> np.ndarray:
        """Apply the transpose: [shape=(batch, result)] to [shape=(batch, length)]."""
        if self._same:
            return sounds
        # The weights of the two transforms cancel, but for their lengths.
        gain = self._gain * np.float32(self._inner / self._outer)
        spectra = scipy.fft.rfft(sounds, self._outer)[:, : len(gain)] * gain
        return scipy.fft.irfft(spectra, self._inner)[:, : self.length]


class Synthesis:
    """From magnitudes and phases to sounds at another rate and length.

    Args:
        spec: of the features that the magnitudes belong to.
        bins: of the spectra; those above are silent.
        rate: of the sounds, in Hz.
        samples: of the sounds; what there is where None. Longer ones have the sound in the middle,
            shorter ones its beginning.
    """

    def __init__(self, spec: FeatureSpec, bins: int, rate: int, samples: int | None = None):
        self.spec, self.bins = spec, bins
        length = count_samples(spec.frames, spec)
        self._resample = Resampling(length, spec.sample_rate, rate)
        self.samples = samples or self._resample.result
        self._before = max(0, self.samples - self._resample.result) // 2
        self._kept = slice(left_padding(spec), left_padding(spec) + length)
        self._window = window(spec).astype(np.float32)
        self._level = _level(spec)
        # Every bin but the first, and the last of all, stands for its mirror image as well.
        self._weights = np.full(bins, 2 / spec.n_fft, np.float32)
        self._weights[0] = 1 / spec.n_fft
        if bins == spec.n_fft // 2 + 1:
            self._weights[-1] = 1 / spec.n_fft

    def sounds(self, magnitude: np.ndarray, real: np.ndarray, imaginary: np.ndarray) -> np.ndarray:
        """Synthesize sounds.

        Args:
            magnitude: [shape=(batch, frames, bins), float32].
            real, imaginary: phases on the unit circle, of the same shape.

        Returns:
            float32 [shape=(batch, samples)].
        """
        sounds = np.zeros((len(magnitude), self.samples), np.float32)
        there = slice(self._before, self._before + self._resample.result)

        def work(part: slice) -> None:
            whole = np.empty((part.stop - part.start, self._resample.length), np.float32)
            for row, i in enumerate(range(part.start, part.stop)):
                padded = self._overlap(self._frames(magnitude[i], real[i], imaginary[i]))
                whole[row] = padded[self._kept]
            sounds[part, there] = self._resample(whole)[:, : self.samples]

        in_parts(work, len(magnitude))
        return sounds

    def transposed(self, change: np.ndarray, real: np.ndarray, imaginary: np.ndarray) -> np.ndarray:
        """Return the gradient of the magnitudes, given that of the sounds.

        Args:
            change: [shape=(batch, samples), float32].
            real, imaginary: phases, as for `sounds`.

        Returns:
            float32 [shape=(batch, frames, bins)].
        """
        gradient = np.empty(real.shape, np.float32)
        there = slice(self._before, self._before + self._resample.result)

        def work(part: slice) -> None:
            mine = change[part, there]
            whole = np.zeros((len(mine), self._resample.result), np.float32)
            whole[:, : mine.shape[1]] = mine
            whole = self._resample.transposed(whole)
            padded = np.zeros(len(self._level), np.float32)
            for row, i in enumerate(range(part.start, part.stop)):
                padded[self._kept] = whole[row]
                spectrum = self._spectrum(padded * self._level)
                found = gradient[i]
                np.multiply(spectrum.real, real[i], out=found)
                found += spectrum.imag * imaginary[i]
                found *= self._weights

        in_parts(work, len(change))
        return gradient

    def refresh(
        self, magnitude: np.ndarray, real: np.ndarray, imaginary: np.ndarray, iterations: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Improve phases by iterations of fast Griffin-Lim; see `sounds` for the arguments."""
        found = np.empty_like(real), np.empty_like(imaginary)

        def work(part: slice) -> None:
            for i in range(part.start, part.stop):
                mine, before = (real[i], imaginary[i]), None
                for _ in range(iterations):
                    again = self._spectrum(self._overlap(self._frames(magnitude[i], *mine)))
                    ahead = again if before is None else again + MOMENTUM * (again - before)
                    before, mine = again, _unit(ahead)
                found[0][i], found[1][i] = mine

        in_parts(work, len(magnitude))
        return found

    def _frames(self, magnitude: np.ndarray, real: np.ndarray, imaginary: np.ndarray) -> np.ndarray:
        """Return windowed frames of one sound [shape=(frames, n_fft)]."""
        spectrum = np.empty(magnitude.shape, np.complex64)
        np.multiply(magnitude, real, out=spectrum.real)
        np.multiply(magnitude, imaginary, out=spectrum.imag)
        frames = scipy.fft.irfft(spectrum, self.spec.n_fft, overwrite_x=True)
        frames *= self._window
        return frames

    def _overlap(self, frames: np.ndarray) -> np.ndarray:
        """Add frames up and undo the windows [shape=(padded samples,)]."""
        hop, count = self.spec.hop_length, len(frames)
        parts = -(-self.spec.n_fft // hop)
        total = np.zeros((count + parts - 1, hop), np.float32)
        for k in range(parts):
            piece = frames[:, k * hop : (k + 1) * hop]
            total[k : k + count, : piece.shape[1]] += piece
        return total.reshape(-1)[: len(self._level)] * self._level

    def _spectrum(self, padded: np.ndarray) -> np.ndarray:
        """Return the spectra of one padded sound [shape=(frames, bins), complex64]."""
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.spec.n_fft)
        windowed = frames[:: self.spec.hop_length] * self._window
        return scipy.fft.rfft(windowed, overwrite_x=True)[:, : self.bins]


def _unit(spectrum: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return phases on the unit circle; of silence, 0."""
    scale = spectrum.real * spectrum.real
    scale += spectrum.imag * spectrum.imag
    np.maximum(scale, 1e-20, out=scale)
    np.sqrt(scale, out=scale)
    return spectrum.real / scale, spectrum.imag / scale


def _level(spec: FeatureSpec) -> np.ndarray:
    """Return the factor of each padded sample that undoes the windows [shape=(samples,)]."""
    total = np.zeros((spec.frames - 1) * spec.hop_length + spec.n_fft)
    for frame in range(spec.frames):
        start = frame * spec.hop_length
        total[start : start + spec.n_fft] += window(spec) ** 2
    # At the very ends, where few windows overlap, division would amplify.
    return (1 / np.maximum(total, 0.1 * total.max())).astype(np.float32)


def _largest_factor(number: int) -> int:
    """Return the largest prime factor; transforms of lengths with small ones are fast."""
    largest, factor = 1, 2
    while number > 1:
        while number % factor == 0:
            number, largest = number // factor, factor
        factor += 1
    return largest
