"""Maximize the grid of an evaluation: every prior with every objective, in chunks.

The samples of a cell, one prior with one objective, are cut into chunks of a few blocks; each is
computed by itself and kept as one file, so that memory stays flat, a killed evaluation is resumed
where it was, and the order of work changes no byte. Rates are counted from the files.

manifest.json              everything from which the evaluation can be repeated
chunks/<cell>/<n>.npz      arrays of one chunk, see `compute_grid_chunk`
results.json, results.csv  rates with intervals, per word and overall
timing.json                seconds, and samples a second

References:
    Soomro et al., Interspeech 2019, section 4.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from ..data.store import Store
from ..errors import ParameterError
from ..experiment.chunks import BLOCKS, Computing, here, run_chunks
from ..experiment.experiment import Block, Experiment, saturated
from ..experiment.rates import Spread
from ..experiment.referees import predict_in_order, require_fitting
from ..experiment.samples import Sample, slug
from ..features import PART_FIELDS
from ..models.blocks import spans
from ..models.classifier import Classifier
from ..output.progress import Track, quiet
from ..vocoders.pitch import estimate_voiced_shares
from .utterances import Utterances

#: Stands for the predicted word of a sound in which none is predicted.
UNHEARD = -2


@dataclass(frozen=True, eq=False)
class Cell:
    """One prior with one objective.

    Attributes:
        prior, objective: their names.
        experiment: of the two, without a vocoder.
        speaker: the same with the vocoder, for the cycle rate; None without one.
    """

    prior: str
    objective: str
    experiment: Experiment
    speaker: Experiment | None = None

    @property
    def name(self) -> str:
        """Name of the cell's folder."""
        return slug(f"{self.prior}-{self.objective}")

    @property
    def words(self) -> tuple[str, ...]:
        """Its groups of samples: target words, or the objective's label where it has none."""
        experiment = self.experiment
        if experiment.uses_targets:
            return experiment.classifier.words
        return (experiment.objective.label,)


@dataclass(frozen=True)
class Grid:
    """All cells of an evaluation, its referees and its stores.

    Attributes:
        cells: one for each prior and objective.
        referees: classifiers of the same words and features, by name.
        samples: starts of each word.
        cycle_samples: so many of them are synthesized and classified again.
        starts: a store whose testing utterances are maximized to their own words; noise if None.
        speech: a store for the figures of real speech, and for the distance to it; may be None.
        voiced_samples: of so many of them the share of voiced frames is measured: of the sounds, or
            else estimated from the features.
    """

    cells: tuple[Cell, ...]
    referees: Mapping[str, Classifier]
    samples: int
    cycle_samples: int = 0
    starts: Store | None = None
    speech: Store | None = None
    voiced_samples: int = 0

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ParameterError(f"samples is {self.samples}; expected at least 1")
        if self.cycle_samples < 0:
            raise ParameterError(f"cycle samples is {self.cycle_samples}; expected at least 0")
        require_fitting(self.classifier, self.referees)
        _require_folders(self.cells)
        for store in filter(None, (self.starts, self.speech)):
            self.classifier.spec.require(store.spec, f"the store {store.root}", ignore=PART_FIELDS)

    @property
    def classifier(self) -> Classifier:
        """The classifier that is maximized."""
        return self.cells[0].experiment.classifier

    @cached_property
    def start_utterances(self) -> Utterances | None:
        """The utterances of `starts`."""
        return self.starts and Utterances(self.starts)

    @cached_property
    def speech_utterances(self) -> Utterances | None:
        """The utterances of `speech`."""
        return self.speech and Utterances(self.speech)

    def count_starts(self, word: str) -> int:
        """Return the number of starts of a word."""
        if self.starts is None:
            return self.samples
        return min(self.samples, self.start_utterances.count(word, "testing"))

    def plan(self, chunk: GridChunk) -> tuple[np.ndarray, np.ndarray]:
        """Return the word's position and the number of each sample of a chunk, word by word.

        Both have the shape (samples,).
        """
        counts = np.array([self.count_starts(word) for word in chunk.cell.words])
        ends = counts.cumsum()
        places = np.arange(chunk.first, chunk.stop)
        labels = np.searchsorted(ends, places, side="right")
        return labels, places - (ends - counts)[labels]

    def chunks(self) -> Iterator[GridChunk]:
        """Yield every chunk, in the order of its results."""
        for cell in self.cells:
            total = sum(self.count_starts(word) for word in cell.words)
            for span in spans(total, BLOCKS * cell.experiment.block_size):
                yield GridChunk(cell, span.start, span.stop)


def _require_folders(cells: Sequence[Cell]) -> None:
    """Refuse two cells whose folders some file systems take for one."""
    last = {cell.name.casefold(): cell for cell in cells}
    for cell in cells:
        if (other := last[cell.name.casefold()]) is not cell:
            raise ParameterError(
                f"prior {cell.prior} with objective {cell.objective} and prior {other.prior} "
                f"with objective {other.objective} would have one folder, {cell.name}; "
                "evaluate them one after the other"
            )


@dataclass(frozen=True)
class GridChunk:
    """Samples `first` up to `stop` of a cell's plan."""

    cell: Cell
    first: int
    stop: int

    @property
    def path(self) -> str:
        """Path of its file inside the evaluation's folder."""
        return f"chunks/{self.cell.name}/{self.first:07d}.npz"


def run_grid(
    grid: Grid, root: Path, *, computing: Computing | None = None, track: Track = quiet
) -> int:
    """Compute the chunks that the folder does not have; return the number of their samples.

    Args:
        grid: of the evaluation.
        root: its folder.
        computing: computes chunks, for instance on a cluster; in this process if None.
        track: progress, see `keras_listen.output.progress`.
    """
    computing = computing or here(partial(compute_grid_chunk, grid))
    return run_chunks(grid.chunks(), root, computing, label="evaluate", track=track)


