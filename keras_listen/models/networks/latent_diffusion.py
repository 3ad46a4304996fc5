"""Networks of a latent diffusion model: an autoencoder with a time axis, and a denoiser.

All are one-dimensional convolutions over frames, so they serve features of any length. Bands are
channels: harmonics and formants stay where they are, which a latent without a time axis blurs.

References:
    Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", CVPR 2022,
    https://arxiv.org/abs/2112.10752: diffusion in an autoencoder's latent.
    Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models",
    NeurIPS 2022, https://arxiv.org/abs/2206.00364: the preconditioning.
    Perez et al., "FiLM", AAAI 2018, https://arxiv.org/abs/1709.07871: how the noise is told.
"""

from __future__ import annotations

import keras
from keras import layers, ops

from ...errors import ParameterError

#: Channels of a latent frame, and features' frames in one.
CHANNELS, STRIDE = 20, 2
_WIDTH, _WIDTH_AFTER = 160, 128


def build_encoder(*, mels: int = 80, name: str = "encoder") -> keras.Model:
    """Build the encoder: features [shape=(frames, mels, 1)] to a latent [shape=(frames / 2, 20)].

    Raises:
        ParameterError: `mels` is below 1.
    """
    _require_mels(mels)
    inputs = keras.Input((None, mels, 1), name="features")
    x = layers.Reshape((-1, mels), name="bands")(inputs)
    x = layers.Rescaling(4.0, -2.0, name="center")(x)
    x = _conv(_WIDTH, 5, "conv_1")(x)
    x = _gelu(x, "conv_1")
    x = _conv(_WIDTH, 2 * STRIDE, "conv_2", strides=STRIDE)(x)
    for i, dilation in enumerate((1, 2), start=1):
        x = _residual(x, _WIDTH, dilation, f"block_{i}")
    return keras.Model(inputs, _conv(CHANNELS, 1, "latent")(_gelu(x, "last")), name=name)


def build_decoder(*, mels: int = 80, name: str = "decoder") -> keras.Model:
    """Build the decoder: a latent [shape=(any, 20)] to features in [0, 1], twice as many frames.

    Raises:
        ParameterError: `mels` is below 1.
    """
    _require_mels(mels)
    inputs = keras.Input((None, CHANNELS), name="latent")
    x = _conv(_WIDTH, 3, "conv_1")(inputs)
    for i, dilation in enumerate((1, 2, 1), start=1):
        x = _residual(x, _WIDTH, dilation, f"block_{i}")
    x = layers.UpSampling1D(STRIDE, name="upsample")(x)
    x = _conv(_WIDTH_AFTER, 2 * STRIDE, "conv_2")(x)
    x = _gelu(_residual(x, _WIDTH_AFTER, 1, "block_4"), "last")
    x = _conv(mels, 5, "features", activation="sigmoid")(x)
    return keras.Model(inputs, layers.Reshape((-1, mels, 1), name="map")(x), name=name)


@keras.saving.register_keras_serializable("keras_listen")
class NoisyLatent(layers.Layer):
    """Adds noise to latents in training, and a penalty that keeps these from outgrowing it.

    Args:
        deviation: of the noise.
        weight: of the mean square of the latents in the loss.
        seed: of the noise.
    """

    def __init__(self, deviation: float, weight: float = 2e-4, seed: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.deviation, self.weight = deviation, weight
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, latents, training=False):
        self.add_loss(self.weight * ops.mean(ops.square(latents)))
        if not training:
            return latents
        noise = keras.random.normal(ops.shape(latents), seed=self.generator)
        return latents + self.deviation * noise

    def compute_output_shape(self, input_shape):
        return input_shape


def build_autoencoder(
    encoder: keras.Model, decoder: keras.Model, *, frames: int, noise: float, seed: int = 0
) -> keras.Model:
    """Join encoder and decoder for training, with noise on the latent between them.

    A decoder that is used to noise decodes what a denoiser leaves; the encoder spreads the latents
    of different sounds apart.

    Args:
        frames: of the features; the decoder's surplus frame of an odd number is cut off.
        noise: its deviation.
        seed: of the noise.
    """
    inputs = keras.Input((frames, encoder.input_shape[2], 1), name="features")
    decoded = decoder(NoisyLatent(noise, seed=seed, name="noise")(encoder(inputs)))
    return keras.Model(inputs, decoded[:, :frames], name="autoencoder")


