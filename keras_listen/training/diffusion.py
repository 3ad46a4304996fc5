"""Train the two halves of a latent diffusion model: the autoencoder, and the denoiser of latents.

References:
    see `models.networks.latent_diffusion`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from ..data.store import Store
from ..models.bundle import Bundle, BundlePart
from ..models.denoisers import DENOISER, DIFFUSION, autoencoder_identity
from ..models.networks.latent_diffusion import (
    build_autoencoder,
    build_decoder,
    build_encoder,
    build_noise_denoiser,
    noise_weight,
    reconstruction_loss,
)
from .augmentation import Augmentation
from .batches import StoreBatches
from .denoiser import autoencoder_of, encoded
from .recipes import Recipe
from .trainee import Trainee

#: Deviation of the noise on the autoencoder's latents, whose own is about 2.5.
LATENT_NOISE = 0.1
#: Mean and deviation of the logarithm of the noise that the denoiser is trained with; the noise is
#: relative to the latents' deviation.
LOG_NOISE = (-0.3, 1.4)
#: Largest global norm of a gradient.
_CLIP = 1.0


def autoencoder_trainee(store: Store, recipe: Recipe, seed: int) -> Trainee:
    """Prepare the training of the autoencoder."""
    encoder = build_encoder(mels=store.spec.n_mels)
    decoder = build_decoder(mels=store.spec.n_mels)
    model = build_autoencoder(
        encoder, decoder, frames=store.spec.frames, noise=LATENT_NOISE, seed=seed
    )
    model.compile(
        keras.optimizers.Adam(global_clipnorm=_CLIP),
        reconstruction_loss,
        metrics=["mean_squared_error"],
    )
    return Trainee(
        model,
        {"encoder": encoder, "decoder": decoder},
        labelled=False,
        about={"latent_noise": LATENT_NOISE},
    )


@dataclass(frozen=True)
class NoisyBatches:
    """Batches of noisy latents with the noise's deviation, the clean latents, and weights.

    Latents are encoded batch by batch, because those of all augmented features would not fit into
    memory.

    Attributes:
        features: batches of features.
        encoder: Keras model.
        mean, deviation: of the latents, by channel [shape=(channels,)].
        key: all noise depends only on it.
    """

    features: StoreBatches
    encoder: keras.Model
    mean: np.ndarray
    deviation: np.ndarray
    key: tuple[int, ...]

    @property
    def positions(self) -> np.ndarray:
        """Of all utterances, in order."""
        return self.features.positions

    def shuffled(self, augmentation: Augmentation | None, key: tuple[int, ...]) -> NoisyBatches:
        """Return the same utterances in an order, with changes and noise depending on `key`."""
        return replace(self, features=self.features.shuffled(augmentation, key), key=key)

    def __iter__(self) -> Iterator[tuple[Any, np.ndarray, np.ndarray]]:
        generator = np.random.default_rng((*self.key, 1))
        for features, _ in self.features:
            latents = np.asarray(self.encoder.predict_on_batch(features))
            clean = (latents - self.mean) / self.deviation
            noise = np.exp(generator.normal(*LOG_NOISE, (len(clean), 1))).astype(np.float32)
            noisy = clean + noise[:, None] * generator.standard_normal(clean.shape, np.float32)
            yield (noisy, noise), clean, noise_weight(noise)


def diffusion_trainee(bundle: Bundle, store: Store, recipe: Recipe, seed: int) -> Trainee:
    """Prepare the training of the denoiser of the latents of the bundle's autoencoder.

    Raises:
        BundleError: the bundle does not have the autoencoder.
    """
    component, offset = autoencoder_of(bundle, DIFFUSION), seed + recipe.seed_offset
    encoder = component.model("encoder")
    mean, deviation = channel_statistics(component)
    model = build_noise_denoiser(channels=len(mean), seed=offset)
    model.compile(keras.optimizers.Adam(global_clipnorm=_CLIP), "mean_squared_error")
    batches = (
        NoisyBatches(
            StoreBatches(store, store.split(split), recipe.batch_size, labelled=False),
            *(encoder, mean, deviation, (offset, 0)),
        )
        for split in ("training", "validation")
    )
    return Trainee(
        model,
        {DENOISER: model},
        labelled=False,
        kind=DENOISER,
        about={"autoencoder": autoencoder_identity(component), "log_noise": list(LOG_NOISE)},
        batches=tuple(batches),
        arrays={"latent_mean": mean, "latent_deviation": deviation},
    )


def channel_statistics(component: BundlePart) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation of an autoencoder's latents by channel [shape=(channels,)].

    The component has those of each frame, whose means differ where words begin and end.
    """
    mean, deviation = (component.arrays[f"latent_{name}"] for name in ("mean", "deviation"))
    whole = mean.mean(axis=0)
    variance = np.mean(np.square(deviation) + np.square(mean - whole), axis=0)
    return whole.astype(np.float32), np.sqrt(variance).astype(np.float32)


def measure_diffusion(bundle: Bundle, store: Store, split: str) -> dict[str, Any]:
    """Measure the share of the noise's power that the denoiser leaves in latents of a split.

    Returns:
        "noise_left": by the noise's deviation, relative to that of the latents.
    """
    component = autoencoder_of(bundle, DIFFUSION)
    denoiser = bundle.component(DIFFUSION).model(DENOISER)
    mean, deviation = channel_statistics(component)
    generator, left = np.random.default_rng(0), {}
    latents = encoded(component.model("encoder"), store, split)
    clean = ((latents - mean) / deviation).astype(np.float32)
    for noise in (0.1, 0.3, 1.0, 3.0):
        noisy = clean + np.float32(noise) * generator.standard_normal(clean.shape, np.float32)
        told = np.full((len(clean), 1), noise, np.float32)
        denoised = denoiser.predict([noisy, told], batch_size=256, verbose=0)
        left[f"{noise:g}"] = float(np.square(denoised - clean).mean() / noise**2)
    return {"noise_left": left}
