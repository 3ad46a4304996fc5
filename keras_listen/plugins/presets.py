"""Presets that components bring when they are registered: settings by name, checked at once.

An entry of a prior has settings of the ascent and `options`, values of the prior's own options; an
entry of a vocoder has `options` alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from ..errors import PluginError, unknown
from .option_types import fits, type_name

if TYPE_CHECKING:
    from .component import Component

#: The preset that nobody brings: the published settings, which are the defaults.
PAPER = "paper"
OPTIONS = "options"
#: Types and least values of the ascent's settings, see `maximization.settings.AscentSettings`.
ASCENT: dict[str, tuple[Any, float | None]] = {
    "steps": (int, 0),
    "step_size": (float, 0),
    "optimizer": (str, None),
    "shift": (int, 0),
    "gain": (float, 0),
    "stop_at": (float, 0),
    "keep_best": (bool, None),
}
#: Kinds of components that presets have entries for, and the settings of such an entry.
_KINDS = {"prior": (*ASCENT, OPTIONS), "vocoder": (OPTIONS,)}
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def require_presets(component: Component) -> None:
    """Check the presets that a component is registered with.

    Raises:
        PluginError: names the preset and the setting, and what was expected.
    """
    if not component.presets:
        return
    what = f"{component.kind} {component.name}"
    if component.kind not in _KINDS:
        raise PluginError(f"{what} is registered with presets; only priors and vocoders have some")
    if not isinstance(component.presets, Mapping):
        raise PluginError(
            f"the presets of {what} are {component.presets!r}; expected a dictionary from a "
            "preset's name to its settings"
        )
    for name, entry in component.presets.items():
        _require_name(what, name)
        where = f"preset {name} of {what}"
        if not isinstance(entry, Mapping):
            raise PluginError(f"{where} is {entry!r}; expected a dictionary of settings")
        for key, value in entry.items():
            _require_setting(component, where, key, value)


def _require_name(what: str, name: Any) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise PluginError(
            f"a preset of {what} is called {name!r}; expected at most 64 lower-case letters, "
            "digits, - and _, beginning with a letter or digit"
        )
    if name == PAPER:
        raise PluginError(
            f"{what} brings a preset {PAPER}, which stands for the defaults; change these instead"
        )


def _require_setting(component: Component, where: str, key: Any, value: Any) -> None:
    known = _KINDS[component.kind]
    if key not in known:
        near = get_close_matches(str(key), known, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise PluginError(f"{where} sets {key!r}; {hint}expected some of {', '.join(known)}")
    if key == OPTIONS:
        _require_options(component, where, value)
        return
    kind, least = ASCENT[key]
    if not fits(value, kind) or (least is not None and not least <= value < float("inf")):
        at_least = "" if least is None else f" of at least {least}"
        raise PluginError(f"{where} sets {key} to {value!r}; expected {type_name(kind)}{at_least}")


def _require_options(component: Component, where: str, values: Any) -> None:
    if not isinstance(values, Mapping):
        raise PluginError(f"{where} has the options {values!r}; expected a dictionary")
    known = {option.name: option for option in component.options}
    for name, value in values.items():
        if name not in known:
            raise PluginError(f"in {where}, {unknown('option', str(name), known)}")
        try:
            known[name].convert(value)
        except ValueError:
            expected = known[name].type_name
            raise PluginError(
                f"{where} sets the option {name} to {value!r}; expected {expected}"
            ) from None
