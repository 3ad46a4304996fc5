"""Conditions of a listening test: the paper's four experiments, real speech, others.

Each is a prior, an objective, a vocoder and a kind of start: noise, or utterances that are
maximized to their own word.

References:
    Soomro et al., Interspeech 2019, section 3.6.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, get_type_hints

from ...errors import ParameterError, unknown
from ...experiment.component_options import options_among, parse_options, require_used
from ...experiment.experiment import Experiment, frontend_of, resolve
from ...experiment.manifest import denoiser_of
from ...experiment.presets import find_components, with_preset
from ...experiment.settings import SharedSettings
from ...maximization.settings import AscentSettings
from ...models.bundle import Bundle
from ...plugins import Component, Option, default_registry
from ...plugins.presets import PAPER

#: Stages at which a condition's features are recorded, by its start.
STAGES = {"noise": ("generated",), "class": ("before", "after"), "real": ("",)}
KINDS = ("prior", "objective", "vocoder")
#: Options that came later, and their values that change nothing: settings have them only at others,
#: so that the names of recordings, and the listening tests of before, stay the same.
_LATER: dict[str, Any] = {
    "prior.learned_pull": 0.0,
    "vocoder.start": "random",
    "vocoder.hold": "magnitudes",
    "vocoder.pitch": "none",
    "vocoder.expand": 1.0,
}
#: Settings of the ascent as options, which convert texts.
_ASCENT = {
    one.name: Option(one.name, type_, one.default, "")
    for one, type_ in zip(
        fields(AscentSettings), get_type_hints(AscentSettings).values(), strict=True
    )
}


@dataclass(frozen=True)
class Combination:
    """A requested combination of components and settings, nothing opened yet.

    Attributes:
        starts: any of "noise" and "class"; or "real".
        names: of prior, objective and vocoder.
        ascent: settings, where they differ from the published ones.
        options: of the components, by kind and key.
        label: its name, which follows the start in that of a condition.
    """

    starts: tuple[str, ...]
    names: Mapping[str, str]
    label: str
    ascent: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Condition:
    """One condition of a listening test.

    Attributes:
        number: 1 to 4 as published, further ones from 5 on.
        label: its name on pages and in tables.
        start: "noise", "class" (utterances, maximized to their own word) or "real" (utterances as
            they are).
        names: of prior and objective, as they were asked for; empty for "real".
        settings: of the ascent by name, and options of the components as `KIND.OPTION`, defaults
            included.
        experiment: makes its recordings.
        models: checksums of the models in use, see `experiment.manifest.models_of`.
    """

    number: int
    label: str
    start: str
    names: Mapping[str, str]
    settings: Mapping[str, Any]
    experiment: Experiment
    models: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """Identifies all that its recordings depend on, across listening tests."""
        about = [self.label, self.names, self.vocoder, self.settings, self.models]
        return json.dumps(about, sort_keys=True)

    @property
    def vocoder(self) -> str:
        """Name of the vocoder in use, which may be a fallback."""
        return self.experiment.components["vocoder"].name

    @property
    def files(self) -> dict[str, str]:
        """Checksums of the vocoder's files."""
        return dict(getattr(self.experiment.vocoder, "files", {}))


def parse_combination(given: str | Mapping[str, Any], names: Mapping[str, str]) -> Combination:
    """Parse a combination, as "prior=vae,prior.pull=0.02,steps=150" or as a mapping.

    Keys are `prior`, `objective` and `vocoder`, an option of one of them as `KIND.OPTION`, `start`
    (noise or class; both by default), settings of the ascent, and `label`.

    Args:
        given: the text or mapping.
        names: of the components that it does not name.

    Raises:
        ParameterError: it has another form, an unknown key, or a value of the wrong type.
    """
    pairs = _pairs(given)
    starts, own = ("noise", "class"), {}
    ascent: dict[str, Any] = {}
    options: dict[tuple[str, str], Any] = {}
    for key, value in pairs.items():
        kind, dot, option = key.partition(".")
        if key in KINDS:
            own[key] = str(value)
        elif key == "start":
            if value not in starts:
                raise ParameterError(unknown("start of a combination", str(value), starts))
            starts = (value,)
        elif key in _ASCENT:
            ascent[key] = _converted(key, value)
        elif dot and option and kind in KINDS:
            options[kind, option] = value
        elif key != "label":
            known = (*KINDS, "start", "label", *_ASCENT, *(f"{kind}.OPTION" for kind in KINDS))
            raise ParameterError(f"in {given!r}, {unknown('setting', key, known)}")
    label = str(pairs.get("label") or _described(pairs, own, names))
    return Combination(starts, {**names, **own}, label, ascent, options)


