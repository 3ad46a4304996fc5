"""Real utterances to hear beside a mistake: the nearest of a word that are heard rightly.

They are taken from the whole split, also where only some of its words or speakers are looked into.
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
from .debug_set import DebugSet, Points, narrowing, select, speak
from .recordings import copy_recordings, present_recordings

#: Examples of the true and of the predicted word.
EXAMPLES = 3


@dataclass(frozen=True, eq=False)
class Pool:
    """Utterances that examples are taken from, those of a debugging run first.

    Attributes:
        debug_set: the debugging run, with other utterances behind its own.
        own: how many are its own.
        latents: of their encodings, as `Points.before` [shape=(utterances, values)].
        right: which are heard rightly [shape=(utterances,), bool].
        by: what is judged, "raw" or "reconstruction".
    """

    debug_set: DebugSet
    own: int
    latents: np.ndarray
    right: np.ndarray
    by: str

    def examples(self, point: int, label: int) -> list[dict[str, Any]]:
        """Return what a ticket says of the examples of a word.

        Args:
            point: whose ticket.
            label: position of the word.
        """
        found = neighbours(self.latents, self.debug_set.labels, self.right, point, label)
        samples = self.debug_set.samples
        return [
            {"id": samples[i].id, "file": samples[i].start, "distance": round(far, 6)}
            for i, far in found
        ]


def neighbours(
    latents: np.ndarray, labels: np.ndarray, right: np.ndarray, point: int, label: int
) -> list[tuple[int, float]]:
    """Return the nearest utterances of a word that were classified rightly, with their distances.

    Args:
        latents: [shape=(points, values)].
        labels: position of each point's word [shape=(points,)].
        right: mask [shape=(points,), bool].
        point: whose neighbours; it is none of its own.
        label: position of the word.
    """
    others = np.flatnonzero(right & (labels == label))
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
    by: str,
    track: Track = quiet,
) -> Pool:
    """Encode and classify the split's other utterances of the words that mistakes are about.

    Args:
        debug_set, points: what was looked into, and what came of it.
        ticketed: which points have a ticket [shape=(points,), bool].
        split: whose utterances.
        by: "raw" or "reconstruction", what is judged.
        track: progress, see `keras_listen.output.progress`.
    """
    own, heard = len(debug_set.samples), points.judged(by).argmax(axis=1)
    right = heard == debug_set.labels
    others = _others(debug_set, split, {*debug_set.labels[ticketed], *heard[ticketed]})
    if not len(others):
        return Pool(debug_set, own, points.before, right, by)
    positions = np.concatenate([debug_set.positions, others])
    everything = DebugSet.of(debug_set.experiment, debug_set.store, positions, debug_set.vocoder)
    latents, heard = _look(everything, own, by, track)
    return Pool(
        everything,
        own,
        np.concatenate([points.before, latents]),
        np.concatenate([right, heard == everything.labels[own:]]),
        by,
    )


def _others(debug_set: DebugSet, split: str, labels: set[int]) -> np.ndarray:
    """Return the positions of a split's utterances of some words that are not looked into."""
    known = debug_set.experiment.classifier.words
    words = sorted({known[label] for label in labels} & set(debug_set.store.words))
    if not words:
        return np.zeros(0, np.int64)
    positions, _ = select(debug_set.store, split, known, words)
    return np.setdiff1d(positions, debug_set.positions)


def _look(everything: DebugSet, own: int, by: str, track: Track) -> tuple[np.ndarray, np.ndarray]:
    """Return the latents and the predictions of those behind the debugging run's own."""
    experiment = everything.experiment
    size, latents, heard = experiment.block_size, [], []
    others = everything.positions[own:]
    with track(total=len(others), label="examples", unit="utterance") as advance:
        for span in spans(len(others), size):
            features = everything.store.read(others[span])
            z = experiment.in_blocks(experiment.prior.encode, features)
            judged = features if by == "raw" else experiment.in_blocks(experiment.prior.decode, z)
            heard.append(experiment.classifier.predict(judged, block_size=size).argmax(axis=1))
            flat = z.reshape(len(z), -1)
            latents.append(narrowing(flat.shape[1])(flat))
            advance(len(z))
    return np.concatenate(latents), np.concatenate(heard)


def write_neighbour_sounds(
    pool: Pool,
    root: Path,
    tickets: Sequence[str],
    audio: str | Path | None,
    *,
    reader: str,
    track: Track = quiet,
) -> list[str]:
    """Write the sounds of neighbours outside the debugging run: recordings, or spoken features.

    Args:
        pool: where they are from.
        root: the output folder.
        tickets: ids of the tickets.
        audio: folder of the recordings, or None.
        reader: of recordings.
        track: progress, see `keras_listen.output.progress`.

    Returns:
        what is wrong with recordings that are missing or could not be read.
    """
    samples, notes = pool.debug_set.samples, []
    if len(samples) == pool.own:
        return notes
    named = _named(root, tickets)
    mine = [i for i in range(pool.own, len(samples)) if samples[i].id in named]
    if audio is not None:
        there, notes = present_recordings([samples[i] for i in mine], Path(audio))
        spec = pool.debug_set.store.spec
        notes += copy_recordings(there, audio, root, spec, reader=reader, track=track)
    mute = [i for i in mine if not _is_heard(root, samples[i])]
    if mute and pool.debug_set.vocoder is not None:
        size = pool.debug_set.experiment.block_size
        with track(total=len(mute), label="speak", unit="example") as advance:
            for span in spans(len(mute), size):
                _speak(pool.debug_set, root, mute[span])
                advance(len(mute[span]))
    return notes


def _speak(debug_set: DebugSet, root: Path, points: Sequence[int]) -> None:
    """Write what the decoded encodings of some utterances sound like."""
    experiment, features = debug_set.experiment, debug_set.store.read(debug_set.positions[points])
    z = experiment.in_blocks(experiment.prior.encode, features)
    names = [f"{debug_set.samples[point].id}-before" for point in points]
    decoded = experiment.in_blocks(experiment.prior.decode, z)[..., 0]
    speak(debug_set, root / "sounds", names, decoded, debug_set.seeds_of(points))


def _named(root: Path, tickets: Sequence[str]) -> set[str]:
    """Return the ids of all examples that tickets name."""
    found = set()
    for ticket in tickets:
        about = json.loads((root / "tickets" / ticket / "ticket.json").read_text(encoding="utf-8"))
        found |= {one["id"] for near in about["neighbours"].values() for one in near}
    return found


def _is_heard(root: Path, sample: Sample) -> bool:
    sounds = root / "sounds"
    return any((sounds / f"{sample.id}-{when}.wav").is_file() for when in ("recording", "before"))
