"""Presets that components bring when they are registered: settings by name, checked at once.

An entry of a prior has settings of the ascent and `options`, values of the prior's own options; an
entry of a vocoder has `options` alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from ..errors import PluginError, unknown
from .option_types import fits, type_name

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


def require_presets(kind: str, name: str, presets: Any, options: Iterable[Any]) -> None:
    """Check the presets that a component is registered with.

    Args:
        kind, name: of the component.
        presets: settings by preset.
        options: of the component, see `component.Option`.

    Raises:
        PluginError: names the preset and the setting, and what was expected.
    """
    if not presets and isinstance(presets, Mapping):
        return
    what, known = f"{kind} {name}", {option.name: option for option in options}
    if kind not in _KINDS:
        raise PluginError(f"{what} is registered with presets; only priors and vocoders have some")
    if not isinstance(presets, Mapping):
        raise PluginError(
            f"the presets of {what} are {presets!r}; expected a dictionary from a preset's name to "
            "its settings"
        )
    for preset, entry in presets.items():
        _require_name(what, preset)
        where = f"preset {preset} of {what}"
        if not isinstance(entry, Mapping):
            raise PluginError(f"{where} is {entry!r}; expected a dictionary of settings")
        for key, value in entry.items():
            if key not in _KINDS[kind]:
                raise PluginError(f"{where} sets {key!r}; {_expected(str(key), _KINDS[kind])}")
            if key == OPTIONS:
                _require_options(where, value, known)
            else:
                _require_setting(where, key, value)


def _expected(given: str, known: Sequence[str]) -> str:
    near = get_close_matches(given, known, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}expected some of {', '.join(known)}"


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


def _require_setting(where: str, key: str, value: Any) -> None:
    kind, least = ASCENT[key]
    if not fits(value, kind) or (least is not None and not least <= value < float("inf")):
        at_least = "" if least is None else f" of at least {least}"
        raise PluginError(f"{where} sets {key} to {value!r}; expected {type_name(kind)}{at_least}")


def _require_options(where: str, values: Any, known: Mapping[str, Any]) -> None:
    if not isinstance(values, Mapping):
        raise PluginError(f"{where} has the options {values!r}; expected a dictionary")
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
