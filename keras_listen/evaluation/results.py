"""Count rates, spread and curves of an evaluation, by word and overall."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..experiment.chunks import read_chunk
from ..experiment.rates import PooledSpread, Rate, Spread
from ..experiment.referees import MatchedReferee, knows, predict_in_order
from ..models.blocks import BLOCK_SIZE, spans
from ..models.classifier import Classifier
from ..models.sound_classifier import SoundClassifier
from ..output.pages import percent
from ..vocoders.pitch import estimate_voiced_shares
from .grid import UNHEARD, Grid

#: Stands in the column of the objective for starts that are not maximized.
UNTOUCHED = "untouched"
#: Stands for all words in the column of the word; "all" may be a word.
ALL = "all words"
#: Explains the intervals wherever they are shown; see `note_of`.
NOTE = (
    "95 % intervals, by Wilson, over starts, given these trained models: they say nothing of other "
    "trainings. Transfer is a share of all starts, as published. Diversity, within "
    "words, and the distance to the nearest training utterance of the word are root mean square "
    "differences of features."
)
#: Words that a note lists at most.
_LISTED = 12


@dataclass(eq=False)
class GroupResults:
    """Counts and sums of a group of samples, of one word or of several.

    Attributes:
        samples: how many.
        rates: by name: own success, clipped success, cycle, and for each referee transfer and joint
            success.
        start_rates: the same rates of the untouched starts.
        spread, start_spread: of the maximized features, and of the untouched starts.
        nearest, start_nearest: sum of their distances, and number of samples, for means.
        speech, start_speech: the same of their distances to real speech of the word, in dB.
        voiced, start_voiced: the same of the shares of voiced frames.
        scores: sum of the objective at each step and at the end [shape=(steps + 1,)].
        target_sum: sum of the classifier's probability of the target.
        saturated: samples whose gradient had vanished at the start.
        probability_sums: by referee: sum of its probabilities [shape=(words,)].
    """

    samples: int = 0
    rates: dict[str, Rate] = field(default_factory=dict)
    start_rates: dict[str, Rate] = field(default_factory=dict)
    spread: Spread | PooledSpread = field(default_factory=Spread)
    start_spread: Spread | PooledSpread = field(default_factory=Spread)
    nearest: tuple[float, int] = (0.0, 0)
    start_nearest: tuple[float, int] = (0.0, 0)
    speech: tuple[float, int] = (0.0, 0)
    start_speech: tuple[float, int] = (0.0, 0)
    voiced: tuple[float, int] = (0.0, 0)
    start_voiced: tuple[float, int] = (0.0, 0)
    scores: np.ndarray | float = 0.0
    target_sum: float = 0.0
    saturated: int = 0
    probability_sums: dict[str, np.ndarray] = field(default_factory=dict)

    def __add__(self, other: GroupResults) -> GroupResults:
        return GroupResults(
            samples=self.samples + other.samples,
            rates=_add_rates(self.rates, other.rates),
            start_rates=_add_rates(self.start_rates, other.start_rates),
            spread=self.spread + other.spread,
            start_spread=self.start_spread + other.start_spread,
            nearest=_add_pairs(self.nearest, other.nearest),
            start_nearest=_add_pairs(self.start_nearest, other.start_nearest),
            speech=_add_pairs(self.speech, other.speech),
            start_speech=_add_pairs(self.start_speech, other.start_speech),
            voiced=_add_pairs(self.voiced, other.voiced),
            start_voiced=_add_pairs(self.start_voiced, other.start_voiced),
            scores=self.scores + other.scores,
            target_sum=self.target_sum + other.target_sum,
            saturated=self.saturated + other.saturated,
            probability_sums={
                name: self.probability_sums.get(name, 0.0) + other.probability_sums.get(name, 0.0)
                for name in dict.fromkeys([*self.probability_sums, *other.probability_sums])
            },
        )


def _add_rates(first: Mapping[str, Rate], second: Mapping[str, Rate]) -> dict[str, Rate]:
    names = dict.fromkeys([*first, *second])
    return {name: first.get(name, Rate(0, 0)) + second.get(name, Rate(0, 0)) for name in names}


def _add_pairs(first: tuple[float, int], second: tuple[float, int]) -> tuple[float, int]:
    return first[0] + second[0], first[1] + second[1]


def count_chunk(
    arrays: Mapping[str, np.ndarray],
    words: Sequence[str],
    classifier: Classifier,
    referees: Mapping[str, Classifier],
    aimed: bool,
) -> dict[str, GroupResults]:
    """Count the samples of one chunk, by word.

    Args:
        arrays: from `keras_listen.evaluation.grid.compute_grid_chunk`.
        words: of the cell.
        classifier, referees: of the evaluation.
        aimed: whether samples have a target.
    """
    found = {}
    for label in np.unique(arrays["word"]):
        mine = arrays["word"] == label
        chosen = {k: v[mine] for k, v in arrays.items() if not k.startswith(("spread", "shown"))}
        target = label if aimed else None
        asked = referees if target is None else _knowing(referees, words[label])
        group = found[words[label]] = _count_group(chosen, target, classifier, asked)
        _leave_out(group, referees.keys() - asked.keys())
        for i in np.flatnonzero(arrays["spread_word"] == label):
            group.spread += _spread(arrays, "spread", i)
            group.start_spread += _spread(arrays, "spread_before", i)
    return found


def _knowing(referees: Mapping[str, Any], word: str) -> dict[str, Any]:
    """Return the referees that know a word; others cannot agree on it."""
    return {name: referee for name, referee in referees.items() if knows(referee, word)}


def _leave_out(found: GroupResults, referees: Iterable[str]) -> None:
    """Give rates without samples to referees that do not know the word."""
    for name in sorted(referees):
        for rates in (found.rates, found.start_rates):
            rates |= {f"transfer, {name}": Rate(0, 0), f"joint success, {name}": Rate(0, 0)}


def _spread(arrays: Mapping[str, np.ndarray], name: str, i: int) -> Spread:
    return Spread(*(arrays[f"{name}_{part}"][i] for part in ("count", "total", "squares")))


def _count_group(
    arrays: Mapping[str, np.ndarray],
    target: int | None,
    classifier: Classifier,
    referees: Mapping[str, Classifier],
) -> GroupResults:
    """Count samples of one word, or of none."""
    judged = {
        name: Judged(arrays[f"start_{name}"], arrays[f"referee_{name}"], referee.decide)
        for name, referee in referees.items()
    }
    own = Judged(arrays["start"], arrays["own"], classifier.decide)
    found = count_scores(own, judged, target)
    found.scores = arrays["scores"].astype(np.float64).sum(axis=0)
    found.saturated = int(arrays["saturated"].sum())
    # Chunks from before have none of these.
    if "voiced" in arrays:
        found.voiced = _summed(arrays["voiced"])
        found.speech = _summed(arrays["speech_distance"])
        found.start_speech = _summed(arrays["speech_distance_before"])
    if target is None:
        return found
    found.rates["clipped success"] = _rate(arrays["clipped"] == target)
    if (spoken := (arrays["cycle"] >= 0) | (arrays["cycle"] == UNHEARD)).any():
        found.rates["cycle"] = _rate(arrays["cycle"][spoken] == target)
    found.nearest = _summed(arrays["nearest"])
    found.start_nearest = _summed(arrays["nearest_before"])
    return found


def _summed(values: np.ndarray) -> tuple[float, int]:
    """Return the sum of the values that there are, and their number."""
    known = values[np.isfinite(values)]
    return _sum(known), len(known)


def _most_probable(probabilities: np.ndarray) -> np.ndarray:
    return probabilities.argmax(axis=1)


@dataclass(frozen=True, eq=False)
class Judged:
    """What one classifier says of the samples of a word.

    Attributes:
        before, after: probabilities [shape=(samples, words)].
        decide: from probabilities to positions of predicted words; by default the most probable.
    """

    before: np.ndarray
    after: np.ndarray
    decide: Callable[[np.ndarray], np.ndarray] = _most_probable


def count_scores(own: Judged, referees: Mapping[str, Judged], target: int | None) -> GroupResults:
    """Count samples of one word by the probabilities that classifiers give them.

    Args:
        own: of the classifier.
        referees: of each referee, by name.
        target: position of the word; None where there is none.
    """
    found = GroupResults()
    found.samples = len(own.after)
    found.probability_sums = {
        name: each.after.astype(np.float64).sum(axis=0) for name, each in referees.items()
    }
    if target is not None:
        found.target_sum = _sum(own.after[:, target])
        found.rates = _rates(
            own.decide(own.after) == target,
            {name: each.decide(each.after) == target for name, each in referees.items()},
        )
        found.start_rates = _rates(
            own.decide(own.before) == target,
            {name: each.decide(each.before) == target for name, each in referees.items()},
        )
    return found


def _rates(mine: np.ndarray, referees: Mapping[str, np.ndarray]) -> dict[str, Rate]:
    """Return rates as published: transfer and joint success are shares of all samples.

    Args:
        mine: whether the classifier predicts the target [shape=(samples,), bool].
        referees: the same of each referee, by name.
    """
    rates = {"own success": _rate(mine)}
    for name, theirs in referees.items():
        rates[f"transfer, {name}"] = _rate(theirs)
        rates[f"joint success, {name}"] = _rate(mine & theirs)
    return rates


def _sum(values: np.ndarray) -> float:
    return float(values.astype(np.float64).sum())


def _rate(hits: np.ndarray) -> Rate:
    return Rate(int(hits.sum()), len(hits))


def count_grid(grid: Grid, root: Path) -> dict[str, dict[str, GroupResults]]:
    """Count the chunks in the folder of a finished evaluation, by name of the cell and word."""
    found: dict[str, dict[str, GroupResults]] = {}
    for chunk in grid.chunks():
        cell = chunk.cell
        groups = found.setdefault(cell.name, {})
        arrays = read_chunk(root, chunk)
        aimed = cell.experiment.uses_targets
        counted = count_chunk(arrays, cell.words, grid.classifier, grid.referees, aimed)
        for word, group in counted.items():
            groups[word] = groups[word] + group if word in groups else group
    return found


def count_real_speech(grid: Grid) -> dict[str, GroupResults]:
    """Count the same rates of the store's testing utterances, untouched, by word."""
    found, utterances = {}, grid.speech_utterances
    words = grid.classifier.words
    for target, word in enumerate(words):
        features = utterances.features(word, "testing")
        if not len(features):
            continue
        own = grid.classifier.predict(features)
        referees = {}
        asked = _knowing(grid.referees, word)
        for name, referee in asked.items():
            theirs = predict_in_order(referee, words, features)
            referees[name] = Judged(theirs, theirs, referee.decide)
        group = found[word] = count_scores(
            Judged(own, own, grid.classifier.decide), referees, target
        )
        _leave_out(group, grid.referees.keys() - asked.keys())
        # In pieces, because Spread.of computes in float64.
        pieces = (Spread.of(features[span]) for span in spans(len(features), BLOCK_SIZE))
        group.start_spread = sum(pieces, Spread())
        if known := utterances.neighbours(word):
            group.start_nearest = _summed(known.nearest(features))
        distances = grid.cells[0].experiment.measure_distances
        group.start_speech = _summed(distances([word] * len(features), features[..., 0]))
        few = features[: grid.voiced_samples, ..., 0]
        group.start_voiced = _summed(estimate_voiced_shares(few, grid.classifier.spec))
    return found


