"""Validate the answers of raters, and write them as rows of a ratings file."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ...errors import StudyError
from ...output.files import csv_text
from ..ratings import COLUMNS, NOTHING, OTHER, Rating

#: Labels of the ratings 1 to 5, as published.
SCALE = (
    "Bad - Completely unclear speech",
    "Poor - Mostly unclear speech",
    "Fair - Equally clear and unclear speech",
    "Good - Mostly clear speech",
    "Excellent - Completely clear speech",
)
#: Last column of an exported ratings file: result of the headphones check.
HEADPHONES = "headphones"
#: Greatest length of a typed word, in characters.
LONGEST = 60
_LIMITS = {"plays": 10_000, "seconds": 7 * 86_400}


@dataclass(frozen=True)
class Answer:
    """A rater's answer to one presentation.

    Attributes:
        rating: 1 to 5; None in mode word.
        heard: a word, `other:` and a text, or `nothing`; empty in mode rating.
        plays: number of times the recording was played.
        seconds: time spent on it.
    """

    rating: int | None
    heard: str
    plays: int
    seconds: float


def checked(mode: str, given: Any, words: Collection[str]) -> Answer:
    """Validate an answer sent by a client.

    Args:
        mode: "rating" or "word".
        given: parsed JSON, which may be anything.
        words: words to choose from.

    Raises:
        StudyError: it is not an answer, or a value is out of range.
    """
    if not isinstance(given, Mapping):
        raise StudyError("the answer is not an object of JSON")
    wanted = {"rating" if mode == "rating" else "heard", "plays", "seconds"}
    if set(given) != wanted:
        raise StudyError(f"the answer has {_names(given)}, expected {_names(wanted)}")
    return Answer(
        rating=_rating(given["rating"]) if mode == "rating" else None,
        heard="" if mode == "rating" else _heard(given["heard"], words),
        plays=int(_number(given, "plays", int)),
        seconds=round(float(_number(given, "seconds", float)), 3),
    )


def checked_headphones(given: Any) -> str:
    """Validate the result of a headphones check: `skipped`, or `passed` or `failed` and n/6.

    Raises:
        StudyError: it is none of these.
    """
    result = given.get(HEADPHONES) if isinstance(given, Mapping) else None
    known = {"skipped", *(f"{word} {n}/6" for word in ("passed", "failed") for n in range(7))}
    if result not in known:
        raise StudyError("the result of the headphones check is not skipped, passed or failed n/6")
    return result


def ratings_text(ratings: Iterable[Rating], headphones: Mapping[str, str]) -> str:
    """Return a ratings file as text.

    Args:
        ratings: rows of the file.
        headphones: result of the headphones check by rater, for the last column.
    """
    rows = [_row(rating) | {HEADPHONES: headphones.get(rating.rater, "")} for rating in ratings]
    return csv_text(rows, (*COLUMNS, HEADPHONES))


def _row(rating: Rating) -> dict[str, Any]:
    values = asdict(rating)
    return {name: "" if values[name] is None else values[name] for name in COLUMNS}


def _rating(value: Any) -> int:
    # True is 1 in Python, and no rating.
    if type(value) is not int or not 1 <= value <= len(SCALE):
        raise StudyError(f"the rating is {_shown(value)}, expected a whole number from 1 to 5")
    return value


def _heard(value: Any, words: Collection[str]) -> str:
    if isinstance(value, str):
        if value in words or value == NOTHING:
            return value
        text = " ".join(value.removeprefix(OTHER).split())
        if value.startswith(OTHER) and 0 < len(text) <= LONGEST and text.isprintable():
            return OTHER + text
    raise StudyError(
        f"what was heard is {_shown(value)}, expected a word of the listening test, {NOTHING!r}, "
        f"or {OTHER!r} and up to {LONGEST} characters"
    )


def _number(given: Mapping[str, Any], name: str, kind: type) -> float:
    value = given[name]
    right = type(value) is int or (kind is float and type(value) is float and math.isfinite(value))
    if not right or not 0 <= value <= _LIMITS[name]:
        raise StudyError(f"{name} is {_shown(value)}, expected a number from 0 to {_LIMITS[name]}")
    return value


def _names(given: Iterable[Any]) -> str:
    return ", ".join(sorted(_shown(name) for name in given)) or "nothing"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"
