"""Mean opinion scores of conditions, words and recordings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...seeds import derive, generator
from .judgements import Judgement, RatedCondition
from .statistics import mean_interval

#: Possible ratings, 1 Bad to 5 Excellent.
SCALE = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Draws:
    """Random numbers: each interval has its own generator, whatever else is computed."""

    seed: int = 0
    resamples: int = 2000

    def __call__(self, *label: Any) -> np.random.Generator:
        """Return the generator for the interval identified by `label`."""
        return generator(derive(self.seed, "/".join(map(str, label)), 0))


def first(judgements: Iterable[Judgement], mode: str) -> list[Judgement]:
    """Return the judgements of first presentations in a mode."""
    return [j for j in judgements if j.rating.mode == mode and not j.rating.repeat]


def score(judgement: Judgement) -> float:
    """Return the rating; in mode word, 1 if the word was recognized, else 0."""
    mode = judgement.rating.mode
    return float(judgement.rating.rating if mode == "rating" else judgement.right)


def cross(judgements: Sequence[Judgement]) -> np.ndarray:
    """Return scores [shape=(raters, recordings)], NaN where there is none; both sorted by name."""
    raters = _numbered(j.rating.rater for j in judgements)
    names = _numbered(j.item.name for j in judgements)
    scores = np.full((len(raters), len(names)), np.nan)
    for j in judgements:
        scores[raters[j.rating.rater], names[j.item.name]] = score(j)
    return scores


def _numbered(names: Iterable[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(sorted(set(names)))}


def by_condition(judgements: Sequence[Judgement]) -> dict[RatedCondition, list[Judgement]]:
    """Return judgements by condition, in the conditions' order."""
    found: dict[RatedCondition, list[Judgement]] = {}
    for judgement in judgements:
        found.setdefault(judgement.condition, []).append(judgement)
    return dict(sorted(found.items(), key=lambda pair: pair[0].order))


def by_word(judgements: Sequence[Judgement]) -> dict[str, list[Judgement]]:
    """Return judgements by word, in alphabetical order."""
    found: dict[str, list[Judgement]] = {}
    for judgement in judgements:
        found.setdefault(judgement.item.word, []).append(judgement)
    return dict(sorted(found.items()))


def conditions(judgements: Sequence[Judgement], draws: Draws) -> list[dict[str, Any]]:
    """Return the mean of each condition with its interval, from first judgements in one mode."""
    groups = by_condition(judgements)
    settings = differing({condition: mine[0].item.settings for condition, mine in groups.items()})
    return [
        about(condition) | {"settings": settings[condition]} | _summary(mine, draws, *condition)
        for condition, mine in groups.items()
    ]


def differing(settings: Mapping[RatedCondition, Mapping[str, Any]]) -> dict[RatedCondition, str]:
    """Return, as text, those settings of each condition in which conditions differ."""
    values: dict[str, set[str]] = {}
    for mine in settings.values():
        for name, value in mine.items():
            values.setdefault(name, set()).add(str(value))
    return {
        condition: ", ".join(f"{name}={v}" for name, v in mine.items() if len(values[name]) > 1)
        for condition, mine in settings.items()
    }


def words(judgements: Sequence[Judgement], draws: Draws) -> list[dict[str, Any]]:
    """Return the mean of each word in each condition with its interval."""
    return [
        about(condition) | {"word": word} | _summary(judged, draws, *condition, word)
        for condition, mine in by_condition(judgements).items()
        if condition.experiment is not None
        for word, judged in by_word(mine).items()
    ]


def about(condition: RatedCondition) -> dict[str, Any]:
    """Return the columns that identify a condition in tables."""
    return {
        "experiment": condition.experiment,
        "stage": condition.stage,
        "condition": condition.title,
        "prior": condition.prior,
    }


def _summary(mine: Sequence[Judgement], draws: Draws, *label: Any) -> dict[str, Any]:
    """Return counts, the mean, and a histogram of ratings or the number of right answers."""
    scores, mode = cross(mine), mine[0].rating.mode
    given = scores[np.isfinite(scores)]
    interval = mean_interval(scores, draws(mode, *label), draws.resamples)
    low, high = interval or (None, None)
    found = {"judgements": len(given), "raters": scores.shape[0], "recordings": scores.shape[1]}
    found |= {"mean": float(given.mean()), "low": low, "high": high}
    if mode == "word":
        return found | {"right": int(given.sum())}
    return found | {"histogram": [int((given == value).sum()) for value in SCALE]}


def recordings(judgements: Sequence[Judgement]) -> list[dict[str, Any]]:
    """Return a row for each judged recording, with its proxies.

    Args:
        judgements: first judgements, in both modes.
    """
    found: dict[str, list[Judgement]] = {}
    for judgement in judgements:
        found.setdefault(judgement.item.name, []).append(judgement)
    ordered = sorted(found.values(), key=lambda mine: (*mine[0].condition.order, *_place(mine[0])))
    return [_recording(mine) for mine in ordered]


def _place(judgement: Judgement) -> tuple[str, str]:
    return judgement.item.word, judgement.item.name


def _recording(mine: Sequence[Judgement]) -> dict[str, Any]:
    item = mine[0].item
    found = about(mine[0].condition) | {"word": item.word, "name": item.name}
    for mode, name in (("rating", "rating"), ("word", "heard")):
        given = [score(j) for j in mine if j.rating.mode == mode]
        found |= {f"{name}s": len(given), name: float(np.mean(given)) if given else None}
    return found | {"proxies": dict(item.proxies)}
