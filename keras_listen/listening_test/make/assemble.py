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
from ...output.files import Clock, csv_text, number_text, write_text
from ...output.progress import Track, quiet
from ..items import COLUMNS, audio_url, name_of, write_items
from .plan import Plan
from .proxies import Reference
from .real_speech import RealSpeech
from .record import Measurements, NoiseVocoder, Recording, synthesize_recordings
from .referee_panel import RefereePanel
from .results import compare_conditions
from .search import Found, Outcome, search_starts

log = logging.getLogger("keras_listen")

ANCHOR = "anchor"
UNREACHED = ("word", "experiment", "tries", "condition", "wanted", "found", "reason")


@dataclass(frozen=True, eq=False)
class MadeTables:
    """The tables of a listening test, as written.

    Attributes:
        items: rows of manifest.csv.
        conditions: rows of conditions.csv.
        unreached: rows of unreached.csv.
        notes: deviations from the plan, for the user.
    """

    items: list[dict[str, Any]]
    conditions: list[dict[str, Any]]
    unreached: list[dict[str, Any]]
    notes: list[str]


def make_recordings(plan: Plan, root: Path, anchors: int, *, track: Track = quiet) -> MadeTables:
    """Make all recordings and tables of a listening test.

    Args:
        plan: words, conditions and starts.
        root: folder of the listening test.
        anchors: number of clear anchors, and of unclear ones.
        track: progress, see `keras_listen.output.progress`.

    Raises:
        RunError: no word was reached in any condition, or the disk is full.
    """
    clock = Clock(root)
    with clock.timed("maximize"):
        outcomes = search_starts(plan, root, track=track)
    unreached = [_unreached_row(plan, outcome) for outcome in outcomes if outcome.reason]
    write_text(root / "unreached.csv", csv_text(unreached, UNREACHED))
    found = [one for outcome in outcomes for one in outcome.found]
    if not found:
        raise RunError(
            f"no word was reached in any condition, see {root / 'unreached.csv'}; give more "
            "--tries or --steps"
        )
    speech = RealSpeech(plan, {one.sample.start for one in found})
    with clock.timed("listen to real speech"):
        clear = speech.choose_clearest(anchors)
    recordings = [each for one in found for each in _recordings(plan, one)]
    recordings += _clear_anchors(plan, speech, clear)
    recordings += _unclear_anchors(plan, [speech.words[i] for i in clear])
    with clock.timed("speak"):
        measured = synthesize_recordings(recordings, root, plan.panel, plan.seed, track=track)
    with clock.timed("compare"):
        reference = speech.reference_without(clear)
        table = _table(recordings, measured, plan.panel, reference)
        compared = compare_conditions(plan, outcomes, table, measured.scores, reference)
    write_text(root / "conditions.csv", csv_text(_as_text(compared, list(compared[0]))))
    items = _as_text(table, COLUMNS)
    write_items(root, items)
    notes = _notes(anchors, clear, measured, compared) + _unknown_words(plan)
    return MadeTables(items, compared, unreached, notes)


def _recordings(plan: Plan, found: Found) -> list[Recording]:
    """Return the recordings of a start that reached its word, one for each stage."""
    condition = found.condition
    return [
        Recording(
            name_of(plan.seed, condition.identity, stage, found.sample.word, found.sample.k),
            _cells(plan, found.sample, found.labels[stage])
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
    """Return the columns that follow from a sample and the labels predicted for it."""
    panel = plan.panel
    words, known = panel.classifier.words, panel.known[:, panel.classifier.label(sample.word)]
    cells: dict[str, Any] = {"class_label": sample.word}
    for column, label, knows in zip(("pred_1_class", "pred_2_class"), labels, known, strict=False):
        cells[column] = words[label] if knows and label >= 0 else ""
    if sample.start:
        utterance = plan.store.utterances[plan.positions[sample.start]]
        cells |= {"source": utterance.file, "speaker": utterance.speaker}
    return cells


def _clear_anchors(plan: Plan, speech: RealSpeech, places: Sequence[int]) -> list[Recording]:
    """Return the clear anchors: real utterances through the vocoder of the paper's conditions."""
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


def _unclear_anchors(plan: Plan, words: Sequence[str]) -> list[Recording]:
    """Return the unclear anchors: noise that is labelled with the words of the clear ones."""
    spec = plan.store.spec
    noise, silence = NoiseVocoder(spec), np.zeros(spec.shape[:2], np.float32)
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
    measured: Measurements,
    panel: RefereePanel,
    reference: Reference,
) -> list[dict[str, Any]]:
    """Return a row of manifest.csv for each recording.

    The cells of referees are empty where they do not know the word.
    """
    scores, names = measured.scores, panel.classifier.words
    heard = panel.heard(scores)
    words = [recording.cells["class_label"] for recording in recordings]
    distances = reference.distances(scores.activations, words)
    rows = []
    for i, recording in enumerate(recordings):
        label = names.index(words[i])
        known = panel.known[1:, label]
        row = {"name": recording.name, "timestamp": recording.name, **recording.cells}
        row |= {"audio_url": audio_url(recording.name), "gain": measured.gains[i]}
        row |= _prediction("cycle", heard[0, i], scores.own[i, label], label, names)
        if known.any():
            row["referees_agreeing"] = (heard[1:, i] == label)[known].mean()
        if known.any() and known[0]:
            row |= _prediction("referee", heard[1, i], scores.referees[0, i, label], label, names)
        row["spectral_flatness"] = measured.flatness[i]
        row["speech_band_share"] = measured.share[i]
        row["feature_distance"] = distances[i]
        if measured.voiced is not None:
            row["voiced_share"] = measured.voiced[i]
            row |= {"pitch": measured.pitch[i], "pitched_share": measured.pitched[i]}
        rows.append(row)
    return rows


def _prediction(
    name: str, place: int, probability: float, label: int, words: Sequence[str]
) -> dict[str, Any]:
    """Return the columns of one classifier's prediction for a recording."""
    return {
        f"{name}_class": words[place] if place >= 0 else "",
        f"{name}_probability": probability,
        f"{name}_success": int(place == label),
    }


def _unreached_row(plan: Plan, outcome: Outcome) -> dict[str, Any]:
    """Return a word's row of unreached.csv."""
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
    """Return a value as text; unknown ones are empty."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return number_text(value) if isinstance(value, (float, np.floating)) else str(value)


def _notes(
    anchors: int, clear: Sequence[int], measured: Measurements, compared: Sequence[Mapping]
) -> list[str]:
    """Describe deviations from the plan."""
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


def _unknown_words(plan: Plan) -> list[str]:
    """Say which words each referee does not know."""
    notes, panel = [], plan.panel
    for name, known in zip(panel.referees, panel.known[1:], strict=True):
        if unknown := [word for word in plan.words if not known[panel.classifier.label(word)]]:
            listed = ", ".join(unknown)
            notes.append(f"{name} does not know {listed}; its cells and rates leave these out")
    return notes
