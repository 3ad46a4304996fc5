"""Griffin-Lim: sound from magnitudes by iterated projection; no training, on any machine.

Magnitudes of a voice are better where their first guess has the harmonics of its pitch, and phases
are found sooner from those that the phase gradient gives than from random ones. Projections that
hold the bands instead of these magnitudes let overlapping frames decide what bands leave open.

References:
    Griffin and Lim, "Signal Estimation from Modified Short-Time Fourier Transform", 1984
    Perraudin, Balazs and Sondergaard, "A Fast Griffin-Lim Algorithm", WASPAA 2013
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Annotated, Literal

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
from .phase_gradient import find_phases, require_overlap
from .pitch import EXPAND_HELP, PITCH_HELP, Pitch, PitchChoice, PitchControl, comb

#: Multiplicative updates after the first guess of the linear magnitudes: of frames without a pitch,
#: with one of their own, and with an invented one.
_MEL_UPDATES, _HARMONIC_UPDATES, _INVENTED_UPDATES = 10, 30, 3

#: First phases: random, or by phase gradient heap integration.
Start = Literal["random", "gradient"]
#: What projections hold: the magnitudes that were estimated from the bands, or the bands.
Hold = Literal["magnitudes", "bands"]


class GriffinLim:
    """Reconstructs phases with the window and framing of the features.

    Args:
        spec: of the features.
        iterations: number of projections; more than 32 hardly improve real speech.
        momentum: 0 for the original algorithm, 0.99 for the fast one.
        start: first phases, random or of the phase gradient.
        hold: what projections hold, the magnitudes or the bands.
        pitch: what is done about the pitch, see `pitch.PitchChoice`.
        expand: factor of the dB below a sound's loudest band.

    Attributes:
        control: what is done about the pitch.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        iterations: int = 32,
        momentum: float = 0.99,
        *,
        start: Start = "random",
        hold: Hold = "magnitudes",
        pitch: PitchChoice = "none",
        expand: float = 1.0,
    ):
        if iterations < 1:
            raise ParameterError(f"iterations is {iterations}; expected at least 1")
        if not 0 <= momentum < 1:
            raise ParameterError(f"momentum is {momentum}; expected at least 0 and below 1")
        if start == "gradient":
            require_overlap(spec, "the start by the phase gradient")
        self.spec, self.iterations, self.momentum = spec, iterations, momentum
        self.start, self.hold = start, hold
        self.control = PitchControl(spec, pitch, expand)

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
        spec = self.spec
        samples = count_samples(len(features), spec)
        magnitude, features = linear_magnitude(features, self.control)
        left = left_padding(spec)
        return self._with_phases(magnitude, features, seed)[left : left + samples]

    def _with_phases(
        self, magnitude: np.ndarray, features: np.ndarray, seed: np.ndarray
    ) -> np.ndarray:
        """Return the padded sound of magnitudes [shape=(frames, 1 + n_fft // 2)]."""
        spec = self.spec
        if self.start == "random" and self.hold == "magnitudes":
            return self._with_librosa(magnitude, seed)
        if self.start == "random":
            phase = generator(seed).uniform(-np.pi, np.pi, magnitude.shape)
        else:
            phase = find_phases(magnitude, spec, generator(seed))
        settings = spec, self.iterations, self.momentum
        if self.hold == "magnitudes":
            return project(magnitude, phase, *settings)
        return project_with_bands(magnitude, phase, features, *settings)

    def _with_librosa(self, magnitude: np.ndarray, seed: np.ndarray) -> np.ndarray:
        # Slow to import: listing the vocoders must not need it.
        import librosa

        return librosa.griffinlim(
            magnitude.T.astype(np.float32),
            n_iter=self.iterations,
            hop_length=self.spec.hop_length,
            n_fft=self.spec.n_fft,
            window=window(self.spec),
            center=False,
            momentum=self.momentum,
            random_state=generator(seed),
        )


def project(
    magnitude: np.ndarray,
    phase: np.ndarray,
    spec: FeatureSpec,
    iterations: int,
    momentum: float = 0.99,
) -> np.ndarray:
    """Iterate Griffin and Lim's projections from given phases.

    Args:
        magnitude: not negative [shape=(frames, 1 + n_fft // 2)].
        phase: radians, of a transform whose time begins with a frame's first sample; same shape.
        spec: of the framing.
        iterations: number of projections.
        momentum: 0 for the original algorithm.

    Returns:
        The padded sound, float32 [shape=((frames - 1) * hop_length + n_fft,)].
    """
    return _projected(magnitude, phase, spec, iterations, momentum, lambda iteration, found: None)


def project_with_bands(
    magnitude: np.ndarray,
    phase: np.ndarray,
    features: np.ndarray,
    spec: FeatureSpec,
    iterations: int,
    momentum: float = 0.99,
    *,
    held: int = 2,
) -> np.ndarray:
    """Iterate projections that let go of the magnitudes, but keep to the bands.

    Bands leave open what is inside them; overlapping frames tell part of it. So after the first
    iterations, which are those of `project`, magnitudes are those of the sound itself, brought to
    the bands by a multiplicative update.

    Args:
        magnitude: to begin with, not negative [shape=(frames, 1 + n_fft // 2)].
        phase: as for `project`.
        features: [shape=(frames, mels), in [0, 1]].
        spec: of the features.
        iterations: number of projections.
        momentum: 0 for the original algorithm.
        held: number of those that hold magnitudes.

    Returns:
        The padded sound, float32 [shape=((frames - 1) * hop_length + n_fft,)].
    """
    basis, _, _ = _inversion(spec)
    wanted = denormalize_magnitude(features, spec).astype(np.float32) @ basis
    power = np.float32(spec.power)

    def refined(iteration: int, found: np.ndarray) -> np.ndarray | None:
        if iteration < held:
            return None
        linear = np.maximum(np.abs(found), np.float32(1e-7)) ** power
        return _refined(linear, wanted, basis, 1) ** (1 / power)

    return _projected(magnitude, phase, spec, iterations, momentum, refined)


def _projected(
    magnitude: np.ndarray,
    phase: np.ndarray,
    spec: FeatureSpec,
    iterations: int,
    momentum: float,
    renewed: Callable[[int, np.ndarray], np.ndarray | None],
) -> np.ndarray:
    """Iterate projections; `renewed` tells new magnitudes from a spectrum, None for the same."""
    # Slow to import, as librosa is.
    from scipy.fft import irfft, rfft

    shape, weights = window(spec).astype(np.float32), _level(len(magnitude), spec)
    magnitude = magnitude.astype(np.float32)
    spectrum = (magnitude * np.exp(1j * phase)).astype(np.complex64)
    before = None
    for iteration in range(iterations):
        padded = _overlap(irfft(spectrum, spec.n_fft) * shape, weights, spec.hop_length)
        frames = np.lib.stride_tricks.sliding_window_view(padded, spec.n_fft)[:: spec.hop_length]
        found = rfft(frames * shape)
        if (other := renewed(iteration, found)) is not None:
            magnitude = other
        ahead = found if before is None else found + np.float32(momentum) * (found - before)
        before = found
        spectrum = ahead * (magnitude / np.maximum(np.abs(ahead), 1e-20))
    return _overlap(irfft(spectrum, spec.n_fft) * shape, weights, spec.hop_length)


def _overlap(frames: np.ndarray, weights: np.ndarray, hop: int) -> np.ndarray:
    """Return the sum of windowed frames, times the weight of each sample [shape=(samples,)]."""
    padded = np.zeros_like(weights)
    for place, frame in enumerate(frames):
        padded[place * hop : place * hop + len(frame)] += frame
    return padded * weights


def _level(frames: int, spec: FeatureSpec) -> np.ndarray:
    """Return the factor of each padded sample that undoes the windows [shape=(samples,)]."""
    total = np.zeros((frames - 1) * spec.hop_length + spec.n_fft)
    for frame in range(frames):
        start = frame * spec.hop_length
        total[start : start + spec.n_fft] += window(spec) ** 2
    # At the very ends, where few windows overlap, division would amplify.
    return (1 / np.maximum(total, 0.1 * total.max())).astype(np.float32)


def linear_magnitude(features: np.ndarray, control: PitchControl) -> tuple[np.ndarray, np.ndarray]:
    """Return linear magnitudes of one sound's features, with the harmonics of its pitch.

    Args:
        features: [shape=(frames, mels), in [0, 1]].
        control: what is done about pitch and expansion.

    Returns:
        magnitudes [shape=(frames, 1 + n_fft // 2), not negative], and the expanded features that
        they are of [shape=(frames, mels)].
    """
    pitch = control.find(features) if control.pitch != "none" else None
    features = control.expanded(features, pitch)
    linear = invert_mel(features[None], control.spec, pitch)[0]
    return linear ** (1 / control.spec.power), features


