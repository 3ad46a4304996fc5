"""Ratings files: columns, values and validation; reading CSV files that others hand in."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import RunError
from ..texts import decode

MODES = ("rating", "word")
#: Prefix of a word that was typed in because it was not among those to choose from.
OTHER = "other:"
NOTHING = "nothing"
#: Separators of cells; the first is taken where the heading has one cell only.
_SEPARATORS = ",;\t"
_SEPARATOR_LINE = re.compile(r'"?sep=([,;\t])"?(?:\r\n|\n|\r)', re.IGNORECASE)
#: A row of a CSV file and its position, `file:line`.
Placed = tuple[str, dict[str, str]]


@dataclass(frozen=True)
class Rating:
    """A row of a ratings file.

    Attributes:
        study: id of the listening test; empty in batch results of Mechanical Turk.
        rater: opaque id of the rater.
        mode: "rating" or "word".
        name: name of the recording.
        repeat: 0 for the first presentation of the recording, 1 for the second.
        rating: 1 to 5; None in mode word.
        heard: a word, `other:` and a text, or `nothing`; empty in mode rating.
        plays, seconds, position: times played, seconds taken, position in the rater's order; None
            if not recorded.
        rated_at: time, ISO 8601 in UTC; empty if not recorded.
        where: file and line, for messages; not a column.
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


#: Columns of a ratings file, in order.
COLUMNS = tuple(field.name for field in fields(Rating) if field.name != "where")


def read_ratings(path: str | Path) -> list[Rating]:
    """Read a ratings file, exported by a server or saved by a rater from the static page.

    Raises:
        RunError: the file is not a ratings file, or a value is invalid.
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


def read_table(path: str | Path) -> tuple[list[str], list[Placed]]:
    """Read a CSV file; return its heading and its rows, blank ones left out.

    Cells are separated by commas, semicolons or tabs, as the heading or a line `sep=;` before it
    has them. Cells that a row lacks at its end are empty.

    Raises:
        RunError: the file cannot be read, is empty or not text, or a row is longer than the
            heading.
    """
    path = Path(path)
    text = _text(path)
    # Excel writes this line, and hides it.
    named = _SEPARATOR_LINE.match(text)
    above, text = (1, text[named.end() :]) if named else (0, text)
    separator = named[1] if named else _separator(text)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    try:
        heading = [name.strip() for name in next(reader, [])]
        rows = [(f"{path}:{reader.line_num + above}", cells) for cells in reader if any(cells)]
    except csv.Error as error:
        raise RunError(f"{path}:{reader.line_num + above} is no CSV: {error}") from error
    if not any(heading):
        raise RunError(f"{path} is empty; expected a CSV file with a heading")
    if twice := {name for name in heading if heading.count(name) > 1}:
        raise RunError(f"{path}:1 names the column {min(twice)!r} twice; leave one")
    return heading, [(place, _row(place, heading, cells)) for place, cells in rows]


def _separator(text: str) -> str:
    """Return what separates most cells of the heading."""

    def count(separator: str) -> int:
        try:
            return len(next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), []))
        except csv.Error:
            return 0

    return max(_SEPARATORS, key=count)


def _text(path: Path) -> str:
    try:
        stored = path.read_bytes()
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error
    try:
        return decode(stored)
    except UnicodeDecodeError as error:
        line = stored[: error.start].count(b"\n") + 1
        raise RunError(f"{path}:{line} is not UTF-8; save the file as UTF-8") from error


def _row(place: str, heading: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    if len(cells) > len(heading):
        raise RunError(f"{place} has {len(cells)} cells; expected {len(heading)}, as the heading")
    # Mechanical Turk's headings end in Approve and Reject, and its rows have no cells for them.
    return {name: cells[i] if i < len(cells) else "" for i, name in enumerate(heading)}


def require_columns(path: str | Path, heading: Sequence[str], wanted: Sequence[str]) -> None:
    """Raise RunError unless a heading has all wanted columns."""
    if missing := [name for name in wanted if name not in heading]:
        raise RunError(f"{path} lacks {', '.join(missing)}; expected {', '.join(wanted)}")
