"""Settings of front ends: what each means, its unit and its range.

The settings are the options of a front end's factory (`-o frontend.NAME.SETTING=VALUE`). Lengths of
frames are in samples at the front end's sample rate. Texts with several values have commas.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from ...errors import ParameterError


@dataclass(frozen=True)
class AtLeast:
    """The smallest value of a setting, or the limit that it must exceed."""

    value: float
    excluded: bool = False

    def allows(self, value: float) -> bool:
        """Return whether a number is finite and large enough."""
        return math.isfinite(value) and (
            value > self.value if self.excluded else value >= self.value
        )

    def __str__(self) -> str:
        return f"a number {'above' if self.excluded else 'of at least'} {self.value:g}"


_COUNT, _POSITIVE, _NOT_NEGATIVE = AtLeast(1), AtLeast(0, excluded=True), AtLeast(0)
_ANY = AtLeast(-math.inf)

#: Axes of a layout.
AXES = ("time", "bands", "channel")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of every front end: length and level of the sound, and form of the output."""

    sample_rate: Annotated[int, "sample rate of the sounds, in Hz", _COUNT] = 16000
    seconds: Annotated[
        float | None, "length of the sounds, in seconds; none: any length", _POSITIVE
    ] = 1.0
    samples: Annotated[int | None, "length in samples, instead of seconds", _COUNT] = None
    align: Annotated[
        Literal["start", "center"],
        "where a shorter recording stands between zeros, and which part of a longer one is kept",
    ] = "start"
    level: Annotated[
        Literal["as_is", "peak", "maximum", "rms", "int16"],
        "as_is: 1 is full scale; peak: divided by the largest absolute value, maximum: by the "
        "largest value, rms: by the root mean square; int16: 32768 is full scale",
    ] = "as_is"
    gain: Annotated[float, "factor of the sound after that", _POSITIVE] = 1.0
    remove_mean: Annotated[bool, "subtract the mean of each sound"] = False
    pre_emphasis: Annotated[
        float, "share of the sample before that is subtracted from each sample", _NOT_NEGATIVE
    ] = 0.0
    mean: Annotated[
        float | str, "subtracted from the output: one value, or one for each band, with commas"
    ] = 0.0
    deviation: Annotated[float | str, "the output is divided by it, after that: as mean"] = 1.0
    statistics: Annotated[
        Path | None, "npz file with arrays `mean` and `deviation` (or `std`), instead of these"
    ] = None
    normalize: Annotated[
        Literal["none", "mean", "zscore", "minmax", "mean_bands", "zscore_bands", "minmax_bands"],
        "of each sample by itself: mean subtracted, z-score, or to [0, 1]; over everything, or "
        "over time for each band",
    ] = "none"
    epsilon: Annotated[
        float, "added to the deviation or range that normalize divides by", _NOT_NEGATIVE
    ] = 0.0
    layout: Annotated[
        str, "order of the output's axes after the batch: of time, bands and channel; with commas"
    ] = "time,bands,channel"
    flat: Annotated[bool, "flatten the output to one axis, in the order of layout"] = False

    def __post_init__(self) -> None:
        for name, hint in hints_of(type(self)).items():
            _require_range(name, hint, getattr(self, name))
        self.axes()

    @property
    def length(self) -> int | None:
        """Length of the sounds in samples, or None for any."""
        if self.samples is None and self.seconds is not None:
            return max(1, round(self.seconds * self.sample_rate))
        return self.samples

    def axes(self) -> tuple[str, ...]:
        """Return the axes of the layout.

        Raises:
            ParameterError: an axis is unknown, missing or there twice.
        """
        axes = tuple(axis.strip() for axis in self.layout.split(","))
        needed = {"time"} if type(self) is Settings else {"time", "bands"}
        if len(set(axes)) < len(axes) or not needed <= set(axes) <= needed | {"channel"}:
            raise ParameterError(
                f"layout is {self.layout!r}; expected {' and '.join(sorted(needed, reverse=True))} "
                "in any order, with or without channel, such as "
                f"{','.join(axis for axis in AXES if axis in {*needed, 'channel'})}"
            )
        return axes


