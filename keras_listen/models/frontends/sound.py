"""The sound before it is framed: its length, level and pre-emphasis."""

from __future__ import annotations

from typing import Any

import numpy as np

from .settings import Settings

_INT16 = 32768.0


def fit(sound: np.ndarray, length: int | None, align: str = "start") -> np.ndarray:
    """Bring a sound to a length, by zeros and by cutting.

    Args:
        sound: samples [shape=(any,)].
        length: in samples; None leaves the sound as it is.
        align: "start" pads and cuts at the end, "center" at both ends.

    Returns:
        float32 [shape=(length,)].
    """
    sound = np.asarray(sound, np.float32)
    if length is None:
        return sound
    surplus = sound.size - length
    if surplus >= 0:
        start = surplus // 2 if align == "center" else 0
        return sound[start : start + length]
    before = -surplus // 2 if align == "center" else 0
    return np.pad(sound, (before, -surplus - before))


def prepare(sounds: Any, settings: Settings) -> Any:
    """Bring sounds to their level and emphasize high frequencies.

    Args:
        sounds: float32 tensor [shape=(batch, samples)].
        settings: of the front end.

    Returns:
        A tensor of the same shape.
    """
    import tensorflow as tf

    if settings.remove_mean:
        sounds -= tf.reduce_mean(sounds, axis=1, keepdims=True)
    sounds = _at_level(sounds, settings.level)
    if settings.gain != 1:
        sounds *= settings.gain
    if settings.pre_emphasis:
        later = sounds[:, 1:] - settings.pre_emphasis * sounds[:, :-1]
        sounds = tf.concat([sounds[:, :1], later], axis=1)
    return sounds


def _at_level(sounds: Any, level: str) -> Any:
    import tensorflow as tf

    if level == "as_is":
        return sounds
    if level == "int16":
        return sounds * _INT16
    if level == "rms":
        return sounds / safe_root(tf.reduce_mean(sounds**2, axis=1, keepdims=True))
    size = tf.abs(sounds) if level == "peak" else sounds
    largest = tf.reduce_max(size, axis=1, keepdims=True)
    return sounds / tf.where(largest > 0, largest, 1.0)


def safe_root(squares: Any) -> Any:
    """Return the square root where a value is above 0, else 1; so that its gradient is finite."""
    import tensorflow as tf

    return tf.sqrt(tf.where(squares > 0, squares, 1.0))
