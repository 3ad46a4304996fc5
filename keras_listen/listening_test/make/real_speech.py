"""Real utterances: the reference for comparisons, and the source of anchors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from .plan import Plan
from .proxies import Reference
from .referee_panel import PanelScores

#: Utterances of a word, at most.
_MOST = 100


class RealSpeech:
    """Utterances of a plan's words that no recording starts from, with their scores.

    Args:
        plan: of the study.
        used: files that recordings start from.
    """

    def __init__(self, plan: Plan, used: set[str]):
        self._plan = plan
        self._utterances = plan.store.utterances
        self.positions = [
            position
            for word in plan.words
            for position in self._free(plan.utterances(word), used)[:_MOST]
        ]

    def _free(self, positions: Sequence[int], used: set[str]) -> list[int]:
        return [p for p in positions if self._utterances[p].file not in used]

    @cached_property
    def words(self) -> list[str]:
        """Word of each utterance."""
        return [self._utterances[position].word for position in self.positions]

    @cached_property
    def features(self) -> np.ndarray:
        """Features [shape=(utterances, frames, mels, 1)]."""
        return self._plan.store.read(np.array(self.positions, np.int64))

    @cached_property
    def scores(self) -> PanelScores:
        """Scores of the classifier and its referees."""
        return self._plan.panel.score(self.features)

    def choose_clearest(self, count: int) -> list[int]:
        """Choose utterances that classifier and referees all recognize, of many words.

        Of the referees, those that know the word are asked; where there are some, one must.

        Returns:
            positions among the utterances, the most confident of each word first; fewer than
            `count` where there are not enough.
        """
        if not self.positions:
            return []
        panel = self._plan.panel
        labels = np.array([panel.classifier.words.index(word) for word in self.words])
        known = panel.known[:, labels]
        probabilities = np.concatenate([self.scores.own[None], self.scores.referees])
        right = ((panel.heard(self.scores) == labels) | ~known).all(axis=0)
        if panel.referees:
            right &= known[1:].any(axis=0)
        mine = probabilities[:, np.arange(len(labels)), labels]
        sure = np.where(known, mine, 1.0).min(axis=0)
        taken: Counter[str] = Counter()
        turns = []
        for place in (int(place) for place in np.argsort(-sure, kind="stable") if right[place]):
            turns.append((taken[self.words[place]], place))
            taken[self.words[place]] += 1
        return [place for _, place in sorted(turns, key=lambda turn: turn[0])][:count]

    def reference_without(self, places: Sequence[int]) -> Reference:
        """Return the utterances but those at `places`, as a reference for other sounds."""
        kept = np.setdiff1d(np.arange(len(self.positions)), places)
        if not len(kept):
            return Reference(np.zeros((0, 1)), ())
        return Reference(self.scores.activations[kept], [self.words[place] for place in kept])
