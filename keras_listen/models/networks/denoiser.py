"""A denoising autoencoder of latents: it returns what latents of real speech have in common.

References:
    Alain and Bengio, "What Regularized Auto-Encoders Learn from the Data-Generating Distribution",
    2014, https://arxiv.org/abs/1211.4246
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers


def build_denoiser(units: int, *, hidden: int = 384, seed: int = 0) -> keras.Model:
    """Build a denoiser of latents of mean 0 and deviation 1 [shape=(batch, units)].

    The amount of noise is not an input; the network must infer it.

    Args:
        units: of a latent.
        hidden: units of each of the two hidden layers.
        seed: of the initial weights.
    """
    inputs = x = keras.Input((units,), name="latent")
    for i in (1, 2):
        start = keras.initializers.GlorotUniform(seed=seed + i)
        x = layers.Dense(hidden, "relu", kernel_initializer=start, name=f"dense_{i}")(x)
    # With zero weights, it starts by returning the mean latent.
    outputs = layers.Dense(units, kernel_initializer="zeros", name="denoised")(x)
    return keras.Model(inputs, outputs, name="denoiser")


def unscale(denoiser: keras.Model, mean: np.ndarray, deviation: float) -> None:
    """Change the weights of a denoiser of scaled latents to take and return unscaled ones.

    Args:
        denoiser: made by `build_denoiser`.
        mean: of the latents [shape=(units,)].
        deviation: by which their differences from the mean were divided.
    """
    first, last = denoiser.get_layer("dense_1"), denoiser.get_layer("denoised")
    kernel, bias = first.get_weights()
    kernel = kernel / deviation
    first.set_weights([kernel, bias - mean @ kernel])
    kernel, bias = last.get_weights()
    last.set_weights([kernel * deviation, bias * deviation + mean])
