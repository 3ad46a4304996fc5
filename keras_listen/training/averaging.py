"""A moving average of a model's weights, which generalises better than the last ones.

References:
    Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992.
    Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", UAI 2018,
    https://arxiv.org/abs/1803.05407
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import keras
import numpy as np

#: Steps between two updates: each costs as much as reading all weights.
_EVERY = 10


class MovingAverage:
    """The moving average of a model's weights over the steps of its training.

    Args:
        model: its weights now are the first average.
        keep: share of the old average that is kept at each step, below 1.
    """

    def __init__(self, model: keras.Model, keep: float):
        self._model, self._keep = model, keep
        self._weights = model.get_weights()

    def update(self, step: int) -> None:
        """Take the weights after a step, counted from 0, into the average.

        Only every tenth step is taken, for ten at once.
        """
        if (step + 1) % _EVERY:
            return
        # At the beginning the average would keep too much of the random initial weights.
        keep = min(self._keep, (step + 1) / (step + 10)) ** _EVERY
        for mean, now in zip(self._weights, self._model.get_weights(), strict=True):
            mean *= keep
            mean += (1 - keep) * now

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Give the model the averaged weights, and afterwards its own ones again."""
        own = self._model.get_weights()
        self._model.set_weights(self._weights)
        try:
            yield
        finally:
            self._model.set_weights(own)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the average for a checkpoint."""
        return {f"w{i}": weight for i, weight in enumerate(self._weights)}

    def from_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Continue from the average that a checkpoint has."""
        self._weights = [arrays[f"w{i}"] for i in range(len(arrays))]
