"""Write a ticket for each mistake: its prediction, the change that corrects it, and where it lies.

tickets/<id>/ticket.json             facts, see `Ticket.facts`
tickets/<id>/<version>.png, .wav     pictures, and sounds with a vocoder
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..experiment.chunks import read_chunk
from ..features import FeatureSpec, denormalize_magnitude, normalize_magnitude
from ..models.blocks import spans
from ..output.files import make_folder, write_json
from .alarms import locate_change
from .debug_set import DebugSet, Points, write_sounds
from .neighbours import ExamplePool

#: Changes are at one frequency where they are no further apart than this share of it, and at one
#: moment where they are no further apart than so many seconds.
_NEAR, _SOON = 0.1, 0.025
#: Those versions that are the same as a point's two sounds.
_SPOKEN = {"reconstruction": "before", "maximized": "after"}


@dataclass(frozen=True, eq=False)
class Ticket:
    """One mistake.

    Attributes:
        facts: contents of ticket.json.
        versions: features of the original, reconstruction, first step that is classified correctly
            (if there is one) and maximized [each shape=(frames, mels)].
        point: its position among the debugging run's points.
    """

    facts: dict[str, Any]
    versions: dict[str, np.ndarray]
    point: int


def choose_tickets(probabilities: np.ndarray, wrong: np.ndarray, count: int | None) -> np.ndarray:
    """Return which mistakes have a ticket [shape=(points,), bool].

    Args:
        probabilities: from which mistakes were found [shape=(points, words)].
        wrong: mask of the mistakes [shape=(points,), bool].
        count: at most so many, the most confident first; all if None.
    """
    mistakes = np.flatnonzero(wrong)
    confident = np.argsort(-probabilities[mistakes].max(axis=1), kind="stable")
    chosen = np.zeros(len(wrong), bool)
    chosen[mistakes[confident[:count]]] = True
    return chosen


def make_tickets(
    debug_set: DebugSet, points: Points, root: Path, chosen: np.ndarray, pool: ExamplePool
) -> Iterator[list[Ticket]]:
    """Yield the tickets that a folder does not have yet, a block at a time.

    Args:
        debug_set, points: of the debugging run.
        root: the output folder.
        chosen: which points have a ticket [shape=(points,), bool].
        pool: of the examples; holds the basis of mistakes, too.
    """
    for chunk in debug_set.chunks():
        mine = [i for i in np.flatnonzero(chosen[chunk.first : chunk.stop])
                if not _is_there(root, debug_set.samples[chunk.first + i].id)]  # fmt: skip
        if not mine:
            continue
        arrays = read_chunk(root, chunk, ("path", "first_step", "before", "first", "after"))
        for span in spans(len(mine), debug_set.experiment.block_size):
            some = {name: array[mine[span]] for name, array in arrays.items()}
            at = chunk.first + np.array(mine[span])
            yield _make_block(debug_set, points, pool, at, some)


def _is_there(root: Path, name: str) -> bool:
    return (root / "tickets" / name / "ticket.json").is_file()


def _make_block(
    debug_set: DebugSet,
    points: Points,
    pool: ExamplePool,
    at: np.ndarray,
    arrays: Mapping[str, np.ndarray],
) -> list[Ticket]:
    # Latents are stored flat; only the prior knows their shape.
    one = debug_set.experiment.prior.start(np.zeros(1, np.int32), np.zeros((1, 2), np.uint32))
    original = debug_set.store.read(debug_set.positions[at])[..., 0]

    def decoded(name: str) -> np.ndarray:
        latents = arrays[name].reshape(-1, *one.shape[1:])
        return debug_set.experiment.in_blocks(debug_set.experiment.prior.decode, latents)[..., 0]

    features = {name: decoded(name) for name in ("before", "first", "after")}
    tickets = []
    for i, point in enumerate(at):
        versions = {"original": original[i], "reconstruction": features["before"][i]}
        if arrays["first_step"][i] >= 0:
            versions["smallest"] = features["first"][i]
        versions["maximized"] = features["after"][i]
        facts = _facts(debug_set, points, pool, int(point), arrays["path"][i], versions)
        tickets.append(Ticket(facts, versions, int(point)))
    return tickets


def _facts(
    debug_set: DebugSet,
    points: Points,
    pool: ExamplePool,
    point: int,
    path: np.ndarray,
    versions: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    classifier, label = debug_set.experiment.classifier, int(debug_set.labels[point])
    probabilities = points.probabilities_on(pool.basis)[point]
    sample, predicted = debug_set.samples[point], int(classifier.decide(probabilities))
    # Where no word is predicted, the most probable one is followed.
    rival = predicted if predicted >= 0 else int(probabilities.argmax())
    # The last name is that of -1: no word.
    names = (*classifier.words, "")
    raw, reconstructed = classifier.decide(points.raw[point]), classifier.decide(path[0])
    first_step = int(points.first_step[point])
    change = locate_change(versions, debug_set.experiment.classifier.spec)
    return {
        "id": sample.id,
        "file": sample.start,
        "word": sample.word,
        "speaker": str(debug_set.speakers[point]),
        "predicted": names[predicted],
        "confidence": round(float(probabilities[rival]), 6),
        "mended": bool(raw != label and reconstructed == label),
        "steps": list(range(len(path))),
        "probability_path": [round(float(p), 6) for p in path[:, label]],
        "mistaken_path": [round(float(p), 6) for p in path[:, rival]],
        "predicted_path": [names[i] for i in classifier.decide(path)],
        "first_step": first_step,
        "change": change,
        "neighbours": {
            "true": pool.examples(point, label),
            "predicted": pool.examples(point, predicted) if predicted >= 0 else [],
        },
        "versions": list(versions),
    }


def difference_features(before: np.ndarray, after: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Return features of the absolute difference of two magnitude spectrograms.

    Args:
        before, after: [shape=(..., mels)]; what is outside [0, 1] is clipped.
        spec: of the features.
    """
    first, second = (denormalize_magnitude(np.clip(x, 0, 1), spec) for x in (before, after))
    return normalize_magnitude(np.abs(second - first), spec).astype(np.float32)


