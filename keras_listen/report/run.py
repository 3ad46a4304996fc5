"""The page of a run: look, listen and compare, one row a word."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..files import write_text
from ..runs import Row, Run

#: Up to so many samples stand in the page itself; of longer runs the page shows the first samples
#: of each word, and links to their files.
EMBEDDED = 200


def write_page(run: Run, summary: dict[str, Any]) -> Path:
    """Write `index.html` into a run's folder and return its path.

    Pictures and sounds are in the page, so that it can be sent to somebody on its own; in runs of
    more than `EMBEDDED` samples they are linked, because such a page would not open.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    pages = Environment(
        loader=PackageLoader("keras_listen.report"), autoescape=True, undefined=StrictUndefined
    )
    embed = len(run.rows) <= EMBEDDED
    text = pages.get_template("run.html").render(
        title=run.root.resolve().name,
        manifest=run.manifest,
        summary=summary,
        words=_by_word(run.rows),
        source=lambda name: _source(run.root / name, embed=embed),
        has_sound=(lambda row: row["cycle_predicted"] != ""),
    )
    path = run.root / "index.html"
    write_text(path, text)
    return path


def _by_word(rows: Sequence[Row]) -> dict[str, list[Row]]:
    words: dict[str, list[Row]] = {}
    for row in rows:
        words.setdefault(row["word"] or row["id"].rpartition("-")[0], []).append(row)
    return words


def _source(path: Path, *, embed: bool) -> str:
    """Return what an element's `src` needs: the data itself, a relative link, or nothing."""
    if not path.is_file():
        return ""
    if not embed:
        return path.name
    kind = {".png": "image/png", ".wav": "audio/wav"}[path.suffix]
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
