"""The page of a run: pictures, sounds and rates, one row a word."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..output.files import write_text
from ..output.pages import render, source, template_text
from .folder import Row, Run
from .verdict import describe_saturated

#: Largest number of samples whose pictures and sounds are embedded in the page. Pages of longer
#: runs show the first samples of each word, and link to their files.
EMBEDDED = 200
#: Columns of the table by word, and the kinds of their values.
_COLUMNS = {
    "word": "text",
    "samples": "number",
    "own success": "percent",
    "transfer": "percent",
    "joint success": "percent",
    "cycle": "percent",
    "referee cycle": "percent",
    "saturated": "number",
    "voiced": "percent",
    "speech distance": "number",
}
#: Headings of columns that have another name here.
_HEADINGS = {"speech distance": "dB from real speech"}


def write_page(run: Run, summary: dict[str, Any]) -> Path:
    """Write `index.html` into a run's folder and return its path.

    Pictures and sounds are embedded, so that the page can be sent on its own; in runs of more than
    `EMBEDDED` samples they are linked, because such a page would not open.
    """
    embed = len(run.rows) <= EMBEDDED
    text = render(
        "run.html",
        scripts=[template_text("tables.js")],
        title=run.root.resolve().name,
        manifest=run.manifest,
        verdict=run.verdict,
        saturated=describe_saturated(run.rows, run.manifest),
        columns={
            name: (_HEADINGS.get(name, name), kind)
            for name, kind in _COLUMNS.items()
            # Only referees of a classifier behind a front end hear the sound again.
            if name in ("word", *summary)
        },
        rates=[{"word": word, **rates} for word, rates in run.by_word.items()],
        samples=len(run.rows),
        words=_by_word(run.rows),
        source=lambda name: source(run.root, name, embed=embed),
        invented=sum(row.get("pitch") == "invented" for row in run.rows),
        has_sound=(lambda row: row["gain"] != ""),
    )
    path = run.root / "index.html"
    write_text(path, text)
    return path


def _by_word(rows: Sequence[Row]) -> dict[str, list[Row]]:
    words: dict[str, list[Row]] = {}
    for row in rows:
        words.setdefault(row["word"] or row["id"].rpartition("-")[0], []).append(row)
    return words
