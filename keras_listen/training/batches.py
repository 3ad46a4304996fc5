"""Batches of a store's utterances, augmented on the fly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..data.store import Store
from ..models.blocks import spans
from .augmentation import Augmentation


@dataclass(frozen=True)
class StoreBatches:
    """Batches of utterances, in the order of `positions`.

    With an augmentation, the changes to a batch depend only on `key` and the batch's number.
    """

    store: Store
    positions: np.ndarray
    size: int
    labelled: bool
    augmentation: Augmentation | None = None
    key: tuple[int, ...] = ()

    def shuffled(self, augmentation: Augmentation | None, key: tuple[int, ...]) -> StoreBatches:
        """Return the same utterances, shuffled and augmented depending only on `key`."""
        order = np.random.default_rng(key).permutation(self.positions)
        return replace(self, positions=order, augmentation=augmentation, key=key)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for number, span in enumerate(spans(len(self.positions), self.size), start=1):
            chosen = self.positions[span]
            features = self.store.batch(chosen)
            if self.augmentation:
                generator = np.random.default_rng((*self.key, number))
                features = self.augmentation.apply(
                    features[..., 0], self.store.spec, self.store.noise, generator
                )[..., None]
            yield features, self.store.labels[chosen] if self.labelled else features
