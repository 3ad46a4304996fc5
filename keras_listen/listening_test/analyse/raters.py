"""Screening of raters: anchors, repeats, and the rule of the published study."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median, pstdev
from typing import Any

from .judgements import Judgement

#: What the published rule takes for the mark of a worker who cheats.
_GOOD = 4


@dataclass(frozen=True)
class Limits:
    """What a rater must keep to.

    Attributes:
        anchor_margin: clear anchors must be rated so much above unclear ones, on average.
        repeat_tolerance: so much may the second rating of a recording differ, on average.
        clear_heard: of the clear anchors, so large a share must be heard rightly in mode word.
    """

    anchor_margin: float = 1.5
    repeat_tolerance: float = 1.5
    clear_heard: float = 0.5


@dataclass(frozen=True)
class Rater:
    """What is known of a rater.

    Attributes:
        name: opaque id.
        ratings, words: presentations judged in the two modes, repeats and anchors included.
        mean, spread: mean and standard deviation of the ratings of items.
        anchors: mean rating of clear anchors minus that of unclear ones.
        repeats: mean difference between first and second ratings.
        clear_heard: share of clear anchors that were heard rightly.
        seconds: median time on a recording.
        reasons: why this rater is dropped; empty for one that is kept.

    What is not known is None.
    """

    name: str
    ratings: int
    words: int
    mean: float | None
    spread: float | None
    anchors: float | None
    repeats: float | None
    clear_heard: float | None
    seconds: float | None
    reasons: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return everything by name, as results.json has it."""
        return {**vars(self), "reasons": list(self.reasons)}


def screen(judgements: Iterable[Judgement], limits: Limits) -> list[Rater]:
    """Describe every rater, and say who is dropped and why; sorted by name.

    Only anchors and repeats decide, never what is to be found out: ratings of items.
    """
    mine: dict[str, list[Judgement]] = {}
    for judgement in judgements:
        mine.setdefault(judgement.rating.rater, []).append(judgement)
    return [_rater(name, mine[name], limits) for name in sorted(mine)]


def _rater(name: str, mine: Sequence[Judgement], limits: Limits) -> Rater:
    rated = [j for j in mine if j.rating.mode == "rating"]
    words = [j for j in mine if j.rating.mode == "word"]
    values = _ratings(rated, "item")
    clear, unclear = _ratings(rated, "clear"), _ratings(rated, "unclear")
    seconds = [j.rating.seconds for j in mine if j.rating.seconds is not None]
    heard = [j.right for j in words if j.item.role == "clear"]
    found = {
        "anchors": fmean(clear) - fmean(unclear) if clear and unclear else None,
        "repeats": _mean(differences(rated)),
        "clear_heard": _mean(heard),
    }
    return Rater(
        name,
        len(rated),
        len(words),
        _mean(values),
        pstdev(values) if values else None,
        **found,
        seconds=median(seconds) if seconds else None,
        reasons=tuple(_reasons(**found, limits=limits)),
    )


def _ratings(rated: Iterable[Judgement], role: str) -> list[int]:
    """Return first ratings of recordings of one role."""
    return [j.rating.rating for j in rated if j.item.role == role and not j.rating.repeat]


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def differences(rated: Iterable[Judgement]) -> list[int]:
    """Return how far the second rating of a recording is from the first of the same rater."""
    given: dict[tuple[str, str], dict[int, int]] = {}
    for j in rated:
        if j.rating.mode == "rating":
            both = given.setdefault((j.rating.rater, j.rating.name), {})
            both[j.rating.repeat] = j.rating.rating
    return [abs(both[1] - both[0]) for both in given.values() if len(both) == 2]


def _reasons(
    anchors: float | None, repeats: float | None, clear_heard: float | None, limits: Limits
) -> Iterable[str]:
    if anchors is not None and anchors < limits.anchor_margin:
        yield (
            f"clear anchors were rated {anchors:+.2f} against unclear ones; expected "
            f"{limits.anchor_margin:+g} or more"
        )
    if repeats is not None and repeats > limits.repeat_tolerance:
        yield (
            f"second ratings differ by {repeats:.2f} on average; expected "
            f"{limits.repeat_tolerance:g} or less"
        )
    if clear_heard is not None and clear_heard < limits.clear_heard:
        yield (
            f"{100 * clear_heard:.0f} % of the clear anchors were heard rightly; expected "
            f"{100 * limits.clear_heard:g} % or more"
        )


def published_rule(judgements: Iterable[Judgement]) -> list[str]:
    """Return who rated a recording of experiment 1 Good or Excellent, ever; sorted.

    The published study drops them. That is a selection on the outcome: whoever found speech without
    a prior clear is left out, which is in favour of the prior.

    References:
        The code of Soomro et al., Interspeech 2019.
    """
    mine = (j for j in judgements if j.item.experiment == 1 and j.rating.mode == "rating")
    return sorted({j.rating.rater for j in mine if j.rating.rating >= _GOOD})
