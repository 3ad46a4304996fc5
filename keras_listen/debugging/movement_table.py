"""The numbers of the movement in latent space, laid out as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Section:
    """One group of numbers: what it says, its columns, and a row for each key."""

    name: str
    about: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Any]]]


def sections(movement: Mapping[str, Any]) -> list[Section]:
    """Lay out the groups of numbers of `results.json`, whatever they are called.

    Args:
        movement: groups by name, each a mapping to numbers or to mappings of numbers. What stands
            under `explanation` says by the beginning of its name what a group means.
    """
    explanations = movement.get("explanation", {})
    groups = {name: value for name, value in movement.items() if name != "explanation"}
    found = []
    for name, group in groups.items():
        group = dict(group) if isinstance(group, Mapping) else {"": group}
        about = group.pop("explanation", None) or _explanation(name, explanations)
        found.append(_section(name, about, group))
    return found


def _explanation(name: str, explanations: Mapping[str, str] | str) -> str:
    if isinstance(explanations, str):
        return ""
    return next((text for start, text in explanations.items() if name.startswith(start)), "")


def _section(name: str, about: str, group: Mapping[str, Any]) -> Section:
    inner = [value for value in group.values() if isinstance(value, Mapping)]
    columns = list(dict.fromkeys(key for value in inner for key in value))
    if len(inner) < len(group):
        # Numbers of their own stand in a column without a name.
        columns = ["", *columns]
    rows = [(key, _cells(value, columns)) for key, value in group.items()]
    return Section(_spaced(name), about, [_spaced(c) for c in columns], _named(rows))


def _cells(value: Any, columns: Sequence[str]) -> list[Any]:
    given = value if isinstance(value, Mapping) else {"": value}
    return [given.get(column, "") for column in columns]


def _named(rows: Sequence[tuple[str, Sequence[Any]]]) -> list[tuple[str, Sequence[Any]]]:
    return [(_spaced(key), cells) for key, cells in rows]


def _spaced(name: str) -> str:
    return str(name).replace("_", " ")
