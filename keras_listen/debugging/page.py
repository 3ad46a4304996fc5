"""Write the page of a debugging run: its map, tables and tickets."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import RunError
from ..output.files import write_text
from ..output.pages import data_block, link, render, source, template_text
from .map_figure import COLUMNS, bokeh_script, figure_item, point_table
from .ticket_page import TicketView, read_json, read_ticket, sounds_of

#: Words up to which the confusion matrix stands in the page; a larger one is only drawn.
MATRIX = 40
#: Pictures of all utterances, shown if they exist, and their captions.
FIGURES = {
    "figure-4a": "Misclassified utterances of the most frequent words, and where they move",
    "figure-4b": "Utterances of the most frequent words and speakers, misclassified ones circled",
    "confusion": "Confusion matrix",
}
_SCRIPTS = ("tables.js", "tickets.js", "map.js")


def write_page(root: Path, *, single_file: bool = False) -> Path:
    """Write `index.html` into the folder of a debugging run and return its path.

    The page needs nothing from elsewhere. Everything it shows is read from the folder.

    Args:
        root: the folder.
        single_file: put pictures and sounds into the page, instead of leaving them beside it.

    Raises:
        RunError: a file of the folder is missing or damaged.
    """
    root = Path(root)
    rows, results = _points(root), read_json(root / "results.json")
    table = point_table(rows, results["words"])
    sounds = _names(root / "sounds")
    tickets = [_read(root, row["id"], sounds, single_file) for row in rows if row["ticket"] == "1"]
    tickets.sort(key=lambda ticket: -ticket.confidence)
    text = render(
        "debug.html",
        scripts=[bokeh_script(), *map(template_text, _SCRIPTS)],
        title=root.resolve().name,
        manifest=read_json(root / "manifest.json"),
        results=results,
        count=len(rows),
        misclassified=sum(table["misclassified"]),
        tickets=tickets,
        matrix=_matrix(results),
        movements=movement_tables(results["movement"]),
        figures=_figures(root, single_file),
        blocks=_blocks(root, table, sounds, single_file),
        single_file=single_file,
        sound=lambda name: link(f"sounds/{name}"),
    )
    write_text(root / "index.html", text)
    return root / "index.html"


def _points(root: Path) -> list[dict[str, str]]:
    path = root / "points.csv"
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError) as error:
        raise RunError(f"cannot read {path}: {error}") from error
    # A row that was cut short has None where fields are missing.
    missing = {name for name in COLUMNS for row in rows[:1] + rows[-1:] if row.get(name) is None}
    if missing:
        raise RunError(f"{path} is cut short or lacks columns: {', '.join(sorted(missing))}")
    return rows


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _read(root: Path, id_: str, sounds: set[str], single_file: bool) -> TicketView:
    folder = f"tickets/{id_}"

    def address(name: str) -> str:
        return source(root, f"{folder}/{name}", embed=single_file)

    return read_ticket(root / folder, address, sounds)


def _blocks(
    root: Path, table: dict[str, Any], sounds: set[str], single_file: bool
) -> dict[str, Any]:
    """Return the data that the page's scripts read, by the id of its element."""
    there = [sounds_of(id_, sounds) for id_ in table["id"]]
    blocks = {"points": table | {"sounds": there}, "figure": figure_item(table)}
    if single_file:
        blocks["sounds"] = {
            name: source(root, f"sounds/{name}", embed=True) for name in sorted(sounds)
        }
    return {name: data_block(value) for name, value in blocks.items()}


def _matrix(results: Mapping[str, Any]) -> list[tuple[str, list[tuple[int, float]]]]:
    """Return the row of each word that was spoken: counts, and their shares of the row."""
    counts, words = results["confusion"], results["words"]
    if len(words) > MATRIX:
        return []
    rows = [(word, row, sum(row)) for word, row in zip(words, counts, strict=True)]
    return [(word, [(n, n / total) for n in row]) for word, row, total in rows if total]


def _figures(root: Path, single_file: bool) -> Sequence[tuple[str, str, str]]:
    """Return caption, address of the picture and of the PDF of each figure that exists.

    Browsers open no PDF that stands in a page, so a single file has none.
    """
    found = []
    for stem, about in FIGURES.items():
        if png := source(root, f"{stem}.png", embed=single_file):
            pdf = "" if single_file else source(root, f"{stem}.pdf", embed=False)
            found.append((about, png, pdf))
    return found


@dataclass(frozen=True)
class MovementTable:
    """One group of numbers: its explanation, its columns, and a row for each key."""

    name: str
    about: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Any]]]


def movement_tables(movement: Mapping[str, Any]) -> list[MovementTable]:
    """Lay out the groups of numbers of the movement in latent space as tables.

    Args:
        movement: from `results.json`: groups by name, whatever they are called, each a mapping to
            numbers or to mappings of numbers. Under `explanation` stands what a group means, by the
            beginning of its name.
    """
    explanations = movement.get("explanation", {})
    groups = {name: value for name, value in movement.items() if name != "explanation"}
    found = []
    for name, group in groups.items():
        group = dict(group) if isinstance(group, Mapping) else {"": group}
        about = group.pop("explanation", None) or _explanation(name, explanations)
        found.append(_movement_table(name, about, group))
    return found


def _explanation(name: str, explanations: Mapping[str, str] | str) -> str:
    if isinstance(explanations, str):
        return ""
    return next((text for start, text in explanations.items() if name.startswith(start)), "")


def _movement_table(name: str, about: str, group: Mapping[str, Any]) -> MovementTable:
    inner = [value for value in group.values() if isinstance(value, Mapping)]
    columns = list(dict.fromkeys(key for value in inner for key in value))
    if len(inner) < len(group):
        # Numbers of their own stand in a column without a name.
        columns = ["", *columns]
    rows = [(key, _cells(value, columns)) for key, value in group.items()]
    return MovementTable(
        _spaced(name),
        about,
        [_spaced(c) for c in columns],
        [(_spaced(key), cells) for key, cells in rows],
    )


def _cells(value: Any, columns: Sequence[str]) -> list[Any]:
    given = value if isinstance(value, Mapping) else {"": value}
    return [given.get(column, "") for column in columns]


def _spaced(name: str) -> str:
    return str(name).replace("_", " ")
