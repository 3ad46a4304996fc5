"""Loops of the synthesis of one sound, compiled by numba: each passes over its arrays once."""

from __future__ import annotations

import numpy as np

from .rewrites.kernels import compiled


@compiled
def place_on_phases(magnitude, phase, spectrum):
    """Write magnitudes times phases; magnitudes below 0 count as 0.

    Args:
        magnitude: [shape=(frames, bins)].
        phase: points on the unit circle, real and imaginary parts [shape=(frames, bins, 2)].
        spectrum: result, in parts as well [shape=(frames, bins, 2)].
    """
    for t in range(magnitude.shape[0]):
        for k in range(magnitude.shape[1]):
            m = max(magnitude[t, k], np.float32(0))
            spectrum[t, k, 0] = m * phase[t, k, 0]
            spectrum[t, k, 1] = m * phase[t, k, 1]


@compiled
def project_on_phases(spectrum, phase, magnitude, weights, gradient):
    """Write the gradient of `place_on_phases` with respect to the magnitudes.

    Args:
        spectrum: the gradient of the spectra, in parts [shape=(frames, bins, 2)].
        phase, magnitude: as there.
        weights: of the bins [shape=(bins,)].
        gradient: result [shape=(frames, bins)].
    """
    for t in range(magnitude.shape[0]):
        for k in range(magnitude.shape[1]):
            along = spectrum[t, k, 0] * phase[t, k, 0] + spectrum[t, k, 1] * phase[t, k, 1]
            gradient[t, k] = along * weights[k] if magnitude[t, k] > 0 else np.float32(0)


@compiled
def overlap(frames, window, hop, level, padded):
    """Write windowed frames added up, times the level of each sample.

    Args:
        frames: at least as long as the window [shape=(frames, any)].
        window: [shape=(frame,)].
        hop: samples from one frame to the next.
        level: [shape=(samples,)].
        padded: result [shape=(samples,)].
    """
    padded[:] = 0
    for t in range(frames.shape[0]):
        total = padded[t * hop : t * hop + len(window)]
        for n in range(len(window)):
            total[n] += frames[t, n] * window[n]
    for n in range(len(padded)):
        padded[n] *= level[n]


@compiled
def cut(padded, window, hop, frames):
    """Write windowed frames of a sound.

    Args:
        padded: [shape=(samples,)].
        window: [shape=(frame,)].
        hop: samples from one frame to the next.
        frames: result; what is longer than the window becomes 0 [shape=(frames, any)].
    """
    for t in range(frames.shape[0]):
        piece = padded[t * hop : t * hop + len(window)]
        for n in range(len(window)):
            frames[t, n] = piece[n] * window[n]
        for n in range(len(window), frames.shape[1]):
            frames[t, n] = 0
