"""Layers and checks that several networks share."""

from __future__ import annotations

import keras
from keras import layers

from ...errors import ParameterError

#: Momentum of the statistics that inference uses. The usual 0.99 needs hundreds of steps before
#: validation means anything, and a small corpus has few steps.
_MOMENTUM = 0.8


def require_size(words: int, frames: int, mels: int, smallest: int, shrinking: str) -> None:
    """Raise ParameterError unless there are at least two words and the features are large enough.

    Args:
        words, frames, mels: sizes that a network is to be built for.
        smallest: number of frames and of mels that it needs.
        shrinking: which of its layers make features smaller, for the message.
    """
    if words < 2:
        raise ParameterError(f"a classifier of {words} word(s) is none; expected at least 2")
    if min(frames, mels) < smallest:
        raise ParameterError(
            f"features of {frames} frames and {mels} mels are too small for {shrinking}; "
            f"expected at least {smallest} of each"
        )


def normalise(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Apply batch normalisation, whose offset takes the place of a convolution's bias."""
    return layers.BatchNormalization(axis=-1, momentum=_MOMENTUM, name=f"{name}_norm")(x)


def classify(x: keras.KerasTensor, words: int, dropout: float) -> keras.KerasTensor:
    """Apply global average pooling, dropout and a softmax over the words."""
    x = layers.GlobalAveragePooling2D(data_format="channels_last", name="average")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Dense(words, activation="softmax", name="probabilities")(x)


def rectify(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Apply a relu."""
    return layers.Activation("relu", name=f"{name}_relu")(x)
