"""Paired comparisons of conditions: does a prior make recordings clearer?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .judgements import Judgement, RatedCondition
from .mean_opinion import Draws, by_condition, score
from .statistics import difference_interval, holm, signed_rank

#: Name of the prior that changes nothing.
_NONE = "none"


def compare_conditions(judgements: Sequence[Judgement], draws: Draws) -> list[dict[str, Any]]:
    """Compare each prior with none, and recordings after maximization with those before.

    Tests are paired by word, on the difference of a word's mean scores in the two conditions, and
    once more paired by rater.

    Args:
        judgements: first judgements of items, in one mode.
        draws: random numbers of intervals.

    Returns:
        a dictionary for each comparison: kind ("prior" or "maximization"), condition and against
        (titles), mean and against_mean (over words), difference with low and high, by_word and
        by_rater (see `signed_rank`, with p_adjusted by Holm among comparisons of one kind).
    """
    groups = by_condition([j for j in judgements if j.condition.experiment is not None])
    found = []
    for kind, pairs in (("prior", _priors(groups)), ("maximization", _stages(groups))):
        mine = [_compare(kind, a, b, groups[a], groups[b], draws) for a, b in pairs]
        found += _adjusted([comparison for comparison in mine if comparison])
    return found


def _priors(
    groups: Mapping[RatedCondition, Sequence[Judgement]],
) -> Iterator[tuple[RatedCondition, RatedCondition]]:
    """Yield each condition with a prior, and the first one without that is otherwise the same."""
    for condition, plain in _partners(groups):
        if alike := [p for p in plain if not _differences(groups, condition, p)]:
            yield condition, alike[0]


def uncompared(
    judgements: Sequence[Judgement],
) -> Iterator[tuple[RatedCondition, RatedCondition, str]]:
    """Yield each condition with a prior and one without that are not compared, and the reason.

    Both have the same stage, objective and vocoder, but other settings; the reason is a text that
    lists these differences.

    Args:
        judgements: first judgements of items, in one mode.
    """
    groups = by_condition(judgements)
    for condition, plain in _partners(groups):
        differences = [_differences(groups, condition, p) for p in plain]
        if differences and all(differences):
            yield condition, plain[0], "; ".join(differences[0])


def _partners(
    groups: Mapping[RatedCondition, Sequence[Judgement]],
) -> Iterator[tuple[RatedCondition, list[RatedCondition]]]:
    """Yield each condition with a prior, and those without of its stage, objective and vocoder."""
    kind = {c: (c.stage, mine[0].item.others) for c, mine in groups.items()}
    for condition in groups:
        if condition.stage and condition.prior not in ("", _NONE):
            plain = [c for c in groups if c.prior == _NONE and kind[c] == kind[condition]]
            yield condition, plain


def _differences(
    groups: Mapping[RatedCondition, Sequence[Judgement]], a: RatedCondition, b: RatedCondition
) -> list[str]:
    """List the settings in which two conditions differ, apart from options of the prior."""
    mine, theirs = (groups[condition][0].item.settings for condition in (a, b))
    return [
        f"{name} {mine.get(name)} against {theirs.get(name)}"
        for name in sorted(set(mine) | set(theirs))
        if not name.startswith("prior.") and mine.get(name) != theirs.get(name)
    ]


def _stages(
    conditions: Iterable[RatedCondition],
) -> Iterator[tuple[RatedCondition, RatedCondition]]:
    """Yield conditions after maximization, each with the one before."""
    before = {c.experiment: c for c in conditions if c.stage == "before"}
    for condition in conditions:
        if condition.stage == "after" and condition.experiment in before:
            yield condition, before[condition.experiment]


def _compare(
    kind: str,
    a: RatedCondition,
    b: RatedCondition,
    mine: Sequence[Judgement],
    theirs: Sequence[Judgement],
    draws: Draws,
) -> dict[str, Any] | None:
    """Return one comparison; None if the conditions have no word in common."""
    words = sorted({j.item.word for j in mine} & {j.item.word for j in theirs})
    if not words:
        return None
    raters = sorted({j.rating.rater for j in (*mine, *theirs)})
    first, second = _table(mine, raters, words), _table(theirs, raters, words)
    means, against = _means(first, 0), _means(second, 0)
    generator = draws("difference", mine[0].rating.mode, *a, *b)
    interval = difference_interval(first, second, generator, draws.resamples)
    by_rater = _means(first, 1) - _means(second, 1)
    low, high = interval if interval and len(words) * len(raters) > 1 else (None, None)
    return {
        "kind": kind,
        "condition": a.title,
        "against": b.title,
        "mean": float(means.mean()),
        "against_mean": float(against.mean()),
        "difference": float((means - against).mean()),
        "low": low,
        "high": high,
        "by_word": signed_rank(means - against),
        "by_rater": signed_rank(by_rater[np.isfinite(by_rater)]),
    }


def _table(
    judgements: Iterable[Judgement], raters: Sequence[str], words: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return sums and counts of scores [shape=(raters, words)]."""
    row, column = ({name: i for i, name in enumerate(names)} for names in (raters, words))
    sums, counts = np.zeros((2, len(raters), len(words)))
    for j in judgements:
        if j.item.word in column:
            at = row[j.rating.rater], column[j.item.word]
            sums[at] += score(j)
            counts[at] += 1
    return sums, counts


def _means(table: tuple[np.ndarray, np.ndarray], axis: int) -> np.ndarray:
    """Return means along an axis, NaN where there is no score."""
    with np.errstate(invalid="ignore"):
        return table[0].sum(axis=axis) / table[1].sum(axis=axis)


def _adjusted(comparisons: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for by in ("by_word", "by_rater"):
        tests = [comparison[by] for comparison in comparisons if comparison[by]]
        for test, p in zip(tests, holm([test["p"] for test in tests]), strict=True):
            test["p_adjusted"] = p
    return comparisons
