"""Predict ratings from measurements without raters: rank correlations of the proxies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..catalogue import PROXIES
from .judgements import Judgement
from .mean_opinion import Draws, cross
from .statistics import spearman, spearman_interval, split_half

#: Fewest recordings for a correlation.
_FEWEST = 4
#: Fewest words for an interval over words; of fewer there are too few different draws.
_FEWEST_WORDS = 4
#: Random splits of the raters into halves.
_SPLITS = 100


def correlate_proxies(
    recordings: Sequence[Mapping[str, Any]], draws: Draws, outcome: str = "rating"
) -> list[dict[str, Any]]:
    """Correlate each proxy with the mean opinion of recordings; strongest correlation first.

    Intervals resample words, because recordings of one word are not independent. A correlation over
    all recordings mostly shows whether a proxy separates conditions; the one within conditions
    shows whether it orders recordings made in the same way.

    Args:
        recordings: see `keras_listen.listening_test.analyse.mean_opinion.recordings`; anchors are
            left out.
        draws: random numbers of intervals.
        outcome: "rating", or "heard" for the share of raters who recognized the word.

    Returns:
        proxy, recordings, correlation with low and high, within with within_low and within_high,
        rank (by the size of the correlation; None where it is undefined).
    """
    usable = [r for r in recordings if r["experiment"] is not None and r[outcome] is not None]
    found = [_correlate_proxy(name, usable, draws, outcome) for name in PROXIES]
    found = [row for row in found if row["recordings"]]
    found.sort(key=lambda row: -abs(row["correlation"] or 0))
    defined = [row for row in found if row["correlation"] is not None]
    for row in found:
        row["rank"] = defined.index(row) + 1 if row in defined else None
    return found


def _correlate_proxy(
    name: str, recordings: Sequence[Mapping[str, Any]], draws: Draws, outcome: str
) -> dict[str, Any]:
    mine = [r for r in recordings if name in r["proxies"]]
    row = {"proxy": name, "about": PROXIES[name], "recordings": len(mine)}
    x = np.array([r["proxies"][name] for r in mine])
    y = np.array([r[outcome] for r in mine])
    clusters = _numbers([r["word"] for r in mine])
    groups = _numbers([(r["experiment"], r["condition"]) for r in mine])
    for key, within in (("correlation", None), ("within", groups)):
        row |= _correlate(key, x, y, clusters, within, draws, f"{outcome}/{name}/{key}")
    return row


def _correlate(
    key: str,
    x: np.ndarray,
    y: np.ndarray,
    clusters: np.ndarray,
    groups: np.ndarray | None,
    draws: Draws,
    label: str,
) -> dict[str, Any]:
    low = "low" if key == "correlation" else f"{key}_low"
    nothing = {key: None, low: None, low.replace("low", "high"): None}
    value = float(spearman(x, y, groups)[0]) if len(x) >= _FEWEST else np.nan
    if not np.isfinite(value):
        return nothing
    ends = None
    if len(set(clusters.tolist())) >= _FEWEST_WORDS:
        ends = spearman_interval(x, y, clusters, draws(label), draws.resamples, groups)
    return {key: value, low: ends and ends[0], low.replace("low", "high"): ends and ends[1]}


def _numbers(labels: Sequence[Any]) -> np.ndarray:
    order = {label: i for i, label in enumerate(sorted(set(labels)))}
    return np.array([order[label] for label in labels], np.int64)


def other_raters(judgements: Sequence[Judgement], draws: Draws) -> dict[str, float | None]:
    """Return the correlation of mean opinions with those of as many other raters like these.

    A proxy with the same correlation is as good as asking as many people again.

    Args:
        judgements: first judgements of items, in one mode.
        draws: random numbers of the splits.
    """
    if not judgements:
        return {"correlation": None, "within": None}
    items = {j.item.name: j.condition.order for j in judgements}
    groups = _numbers([items[name] for name in sorted(items)])
    scores, mode = cross(judgements), judgements[0].rating.mode
    return {
        "correlation": split_half(scores, draws("halves", mode), _SPLITS),
        "within": split_half(scores, draws("halves", mode), _SPLITS, groups),
    }
