"""Compute features from sound, and magnitudes from features.

A feature is a normalised log-mel spectrogram [shape=(frames, mels), in [0, 1]], time first. The
defaults are those of the LJSpeech preset of wavenet_vocoder as applied by the published activation
maximization code, so that published networks can be used.

References:
    Soomro et al., "Towards Debugging Deep Neural Networks by Generating Speech Utterances",
    Interspeech 2019, https://arxiv.org/abs/1907.03164
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ParameterError, ReadError, SpecError
from .texts import read_toml

#: Fields in which a vocoder's spec may differ: how features are brought to one length.
LENGTH_FIELDS = ("frames", "longer", "shorter")
#: Fields that say which part of a recording a feature has; a store's may differ from a model's.
PART_FIELDS = ("longer", "shorter")

_CHOICES = {
    "padding": ("edges", "center"),
    "mel_scale": ("slaney", "htk"),
    "mel_norm": ("slaney", "none"),
    "longer": ("drop_second", "crop_end", "crop_center", "loudest"),
    "shorter": ("pad_end", "pad_center"),
}


#: Part of a longer recording that a feature has.
_KEPT = {
    "drop_second": "end",
    "crop_end": "beginning",
    "crop_center": "middle",
    "loudest": "loudest part",
}


@dataclass(frozen=True)
class FeatureSpec:
    """All settings that features depend on.

    Attributes:
        sample_rate: Hz; sounds are resampled to it.
        n_fft: window and transform length, in samples.
        hop_length: samples from one frame to the next.
        window: "sqrt_hann" (the root of a half-sample-offset periodic Hann, times sqrt(0.5)), or
            any name known to `scipy.signal.get_window`.
        padding: "edges" adds n_fft - hop_length zeros on the left and as many on the right as fill
            the last frame; "center" adds n_fft // 2 zeros on both sides.
        peak: peak that the sound is scaled to first; 0 for no scaling.
        power: exponent of the magnitudes, 1 or 2.
        n_mels, fmin, fmax: number of mel bands and their range in Hz.
        mel_scale, mel_norm: "slaney" or "htk"; "slaney" or "none".
        reference_db: subtracted after conversion to dB.
        floor_db: the dB value that becomes 0; 0 dB becomes 1.
        frames: number of frames of a feature.
        longer: how longer sounds are shortened: "drop_second" deletes the frames after the first
            (as the published code does), "crop_end" the last ones, "crop_center" those at both
            ends, "loudest" those around the part of most energy, which then stands in the middle.
        shorter: how shorter sounds are extended, by zeros: "pad_end" or "pad_center".
    """

    sample_rate: int = 22050
    n_fft: int = 1024
    hop_length: int = 256
    window: str = "sqrt_hann"
    padding: str = "edges"
    peak: float = 0.999
    power: float = 1.0
    n_mels: int = 80
    fmin: float = 125.0
    fmax: float = 7600.0
    mel_scale: str = "slaney"
    mel_norm: str = "slaney"
    reference_db: float = 20.0
    floor_db: float = -100.0
    frames: int = 90
    longer: str = "drop_second"
    shorter: str = "pad_end"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            self._check_type(field.name, field.type)
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ParameterError(
                    f"{name} is {getattr(self, name)!r}; expected one of {', '.join(allowed)}"
                )
        for name in ("sample_rate", "n_fft", "hop_length", "n_mels", "frames"):
            if getattr(self, name) < 1:
                raise ParameterError(f"{name} is {getattr(self, name)}; expected at least 1")
        if self.hop_length > self.n_fft:
            raise ParameterError(
                f"hop_length {self.hop_length} is longer than n_fft {self.n_fft}; frames must touch"
            )
        if not 0 <= self.fmin < self.fmax <= self.sample_rate / 2:
            raise ParameterError(
                f"fmin {self.fmin} and fmax {self.fmax} must satisfy "
                f"0 <= fmin < fmax <= sample_rate / 2 = {self.sample_rate / 2}"
            )
        for name in ("peak", "power", "fmin", "fmax", "reference_db", "floor_db"):
            if not math.isfinite(getattr(self, name)):
                raise ParameterError(f"{name} is {getattr(self, name)}; expected a finite number")
        if self.floor_db >= 0:
            raise ParameterError(f"floor_db is {self.floor_db}; expected a value below 0")
        if self.power not in (1.0, 2.0):
            raise ParameterError(f"power is {self.power}; expected 1 or 2")
        if self.peak < 0:
            raise ParameterError(f"peak is {self.peak}; expected at least 0")

    def _check_type(self, name: str, kind: str) -> None:
        value = getattr(self, name)
        wanted = {"int": int, "float": (int, float), "str": str}[kind]
        if isinstance(value, bool) or not isinstance(value, wanted):
            raise ParameterError(f"{name} is {value!r}; expected a value of type {kind}")
        if kind == "float":
            object.__setattr__(self, name, float(value))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Input shape of a classifier: (frames, mels, 1)."""
        return (self.frames, self.n_mels, 1)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> FeatureSpec:
        """Create a spec from `fields`; those left out keep their defaults.

        Raises:
            ParameterError: a field is unknown or has an impossible value.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        if stray := sorted(set(fields) - known):
            raise ParameterError(
                f"unknown feature field {stray[0]!r}; known: {', '.join(sorted(known))}"
            )
        return cls(**fields)

    @classmethod
    def from_toml(cls, path: str | Path) -> FeatureSpec:
        """Read a spec from a TOML file of `field = value` lines.

        Raises:
            ParameterError: the file cannot be read, is not TOML, or a field is unknown or has an
                impossible value.
        """
        try:
            fields = read_toml(path)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ParameterError(f"cannot read the feature spec {path}: {error}") from error
        try:
            spec = cls.from_dict(fields)
            window(spec)  # Only making it shows whether there is one of the name.
            return spec
        except ParameterError as error:
            raise ParameterError(f"in the feature spec {path}, {error}") from error

    def differing(self, other: FeatureSpec, *, ignore: tuple[str, ...] = ()) -> list[str]:
        """Return the names of the fields in which `other` differs, except those in `ignore`."""
        mine, theirs = self.to_dict(), other.to_dict()
        return [name for name in mine if name not in ignore and mine[name] != theirs[name]]

    def require(self, other: FeatureSpec, what: str, *, ignore: tuple[str, ...] = ()) -> None:
        """Raise SpecError unless `other`, the spec of `what`, is equal except in `ignore`."""
        if names := self.differing(other, ignore=ignore):
            pairs = ", ".join(
                f"{name} {getattr(other, name)!r} instead of {getattr(self, name)!r}"
                for name in names
            )
            raise SpecError(
                f"{what} was made for other features: {pairs}; use one made for the same features"
            )


def hann_half(length: int) -> np.ndarray:
    """Return the periodic Hann window, offset by half a sample [shape=(length,), float64]."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(length) + 0.5) / length)


