"""The share of a sound's frames that are voiced, by autocorrelation.

A frame is voiced where its autocorrelation, divided by that of its window, has a peak among the
periods of voices that is high enough, and where it is not too soft beside the sound's peak.

References:
    Boersma, "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise
    ratio of a sampled sound", IFA Proceedings 17, 1993
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

#: Range of pitches in Hz; a frame has three periods of the lowest.
_LOWEST, _HIGHEST, _PERIODS = 60.0, 400.0, 3
#: Seconds between frames.
_STEP = 0.01
#: Sounds are limited to frequencies below this, in Hz: voicing is decided there, and it is quick.
_TOP = 4000.0
#: Autocorrelation above which a frame is voiced: without a path through the frames, which Praat
#: prefers to be smooth, that of this module agrees best with its default of 0.45.
_THRESHOLD = 0.55
#: Level, relative to the sound's peak, below which the threshold rises.
_SILENCE = 0.03


def voiced_share(sound: np.ndarray, sample_rate: float) -> float:
    """Return the share of a sound's frames that are voiced; 0 for silence.

    Args:
        sound: [shape=(samples,)].
        sample_rate: Hz.
    """
    return float(voiced_frames(sound, sample_rate).mean())


def voiced_frames(sound: np.ndarray, sample_rate: float) -> np.ndarray:
    """Return which frames of a sound, one every 10 ms, are voiced [shape=(frames,), bool].

    Args:
        sound: [shape=(samples,)]; one that is shorter than a frame of 50 ms is padded.
        sample_rate: Hz.
    """
    # Slow to import.
    from scipy.fft import irfft, rfft

    y, rate = _below_top(np.asarray(sound, np.float32), float(sample_rate))
    size = int(_PERIODS * rate / _LOWEST)
    y = np.pad(y, (0, max(0, size - len(y))))
    y = y - y.mean()
    window, length, shape = _window(size, int(np.ceil(rate / _LOWEST)) + 2)
    count = 1 + int((len(y) - size) / (_STEP * rate))
    firsts = np.round(np.arange(count) * _STEP * rate).astype(int)
    frames = np.lib.stride_tricks.sliding_window_view(y, size)[firsts]
    frames = frames - frames.mean(axis=1, keepdims=True)
    spectrum = rfft(frames * window, length, axis=1)
    likeness = irfft(spectrum.real**2 + spectrum.imag**2, length, axis=1)[:, : len(shape)]
    likeness = likeness / (np.maximum(likeness[:, :1], 1e-20) * shape)
    half = int(rate / _LOWEST) // 2
    level = np.abs(frames[:, size // 2 - half : size // 2 + half]).max(axis=1)
    level = level / max(float(np.abs(y).max()), 1e-20)
    soft = np.maximum(0, 2 - level * (1 + _THRESHOLD) / _SILENCE)
    return _highest_peak(likeness[:, int(rate / _HIGHEST) - 1 :]) > _THRESHOLD + soft


def _highest_peak(likeness: np.ndarray) -> np.ndarray:
    """Return the height of each row's highest peak, between lags; at most 1, and -1 without one."""
    before, here, after = likeness[:, :-2], likeness[:, 1:-1], likeness[:, 2:]
    peak = (here >= before) & (here >= after)
    bend = np.where(peak, np.maximum(2 * here - before - after, 1e-9), 1)
    height = np.where(peak, here + (after - before) ** 2 / (8 * bend), -1)
    return np.minimum(height.max(axis=1), 1)


def _below_top(sound: np.ndarray, rate: float) -> tuple[np.ndarray, float]:
    """Return a sound without its upper frequencies, at a lower rate, and that rate."""
    # Slow to import.
    from scipy.fft import irfft, rfft

    bins = int(len(sound) * _TOP / rate)
    if rate <= 2 * _TOP or not bins:
        return sound, rate
    samples = 2 * bins
    lower = irfft(rfft(sound)[: bins + 1], samples) * np.float32(samples / len(sound))
    return lower, rate * samples / len(sound)


@lru_cache(maxsize=8)
def _window(size: int, lags: int) -> tuple[np.ndarray, int, np.ndarray]:
    """Return a window, the length of transforms, and the window's normalised autocorrelation."""
    from scipy.fft import irfft, next_fast_len, rfft

    window = np.hanning(size + 2)[1:-1].astype(np.float32)
    length = next_fast_len(size + lags, real=True)
    shape = irfft(np.abs(rfft(window.astype(np.float64), length)) ** 2, length)[:lags]
    return window, length, (shape / shape[0]).astype(np.float32)
