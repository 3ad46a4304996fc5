"""Front ends made of settings: sound, spectrum, bands, logarithm, cepstrum, output."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ParameterError
from .bands import cosines, logarithm, mel_basis
from .output import arranged, normalized, of_frames, statistics_of, with_deltas
from .settings import MelSettings, MfccSettings, Settings, SpectrumSettings
from .sound import fit, prepare
from .spectrum import Spectrum, margins


class FrontEnd:
    """A differentiable function from sounds to the input of a model.

    Gradients are finite for digital silence, and each sample depends on its own sound alone.

    Args:
        settings: decide which kind it is: `Settings` a waveform, `SpectrumSettings` a linear
            spectrogram, `MelSettings` mel bands, `MfccSettings` cepstral coefficients.

    Attributes:
        settings: as given.
        sample_rate: in Hz.
        samples: length of the sounds; None for any.

    Raises:
        ParameterError: the window or the statistics are not usable, or a sound of the length is too
            short for a frame.
    """

    def __init__(self, settings: Settings):
        self.settings = settings
        self.sample_rate, self.samples = settings.sample_rate, settings.length
        self._mean, self._deviation = statistics_of(settings)
        self._spectrum = self._basis = self._cosines = None
        if isinstance(settings, SpectrumSettings):
            self._spectrum = Spectrum(settings)
            if self.samples is not None:
                margins(self.samples, settings)
        if isinstance(settings, MelSettings):
            self._basis = mel_basis(settings).astype(np.float32)
        if isinstance(settings, MfccSettings):
            self._cosines = cosines(settings).astype(np.float32)
        self._require_bands()

    def __call__(self, sounds: Any) -> Any:
        """Compute the input of a model.

        Args:
            sounds: float32 [shape=(batch, samples)], nominally in [-1, 1], at the sample rate.

        Returns:
            A float32 tensor [shape=(batch, ...)].

        Raises:
            ParameterError: the sounds have another length than `samples`, or are too short.
        """
        return self.after_spectrum(self.spectrum(sounds))

    def spectrum(self, sounds: Any) -> Any:
        """Compute the first half: level and spectrum, or for waveforms the level alone.

        Args:
            sounds: as for a call.

        Returns:
            A float32 tensor [shape=(batch, frames, bins), or (batch, samples)].
        """
        import tensorflow as tf

        sounds = tf.convert_to_tensor(sounds, tf.float32)
        require_length(sounds, self.samples)
        return self.analyze(prepare(sounds, self.settings))

    def analyze(self, sounds: Any) -> Any:
        """Return the spectra of sounds at their level; of a waveform the sounds themselves."""
        return sounds if self._spectrum is None else self._spectrum(sounds)

    def after_spectrum(self, values: Any) -> Any:
        """Compute the second half: the input of a model, from what `spectrum` returns."""
        if self._spectrum is not None:
            values = self._framewise(values)
        if np.any(self._mean):
            values -= self._like(self._mean, values)
        if np.any(self._deviation != 1):
            values /= self._like(self._deviation, values)
        values = normalized(values, self.settings.normalize, self.settings.epsilon)
        return arranged(values, self.settings)

    def fit(self, sound: np.ndarray) -> np.ndarray:
        """Bring a recording [shape=(any,)] at the sample rate to the length of the sounds."""
        return fit(sound, self.samples, self.settings.align)

    def _framewise(self, spectrum: Any) -> Any:
        """Return what is computed of frames [shape=(batch, frames, bands) or with a channel]."""
        import tensorflow as tf

        settings = self.settings
        values = spectrum
        if self._basis is not None:
            values = tf.matmul(values, self._basis)
        values = logarithm(values, settings)
        if self._cosines is not None:
            values = tf.matmul(values, self._cosines)
            if settings.energy:
                energy = tf.reduce_sum(spectrum, axis=2, keepdims=True)
                ln = tf.math.log(tf.maximum(energy, settings.floor or settings.offset))
                values = tf.concat([ln, values[..., 1:]], axis=2)
        return of_frames(with_deltas(values, settings), settings)

    def _like(self, statistics: np.ndarray, values: Any) -> np.ndarray:
        """Return statistics of time and bands so that they broadcast beside a channel, too."""
        if len(values.shape) == 4 and statistics.ndim in (1, 2):
            return statistics[..., None]
        return statistics

    def _require_bands(self) -> None:
        """Refuse statistics of another number of bands."""
        count = self.count_bands()
        for name, values in (("mean", self._mean), ("deviation", self._deviation)):
            if count and values.ndim and values.shape[-1] not in (1, count):
                raise ParameterError(
                    f"{name} has {values.shape[-1]} values; expected one, or one for each of "
                    f"{count} bands"
                )

    def count_bands(self) -> int:
        """Return the number of bands of the output; 0 for a waveform."""
        if self._spectrum is None:
            return 0
        bands = self._spectrum.bins
        for matrix in (self._basis, self._cosines):
            bands = bands if matrix is None else matrix.shape[1]
        joined = self.settings.delta_axis == "bands"
        return bands * (1 + self.settings.deltas) if joined else bands


def require_length(sounds: Any, samples: int | None) -> None:
    """Refuse sounds of another shape than (batch, samples).

    Raises:
        ParameterError: the shape differs.
    """
    shape = tuple(sounds.shape)
    if len(shape) != 2 or shape[1] is None or samples not in (None, shape[1]):
        expected = "any fixed number of samples" if samples is None else samples
        raise ParameterError(f"sounds have the shape {shape}; expected (batch, {expected})")
