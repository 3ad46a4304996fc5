"""Random jitter of features during the ascent, drawn anew at each step.

Features must then reach their word when they are a little late or loud, too, and not only as one
exact grid of values.

References:
    Olah, Mordvintsev and Schubert, "Feature Visualization", Distill, 2017,
    https://distill.pub/2017/feature-visualization
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from ..errors import ParameterError


@dataclass(frozen=True)
class Shift:
    """Shift features in time by up to `frames` either way; gaps are filled with silence."""

    frames: int

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ParameterError(
                f"a shift by {self.frames} frames was asked for; expected 1 or more"
            )

    def __call__(self, features: tf.Tensor, step: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        return _shift(features, self._by(step, seeds))

    def move_phases(self, phases: tf.Tensor, step: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        """Shift phases [shape=(batch, frames, bins)] as the features are, whose sound they are."""
        return _moved(phases, self._by(step, seeds))

    def _by(self, step: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        share = _uniform(seeds, step, 1)
        return tf.cast(tf.floor(share * (2 * self.frames + 1)), tf.int32) - self.frames


@dataclass(frozen=True)
class Gain:
    """Make features louder or softer by up to `amount`, in units of features."""

    amount: float

    def __post_init__(self) -> None:
        if not 0 < self.amount < 1:
            raise ParameterError(
                f"a gain of {self.amount:g} times the features' range was asked for; expected more "
                "than 0 and less than 1"
            )

    def __call__(self, features: tf.Tensor, step: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        share = _uniform(seeds, step, 2)
        return features + (self.amount * (2 * share - 1))[:, None, None, None]


@tf.custom_gradient
def _shift(features: tf.Tensor, by: tf.Tensor) -> tuple[tf.Tensor, Callable]:
    """Shift each sample by `by` frames [shape=(batch,)]; gaps are filled with silence.

    The gradient is a shift the other way; that of a gather would add up rows one by one.
    """

    return _moved(features, by), lambda gradient: (_moved(gradient, -by), None)


def _moved(values: tf.Tensor, by: tf.Tensor) -> tf.Tensor:
    frames = tf.shape(values)[1]
    source = tf.range(frames)[None] - by[:, None]
    inside = tf.cast((source >= 0) & (source < frames), values.dtype)
    taken = tf.gather(values, tf.clip_by_value(source, 0, frames - 1), batch_dims=1)
    return taken * tf.reshape(inside, [-1, frames] + [1] * (len(values.shape) - 2))


def _uniform(seeds: tf.Tensor, step: tf.Tensor, purpose: int) -> tf.Tensor:
    """Return a number in [0, 1) for each row of `seeds`, which depends only on it and the step.

    A hash of integers (Wellons' `lowbias32`), because TensorFlow draws for a whole batch at once.
    """
    mask = tf.constant(0xFFFFFFFF, tf.int64)
    seeds = tf.cast(seeds, tf.int64)
    x = seeds[:, 0]
    for part in (seeds[:, 1], tf.cast(step, tf.int64), tf.constant(purpose, tf.int64)):
        x = tf.bitwise.bitwise_and(x + part + 0x9E3779B9, mask)
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            x = tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, tf.constant(shift, tf.int64)))
            x = tf.bitwise.bitwise_and(x * factor, mask)
        x = tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, tf.constant(16, tf.int64)))
    # 24 bits are what a float32 holds: never rounded up to 1.
    return tf.cast(tf.bitwise.right_shift(x, tf.constant(8, tf.int64)), tf.float32) / 2**24
