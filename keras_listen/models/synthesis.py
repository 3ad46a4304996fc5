"""Synthesis of sounds with held phases, its transpose, and Griffin-Lim, sample by sample.

The same as TensorFlow's operations, but a sample's spectra and frames stay in the processor's cache
from the first step to the last: TensorFlow passes over those of a whole block at each step, which
takes twice the time. No sample's bits depend on the others.
"""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import scipy.fft

from ..features import FeatureSpec, count_samples, left_padding, mel_filters, window
from .rewrites.operations import aligned, in_parts

#: Momentum of fast Griffin-Lim.
MOMENTUM = 0.99


class Synthesis:
    """From mel magnitudes and phases to sounds at any rate and length.

    Spectra are made for the rate that is wanted, with frames that last as long as those of the
    features, so that nothing has to be resampled. A step is a whole number of samples there: for
    22,050 to 16,000 Hz 186 instead of 185.76, so that sounds are 0.13 % longer.

    Args:
        spec: of the features.
        rate: of the sounds, in Hz.
        samples: of the sounds; what there is where None. Longer ones have the sound in the middle,
            shorter ones its beginning.

    Attributes:
        inverse: from mel bands to spectra, both to the spec's power [shape=(mels, bins)]; bins
            above the bands are silent.
        bins: of the spectra.
    """

    def __init__(self, spec: FeatureSpec, rate: int, samples: int | None = None):
        step = max(1, round(spec.hop_length * rate / spec.sample_rate))
        frame = spec.n_fft * step // spec.hop_length
        self.spec = dataclasses.replace(spec, n_fft=frame, hop_length=step)
        self._n_fft = scipy.fft.next_fast_len(frame + frame % 2, real=True)
        self._n_fft += self._n_fft % 2
        self._length = count_samples(spec.frames, self.spec)
        self.samples = samples or self._length
        self._before = max(0, self.samples - self._length) // 2
        left = left_padding(self.spec)
        self._kept = slice(left, left + self._length)
        self._window = window(self.spec).astype(np.float32)
        self._level = _level(self.spec)
        self.inverse = self._inverted(spec, rate)
        self.bins = self.inverse.shape[1]
        # Every bin but the first, and the last of all, stands for its mirror image as well.
        self._weights = np.full(self.bins, 2 / self._n_fft, np.float32)
        self._weights[0] = 1 / self._n_fft
        if self.bins == self._n_fft // 2 + 1:
            self._weights[-1] = 1 / self._n_fft

    def _inverted(self, spec: FeatureSpec, rate: int) -> np.ndarray:
        """Return the pseudo-inverse of the mel basis at the rate of the sounds."""
        with warnings.catch_warnings():
            # Bands above half the rate are empty, as they should be.
            warnings.simplefilter("ignore")
            basis = mel_filters(spec, rate, self._n_fft)
        bins = int(np.flatnonzero(basis.any(axis=0))[-1]) + 1
        # Magnitudes grow with the samples of a frame, and sums over a band with its bins.
        longer = (self.spec.n_fft / spec.n_fft) ** spec.power
        denser = (self._n_fft / rate) / (spec.n_fft / spec.sample_rate)
        return (np.linalg.pinv(basis).T[:, :bins] * longer * denser).astype(np.float32)

    def sounds(self, magnitude: np.ndarray, phase: np.ndarray) -> np.ndarray:
        """Synthesize sounds.

        Args:
            magnitude: [shape=(batch, frames, bins), float32].
            phase: on the unit circle, of the same shape [complex64].

        Returns:
            float32 [shape=(batch, samples)].
        """
        sounds = aligned((len(magnitude), self.samples), np.float32)
        sounds.fill(0)

        def work(part: slice) -> None:
            for i in range(part.start, part.stop):
                padded = self._overlap(self._frames(magnitude[i] * phase[i]))
                sound = padded[self._kept][: self.samples]
                sounds[i, self._before : self._before + len(sound)] = sound

        in_parts(work, len(magnitude))
        return sounds

    def transposed(self, change: np.ndarray, phase: np.ndarray) -> np.ndarray:
        """Return the gradient of the magnitudes, given that of the sounds.

        Args:
            change: [shape=(batch, samples), float32].
            phase: as for `sounds`.

        Returns:
            float32 [shape=(batch, frames, bins)].
        """
        gradient = aligned(phase.shape, np.float32)
        start = self._kept.start

        def work(part: slice) -> None:
            padded = np.zeros(len(self._level), np.float32)
            for i in range(part.start, part.stop):
                mine = change[i, self._before : self._before + self._length]
                padded[start : start + len(mine)] = mine
                spectrum = self._spectrum(padded * self._level)
                along = spectrum * np.conj(phase[i])
                np.multiply(along.real, self._weights, out=gradient[i])

        in_parts(work, len(change))
        return gradient

    def refresh(self, magnitude: np.ndarray, phase: np.ndarray, iterations: int) -> np.ndarray:
        """Improve phases by iterations of fast Griffin-Lim; see `sounds` for the arguments."""
        found = aligned(phase.shape, np.complex64)

        def work(part: slice) -> None:
            for i in range(part.start, part.stop):
                mine, before = phase[i], None
                for _ in range(iterations):
                    again = self._spectrum(self._overlap(self._frames(magnitude[i] * mine)))
                    ahead = again if before is None else again + MOMENTUM * (again - before)
                    before, mine = again, _unit(ahead)
                found[i] = mine

        in_parts(work, len(magnitude))
        return found

    def _frames(self, spectrum: np.ndarray) -> np.ndarray:
        """Return windowed frames of one sound [shape=(frames, frame)]."""
        frames = scipy.fft.irfft(spectrum, self._n_fft, overwrite_x=True)[:, : self.spec.n_fft]
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
        return scipy.fft.rfft(windowed, self._n_fft, overwrite_x=True)[:, : self.bins]


def _unit(spectrum: np.ndarray) -> np.ndarray:
    """Return phases on the unit circle; of silence, 0."""
    scale = spectrum.real * spectrum.real
    scale += spectrum.imag * spectrum.imag
    np.maximum(scale, 1e-20, out=scale)
    np.sqrt(scale, out=scale)
    # A product: NumPy would divide by complex numbers.
    return spectrum * np.reciprocal(scale)


def _level(spec: FeatureSpec) -> np.ndarray:
    """Return the factor of each padded sample that undoes the windows [shape=(samples,)]."""
    total = np.zeros((spec.frames - 1) * spec.hop_length + spec.n_fft)
    for frame in range(spec.frames):
        start = frame * spec.hop_length
        total[start : start + spec.n_fft] += window(spec) ** 2
    # At the very ends, where few windows overlap, division would amplify.
    return (1 / np.maximum(total, 0.1 * total.max())).astype(np.float32)