def reconstruction_loss(features, decoded):
    """Return the distance of decoded features, with their slopes along bands and frames.

    Errors of slopes count so that the ripple of harmonics isn't averaged away.

    Args:
        features, decoded: [shape=(batch, frames, mels, 1)].

    Returns:
        [shape=(batch,)].
    """
    error = decoded - features

    def mean(values):
        return ops.mean(values, axis=(1, 2, 3))

    loss = mean(ops.abs(error)) + 4 * mean(ops.square(error))
    # Features of one frame or one band have no slope along it.
    for axis, weight in ((2, 0.5), (1, 0.3)):
        if error.shape[axis] != 1:
            slope = ops.diff(error, axis=axis)
            loss += weight * mean(ops.abs(slope))
    return loss


def build_noise_denoiser(
    *, channels: int = CHANNELS, width: int = 160, blocks: int = 8, seed: int = 0
) -> keras.Model:
    """Build a denoiser that is told how much noise there is.

    Takes latents of deviation 1 with noise added [shape=(batch, any, channels)] and the noise's
    deviation [shape=(batch, 1), above 0]; returns denoised latents. Untrained, it returns the best
    linear estimate.

    Args:
        channels: of a latent frame.
        width: channels inside.
        blocks: residual blocks, whose dilations are 1, 2, 4 and 8 in turn.
        seed: of the initial weights.
    """
    keras.utils.set_random_seed(seed)
    noisy = keras.Input((None, channels), name="latent")
    noise = keras.Input((1,), name="noise")
    deviation = ops.expand_dims(noise, 1)
    scale = ops.sqrt(ops.square(deviation) + 1)
    told = _fourier(ops.log(noise) / 4)
    for i in (1, 2):
        told = layers.Dense(128, "gelu", name=f"noise_{i}")(told)
    x = _conv(width, 3, "conv_1")(noisy / scale)
    for i in range(blocks):
        film = layers.Dense(2 * width, kernel_initializer="zeros", name=f"film_{i}")(told)
        film = layers.Reshape((1, 2 * width), name=f"film_{i}_map")(film)
        y = layers.LayerNormalization(name=f"norm_{i}")(x)
        y = y * (1 + film[..., :width]) + film[..., width:]
        y = _conv(width, 3, f"block_{i}_conv_1", dilation_rate=2 ** (i % 4), activation="gelu")(y)
        x = layers.Add(name=f"block_{i}")([x, _conv(width, 3, f"block_{i}_conv_2")(y)])
    x = _gelu(layers.LayerNormalization(name="norm_last")(x), "last")
    x = _conv(channels, 3, "residual", kernel_initializer="zeros")(x)
    denoised = noisy / ops.square(scale) + deviation / scale * x
    return keras.Model([noisy, noise], denoised, name="denoiser")


def noise_weight(noise):
    """Return the weight of the squared error at a deviation of the noise: the target is as hard."""
    return (noise**2 + 1) / noise**2


def _fourier(x: keras.KerasTensor) -> keras.KerasTensor:
    """Return sines and cosines of rising frequency beside `x` [shape=(batch, 33)]."""
    turns = x * ops.exp(ops.linspace(0.0, 3.5, 16))
    return layers.Concatenate(name="fourier")([ops.sin(turns), ops.cos(turns), x])


def _residual(x: keras.KerasTensor, width: int, dilation: int, name: str) -> keras.KerasTensor:
    y = _conv(width, 3, f"{name}_conv_1", dilation_rate=dilation)(_gelu(x, f"{name}_1"))
    y = _conv(width, 3, f"{name}_conv_2")(_gelu(y, f"{name}_2"))
    return layers.Add(name=f"{name}_add")([x, y])


def _gelu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.Activation("gelu", name=f"{name}_gelu")(x)


def _conv(width: int, size: int, name: str, **settings) -> layers.Conv1D:
    # Frames are in the middle, whatever Keras is configured to.
    return layers.Conv1D(
        width, size, padding="same", data_format="channels_last", name=name, **settings
    )


def _require_mels(mels: int) -> None:
    if mels < 1:
        raise ParameterError(f"mels is {mels}; expected at least 1")
