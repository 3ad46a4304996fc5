"""What several networks are made of."""

from __future__ import annotations

import keras
from keras import layers

from ...errors import ParameterError

#: How slowly the statistics that inference uses follow those of the batches. The usual 0.99 needs
#: hundreds of steps before validation says anything, and a small corpus has few steps.
_MOMENTUM = 0.8


def require_size(words: int, frames: int, mels: int, smallest: int, shrinking: str) -> None:
    """Raise ParameterError unless there are words to tell apart and features to tell them by.

    Args:
        words, frames, mels: what a network is to be built for.
        smallest: number of frames and of mels that it needs.
        shrinking: what in it makes features smaller, for the message.
    """
    if words < 2:
        raise ParameterError(f"a classifier of {words} word(s) is none; expected at least 2")
    if min(frames, mels) < smallest:
        raise ParameterError(
            f"features of {frames} frames and {mels} mels are too small for {shrinking}; "
            f"expected at least {smallest} of each"
        )


def normalise(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Normalise each map over the batch; the offset takes the place of a convolution's bias."""
    return layers.BatchNormalization(axis=-1, momentum=_MOMENTUM, name=f"{name}_norm")(x)


def classify(x: keras.KerasTensor, words: int, dropout: float) -> keras.KerasTensor:
    """Average each map over its places and tell words by the averages."""
    x = layers.GlobalAveragePooling2D(data_format="channels_last", name="average")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Dense(words, activation="softmax", name="probabilities")(x)


def rectify(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Set what is below zero to zero."""
    return layers.Activation("relu", name=f"{name}_relu")(x)
