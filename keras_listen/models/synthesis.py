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
from . import synthesis_loops as loops
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
        samples: of the sounds; what there is where None. Shorter ones are the beginning.

    Attributes:
        room: samples by which the sounds are longer than what is synthesized, 0 or more.
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
        self.room = max(0, self.samples - self._length)
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

    def sounds(self, magnitude: np.ndarray, phase: np.ndarray, before: np.ndarray) -> np.ndarray:
        """Synthesize sounds.

        Args:
            magnitude: what is below 0 counts as 0 [shape=(batch, frames, bins), float32].
            phase: on the unit circle, of the same shape [complex64].
            before: silent samples before each, from 0 to `room` [shape=(batch,)].

        Returns:
            float32 [shape=(batch, samples)].
        """
        sounds = aligned((len(magnitude), self.samples), np.float32)
        sounds.fill(0)

        def work(part: slice) -> None:
            padded = np.empty(len(self._level), np.float32)
            for i in range(part.start, part.stop):
                self._overlap(magnitude[i], phase[i], padded)
                sound = padded[self._kept][: self.samples]
                sounds[i, before[i] : before[i] + len(sound)] = sound

        in_parts(work, len(magnitude))
        return sounds

    def transposed(
        self, change: np.ndarray, magnitude: np.ndarray, phase: np.ndarray, before: np.ndarray
    ) -> np.ndarray:
        """Return the gradient of the magnitudes, given that of the sounds.

        Args:
            change: [shape=(batch, samples), float32].
            magnitude, phase, before: as for `sounds`.

        Returns:
            float32 [shape=(batch, frames, bins)].
        """
        gradient = aligned(phase.shape, np.float32)
        start = self._kept.start

        def work(part: slice) -> None:
            padded = np.zeros(len(self._level), np.float32)
            for i in range(part.start, part.stop):
                mine = change[i, before[i] : before[i] + self._length]
                padded[start : start + len(mine)] = mine
                spectrum = self._spectrum(padded * self._level)
                loops.project_on_phases(
                    _parts(spectrum), _parts(phase[i]), magnitude[i], self._weights, gradient[i]
                )

        in_parts(work, len(change))
        return gradient

    def refresh(self, magnitude: np.ndarray, phase: np.ndarray, iterations: int) -> np.ndarray:
        """Improve phases by iterations of fast Griffin-Lim; see `sounds` for the arguments."""
        found = aligned(phase.shape, np.complex64)

        def work(part: slice) -> None:
            padded = np.empty(len(self._level), np.float32)
            for i in range(part.start, part.stop):
                mine, before = phase[i], None
                for _ in range(iterations):
                    self._overlap(magnitude[i], mine, padded)
                    again = self._spectrum(padded)[:, : self.bins]
                    ahead = again if before is None else again + MOMENTUM * (again - before)
                    before, mine = again, _unit(ahead)
                found[i] = mine

        in_parts(work, len(magnitude))
        return found

    def _overlap(self, magnitude: np.ndarray, phase: np.ndarray, padded: np.ndarray) -> None:
        """Write the padded sound of one sample's spectra [shape=(padded samples,)]."""
        spectrum = np.empty(phase.shape, np.complex64)
        loops.place_on_phases(magnitude, _parts(phase), _parts(spectrum))
        frames = scipy.fft.irfft(spectrum, self._n_fft, overwrite_x=True)
        loops.overlap(frames, self._window, self.spec.hop_length, self._level, padded)

    def _spectrum(self, padded: np.ndarray) -> np.ndarray:
        """Return the spectra of a padded sound, all bins [shape=(frames, any), complex64]."""
        frames = np.empty((self.spec.frames, self._n_fft), np.float32)
        loops.cut(padded, self._window, self.spec.hop_length, frames)
        return scipy.fft.rfft(frames, overwrite_x=True)


def _parts(values: np.ndarray) -> np.ndarray:
    """Return a view of complex values as real and imaginary parts [shape=(frames, bins, 2)]."""
    return values.view(np.float32).reshape(*values.shape, 2)


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
