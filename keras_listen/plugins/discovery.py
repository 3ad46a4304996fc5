"""Find plugins: entry points of installed distributions, and single files in folders.

The settings are environment variables, so that every process started from this one loads the same
plugins.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import metadata
from pathlib import Path
from typing import Any

from ..errors import ParameterError, PluginError
from .component import OWN, canonical
from .option_types import convert

GROUP = "keras_listen"
STRICT = "KERAS_LISTEN_STRICT_PLUGINS"
DISABLE = "KERAS_LISTEN_DISABLE_PLUGINS"
FOLDERS = "KERAS_LISTEN_PLUGINS_DIR"
ALL = "all"
_UNKNOWN = ("unknown", "?")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class PluginSettings:
    """Which plugins are loaded.

    Attributes:
        disable: names of plugins that are not loaded; "all" means all but the built-ins.
        folders: folders whose `*.py` files are loaded as plugins.
        strict: whether a plugin that fails is an error.
    """

    disable: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    strict: bool = False

    @classmethod
    def from_environment(cls) -> PluginSettings:
        """Read the settings from this process's environment variables.

        Raises:
            ParameterError: KERAS_LISTEN_STRICT_PLUGINS is not a Boolean such as 1 or 0.
        """
        disable, folders, strict = (os.environ.get(name, "") for name in (DISABLE, FOLDERS, STRICT))
        try:
            return cls(
                tuple(name.strip() for name in disable.split(",") if name.strip()),
                tuple(folder for folder in folders.split(os.pathsep) if folder),
                bool(strict) and convert(strict, bool),
            )
        except ValueError:
            raise ParameterError(f"{STRICT} is {strict!r}; expected 1 or 0") from None

    def to_environment(self) -> None:
        """Set the environment variables of this process, which processes it starts inherit."""
        values = {
            DISABLE: ",".join(self.disable),
            FOLDERS: os.pathsep.join(self.folders),
            STRICT: "1" if self.strict else "",
        }
        for name, value in values.items():
            if value:
                os.environ[name] = value
            else:
                os.environ.pop(name, None)


@dataclass(frozen=True)
class Source:
    """A plugin that was found but not imported yet.

    Attributes:
        name: of the entry point, or of the file without its suffix.
        distribution, version: of the plugin; "local" until a single file is imported.
        load: imports the plugin and returns it.
        module: name of its module.
        file: path of a single-file plugin, else None.
        note: a warning to log when it is loaded, or "".
    """

    name: str
    distribution: str
    version: str
    load: Callable[[], Any]
    module: str
    file: Path | None = None
    note: str = ""

    def is_called(self, name: str) -> bool:
        """Return whether `name` is the name of the entry point or of the distribution."""
        return canonical(name) in (canonical(self.name), canonical(self.distribution))


def sources(settings: PluginSettings) -> Iterator[Source]:
    """Yield all plugins that are installed or in a folder, disabled ones included."""
    yield from _installed()
    for folder in settings.folders:
        yield from _in_folder(Path(folder))


def _installed() -> Iterator[Source]:
    found: dict[str, list[tuple[metadata.Distribution, str, str]]] = {}
    for distribution in metadata.distributions():
        try:
            ours = bool(distribution.entry_points.select(group=GROUP))
        except Exception as error:
            # Entry points of other groups are none of our business, even if damaged.
            ours = False
            if f"[{GROUP}]" in (distribution.read_text("entry_points.txt") or ""):
                yield _damaged(distribution, error)
        if ours:
            name, version = _owner(distribution)
            found.setdefault(canonical(name), []).append((distribution, name, version))
    for copies in found.values():
        # The first on the path is used, as for imports.
        distribution, name, version = copies[0]
        note = _note_on_versions(copies)
        for entry_point in distribution.entry_points.select(group=GROUP):
            module = entry_point.value.partition(":")[0].strip()
            yield Source(entry_point.name, name, version, entry_point.load, module, note=note)
            note = ""


def _damaged(distribution: metadata.Distribution, error: Exception) -> Source:
    name, version = _owner(distribution)
    damage = PluginError(f"its list of entry points is damaged: {type(error).__name__}: {error}")
    return Source(name, name, version, _raising(damage), "")


def _owner(distribution: metadata.Distribution) -> tuple[str, str]:
    """Return name and version of a distribution; a damaged one may have neither."""
    try:
        found = distribution.name, distribution.version
    except Exception:
        return _UNKNOWN
    return found[0] or _UNKNOWN[0], found[1] or _UNKNOWN[1]


def _note_on_versions(copies: list[tuple[metadata.Distribution, str, str]]) -> str:
    """Return a warning if several versions of a distribution were found, else ""."""
    if len({version for _, _, version in copies}) < 2:
        return ""
    places = [f"{version} in {_place(distribution)}" for distribution, _, version in copies]
    return (
        f"{copies[0][1]} is there more than once: {', '.join(dict.fromkeys(places))}; "
        f"{copies[0][2]} is used, uninstall the others"
    )


def _place(distribution: metadata.Distribution) -> str:
    return str(distribution.locate_file(""))


def _in_folder(folder: Path) -> Iterator[Source]:
    if not folder.is_dir():
        missing = PluginError(f"the folder of plugins {folder} does not exist")
        yield Source(str(folder), str(folder), _UNKNOWN[1], _raising(missing), "")
        return
    files = sorted(path for path in folder.glob("*.py") if not path.name.startswith(("_", ".")))
    if not files:
        empty = PluginError(f"the folder of plugins {folder} holds no file *.py")
        yield Source(str(folder), str(folder), _UNKNOWN[1], _raising(empty), "")
    for path in files:
        yield Source(path.stem, path.stem, "local", _file_loader(path), _module_name(path), path)


def _raising(error: Exception) -> Callable[[], Any]:
    def load() -> Any:
        raise error

    return load


def _module_name(path: Path) -> str:
    return f"keras_listen_plugin_{re.sub(r'[^A-Za-z0-9_]', '_', path.stem)}"


def _file_loader(path: Path) -> Callable[[], Any]:
    return lambda: load_file(path)


def load_file(path: Path) -> Any:
    """Import a single-file plugin; it cannot import the files beside it.

    Raises:
        PluginError: its name cannot be that of a plugin.
        Exception: whatever the file raises.
    """
    if not _FILE_NAME.fullmatch(path.stem) or canonical(path.stem) == OWN:
        raise PluginError(
            f"the file {path} cannot be a plugin's, which is called by it; expected letters, "
            f"digits, - _ and ., and not {OWN}"
        )
    name = _module_name(path)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and annotations look up their module, so it must be registered while it runs.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def unmatched(name: str, found: Sequence[Source]) -> str:
    """Return a message that no plugin has the name, and which there are; "" if one has it."""
    if name == ALL or any(source.is_called(name) for source in found):
        return ""
    known = sorted({source.distribution for source in found})
    near = get_close_matches(name, [*known, *(source.name for source in found)], n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    if canonical(name) == OWN:
        hint = "built-ins cannot be disabled; "
    return (
        f"no plugin is called {name!r}, so none is disabled by it; {hint}known: "
        f"{', '.join(known) or 'none'}"
    )
