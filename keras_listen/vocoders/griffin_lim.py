"""Griffin-Lim: sound from magnitudes by iterated projection; no training, on any machine.

References:
    Griffin and Lim, "Signal Estimation from Modified Short-Time Fourier Transform", 1984
    Perraudin, Balazs and Sondergaard, "A Fast Griffin-Lim Algorithm", WASPAA 2013
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Annotated

import numpy as np

from ..errors import ParameterError
from ..features import (
    FeatureSpec,
    count_samples,
    denormalize_magnitude,
    left_padding,
    mel_basis,
    window,
)
from ..hookspecs import Register, hookimpl
from ..maximization.presets import presets_of
from ..models.bundle import Bundle
from ..seeds import generator

#: Multiplicative updates after the first guess of the linear magnitudes.
_MEL_UPDATES = 10


class GriffinLim:
    """Reconstructs phases with the window and framing of the features.

    Args:
        spec: of the features.
        iterations: number of projections; more than 32 hardly improve real speech.
        momentum: 0 for the original algorithm, 0.99 for the fast one.
    """

    def __init__(self, spec: FeatureSpec, iterations: int = 32, momentum: float = 0.99):
        if iterations < 1:
            raise ParameterError(f"iterations is {iterations}; expected at least 1")
        if not 0 <= momentum < 1:
            raise ParameterError(f"momentum is {momentum}; expected at least 0 and below 1")
        self.spec, self.iterations, self.momentum = spec, iterations, momentum

    def synthesize(self, features: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """Turn features into sounds that line up with them.

        Args:
            features: [shape=(batch, frames, mels), in [0, 1]], any number of frames.
            seeds: of the initial phases [shape=(batch, 2), uint32].

        Returns:
            float32 [shape=(batch, count_samples(frames))], at the level of the features.
        """
        from threadpoolctl import threadpool_limits

        # One sound at a time, so that its bits do not depend on the rest of the batch; threads use
        # the cores, and BLAS threads inside them would only wait for each other.
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
            sounds = list(pool.map(self._reconstruct, np.asarray(features), seeds))
        return np.stack(sounds).astype(np.float32)

    def _reconstruct(self, features: np.ndarray, seed: np.ndarray) -> np.ndarray:
        # Slow to import: listing the vocoders must not need it.
        import librosa

        spec = self.spec
        magnitude = invert_mel(features[None], spec)[0] ** (1 / spec.power)
        padded = librosa.griffinlim(
            magnitude.T.astype(np.float32),
            n_iter=self.iterations,
            hop_length=spec.hop_length,
            n_fft=spec.n_fft,
            window=window(spec),
            center=False,
            momentum=self.momentum,
            random_state=generator(seed),
        )
        left = left_padding(spec)
        return padded[left : left + count_samples(len(magnitude), spec)]


def invert_mel(features: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Estimate non-negative linear magnitudes (to the spec's power) of mel features.

    A first estimate by the pseudo-inverse is refined by multiplicative updates, which stay above
    zero and lower the squared error of the bands at each step.

    Args:
        features: [shape=(batch, frames, mels), in [0, 1]].

    Returns:
        [shape=(batch, frames, 1 + n_fft // 2)].

    References:
        Lee and Seung, "Algorithms for Non-negative Matrix Factorization", NIPS 2000.
    """
    basis, inverse, coverage = _inversion(spec)
    mel = denormalize_magnitude(features, spec).astype(np.float32)
    wanted = mel @ basis
    linear = np.maximum(mel @ inverse, 1e-2 * wanted / coverage)
    for _ in range(_MEL_UPDATES):
        linear *= wanted / np.maximum(linear @ basis.T @ basis, 1e-20)
    return linear


@lru_cache(maxsize=4)
def _inversion(spec: FeatureSpec) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mel basis, its pseudo-inverse (transposed), and its sum over bands."""
    basis = mel_basis(spec)
    coverage = np.maximum(basis.sum(axis=0), 1e-10)
    return tuple(a.astype(np.float32) for a in (basis, np.linalg.pinv(basis).T, coverage))


def griffin_lim(
    bundle: Bundle,
    *,
    iterations: Annotated[int, "projections"] = 32,
    momentum: Annotated[float, "0 for the original algorithm"] = 0.99,
) -> GriffinLim:
    """Phase by the fast Griffin-Lim algorithm; needs no weights."""
    return GriffinLim(bundle.spec, iterations, momentum)


@hookimpl
def register_vocoders(register: Register) -> None:
    register("griffin-lim", griffin_lim, presets=presets_of("vocoder", "griffin-lim"))