def write_tickets(
    debug_set: DebugSet,
    root: Path,
    tickets: Sequence[Ticket],
    draw: Callable[[Path, Ticket], None],
) -> None:
    """Write the tickets of a block; `ticket.json` last, so that a folder with one is whole.

    Args:
        debug_set: of the debugging run.
        root: the output folder.
        tickets: of one block.
        draw: called as `draw(folder, ticket)` to make the pictures.
    """
    spec = debug_set.experiment.classifier.spec
    folders = [make_folder(root / "tickets" / ticket.facts["id"]) for ticket in tickets]
    recorded = [root / "sounds" / f"{t.facts['id']}-recording.wav" for t in tickets]
    sounding = {
        "original": [
            None if path.is_file() else ticket.versions["original"]
            for path, ticket in zip(recorded, tickets, strict=True)
        ]
    }
    sounding["smallest"] = [t.versions.get("smallest") for t in tickets]
    sounding["difference"] = [
        difference_features(t.versions["reconstruction"], t.versions["maximized"], spec)
        for t in tickets
    ]
    seeds = debug_set.seeds_of([ticket.point for ticket in tickets])
    for name, features in sounding.items():
        there = [i for i, one in enumerate(features) if one is not None]
        if there:
            names = [f"tickets/{tickets[i].facts['id']}/{name}" for i in there]
            stacked = np.stack([features[i] for i in there])
            write_sounds(debug_set, root, names, stacked, seeds[there])
    for folder, ticket, recording in zip(folders, tickets, recorded, strict=True):
        if recording.is_file():
            shutil.copyfile(recording, folder / "original.wav")
        for version, when in _SPOKEN.items() if debug_set.vocoder is not None else ():
            sound = root / "sounds" / f"{ticket.facts['id']}-{when}.wav"
            shutil.copyfile(sound, folder / f"{version}.wav")
        draw(folder, ticket)
        write_json(folder / "ticket.json", ticket.facts)


def summarize_tickets(root: Path, names: Sequence[str]) -> dict[str, Any]:
    """Summarize where the changes of all tickets lie.

    Args:
        root: the output folder.
        names: ids of the tickets.

    Returns:
        tickets, alarms (how many have one), shares (their means), moved (how many changed at all),
        and of these peak_hz, the frequency near which most are largest, same_band, the share of
        them within a tenth of it, peak_time_s and same_moment, within 0.025 s.
    """
    texts = [(root / "tickets" / n / "ticket.json").read_text(encoding="utf-8") for n in names]
    changes = [json.loads(text)["change"] for text in texts]
    shares = ("share_padding", "share_low", "share_high", "share_speech", "share_peak")
    found = {
        "tickets": len(changes),
        "alarms": sum(change["alarm"] is not None for change in changes),
        "shares": {n: float(np.mean([c[n] for c in changes])) for n in shares if changes},
    } | dict.fromkeys(("peak_hz", "same_band", "peak_time_s", "same_moment"))
    moved = [change for change in changes if change["share_peak"]]
    found["moved"] = len(moved)
    if moved:
        hertz, seconds = (np.array([c[n] for c in moved]) for n in ("peak_hz", "peak_time_s"))
        found["peak_hz"], found["same_band"] = _commonest(hertz, _NEAR * hertz)
        soon = np.full_like(seconds, _SOON)
        found["peak_time_s"], found["same_moment"] = _commonest(seconds, soon)
    return found


def _commonest(values: np.ndarray, reach: np.ndarray) -> tuple[float, float]:
    """Return the value with most others in its reach, and their share."""
    near = (np.abs(values - values[:, None]) <= reach[:, None]).mean(axis=1)
    return float(values[near.argmax()]), float(near.max())