def compute_grid_chunk(grid: Grid, chunk: GridChunk) -> dict[str, np.ndarray]:
    """Maximize the samples of a chunk, and classify them by the referees.

    Returns:
        word, k: position of the target among the cell's words and number of the start
        [shape=(samples,)]; start, own: probabilities of the classifier before and after
        [shape=(samples, words)]; start_NAME, referee_NAME: the same of each referee, in the
        classifier's order of words; clipped: position predicted for features clipped to [0, 1];
        scores [shape=(samples, steps + 1)]; saturated, first_step; nearest, nearest_before:
        distance to the training utterances of the word, NaN without any; speech_distance,
        speech_distance_before: to the bundle's real speech of the word in dB, NaN without any;
        voiced: share of voiced frames, NaN where it is not measured; cycle: position predicted for
        the sound, -1 where there is none, `UNHEARD` where no word is predicted [each
        shape=(samples,)]. Further, one row for each
        word and block: spread_word, spread_count, spread_total, spread_squares, see `Spread`, and
        the same of the starts, spread_before_...; and one for each first start of a word:
        shown_word, shown_before, shown_after.
    """
    labels, numbers = grid.plan(chunk)
    size = chunk.cell.experiment.block_size
    parts = []
    for span in spans(chunk.stop - chunk.first, size):
        parts.append(_compute_block(grid, chunk.cell, labels[span], numbers[span]))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _compute_block(
    grid: Grid, cell: Cell, labels: np.ndarray, numbers: np.ndarray
) -> dict[str, np.ndarray]:
    aimed = cell.experiment.uses_targets
    words = [cell.words[label] for label in labels]
    samples = [
        Sample(f"{slug(word)}-{k:03d}", word if aimed else "", "", int(k))
        for word, k in zip(words, numbers, strict=True)
    ]
    targets = words if aimed else ()
    block = cell.experiment.compute(samples, _read_starts(grid, words, numbers))
    found, own = block.maximization, [sample.word for sample in samples]
    arrays = {
        "word": labels.astype(np.int16),
        "k": numbers.astype(np.int32),
        "start": found.probabilities[0],
        "own": found.probabilities[-1],
        "clipped": grid.classifier.decide(block.clipped_probabilities).astype(np.int16),
        "scores": found.scores.T,
        "saturated": saturated(found),
        "first_step": found.first_step,
        "nearest": _nearest_distances(grid, targets, found.features),
        "nearest_before": _nearest_distances(grid, targets, found.start_features),
        "speech_distance": cell.experiment.measure_distances(own, block.clipped),
        "speech_distance_before": cell.experiment.measure_distances(
            own, np.clip(found.start_features[..., 0], 0, 1)
        ),
        **_listen(grid, cell, samples, block),
    }
    for name, referee in grid.referees.items():
        for when, features in (("start", found.start_features), ("referee", found.features)):
            arrays[f"{when}_{name}"] = predict_in_order(referee, grid.classifier.words, features)
    arrays["spread_word"] = np.unique(labels).astype(np.int16)
    for name, features in (("spread", found.features), ("spread_before", found.start_features)):
        arrays |= _gather_spreads(name, features, labels)
    shown = numbers == 0
    arrays["shown_word"] = arrays["word"][shown]
    arrays["shown_before"] = found.start_features[shown, ..., 0]
    arrays["shown_after"] = found.features[shown, ..., 0]
    return arrays


def _gather_spreads(name: str, features: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return the spread of each word's features, in the order of the words' positions."""
    spreads = [Spread.of(features[labels == label]) for label in np.unique(labels)]
    parts = ("count", "total", "squares")
    return {f"{name}_{part}": np.stack([getattr(s, part) for s in spreads]) for part in parts}


def _read_starts(grid: Grid, words: Sequence[str], numbers: np.ndarray) -> np.ndarray | None:
    if grid.starts is None:
        return None
    pairs = zip(words, numbers, strict=True)
    known = grid.start_utterances
    return np.stack([known.features(word, "testing")[k, ..., 0] for word, k in pairs])


def _nearest_distances(grid: Grid, words: Sequence[str], features: np.ndarray) -> np.ndarray:
    """Return each feature's distance to the training utterances of its word, NaN without any."""
    distances = np.full(len(features), np.nan, np.float32)
    for word in dict.fromkeys(words) if grid.speech is not None else ():
        mine = np.array(words) == word
        if known := grid.speech_utterances.neighbours(word):
            distances[mine] = known.nearest(features[mine])
    return distances


def _listen(
    grid: Grid, cell: Cell, samples: Sequence[Sample], block: Block
) -> dict[str, np.ndarray]:
    """Synthesize each word's first samples; return predicted positions and shares of voiced frames.

    Positions are -1 of samples that are not synthesized, and `UNHEARD` where no word is predicted.
    """
    predicted = np.full(len(samples), -1, np.int16)
    voiced = np.full(len(samples), np.nan, np.float32)
    if spoken := [i for i, sample in enumerate(samples) if sample.k < grid.cycle_samples]:
        sounds = cell.speaker.speak([samples[i] for i in spoken], block.clipped[spoken])
        heard = grid.classifier.decide(sounds["cycle"])
        predicted[spoken] = np.where(heard < 0, UNHEARD, heard)
        voiced[spoken] = sounds["voiced"]
    elif chosen := [i for i, sample in enumerate(samples) if sample.k < grid.voiced_samples]:
        voiced[chosen] = estimate_voiced_shares(block.clipped[chosen], grid.classifier.spec)
    return {"cycle": predicted, "voiced": voiced}
