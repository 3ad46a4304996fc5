"""Sentences that say who hears the words of a run, and how its sounds compare with real speech."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..models.bundle import REFEREES
from ..output.pages import percent
from .samples_csv import Row, judge_column


def describe_hearing(rows: Sequence[Row], manifest: Mapping[str, Any]) -> list[str]:
    """Say how often the classifier, referee and judges hear the target word.

    A classifier that is maximized hears nearly all that it is shown, so rates alone mislead.

    Args:
        rows: of samples.csv.
        manifest: of the run; one from before has no judges.

    Returns:
        one sentence a line; none where no sample has a target word.
    """
    if not (aimed := [row for row in rows if row["word"]]):
        return []
    own = f"The classifier that was maximized hears the word in {_hits(aimed, 'predicted')} samples"
    if others := _others(aimed, manifest):
        own += f"; other classifiers: {', '.join(others)}"
    found = [f"{own}."]
    if spoken := [row for row in aimed if row["gain"]]:
        heard = f"From the vocoder's sound, it hears the word in {_hits(spoken, 'cycle_predicted')}"
        known = [row for row in spoken if row["referee_probability"]]
        if known and "referee_cycle_predicted" in known[0]:
            heard += f"; {REFEREES[0]} in {_hits(known, 'referee_cycle_predicted')}"
        found.append(f"{heard}.")
    found.append("These are classifiers, not listeners: people may hear something else.")
    return found


def _others(aimed: Sequence[Row], manifest: Mapping[str, Any]) -> list[str]:
    """Count what the referee and the judges hear, of the samples whose word they know."""
    columns = {REFEREES[0]: ("referee_predicted", "referee_probability")}
    columns |= {name: (judge_column(name),) * 2 for name in manifest.get("judges", ())}
    found = []
    for name, (heard, known) in columns.items():
        if mine := [row for row in aimed if row[known]]:
            found.append(f"{name} in {_hits(mine, heard)}")
    return found


def describe_measures(summary: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[str]:
    """Say how much is voiced and how far the features are from real speech, beside real speech.

    Args:
        summary: of `experiment.results.summarize`.
        manifest: of the run; one from before says nothing of speech, and one whose bundle has none
            says what is missing.
    """
    voiced, distance = summary.get("voiced"), summary.get("speech distance")
    real, found = manifest.get("speech", {}), []
    if voiced is not None:
        text = f"{percent(voiced, 0)} of a sound's frames are voiced"
        if "voiced_share" in real:
            text += f" (real speech, spoken by Griffin-Lim: {percent(real['voiced_share'], 0)})"
        found.append(f"{text}.")
    if distance is not None:
        text = f"Features are {distance:.1f} dB from real speech of the word"
        if "distance_db" in real:
            text += f" (recordings of the word: {real['distance_db']:.1f} dB"
            if (others := real.get("distance_db_of_other_words")) is not None:
                text += f", of other words: {others:.1f} dB"
            text += ")"
        found.append(f"{text}.")
    if "missing" in real:
        found.append(f"Note: {real['missing']}.")
    return [" ".join(found)] if found else []


def describe_saturated(rows: Sequence[Row], manifest: Mapping[str, Any]) -> str:
    """Say how many starts had a vanishing gradient, and what became of them; "" for none.

    Args:
        rows: of samples.csv.
        manifest: of the run.
    """
    count = sum(row["saturated"] == "1" for row in rows)
    if not count:
        return ""
    text = f"{count} of {len(rows)} starts had a vanishing gradient (saturated objective)"
    if manifest["components"]["objective"]["name"] == "softmax":
        return f"{text} and climbed the logarithm of the probability until it had one"
    return f"{text} and hardly moved"


def _hits(rows: Sequence[Row], column: str) -> str:
    return f"{sum(row[column] == row['word'] for row in rows)} of {len(rows)}"
