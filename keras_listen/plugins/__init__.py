"""Find, load and list plugins.

The built-in components are ordinary plugins; their modules are named here by string.
"""

from __future__ import annotations

import contextlib
import copyreg
import logging
import os
import sys
from collections.abc import Iterable
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import ParameterError
from .component import KINDS, OWN, Component, Option
from .discovery import ALL, DISABLE, PluginSettings, Source, load_file, sources, unmatched
from .registry import Failure, Registry, new_manager

__all__ = [
    "KINDS",
    "OWN",
    "Component",
    "Failure",
    "Option",
    "PluginSettings",
    "Registry",
    "configure_plugins",
    "default_registry",
    "follow",
    "load",
    "new_manager",
]

_BUILT_IN = (
    "maximization.objectives",
    "maximization.priors",
    "data.readers",
    "models.frontends.components",
    "vocoders.griffin_lim",
    "vocoders.wavenet",
)
#: Names that were disabled with `configure_plugins`, not by the environment variable alone.
_configured: set[str] = set()

log = logging.getLogger("keras_listen")


def load(settings: PluginSettings) -> Registry:
    """Load the built-ins and all plugins that are found and not disabled.

    Raises:
        ParameterError: a plugin disabled with `configure_plugins` does not exist.
        PluginError: a plugin failed, and the settings are strict.
    """
    registry, manager = Registry(strict=settings.strict), new_manager()
    for name in _BUILT_IN:
        registry.add_plugin(manager, import_module(f"keras_listen.{name}"), (OWN, __version__))
    found = list(sources(settings))
    _require_known(settings, found)
    # What plugins print while they are imported must not get into the output of commands.
    with contextlib.redirect_stdout(sys.stderr):
        for source in found:
            if ALL in settings.disable or any(map(source.is_called, settings.disable)):
                registry.disable(source)
            else:
                registry.add_source(manager, source)
    return registry


def _require_known(settings: PluginSettings, found: list[Source]) -> None:
    """Refuse names to disable that no plugin has; warn if they are of the environment variable."""
    for name in settings.disable:
        if message := unmatched(name, found):
            if name in _configured:
                raise ParameterError(message)
            log.warning("%s: %s", DISABLE, message)


@lru_cache(maxsize=1)
def default_registry() -> Registry:
    """Return the registry of this process; plugins are loaded on the first call, see `load`."""
    return load(PluginSettings.from_environment())


def configure_plugins(
    *,
    disable: Iterable[str] | None = None,
    folders: Iterable[str | Path] | None = None,
    strict: bool | None = None,
) -> PluginSettings:
    """Choose the plugins of this process and of all processes that it starts.

    Arguments that are None leave their setting unchanged. Components created before are not
    affected.

    Args:
        disable: distributions or entry points to disable, or "all" for all but the built-ins.
        folders: folders whose `*.py` files are plugins, each named after its file.
        strict: whether a plugin that fails is an error.

    Returns:
        The settings now in force.

    Raises:
        ParameterError: a name is empty, or a folder's path contains the path separator. A plugin
            to disable that does not exist is an error later, when plugins are loaded.
    """
    before = PluginSettings.from_environment()
    now = PluginSettings(
        before.disable if disable is None else tuple(map(_name, disable)),
        before.folders if folders is None else tuple(map(_folder, folders)),
        before.strict if strict is None else strict,
    )
    _configured.update(set(now.disable) - set(before.disable))
    follow(now)
    return now


def _name(name: str) -> str:
    if not name.strip() or "," in name:
        raise ParameterError(f"a plugin to disable is called {name!r}; expected one name")
    return name.strip()


def _folder(folder: str | Path) -> str:
    path = os.path.abspath(folder)
    if os.pathsep in path:
        raise ParameterError(f"the folder of plugins {path} has a {os.pathsep} in its name")
    return path


def follow(settings: PluginSettings) -> None:
    """Take over the plugin settings of another process."""
    if settings != PluginSettings.from_environment():
        settings.to_environment()
        default_registry.cache_clear()


@lru_cache
def component_of_file(path: Path, kind: str, name: str) -> Component:
    """Load a single-file plugin and return one of its components.

    Raises:
        ParameterError: the plugin failed, or has no such component.
    """
    registry = Registry()
    source = Source(path.stem, path.stem, "local", lambda: load_file(path), "", path)
    registry.add_source(new_manager(), source)
    return registry.find(kind, name)


def _reduce(component: Component) -> str | tuple[Any, ...]:
    """Pickle a component of a single-file plugin by its file, since no import finds its module."""
    if component.file is None:
        return object.__reduce_ex__(component, 2)
    return component_of_file, (component.file, component.kind, component.name)


copyreg.pickle(Component, _reduce)
