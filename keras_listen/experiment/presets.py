"""Put a preset under what a user gives: settings of the ascent, and options of components.

The table of presets is `maximization.presets`; plugins bring entries of their own components.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from ..errors import ParameterError, unknown
from ..maximization.presets import ANY, PRESETS
from ..plugins import Component, default_registry
from ..plugins.presets import OPTIONS, PAPER
from .component_options import options_among, parse_options
from .settings import CommandSettings, SharedSettings

Settings = TypeVar("Settings", bound=CommandSettings)


def require_preset(name: str) -> str:
    """Return the name of a preset.

    Raises:
        ParameterError: neither the table nor a component has it.
    """
    known = set(PRESETS) | default_registry().presets()
    if name not in known:
        raise ParameterError(unknown("preset", name, known))
    return name


def find_components(names: Iterable[tuple[str, str]]) -> list[Component]:
    """Return the components of given kinds and names, each once; the vocoder "none" is left out."""
    registry, found = default_registry(), []
    for kind, name in names:
        if (kind, name) != ("vocoder", "none"):
            component = registry.find(kind, name)
            if component not in found:
                found.append(component)
    return found


def entry_of(preset: str, component: Component) -> Mapping[str, Any] | None:
    """Return what a preset says of a component, or None where it says nothing."""
    entry = component.presets.get(preset)
    return PRESETS.get(preset, {}).get(component.kind, {}).get(ANY) if entry is None else entry


def silent_preset(preset: str | None, prior: Component) -> str | None:
    """Return a note where a preset says nothing of a prior, else None."""
    if preset in (None, PAPER) or entry_of(preset, prior) is not None:
        return None
    return f"the preset {preset} has no settings for the {prior.described}, which keeps its own"


def with_preset(
    shared: SharedSettings, preset: str, components: Sequence[Component]
) -> SharedSettings:
    """Put the settings of a preset under those that were given.

    Args:
        shared: as a user gave them.
        preset: its name.
        components: in use, one prior at most.

    Raises:
        ParameterError: there is no such preset, or an option was not understood.
    """
    require_preset(preset)
    entries = [(one, entry_of(preset, one) or {}) for one in components]
    ascent = {
        name: value
        for _, entry in entries
        for name, value in entry.items()
        if name != OPTIONS and name not in shared.asked
    }
    under = [option for one, entry in entries for option in preset_options(one, entry)]
    return replace(
        shared,
        preset=preset,
        ascent=replace(shared.ascent, **ascent),
        options=tuple(combined_options(under, shared.options, components)),
    )


def preset_options(component: Component, entry: Mapping[str, Any]) -> list[str]:
    """Return the options of a preset's entry as `KIND.NAME.KEY=VALUE` texts."""
    path = f"{component.kind}.{default_registry().use(component)}"
    return [f"{path}.{name}={value}" for name, value in entry.get(OPTIONS, {}).items()]


def combined_options(
    under: Iterable[str], given: Sequence[str], components: Iterable[Component]
) -> list[str]:
    """Return a preset's options and those given, which stand above by either name of a component.

    Args:
        under: of the preset.
        given: by the user.
        components: that the preset's options are of.

    Raises:
        ParameterError: an option was not understood.
    """
    chosen, kept = parse_options(given), []
    for option in under:
        ((place, (key,)),) = parse_options([option]).items()
        theirs = [one for one in components if options_among({place: {key: ""}}, [one])]
        if not any(key in values for values in options_among(chosen, theirs).values()):
            kept.append(option)
    return [*kept, *given]


def under_preset(settings: Settings, default: str) -> Settings:
    """Put the settings of a command with one prior and one vocoder on top of its preset.

    Args:
        settings: with `prior` and `vocoder`.
        default: name of the preset where none was given.

    Raises:
        ParameterError: there is no such preset or component, or an option was not understood.
    """
    used = find_components([("prior", settings.prior), ("vocoder", settings.vocoder)])
    shared = with_preset(settings.shared, settings.shared.preset or default, used)
    return replace(settings, shared=shared)


def recorded(preset: str | None) -> dict[str, str]:
    """Return the preset as manifests keep it: only where it is not "paper".

    So manifests from before there were presets are those of the published settings.
    """
    return {} if preset in (None, PAPER) else {"preset": preset}
