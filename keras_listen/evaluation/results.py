"""Counting what came of an objective study: rates, spread, curves, by word and overall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..experiment.chunks import read_chunk
from ..experiment.rates import PooledSpread, Rate, Spread
from ..experiment.referees import predict_in_order
from ..models.blocks import BLOCK_SIZE, spans
from .grid import Grid

#: What is no ascent in the column of the objective.
UNTOUCHED = "untouched"
#: What stands for all words in the column of the word; "all" may be a word.
ALL = "all words"
#: What intervals mean; stands beside them wherever they are shown.
NOTE = (
    "95 % intervals, by Wilson, over starts, given these trained models: they say nothing of other "
    "trainings. Transfer is a share of all starts, as published. Diversity, within "
    "words, and the distance to the nearest training utterance of the word are root mean square "
    "differences of features."
)


class Tally:
    """What is counted of a group of samples: rates, spread, curves, means.

    Attributes:
        rates: by name: own success, clipped success, cycle, and for each referee transfer and joint
            success; the same of the untouched starts under "start".
        spread, start_spread: of the maximized features, and of the untouched starts.
        nearest, start_nearest: sum of their distances, and number of samples, for means.
        scores: sum of the objective at each step and at the end [shape=(steps + 1,)].
        heard: by referee: sum of its probabilities [shape=(words,)].
    """

    def __init__(self) -> None:
        self.samples = 0
        self.rates: dict[str, Rate] = {}
        self.start_rates: dict[str, Rate] = {}
        self.spread, self.start_spread = Spread(), Spread()
        self.nearest: tuple[float, int] = (0.0, 0)
        self.start_nearest: tuple[float, int] = (0.0, 0)
        self.scores: np.ndarray | float = 0.0
        self.reached = 0.0
        self.saturated = 0
        self.heard: dict[str, np.ndarray] = {}

    def __add__(self, other: Tally) -> Tally:
        both = Tally()
        both.samples = self.samples + other.samples
        for name in ("rates", "start_rates"):
            mine, theirs = getattr(self, name), getattr(other, name)
            keys = dict.fromkeys([*mine, *theirs])
            merged = {k: mine.get(k, Rate(0, 0)) + theirs.get(k, Rate(0, 0)) for k in keys}
            setattr(both, name, merged)
        both.spread = self.spread + other.spread
        both.start_spread = self.start_spread + other.start_spread
        for name in ("nearest", "start_nearest"):
            pairs = zip(getattr(self, name), getattr(other, name), strict=True)
            setattr(both, name, tuple(a + b for a, b in pairs))
        both.scores = self.scores + other.scores
        both.reached = self.reached + other.reached
        both.saturated = self.saturated + other.saturated
        for name in dict.fromkeys([*self.heard, *other.heard]):
            both.heard[name] = self.heard.get(name, 0.0) + other.heard.get(name, 0.0)
        return both


def tally(
    arrays: Mapping[str, np.ndarray], words: Sequence[str], referees: Sequence[str], aimed: bool
) -> dict[str, Tally]:
    """Count what came of one chunk, by word.

    Args:
        arrays: from `keras_listen.evaluation.compute`.
        words: of the cell.
        referees: their names.
        aimed: whether samples have a target.
    """
    found = {}
    for label in np.unique(arrays["word"]):
        mine = arrays["word"] == label
        chosen = {k: v[mine] for k, v in arrays.items() if not k.startswith(("spread", "shown"))}
        group = found[words[label]] = _tally(chosen, label if aimed else None, referees)
        for i in np.flatnonzero(arrays["spread_word"] == label):
            group.spread += _spread(arrays, "spread", i)
            group.start_spread += _spread(arrays, "spread_before", i)
    return found


def _spread(arrays: Mapping[str, np.ndarray], name: str, i: int) -> Spread:
    return Spread(*(arrays[f"{name}_{part}"][i] for part in ("count", "total", "squares")))


def _tally(arrays: Mapping[str, np.ndarray], target: int | None, referees: Sequence[str]) -> Tally:
    """Count samples of one word, or of none."""
    judged = {name: (arrays[f"start_{name}"], arrays[f"referee_{name}"]) for name in referees}
    found = tally_scores(arrays["start"], arrays["own"], judged, target)
    found.scores = arrays["scores"].astype(np.float64).sum(axis=0)
    found.saturated = int(arrays["saturated"].sum())
    if target is None:
        return found
    found.rates["clipped success"] = _rate(arrays["clipped"] == target)
    if (spoken := arrays["cycle"] >= 0).any():
        found.rates["cycle"] = _rate(arrays["cycle"][spoken] == target)
    found.nearest = _measured(arrays["nearest"])
    found.start_nearest = _measured(arrays["nearest_before"])
    return found


def _measured(distances: np.ndarray) -> tuple[float, int]:
    """Return the sum of distances, and how many there are."""
    known = distances[np.isfinite(distances)]
    return _sum(known), len(known)


def tally_scores(
    start: np.ndarray,
    own: np.ndarray,
    judged: Mapping[str, tuple[np.ndarray, np.ndarray]],
    target: int | None,
) -> Tally:
    """Count samples of one word by what classifiers say of them.

    Args:
        start, own: probabilities of the classifier before and after [shape=(samples, words)].
        judged: the same of each referee, by name.
        target: position of the word; None where there is none.
    """
    found = Tally()
    found.samples = len(own)
    found.heard = {
        name: after.astype(np.float64).sum(axis=0) for name, (_, after) in judged.items()
    }
    if target is not None:
        found.reached = _sum(own[:, target])
        found.rates = _rates(own, {name: after for name, (_, after) in judged.items()}, target)
        before = {name: before for name, (before, _) in judged.items()}
        found.start_rates = _rates(start, before, target)
    return found


def _rates(own: np.ndarray, judged: Mapping[str, np.ndarray], target: int) -> dict[str, Rate]:
    """Return rates as published: transfer and joint success are shares of all samples."""
    mine = own.argmax(axis=1) == target
    rates = {"own success": _rate(mine)}
    for name, said in judged.items():
        theirs = said.argmax(axis=1) == target
        rates[f"transfer, {name}"] = _rate(theirs)
        rates[f"joint success, {name}"] = _rate(mine & theirs)
    return rates


def _sum(values: np.ndarray) -> float:
    return float(values.astype(np.float64).sum())


def _rate(hits: np.ndarray) -> Rate:
    return Rate(int(hits.sum()), len(hits))


def count(grid: Grid, root: Path) -> dict[str, dict[str, Tally]]:
    """Count what is in a finished study's folder, by name of the cell and word."""
    found: dict[str, dict[str, Tally]] = {}
    for chunk in grid.chunks():
        cell = chunk.cell
        groups = found.setdefault(cell.name, {})
        arrays = read_chunk(root, chunk)
        counted = tally(arrays, cell.words, tuple(grid.referees), cell.experiment.uses_targets)
        for word, group in counted.items():
            groups[word] = groups[word] + group if word in groups else group
    return found


