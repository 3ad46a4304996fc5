"""The speech command classifier of the published tooling."""

from __future__ import annotations

import keras
from keras import layers

from .layers import require_size

#: Below this size the three valid convolutions and poolings leave nothing.
SMALLEST = 22


def build_classifier(
    words: int, *, frames: int = 90, mels: int = 80, dropout: float = 0.2
) -> keras.Model:
    """Build the classifier: three convolutions with pooling, three dense layers, a softmax.

    Args:
        words: number of classes, at least 2.
        frames, mels: input shape is (frames, mels, 1).
        dropout: rate after each block.

    Raises:
        ParameterError: too few words, or an input too small for three poolings.

    References:
        Soomro et al., Interspeech 2019, section 3.1, and its code.
    """
    require_size(words, frames, mels, SMALLEST, "three poolings")
    x = inputs = keras.Input((frames, mels, 1), name="features")
    for i, filters in enumerate((8, 16, 32), start=1):
        x = _conv(filters, name=f"conv_{i}")(x)
        x = layers.MaxPooling2D(2, data_format="channels_last", name=f"pool_{i}")(x)
        x = layers.Dropout(dropout, name=f"dropout_{i}")(x)
    x = layers.Flatten(data_format="channels_last", name="flatten")(x)
    for i, units in enumerate((512, 256, 128), start=1):
        x = layers.Dense(units, activation="relu", name=f"dense_{i}")(x)
        x = layers.Dropout(dropout, name=f"dropout_dense_{i}")(x)
    outputs = layers.Dense(words, activation="softmax", name="probabilities")(x)
    return keras.Model(inputs, outputs, name="classifier")


def _conv(filters: int, name: str) -> layers.Conv2D:
    return layers.Conv2D(filters, 2, activation="relu", data_format="channels_last", name=name)
