"""Phase gradient heap integration: phases from magnitudes without iterations.

With a Gaussian window, the derivative of the phase by bin is proportional to minus that of the log
magnitude by frame, and its derivative by frame is, beside the constant advance of each bin,
proportional to that of the log magnitude by bin. So phases are integrated from the loudest value
outwards, along loud paths first.

References:
    Prusa, Balazs and Sondergaard, "A Noniterative Method for Reconstruction of Phase From STFT
    Magnitude", IEEE/ACM Transactions on Audio, Speech, and Language Processing 25(5), 2017,
    https://arxiv.org/abs/1609.00291
"""

from __future__ import annotations

import heapq
from functools import lru_cache

import numpy as np

from ..errors import ParameterError
from ..features import FeatureSpec, window

#: Share of a sound's largest magnitude that smaller ones count as, where logarithms are taken.
_LEAST = 1e-10


def require_overlap(spec: FeatureSpec, what: str) -> None:
    """Raise ParameterError unless frames overlap by half or more; `what` needs that."""
    if 2 * spec.hop_length > spec.n_fft:
        raise ParameterError(
            f"hop_length is {spec.hop_length}; {what} needs frames that overlap by half, at most "
            f"{spec.n_fft // 2} for n_fft {spec.n_fft}"
        )


def find_phases(
    magnitude: np.ndarray,
    spec: FeatureSpec,
    random: np.random.Generator,
    tolerance: float = 1e-5,
) -> np.ndarray:
    """Compute the phases that belong to magnitudes.

    Args:
        magnitude: [shape=(frames, 1 + n_fft // 2), not negative].
        spec: FeatureSpec with window and framing.
        random: generator for the phases of values below `tolerance` times the largest one.
        tolerance: share of the largest value.

    Returns:
        Phases in radians, not wrapped, of a transform whose time begins with the first sample of a
        frame [shape=(frames, 1 + n_fft // 2)].
    """
    magnitude = np.asarray(magnitude, np.float64)
    _, middle = measure_window(window(spec))
    phase = random.uniform(-np.pi, np.pi, magnitude.shape)
    integrate = _compiled()
    integrate(magnitude, *gradients(magnitude, spec), tolerance * magnitude.max(), phase)
    # So far time began in the middle of each frame.
    return phase - 2 * np.pi * middle / spec.n_fft * np.arange(magnitude.shape[1])


def gradients(magnitude: np.ndarray, spec: FeatureSpec) -> tuple[np.ndarray, np.ndarray]:
    """Return the derivatives of the phase by frame and by bin.

    Args:
        magnitude: [shape=(frames, 1 + n_fft // 2), not negative].
        spec: FeatureSpec with window and framing.

    Returns:
        Radians per frame and radians per bin, of a transform whose time begins in the middle of
        each frame; two arrays of the shape of `magnitude`.
    """
    gamma, _ = measure_window(window(spec))
    least = max(_LEAST * magnitude.max(), np.finfo(np.float64).tiny)
    by_frame, by_bin = np.gradient(np.log(np.maximum(magnitude, least)))
    ratio = spec.hop_length * spec.n_fft / gamma
    advance = 2 * np.pi * spec.hop_length / spec.n_fft * np.arange(magnitude.shape[1])
    return by_bin * ratio + advance, -by_frame / ratio


def measure_window(window: np.ndarray) -> tuple[float, float]:
    """Return gamma of the Gaussian with the variance of a window, and the window's middle.

    Args:
        window: [shape=(n_fft,)].

    Returns:
        gamma of exp(-pi x^2 / gamma), in samples squared, and the middle, in samples.
    """
    weights = window**2 / np.sum(window**2)
    places = np.arange(len(window))
    middle = weights @ places
    # The square of this Gaussian has the variance gamma / (4 pi).
    return float(4 * np.pi * (weights @ (places - middle) ** 2)), float(middle)


@lru_cache(maxsize=1)
def _compiled():
    """Return `_integrate`, compiled; imported here, numba does not slow the listing of plugins."""
    import numba

    from ..models.compiling import tell_compiling

    tell_compiling()
    return numba.njit(_integrate, nogil=True, cache=True)


def _integrate(magnitude, by_frame, by_bin, least, phase):
    """Write the phases of all values above `least`, from the loudest one outwards.

    Where none that is left touches one that is done, the loudest of them begins anew with 0.

    Args:
        magnitude: [shape=(frames, bins)].
        by_frame, by_bin: growth of the phase with each frame and bin [shape=(frames, bins)].
        least: what is not above it keeps its phase.
        phase: filled in [shape=(frames, bins)].
    """
    frames, bins = magnitude.shape
    # A further row and column, which are never open, stand for both sides: -1 is the last place.
    open_ = np.zeros((frames + 1, bins + 1), np.bool_)
    open_[:frames, :bins] = magnitude > least
    for start in np.argsort(-magnitude.ravel(), kind="mergesort"):
        first = (start // bins, start % bins)
        if not open_[first]:
            continue
        open_[first] = False
        phase[first] = 0.0
        heap = [(-magnitude[first], first)]
        while len(heap):
            _, here = heapq.heappop(heap)
            frame, bin_ = here
            for there, slope, sign in (
                ((frame + 1, bin_), by_frame, 1.0),
                ((frame - 1, bin_), by_frame, -1.0),
                ((frame, bin_ + 1), by_bin, 1.0),
                ((frame, bin_ - 1), by_bin, -1.0),
            ):
                if open_[there]:
                    open_[there] = False
                    phase[there] = phase[here] + sign * 0.5 * (slope[here] + slope[there])
                    heapq.heappush(heap, (-magnitude[there], there))
