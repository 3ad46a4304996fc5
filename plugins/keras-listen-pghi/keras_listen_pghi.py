"""The vocoder pghi: sound from magnitudes without iterations.

Phases, and the source of the method, are in `keras_listen.vocoders.phase_gradient`.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import numpy as np

from keras_listen import FeatureSpec, hookimpl
from keras_listen.errors import ParameterError
from keras_listen.features import count_samples, left_padding, window
from keras_listen.seeds import generator
from keras_listen.vocoders.griffin_lim import linear_magnitude
from keras_listen.vocoders.phase_gradient import find_phases, require_overlap
from keras_listen.vocoders.pitch import EXPAND_HELP, PITCH_HELP, PitchChoice, PitchControl


class PhaseGradient:
    """A vocoder that integrates the phase gradient, with the window and framing of the features.

    Args:
        spec: FeatureSpec of the features; frames must overlap by half or more.
        iterations: Griffin-Lim iterations that start from these phases.
        tolerance: values below this share of a sound's largest one get random phases.
        pitch, expand: see `keras_listen.vocoders.pitch.PitchControl`.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        iterations: int = 0,
        tolerance: float = 1e-5,
        *,
        pitch: PitchChoice = "none",
        expand: float = 1.0,
    ):
        require_overlap(spec, "pghi")
        if iterations < 0:
            raise ParameterError(f"iterations is {iterations}; expected 0 or more")
        if not 0 <= tolerance < 1:
            raise ParameterError(f"tolerance is {tolerance}; expected at least 0 and below 1")
        self.spec, self.iterations, self.tolerance = spec, iterations, tolerance
        self.control = PitchControl(spec, pitch, expand)

    def synthesize(self, features: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """Synthesize sounds that are aligned with features.

        Args:
            features: [shape=(batch, frames, mels), in [0, 1]], any number of frames.
            seeds: for the random phases of nearly silent values [shape=(batch, 2), uint32].

        Returns:
            Sounds [shape=(batch, count_samples(frames)), float32] at the level of the features.

        Raises:
            ParameterError: there are too few frames for a sound.
        """
        from threadpoolctl import threadpool_limits

        # One sound at a time, so that its bits do not depend on its batch-mates.
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
            sounds = list(pool.map(self._reconstruct, np.asarray(features), seeds))
        return np.stack(sounds).astype(np.float32)

    def _reconstruct(self, features: np.ndarray, seed: np.ndarray) -> np.ndarray:
        spec = self.spec
        samples = count_samples(len(features), spec)
        magnitude, _ = linear_magnitude(features, self.control)
        phase = find_phases(magnitude, spec, generator(seed), self.tolerance)
        spectrum = (magnitude * np.exp(1j * phase)).astype(np.complex64)
        for _ in range(self.iterations):
            spectrum = _analyse(_synthesise(spectrum, spec), spec)
            spectrum *= magnitude / np.maximum(np.abs(spectrum), 1e-20)
        left = left_padding(spec)
        return _synthesise(spectrum, spec)[left : left + samples]


def _synthesise(spectrum: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Return the padded sound of a spectrum [shape=(frames, 1 + n_fft // 2)]."""
    import librosa

    return librosa.istft(spectrum.T, **_framing(spec))


def _analyse(padded: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Return the spectrum of a padded sound [shape=(frames, 1 + n_fft // 2)]."""
    import librosa

    return librosa.stft(padded, **_framing(spec)).T


def _framing(spec: FeatureSpec) -> dict:
    return {
        "hop_length": spec.hop_length,
        "n_fft": spec.n_fft,
        "window": window(spec),
        "center": False,
    }


def pghi(
    bundle,
    *,
    iterations: Annotated[int, "Griffin-Lim iterations that start from these phases"] = 0,
    tolerance: Annotated[float, "share of the loudest value below which phases are random"] = 1e-5,
    pitch: Annotated[PitchChoice, PITCH_HELP] = "none",
    expand: Annotated[float, EXPAND_HELP] = 1.0,
):
    """Phase gradient heap integration; needs no weights and, by default, no iterations."""
    return PhaseGradient(bundle.spec, iterations, tolerance, pitch=pitch, expand=expand)


@hookimpl
def register_vocoders(register) -> None:
    register("pghi", pghi)
