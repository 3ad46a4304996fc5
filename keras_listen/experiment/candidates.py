"""Front ends that fit the input of a model, for `doctor --suggest` to try.

Their settings are those that are common in published code: presets, geometries of frames, levels,
logarithms, mel scales, normalisations and layouts.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..errors import ParameterError
from ..models.frontends.presets import PRESETS
from ..models.frontends.settings import MelSettings, MfccSettings, Settings, SpectrumSettings
from ..models.frontends.spectrum import margins

_BASES: dict[str, type[Settings]] = {
    "mel": MelSettings,
    "mfcc": MfccSettings,
    "spectrogram": SpectrumSettings,
    "waveform": Settings,
}
#: Settings of the basic front ends that are no default of theirs, as TensorFlow's guides have them.
_USUAL = {
    "mel": {"power": 1.0, "mel_scale": "kaldi"},
    "mfcc": {"power": 1.0, "mel_scale": "kaldi", "bands": 40},
    "spectrogram": {"power": 1.0},
}
#: Frame and step in samples, the commonest first; each at these sample rates for 1 s.
_FRAMES = {
    rate: tuple(tuple(map(int, pair.split("/"))) for pair in text.split())
    for rate, text in {
        16000: "400/160 480/160 480/320 640/320 255/128 256/128 512/160 512/256 512/128 1024/512 "
        "1024/256 1024/128 2048/512 320/160 400/320 512/320 640/160 640/640 480/480 400/200 "
        "1024/320 1024/160 800/400 480/240 640/480 1024/1024 256/64",
        8000: "200/80 240/160 240/80 256/128 320/160 512/256 256/80",
        22050: "2048/512 1024/512 1024/256 2048/1024 551/220 512/256",
    }.items()
}
_PADDINGS: tuple[dict[str, Any], ...] = (
    {"padding": "none", "place": "start"},
    {"padding": "center", "place": "center"},
    {"padding": "end", "place": "start"},
    {"padding": "fill", "place": "start"},
    {"padding": "center", "place": "center", "pad_mode": "reflect"},
)
_LEVELS = ("as_is", "peak", "maximum", "rms", "int16")
_NORMALIZE = ("none", "zscore", "zscore_bands", "minmax", "mean_bands", "minmax_bands")
_PLAIN = {"log": "none", "offset": 0.0, "floor": 0.0, "top_db": None, "reference": 1.0}
_DB = {"log": "db", "offset": 0.0, "floor": 1e-10, "top_db": 80.0, "power": 2.0}
_LOGS: tuple[dict[str, Any], ...] = (
    {**_PLAIN, "log": "ln", "offset": 1e-6, "power": 1.0},
    {**_PLAIN, "log": "ln", "offset": 1e-6, "power": 2.0},
    {**_DB, "reference": 1.0},
    {**_DB, "reference": "max"},
    {**_PLAIN, "power": 1.0},
    {**_PLAIN, "power": 2.0},
    {**_PLAIN, "log": "ln", "offset": 1e-12, "power": 1.0},
    {**_PLAIN, "log": "ln", "offset": 1.0, "power": 1.0},
    {**_PLAIN, "log": "log10", "offset": 1e-6, "power": 1.0},
    {**_PLAIN, "log": "db", "db_factor": 20.0, "offset": 1e-6, "power": 1.0},
)
_MELS: tuple[dict[str, Any], ...] = (
    {"mel_scale": "kaldi", "mel_norm": "none", "fmin": 20.0, "fmax": 4000.0},
    {"mel_scale": "kaldi", "mel_norm": "none", "fmin": 80.0, "fmax": 7600.0},
    {"mel_scale": "slaney", "mel_norm": "slaney", "fmin": 0.0, "fmax": None},
    {"mel_scale": "kaldi", "mel_norm": "none", "fmin": 20.0, "fmax": None},
    {"mel_scale": "kaldi", "mel_norm": "none", "fmin": 0.0, "fmax": None},
    {"mel_scale": "htk", "mel_norm": "none", "fmin": 0.0, "fmax": None},
    {"mel_scale": "kaldi", "mel_norm": "none", "fmin": 20.0, "fmax": 7600.0},
    {"mel_scale": "kaldi", "mel_norm": "none", "fmin": 125.0, "fmax": 7500.0},
    {"mel_scale": "bins", "mel_norm": "none", "fmin": 0.0, "fmax": None},
)
_CEPSTRA: tuple[dict[str, Any], ...] = (
    {"dct_norm": "tf", "lifter": 0.0, "energy": False},
    {"dct_norm": "ortho", "lifter": 0.0, "energy": False},
    {"dct_norm": "ortho", "lifter": 22.0, "energy": False},
    {"dct_norm": "ortho", "lifter": 22.0, "energy": True},
    {"dct_norm": "none", "lifter": 0.0, "energy": False},
)
#: Bands of filter banks below cepstra.
_BANKS = (40, 128, 26, 20, 80, 64, 23, 32)
#: Sizes of bands in flattened input.
_WIDTHS = (10, 12, 13, 20, 26, 32, 40, 64, 80, 96, 128, 129, 257)
#: Coefficients that often have their differences over time beside them.
_WITH_DELTAS = (12, 13, 20)
#: Fewest samples of an axis that is taken for a waveform.
_WAVEFORM = 2000
#: Most frames of a second.
_MOST_FRAMES = 500


#: Frame and step of the micro front end in ms, and how its values are brought to a model's scale:
#: as they are, 0 to 666 as the whole numbers of int8, or times 10 / 256.
_MICRO_FRAMES = ((30, 20), (25, 10), (30, 10), (40, 20))
_MICRO_SCALES: tuple[dict[str, Any], ...] = (
    {},
    {"mean": 333.0, "deviation": 2.6015625},
    {"deviation": 25.6},
)


@dataclass(frozen=True)
class Candidate:
    """A front end to try.

    Attributes:
        name: of the front end.
        changed: settings that differ from its defaults, sorted by name.
    """

    name: str
    changed: tuple[tuple[str, Any], ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that differ from the defaults."""
        return dict(self.changed)

    @property
    def kind(self) -> type[Settings] | None:
        """The kind of settings; None for a front end that is not made of them."""
        return PRESETS[self.name].settings if self.name in PRESETS else _BASES.get(self.name)

    def whole(self) -> Settings:
        """Return all settings.

        Raises:
            ParameterError: they do not fit together.
        """
        preset = PRESETS[self.name].changed if self.name in PRESETS else {}
        default = {"layout": "time"} if self.kind is Settings else {}
        return self.kind(**{**default, **preset, **self.settings})

    def but(self, **changes: Any) -> Candidate:
        """Return this candidate with other settings; those of another kind are left out."""
        default = _default(self.name)
        known = {each.name for each in dataclasses.fields(self.kind)}
        settings = {**self.settings, **{k: v for k, v in changes.items() if k in known}}
        kept = {k: v for k, v in settings.items() if getattr(default, k) != v}
        return Candidate(self.name, tuple(sorted(kept.items())))


