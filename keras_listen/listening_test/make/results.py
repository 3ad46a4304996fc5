"""Objective measures of recordings, averaged by condition."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...experiment.rates import Rate
from ...seeds import derive, generator
from .conditions import STAGES, Condition
from .plan import Plan
from .proxies import Reference
from .referee_panel import PanelScores, RefereePanel
from .search import Outcome

MEANS = ("spectral_flatness", "speech_band_share", "feature_distance")


def compare_conditions(
    plan: Plan,
    outcomes: Sequence[Outcome],
    table: Sequence[Mapping[str, Any]],
    scores: PanelScores,
    reference: Reference,
) -> list[dict[str, Any]]:
    """Return a row for each condition and stage: counts, means and rates.

    Args:
        plan: of the listening test.
        outcomes: of the search, for the number of tries.
        table: a row for each recording, see `assemble`.
        scores: of the same recordings.
        reference: real utterances to compare them with.
    """
    return [
        _compare_stage(plan, condition, stage, outcomes, table, scores, reference)
        for condition in plan.conditions
        for stage in STAGES[condition.start]
    ]


def _compare_stage(
    plan: Plan,
    condition: Condition,
    stage: str,
    outcomes: Sequence[Outcome],
    table: Sequence[Mapping[str, Any]],
    scores: PanelScores,
    reference: Reference,
) -> dict[str, Any]:
    place = (condition.number, stage)
    places = [
        i for i, row in enumerate(table) if (row.get("experiment"), row.get("stage")) == place
    ]
    words = [table[i]["class_label"] for i in places]
    draws = generator(derive(plan.seed, "real ones", condition.number))
    return {
        "experiment": condition.number,
        "condition": condition.label,
        "stage": stage,
        "wanted": plan.per_word * len(plan.words),
        "recordings": len(places),
        "tries": sum(outcome.tries for outcome in outcomes if outcome.condition is condition),
        **_rates(plan.panel, scores, places, words),
        **{name: _mean([table[i][name] for i in places]) for name in MEANS},
        **reference.compare(scores.activations[places], words, draws),
        "distances_by": plan.panel.eye,
    }


def _rates(
    panel: RefereePanel, scores: PanelScores, places: Sequence[int], words: Sequence[str]
) -> dict[str, float | None]:
    """Return how often classifier and referees recognize the word in the sound, with intervals.

    Recordings of words that a referee does not know are not among its samples.
    """
    labels = np.array([panel.classifier.words.index(word) for word in words], int)
    names = ("cycle", *panel.referees)
    rates: dict[str, float | None] = {}
    for name, heard, known in zip(names, panel.heard(scores), panel.known, strict=True):
        asked = known[labels]
        hits = int((heard[places] == labels)[asked].sum()) if places else 0
        rate = Rate(hits, int(asked.sum()))
        low, high = rate.interval or (None, None)
        rates |= {name: rate.value, f"{name}_low": low, f"{name}_high": high}
    return rates


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan
