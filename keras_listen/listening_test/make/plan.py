"""The plan of a listening test: words, starts and their order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...data.store import Store
from ...errors import CorpusError, ParameterError
from ...experiment.samples import Sample
from ...seeds import derive, generator
from .conditions import Condition
from .referee_panel import RefereePanel


@dataclass(frozen=True, eq=False)
class Plan:
    """What to record in each condition.

    Attributes:
        conditions: of the listening test.
        words: words to record.
        per_word: recordings of each word in each condition.
        tries: starts after which a word is given up.
        store, split: where utterances come from; the split may be "all".
        panel: classifier and referees that score the recordings.
        seed: of everything random.

    Raises:
        ParameterError, CorpusError: a number is too small, or the split has none of the words.
    """

    conditions: tuple[Condition, ...]
    words: tuple[str, ...]
    per_word: int
    tries: int
    store: Store
    split: str
    panel: RefereePanel
    seed: int

    def __post_init__(self) -> None:
        if self.per_word < 1:
            raise ParameterError(f"per word is {self.per_word}; expected at least 1")
        if self.tries < self.per_word:
            raise ParameterError(
                f"tries is {self.tries}; expected at least as many as recordings of a word, "
                f"{self.per_word}"
            )
        if not any(self.utterances(word) for word in self.words):
            raise CorpusError(
                f"the store {self.store.root} has no utterance of {', '.join(self.words[:5])} in "
                f"the split {self.split}; name other words or --split all"
            )

    @property
    def block_size(self) -> int:
        """Samples computed together."""
        return self.panel.block_size

    @cached_property
    def _by_word(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = defaultdict(list)
        for position in self.store.split(self.split).tolist():
            found[self.store.utterances[position].word].append(position)
        return {word: self._shuffled(word, found.get(word, [])) for word in self.words}

    def _shuffled(self, word: str, positions: Sequence[int]) -> list[int]:
        """Return a word's utterances in the order in which they are used: new speakers first."""
        order = generator(derive(self.seed, f"order of {word}", 0)).permutation(len(positions))
        taken: dict[str, int] = defaultdict(int)
        turns = []
        for position in (positions[i] for i in order):
            speaker = self.store.utterances[position].speaker
            turns.append((taken[speaker], position))
            taken[speaker] += 1
        return [position for _, position in sorted(turns, key=lambda turn: turn[0])]

    def utterances(self, word: str) -> list[int]:
        """Return a word's positions in the store, in the order in which they are used."""
        return self._by_word[word]

    def starts(self, condition: Condition, word: str) -> list[Sample]:
        """Return the starts of a word in a condition, in order.

        An utterance's number is its row in the store, so that it is synthesized with the same
        random numbers before and after.
        """
        if condition.start == "noise":
            return [Sample(word, word, "", k) for k in range(self.tries)]
        positions = self.utterances(word)
        # For real speech, utterances that were not maximized come first.
        ordered = positions[::-1] if condition.start == "real" else positions
        return [self.sample(position) for position in ordered[: self.tries]]

    def sample(self, position: int) -> Sample:
        """Return an utterance as a sample, whose start is its file."""
        utterance = self.store.utterances[position]
        row = int(self.store.rows[position])
        return Sample(utterance.word, utterance.word, utterance.file, row)

    @cached_property
    def positions(self) -> dict[str, int]:
        """Position in the store of each file."""
        return {utterance.file: i for i, utterance in enumerate(self.store.utterances)}

    def read(self, samples: Sequence[Sample]) -> np.ndarray:
        """Read the features of utterances [shape=(samples, frames, mels, 1)]."""
        positions = np.array([self.positions[sample.start] for sample in samples], np.int64)
        return self.store.read(positions)
