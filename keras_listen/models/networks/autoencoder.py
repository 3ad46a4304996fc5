"""The convolutional autoencoder of the published tooling: the prior's decoder is half of it."""

from __future__ import annotations

import keras
from keras import layers

from ...errors import ParameterError

LATENT = 256
#: The encoder divides (frames, mels) by these, the decoder multiplies by them.
FACTORS = (18, 8)
_POOLS = ((3, 2), (3, 2), (2, 2))
_LAST = "channels_last"


def build_encoder(
    *, frames: int = 90, mels: int = 80, latent: int = LATENT, name: str = "encoder"
) -> keras.Model:
    """Build the encoder: features to a latent [shape=(latent,)], without activation.

    Frame and mel counts that 18 and 8 do not divide are padded with zeros inside.

    References:
        Soomro et al., Interspeech 2019, section 3.2, and its code.
    """
    inputs = keras.Input((frames, mels, 1), name="features")
    outputs = layers.Dense(latent, name="latent")(encoder_trunk(inputs))
    return keras.Model(inputs, outputs, name=name)


def encoder_trunk(inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Apply the encoder's convolutions and flatten: shape (90, 80, 1) becomes (6400,)."""
    frames, mels = inputs.shape[1:3]
    x = inputs
    margins = ((0, -frames % FACTORS[0]), (0, -mels % FACTORS[1]))
    if margins != ((0, 0), (0, 0)):
        x = layers.ZeroPadding2D(margins, data_format=_LAST, name="pad")(x)
    for i, (filters, pool) in enumerate(zip((16, 32, 64), _POOLS, strict=True), start=1):
        x = _conv(filters, 2, "relu", f"conv_{i}")(x)
        x = layers.MaxPooling2D(pool, padding="same", data_format=_LAST, name=f"pool_{i}")(x)
    x = _conv(128, 2, "relu", "conv_4")(x)
    return layers.Flatten(data_format=_LAST, name="flatten")(x)


def build_decoder(
    *, frames: int = 90, mels: int = 80, latent: int = LATENT, name: str = "decoder"
) -> keras.Model:
    """Build the decoder: a latent to features [shape=(frames, mels, 1), in [0, 1]].

    Raises:
        ParameterError: a size is below 1.
    """
    if min(frames, mels, latent) < 1:
        raise ParameterError(
            f"frames {frames}, mels {mels} and latent {latent} must all be at least 1"
        )
    rows, columns = -(-frames // FACTORS[0]), -(-mels // FACTORS[1])
    inputs = keras.Input((latent,), name="latent")
    x = layers.Dense(rows * columns * 128, name="dense")(inputs)
    x = layers.Reshape((rows, columns, 128), name="reshape")(x)
    steps = zip((128, 64, 32), reversed(_POOLS), strict=True)
    for i, (filters, factor) in enumerate(steps, start=1):
        x = _conv(filters, 2, "relu", f"conv_{i}")(x)
        x = layers.UpSampling2D(factor, data_format=_LAST, name=f"upsample_{i}")(x)
    x = _conv(1, 3, "sigmoid", "features")(x)
    surplus = ((0, rows * FACTORS[0] - frames), (0, columns * FACTORS[1] - mels))
    if surplus != ((0, 0), (0, 0)):
        x = layers.Cropping2D(surplus, data_format=_LAST, name="crop")(x)
    return keras.Model(inputs, x, name=name)


def build_autoencoder(encoder: keras.Model, decoder: keras.Model) -> keras.Model:
    """Join an encoder and a decoder for training."""
    return keras.Model(encoder.input, decoder(encoder.output), name="autoencoder")


def _conv(filters: int, size: int, activation: str, name: str) -> layers.Conv2D:
    return layers.Conv2D(
        filters, size, padding="same", activation=activation, data_format=_LAST, name=name
    )