def sqrt_hann(length: int) -> np.ndarray:
    """Return the root of `hann_half` times sqrt(0.5) [shape=(length,), float64]."""
    return np.sqrt(0.5) * np.sqrt(hann_half(length))


def window(spec: FeatureSpec) -> np.ndarray:
    """Return the analysis window [shape=(n_fft,)]."""
    if spec.window == "sqrt_hann":
        return sqrt_hann(spec.n_fft)
    # Takes a quarter of a second to import, and the default window does not need it.
    import scipy.signal

    try:
        return scipy.signal.get_window(spec.window, spec.n_fft)
    except ValueError as error:
        raise ParameterError(f"window {spec.window!r} is unknown: {error}") from error


@lru_cache(maxsize=8)
def mel_basis(spec: FeatureSpec) -> np.ndarray:
    """Return the mel filter bank [shape=(mels, 1 + n_fft // 2), non-negative]."""
    basis = mel_filters(spec, spec.sample_rate, spec.n_fft)
    basis.setflags(write=False)
    return basis


def mel_filters(spec: FeatureSpec, sample_rate: int, n_fft: int) -> np.ndarray:
    """Return the filters of a spec's bands for spectra of another rate or length.

    Args:
        spec: of the bands.
        sample_rate: in Hz.
        n_fft: length of the transform, in samples.

    Returns:
        [shape=(mels, 1 + n_fft // 2), non-negative]; bands above half the rate are empty.
    """
    # Slow to import, and needed for features only, not for their spec.
    import librosa

    return librosa.filters.mel(
        sr=sample_rate,
        n_fft=n_fft,
        n_mels=spec.n_mels,
        fmin=spec.fmin,
        fmax=spec.fmax,
        htk=spec.mel_scale == "htk",
        norm=None if spec.mel_norm == "none" else spec.mel_norm,
        dtype=np.float64,
    )


def count_frames(length: int, spec: FeatureSpec) -> int:
    """Return the number of frames of a sound of `length` samples at the spec's sample rate."""
    if spec.padding == "center":
        return 1 + length // spec.hop_length
    margin = spec.n_fft - spec.hop_length
    whole = (length + 2 * margin - spec.n_fft) // spec.hop_length
    return whole + (1 if length % spec.hop_length == 0 else 2)


