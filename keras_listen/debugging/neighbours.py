"""Find examples beside a mistake: the nearest utterances of a word that are classified correctly.

They are taken from the whole split, even if the debugging run is of some words or speakers only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..experiment.samples import Sample
from ..models.blocks import spans
from ..output.progress import Track, quiet
from .debug_set import DebugSet, Points, latent_projection, select_utterances, write_sounds
from .recordings import copy_recordings, present_recordings

#: Examples of the true and of the predicted word.
EXAMPLES = 3


@dataclass(frozen=True, eq=False)
class ExamplePool:
    """Utterances that examples are taken from, those of a debugging run first.

    Attributes:
        debug_set: the utterances of the debugging run, and others behind them.
        own: how many are of the debugging run.
        latents: of their encodings, as `Points.before` [shape=(utterances, values)].
        correct: which are classified correctly [shape=(utterances,), bool].
        basis: features that are classified, "raw" or "reconstruction".
    """

    debug_set: DebugSet
    own: int
    latents: np.ndarray
    correct: np.ndarray
    basis: str

    def examples(self, point: int, label: int) -> list[dict[str, Any]]:
        """Return id, file and distance of the examples of a word, as tickets hold them.

        Args:
            point: of the ticket.
            label: position of the word.
        """
        found = nearest_correct(self.latents, self.debug_set.labels, self.correct, point, label)
        samples = self.debug_set.samples
        return [
            {"id": samples[i].id, "file": samples[i].start, "distance": round(far, 6)}
            for i, far in found
        ]


def nearest_correct(
    latents: np.ndarray, labels: np.ndarray, correct: np.ndarray, point: int, label: int
) -> list[tuple[int, float]]:
    """Return the nearest correctly classified utterances of a word, with their distances.

    Args:
        latents: [shape=(points, values)].
        labels: position of each point's word [shape=(points,)].
        correct: mask [shape=(points,), bool].
        point: whose neighbours; it is none of its own.
        label: position of the word.
    """
    others = np.flatnonzero(correct & (labels == label))
    others = others[others != point]
    far = np.linalg.norm(latents[others] - latents[point], axis=1)
    nearest = np.argsort(far, kind="stable")[:EXAMPLES]
    return [(int(others[i]), float(far[i])) for i in nearest]


def gather_pool(
    debug_set: DebugSet,
    points: Points,
    ticketed: np.ndarray,
    *,
    split: str,
    basis: str,
    track: Track = quiet,
) -> ExamplePool:
    """Encode and classify the split's other utterances of the words that mistakes are about.

    Args:
        debug_set, points: of the debugging run.
        ticketed: which points have a ticket [shape=(points,), bool].
        split: holds the utterances.
        basis: features that are classified, "raw" or "reconstruction".
        track: progress, see `keras_listen.output.progress`.
    """
    own = len(debug_set.samples)
    predicted = debug_set.experiment.classifier.decide(points.probabilities_on(basis))
    correct = predicted == debug_set.labels
    others = _other_positions(debug_set, split, {*debug_set.labels[ticketed], *predicted[ticketed]})
    if not len(others):
        return ExamplePool(debug_set, own, points.before, correct, basis)
    positions = np.concatenate([debug_set.positions, others])
    everything = debug_set.with_positions(positions)
    latents, predicted = _encode_others(everything, own, basis, track)
    return ExamplePool(
        everything,
        own,
        np.concatenate([points.before, latents]),
        np.concatenate([correct, predicted == everything.labels[own:]]),
        basis,
    )


def _other_positions(debug_set: DebugSet, split: str, labels: set[int]) -> np.ndarray:
    """Return positions of a split's utterances of some words, without those of the debug set."""
    known = debug_set.experiment.classifier.words
    # Of a model with a sigmoid for each word, -1 stands for no predicted word.
    words = sorted({known[label] for label in labels if label >= 0} & set(debug_set.store.words))
    if not words:
        return np.zeros(0, np.int64)
    positions, _ = select_utterances(debug_set.store, split, known, words)
    return np.setdiff1d(positions, debug_set.positions)


def _encode_others(
    everything: DebugSet, own: int, basis: str, track: Track
) -> tuple[np.ndarray, np.ndarray]:
    """Return latents and predictions of the utterances behind the debugging run's own."""
    experiment = everything.experiment
    size, latents, predicted = experiment.block_size, [], []
    others = everything.positions[own:]
    with track(total=len(others), label="examples", unit="utterance") as advance:
        for span in spans(len(others), size):
            features = everything.store.read(others[span])
            z = experiment.in_blocks(experiment.prior.encode, features)
            if basis == "raw":
                points = range(own + span.start, own + span.stop)
                found = everything.predict_raw(points, features)
            else:
                decoded = experiment.in_blocks(experiment.prior.decode, z)
                found = experiment.classifier.predict(decoded, block_size=size)
            predicted.append(experiment.classifier.decide(found))
            flat = z.reshape(len(z), -1)
            latents.append(latent_projection(flat.shape[1])(flat))
            advance(len(z))
    return np.concatenate(latents), np.concatenate(predicted)


def write_neighbour_sounds(
    pool: ExamplePool,
    root: Path,
    tickets: Sequence[str],
    audio: str | Path | None,
    *,
    reader: str,
    track: Track = quiet,
) -> list[str]:
    """Write sounds of the examples outside the debugging run: recorded, or else synthesized.

    Args:
        pool: holds the utterances.
        root: the output folder.
        tickets: ids of the tickets.
        audio: folder of the recordings, or None.
        reader: of recordings.
        track: progress, see `keras_listen.output.progress`.

    Returns:
        notes on recordings that are missing or could not be read.
    """
    samples, notes = pool.debug_set.samples, []
    if len(samples) == pool.own:
        return notes
    named = _example_ids(root, tickets)
    mine = [i for i in range(pool.own, len(samples)) if samples[i].id in named]
    if audio is not None:
        there, notes = present_recordings([samples[i] for i in mine], Path(audio))
        spec = pool.debug_set.store.spec
        notes += copy_recordings(there, audio, root, spec, reader=reader, track=track)
    silent = [i for i in mine if not _has_sound(root, samples[i])]
    if silent and pool.debug_set.vocoder is not None:
        size = pool.debug_set.experiment.block_size
        with track(total=len(silent), label="speak", unit="example") as advance:
            for span in spans(len(silent), size):
                _synthesize_decoded(pool.debug_set, root, silent[span])
                advance(len(silent[span]))
    return notes


def _synthesize_decoded(debug_set: DebugSet, root: Path, points: Sequence[int]) -> None:
    """Write sounds of the decoded encodings of some utterances."""
    experiment, features = debug_set.experiment, debug_set.store.read(debug_set.positions[points])
    z = experiment.in_blocks(experiment.prior.encode, features)
    names = [f"{debug_set.samples[point].id}-before" for point in points]
    decoded = experiment.in_blocks(experiment.prior.decode, z)[..., 0]
    write_sounds(debug_set, root / "sounds", names, decoded, debug_set.seeds_of(points))


def _example_ids(root: Path, tickets: Sequence[str]) -> set[str]:
    """Return the ids of all examples that tickets name."""
    found = set()
    for ticket in tickets:
        about = json.loads((root / "tickets" / ticket / "ticket.json").read_text(encoding="utf-8"))
        found |= {one["id"] for near in about["neighbours"].values() for one in near}
    return found


def _has_sound(root: Path, sample: Sample) -> bool:
    sounds = root / "sounds"
    return any((sounds / f"{sample.id}-{when}.wav").is_file() for when in ("recording", "before"))
