"""A small residual network: a referee of another architecture than the classifier."""

from __future__ import annotations

import keras
from keras import layers

from .layers import classify, normalise, rectify, require_size

#: Product of the strides of the stem, the pooling and the last two blocks.
SMALLEST = 16
_LAST = "channels_last"


def build_residual(
    words: int, *, frames: int = 90, mels: int = 80, dropout: float = 0.2
) -> keras.Model:
    """Build a residual network: a strided stem, three blocks of two convolutions, a softmax.

    Takes features [shape=(batch, frames, mels, 1)], returns probabilities [shape=(batch, words)].
    Like res8 of Tang and Lin it has a stem, three blocks and a global average. Unlike there, sizes
    are halved early and again between blocks while the number of maps grows, so an epoch takes
    about as long as one of the classifier.

    Args:
        words: number of classes, at least 2.
        frames, mels: input shape is (frames, mels, 1).
        dropout: rate before the softmax.

    Raises:
        ParameterError: too few words, or an input too small for the strides.

    References:
        He et al., "Deep residual learning for image recognition", CVPR 2016,
        https://arxiv.org/abs/1512.03385
        Tang and Lin, "Deep residual learning for small-footprint keyword spotting", ICASSP 2018,
        https://arxiv.org/abs/1710.10361
    """
    require_size(words, frames, mels, SMALLEST, f"strides of {SMALLEST} in all")
    x = inputs = keras.Input((frames, mels, 1), name="features")
    x = _conv(x, 16, 5, 2, "stem")
    # Normalising and rectifying after the pooling costs a quarter as much there.
    x = layers.MaxPooling2D(2, padding="same", data_format=_LAST, name="stem_pool")(x)
    x = rectify(normalise(x, "stem"), "stem")
    for i, (filters, stride) in enumerate(((16, 1), (48, 2), (96, 2)), start=1):
        x = _block(x, filters, stride, f"block_{i}")
    return keras.Model(inputs, classify(x, words, dropout), name="residual")


def _block(x: keras.KerasTensor, filters: int, stride: int, name: str) -> keras.KerasTensor:
    """Apply two convolutions and add their input, projected where the shape changes."""
    kept = x
    if stride > 1 or x.shape[-1] != filters:
        kept = normalise(_conv(x, filters, 1, stride, f"{name}_projection"), f"{name}_projection")
    x = normalise(_conv(x, filters, 3, stride, f"{name}_conv_1"), f"{name}_conv_1")
    x = rectify(x, f"{name}_conv_1")
    x = normalise(_conv(x, filters, 3, 1, f"{name}_conv_2"), f"{name}_conv_2")
    return rectify(layers.Add(name=f"{name}_add")([kept, x]), name)


def _conv(x: keras.KerasTensor, filters: int, size: int, stride: int, name: str):
    """Convolve without a bias: a normalisation follows."""
    return layers.Conv2D(
        filters, size, stride, padding="same", use_bias=False, data_format=_LAST, name=name
    )(x)
