"""Search for starts that reach their word: only these are recorded.

Each word is tried from one start after the other until it has its recordings, or is given up after
enough tries: the published code never stops where a word cannot be reached. The result of a start
does not depend on the others of its block, so that words are tried together, in blocks.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from ...experiment.chunks import here, read_chunk, run_chunks
from ...experiment.samples import Sample
from ...models.blocks import spans
from ...output.progress import Track, quiet
from .conditions import STAGES, Condition
from .plan import Plan

#: Why a word has fewer recordings than wanted.
GIVEN_UP = "was not reached"
TOO_FEW = "too few utterances in the split"


@dataclass(frozen=True)
class Attempt:
    """Starts of a condition that are maximized together: a chunk, see `experiment.chunks`."""

    condition: Condition
    number: int
    samples: tuple[Sample, ...]
    first: int = 0

    @property
    def stop(self) -> int:
        """Number of starts."""
        return len(self.samples)

    @property
    def path(self) -> str:
        """Path of its results in the folder of the listening test."""
        return f"chunks/found-{self.condition.number:02d}-{self.number:03d}.npz"


@dataclass(frozen=True, eq=False)
class Found:
    """A start that reached its word.

    Attributes:
        condition, sample: what was maximized.
        features: by stage, as they go to the vocoder [shape=(frames, mels), in [0, 1]].
        labels: by stage: positions of the words that classifier and referee (-1 without one)
            predict for the features before they were clipped [shape=(2,)].
    """

    condition: Condition
    sample: Sample
    features: Mapping[str, np.ndarray]
    labels: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Outcome:
    """The outcome of the search for a word in a condition.

    Attributes:
        found: as many as were wanted, or fewer.
        tries: starts up to the last that was needed, or all that were tried.
        reason: why there are fewer; None where there are not.
    """

    condition: Condition
    word: str
    found: tuple[Found, ...]
    tries: int
    reason: str | None


def search_starts(plan: Plan, root: Path, *, track: Track = quiet) -> list[Outcome]:
    """Maximize until every word has its recordings, or was given up, in every condition."""
    outcomes: list[Outcome] = []
    total = len(plan.conditions) * len(plan.words) * plan.per_word
    with track(total=total, label="maximize", unit="recording") as advance:
        for condition in plan.conditions:
            for outcome in _search_condition(plan, condition, root):
                outcomes.append(outcome)
                advance(plan.per_word)
    places = {word: place for place, word in enumerate(plan.words)}
    return sorted(outcomes, key=lambda done: (done.condition.number, places[done.word]))


class _Word:
    """A word in a condition: its starts, and the results so far."""

    def __init__(self, plan: Plan, condition: Condition, word: str):
        self.word, self._wanted = word, plan.per_word
        self._starts = plan.starts(condition, word)
        self._tried = 0
        self._found: list[tuple[int, Found]] = []

    @property
    def is_done(self) -> bool:
        return len(self._found) >= self._wanted or self._tried == len(self._starts)

    def next_starts(self, share: int) -> list[Sample]:
        return self._starts[self._tried : self._tried + share]

    def add(self, found: Found | None) -> None:
        """Add the result of the next start; None where it did not reach the word."""
        self._tried += 1
        if found is not None:
            self._found.append((self._tried, found))

    def outcome(self, condition: Condition) -> Outcome:
        kept = self._found[: self._wanted]
        found = tuple(one for _, one in kept)
        if len(kept) == self._wanted:
            return Outcome(condition, self.word, found, kept[-1][0], None)
        reason = TOO_FEW if len(self._starts) < self._wanted else GIVEN_UP
        return Outcome(condition, self.word, found, self._tried, reason)


def _search_condition(plan: Plan, condition: Condition, root: Path) -> Iterator[Outcome]:
    """Yield the outcome of each word as soon as it is done."""
    words = [_Word(plan, condition, word) for word in plan.words]
    for number in itertools.count():
        yield from (word.outcome(condition) for word in words if word.is_done)
        words = [word for word in words if not word.is_done]
        if not words:
            return
        # At first as many as are wanted; later, whole blocks of those that are hard to reach.
        share = plan.per_word if number == 0 else max(1, plan.block_size // len(words))
        turns = [(word, start) for word in words for start in word.next_starts(share)]
        attempt = Attempt(condition, number, tuple(start for _, start in turns))
        for (word, _), found in zip(turns, _run_attempt(plan, attempt, root), strict=True):
            word.add(found)


def _run_attempt(plan: Plan, attempt: Attempt, root: Path) -> Iterator[Found | None]:
    """Yield the result of each start of an attempt; None where the word was not reached."""
    run_chunks([attempt], root, here(partial(_maximize_attempt, plan)), label="maximize")
    arrays = read_chunk(root, attempt)
    stages = STAGES[attempt.condition.start]
    place = 0
    for sample, reached in zip(attempt.samples, arrays["reached"], strict=True):
        if not reached:
            yield None
            continue
        features = {stage: arrays[f"features_{stage}"][place] for stage in stages}
        labels = {stage: arrays[f"heard_{stage}"][place] for stage in stages}
        yield Found(attempt.condition, sample, features, labels)
        place += 1


def _maximize_attempt(plan: Plan, attempt: Attempt) -> dict[str, np.ndarray]:
    """Maximize the starts of an attempt.

    Returns:
        reached: whether the classifier predicts the word at the end [shape=(starts,), bool]; for
        those that reached it, by stage: features, in [0, 1] [shape=(reached, frames, mels)], and
        heard: the labels of `Found` [shape=(reached, 2)].
    """
    size = plan.block_size
    blocks = [
        _maximize_block(plan, attempt.condition, attempt.samples[span])
        for span in spans(len(attempt.samples), size)
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _maximize_block(
    plan: Plan, condition: Condition, samples: Sequence[Sample]
) -> dict[str, np.ndarray]:
    stages, reached = _features_by_stage(plan, condition, samples)
    arrays = {"reached": reached}
    for stage, features in stages.items():
        unclipped = features[reached]
        arrays[f"features_{stage}"] = np.clip(unclipped[..., 0], 0, 1)
        arrays[f"heard_{stage}"] = plan.panel.labels(unclipped)
    return arrays


def _features_by_stage(
    plan: Plan, condition: Condition, samples: Sequence[Sample]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the unclipped features of each stage, and which samples reached their word."""
    utterances = None if condition.start == "noise" else plan.read(samples)
    if condition.start == "real":
        return {"": utterances}, np.ones(len(samples), bool)
    silent = replace(condition.experiment, vocoder=None, referee=None)
    starts = None if utterances is None else utterances[..., 0]
    done = silent.compute(samples, starts).maximization
    targets = [silent.classifier.label(sample.word) for sample in samples]
    reached = silent.classifier.decide(done.probabilities[-1]) == targets
    if utterances is None:
        return {"generated": done.features}, reached
    return {"before": done.start_features, "after": done.features}, reached
