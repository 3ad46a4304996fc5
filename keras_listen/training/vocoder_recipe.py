"""How WaveNets are trained, whatever they predict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import ParameterError
from ..features import FeatureSpec

Announce = Callable[[dict[str, float]], None]
Heard = Callable[[int, str, np.ndarray, np.ndarray, FeatureSpec], None]


@dataclass(frozen=True)
class VocoderRecipe:
    """How a WaveNet is trained.

    Attributes:
        steps: number of updates. The learning rate stays constant and falls to zero along the last
            fifth, so that a finished training can be continued.
        batch_size, crop_frames: number of crops in a step and their length.
        learning_rate, warmup: rate of Adam, and the number of steps until it is reached.
        averaging: share of the old weights that the moving average keeps at each step.
        checkpoint: number of steps between two states on disk.
    """

    steps: int = 50000
    batch_size: int = 2
    crop_frames: int = 8
    learning_rate: float = 1e-3
    warmup: int = 500
    averaging: float = 0.9995
    checkpoint: int = 1000

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "crop_frames", "warmup", "checkpoint"):
            if getattr(self, name) < 1:
                raise ParameterError(f"{name} is {getattr(self, name)}; expected at least 1")

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        rise = (step + 1) / self.warmup
        fall = (self.steps - step) / max(1.0, 0.2 * self.steps)
        return self.learning_rate * min(1.0, rise, fall)
