"""A model in training, and the batches it is trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import keras
import numpy as np

from .augmentation import Augmentation


class Batches(Protocol):
    """Batches of a split: inputs, wanted outputs and perhaps a weight for each.

    Attributes:
        positions: of all that they hold, in order.
    """

    positions: np.ndarray

    def shuffled(self, augmentation: Augmentation | None, key: tuple[int, ...]) -> Self:
        """Return the same ones, shuffled and changed depending only on `key`."""
        ...

    def __iter__(self) -> Iterator[tuple[np.ndarray, ...]]: ...


@dataclass
class Trainee:
    """A model in training.

    Attributes:
        model: compiled.
        parts: the models that are saved, by name.
        labelled: whether it is trained to give labels, or else to reproduce features.
        curves: a row of figures for each epoch.
        kind: of its component; the component's name where None.
        about: further fields of the component's description.
        batches: of the training and the validation split, where it is not trained on features.
        arrays: kept beside the models; where empty, an autoencoder's statistics of its latents.
        finish: called once the best weights are loaded.
    """

    model: keras.Model
    parts: dict[str, keras.Model]
    labelled: bool
    curves: list[dict[str, float]] = field(default_factory=list)
    kind: str | None = None
    about: dict[str, Any] = field(default_factory=dict)
    batches: tuple[Batches, Batches] | None = None
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    finish: Callable[[], None] = lambda: None
