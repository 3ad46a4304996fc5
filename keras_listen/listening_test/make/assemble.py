"""Assemble recordings, anchors and tables from the starts that were found."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import RunError
from ...experiment.samples import Sample
from ...output.files import Clock, csv_text, write_text
from ...output.progress import Track, quiet
from ..items import COLUMNS, audio_url, name_of, write_items
from .plan import Plan
from .proxies import Reference
from .real_speech import RealSpeech
from .record import Measured, Noise, Recording, speak
from .referee_panel import RefereePanel
from .results import compare_conditions
from .search import Found, Outcome, search_starts

log = logging.getLogger("keras_listen")

ANCHOR = "anchor"
UNREACHED = ("word", "experiment", "tries", "condition", "wanted", "found", "reason")


@dataclass(frozen=True, eq=False)
class Made:
    """The tables of a listening test, as written.

    Attributes:
        items: rows of manifest.csv.
        conditions: rows of conditions.csv.
        unreached: rows of unreached.csv.
        notes: what else should be known.
    """

    items: list[dict[str, Any]]
    conditions: list[dict[str, Any]]
    unreached: list[dict[str, Any]]
    notes: list[str]


def make_recordings(plan: Plan, root: Path, anchors: int, *, track: Track = quiet) -> Made:
    """Make all recordings and tables of a listening test.

    Args:
        plan: what is wanted.
        root: the study's folder.
        anchors: recordings that are clear, and as many that are not.
        track: progress, see `keras_listen.output.progress`.
    """
    clock = Clock(root)
    with clock.timed("maximize"):
        outcomes = search_starts(plan, root, track=track)
    unreached = [_unreached(plan, outcome) for outcome in outcomes if outcome.reason]
    write_text(root / "unreached.csv", csv_text(unreached, UNREACHED))
    found = [one for outcome in outcomes for one in outcome.found]
    if not found:
        raise RunError(
            f"no word was reached in any condition, see {root / 'unreached.csv'}; give more "
            "--tries or --steps"
        )
    speech = RealSpeech(plan, {one.sample.start for one in found})
    with clock.timed("listen to real speech"):
        clear = speech.clearest(anchors)
    recordings = [each for one in found for each in _recordings(plan, one)]
    recordings += _clear(plan, speech, clear) + _unclear(plan, [speech.words[i] for i in clear])
    with clock.timed("speak"):
        measured = speak(recordings, root, plan.panel, plan.seed, track=track)
    with clock.timed("compare"):
        reference = speech.without(clear)
        table = _table(recordings, measured, plan.panel, reference)
        compared = compare_conditions(plan, outcomes, table, measured.heard, reference)
    write_text(root / "conditions.csv", csv_text(_as_text(compared, list(compared[0]))))
    items = _as_text(table, COLUMNS)
    write_items(root, items)
    return Made(items, compared, unreached, _notes(anchors, clear, measured, compared))


def _recordings(plan: Plan, found: Found) -> list[Recording]:
    """Return what is to be spoken of a start that reached its word: each stage."""
    condition = found.condition
    return [
        Recording(
            name_of(plan.seed, condition.identity, stage, found.sample.word, found.sample.k),
            _cells(plan, found.sample, found.heard[stage])
            | {"experiment": condition.number, "role": "item", "condition": condition.label}
            | {"stage": stage, "vocoder": condition.vocoder}
            | {kind: condition.names.get(kind, "") for kind in ("prior", "objective")},
            found.sample,
            features,
            condition.experiment.vocoder,
        )
        for stage, features in found.features.items()
    ]


def _cells(plan: Plan, sample: Sample, labels: Sequence[int]) -> dict[str, Any]:
    """Return the cells that follow from what is started from and what is predicted for it."""
    known = plan.panel.classifier.words
    cells: dict[str, Any] = {"class_label": sample.word}
    for column, label in zip(("pred_1_class", "pred_2_class"), labels, strict=True):
        cells[column] = known[label] if label >= 0 else ""
    if sample.start:
        utterance = plan.store.utterances[plan.positions[sample.start]]
        cells |= {"source": utterance.file, "speaker": utterance.speaker}
    return cells


def _clear(plan: Plan, speech: RealSpeech, places: Sequence[int]) -> list[Recording]:
    """Return the clear anchors: real utterances, spoken as the paper's are."""
    condition = plan.conditions[0]
    recordings = []
    for place in places:
        sample = plan.sample(speech.positions[place])
        features = speech.features[place]
        cells = _cells(plan, sample, plan.panel.labels(features[None])[0])
        cells |= {"role": "clear", "condition": ANCHOR, "vocoder": condition.vocoder}
        name = name_of(plan.seed, ANCHOR, "clear", sample.word, sample.k)
        vocoder = condition.experiment.vocoder
        recordings.append(Recording(name, cells, sample, features[..., 0], vocoder))
    return recordings


