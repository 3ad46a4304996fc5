"""The pitch of features: estimated, or invented where they have none, and what vocoders do with it.

Bands of about 35 Hz resolve the harmonics of a voice. Their ripple around a smooth curve is
compared with the ripple that harmonics of each candidate pitch would cause; the likeliest path
through all frames is the pitch. Features that were maximized have formants but no harmonics: they
are whispered, unless a pitch is invented for them.

References:
    Noll, "Pitch determination of human speech by the harmonic product spectrum, the harmonic sum
    spectrum, and a maximum likelihood estimate", Symposium on Computer Processing in
    Communications, 1969
    Talkin, "A Robust Algorithm for Pitch Tracking (RAPT)", in Speech Coding and Synthesis, 1995
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from ..errors import ParameterError
from ..features import FeatureSpec, mel_basis, window

#: What a vocoder does about the pitch: nothing; take that of the features; invent one; or "auto":
#: take that of the features where enough frames have one, else invent one.
PitchChoice = Literal["none", "estimated", "invented", "auto"]
#: Helps of the options that vocoders share.
PITCH_HELP = "none, estimated from the features, invented, or auto: invented where they have none"
EXPAND_HELP = "factor of the dB below a sound's loudest band; pitch=auto: of sounds without pitch"

#: Range of pitches, in Hz, and number of candidates, equally spaced in octaves.
_LOWEST, _HIGHEST, _CANDIDATES = 60.0, 400.0, 160
#: Highest frequency of the bands that are compared, in Hz; those above are too wide.
_TOP = 1200.0
#: Degree of the smooth curve.
_DEGREE = 3
#: Magnitude between harmonics, relative to them, in the expected ripple.
_VALLEY = 0.1
#: Ripples smaller than this many dB (root sum of squares) count for less.
_SMALL = 20.0
#: Likeness that voiced frames must have on average.
_THRESHOLD = 0.4
#: Cost of an octave between two frames, and of a change of voicing, in likeness.
_OCTAVE, _CHANGE = 2.0, 0.3
#: Cost of an octave away from this pitch, in Hz, in likeness: half a pitch explains all harmonics.
_USUAL, _AWAY = 120.0, 0.15
#: Likeness that loud frames of much energy below 1 kHz are given: by dB of their level and of their
#: tilt, above those at which it is 0, and at most.
_BY_LEVEL, _LEVEL = 0.01, -20.0
_BY_TILT, _TILT = 0.006, 5.0
_GIVEN = 0.1
#: Edges, in Hz, of the low and the high bands whose ratio is the tilt.
_LOW, _HIGH = 1000.0, 3000.0
#: Frames within this many dB of the loudest count as active.
_ACTIVE = 40.0
#: "auto" takes the features' pitch where at least this share of active frames has one.
_ENOUGH = 0.05

#: Invented pitch, in Hz, where it begins, how fast it falls, in octaves a second, and its end.
_BEGIN, _FALL, _END = 120.0, 0.3, 70.0
#: Tilt, in dB, above which a frame is given an invented pitch.
_SPOKEN = 5.0

#: Frequency, in Hz, up to which harmonics are made, and the range over which they fade out.
_HARMONIC, _FADE = 4000.0, 1000.0
#: Magnitude between harmonics, relative to them, in the comb.
_BETWEEN = 0.1


@dataclass(frozen=True)
class Pitch:
    """The pitch of one sound.

    Attributes:
        hertz: pitch of each frame; 0 where it has none [shape=(frames,)].
        origin: "estimated" or "invented"; "none" where no frame has a pitch.
    """

    hertz: np.ndarray
    origin: str

    @property
    def share(self) -> float:
        """Share of frames that have a pitch."""
        return float((self.hertz > 0).mean())


class PitchControl:
    """What a vocoder does about the pitch of features, and their dynamics.

    Args:
        spec: of the features.
        pitch: see `PitchChoice`.
        expand: factor of the dB below a sound's loudest band; 1 changes nothing. With "auto" only
            for sounds without a pitch of their own.

    Raises:
        ParameterError: a value is out of range.
    """

    def __init__(self, spec: FeatureSpec, pitch: PitchChoice = "none", expand: float = 1.0):
        if not 0.5 <= expand <= 4:
            raise ParameterError(f"expand is {expand}; expected 0.5 to 4, 1 for no expansion")
        self.spec, self.pitch, self.expand = spec, pitch, float(expand)

    @property
    def on(self) -> bool:
        """Whether anything is done."""
        return self.pitch != "none" or self.expand != 1

    def settings(self) -> dict[str, str | float]:
        """Return pitch and expand for a manifest; nothing where nothing is done."""
        return {"pitch": self.pitch, "expand": self.expand} if self.on else {}

    def find(self, features: np.ndarray) -> Pitch:
        """Return the pitch of one sound's features [shape=(frames, mels), in [0, 1]]."""
        features = np.asarray(features, np.float64)
        hertz, origin = np.zeros(len(features)), "none"
        if self.pitch in ("estimated", "auto"):
            hertz, origin = estimate_pitch(features, self.spec), "estimated"
        if self.pitch == "invented" or (
            self.pitch == "auto" and not _has_pitch(hertz, features, self.spec)
        ):
            hertz, origin = invent_pitch(features, self.spec), "invented"
        return Pitch(hertz, origin if hertz.any() else "none")

    def expanded(self, features: np.ndarray, pitch: Pitch | None = None) -> np.ndarray:
        """Return features, of one sound or more, with the dB below its loudest band stretched.

        Expansion is for features that are blurred, so with "auto" it leaves alone those that have a
        pitch of their own.

        Args:
            features: [shape=(..., frames, mels), in [0, 1]].
            pitch: of the sound, where it was found.
        """
        if self.expand == 1 or (self.pitch == "auto" and pitch and pitch.origin == "estimated"):
            return features
        peak = features.max(axis=(-2, -1), keepdims=True)
        return np.maximum(peak - self.expand * (peak - features), 0).astype(features.dtype)

    def voiced(self, features: np.ndarray) -> np.ndarray:
        """Return expanded features whose lower bands have the ripple of an invented pitch.

        For vocoders that are driven by features alone. Features with a pitch of their own stay as
        they are, but for the expansion.

        Args:
            features: [shape=(batch, frames, mels), in [0, 1]].
        """
        if not self.on:
            return features
        return np.stack([self._voiced(each) for each in features]).astype(features.dtype)

    def _voiced(self, features: np.ndarray) -> np.ndarray:
        pitch = self.find(features)
        features = self.expanded(features, pitch)
        if pitch.origin != "invented":
            return features
        basis, power = mel_basis(self.spec), self.spec.power
        level = comb(pitch.hertz, self.spec) ** power @ basis.T / np.maximum(basis.sum(1), 1e-10)
        ripple = 20 / power * np.log10(np.maximum(level, 1e-10))
        # Harmonics are as loud as the smooth spectrum was: only what is between them gets softer.
        return np.clip(features - ripple / self.spec.floor_db, 0, 1)