def note_of(grid: Grid) -> str:
    """Return what explains the rates of an evaluation, and what its referees are compared in.

    Of a classifier that hears through a front end it says which way sounds go, and which words only
    one side knows.
    """
    heard = _on_front_end(grid) if isinstance(grid.classifier, SoundClassifier) else []
    return " ".join([NOTE, *heard, _on_measures(grid)])


def _on_front_end(grid: Grid) -> list[str]:
    """Say which way sounds go, and which words only one side knows."""
    name = grid.cells[0].experiment.components["frontend"].name
    way = f"The classifier hears all features as sound, through its front end {name}"
    if grid.referees:
        way += "; the referees hear the same features, without sound"
    found = [f"{way}."]
    if grid.speech is not None:
        found.append("Real speech is heard from the features of the store, not from recordings.")
    if grid.cycle_samples:
        found.append("For the cycle rate it hears the vocoder's sound as a recording.")
    return [*found, *_words_apart(grid)]


def _on_measures(grid: Grid) -> str:
    """Say what voiced and speech distance are, and how far real speech is."""
    speech, spoken = grid.cells[0].experiment.speech, grid.cycle_samples
    count = spoken or grid.voiced_samples
    starts = f"{count} start{'s' if count != 1 else ''} a word"
    if spoken:
        text = f"Voiced is the share of voiced frames in the vocoder's sounds of {starts}"
    else:
        text = f"Voiced is the share of voiced frames, estimated from the features of {starts}"
    if speech is None:
        return f"{text}. Note: {grid.cells[0].experiment.speech_note}."
    real = speech.figures
    text += "; speech distance is the distance of features to real speech of the word, in dB. "
    text += f"Recordings of the word are {real['distance_db']:.1f} dB from it"
    if real.get("distance_db_of_other_words") is not None:
        text += f", those of other words {real['distance_db_of_other_words']:.1f} dB"
    if spoken:
        share = percent(real["voiced_share"], 0)
        text += f"; {share} of their frames are voiced where Griffin-Lim speaks them"
    return f"{text}."


