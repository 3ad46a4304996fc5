"""The table of a debugging run, points.csv, and the numbers of results.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..data.corpus import Utterance
from ..experiment.samples import Sample
from ..models.classifier import Classifier
from ..output.files import number_text
from ..output.pages import percent
from .alarms import list_suspicions
from .debug_set import SOUND_ARRAYS, DebugSet, Points
from .tsne import Map

#: Stands for the heard word in counts and on pages where none is predicted.
NO_WORD = "no word"
#: Features whose prediction decides whether an utterance is misclassified.
BASES = ("raw", "reconstruction")


def find_misclassified(debug_set: DebugSet, points: Points, basis: str = "raw") -> np.ndarray:
    """Return the mask of misclassified points [shape=(points,), bool].

    Args:
        debug_set, points: of the debugging run.
        basis: "raw", the utterance's own features, or "reconstruction", as in the published code.
    """
    return _decide(debug_set, points.probabilities_on(basis)) != debug_set.labels


def find_mended(debug_set: DebugSet, points: Points) -> np.ndarray:
    """Return the mask of misclassified points that are correct once encoded and decoded."""
    reconstructed = find_misclassified(debug_set, points, "reconstruction")
    return find_misclassified(debug_set, points) & ~reconstructed


def _decide(debug_set: DebugSet, probabilities: np.ndarray) -> np.ndarray:
    """Return the positions of predicted words, -1 where none is."""
    return debug_set.experiment.classifier.decide(probabilities)


def debugging_rows(
    debug_set: DebugSet,
    points: Points,
    places: Map,
    misclassified: np.ndarray,
    ticketed: np.ndarray,
) -> list[dict[str, Any]]:
    """Return the rows of points.csv, one for each point, in the columns `COLUMNS`.

    Args:
        debug_set, points: of the debugging run.
        places: on the map.
        misclassified, ticketed: masks [shape=(points,), bool].
    """
    healed = find_mended(debug_set, points)
    found = []
    for i, (sample, label) in enumerate(zip(debug_set.samples, debug_set.labels, strict=True)):
        point = _Point(
            sample=sample,
            utterance=debug_set.store.utterances[debug_set.positions[i]],
            classifier=debug_set.experiment.classifier,
            label=label,
            raw=points.raw[i],
            reconstruction=points.reconstruction[i],
            maximized=points.maximized[i],
            first_step=points.first_step[i],
            distance=points.distance[i],
            before=places.before[i],
            after=places.after[i],
            misclassified=misclassified[i],
            mended=healed[i],
            ticketed=ticketed[i],
            sounds={name: values[i] for name, values in points.sounds.items()},
        )
        found.append({name: value(point) for name, value in _COLUMNS})
    return found


@dataclass(frozen=True)
class _Point:
    """Everything from which a row of points.csv is made."""

    sample: Sample
    utterance: Utterance
    classifier: Classifier
    label: int
    raw: np.ndarray
    reconstruction: np.ndarray
    maximized: np.ndarray
    first_step: int
    distance: float
    before: np.ndarray
    after: np.ndarray
    misclassified: bool
    mended: bool
    ticketed: bool
    sounds: Mapping[str, Any]

    def predicted(self, probabilities: np.ndarray) -> str:
        """Return the predicted word; nothing where none is."""
        place = int(self.classifier.decide(probabilities))
        return self.classifier.words[place] if place >= 0 else ""

    def sound(self, name: str) -> str:
        """Return what is told of a sound; nothing where it is not."""
        value = self.sounds.get(name, "")
        return str(value) if isinstance(value, str) else number_text(value)


#: Each column of points.csv and its value.
_COLUMNS: tuple[tuple[str, Callable[[_Point], Any]], ...] = (
    ("id", lambda p: p.sample.id),
    ("file", lambda p: p.utterance.file),
    ("word", lambda p: p.sample.word),
    ("speaker", lambda p: p.utterance.speaker),
    ("split", lambda p: p.utterance.split),
    ("predicted", lambda p: p.predicted(p.raw)),
    ("probability", lambda p: number_text(p.raw[p.label])),
    ("probability_predicted", lambda p: number_text(p.raw.max())),
    ("predicted_reconstruction", lambda p: p.predicted(p.reconstruction)),
    ("probability_reconstruction", lambda p: number_text(p.reconstruction[p.label])),
    ("predicted_after", lambda p: p.predicted(p.maximized)),
    ("probability_after", lambda p: number_text(p.maximized[p.label])),
    ("first_step", lambda p: int(p.first_step)),
    ("distance", lambda p: number_text(p.distance)),
    ("x_before", lambda p: number_text(p.before[0])),
    ("y_before", lambda p: number_text(p.before[1])),
    ("x_after", lambda p: number_text(p.after[0])),
    ("y_after", lambda p: number_text(p.after[1])),
    ("misclassified", lambda p: int(p.misclassified)),
    ("mended", lambda p: int(p.mended)),
    ("ticket", lambda p: int(p.ticketed)),
    # Of the vocoder's sounds: shares of voiced frames, and where their pitch is from.
    *((name, partial(_Point.sound, name=name)) for name in SOUND_ARRAYS),
)
COLUMNS = tuple(name for name, _ in _COLUMNS)


def count_results(debug_set: DebugSet, points: Points, basis: str) -> dict[str, Any]:
    """Count correct predictions, overall, by word and by speaker, and confusions of words.

    Args:
        debug_set, points: of the debugging run.
        basis: features of the counts by word and speaker and of confusions, see
            `find_misclassified`.

    Returns:
        words, accuracy (raw, reconstruction, after), by_word, by_speaker, confusion (rows are the
        words said, columns those heard, without utterances in which no word is heard) and
        confused_pairs, the most frequent first.
    """
    labels, words = debug_set.labels, debug_set.experiment.classifier.words
    predicted = _decide(debug_set, points.probabilities_on(basis))
    confusion, heard = np.zeros((len(words), len(words)), int), predicted >= 0
    np.add.at(confusion, (labels[heard], predicted[heard]), 1)
    right = predicted == labels
    # The last name is that of -1: no word.
    names = (*words, NO_WORD)
    pairs = Counter((words[a], names[b]) for a, b in zip(labels, predicted, strict=True) if a != b)
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return {
        "words": list(words),
        "accuracy": {
            **{
                name: float(1 - find_misclassified(debug_set, points, name).mean())
                for name in BASES
            },
            "after": float((_decide(debug_set, points.maximized) == labels).mean()),
        },
        "judged": basis,
        "misclassified": int((~right).sum()),
        "by_word": _shares("word", [sample.word for sample in debug_set.samples], right),
        "by_speaker": _shares("speaker", debug_set.speakers.tolist(), right),
        "confusion": confusion.tolist(),
        "confused_pairs": [{"word": a, "predicted": b, "count": n} for (a, b), n in ordered],
    }


def _shares(name: str, groups: Sequence[str], right: np.ndarray) -> list[dict[str, Any]]:
    """Return count and accuracy of each group, sorted by its name."""
    counted, hits = Counter(groups), Counter(g for g, r in zip(groups, right, strict=True) if r)
    return [
        {name: g, "count": counted[g], "accuracy": hits[g] / counted[g]} for g in sorted(counted)
    ]


def list_remarks(
    debug_set: DebugSet, points: Points, places: Map, results: Mapping[str, Any]
) -> list[str]:
    """Return sentences that a reader of the results should know.

    Args:
        debug_set, points, places: of the debugging run, and its map.
        results: with judged, misclassified, mended, and changes, see
            `debugging.tickets.summarize_tickets`.
    """
    found = []
    if results["judged"] == "reconstruction":
        found.append(
            "judged is what an utterance is decoded to, as in the published code: misclassified "
            "here are utterances whose reconstruction is misheard"
        )
    if not results["misclassified"]:
        found.append("no utterance is misclassified: there are no tickets and no figure 4(a)")
    if len(set(debug_set.speakers)) == 1:
        found.append("all utterances are by one speaker: nothing is said of speakers")
    if places.perplexity is None:
        found.append("too few utterances for t-SNE: the map shows two principal components")
    return found + _on_sounds(points) + list_suspicions(results)


def _on_sounds(points: Points) -> list[str]:
    """Say how much of the sounds is voiced, and how often their pitch is invented."""
    found = []
    if "voiced_before" in points.sounds:
        before, after = (points.sounds[f"voiced_{when}"].mean() for when in ("before", "after"))
        found.append(
            f"{percent(before, 0)} of the frames of reconstructions' sounds are voiced, "
            f"{percent(after, 0)} of those of maximized ones"
        )
    if "pitch_before" in points.sounds:
        origins = [points.sounds[f"pitch_{when}"] == "invented" for when in ("before", "after")]
        if invented := int(np.sum(origins)):
            found.append(
                f"the vocoder invented the pitch of {invented} of {np.size(origins)} sounds, which "
                "changes what is heard"
            )
    return found
