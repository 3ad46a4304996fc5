"""The source of a WaveNet of frames: a first sound, of the features and their pitch alone."""

from __future__ import annotations

import numpy as np

from ...features import FeatureSpec, window
from ...seeds import generator
from ..griffin_lim import invert_mel, project_with_bands
from ..phase_gradient import find_phases
from ..pitch import Pitch, comb

#: Number of projections of the source; more make little difference to what follows.
_PROJECTIONS = 16


def source_of(
    features: np.ndarray, pitch: Pitch, spec: FeatureSpec, seed: np.ndarray
) -> np.ndarray:
    """Return the sound of magnitudes with the pitch's harmonics, phases by the phase gradient.

    Args:
        features: of one sound [shape=(frames, mels), in [0, 1]].
        pitch: of its frames.
        spec: of the features.
        seed: of the phases of what is nearly silent [shape=(2,), uint32].

    Returns:
        The padded sound, float32 [shape=((frames - 1) * hop_length + n_fft,)].
    """
    magnitude = invert_mel(features[None], spec, pitch)[0] ** (1 / spec.power)
    phase = find_phases(magnitude, spec, generator(seed))
    return project_with_bands(magnitude, phase, features, spec, _PROJECTIONS)


def spectrum_of(padded: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Return the transform of a padded sound [shape=(frames, 1 + n_fft // 2), complex]."""
    # Slow to import, and not needed to list the vocoders.
    from scipy.fft import rfft

    frames = np.lib.stride_tricks.sliding_window_view(padded, spec.n_fft)[:: spec.hop_length]
    return rfft(frames * window(spec).astype(np.float32))


def comb_of(hertz: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Return the logarithm, to base 10, of the comb of pitches [shape=(frames, 1 + n_fft // 2)]."""
    return np.log10(comb(hertz, spec)).astype(np.float32)
