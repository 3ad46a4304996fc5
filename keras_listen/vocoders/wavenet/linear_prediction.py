"""Convert sound to excitation and back, by linear prediction from the features.

Two predictors are computed from the features: a short-term one from the spectral envelope and a
long-term one from the pitch. Their residual, the excitation, has about unit variance at any
loudness and in any vowel: a network that predicts it need not learn what the features determine
already, and even white noise in its place gives intelligible speech.

References:
    Makhoul, "Linear Prediction: A Tutorial Review", Proceedings of the IEEE, 1975
    Schroeder and Atal, "Code-excited linear prediction", ICASSP 1985
    Song et al., "ExcitNet vocoder", EUSIPCO 2019, https://arxiv.org/abs/1811.04769
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numba
import numpy as np

from ...features import FeatureSpec, mel_basis, window
from ...models.compiling import tell_compiling
from .pitch import LOWEST, estimate

tell_compiling()

#: Filters per frame.
_PARTS = 4
#: Slope beyond the outermost bands, which the features do not cover: dB per kHz, and dB at most.
_SLOPE, _FALL = 20.0, 20.0
#: White-noise correction, added to the power at lag 0 as a share of it: keeps filters stable.
_CORRECTION = 1e-7
#: Voices are periodic below this frequency, in Hz, and noisy above.
_PERIODIC = 2500.0
#: Length of the low-pass of the long-term predictor; half of it is shorter than any period.
_TAPS = 31
#: Below this frequency, in Hz, there is rumble and no speech.
_RUMBLE = 70.0
#: Length of the filter that separates the features' bands from the rest.
_BAND_TAPS = 1023


@dataclass(frozen=True)
class Filters:
    """Prediction filters of sounds, in parts of equal length, four per frame.

    Attributes:
        short: gain, then coefficients of the past samples, latest first
            [shape=(batch, parts, 1 + order)].
        lags: periods of the pitch, in samples [shape=(batch, parts)].
        gains: share of the preceding period that is repeated, 0 in noise [shape=(batch, parts)].
    """

    short: np.ndarray
    lags: np.ndarray
    gains: np.ndarray


def reach(spec: FeatureSpec) -> int:
    """Return the number of frames before a sample's own that its filters may depend on."""
    return 1 + -(-spec.n_fft // (2 * spec.hop_length))


def memory(spec: FeatureSpec) -> int:
    """Return the number of frames of sound before a sample that its excitation depends on."""
    period = spec.sample_rate / LOWEST + _TAPS + 2
    return -(-int(period + _BAND_TAPS // 2) // spec.hop_length)


def look_ahead(spec: FeatureSpec) -> int:
    """Return the number of frames after a sample that `excitation_of` depends on."""
    return -(-(_BAND_TAPS // 2) // spec.hop_length)


def filters_of(features: np.ndarray, spec: FeatureSpec, order: int, pitch: float) -> Filters:
    """Compute the prediction filters of a sound from its features.

    Args:
        features: [shape=(batch, reach + frames, mels), in [0, 1]]: those of `reach(spec)` frames
            before the sound, and its own.
        spec: of the features.
        order: number of coefficients of the short-term predictor.
        pitch: largest gain of the long-term predictor, from 0 to below 1.
    """
    features = np.asarray(features, np.float64)
    before = reach(spec)
    frames = features.shape[1] - before
    # The middle of frame j's window is n_fft / 2 samples after the first sample of frame j.
    middles = (np.arange(_PARTS * frames) + 0.5) / _PARTS - spec.n_fft / (2 * spec.hop_length)
    place = middles + before
    # The middle of a short window may come after the sample: then the last frame is used.
    place = np.minimum(place, features.shape[1] - 1 - 1e-9)
    low = place.astype(int)
    share = (place - low)[:, None]
    between = features[:, low] * (1 - share) + features[:, low + 1] * share
    weights, constant = _interpolation(spec)
    power = np.exp(between @ weights + constant)
    correlation = np.fft.irfft(power, axis=-1)[..., : order + 1]
    correlation[..., 0] *= 1 + _CORRECTION
    hertz, voiced = estimate(features, spec)
    # Interpolated pitch may be octaves from both frames': that of the nearer frame is taken.
    lags = spec.sample_rate / hertz[:, np.round(place).astype(int)]
    gains = voiced[:, low] * (1 - share[:, 0]) + voiced[:, low + 1] * share[:, 0]
    short = _levinson(correlation).astype(np.float32)
    return Filters(short, lags.astype(np.float32), (pitch * gains).astype(np.float32))


@lru_cache(maxsize=4)
def _interpolation(spec: FeatureSpec) -> tuple[np.ndarray, np.ndarray]:
    """Return matrix and constant that turn features into the logarithm of a power spectrum."""
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
    """Return the predictors of autocorrelations [shape=(..., 1 + order)], gain first."""
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


def excitation_of(
    sounds: np.ndarray, filters: Filters, spec: FeatureSpec, draws: np.random.Generator
) -> np.ndarray:
    """Convert sounds to their excitation, of about unit variance.

    Features do not cover rumble, below 70 Hz, and frequencies above the highest band; these are
    replaced by white noise, so that a network need not learn them.

    Args:
        sounds: [shape=(batch, samples)]; silence is assumed before them.
        filters: of these samples.
        spec: of the features.
        draws: source of the noise.

    Returns:
        float32 [shape=(batch, samples)]; `memory` frames at the beginning and `look_ahead` frames
        at the end lack the influence of sound beyond.
    """
    from scipy.signal import fftconvolve

    flat = _short(np.asarray(sounds, np.float64), filters.short, False)
    inside = _band(spec)[None]
    outside = -inside
    outside[:, _BAND_TAPS // 2] += 1
    flat = fftconvolve(flat, inside, "same", axes=1)
    flat += fftconvolve(draws.standard_normal(flat.shape), outside, "same", axes=1)
    return _long(flat, filters.lags, filters.gains, _low_pass(spec), False).astype(np.float32)


def sound_of(excitation: np.ndarray, filters: Filters, spec: FeatureSpec) -> np.ndarray:
    """Convert excitation to sound, band-limited to the features' bands.

    Args:
        excitation: [shape=(batch, samples)].
        filters: of these samples.
        spec: of the features.

    Returns:
        float32 [shape=(batch, samples)].
    """
    from scipy.signal import butter, sosfilt

    y = np.asarray(excitation, np.float64)
    y = _long(y, filters.lags, filters.gains, _low_pass(spec), True)
    y = _short(y, filters.short, True)
    # This filter is causal, so that nothing depends on what follows a sound.
    band = butter(4, _edges(spec), "bandpass", fs=spec.sample_rate, output="sos")
    return sosfilt(band, y, axis=1).astype(np.float32)


def _edges(spec: FeatureSpec) -> tuple[float, float]:
    return _RUMBLE, min(1.02 * spec.fmax, 0.49 * spec.sample_rate)


@lru_cache(maxsize=4)
def _band(spec: FeatureSpec) -> np.ndarray:
    from scipy.signal import firwin

    return firwin(_BAND_TAPS, _edges(spec), fs=spec.sample_rate, pass_zero=False)


@lru_cache(maxsize=4)
def _low_pass(spec: FeatureSpec) -> np.ndarray:
    from scipy.signal import firwin

    return firwin(_TAPS, min(_PERIODIC, 0.4 * spec.sample_rate), fs=spec.sample_rate)


@numba.njit(cache=True)
def _short(signal, filters, forward):
    """Return the residual of the short-term predictor; forward: the sounds of a residual."""
    batch, samples = signal.shape
    parts, order = filters.shape[1], filters.shape[2] - 1
    out = np.empty((batch, samples))
    for row in range(batch):
        y = out[row] if forward else signal[row]
        for n in range(samples):
            f = filters[row, n * parts // samples]
            predicted = 0.0
            for k in range(min(order, n)):
                predicted += f[1 + k] * y[n - 1 - k]
            if forward:
                out[row, n] = predicted + f[0] * signal[row, n]
            else:
                out[row, n] = (signal[row, n] - predicted) / f[0]
    return out


@numba.njit(cache=True)
def _long(signal, lags, gains, taps, forward):
    """Return the residual of the long-term predictor; forward: the signals of a residual."""
    batch, samples = signal.shape
    parts, half = lags.shape[1], len(taps) // 2
    out = np.empty((batch, samples))
    for row in range(batch):
        past = out[row] if forward else signal[row]
        for n in range(samples):
            part = n * parts // samples
            predicted = 0.0
            place = n - lags[row, part]
            whole = int(np.floor(place))
            if gains[row, part] > 0 and whole >= half and whole + half + 1 < n:
                share = place - whole
                for k in range(-half, half + 1):
                    between = (1 - share) * past[whole + k] + share * past[whole + k + 1]
                    predicted += taps[k + half] * between
            predicted *= gains[row, part]
            out[row, n] = signal[row, n] + predicted if forward else signal[row, n] - predicted
    return out
