"""Intelligibility: confusions between words, and typed answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ..ratings import NOTHING, OTHER
from .judgements import Judgement
from .mean_opinion import by_condition, by_word

#: Category of typed answers that are not among the words of the listening test.
ELSE = "something else"
#: Greatest number of confusions and of typed texts listed.
LISTED = 20


def count_answers(judgements: Sequence[Judgement], words: Iterable[str]) -> dict[str, Any]:
    """Count the answers to each word.

    Args:
        judgements: first judgements of items in mode word.
        words: words to choose from.

    Returns:
        words, chance (probability of guessing right), confusion (counts of answers by condition
        and word), confused (the most frequent wrong words) and typed (the most frequent texts).
    """
    words = sorted(words)
    confusion = {
        condition.title: {
            word: dict(sorted(Counter(_answer(j, words) for j in answers).items()))
            for word, answers in by_word(mine).items()
        }
        for condition, mine in by_condition(judgements).items()
    }
    typed = Counter(_typed(j) for j in judgements if j.rating.heard.startswith(OTHER))
    return {
        "words": words,
        "chance": 1 / len(words) if words else None,
        "confusion": confusion,
        "confused": _confused(confusion),
        "typed": [{"text": text, "count": n} for text, n in _frequent(typed)],
    }


def _typed(judgement: Judgement) -> str:
    return judgement.rating.heard.removeprefix(OTHER).strip().casefold()


def _answer(judgement: Judgement, words: Sequence[str]) -> str:
    """Return the answer as a word of the listening test, `NOTHING` or `ELSE`."""
    if judgement.right:
        return judgement.item.word
    heard = judgement.rating.heard
    if heard in words or heard == NOTHING:
        return heard
    typed = {word.casefold(): word for word in words}
    return typed.get(_typed(judgement), ELSE)


def _confused(confusion: dict[str, dict[str, dict[str, int]]]) -> list[dict[str, Any]]:
    pairs = Counter()
    for condition, rows in confusion.items():
        for word, answers in rows.items():
            for heard, count in answers.items():
                if heard not in (word, NOTHING, ELSE):
                    pairs[condition, word, heard] += count
    return [
        {"condition": condition, "word": word, "heard": heard, "count": count}
        for (condition, word, heard), count in _frequent(pairs)
    ]


def _frequent(counted: Counter) -> list[tuple[Any, int]]:
    """Return the most frequent ones; ties in alphabetical order."""
    return sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))[:LISTED]
