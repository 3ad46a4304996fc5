"""Read a store's features word by word, keeping only the last ones in memory."""

from __future__ import annotations

import math
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from ..data.store import Store
from ..experiment.rates import Neighbours

#: Bytes of features that are kept at most: all of a small store, two words of a large one.
ROOM = 256 * 2**20


class Utterances:
    """The utterances of a store by word and split.

    An evaluation goes word by word, so what was read last is what is asked for next.

    Args:
        store: holds them.
        room: bytes of features that are kept at most; the last word asked for stays in any case.
    """

    def __init__(self, store: Store, room: int = ROOM):
        self._store, self._room = store, room
        self._kept: OrderedDict[tuple[Callable, str, str], Any] = OrderedDict()

    @cached_property
    def _positions(self) -> dict[tuple[str, str], list[int]]:
        found: dict[tuple[str, str], list[int]] = defaultdict(list)
        for i, utterance in enumerate(self._store.utterances):
            found[utterance.word, utterance.split].append(i)
        return dict(found)

    def count(self, word: str, split: str) -> int:
        """Return the number of a word's utterances; reads no features."""
        return len(self._positions.get((word, split), ()))

    def features(self, word: str, split: str) -> np.ndarray:
        """Return features of a word's utterances [shape=(any, frames, mels, 1), float32]."""
        return self._keep(np.asarray, word, split)

    def neighbours(self, word: str) -> Neighbours | None:
        """Return the training utterances of a word, ready to be searched; None without any."""
        if not self.count(word, "training"):
            return None
        return self._keep(Neighbours, word, "training")

    def _keep(self, made: Callable[[np.ndarray], Any], word: str, split: str) -> Any:
        """Return `made` of a word's features, from memory if it is there."""
        key = (made, word, split)
        if key not in self._kept:
            self._make_room(self.count(word, split))
            positions = np.array(self._positions.get((word, split), ()), np.int64)
            self._kept[key] = made(self._store.read(positions))
        self._kept.move_to_end(key)
        return self._kept[key]

    def _make_room(self, count: int) -> None:
        """Forget what was asked for longest ago until so many utterances fit beside the rest."""
        size = 4 * math.prod(self._store.spec.shape)
        held = sum(self.count(word, split) for _, word, split in self._kept)
        while self._kept and (held + count) * size > self._room:
            (_, word, split), _ = self._kept.popitem(last=False)
            held -= self.count(word, split)
