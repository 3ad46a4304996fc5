"""Compute all results of a listening test from its judgements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .contrasts import compare_conditions, uncompared
from .intelligibility import count_answers
from .judgements import Gathered, Judgement
from .mean_opinion import SCALE, Draws, by_condition, conditions, cross, first, recordings, words
from .predict import correlate_proxies, other_raters
from .raters import Limits, Rater, differences, published_rule, screen_raters
from .statistics import agreement

SCHEMA = 1
#: The paper counts words whose mean rating is above 1.5. Ratings are 0 to 4 in its code and 1 to 5
#: in its text: 1.5 on the one scale is 2.5 on the other.
THRESHOLDS = (1.5, 2.5)
_FEW_RATERS = 5
PUBLISHED_NOTE = (
    "The published rule drops every rater who ever rated a recording of experiment 1 (from noise, "
    "without a prior) Good or Excellent. It selects on the outcome: those who found such "
    "recordings clear are left out, which lowers the mean of experiment 1 and is in favour of the "
    "prior. These figures are here to be compared with the published ones, and prove nothing."
)


def compute_results(
    gathered: Gathered, limits: Limits, draws: Draws, *, with_published_rule: bool = False
) -> dict[str, Any]:
    """Return all results, as in results.json.

    Args:
        gathered: ratings with their recordings.
        limits: limits beyond which raters are dropped.
        draws: random numbers of intervals.
        with_published_rule: add the results under the published rule for dropping raters.
    """
    raters = screen_raters(gathered.judgements, limits)
    dropped = {rater.name for rater in raters if rater.reasons}
    kept = _without(gathered.judgements, dropped)
    every = sorted({item.word for item in gathered.items.values()})
    results: dict[str, Any] = {"schema": SCHEMA, "counts": _counts(gathered, raters, kept)}
    results["raters"] = [rater.to_dict() for rater in raters]
    for mode in ("rating", "word"):
        results[mode] = _mode(kept, mode, draws)
    if results["word"]:
        results["word"]["hearing"] = count_answers(_items(first(kept, "word")), every)
    rows = recordings(first(kept, "rating") + first(kept, "word"))
    results["recordings"] = rows
    results["proxies"] = {
        name: correlate_proxies(rows, draws, name) for name in ("rating", "heard")
    }
    results["other_raters"] = {
        name: other_raters(_items(first(kept, mode)), draws)
        for name, mode in (("rating", "rating"), ("heard", "word"))
    }
    results["agreement"] = _agreement(kept, draws)
    results["published_rule"] = (
        _by_published_rule(gathered.judgements, draws) if with_published_rule else None
    )
    notes = [*_notes(results, raters, kept), *_about_settings(kept)]
    results["notes"] = [*gathered.notes, *notes]
    return results


def _without(judgements: Iterable[Judgement], raters: Iterable[str]) -> list[Judgement]:
    left_out = set(raters)
    return [j for j in judgements if j.rating.rater not in left_out]


def _items(judgements: Iterable[Judgement]) -> list[Judgement]:
    """Return the judgements of recordings that are not anchors."""
    return [j for j in judgements if j.item.role == "item"]


def _counts(
    gathered: Gathered, raters: Sequence[Rater], kept: Sequence[Judgement]
) -> dict[str, int]:
    items = {name for name, item in gathered.items.items() if item.role == "item"}
    return {
        "judgements": len(gathered.judgements),
        "judgements_kept": len(kept),
        "raters": len(raters),
        "raters_dropped": sum(bool(rater.reasons) for rater in raters),
        "recordings": len(items),
        "recordings_judged": len({j.item.name for j in _items(kept)}),
    }


def _mode(kept: Sequence[Judgement], mode: str, draws: Draws) -> dict[str, Any] | None:
    """Return the results of a mode; None without a judgement in it."""
    mine = first(kept, mode)
    if not mine:
        return None
    found = {
        "conditions": conditions(mine, draws),
        "words": words(mine, draws),
        "comparisons": compare_conditions(_items(mine), draws),
    }
    return found | ({"words_above": _words_above(found["words"])} if mode == "rating" else {})


def _words_above(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Count the words of each condition whose mean rating is above each threshold."""
    means: dict[tuple[int, str], list[float]] = {}
    for row in rows:
        means.setdefault((row["experiment"], row["condition"]), []).append(row["mean"])
    return [
        {"experiment": experiment, "condition": condition, "words": len(mine)}
        | {f"above_{limit}": sum(mean > limit for mean in mine) for limit in THRESHOLDS}
        for (experiment, condition), mine in means.items()
    ]


def _agreement(kept: Sequence[Judgement], draws: Draws) -> dict[str, Any]:
    """Return the agreement of raters with each other and with themselves."""
    mine = _items(first(kept, "rating"))
    groups = {"all conditions": mine} | {c.title: js for c, js in by_condition(mine).items()}
    found = [
        {"condition": title}
        | (agreement(cross(js), SCALE, draws("agreement", title), draws.resamples) or {})
        for title, js in groups.items()
        if js
    ]
    again = differences(kept)
    return {
        "ordinal_alpha": [row for row in found if len(row) > 1],
        "repeats": len(again),
        "repeats_same": again.count(0) / len(again) if again else None,
        "repeats_difference": sum(again) / len(again) if again else None,
    }


def _by_published_rule(judgements: Sequence[Judgement], draws: Draws) -> dict[str, Any]:
    """Return means and comparisons without the raters dropped by the published rule."""
    dropped = published_rule(judgements)
    found = _mode(_without(judgements, dropped), "rating", draws) or {}
    names = ("conditions", "comparisons", "words_above")
    return {"note": PUBLISHED_NOTE, "dropped": dropped} | {n: found.get(n, []) for n in names}


def _notes(
    results: dict[str, Any], raters: Sequence[Rater], kept: Sequence[Judgement]
) -> Iterable[str]:
    """Yield caveats on the numbers."""
    left = [rater for rater in raters if not rater.reasons]
    if not raters:
        yield "There is no rating, so there is nothing to analyse."
        return
    if not left:
        yield "No rater is left: all were dropped, for the reasons below. There are no means."
        return
    if unchecked := [r for r in left if (r.anchors, r.repeats, r.clear_heard) == (None,) * 3]:
        yield (
            f"{len(unchecked)} of {len(left)} raters judged neither anchors nor repeats, so "
            "nothing tells whether they listened."
        )
    if len(left) == 1:
        yield "There is one rater: intervals say nothing of what others would have said."
    elif len(left) < _FEW_RATERS:
        yield (
            f"There are {len(left)} raters; intervals from so few are too narrow, and the test "
            "over raters cannot tell much."
        )
    if len({j.condition for j in _items(kept)}) == 1:
        yield "There is one condition, so there is nothing to compare."
    elif not any((results[mode] or {}).get("comparisons") for mode in ("rating", "word")):
        yield "No two conditions differ in their prior alone, so none are compared."


def _about_settings(kept: Sequence[Judgement]) -> list[str]:
    """Return a note on each pair of conditions not compared because their settings differ."""
    mine = _items(kept)
    found = [pair for mode in ("rating", "word") for pair in uncompared(first(mine, mode))]
    return [
        f"{condition.title} is not compared with {plain.title}: they differ in {differences}. For "
        "a comparison, make recordings without a prior by the same settings: --with prior=none,..."
        for condition, plain, differences in dict.fromkeys(found)
    ]
