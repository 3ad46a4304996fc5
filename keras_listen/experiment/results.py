"""The rates of a run, counted from the rows of samples.csv."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .samples_csv import Row

#: Means of columns of samples.csv, by their names in a summary.
MEASURES = {"voiced": "voiced_share", "speech distance": "speech_distance_db"}


def summarize(rows: Sequence[Row], referee_words: Sequence[str]) -> dict[str, Any]:
    """Count the rates of a run.

    Own success is the share of samples whose target word is predicted; transfer the share of *all*
    samples whose target the referee predicts too, as published; joint the share with both; cycle
    the share whose target the classifier predicts from the sound; referee cycle (of classifiers
    that hear through a front end) the share whose target the referee predicts from the sound;
    voiced the mean share of a sound's frames that are voiced; speech distance, in dB, the mean
    distance of the features to real speech of the word. A figure without samples is None; the
    last two are left out of folders from before them.

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
    for name, column in MEASURES.items():
        if rows and column in rows[0]:
            rates[name] = _mean(row[column] for row in rows)
    return rates


def _mean(cells: Iterable[str]) -> float | None:
    values = [float(cell) for cell in cells if cell]
    return sum(values) / len(values) if values else None


def _rate(rows: Sequence[Row], *columns: str) -> float | None:
    if not rows:
        return None
    return sum(all(row[c] == row["word"] for c in columns) for row in rows) / len(rows)
