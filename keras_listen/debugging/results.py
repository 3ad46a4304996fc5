"""The table of a debugging run, points.csv, and the numbers of results.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.corpus import Utterance
from ..experiment.samples import Sample
from ..output.files import number_text
from .debug_set import DebugSet, Points
from .projection import Map

#: Changes from which on it says something that they are alike.
_SEVERAL = 5
#: Share of tickets whose changes are largest at one frequency, or one moment, from which on it is
#: said; see benchmarks/planted_cues.py.
_ALIKE = 0.6
JUDGED = ("raw", "reconstruction")


def wrong(points: Points, labels: np.ndarray, by: str = "raw") -> np.ndarray:
    """Say which points are misclassified [shape=(points,), bool].

    Args:
        points: what came of them.
        labels: positions of their words [shape=(points,)].
        by: "raw", the utterance's own features, or "reconstruction", as the published code does.
    """
    return points.judged(by).argmax(axis=1) != labels


def mended(points: Points, labels: np.ndarray) -> np.ndarray:
    """Say which points are wrong, but right once they are encoded and decoded."""
    return wrong(points, labels) & ~wrong(points, labels, "reconstruction")


def debugging_rows(
    debug_set: DebugSet,
    points: Points,
    places: Map,
    misclassified: np.ndarray,
    ticketed: np.ndarray,
) -> list[dict[str, Any]]:
    """Return points.csv, a row a point, in the columns `COLUMNS`.

    Args:
        debug_set, points: what was looked into, and what came of it.
        places: on the map.
        misclassified, ticketed: masks [shape=(points,), bool].
    """
    words = debug_set.experiment.classifier.words
    healed = mended(points, debug_set.labels)
    found = []
    for i, (sample, label) in enumerate(zip(debug_set.samples, debug_set.labels, strict=True)):
        point = _Point(
            sample=sample,
            utterance=debug_set.store.utterances[debug_set.positions[i]],
            words=words,
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
        )
        found.append({name: value(point) for name, value in _COLUMNS})
    return found


@dataclass(frozen=True)
class _Point:
    """Everything that a row of points.csv tells of an utterance."""

    sample: Sample
    utterance: Utterance
    words: Sequence[str]
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

    def predicted(self, probabilities: np.ndarray) -> str:
        """Return the most probable word."""
        return self.words[probabilities.argmax()]


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
)
COLUMNS = tuple(name for name, _ in _COLUMNS)


def count_results(debug_set: DebugSet, points: Points, by: str) -> dict[str, Any]:
    """Count right answers: overall, by word and by speaker; and which words are taken for which.

    Args:
        debug_set, points: what was looked into, and what came of it.
        by: what the counts by word, by speaker and of confusions are of, see `wrong`.

    Returns:
        words, accuracy (raw, reconstruction, after), by_word, by_speaker, confusion (rows are the
        words said, columns those heard) and confused_pairs, the most frequent first.
    """
    labels, words = debug_set.labels, debug_set.experiment.classifier.words
    heard = points.judged(by).argmax(axis=1)
    confusion = np.zeros((len(words), len(words)), int)
    np.add.at(confusion, (labels, heard), 1)
    right = heard == labels
    pairs = Counter((words[a], words[b]) for a, b in zip(labels, heard, strict=True) if a != b)
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return {
        "words": list(words),
        "accuracy": {
            "raw": float(1 - wrong(points, labels).mean()),
            "reconstruction": float(1 - wrong(points, labels, "reconstruction").mean()),
            "after": float((points.maximized.argmax(axis=1) == labels).mean()),
        },
        "judged": by,
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


def remarks(debug_set: DebugSet, places: Map, results: Mapping[str, Any]) -> list[str]:
    """Say in sentences what a reader of the results should know.

    Args:
        debug_set, places: what was looked into, and its map.
        results: with judged, misclassified, mended, and changes, see
            `keras_listen.tickets.summarize`.
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
    return found + suspicions(results)


def suspicions(results: Mapping[str, Any]) -> list[str]:
    """Say what the changes together make suspicious."""
    found, changes = [], results["changes"]
    tickets, moved = changes["tickets"], changes["moved"]
    if changes["alarms"] * 4 > tickets:
        found.append(
            f"{changes['alarms']} of {tickets} tickets have an alarm: the classifier may have "
            "learned a shortcut"
        )
    if moved >= _SEVERAL and (changes["same_band"] or 0) > _ALIKE:
        found.append(
            f"{changes['same_band']:.0%} of the changes are largest near {changes['peak_hz']:.0f} "
            "Hz: unless the words differ just there, as two words may, the classifier may listen "
            "to something that is always there"
        )
    if moved >= _SEVERAL and (changes["same_moment"] or 0) > _ALIKE:
        found.append(
            f"{changes['same_moment']:.0%} of the changes are largest near "
            f"{changes['peak_time_s']:.2f} s: unless the words differ just there, as two words "
            "may, the classifier may listen to something that always comes then"
        )
    # Where reconstructions are judged, what they mend is no mistake.
    is_raw = results["judged"] == "raw"
    if is_raw and results["mended"] * 3 > max(1, results["misclassified"]):
        found.append(
            f"{results['mended']} mistakes are mended by encoding and decoding alone: what "
            "misleads the classifier there is in what the prior leaves out and cannot show; look "
            "again with --prior none"
        )
    return found
