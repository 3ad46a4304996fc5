"""Screen raters by anchors and repeats, or by the rule of the published study."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median, pstdev
from typing import Any

from .judgements import Judgement

#: Rating from which the published rule drops a worker as a cheater.
_GOOD = 4


@dataclass(frozen=True)
class Limits:
    """Limits beyond which a rater is dropped.

    Attributes:
        anchor_margin: least mean rating of clear anchors minus that of unclear ones.
        repeat_tolerance: greatest mean difference between first and second ratings.
        clear_heard: least share of clear anchors recognized in mode word.
    """

    anchor_margin: float = 1.5
    repeat_tolerance: float = 1.5
    clear_heard: float = 0.5


@dataclass(frozen=True)
class Rater:
    """Statistics of a rater; unknown ones are None.

    Attributes:
        name: opaque id.
        ratings, words: presentations judged in the two modes, repeats and anchors included.
        mean, spread: mean and standard deviation of the ratings of items.
        anchors: mean rating of clear anchors minus that of unclear ones.
        repeats: mean difference between first and second ratings.
        clear_heard: share of clear anchors that were recognized.
        seconds: median time spent on a recording.
        reasons: why this rater is dropped; empty for one that is kept.
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
        """Return the statistics by name, as in results.json."""
        return {**vars(self), "reasons": list(self.reasons)}


def screen_raters(judgements: Iterable[Judgement], limits: Limits) -> list[Rater]:
    """Return the statistics of every rater, with reasons for dropping them; sorted by name.

    Only anchors and repeats decide, never the outcome of the listening test: ratings of items.
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
    """Return the absolute differences between each rater's two ratings of a recording."""
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
    """Return the raters who rated any recording of experiment 1 Good or Excellent; sorted.

    The published study drops them. That is a selection on the outcome: whoever found speech without
    a prior clear is left out, which favours the prior.

    References:
        The code of Soomro et al., Interspeech 2019.
    """
    mine = (j for j in judgements if j.item.experiment == 1 and j.rating.mode == "rating")
    return sorted({j.rating.rater for j in mine if j.rating.rating >= _GOOD})