def real_speech(grid: Grid) -> dict[str, Tally]:
    """Count the same of the store's testing utterances, untouched, by word."""
    found, utterances = {}, grid.speech_utterances
    words = grid.classifier.words
    for target, word in enumerate(words):
        features = utterances.features(word, "testing")
        if not len(features):
            continue
        own = grid.classifier.predict(features)
        judged = {
            name: (predict_in_order(referee, words, features),) * 2
            for name, referee in grid.referees.items()
        }
        group = found[word] = tally_scores(own, own, judged, target)
        # In pieces: what is gathered is computed in float64.
        pieces = (Spread.of(features[span]) for span in spans(len(features), BLOCK_SIZE))
        group.start_spread = sum(pieces, Spread())
        if known := utterances.neighbours(word):
            group.start_nearest = _measured(known.nearest(features))
    return found


def total(tallies: Mapping[str, Tally]) -> Tally:
    """Count all words together; their spread is that within words."""
    whole = sum(tallies.values(), Tally())
    for name in ("spread", "start_spread"):
        setattr(whole, name, PooledSpread(getattr(group, name) for group in tallies.values()))
    return whole


def rows(
    grid: Grid,
    counted: Mapping[str, Mapping[str, Tally]],
    speech: Mapping[str, Tally] | None = None,
) -> list[dict[str, Any]]:
    """Describe every cell, its untouched starts and real speech, per word and overall.

    Args:
        grid: what was counted.
        counted: from `count`.
        speech: from `real_speech`.

    Returns:
        One mapping a line: prior, objective, word, samples, for each rate its value with `low` and
        `high` of its interval, probability, "score start" and score (the mean objective at the
        first step and at the end), saturated, diversity and nearest. None is what has no meaning
        there.
    """
    lines, seen = [], set()
    for cell in grid.cells:
        groups = {ALL: total(counted[cell.name])} | counted[cell.name]
        aimed = cell.experiment.uses_targets
        if cell.prior not in seen and aimed:
            seen.add(cell.prior)
            lines += [_start_row(cell.prior, word, group) for word, group in groups.items()]
        lines += [
            _row(cell.prior, cell.objective, word, group, aimed) for word, group in groups.items()
        ]
    for word, group in ({ALL: total(speech)} | speech if speech else {}).items():
        lines.append(_start_row("real speech", word, group))
    return _same_columns(lines)


def published_rows(counted: Mapping[str, Tally]) -> list[dict[str, Any]]:
    """Describe what is in published files, in the columns of `rows`.

    Args:
        counted: from `keras_listen.interchange.read_published`.
    """
    groups = {ALL: total(counted)} | counted
    lines = [_start_row("published files", word, group) for word, group in groups.items()]
    lines += [
        _row("published files", "maximized", word, group, True) for word, group in groups.items()
    ]
    return _same_columns(lines)


def _same_columns(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    names = dict.fromkeys(name for line in lines for name in line)
    return [{name: line.get(name) for name in names} for line in lines]


def _row(prior: str, objective: str, word: str, group: Tally, aimed: bool) -> dict[str, Any]:
    line = {"prior": prior, "objective": objective, "word": word}
    line |= {"samples": group.samples} | _shares(group.rates)
    line["probability"] = group.reached / group.samples if aimed else None
    line |= _scores(group) | {"saturated": group.saturated}
    return line | _kept(group.spread, group.nearest)


def _start_row(prior: str, word: str, group: Tally) -> dict[str, Any]:
    line = {"prior": prior, "objective": UNTOUCHED, "word": word}
    line |= {"samples": group.samples} | _shares(group.start_rates)
    return line | _kept(group.start_spread, group.start_nearest)


def _scores(group: Tally) -> dict[str, float | None]:
    """Return the mean objective at both ends of the ascent; published files do not tell it."""
    if not np.ndim(group.scores):
        return {"score start": None, "score": None}
    first, last = group.scores[[0, -1]] / group.samples
    return {"score start": float(first), "score": float(last)}


def _shares(rates: Mapping[str, Rate]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, rate in rates.items():
        low, high = rate.interval or (None, None)
        found |= {name: rate.value, f"{name} low": low, f"{name} high": high}
    return found


def _kept(spread: Spread | PooledSpread, nearest: tuple[float, int]) -> dict[str, float | None]:
    distance, samples = nearest
    return {"diversity": spread.diversity, "nearest": distance / samples if samples else None}