@lru_cache
def _default(name: str) -> Settings:
    """Return the settings of a front end of which none is changed."""
    return Candidate(name).whole()


@dataclass(frozen=True)
class Form:
    """A way to read the shape of a model's input.

    Attributes:
        layout: order of its axes, as of front ends.
        frames: number of frames, or of samples in a waveform; None for any.
        bands: number of bands; None for any, 0 for a waveform.
        others: further settings that it needs.
    """

    layout: str
    frames: int | None
    bands: int | None = 0
    others: tuple[tuple[str, Any], ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the output's form."""
        return {"layout": self.layout, **dict(self.others)}


def forms_of(shape: Sequence[int | None]) -> list[Form]:
    """Return the ways to read an input shape without its batch, the commonest first."""
    forms = _forms_of(shape)
    joined = [
        dataclasses.replace(form, bands=form.bands // count, others=(*form.others, *deltas))
        for form in forms
        for count, deltas in ((3, (("deltas", 2),)), (2, (("deltas", 1),)))
        if form.bands in {count * bands for bands in _WITH_DELTAS}
    ]
    return forms + joined


def _forms_of(shape: Sequence[int | None]) -> list[Form]:
    sizes = tuple(shape)
    if len(sizes) == 1:
        return _flat_forms(sizes[0])
    if len(sizes) == 2 and 1 in sizes:
        axis = 1 - sizes.index(1) if sizes != (1, 1) else 0
        return [Form("time,channel" if axis == 0 else "channel,time", sizes[axis])]
    if len(sizes) == 2:
        return [Form("time,bands", *sizes), Form("bands,time", *reversed(sizes))]
    forms: list[Form] = []
    for channel in (2, 0, 1) if len(sizes) == 3 else ():
        if sizes[channel] not in (None, 1, 2, 3):
            continue
        first, second = (size for i, size in enumerate(sizes) if i != channel)
        deltas = (sizes[channel] or 1) - 1
        others = (("deltas", deltas), ("delta_axis", "channel")) if deltas else ()
        for names, pair in (("time bands", (first, second)), ("bands time", (second, first))):
            order = names.split()
            order.insert(channel, "channel")
            forms.append(Form(",".join(order), *pair, others))
    return forms


def _flat_forms(size: int | None) -> list[Form]:
    """Return the ways to read an input of one axis."""
    forms = [Form("time", size)] if size is None or size >= _WAVEFORM else []
    for bands in _WIDTHS if size else ():
        frames, rest = divmod(size, bands)
        if not rest and 5 <= frames <= _MOST_FRAMES:
            flat = (("flat", True),)
            forms += [Form(order, frames, bands, flat) for order in ("time,bands", "bands,time")]
    return forms


def seeds_of(form: Form) -> list[Candidate]:
    """Return candidates of very different kinds that fit a form, presets first."""
    if form.bands == 0:
        return [Candidate("waveform").but(**form.settings, **how) for how in _lengths(form.frames)]
    found = []
    for name, preset in PRESETS.items():
        found += _fitted(name, preset.changed, form)
    for name in _USUAL:
        for seed in _fitted(name, _USUAL[name], form):
            found += [seed, *(each for each in _varied(seed) if _fits(each, form))]
    found += _micro_seeds(form)
    return list(dict.fromkeys(found))


def _micro_seeds(form: Form) -> list[Candidate]:
    """Return candidates of the micro front end that fit a form, whose settings are of their own."""
    if not form.bands or not form.frames or "deltas" in dict(form.others):
        return []
    found = []
    for rate, (frame, step) in itertools.product((16000, 8000), _MICRO_FRAMES):
        frame, step = rate * frame // 1000, rate * step // 1000
        samples = (form.frames - 1) * step + frame
        # A second, or what the frames need if that is more.
        if not rate - step < samples <= 2 * rate:
            continue
        common = {
            "bands": form.bands,
            "frame_ms": frame * 1000 // rate,
            "step_ms": step * 1000 // rate,
            "samples": max(samples, rate),
            "layout": form.layout,
            **dict(form.others),
        }
        if rate != 16000:
            common["sample_rate"] = rate
        tops = [{}, {"fmax": 4000.0}] if rate == 16000 else [{"fmax": 3999.0}]
        for pcan, remaining, scale, top in itertools.product(
            (True, False), (0.05, 1.0), _MICRO_SCALES, tops
        ):
            given = {**common, "pcan": pcan, "min_signal_remaining": remaining, **scale, **top}
            found.append(Candidate("tflite-micro", tuple(sorted(given.items()))))
    return found


def _lengths(samples: int | None) -> list[dict[str, Any]]:
    """Return lengths and rates of waveforms."""
    if samples is None:
        return [{}, {"seconds": None}, {"sample_rate": 8000}]
    rates = [rate for rate in (16000, 8000, 22050, 44100) if rate / 2 <= samples <= 4 * rate]
    return [{"sample_rate": rate, "samples": samples} for rate in rates or [16000]]


def _varied(seed: Candidate) -> Iterator[Candidate]:
    """Yield a seed with other logarithms, normalisations and mel scales, several at once."""
    for how in _LOGS[:5]:
        for normalize in ("none", "zscore", "minmax"):
            yield seed.but(**how, normalize=normalize)
    for scale in _MELS[:3]:
        yield seed.but(**scale)


def _fitted(name: str, changed: Mapping[str, Any], form: Form) -> list[Candidate]:
    """Return candidates of a front end that have the bands and frames of a form, a few."""
    base = Candidate(name).but(**changed).but(**form.settings)
    base = _with_bands(base, form.bands)
    if base is None:
        return []
    found = [
        each
        for each in (base, *(base.but(sample_rate=rate) for rate in _FRAMES))
        if _fits(each, form)
    ]
    if not found or name not in PRESETS:
        found += [each for each in geometries(base, form) if _fits(each, form)][:3]
    if not found:
        found = [each for each in _forced(base, form.frames) if _fits(each, form)][:2]
    return found[:3]


def _with_bands(base: Candidate, bands: int | None) -> Candidate | None:
    """Return a candidate with so many bands, if its kind can have them."""
    kind, whole = base.kind, base.whole()
    if bands is None:
        return base
    if issubclass(kind, MfccSettings):
        enough = [count for count in (whole.bands, *_BANKS) if count >= bands]
        if bands > 80 or not enough:
            return None
        return base.but(coefficients=bands, bands=enough[0])
    if issubclass(kind, MelSettings):
        return base.but(bands=bands) if bands <= 256 else None
    fft = 2 * (bands - 1)
    if fft < 64:
        return None
    return base if whole.transform == fft else base.but(fft=fft, frame=fft)


def _fits(candidate: Candidate, form: Form) -> bool:
    """Return whether settings can be used and give the frames of a form."""
    try:
        whole = candidate.whole()
        frames = margins(whole.length or whole.sample_rate, whole)[2]
    except ParameterError:
        return False
    return form.frames in (None, whole.frames or frames)


def geometries(base: Candidate, form: Form) -> Iterator[Candidate]:
    """Yield a candidate with other frames, steps and padding that give a form's frames."""
    linear = base.kind is SpectrumSettings
    for rate, pairs in _FRAMES.items():
        for where in _PADDINGS:
            for frame, step in pairs:
                fft = 1 << (frame - 1).bit_length()
                if linear and form.bands is not None:
                    fft = 2 * (form.bands - 1)
                    if not fft / 2 < frame <= fft:
                        continue
                change = {"sample_rate": rate, "frame": frame, "step": step, "fft": fft, **where}
                other = base.but(**change, frames=None, seconds=1.0, samples=None)
                if form.frames is not None and _fits(other, form):
                    yield other
            if form.frames is None:
                frame, step = pairs[0]
                fft = base.whole().transform if linear else None
                yield base.but(sample_rate=rate, frame=frame, step=step, fft=fft, **where)


def _forced(base: Candidate, frames: int | None) -> Iterator[Candidate]:
    """Yield a candidate whose sounds are as long as the frames need."""
    if frames is None:
        return
    whole = base.whole()
    pairs = [(whole.frame, whole.step), *_FRAMES[16000]]
    if base.kind is SpectrumSettings:
        pairs = [(whole.frame, whole.frame // 2), (whole.frame, whole.frame // 4)]
    for frame, step in dict.fromkeys(pairs):
        samples = (frames - 1) * step + frame
        if whole.sample_rate // 3 <= samples <= 4 * whole.sample_rate:
            fft = whole.transform if base.kind is SpectrumSettings else None
            change = {"frame": frame, "step": step, "fft": fft, "samples": samples}
            yield base.but(**change, padding="none", place="start")


def dimensions_of(candidate: Candidate, form: Form) -> list[list[Candidate]]:
    """Return lists of candidates that differ from one in a single respect each."""
    kind = candidate.kind
    if kind is None:
        return []
    lists = [[candidate.but(level=level) for level in _LEVELS]]
    if issubclass(kind, SpectrumSettings):
        lists.append(list(geometries(candidate, form))[:10])
        lists.append([candidate.but(**how) for how in _LOGS])
    if issubclass(kind, MelSettings):
        lists.append([candidate.but(**scale) for scale in _MELS])
    if issubclass(kind, MfccSettings):
        lists.append([candidate.but(**how) for how in _CEPSTRA])
        lists.append([candidate.but(bands=count) for count in _BANKS])
        lists.append([candidate.but(first=first) for first in (0, 1)])
    lists.append([candidate.but(normalize=how) for how in _NORMALIZE])
    if issubclass(kind, SpectrumSettings):
        windows = ("hann", "hann_symmetric", "hamming", "rect")
        lists.append([candidate.but(window=window) for window in windows])
    if issubclass(kind, MelSettings):
        lists.append([candidate.but(fft=fft) for fft in (512, 1024, 2048)])
    lists.append([candidate.but(pre_emphasis=share) for share in (0.0, 0.97)])
    lists.append([candidate.but(align=align) for align in ("start", "center")])
    return [[each for each in those if kind is Settings or _fits(each, form)] for those in lists]
