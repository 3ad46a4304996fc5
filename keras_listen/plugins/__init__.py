"""Finding, isolating, listing and resolving plugins.

Built-ins are ordinary plugins, named here by string.
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
    "vocoders.griffin_lim",
    "vocoders.wavenet",
)
#: Names of plugins to disable that this process was told of, not only its environment.
_told: set[str] = set()

log = logging.getLogger("keras_listen")


def load(settings: PluginSettings) -> Registry:
    """Load the built-ins and every other plugin that is there and wanted.

    Raises:
        ParameterError: a plugin that this process was told to disable is not there.
        PluginError: a plugin failed, and settings are strict.
    """
    registry, manager = Registry(strict=settings.strict), new_manager()
    for name in _BUILT_IN:
        registry.add_plugin(manager, import_module(f"keras_listen.{name}"), (OWN, __version__))
    found = list(sources(settings))
    _require_known(settings, found)
    # What plugins print while they load must not stand in the output of commands.
    with contextlib.redirect_stdout(sys.stderr):
        for source in found:
            if ALL in settings.disable or any(map(source.is_called, settings.disable)):
                registry.disable(source)
            else:
                registry.add_source(manager, source)
    return registry


def _require_known(settings: PluginSettings, found: list[Source]) -> None:
    """Say which names of plugins to disable no plugin has."""
    for name in settings.disable:
        if said := unmatched(name, found):
            if name in _told:
                raise ParameterError(said)
            log.warning("%s: %s", DISABLE, said)


@lru_cache(maxsize=1)
def default_registry() -> Registry:
    """Load the built-ins and every plugin that is wanted, once a process; see `load`."""
    return load(PluginSettings.from_environment())


def configure_plugins(
    *,
    disable: Iterable[str] | None = None,
    folders: Iterable[str | Path] | None = None,
    strict: bool | None = None,
) -> PluginSettings:
    """Choose plugins for this process and for those that it will start.

    What is not given stays as it is. Components that were made before stay what they are.

    Args:
        disable: names of distributions, or "all" for all but the built-ins.
        folders: whose `*.py` files are plugins, each called by its file.
        strict: whether a plugin that fails is an error.

    Returns:
        what holds now.

    Raises:
        ParameterError: a name is empty, or that of a folder cannot stand in a list of paths. That a
            plugin is not there is told when plugins are loaded.
    """
    before = PluginSettings.from_environment()
    now = PluginSettings(
        before.disable if disable is None else tuple(map(_name, disable)),
        before.folders if folders is None else tuple(map(_folder, folders)),
        before.strict if strict is None else strict,
    )
    _told.update(set(now.disable) - set(before.disable))
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
    """Want the plugins that another process wants, if this one does not do so already."""
    if settings != PluginSettings.from_environment():
        settings.to_environment()
        default_registry.cache_clear()


@lru_cache
def component_of_file(path: Path, kind: str, name: str) -> Component:
    """Load a single-file plugin in this process and return one of its components."""
    registry = Registry()
    source = Source(path.stem, path.stem, "local", lambda: load_file(path), "", path)
    registry.add_source(new_manager(), source)
    return registry.find(kind, name)


def _reduce(component: Component):
    """Let other processes load a single-file plugin by its file: no import finds its module."""
    if component.file is None:
        return object.__reduce_ex__(component, 2)
    return component_of_file, (component.file, component.kind, component.name)


copyreg.pickle(Component, _reduce)
