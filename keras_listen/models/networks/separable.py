"""A depthwise-separable network: a referee of another architecture than the classifier."""

from __future__ import annotations

import keras
from keras import layers

from .layers import classify, normalise, rectify, require_size

#: Product of the strides along frames of the stem and of the first block.
SMALLEST = 10
_LAST = "channels_last"


def build_separable(
    words: int, *, frames: int = 90, mels: int = 80, dropout: float = 0.2
) -> keras.Model:
    """Build a DS-CNN: a wide strided convolution, depthwise-separable ones, a softmax.

    Takes features [shape=(batch, frames, mels, 1)], returns probabilities [shape=(batch, words)].
    A separable convolution filters each map along frames and bands, then mixes the maps pointwise.
    As in the paper, one wide convolution comes first; its strides are longer, as features here have
    twice the frames and eight times the bands.

    Args:
        words: number of classes, at least 2.
        frames, mels: input shape is (frames, mels, 1).
        dropout: rate before the softmax.

    Raises:
        ParameterError: too few words, or an input too small for the strides.

    References:
        Zhang et al., "Hello Edge: Keyword spotting on microcontrollers", 2017,
        https://arxiv.org/abs/1711.07128
    """
    require_size(words, frames, mels, SMALLEST, f"strides of {SMALLEST} in all")
    x = inputs = keras.Input((frames, mels, 1), name="features")
    x = layers.Conv2D(
        48, (10, 8), (5, 4), padding="same", use_bias=False, data_format=_LAST, name="stem"
    )(x)
    x = rectify(normalise(x, "stem"), "stem")
    for i, stride in enumerate((2, 1, 1, 1), start=1):
        x = _separable(x, 128, stride, f"block_{i}")
    return keras.Model(inputs, classify(x, words, dropout), name="separable")


def _separable(x: keras.KerasTensor, filters: int, stride: int, name: str) -> keras.KerasTensor:
    x = layers.DepthwiseConv2D(
        3, stride, padding="same", use_bias=False, data_format=_LAST, name=f"{name}_depthwise"
    )(x)
    x = rectify(normalise(x, f"{name}_depthwise"), f"{name}_depthwise")
    x = layers.Conv2D(filters, 1, use_bias=False, data_format=_LAST, name=f"{name}_pointwise")(x)
    return rectify(normalise(x, f"{name}_pointwise"), f"{name}_pointwise")