def count_samples(frames: int, spec: FeatureSpec) -> int:
    """Return the largest length, in samples, of a sound of exactly `frames` frames.

    With "edges" padding this is a whole number of hops: 22,272 for 90 frames of the default spec.

    Raises:
        ParameterError: there are too few frames for a sound.
    """
    if spec.padding == "center":
        length = (frames - 1) * spec.hop_length
    else:
        # Whole hops: where hop_length does not divide n_fft, one sample more would add a frame.
        length = (frames + 1 - spec.n_fft // spec.hop_length) * spec.hop_length
    if length < 1:
        raise ParameterError(f"{frames} frames are too few for a sound with this feature spec")
    return length


def left_padding(spec: FeatureSpec) -> int:
    """Return the number of zeros before the first sample of a framed sound."""
    return spec.n_fft // 2 if spec.padding == "center" else spec.n_fft - spec.hop_length


def frame_padded(y: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Pad `y` [shape=(..., samples)] to exactly `count_frames` whole frames."""
    left = left_padding(spec)
    total = (count_frames(y.shape[-1], spec) - 1) * spec.hop_length + spec.n_fft
    right = max(0, total - left - y.shape[-1])
    return np.pad(y, [(0, 0)] * (y.ndim - 1) + [(left, right)])


def normalize_magnitude(mel: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Convert mel magnitudes to features [in [0, 1]]: dB above the floor, relative to 0 dB."""
    # A tenth of the magnitude that becomes 0: the published 1e-5 for published floor and reference.
    least = 0.1 * 10.0 ** ((spec.floor_db + spec.reference_db) * spec.power / 20.0)
    decibel = 20.0 / spec.power * np.log10(np.maximum(least, mel)) - spec.reference_db
    return np.clip(1.0 - decibel / spec.floor_db, 0.0, 1.0)


def denormalize_magnitude(features: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Convert features to mel magnitudes (to the spec's power), inverting `normalize_magnitude`."""
    decibel = (1.0 - np.asarray(features, np.float64)) * spec.floor_db + spec.reference_db
    return 10.0 ** (decibel * spec.power / 20.0)


def extract(y: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Compute the features of a sound, at their own length.

    Args:
        y: samples at the spec's sample rate [shape=(samples,)], float.
        spec: of the features.

    Returns:
        float32 [shape=(count_frames, mels), in [0, 1]]; all zeros if the sound is silent.

    Raises:
        ReadError: the sound is empty or has values that are not finite.
    """
    y = np.asarray(y, np.float64)
    if y.ndim != 1 or y.size == 0:
        raise ReadError(f"expected a sound of shape (samples,), got shape {y.shape}")
    peak = np.abs(y).max()
    if not np.isfinite(peak):
        raise ReadError("the sound has samples that are not finite numbers")
    if peak == 0:
        return np.zeros((count_frames(y.size, spec), spec.n_mels), np.float32)
    if spec.peak:
        y = y / peak * spec.peak
    import scipy.fft

    frames = np.lib.stride_tricks.sliding_window_view(frame_padded(y, spec), spec.n_fft)
    spectrum = np.abs(scipy.fft.rfft(frames[:: spec.hop_length] * window(spec), axis=-1))
    mel = spectrum**spec.power @ mel_basis(spec).T
    return normalize_magnitude(mel, spec).astype(np.float32)


def fit_frames(features: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Shorten or extend features [shape=(any, mels)] to the spec's number of frames."""
    surplus = len(features) - spec.frames
    if surplus > 0:
        if spec.longer == "drop_second":
            return np.concatenate([features[:1], features[1 + surplus :]])
        start = surplus // 2 if spec.longer == "crop_center" else 0
        if spec.longer == "loudest":
            start = _loudest(features, spec)
        return features[start : start + spec.frames]
    before = -surplus // 2 if spec.shorter == "pad_center" else 0
    return np.pad(features, [(before, -surplus - before), (0, 0)])


def _loudest(features: np.ndarray, spec: FeatureSpec) -> int:
    """Return the first frame of the part to keep, with the centre of energy in its middle."""
    energy = (denormalize_magnitude(features, spec) ** (2.0 / spec.power)).sum(axis=1)
    before = np.concatenate([[0.0], np.cumsum(energy)])
    best = int(np.argmax(before[spec.frames :] - before[: -spec.frames]))
    places = np.arange(best, best + spec.frames)
    centre = np.average(places, weights=energy[places])
    return int(np.clip(round(centre - (spec.frames - 1) / 2), 0, len(features) - spec.frames))


def describe_longer(count: int, total: int, spec: FeatureSpec, remedy: str = "") -> str | None:
    """Return a sentence on recordings that are longer than a feature, None where none is.

    Args:
        count: how many are longer.
        total: of so many.
        spec: of the features.
        remedy: what else can be done, unless the loudest part is kept.
    """
    if not count:
        return None
    seconds = count_samples(spec.frames, spec) / spec.sample_rate
    text = (
        f"{count} of {total} recordings are longer than the {spec.frames} frames ({seconds:.2f} s) "
        f"of a feature: only their {_KEPT[spec.longer]} is kept"
    )
    return f"{text}; {remedy}" if remedy and spec.longer != "loudest" else text


def extract_fitted(y: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Compute a feature [shape=(frames, mels)] of a sound, at the spec's number of frames."""
    return fit_frames(extract(y, spec), spec)


def require_sound(samples: np.ndarray | ReadError, path: str | Path) -> np.ndarray:
    """Return the samples that a reader gave for `path`, or raise its error.

    Raises:
        ReadError: the reader's, or one that names `path` if the sound is empty, silent or not
            finite.
    """
    if isinstance(samples, ReadError):
        raise samples
    if samples.size == 0:
        raise ReadError(f"{path}: the file holds no samples")
    if not np.isfinite(samples).all():
        raise ReadError(f"{path}: the sound has samples that are not finite numbers")
    if not samples.any():
        raise ReadError(f"{path}: the sound is silent")
    return samples