def _words_apart(grid: Grid) -> list[str]:
    """Say which words only the classifier, or only some referees, know."""
    known = grid.classifier.words
    groups: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for name, one in grid.referees.items():
        if isinstance(one, MatchedReferee):
            unknown = tuple(word for word in known if word not in one.known)
            more = tuple(word for word in one.referee.words if word not in one.known)
            groups.setdefault((unknown, more), []).append(name)
    found = ["Words of classifier and referees are matched by name."] if groups else []
    for (unknown, more), names in groups.items():
        who = ", ".join(names)
        if unknown:
            found.append(
                f"Not known to {who}, and left out of transfer and joint success there: "
                f"{_listed(unknown)}."
            )
        if more:
            found.append(
                f"Known to {who} alone, and no agreement where heard there: {_listed(more)}."
            )
    return found


def _listed(words: Sequence[str]) -> str:
    more = f" and {len(words) - _LISTED} more" if len(words) > _LISTED else ""
    return ", ".join(words[:_LISTED]) + more


def pool_groups(groups: Mapping[str, GroupResults]) -> GroupResults:
    """Return the results of all words together; their spread is that within words."""
    whole = sum(groups.values(), GroupResults())
    for name in ("spread", "start_spread"):
        setattr(whole, name, PooledSpread(getattr(group, name) for group in groups.values()))
    return whole


