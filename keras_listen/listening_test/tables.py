"""Read CSV files of others, each row with its place for messages."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from ..errors import RunError

#: A row with the place it stands at, `file:line`.
Placed = tuple[str, dict[str, str]]


def read_table(path: str | Path) -> tuple[list[str], list[Placed]]:
    """Return the heading of a CSV file and its rows, blank ones left out.

    Raises:
        RunError: it cannot be read, is empty, not UTF-8, or a row is longer or shorter than the
            heading.
    """
    path = Path(path)
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        heading = [name.strip() for name in next(reader, [])]
        rows = [(f"{path}:{reader.line_num}", cells) for cells in reader if any(cells)]
    except csv.Error as error:
        raise RunError(f"{path}:{reader.line_num} is no CSV: {error}") from error
    if not any(heading):
        raise RunError(f"{path} is empty; expected a CSV file with a heading")
    if twice := {name for name in heading if heading.count(name) > 1}:
        raise RunError(f"{path}:1 names the column {min(twice)!r} twice; leave one")
    return heading, [(place, _row(place, heading, cells)) for place, cells in rows]


def _text(path: Path) -> str:
    try:
        stored = path.read_bytes()
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error
    try:
        # Spreadsheets put a byte order mark first.
        return stored.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = stored[: error.start].count(b"\n") + 1
        raise RunError(f"{path}:{line} is not UTF-8; save the file as UTF-8") from error


def _row(place: str, heading: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    if len(cells) != len(heading):
        raise RunError(f"{place} has {len(cells)} cells; expected {len(heading)}, as the heading")
    return dict(zip(heading, cells, strict=True))


def require_columns(path: str | Path, heading: Sequence[str], wanted: Sequence[str]) -> None:
    """Raise RunError unless a heading has all columns that are wanted."""
    if missing := [name for name in wanted if name not in heading]:
        raise RunError(f"{path} lacks {', '.join(missing)}; expected {', '.join(wanted)}")
