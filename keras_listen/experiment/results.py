"""The rates of a run, counted from the rows of samples.csv."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .samples_csv import Row


def summarize(rows: Sequence[Row], referee_words: Sequence[str]) -> dict[str, Any]:
    """Count the rates of a run.

    Own success is the share of samples whose target word is predicted; transfer the share of *all*
    samples whose target the referee predicts too, as published; joint the share with both; cycle
    the share whose target the classifier predicts from the sound; referee cycle (of classifiers
    that hear through a front end) the share whose target the referee predicts from the sound. A
    rate without samples is None.

    Args:
        rows: of samples.csv.
        referee_words: words that the referee knows; none without a referee.
    """
    aimed = [row for row in rows if row["word"]]
    # By columns that are never empty: a model with a sigmoid for each word may predict none.
    refereed = [row for row in aimed if row["referee_probability"] and row["word"] in referee_words]
    vocoded = [row for row in aimed if row["gain"]]
    rates = {
        "samples": len(rows),
        "own success": _rate(aimed, "predicted"),
        "transfer": _rate(refereed, "referee_predicted"),
        "joint success": _rate(refereed, "predicted", "referee_predicted"),
        "cycle": _rate(vocoded, "cycle_predicted"),
        "saturated": sum(row["saturated"] == "1" for row in rows),
    }
    if rows and "referee_cycle_predicted" in rows[0]:
        spoken = [row for row in refereed if row["gain"]]
        rates["referee cycle"] = _rate(spoken, "referee_cycle_predicted")
    return rates


def _rate(rows: Sequence[Row], *columns: str) -> float | None:
    if not rows:
        return None
    return sum(all(row[c] == row["word"] for c in columns) for row in rows) / len(rows)
