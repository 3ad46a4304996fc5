"""A run in Python: its samples as numbers or as a DataFrame, and as HTML for notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import Unavailable
from ..output.pages import fill, number, percent, source
from .samples_csv import Row

#: Columns of samples.csv that are text, beside those of predicted words.
_TEXTS = ("id", "word", "start", "pitch")
#: Samples whose picture and sound a notebook shows: each is stored in it.
SHOWN = 12


def numbers(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return rows of samples.csv with numbers as numbers; an empty cell of a number is None."""
    return [{name: _value(name, cell) for name, cell in row.items()} for row in rows]


def _value(name: str, cell: str) -> Any:
    if name in _TEXTS or "predicted" in name:
        return cell
    if cell == "":
        return None
    if name == "saturated":
        return cell == "1"
    return int(cell) if name == "first_success" else float(cell)


def frame(rows: Sequence[Row]) -> Any:
    """Return rows of samples.csv as a pandas DataFrame with a row for each sample.

    Raises:
        Unavailable: pandas is not installed.
    """
    try:
        # No dependency of this project.
        import pandas
    except ImportError as error:
        raise Unavailable(
            "a DataFrame needs pandas: pip install pandas; `table` has the same numbers without it"
        ) from error
    return pandas.DataFrame(numbers(rows)).set_index("id")


def html(
    root: Path, rows: Sequence[Row], rates: Mapping[str, Mapping[str, Any]], verdict: Sequence[str]
) -> str:
    """Return a run as HTML: its rates, and the first samples with pictures and players.

    Args:
        root: folder of the run.
        rows: of samples.csv.
        rates: by word, those of all samples last.
        verdict: sentences that say who hears the words.
    """
    return fill(
        "run_notebook.html",
        root=str(root),
        verdict=verdict,
        names=[name for name in next(iter(rates.values()), {}) if name != "saturated"],
        rates={word: {n: _shown(n, v) for n, v in found.items()} for word, found in rates.items()},
        rows=rows[:SHOWN],
        more=max(0, len(rows) - SHOWN),
        source=lambda name: source(root, name, embed=True),
    )


def _shown(name: str, value: Any) -> str:
    if name == "speech distance" and value is not None:
        return f"{value:.1f} dB"
    return percent(value) if isinstance(value, float) else number(value)
