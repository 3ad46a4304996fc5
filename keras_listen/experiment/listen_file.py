"""Write a `listen.toml`, and keep in one what a check on recordings found."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ModelError, ParameterError
from ..features import FeatureSpec
from ..output.files import replacing
from ..texts import decode, with_line_feeds
from .chosen_model import ChosenModel

_HEADER = re.compile(r"\s*\[")
_CHECKED = re.compile(r"\s*\[\s*checked\s*\]\s*(#.*)?$")
_ENTRY = re.compile(r"\s*[\w\"'-]+\s*=")
#: Stands above the table of a check.
_ABOUT = "# written by keras-listen doctor"


def require_new(path: str | Path) -> None:
    """Refuse to write over a file, or into a folder that is not there.

    Raises:
        ParameterError: the file exists already, or its folder does not.
    """
    path = Path(path)
    if path.exists():
        raise ParameterError(
            f"{path} exists already; name another file with --write, or remove it first"
        )
    if not path.absolute().parent.is_dir():
        raise ParameterError(f"cannot write {path}: there is no folder {path.parent}; make it")


def write_listen_file(
    path: str | Path, model: ChosenModel, checked: Mapping[str, Any] | None = None
) -> None:
    """Write a new `listen.toml` that describes a model.

    Args:
        path: of the file; paths in it are relative to its folder.
        model: to describe.
        checked: table of a check, see `experiment.check`.

    Raises:
        ParameterError: the file exists already.
    """
    require_new(path)
    folder = Path(path).absolute().parent
    about: dict[str, Any] = {"model": _relative(model.path, folder)}
    for name in ("words", "place", "head", "builder", "imports"):
        if (value := getattr(model, name)) and (name, value) != ("place", "middle"):
            about[name] = list(value) if isinstance(value, tuple) else value
    lines = _entries(about)
    if component := model.frontend_component():
        settings = component.convert_options(model.settings)
        lines += ["", "[frontend]", *_entries({"name": model.frontend})]
        lines += _entries({key: _setting(value, folder) for key, value in settings.items()})
    elif model.spec and (changed := FeatureSpec().differing(model.spec)):
        fields = model.spec.to_dict()
        lines += ["", "[spec]", *_entries({name: fields[name] for name in changed})]
    if checked:
        lines += ["", _ABOUT, "[checked]", *_entries(checked)]
    _write(Path(path), "\n".join(lines) + "\n")


def keep_check(path: str | Path, checked: Mapping[str, Any]) -> None:
    """Put the table `[checked]` into a `listen.toml`, and leave all else in it as it is.

    Args:
        path: of the file.
        checked: the table, see `experiment.check`.

    Raises:
        ModelError: the file cannot be read, or has the table in another form.
    """
    path = Path(path)
    try:
        text = decode(path.read_bytes())
        before = tomllib.loads(with_line_feeds(text))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelError(f"cannot read {path}: {error}") from error
    end = "\r\n" if "\r\n" in text else "\n"
    lines = _with_table(text.splitlines(), _entries(checked))
    changed = end.join(lines) + end
    # Whatever else stands in the file must mean the same.
    try:
        same = tomllib.loads(changed) == {**before, "checked": dict(checked)}
    except tomllib.TOMLDecodeError:
        same = False
    if not same:
        raise ModelError(
            f"cannot keep the check in {path}: its table checked is not written as [checked]; "
            "remove it, and check again"
        )
    _write(path, changed)


def _with_table(lines: list[str], entries: list[str]) -> list[str]:
    """Return the lines of a file with these entries in its table `[checked]`."""
    start = next((i for i, line in enumerate(lines) if _CHECKED.match(line)), None)
    if start is None:
        return [*lines, *([""] if lines else []), _ABOUT, "[checked]", *entries]
    rest = range(start + 1, len(lines))
    stop = next((i for i in rest if _HEADER.match(lines[i])), len(lines))
    kept = [line for line in lines[start + 1 : stop] if not _ENTRY.match(line)]
    return [*lines[: start + 1], *entries, *kept, *lines[stop:]]


def _write(path: Path, text: str) -> None:
    with replacing(path) as beside:
        beside.write_bytes(text.encode("utf-8"))


def _entries(values: Mapping[str, Any]) -> list[str]:
    """Return values as lines of TOML."""
    return [f"{key} = {_toml(value)}" for key, value in values.items()]


def _toml(value: Any) -> str:
    """Return a bool, number, text or a list of these as TOML."""
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, float):
        return repr(float(value))
    # Texts, numbers and bools are written as in JSON.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _setting(value: Any, folder: Path) -> Any:
    """Return a setting of a front end as it stands in the file."""
    if value is None:
        return "none"
    return _relative(value, folder) if isinstance(value, Path) else value


def _relative(path: str | Path, folder: Path) -> str:
    """Return a path relative to a folder, if they have more than the root in common."""
    path = Path(path).absolute()
    common = os.path.commonpath([path, folder])
    if common == path.anchor and path.parent != Path(path.anchor):
        return str(path)
    return Path(os.path.relpath(path, folder)).as_posix()
