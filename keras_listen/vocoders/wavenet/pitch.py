"""Estimate pitch from mel features, by the comb that harmonics leave in the lower bands.

Bands of about 35 Hz resolve the harmonics of a voice. Their ripple around a smooth curve is
compared with the ripple that harmonics of each candidate pitch would cause.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ...features import FeatureSpec, mel_basis, window
from ..pitch import ripple_likeness, unit_ripples

#: Range of pitches, in Hz.
LOWEST, HIGHEST = 70.0, 400.0
_CANDIDATES = 160
#: Highest frequency of the bands that are compared, in Hz; those above are too wide.
_TOP = 1200.0
#: Magnitude between harmonics, relative to them.
_FLOOR = 0.03
#: Ripples smaller than this many dB (root sum of squares) count for less.
_SMALL = 10.0
#: Likeness at which a frame begins to count as voiced, and at which it is fully voiced.
_BEGIN, _WHOLE = 0.5, 0.8


def estimate(features: np.ndarray, spec: FeatureSpec) -> tuple[np.ndarray, np.ndarray]:
    """Estimate the pitch of each frame.

    Args:
        features: [shape=(batch, frames, mels), in [0, 1]].
        spec: of the features.

    Returns:
        pitch in Hz, and degree of voicing, 0 to 1 [each shape=(batch, frames)].
    """
    candidates, combs, smooth = _combs(spec)
    likeness = ripple_likeness(features, combs, smooth, _SMALL, spec)
    best = likeness.argmax(axis=-1)
    highest = np.take_along_axis(likeness, best[..., None], axis=-1)[..., 0]
    return candidates[best], np.clip((highest - _BEGIN) / (_WHOLE - _BEGIN), 0, 1)


@lru_cache(maxsize=4)
def _combs(spec: FeatureSpec) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return candidate pitches, their unit ripples, and an orthonormal basis of smooth curves."""
    basis = mel_basis(spec)
    bins = np.arange(basis.shape[1]) * spec.sample_rate / spec.n_fft
    coverage = np.maximum(basis.sum(axis=1), 1e-10)
    bands = int((basis @ bins / coverage < _TOP).sum())
    candidates = np.geomspace(LOWEST, HIGHEST, _CANDIDATES)
    fine = 64 * spec.n_fft
    response = np.abs(np.fft.rfft(window(spec), fine))
    response /= response[0]
    combs = []
    for pitch in candidates:
        harmonics = pitch * np.arange(1, int(1.3 * _TOP / pitch) + 2)
        away = np.abs(bins[:, None] - harmonics) / spec.sample_rate * fine
        spectrum = response[np.minimum(np.round(away).astype(int), fine // 2)].max(axis=1)
        level = (basis @ spectrum**spec.power / coverage)[:bands] ** (1 / spec.power)
        combs.append(20 * np.log10(level + _FLOOR))
    return candidates, *unit_ripples(np.array(combs))