def control_of(vocoder: Any) -> PitchControl | None:
    """Return what a vocoder does about the pitch; None if it does nothing."""
    control = getattr(vocoder, "control", None)
    return control if isinstance(control, PitchControl) and control.on else None


def estimate_pitch(features: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Estimate the pitch of one sound by dynamic programming.

    Args:
        features: [shape=(frames, mels), in [0, 1]].
        spec: of the features.

    Returns:
        Hz, 0 in unvoiced frames [shape=(frames,)].
    """
    candidates, ripples, smooth = _ripples(spec)
    found = -spec.floor_db * np.asarray(features, np.float64)[:, : ripples.shape[1]]
    found = found - (found @ smooth) @ smooth.T
    size = np.linalg.norm(found, axis=1, keepdims=True)
    likeness = found @ ripples.T / np.maximum(size, _SMALL)
    # A frame between two pitches is decided by its neighbours.
    padded = np.pad(likeness, ((1, 1), (0, 0)), mode="edge")
    likeness = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    likeness -= _AWAY * np.abs(np.log2(candidates / _USUAL))
    level, tilt = _level_and_tilt(features, spec)
    given = _BY_LEVEL * np.clip(level - level.max() - _LEVEL, -40, 20)
    given += _BY_TILT * np.clip(tilt - _TILT, -30, 30)
    likeness += np.minimum(given, _GIVEN)[:, None]
    return np.append(candidates, 0.0)[_likeliest(likeness, np.log2(candidates))]


def estimate_voiced_shares(features: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Estimate the share of frames that are voiced, where there are no sounds to measure.

    Args:
        features: [shape=(batch, frames, mels), in [0, 1]].
        spec: of the features.

    Returns:
        share of frames that have a pitch of their own [shape=(batch,), float32].
    """
    shares = [(estimate_pitch(each, spec) > 0).mean() for each in features]
    return np.array(shares, np.float32)


def invent_pitch(features: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Invent a slowly falling pitch for frames with more energy below 1 kHz than above 3 kHz.

    Args:
        features: [shape=(frames, mels), in [0, 1]].
        spec: of the features.

    Returns:
        Hz, 0 in other frames and in silence [shape=(frames,)].
    """
    level, tilt = _level_and_tilt(features, spec)
    voiced = (tilt > _SPOKEN) & (level > level.max() - _ACTIVE)
    if not voiced.any():
        return np.zeros(len(features))
    seconds = (np.arange(len(features)) - voiced.argmax()) * spec.hop_length / spec.sample_rate
    return np.where(voiced, np.maximum(_BEGIN * 2 ** (-_FALL * seconds), _END), 0.0)


def comb(hertz: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Return how much of a smooth spectrum harmonics leave over.

    Args:
        hertz: pitch of each frame, 0 for none [shape=(frames,)].
        spec: of the features.

    Returns:
        [shape=(frames, 1 + n_fft // 2)]: 1 at harmonics, little between them; 1 in frames without
        a pitch and, fading, above 4 kHz.
    """
    bins = np.arange(1 + spec.n_fft // 2) * spec.sample_rate / spec.n_fft
    voiced = hertz > 0
    result = np.ones((len(hertz), len(bins)))
    pitch = hertz[voiced, None]
    away = np.abs(bins - np.maximum(np.round(bins / pitch), 1) * pitch)
    level = _between(away, spec)
    # Where harmonics are no longer resolved or regular, the spectrum becomes smooth again.
    fading = np.clip((bins - _HARMONIC) / _FADE, 0, 1)
    result[voiced] = np.maximum(level, _BETWEEN) ** (1 - fading)
    return result


def _between(away: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Return the window's magnitude response, relative to its peak, so many Hz away from it."""
    response = _response(spec)
    place = np.round(away / spec.sample_rate * 2 * (len(response) - 1)).astype(int)
    return response[np.minimum(place, len(response) - 1)]


@lru_cache(maxsize=4)
def _response(spec: FeatureSpec) -> np.ndarray:
    response = np.abs(np.fft.rfft(window(spec), 64 * spec.n_fft))
    return response / response[0]


@lru_cache(maxsize=4)
def _ripples(spec: FeatureSpec) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return candidate pitches, their unit ripples, and an orthonormal basis of smooth curves."""
    basis = mel_basis(spec)
    bins = np.arange(basis.shape[1]) * spec.sample_rate / spec.n_fft
    coverage = np.maximum(basis.sum(axis=1), 1e-10)
    bands = max(int((_centers(spec) < _TOP).sum()), 1)
    candidates = np.geomspace(_LOWEST, _HIGHEST, _CANDIDATES)
    ripples = []
    for pitch in candidates:
        nearest = np.maximum(np.round(bins / pitch), 1) * pitch
        spectrum = _between(np.abs(bins - nearest), spec)
        level = (basis @ spectrum**spec.power / coverage)[:bands] ** (1 / spec.power)
        ripples.append(20 * np.log10(level + _VALLEY))
    curves = np.polynomial.legendre.legvander(np.linspace(-1, 1, bands), _DEGREE)
    smooth, _ = np.linalg.qr(curves)
    ripples = np.array(ripples)
    ripples -= (ripples @ smooth) @ smooth.T
    # Few bands have no ripple around the smooth curve: then all frames are unvoiced.
    sizes = np.linalg.norm(ripples, axis=1, keepdims=True)
    return candidates, np.where(sizes > 1, ripples / np.maximum(sizes, 1), 0), smooth


@lru_cache(maxsize=4)
def _centers(spec: FeatureSpec) -> np.ndarray:
    """Return the centre of each band, in Hz [shape=(mels,)]."""
    basis = mel_basis(spec)
    bins = np.arange(basis.shape[1]) * spec.sample_rate / spec.n_fft
    return basis @ bins / np.maximum(basis.sum(axis=1), 1e-10)


def _level_and_tilt(features: np.ndarray, spec: FeatureSpec) -> tuple[np.ndarray, np.ndarray]:
    """Return dB of the bands below 1 kHz, and how much more that is than above 3 kHz."""
    power = 10 ** (-spec.floor_db * np.asarray(features, np.float64) / 10)
    centers = _centers(spec)
    low, high = (
        10 * np.log10(power[:, bands].mean(axis=1)) if bands.any() else np.zeros(len(power))
        for bands in (centers < _LOW, centers > _HIGH)
    )
    return low, low - high


def _has_pitch(hertz: np.ndarray, features: np.ndarray, spec: FeatureSpec) -> bool:
    """Return whether enough of the active frames have a pitch."""
    level = features.max(axis=1)
    active = level > level.max() + _ACTIVE / spec.floor_db
    return (hertz[active] > 0).mean() >= _ENOUGH if active.any() else False


def _likeliest(likeness: np.ndarray, octaves: np.ndarray) -> np.ndarray:
    """Return the likeliest path through candidates; their number stands for unvoiced.

    Args:
        likeness: [shape=(frames, candidates)].
        octaves: of the candidates [shape=(candidates,)].
    """
    frames, count = likeness.shape
    move = _OCTAVE * np.abs(octaves[:, None] - octaves)
    origin = np.empty((frames, count + 1), int)
    score = np.append(likeness[0], _THRESHOLD)
    for t in range(1, frames):
        ways = score[:count] - move
        before = ways.argmax(axis=1)
        best = ways[np.arange(count), before]
        begins = score[count] - _CHANGE > best
        origin[t, :count] = np.where(begins, count, before)
        last = score[:count].argmax()
        ends = score[last] - _CHANGE > score[count]
        origin[t, count] = last if ends else count
        unvoiced = score[last] - _CHANGE if ends else score[count]
        score = np.append(
            likeness[t] + np.where(begins, score[count] - _CHANGE, best), _THRESHOLD + unvoiced
        )
    path = np.empty(frames, int)
    path[-1] = score.argmax()
    for t in range(frames - 1, 0, -1):
        path[t - 1] = origin[t, path[t]]
    return path
