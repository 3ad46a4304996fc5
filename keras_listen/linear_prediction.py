"""Linear prediction from features: sound to excitation and back.

The envelope that the features describe is turned into an all-pole filter, four times a frame. What
is left of the sound behind its inverse, the excitation, has about unit variance at any loudness and
in any vowel: a net that speaks excitation need not learn what the features say already.

References:
    Makhoul, "Linear Prediction: A Tutorial Review", Proceedings of the IEEE, 1975
    Song et al., "ExcitNet vocoder", EUSIPCO 2019, https://arxiv.org/abs/1811.04769
    Valin and Skoglund, "LPCNet", ICASSP 2019, https://arxiv.org/abs/1810.11846
"""

from __future__ import annotations

from functools import lru_cache

import numba
import numpy as np

from .features import FeatureSpec, mel_basis, window

#: Filters a frame.
_PARTS = 4
#: Fall beyond the outermost bands, of which the features say nothing: dB a kHz, and dB at most.
_SLOPE, _FALL = 20.0, 20.0
#: Added to the power at no lag, as a share of it: keeps filters of narrow spectra tame.
_CORRECTION = 1e-7


def reach(spec: FeatureSpec) -> int:
    """Return the number of frames before a sample's own that its filter may come from."""
    return -(-spec.n_fft // (2 * spec.hop_length))


def predictors(features: np.ndarray, spec: FeatureSpec, order: int) -> np.ndarray:
    """Return the filters of the sound that the features describe, four a frame.

    Args:
        features: [shape=(batch, reach + frames, mels), in [0, 1]]: those of `reach(spec)` frames
            before the sound, and its own.
        order: coefficients of a filter.

    Returns:
        gain, then coefficients of the past samples, latest first
        [shape=(batch, 4 * frames, 1 + order)].
    """
    features = np.asarray(features, np.float64)
    before = reach(spec)
    frames = features.shape[1] - before
    # The middle of frame j's window is n_fft / 2 samples after the first sample of frame j.
    middles = (np.arange(_PARTS * frames) + 0.5) / _PARTS - spec.n_fft / (2 * spec.hop_length)
    place = np.maximum(middles + before, 0)
    low = place.astype(int)
    share = (place - low)[:, None]
    between = features[:, low] * (1 - share) + features[:, low + 1] * share
    weights, constant = _interpolation(spec)
    power = np.exp(between @ weights + constant)
    correlation = np.fft.irfft(power, axis=-1)[..., : order + 1]
    correlation[..., 0] *= 1 + _CORRECTION
    return _levinson(correlation).astype(np.float32)


@lru_cache(maxsize=4)
def _interpolation(spec: FeatureSpec) -> tuple[np.ndarray, np.ndarray]:
    """Return what makes features the logarithm of a power spectrum: matrix and constant."""
    basis = mel_basis(spec)
    bins = np.arange(basis.shape[1]) * spec.sample_rate / spec.n_fft
    coverage = np.maximum(basis.sum(axis=1), 1e-10)
    centers = basis @ bins / coverage
    weights = np.stack([np.interp(bins, centers, unit) for unit in np.eye(spec.n_mels)])
    nepers = np.log(10) / 10
    # A band is a weighted sum of magnitudes, whose square is the density times the window's.
    levels = nepers * (spec.floor_db + spec.reference_db) - 2 / spec.power * np.log(coverage)
    beyond = np.maximum(np.maximum(centers[0] - bins, bins - centers[-1]), 0) / 1000
    levels = levels - np.log((window(spec) ** 2).sum())
    constant = levels @ weights - nepers * np.minimum(_SLOPE * beyond, _FALL)
    return -nepers * spec.floor_db * weights, constant


def _levinson(correlation: np.ndarray) -> np.ndarray:
    """Solve for the predictors of autocorrelations [shape=(..., 1 + order)]; gain first."""
    order = correlation.shape[-1] - 1
    error = correlation[..., 0].copy()
    solved = np.zeros((*correlation.shape[:-1], 1 + order))
    found = solved[..., 1:]
    for i in range(order):
        past = correlation[..., i:0:-1]
        mirror = (correlation[..., i + 1] - (found[..., :i] * past).sum(axis=-1)) / error
        found[..., :i] -= mirror[..., None] * found[..., :i][..., ::-1].copy()
        found[..., i] = mirror
        error *= 1 - mirror**2
    solved[..., 0] = np.sqrt(error)
    return solved


def whiten(sounds: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """Turn sounds into their excitation, of about unit variance.

    Args:
        sounds: [shape=(batch, order + samples)]; the first ones are only what the filters need.
        filters: from `predictors` [shape=(batch, parts, 1 + order)], each for samples / parts.

    Returns:
        float32 [shape=(batch, samples)].
    """
    return _run(np.asarray(sounds, np.float64), filters, np.empty((0, 0)))


def color(excitation: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """Turn excitation [shape=(batch, samples)] into sound; undoes `whiten` after silence."""
    order = filters.shape[2] - 1
    silence = np.zeros((len(excitation), order + excitation.shape[1]))
    return _run(silence, filters, np.asarray(excitation, np.float64))


@numba.njit(cache=True)
def _run(sounds, filters, excitation):
    """Predict every sample; return the errors, or in place of them the sound that has these."""
    batch, parts, order = filters.shape
    order -= 1
    samples = sounds.shape[1] - order
    length = samples // parts
    out = np.empty((batch, samples), np.float32)
    for row in range(batch):
        y = sounds[row]
        for n in range(samples):
            f = filters[row, n // length]
            said = 0.0
            for k in range(order):
                said += f[1 + k] * y[order + n - 1 - k]
            if excitation.size:
                y[order + n] = said + f[0] * excitation[row, n]
                out[row, n] = y[order + n]
            else:
                out[row, n] = (y[order + n] - said) / f[0]
    return out
