"""Mel bands, logarithms and cosine transforms, as matrices that are computed once."""

from __future__ import annotations

from typing import Any

import numpy as np

from .settings import MelSettings, MfccSettings, SpectrumSettings

#: Slaney's scale: straight below this frequency, then 27 steps for a factor of 6.4.
_STRAIGHT_TO, _HZ_A_MEL, _LOG_STEP = 1000.0, 200 / 3, np.log(6.4) / 27


def to_mel(hz: Any, scale: str) -> np.ndarray:
    """Return frequencies in mel; `scale` is "slaney", or HTK's 2595 log10(1 + f / 700)."""
    hz = np.asarray(hz, np.float64)
    if scale != "slaney":
        return 2595.0 * np.log10(1.0 + hz / 700.0)
    above = _STRAIGHT_TO / _HZ_A_MEL + np.log(np.maximum(hz, 1e-9) / _STRAIGHT_TO) / _LOG_STEP
    return np.where(hz < _STRAIGHT_TO, hz / _HZ_A_MEL, above)


def to_hz(mel: Any, scale: str) -> np.ndarray:
    """Return frequencies in Hz, inverting `to_mel`."""
    mel = np.asarray(mel, np.float64)
    if scale != "slaney":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    edge = _STRAIGHT_TO / _HZ_A_MEL
    above = _STRAIGHT_TO * np.exp(_LOG_STEP * (np.maximum(mel, edge) - edge))
    return np.where(mel < edge, mel * _HZ_A_MEL, above)


def mel_basis(settings: MelSettings) -> np.ndarray:
    """Return the mel filter bank [shape=(bins, bands), float64, non-negative]."""
    scale, rate, length = settings.mel_scale, settings.sample_rate, settings.transform
    ends = to_mel([settings.fmin, settings.highest], scale)
    edges = np.linspace(ends[0], ends[1], settings.bands + 2)
    bins = np.arange(length // 2 + 1)
    if scale == "bins":
        edges = np.floor((length + 1) * to_hz(edges, scale) / rate)
        basis = _triangles(bins.astype(np.float64), edges)
    elif scale == "kaldi":
        basis = _triangles(to_mel(bins * rate / length, scale), edges)
        # The constant part belongs to no band there, and bands from 0 Hz would have it at 0.
        basis[0] = 0.0
    else:
        basis = _triangles(bins * rate / length, to_hz(edges, scale))
    if settings.mel_norm == "slaney":
        hz = to_hz(edges, scale) if scale != "bins" else edges * rate / (length + 1)
        basis *= 2.0 / np.maximum(hz[2:] - hz[:-2], 1e-9)
    return basis


def _triangles(places: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return triangles [shape=(places, len(edges) - 2)] between edges, each with the peak 1."""
    widths = np.diff(edges)
    # Edges rounded to one bin leave a triangle no side.
    safe = np.where(widths > 0, widths, 1.0)
    rising = (places[:, None] - edges[None, :-2]) / safe[:-1]
    falling = (edges[None, 2:] - places[:, None]) / safe[1:]
    rising = np.where(widths[:-1] > 0, rising, np.where(places[:, None] >= edges[:-2], np.inf, 0))
    return np.maximum(0.0, np.minimum(np.minimum(rising, falling), 1.0))


def cosines(settings: MfccSettings) -> np.ndarray:
    """Return the matrix of cosine transform and lifter [shape=(bands, coefficients), float64]."""
    # Slow to import, and not needed for settings.
    import scipy.fft

    norm = None if settings.dct_norm == "none" else "ortho"
    matrix = scipy.fft.dct(np.eye(settings.bands), settings.dct, norm=norm, axis=1)
    if settings.dct_norm == "tf":
        matrix[:, 0] *= np.sqrt(2.0)
    numbers = np.arange(settings.bands)
    if settings.lifter:
        angle = np.pi * (numbers + settings.lifter_first) / settings.lifter
        matrix = matrix * (1.0 + settings.lifter / 2.0 * np.sin(angle))
    return matrix[:, settings.first : settings.first + settings.coefficients]


def logarithm(values: Any, settings: SpectrumSettings) -> Any:
    """Return the logarithm of values that are not negative [shape=(batch, frames, bands)]."""
    import tensorflow as tf

    if settings.log == "none":
        return tf.maximum(values, settings.floor) if settings.floor else values
    if settings.offset:
        values += settings.offset
    if settings.floor:
        values = tf.maximum(values, settings.floor)
    values = tf.math.log(values)
    if settings.log == "ln":
        return values
    factor = 1.0 if settings.log == "log10" else settings.db_factor
    values *= factor / np.log(10.0)
    if settings.log == "log10":
        return values
    return _below_reference(values, settings)


def _below_reference(values: Any, settings: SpectrumSettings) -> Any:
    """Subtract the reference from dB values, and clip what lies too far below the largest."""
    import tensorflow as tf

    largest = None
    if settings.reference == "max" or settings.top_db is not None:
        largest = tf.reduce_max(values, axis=[1, 2], keepdims=True)
    if settings.top_db is not None:
        values = tf.maximum(values, largest - settings.top_db)
    if settings.reference == "max":
        return values - largest
    reference = max(float(settings.reference), settings.floor)
    return values - settings.db_factor * np.log10(reference) if reference != 1 else values
