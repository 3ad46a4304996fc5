"""A variational autoencoder on the trunk of the published autoencoder.

References:
    Kingma and Welling, "Auto-Encoding Variational Bayes", 2014, https://arxiv.org/abs/1312.6114
    Higgins et al., "beta-VAE", 2017, https://openreview.net/forum?id=Sy2fzU9gl
"""

from __future__ import annotations

import keras
from keras import layers, ops

from .autoencoder import LATENT, encoder_trunk


def build_vae_encoder(
    *, frames: int = 90, mels: int = 80, latent: int = LATENT, name: str = "encoder"
) -> keras.Model:
    """Build the encoder: features to the mean and the log-variance of the latent.

    Outputs two tensors [shape=(batch, latent)] each.
    """
    inputs = keras.Input((frames, mels, 1), name="features")
    trunk = encoder_trunk(inputs)
    mean = layers.Dense(latent, name="mean")(trunk)
    # A small initial variance keeps noise from dominating the first epochs.
    log_variance = layers.Dense(
        latent, kernel_initializer="zeros", bias_initializer=_constant(-2.0), name="log_variance"
    )(trunk)
    return keras.Model(inputs, [mean, log_variance], name=name)


class SampleLatent(layers.Layer):
    """Samples a latent from mean and log-variance; adds the divergence from N(0, 1) to the loss.

    Args:
        weight: factor of the divergence, summed over the latent and averaged over the batch.
        seed: of the draws.
    """

    def __init__(self, weight: float, seed: int, **kwargs):
        super().__init__(**kwargs)
        self.weight = weight
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        mean, log_variance = inputs
        divergence = -0.5 * ops.sum(
            1.0 + log_variance - ops.square(mean) - ops.exp(log_variance), axis=1
        )
        self.add_loss(self.weight * ops.mean(divergence))
        if not training:
            return mean
        noise = keras.random.normal(ops.shape(mean), seed=self.generator)
        return mean + noise * ops.exp(0.5 * log_variance)

    def compute_output_shape(self, input_shape):
        return input_shape[0]


def build_vae(
    encoder: keras.Model, decoder: keras.Model, *, beta: float = 1.0, seed: int = 0
) -> keras.Model:
    """Join encoder, sampling and decoder for training with a mean binary cross-entropy.

    Args:
        encoder: from `build_vae_encoder`.
        decoder: from a latent to features.
        beta: weight of the divergence against the *summed* cross-entropy of a feature, as in the
            evidence lower bound; because the loss is a mean over the feature's values, it is
            divided by their count.
        seed: of the samples drawn in training.
    """
    values = 1
    for size in encoder.input.shape[1:]:
        values *= size
    z = SampleLatent(beta / values, seed, name="sample")(encoder(encoder.input))
    return keras.Model(encoder.input, decoder(z), name="vae")


def _constant(value: float) -> keras.initializers.Initializer:
    return keras.initializers.Constant(value)