def invert_mel(features: np.ndarray, spec: FeatureSpec, pitch: Pitch | None = None) -> np.ndarray:
    """Estimate non-negative linear magnitudes (to the spec's power) of mel features.

    A first estimate by the pseudo-inverse is refined by multiplicative updates, which stay above
    zero and lower the squared error of the bands at each step. In frames with a pitch, the first
    estimate has its harmonics.

    Args:
        features: [shape=(batch, frames, mels), in [0, 1]].
        spec: of the features.
        pitch: of the sounds; None for none.

    Returns:
        [shape=(batch, frames, 1 + n_fft // 2)].

    References:
        Lee and Seung, "Algorithms for Non-negative Matrix Factorization", NIPS 2000.
    """
    basis, inverse, coverage = _inversion(spec)
    mel = denormalize_magnitude(features, spec).astype(np.float32)
    wanted = mel @ basis
    linear = np.maximum(mel @ inverse, 1e-2 * wanted / coverage)
    if pitch is None or pitch.origin == "none":
        return _refined(linear, wanted, basis, _MEL_UPDATES)
    voiced = pitch.hertz > 0
    smooth = mel[..., voiced, :] @ _interpolation(spec)
    harmonic = (smooth * comb(pitch.hertz[voiced], spec) ** spec.power).astype(np.float32)
    if pitch.origin == "estimated":
        # The pseudo-inverse resolves the lowest harmonics, and lets formants be sharp.
        harmonic = np.sqrt(linear[..., voiced, :] * harmonic)
        updates = _HARMONIC_UPDATES
    else:
        # More would take away harmonics that the lower bands have not.
        updates = _INVENTED_UPDATES
    linear = _refined(linear, wanted, basis, _MEL_UPDATES)
    linear[..., voiced, :] = _refined(harmonic, wanted[..., voiced, :], basis, updates)
    return linear


def refine_magnitudes(
    magnitude: np.ndarray, features: np.ndarray, spec: FeatureSpec, updates: int
) -> np.ndarray:
    """Bring magnitudes nearer to features by multiplicative updates.

    Args:
        magnitude: not negative [shape=(frames, 1 + n_fft // 2)].
        features: [shape=(frames, mels), in [0, 1]].
        spec: of the features.
        updates: number of updates.

    Returns:
        float32 [shape=(frames, 1 + n_fft // 2)].
    """
    basis, _, _ = _inversion(spec)
    wanted = denormalize_magnitude(features, spec).astype(np.float32) @ basis
    linear = np.asarray(magnitude, np.float32) ** np.float32(spec.power)
    return _refined(linear, wanted, basis, updates) ** np.float32(1 / spec.power)


def _refined(linear: np.ndarray, wanted: np.ndarray, basis: np.ndarray, updates: int) -> np.ndarray:
    """Return magnitudes after multiplicative updates towards the bands `wanted`."""
    for _ in range(updates):
        linear *= wanted / np.maximum(linear @ basis.T @ basis, 1e-20)
    return linear


@lru_cache(maxsize=4)
def _inversion(spec: FeatureSpec) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mel basis, its pseudo-inverse (transposed), and its sum over bands."""
    basis = mel_basis(spec)
    coverage = np.maximum(basis.sum(axis=0), 1e-10)
    return tuple(a.astype(np.float32) for a in (basis, np.linalg.pinv(basis).T, coverage))


@lru_cache(maxsize=4)
def _interpolation(spec: FeatureSpec) -> np.ndarray:
    """Return the matrix from bands to a smooth spectrum [shape=(mels, 1 + n_fft // 2)]."""
    basis, _, coverage = _inversion(spec)
    return basis / np.maximum(basis.sum(axis=1, keepdims=True), 1e-10) / coverage


def griffin_lim(
    bundle: Bundle,
    *,
    iterations: Annotated[int, "projections"] = 32,
    momentum: Annotated[float, "0 for the original algorithm"] = 0.99,
    start: Annotated[Start, "first phases: random, or of the phase gradient"] = "random",
    hold: Annotated[Hold, "held by projections: magnitudes, or the bands alone"] = "magnitudes",
    pitch: Annotated[PitchChoice, PITCH_HELP] = "none",
    expand: Annotated[float, EXPAND_HELP] = 1.0,
) -> GriffinLim:
    """Phase by the fast Griffin-Lim algorithm; needs no weights."""
    return GriffinLim(
        bundle.spec, iterations, momentum, start=start, hold=hold, pitch=pitch, expand=expand
    )


@hookimpl
def register_vocoders(register: Register) -> None:
    register("griffin-lim", griffin_lim, presets=presets_of("vocoder", "griffin-lim"))
