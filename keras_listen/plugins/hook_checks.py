"""Check the hooks of a plugin before they are called.

Misspelt and unmarked hooks become errors with file, line and what was probably meant, which pluggy
does not tell.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any

from ..errors import PluginError
from ..hookspecs import API_VERSION, PROJECT
from .failures import definition

#: Attribute of a plugin with the version of the hooks that it was written for.
DECLARED = "KERAS_LISTEN_API"
_ARGUMENT = "register"


def require_version(plugin: Any) -> None:
    """Check the version of the hooks that a plugin was written for, if it declares one.

    Raises:
        PluginError: it is another version, or not a whole number.
    """
    declared = getattr(plugin, DECLARED, API_VERSION)
    if not isinstance(declared, int) or isinstance(declared, bool):
        raise PluginError(f"{DECLARED} is {declared!r}; expected a whole number, now {API_VERSION}")
    if declared != API_VERSION:
        mend = "upgrade keras-listen" if declared > API_VERSION else "upgrade the plugin"
        raise PluginError(
            f"it was made for version {declared} of the plugin hooks, here is version "
            f"{API_VERSION}; {mend}"
        )


def require_hooks(plugin: Any, hooks: tuple[str, ...]) -> None:
    """Check that a plugin has hooks, that their names exist, and that they take `register`.

    Raises:
        PluginError: names the hook, its file and line, and what was probably meant.
    """
    found = dict(_implementations(plugin))
    for name, function in found.items():
        if name not in hooks:
            raise PluginError(
                f"{definition(function)}: there is no hook {name}{_near(name, hooks)}; hooks are "
                f"{', '.join(hooks)}"
            )
        _require_arguments(name, function)
    for name in hooks:
        function = getattr(plugin, name, None)
        if name not in found and inspect.isroutine(function):
            raise PluginError(
                f"{definition(function)}: {name} is not marked; write @hookimpl above it"
            )
    if not found:
        raise PluginError(f"it has no hook; expected one of {', '.join(hooks)}, below @hookimpl")


def _implementations(plugin: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield name and function of each hook that is marked with `hookimpl`."""
    for name in dir(plugin):
        function = getattr(plugin, name, None)
        # Only functions: other objects may have any attribute, or import something when asked.
        marks = getattr(function, f"{PROJECT}_impl", None) if inspect.isroutine(function) else None
        if isinstance(marks, dict):
            if marks.get("wrapper") or marks.get("hookwrapper"):
                raise PluginError(
                    f"{definition(function)}: {name} is a wrapper; hooks here are plain functions"
                )
            yield marks.get("specname") or name, function


def _require_arguments(name: str, function: Callable[..., Any]) -> None:
    given = list(inspect.signature(function).parameters)
    if given == [_ARGUMENT]:
        return
    meant = next((_near(argument, (_ARGUMENT,)) for argument in given), "")
    raise PluginError(
        f"{definition(function)}: {name} takes ({', '.join(given)}){meant}; expected one argument, "
        f"{_ARGUMENT}"
    )


def _near(given: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(given, known, n=1)
    return f" (did you mean {near[0]}?)" if near and near[0] != given else ""
