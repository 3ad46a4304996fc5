"""Read batch results of Mechanical Turk, including those of the published study.

References:
    The code of Soomro et al., Interspeech 2019.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from ...errors import ParameterError, RunError
from ..catalogue import Catalogue, RatedRecording
from ..ratings import Placed, Rating, read_table, require_columns

WORKER, ANSWER = "WorkerId", "Answer.audio-naturalness.label"
#: All answers of a task as JSON, in downloads of forms whose answers are not made columns.
ANSWERS = "Answer.taskAnswers"
_QUESTION = "audio-naturalness"
#: Whether the requester rejected an assignment; published results have no such column.
STATUS, REJECTED = "AssignmentStatus", "rejected"
COLUMNS = (WORKER, "Input.experiment", "Input.class_label", "Input.audio_url", ANSWER)
#: Ratings by the first word of the published labels.
LABELS = {"bad": 1, "poor": 2, "fair": 3, "good": 4, "excellent": 5}
#: Offset from a number in the file to a rating of 1 to 5.
CODINGS = {"0-4": 1, "1-5": 0}
#: Condition and prior of each of the paper's experiments.
EXPERIMENTS = {
    1: ("noise none", "none"),
    2: ("class none", "none"),
    3: ("noise decoder", "decoder"),
    4: ("class decoder", "decoder"),
}
#: Words in the addresses of recordings before maximization: the first in published ones, the second
#: in those made by the published generator.
_BEFORE = ("original", "before")
_ALL_BEFORE = (
    "the addresses of all recordings of experiments 2 and 4 have original or before in them, maybe "
    "in the name of a folder, so all count as recordings before maximization."
)


def is_batch(heading: Sequence[str]) -> bool:
    """Return whether a heading is that of batch results."""
    return WORKER in heading or any(name.startswith("Input.") for name in heading)


def read_batch(
    path: str | Path,
    study: Catalogue | None = None,
    *,
    coding: str = "auto",
    rejected: bool = False,
) -> tuple[list[Rating], dict[str, RatedRecording], list[str]]:
    """Read batch results.

    Args:
        path: path of the CSV file.
        study: recordings of the listening test; if None, the file itself describes them.
        coding: scale of numeric answers: "0-4", "1-5", or "auto" to infer it. Answers that begin
            with the word of a label need none.
        rejected: include assignments that the requester rejected.

    Returns:
        the ratings, the recordings by name (of the listening test, or as the file describes them),
        and notes on what was left out or should be known, as sentences.

    Raises:
        RunError: the file has an invalid value.
        ParameterError: the scale of the numbers cannot be inferred.
    """
    heading, rows = read_table(path)
    if ANSWER not in heading and ANSWERS in heading:
        heading = [*heading, ANSWER]
        rows = [(place, {**row, ANSWER: _label(place, row[ANSWERS])}) for place, row in rows]
    require_columns(path, heading, COLUMNS)
    counted = rows if rejected else [(place, row) for place, row in rows if not _is_rejected(row)]
    answered = [(place, row) for place, row in counted if row[ANSWER].strip()]
    shift = _shift(path, answered, coding)
    ratings, items = [], {}
    for place, row in answered:
        if not row[WORKER].strip():
            raise RunError(f"{place}: the column {WORKER} is empty; expected an id")
        item = _described(place, row) if study is None else _known(row)
        items.setdefault(item.name, item)
        if items[item.name] != item:
            raise RunError(
                f"{place}: {item.name} is of another experiment or word than further up; expected "
                "one of each for a recording"
            )
        value = _value(place, row[ANSWER], shift)
        ratings.append(Rating("", row[WORKER], "rating", item.name, 0, value, where=place))
    notes = [*_about_rejected(rows, rejected)]
    if unanswered := len(counted) - len(answered):
        notes.append(f"{unanswered} rows without an answer were left out.")
    stages = {item.stage for item in items.values()}
    if study is None and "before" in stages and "after" not in stages:
        notes.append(_ALL_BEFORE)
    named = [f"{path}: {note}" for note in notes]
    return ratings, dict(study.recordings) if study else items, named


def _label(place: str, answers: str) -> str:
    """Return the label that JSON such as [{"audio-naturalness": {"label": "Good"}}] has."""
    if not answers.strip():
        return ""
    try:
        (answer,) = json.loads(answers)
        return str(answer[_QUESTION]["label"])
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{place}: {ANSWERS} is {answers[:80]!r}; expected the answers as JSON, "
            f'[{{"{_QUESTION}": {{"label": "Good"}}}}]'
        ) from error


def _is_rejected(row: Mapping[str, str]) -> bool:
    return row.get(STATUS, "").strip().casefold() == REJECTED


def _about_rejected(rows: Sequence[Placed], are_counted: bool) -> Iterator[str]:
    """Yield a note on rejected assignments, if there are any."""
    workers = [row[WORKER] for _, row in rows if _is_rejected(row)]
    if workers:
        became = "they count like the others" if are_counted else "left out, --rejected counts them"
        some, every = len(set(workers)), len({row[WORKER] for _, row in rows})
        yield f"rejected assignments: {len(workers)}, by {some} of {every} workers; {became}."


def _known(row: Mapping[str, str]) -> RatedRecording:
    """Return a recording with only its name in the listening test."""
    url = PurePosixPath(unquote(urlsplit(row["Input.audio_url"]).path))
    return RatedRecording(row.get("Input.name") or url.stem, "")


def _described(place: str, row: Mapping[str, str]) -> RatedRecording:
    given, url = row["Input.experiment"].strip(), row["Input.audio_url"]
    if given not in [str(number) for number in EXPERIMENTS]:
        raise RunError(
            f"{place}: the experiment is {given!r}; expected 1 to 4, or name the folder of the "
            "listening test with --study"
        )
    if not url or not row["Input.class_label"]:
        raise RunError(f"{place}: Input.audio_url or Input.class_label is empty; expected both")
    experiment = int(given)
    condition, prior = EXPERIMENTS[experiment]
    before = any(word in urlsplit(url).path.casefold() for word in _BEFORE)
    stage = "generated" if experiment in (1, 3) else "before" if before else "after"
    return RatedRecording(
        url, row["Input.class_label"], "item", experiment, condition, stage, prior
    )


def _first_word(answer: str) -> str:
    return answer.strip().split(maxsplit=1)[0].rstrip("-:").casefold()


def _shift(path: str | Path, rows: Sequence[Placed], coding: str) -> int:
    """Return the offset to add to the numbers of a file."""
    words = {_first_word(row[ANSWER]) for _, row in rows}
    numbers = sorted({int(word) for word in words if word.isdecimal()})
    if coding != "auto" or not numbers:
        return CODINGS.get(coding, 0)
    if 0 in numbers and 5 in numbers:
        raise RunError(f"{path} has answers of 0 and of 5; expected 0 to 4 or 1 to 5")
    if numbers[0] == 0:
        return CODINGS["0-4"]
    if numbers[-1] >= 5:
        return CODINGS["1-5"]
    raise ParameterError(
        f"the answers in {path} are numbers {numbers[0]} to {numbers[-1]}, which may mean 0 to 4 "
        "or 1 to 5; say which with --coding"
    )


def _value(place: str, answer: str, shift: int) -> int:
    word = _first_word(answer)
    value = int(word) + shift if word.isdecimal() else LABELS.get(word, 0)
    if not 1 <= value <= 5:
        known = ", ".join(name.capitalize() for name in LABELS)
        raise RunError(
            f"{place}: the answer is {answer!r}; expected one that begins with {known}, or "
            f"a number {1 - shift} to {5 - shift}"
        )
    return value