def result_rows(
    grid: Grid,
    counted: Mapping[str, Mapping[str, GroupResults]],
    speech: Mapping[str, GroupResults] | None = None,
) -> list[dict[str, Any]]:
    """Describe every cell, its untouched starts and real speech, per word and overall.

    Args:
        grid: of the evaluation.
        counted: from `count_grid`.
        speech: from `count_real_speech`.

    Returns:
        One mapping a line: prior, objective, word, samples, for each rate its value with `low` and
        `high` of its interval, probability, "score start" and score (the mean objective at the
        first step and at the end), saturated, diversity, nearest, voiced (mean share of voiced
        frames) and "speech distance" (mean distance to real speech of the word, in dB); None where
        there is no such number.
    """
    lines, seen = [], set()
    for cell in grid.cells:
        groups = {ALL: pool_groups(counted[cell.name])} | counted[cell.name]
        aimed = cell.experiment.uses_targets
        if cell.prior not in seen and aimed:
            seen.add(cell.prior)
            lines += [_start_row(cell.prior, word, group) for word, group in groups.items()]
        lines += [
            _row(cell.prior, cell.objective, word, group, aimed) for word, group in groups.items()
        ]
    for word, group in ({ALL: pool_groups(speech)} | speech if speech else {}).items():
        lines.append(_start_row("real speech", word, group))
    return _same_columns(lines)


def published_rows(counted: Mapping[str, GroupResults]) -> list[dict[str, Any]]:
    """Describe the results of published files, in the columns of `result_rows`.

    Args:
        counted: from `keras_listen.evaluation.published.read_published`.
    """
    groups = {ALL: pool_groups(counted)} | counted
    lines = [_start_row("published files", word, group) for word, group in groups.items()]
    lines += [
        _row("published files", "maximized", word, group, True) for word, group in groups.items()
    ]
    return _same_columns(lines)


def _same_columns(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    names = [*dict.fromkeys(name for line in lines for name in line)]
    # Those that came later stand behind all others.
    names.sort(key=("voiced", "speech distance").__contains__)
    return [{name: line.get(name) for name in names} for line in lines]


def _row(prior: str, objective: str, word: str, group: GroupResults, aimed: bool) -> dict[str, Any]:
    line = {"prior": prior, "objective": objective, "word": word}
    line |= {"samples": group.samples} | _rate_columns(group.rates)
    line["probability"] = group.target_sum / group.samples if aimed else None
    line |= _score_columns(group) | {"saturated": group.saturated}
    line |= _spread_columns(group.spread, group.nearest)
    return line | _measure_columns(group.voiced, group.speech)


def _start_row(prior: str, word: str, group: GroupResults) -> dict[str, Any]:
    line = {"prior": prior, "objective": UNTOUCHED, "word": word}
    line |= {"samples": group.samples} | _rate_columns(group.start_rates)
    line |= _spread_columns(group.start_spread, group.start_nearest)
    return line | _measure_columns(group.start_voiced, group.start_speech)


def _score_columns(group: GroupResults) -> dict[str, float | None]:
    """Return the mean objective at both ends of the ascent; published files do not hold it."""
    if not np.ndim(group.scores):
        return {"score start": None, "score": None}
    first, last = group.scores[[0, -1]] / group.samples
    return {"score start": float(first), "score": float(last)}


def _rate_columns(rates: Mapping[str, Rate]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, rate in rates.items():
        low, high = rate.interval or (None, None)
        found |= {name: rate.value, f"{name} low": low, f"{name} high": high}
    return found


def _spread_columns(
    spread: Spread | PooledSpread, nearest: tuple[float, int]
) -> dict[str, float | None]:
    return {"diversity": spread.diversity, "nearest": _mean(nearest)}


def _measure_columns(
    voiced: tuple[float, int], speech: tuple[float, int]
) -> dict[str, float | None]:
    return {"voiced": _mean(voiced), "speech distance": _mean(speech)}


def _mean(summed: tuple[float, int]) -> float | None:
    total, count = summed
    return total / count if count else None
