"""Ascent: step settings, transforms, and optimizers on normalised gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from ..features import FeatureSpec
from .settings import AscentSettings, require_ranges
from .transforms import Gain, Shift

Transform = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]
#: Memory of an optimizer.
Slots = tuple[tf.Tensor, ...]


@dataclass(frozen=True)
class Ascent:
    """Settings of the engine's loop.

    Attributes:
        steps: number of steps; 20 as published.
        step_size: root mean square of a step's change of z; the prior's default where None.
        optimizer: "normalized" (as published), "momentum" or "adam", all on normalised
            gradients.
        transforms: functions `(features, step, seeds) -> features` applied before the classifier
            while climbing; scores of the steps are then those of transformed features.
        stop_at: a sample stops once the probability of its target has reached this.
        keep_best: return the best z of all steps instead of the last.
    """

    steps: int = 20
    step_size: float | None = None
    optimizer: str = "normalized"
    transforms: tuple[Transform, ...] = ()
    stop_at: float | None = None
    keep_best: bool = False

    @classmethod
    def from_settings(cls, settings: AscentSettings, spec: FeatureSpec) -> Ascent:
        """Return the ascent with a user's settings.

        Args:
            settings: as a user gave them.
            spec: of the classifier's features, to convert dB to their units.

        Raises:
            ParameterError: a value is out of its range.
        """
        transforms: list[Transform] = []
        if settings.shift:
            transforms.append(Shift(settings.shift))
        if settings.gain:
            transforms.append(Gain(-settings.gain / spec.floor_db))
        return cls(
            steps=settings.steps,
            step_size=settings.step_size,
            optimizer=settings.optimizer,
            transforms=tuple(transforms),
            stop_at=settings.stop_at,
            keep_best=settings.keep_best,
        )

    def __post_init__(self) -> None:
        object.__setattr__(self, "transforms", tuple(self.transforms))
        require_ranges(self.steps, self.step_size, self.optimizer, self.stop_at)


def _normalized(gradient: tf.Tensor, slots: Slots, number: tf.Tensor) -> tuple[tf.Tensor, Slots]:
    return gradient, slots


def _momentum(
    gradient: tf.Tensor, slots: Slots, number: tf.Tensor, decay: float = 0.9
) -> tuple[tf.Tensor, Slots]:
    (velocity,) = slots
    # Scaled so that a constant gradient moves as far as without momentum.
    velocity = decay * velocity + (1 - decay) * gradient
    return velocity, (velocity,)


def _adam(
    gradient: tf.Tensor,
    slots: Slots,
    number: tf.Tensor,
    first: float = 0.9,
    second: float = 0.999,
) -> tuple[tf.Tensor, Slots]:
    """Kingma and Ba, "Adam", 2015, https://arxiv.org/abs/1412.6980."""
    mean, square = slots
    mean = first * mean + (1 - first) * gradient
    square = second * square + (1 - second) * tf.square(gradient)
    count = tf.cast(number + 1, gradient.dtype)
    unbiased = tf.sqrt(square / (1 - second**count))
    return mean / (1 - first**count) / (unbiased + 1e-8), (mean, square)


#: Each optimizer: a function to its first slots, and one to direction and slots of its next step.
OPTIMIZERS = {
    "normalized": (lambda z: (), _normalized),
    "momentum": (lambda z: (tf.zeros_like(z),), _momentum),
    "adam": (lambda z: (tf.zeros_like(z), tf.zeros_like(z)), _adam),
}