@dataclass(frozen=True, kw_only=True)
class SpectrumSettings(Settings):
    """Settings of linear spectrograms."""

    frame: Annotated[int, "length of a frame, in samples", _COUNT] = 400
    step: Annotated[int, "from one frame to the next, in samples", _COUNT] = 160
    fft: Annotated[
        int | None,
        "length of the transform, to which longer frames are cut; none: the power of two not below "
        "frame",
        _COUNT,
    ] = None
    window: Annotated[
        str,
        "hann (periodic), hann_symmetric, hann_tf (of tf.signal: symmetric if odd), hamming, "
        "hamming_symmetric, povey, rect, hann_half (offset by half a sample), sqrt_hann (its "
        "root, times the root of 0.5), or a name known to scipy.signal.get_window",
    ] = "hann"
    place: Annotated[
        Literal["start", "center"],
        "where the window stands in a longer transform: at the start of its frame (tf.signal, "
        "NumPy) or in the middle of a frame of the transform's length (librosa, torch, Keras)",
    ] = "start"
    padding: Annotated[
        Literal["none", "center", "end", "fill", "edges", "same", "kaldi"],
        "none; center: half a frame on both sides; end: for a frame at every step (tf.signal's "
        "pad_end); fill: what the last frame lacks; edges: frame - step before, and what the last "
        "frame lacks; same: as of convolutions; kaldi: as snip_edges=false",
    ] = "none"
    pad_mode: Annotated[
        Literal["constant", "reflect", "symmetric"], "what is padded: zeros, or the sound mirrored"
    ] = "constant"
    frame_mean: Annotated[bool, "subtract the mean of each frame"] = False
    frame_emphasis: Annotated[float, "pre-emphasis within each frame", _NOT_NEGATIVE] = 0.0
    power: Annotated[float, "exponent of the magnitudes", AtLeast(1)] = 2.0
    scaling: Annotated[
        Literal["none", "fft", "window_power", "window_sum"],
        "the power is divided by the transform's length, the window's power, or its sum squared",
    ] = "none"
    dft: Annotated[
        Literal["fft", "float32"],
        "fft; float32: a convolution with cosines of angles rounded to float32, whose errors show "
        "in quiet bins (keras.layers.STFTSpectrogram)",
    ] = "fft"
    one_sided: Annotated[bool, "double the power of all bins but the first and last"] = False
    log: Annotated[Literal["none", "ln", "log10", "db"], "logarithm; db: db_factor times log10"] = (
        "ln"
    )
    offset: Annotated[float, "added before the logarithm", _NOT_NEGATIVE] = 1e-6
    floor: Annotated[float, "smallest value before the logarithm", _NOT_NEGATIVE] = 0.0
    db_factor: Annotated[float, "10, or 20 for power 1", _POSITIVE] = 10.0
    reference: Annotated[
        float | Literal["max"], "value of 0 dB; max: the largest of the sample", _POSITIVE
    ] = 1.0
    top_db: Annotated[
        float | None, "dB below the sample's largest value at which it is clipped", _NOT_NEGATIVE
    ] = None
    deltas: Annotated[int, "orders of differences over time that are appended", AtLeast(0)] = 0
    delta_width: Annotated[int, "frames that a difference is of; odd", AtLeast(3)] = 9
    delta_edges: Annotated[
        Literal["interp", "nearest"],
        "interp: a parabola at the edges and for order 2 (librosa); nearest: repeated edges, and "
        "the difference of the difference for order 2 (HTK, Kaldi, python_speech_features)",
    ] = "interp"
    delta_axis: Annotated[
        Literal["bands", "channel"], "axis to which the differences are appended"
    ] = "bands"
    frames: Annotated[
        int | None, "number of frames to which the output is cut or padded, at the end", _COUNT
    ] = None
    frames_value: Annotated[float, "value of frames that are padded", _ANY] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dft == "float32" and (self.place == "center" or self.frame > self.transform):
            raise ParameterError(
                f"dft is 'float32' with place={self.place}, frame {self.frame} and a transform of "
                f"{self.transform}; expected place=start and a frame that is not longer"
            )
        if self.place == "center" and self.frame > self.transform:
            raise ParameterError(
                f"frame is {self.frame}, longer than the transform of {self.transform}; with "
                "place=center, expected at most that; set frame, too"
            )
        if self.log != "none" and not self.offset and not self.floor:
            raise ParameterError(
                f"log is {self.log!r} with offset 0 and floor 0, which is infinite for silence; "
                "expected one of them above 0"
            )
        if self.delta_width % 2 == 0:
            raise ParameterError(f"delta_width is {self.delta_width}; expected an odd number")
        if self.deltas and self.delta_axis == "channel" and "channel" not in self.axes():
            raise ParameterError(
                f"delta_axis is 'channel', but the layout {self.layout!r} has none; add channel"
            )

    @property
    def transform(self) -> int:
        """Length of the transform, in samples."""
        return self.fft or 1 << (self.frame - 1).bit_length()

    @property
    def span(self) -> int:
        """Samples that a frame takes of the sound."""
        return self.transform if self.place == "center" else self.frame