def _pairs(given: str | Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a combination by key."""
    if isinstance(given, Mapping):
        return dict(given)
    pairs: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in given.split(","))):
        key, equals, value = part.partition("=")
        if not equals or not key.strip() or not value.strip() or key.strip() in pairs:
            raise ParameterError(
                f"the combination {given!r} was not understood at {part!r}; expected KEY=VALUE, "
                "each key once, such as prior=vae,prior.pull=0.02,steps=150"
            )
        pairs[key.strip()] = value.strip()
    if not pairs:
        raise ParameterError("a combination is empty; expected KEY=VALUE, such as prior=vae")
    return pairs


def _converted(key: str, value: Any) -> Any:
    try:
        return _ASCENT[key].convert(value)
    except ValueError:
        raise ParameterError(
            f"{key} is {value!r}; expected a value of type {_ASCENT[key].type_name}"
        ) from None


def _described(pairs: Mapping, own: Mapping[str, str], names: Mapping[str, str]) -> str:
    """Name a combination by its prior and by all in which it differs from the others."""
    others = [own[kind] for kind in ("objective", "vocoder") if kind in own]
    rest = [f"{key}={value}" for key, value in pairs.items() if key not in (*KINDS, "start")]
    return " ".join([own.get("prior", names["prior"]), *others, *rest])


def published_combinations(names: Mapping[str, str], *, real: bool = False) -> list[Combination]:
    """Return the paper's experiments, 1 to 4.

    Args:
        names: of the components of experiments 3 and 4; 1 and 2 have no prior.
        real: add real speech as a fifth condition.

    Raises:
        ParameterError: the prior is none, which makes 3 and 4 the same as 1 and 2.
    """
    if names["prior"] == "none":
        raise ParameterError(
            "the prior of experiments 3 and 4 is none, as that of 1 and 2; name another, such as ae"
        )
    without = {**names, "prior": "none"}
    found = [Combination(("noise", "class"), without, "none")]
    found.append(Combination(("noise", "class"), names, names["prior"]))
    return found + [Combination(("real",), without, "")] * real


def make_conditions(
    bundle: Bundle,
    combinations: Sequence[Combination],
    *,
    shared: SharedSettings,
    models: Mapping[str, Any] | None = None,
) -> list[Condition]:
    """Make the components of every combination, and number the conditions.

    Args:
        bundle: models of all of them.
        combinations: in their order.
        shared: settings of all combinations, whose own take precedence; the preset's stand below
            either.
        models: checksums of the models in use, for the conditions' identity.

    Raises:
        ListenError: a component cannot be made, has no words, makes no sound, or two conditions
            have the same label.
    """
    _require_vocoders(combinations)
    front = frontend_of(bundle)
    _require_used(parse_options(shared.options), combinations, front.values())
    conditions: list[Condition] = []
    vocoders: dict[Any, Any] = {}
    for combination in combinations:
        used = find_components(combination.names.items())
        mine = with_preset(shared, shared.preset or PAPER, used)
        own = replace(mine.ascent, **combination.ascent)
        options = _options(parse_options(mine.options), combination)
        experiment = resolve(
            bundle,
            **combination.names,
            ascent=own,
            preset=shared.preset,
            options=options,
            seed=shared.seed,
            block_size=shared.block_size,
        )
        _require_speaking_of_words(experiment, combination)
        # Equal vocoders become one object, so that their recordings are synthesized together.
        key = experiment.components["vocoder"].full_name, *_of_vocoder(options)
        experiment = replace(experiment, vocoder=vocoders.setdefault(key, experiment.vocoder))
        used = {k: c for k, c in experiment.components.items() if k not in front}
        settings = asdict(own) | _all_options(used, options)
        settings = {name: _plain(value) for name, value in settings.items()}
        files = {**(models or {}), **denoiser_of(experiment)}
        for start in combination.starts:
            names = {} if start == "real" else combination.names
            label = f"{start} {combination.label}".strip()
            number = len(conditions) + 1
            conditions.append(Condition(number, label, start, names, settings, experiment, files))
    _require_different(conditions)
    return conditions


def _require_vocoders(combinations: Sequence[Combination]) -> None:
    """Refuse the vocoder none."""
    if any(combination.names["vocoder"] == "none" for combination in combinations):
        raise ParameterError(
            "the vocoder is none, but people listen to sounds; name one, such as griffin-lim"
        )


def _require_used(
    options: Mapping, combinations: Sequence[Combination], others: Iterable[Component]
) -> None:
    """Refuse options of components that no combination has, nor the classifier."""
    registry = default_registry()
    names = {pair for combination in combinations for pair in combination.names.items()}
    used = [*(registry.find(kind, name) for kind, name in sorted(names)), *others]
    require_used(options, used, "no recording of the listening test")


def _options(shared: Mapping, combination: Combination) -> dict[tuple, Mapping]:
    """Return the options of a combination's components; its own override shared ones."""
    registry, names, own = default_registry(), combination.names, combination.options
    used = [registry.find(kind, names[kind]) for kind in KINDS]
    # A shared option may use the other name of its component.
    options = {
        (kind, name): {key: value for key, value in values.items() if (kind, key) not in own}
        for (kind, name), values in options_among(shared, used).items()
    }
    for (kind, option), value in own.items():
        options.setdefault((kind, names[kind]), {})[option] = value
    return options


def _all_options(components: Mapping[str, Component], options: Mapping) -> dict[str, Any]:
    """Return the options of components in use by `KIND.OPTION`, defaults included.

    See `_LATER` for the exceptions.
    """
    found: dict[str, Any] = {}
    for kind, component in components.items():
        defaults = {option.name: option.default for option in component.options}
        given: dict[str, Any] = {}
        for some in options_among(options, [component]).values():
            given |= some
        for name, value in (defaults | component.convert_options(given)).items():
            path = f"{kind}.{name}"
            if path not in _LATER or value != _LATER[path]:
                found[path] = value
    return found


def _plain(value: Any) -> Any:
    """Return a value as JSON has it, the same for 6 and 6.0."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _of_vocoder(options: Mapping) -> list[str]:
    return sorted(str(item) for item in options.items() if item[0][0] == "vocoder")


def _require_speaking_of_words(experiment: Experiment, combination: Combination) -> None:
    if not experiment.uses_targets:
        raise ParameterError(
            f"the objective {combination.names['objective']} has no words that could be heard; "
            "take softmax or logit"
        )


def _require_different(conditions: Sequence[Condition]) -> None:
    labels = [condition.label for condition in conditions]
    for label in labels:
        if labels.count(label) > 1:
            raise ParameterError(
                f"two conditions are called {label!r}; give one of the combinations another "
                "label=NAME, or leave it out"
            )
