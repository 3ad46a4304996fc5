"""The rows of samples.csv, and the rates that they add up to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .experiment import Block, Experiment, saturated

COLUMNS = (
    "id",
    "word",
    "start",
    "score_before",
    "score_after",
    "probability",
    "predicted",
    "referee_predicted",
    "cycle_predicted",
    "referee_probability",
    "predicted_before",
    "predicted_clipped",
    "clipped_share",
    "first_success",
    "saturated",
    "gain",
)


Row = dict[str, str]


def rows_of(experiment: Experiment, block: Block) -> list[Row]:
    """Describe each sample of a block in the columns of samples.csv, as text."""
    return [_row(experiment, block, i) for i in range(len(block.samples))]


def _row(experiment: Experiment, block: Block, i: int) -> Row:
    sample, found = block.samples[i], block.maximization
    words = experiment.classifier.words
    final = found.probabilities[-1, i]
    target = words.index(sample.word) if sample.word else None
    outside = (found.features[i] < 0) | (found.features[i] > 1)
    return {
        "id": sample.id,
        "word": sample.word,
        "start": sample.start,
        "score_before": _number(found.scores[0, i]),
        "score_after": _number(found.scores[-1, i]),
        "probability": "" if target is None else _number(final[target]),
        "predicted": words[final.argmax()],
        "predicted_before": words[found.probabilities[0, i].argmax()],
        "predicted_clipped": words[block.clipped_probabilities[i].argmax()],
        "clipped_share": _number(outside.mean()),
        "first_success": "" if found.first_step[i] < 0 else str(found.first_step[i]),
        "saturated": str(int(saturated(found)[i])),
        **_referee_columns(experiment, block, i),
        "cycle_predicted": "" if block.cycle is None else words[block.cycle[i].argmax()],
        "gain": "" if block.gains is None else _number(block.gains[i]),
    }


def _referee_columns(experiment: Experiment, block: Block, i: int) -> Row:
    if experiment.referee is None:
        return {"referee_predicted": "", "referee_probability": ""}
    words, probabilities = experiment.referee.words, block.referee[i]
    word = block.samples[i].word
    known = word in words
    return {
        "referee_predicted": words[probabilities.argmax()],
        "referee_probability": _number(probabilities[words.index(word)]) if known else "",
    }


def _number(value: float) -> str:
    return format(float(value), ".6g")


def summarize(rows: Sequence[Row], referee_words: Sequence[str]) -> dict[str, Any]:
    """Count what came out of a run.

    Own success is the share of samples whose target word is predicted; transfer the share of *all*
    samples whose target the referee predicts too, as published; joint the share with both; cycle
    the share whose target is heard in the sound again. A rate without samples is None.
    """
    aimed = [row for row in rows if row["word"]]
    judged = [row for row in aimed if row["referee_predicted"] and row["word"] in referee_words]
    spoken = [row for row in aimed if row["cycle_predicted"]]
    return {
        "samples": len(rows),
        "own success": _rate(aimed, "predicted"),
        "transfer": _rate(judged, "referee_predicted"),
        "joint success": _rate(judged, "predicted", "referee_predicted"),
        "cycle": _rate(spoken, "cycle_predicted"),
        "saturated": sum(row["saturated"] == "1" for row in rows),
    }


def _rate(rows: Sequence[Row], *columns: str) -> float | None:
    if not rows:
        return None
    return sum(all(row[c] == row["word"] for c in columns) for row in rows) / len(rows)
