"""The columns of samples.csv, one table of names and values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..maximization.engine import Maximization
from ..models.classifier import Classifier
from ..output.files import number_text
from ..vocoders.pitch import control_of
from .experiment import Block, Experiment, saturated
from .samples import Sample

Row = dict[str, str]


@dataclass(frozen=True)
class _Result:
    """The results behind one row of samples.csv.

    Attributes:
        classifier: of the experiment.
        sample: the one of the row.
        i: its position in the block.
        block, found: results of the block, and of its ascent.
        referee: of the experiment, or None.
        judges: of the experiment, by name.
    """

    classifier: Classifier
    sample: Sample
    i: int
    block: Block
    found: Maximization
    referee: Classifier | None
    judges: Mapping[str, Classifier]

    def predicted(self, probabilities: np.ndarray) -> str:
        """Return the classifier's word in this sample's row of probabilities."""
        return _word(self.classifier, probabilities[self.i])

    def probability(self) -> str:
        """Return the target's probability at the end; nothing where there is no target."""
        if not self.sample.word:
            return ""
        label = self.classifier.words.index(self.sample.word)
        return number_text(self.found.probabilities[-1, self.i, label])

    def referee_predicted(self) -> str:
        """Return the referee's word; nothing without a referee, or where it hears none."""
        if self.referee is None:
            return ""
        return _word(self.referee, self.block.referee[self.i])

    def referee_probability(self) -> str:
        """Return the referee's probability of the target; nothing where it doesn't know it."""
        if self.referee is None or self.sample.word not in self.referee.words:
            return ""
        return number_text(self.block.referee[self.i, self.referee.words.index(self.sample.word)])

    def referee_cycle_predicted(self) -> str:
        """Return the referee's word for the sound; nothing without a referee or a sound."""
        if self.referee is None or self.block.referee_cycle is None:
            return ""
        return _word(self.referee, self.block.referee_cycle[self.i])

    def judge_predicted(self, name: str) -> str:
        """Return a judge's word; nothing where it doesn't know the target."""
        judge = self.judges[name]
        if self.sample.word and self.sample.word not in judge.words:
            return ""
        return _word(judge, self.block.judged[name][self.i])

    def speech_distance(self) -> str:
        """Return the distance to real speech of the word; nothing where that is not known."""
        distance = self.block.speech_distances[self.i]
        return number_text(distance) if np.isfinite(distance) else ""

    def clipped_share(self) -> str:
        """Return the share of feature values outside of [0, 1]."""
        features = self.found.features[self.i]
        return number_text(((features < 0) | (features > 1)).mean())

    def first_success(self) -> str:
        """Return the first step at which the target was predicted; nothing if it never was."""
        step = self.found.first_step[self.i]
        return "" if step < 0 else str(step)


def _word(classifier: Classifier, probabilities: np.ndarray) -> str:
    """Return the predicted word; nothing where none is."""
    label = int(classifier.decide(probabilities))
    return classifier.words[label] if label >= 0 else ""


#: Each column of samples.csv: its name, and the function to its value.
_COLUMNS: tuple[tuple[str, Callable[[_Result], str]], ...] = (
    ("id", lambda r: r.sample.id),
    ("word", lambda r: r.sample.word),
    ("start", lambda r: r.sample.start),
    ("score_before", lambda r: number_text(r.found.scores[0, r.i])),
    ("score_after", lambda r: number_text(r.found.scores[-1, r.i])),
    ("probability", _Result.probability),
    ("predicted", lambda r: r.predicted(r.found.probabilities[-1])),
    ("referee_predicted", _Result.referee_predicted),
    ("cycle_predicted", lambda r: "" if r.block.cycle is None else r.predicted(r.block.cycle)),
    ("referee_probability", _Result.referee_probability),
    ("predicted_before", lambda r: r.predicted(r.found.probabilities[0])),
    ("predicted_clipped", lambda r: r.predicted(r.block.clipped_probabilities)),
    ("clipped_share", _Result.clipped_share),
    ("first_success", _Result.first_success),
    ("saturated", lambda r: str(int(saturated(r.found)[r.i]))),
    ("gain", lambda r: "" if r.block.gains is None else number_text(r.block.gains[r.i])),
)
#: A further one of classifiers that hear through a front end.
_FRONTEND_COLUMNS: tuple[tuple[str, Callable[[_Result], str]], ...] = (
    ("referee_cycle_predicted", _Result.referee_cycle_predicted),
)
#: Further ones where the vocoder does something about the pitch: none, estimated or invented, and
#: the share of frames that were given one.
_PITCH_COLUMNS: tuple[tuple[str, Callable[[_Result], str]], ...] = (
    ("pitch", lambda r: "" if r.block.pitch is None else r.block.pitch[r.i].origin),
    (
        "pitched_share",
        lambda r: "" if r.block.pitch is None else number_text(r.block.pitch[r.i].share),
    ),
)
#: Further ones of folders whose manifest has "speech": the share of the sound's frames that are
#: voiced, and the distance of the features to real speech of the word. Judges follow.
_MEASURE_COLUMNS: tuple[tuple[str, Callable[[_Result], str]], ...] = (
    ("voiced_share", lambda r: "" if r.block.voiced is None else number_text(r.block.voiced[r.i])),
    ("speech_distance_db", _Result.speech_distance),
)


def columns_of(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the columns of the samples.csv that stands beside a manifest."""
    heard = "frontend" in manifest.get("components", ())
    columns = _COLUMNS + _FRONTEND_COLUMNS * heard + _PITCH_COLUMNS * ("pitch" in manifest)
    columns += _MEASURE_COLUMNS * ("speech" in manifest)
    return tuple(name for name, _ in columns) + tuple(map(judge_column, manifest.get("judges", ())))


def judge_column(name: str) -> str:
    """Return the name of the column with the words that a judge hears."""
    return f"{name}_predicted"


def rows_of(experiment: Experiment, block: Block) -> list[Row]:
    """Return a row of samples.csv for each sample of a block, as text."""
    classifier, referee = experiment.classifier, experiment.referee
    results = (
        _Result(classifier, sample, i, block, block.maximization, referee, experiment.judges)
        for i, sample in enumerate(block.samples)
    )
    columns = _COLUMNS + _FRONTEND_COLUMNS * ("frontend" in experiment.components)
    columns += _PITCH_COLUMNS * (control_of(experiment.vocoder) is not None) + _MEASURE_COLUMNS
    columns += tuple(
        (judge_column(name), partial(_Result.judge_predicted, name=name))
        for name in experiment.judges
    )
    return [{name: value(result) for name, value in columns} for result in results]