def _unclear(plan: Plan, words: Sequence[str]) -> list[Recording]:
    """Return the unclear anchors: noise that is called by the words of the clear ones."""
    spec = plan.store.spec
    noise, silence = Noise(spec), np.zeros(spec.shape[:2], np.float32)
    recordings = []
    for k, word in enumerate(words):
        # Its seed is not that of a sample of the word.
        sample = Sample(word, f"{ANCHOR} {word}", "", k)
        cells = {"class_label": word, "role": "unclear", "condition": ANCHOR}
        name = name_of(plan.seed, ANCHOR, "unclear", word, k)
        recordings.append(Recording(name, cells, sample, silence, noise))
    return recordings


def _table(
    recordings: Sequence[Recording],
    measured: Measured,
    panel: RefereePanel,
    reference: Reference,
) -> list[dict[str, Any]]:
    """Return a row a recording: what is known of it and what was measured."""
    heard, known = measured.heard, panel.classifier.words
    words = [recording.cells["class_label"] for recording in recordings]
    distances = reference.distances(heard.activations, words)
    rows = []
    for i, recording in enumerate(recordings):
        label = known.index(words[i])
        row = {"name": recording.name, "timestamp": recording.name, **recording.cells}
        row |= {"audio_url": audio_url(recording.name), "gain": measured.gains[i]}
        row |= _heard_as("cycle", heard.own[i], label, known)
        if len(heard.referees):
            row |= _heard_as("referee", heard.referees[0, i], label, known)
            row["referees_agreeing"] = (heard.referees[:, i].argmax(axis=1) == label).mean()
        row["spectral_flatness"] = measured.flatness[i]
        row["speech_band_share"] = measured.share[i]
        row["feature_distance"] = distances[i]
        rows.append(row)
    return rows


def _heard_as(who: str, probabilities: np.ndarray, label: int, words: Sequence[str]) -> dict:
    place = int(probabilities.argmax())
    return {
        f"{who}_class": words[place],
        f"{who}_probability": probabilities[label],
        f"{who}_success": int(place == label),
    }


def _unreached(plan: Plan, outcome: Outcome) -> dict[str, Any]:
    return {
        "word": outcome.word,
        "experiment": outcome.condition.number,
        "tries": outcome.tries,
        "condition": outcome.condition.label,
        "wanted": plan.per_word,
        "found": len(outcome.found),
        "reason": outcome.reason,
    }


def _as_text(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[dict[str, str]]:
    return [{name: _cell(row.get(name)) for name in columns} for row in rows]


def _cell(value: Any) -> str:
    """Write a value; what is not known is empty."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return format(float(value), ".6g") if isinstance(value, (float, np.floating)) else str(value)


def _notes(
    anchors: int, clear: Sequence[int], measured: Measured, compared: Sequence[Mapping]
) -> list[str]:
    """Say what is other than expected."""
    notes = []
    if len(clear) < anchors:
        notes.append(
            f"{len(clear)} clear and as many unclear anchors instead of {anchors}: too few "
            "utterances are left that classifier and referees hear rightly"
        )
    if limited := int(measured.limited.sum()):
        notes.append(f"{limited} recordings are softer than the others, to keep their peaks whole")
    if any(math.isnan(row["frechet"]) for row in compared if row["recordings"]):
        notes.append(
            "some conditions have no distance to real speech: too few real utterances are left, or "
            "there is no referee"
        )
    return notes