@dataclass(frozen=True, kw_only=True)
class MelSettings(SpectrumSettings):
    """Settings of mel spectrograms."""

    bands: Annotated[int, "number of mel bands", _COUNT] = 40
    fmin: Annotated[float, "lower edge of the first band, in Hz", _NOT_NEGATIVE] = 20.0
    fmax: Annotated[
        float | None, "upper edge of the last band, in Hz; none: half the sample rate", _POSITIVE
    ] = None
    mel_scale: Annotated[
        Literal["htk", "slaney", "kaldi", "bins"],
        "htk, slaney: triangles that are straight in Hz (librosa); kaldi: HTK's scale, triangles "
        "straight in mel (Kaldi, tf.signal, Keras); bins: HTK's scale, edges rounded down to bins "
        "(python_speech_features)",
    ] = "htk"
    mel_norm: Annotated[
        Literal["none", "slaney"], "slaney: each band divided by half its width in Hz"
    ] = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.fmin < self.highest <= self.sample_rate / 2:
            raise ParameterError(
                f"fmin {self.fmin:g} and fmax {self.highest:g} must satisfy fmin < fmax <= "
                f"sample_rate / 2 = {self.sample_rate / 2:g}"
            )

    @property
    def highest(self) -> float:
        """Upper edge of the last band, in Hz."""
        return self.sample_rate / 2 if self.fmax is None else self.fmax


@dataclass(frozen=True, kw_only=True)
class MfccSettings(MelSettings):
    """Settings of mel-frequency cepstral coefficients."""

    coefficients: Annotated[int, "number of coefficients", _COUNT] = 13
    first: Annotated[int, "the first coefficient that is kept; 1 leaves out c0", AtLeast(0)] = 0
    dct: Annotated[Literal[1, 2, 3], "type of the cosine transform"] = 2
    dct_norm: Annotated[
        Literal["ortho", "none", "tf"],
        "ortho, none: as scipy.fft.dct; tf: orthonormal but for c0, which is sqrt(2) larger",
    ] = "ortho"
    lifter: Annotated[float, "coefficients c_n times 1 + L / 2 sin(pi n / L); 0: none"] = 0.0
    lifter_first: Annotated[Literal[0, 1], "n of c0 in the lifter: 0 (HTK, Kaldi), 1 (librosa)"] = 0
    energy: Annotated[
        bool, "replace c0 by the ln of the frame's power (python_speech_features)"
    ] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not math.isfinite(self.lifter) or self.lifter < 0:
            raise ParameterError(f"lifter is {self.lifter}; expected a number of at least 0")
        if self.first + self.coefficients > self.bands:
            raise ParameterError(
                f"coefficients from {self.first} to {self.first + self.coefficients - 1} need "
                f"{self.first + self.coefficients} bands; there are {self.bands}"
            )
        if self.energy and self.first:
            raise ParameterError("energy replaces c0, but first is above 0; set first=0")


@lru_cache
def hints_of(settings: type[Settings]) -> dict[str, Any]:
    """Return the annotation of each setting, with its text and range."""
    hints = typing.get_type_hints(settings, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(settings)}


def _require_range(name: str, hint: Any, value: Any) -> None:
    limits = [note for note in hint.__metadata__ if isinstance(note, AtLeast)]
    if isinstance(value, str | bool) or value is None:
        return
    for limit in limits:
        if not limit.allows(value):
            raise ParameterError(f"{name} is {value}; expected {limit}")
