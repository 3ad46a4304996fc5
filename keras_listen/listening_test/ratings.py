"""Ratings files: one row for each rating of a recording by a rater."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import RunError
from .tables import read_table, require_columns

COLUMNS = (
    *("study", "rater", "mode", "name", "repeat", "rating", "heard"),
    *("plays", "seconds", "position", "rated_at"),
)
MODES = ("rating", "word")
#: What stands before a word that was not among those to choose from.
OTHER = "other:"
NOTHING = "nothing"


@dataclass(frozen=True)
class Rating:
    """A row of a ratings file.

    Attributes:
        study: id of the study; empty in files of others.
        rater: opaque id.
        mode: "rating" or "word".
        name: the recording's.
        repeat: 0 the first time, 1 the second.
        rating: 1 to 5; None in mode word.
        heard: a word, `other:` and a text, or `nothing`; empty in mode rating.
        plays, seconds, position: times played, time taken, place in the rater's order; None where
            it was not recorded.
        rated_at: ISO 8601, UTC; empty where it was not recorded.
        where: file and line, for messages.
    """

    study: str
    rater: str
    mode: str
    name: str
    repeat: int = 0
    rating: int | None = None
    heard: str = ""
    plays: int | None = None
    seconds: float | None = None
    position: int | None = None
    rated_at: str = ""
    where: str = ""


def read_ratings(path: str | Path) -> list[Rating]:
    """Read a ratings file, as `study serve` exports it or the static page hands it out.

    Raises:
        RunError: it is none, or something in it cannot be.
    """
    heading, rows = read_table(path)
    require_columns(path, heading, COLUMNS)
    return [_rating(place, row) for place, row in rows]


def _rating(place: str, row: Mapping[str, str]) -> Rating:
    for name in ("study", "rater", "name"):
        if not row[name].strip():
            raise RunError(f"{place}: the column {name} is empty; expected an id")
    mode = row["mode"]
    if mode not in MODES:
        raise RunError(f"{place}: the mode is {mode!r}; expected {' or '.join(MODES)}")
    if mode == "word" and not row["heard"].strip():
        raise RunError(f"{place}: nothing stands under heard; expected a word in mode word")
    return Rating(
        study=row["study"],
        rater=row["rater"],
        mode=mode,
        name=row["name"],
        repeat=_whole(place, "repeat", row["repeat"], 0, 1),
        rating=_whole(place, "rating", row["rating"], 1, 5) if mode == "rating" else None,
        heard=row["heard"].strip() if mode == "word" else "",
        plays=_if_given(place, "plays", row["plays"], int),
        seconds=_if_given(place, "seconds", row["seconds"], float),
        position=_if_given(place, "position", row["position"], int),
        rated_at=row["rated_at"],
        where=place,
    )


def _whole(place: str, name: str, text: str, low: int, high: int) -> int:
    if text.strip() not in [str(value) for value in range(low, high + 1)]:
        raise RunError(f"{place}: the {name} is {text!r}; expected a whole number {low} to {high}")
    return int(text)


def _if_given(place: str, name: str, text: str, kind: Callable[[str], Any]) -> Any:
    if not text.strip():
        return None
    try:
        value = kind(text)
    except ValueError:
        value = -1
    if not math.isfinite(value) or value < 0:
        raise RunError(f"{place}: {name} is {text!r}; expected a number from 0 up, or nothing")
    return value
