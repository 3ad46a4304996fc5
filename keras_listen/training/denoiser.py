"""Fit a denoiser to the latents of real speech in an autoencoder of the same bundle.

Noise of a random amount is added to each latent, and the network learns to take it away without
being told how much it was.

References:
    Nguyen et al., "Plug & Play Generative Networks", CVPR 2017, https://arxiv.org/abs/1612.00005
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from ..data.store import Store
from ..errors import BundleError, ParameterError
from ..models.blocks import in_blocks, spans
from ..models.bundle import Bundle, BundlePart
from ..models.denoisers import DENOISER, autoencoder_identity, is_fitted_to
from ..models.networks.denoiser import build_denoiser, unscale
from .augmentation import Augmentation
from .recipes import DENOISERS, Recipe
from .trainee import Trainee

#: Noise that is added while fitting, in deviations of the latents: from a little less than they
#: vary to where an ascent without a pull ends up.
NOISE = (0.7, 7.0)


@dataclass(frozen=True)
class Latents:
    """Latents of mean 0 and, all units together, deviation 1.

    Attributes:
        training, validation: [shape=(utterances, units), float32].
        mean: subtracted from the latents [shape=(units,)].
        deviation: the divisor of the differences.
    """

    training: np.ndarray
    validation: np.ndarray
    mean: np.ndarray
    deviation: float


@dataclass(frozen=True)
class LatentBatches:
    """Batches of disturbed latents, the clean ones, and weights.

    Attributes:
        latents: clean [shape=(utterances, units)].
        positions: of the latents, in order.
        size: of a batch.
        key: all noise depends only on it.
    """

    latents: np.ndarray
    positions: np.ndarray
    size: int
    key: tuple[int, ...]

    def shuffled(self, augmentation: Augmentation | None, key: tuple[int, ...]) -> LatentBatches:
        """Return the same latents in an order, and with noise, that depend only on `key`."""
        return replace(
            self, positions=np.random.default_rng(key).permutation(self.positions), key=key
        )

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        generator = np.random.default_rng((*self.key, 1))
        for span in spans(len(self.positions), self.size):
            clean = self.latents[self.positions[span]]
            noisy, weight = disturbed(clean, generator)
            yield noisy, clean, weight


def disturbed(clean: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Add noise of a random amount to each latent of deviation 1.

    Returns:
        the latents, and each one's weight, so that all amounts count alike: the share of the noise
        that is left has the same scale for all.
    """
    low, high = np.log(NOISE)
    amount = np.exp(generator.uniform(low, high, (len(clean), 1)))
    noisy = clean + amount * generator.normal(size=clean.shape)
    return noisy.astype(np.float32), (1 / np.square(amount[:, 0])).astype(np.float32)


def read_latents(encoder: keras.Model, store: Store) -> Latents:
    """Encode the training and the validation split and bring both to one scale.

    Raises:
        CorpusError: a split is empty.
        ParameterError: the latents do not differ, or are not finite.
    """
    training, validation = (encoded(encoder, store, name) for name in ("training", "validation"))
    mean = training.mean(axis=0)
    deviation = float(np.sqrt(np.mean(np.square(training - mean))))
    if not 0 < deviation < math.inf:
        raise ParameterError(
            f"the latents of the training utterances in {store.root} deviate by {deviation} from "
            "their mean; expected more than 0: prepare more, or train the autoencoder again"
        )
    scaled = ((values - mean) / deviation for values in (training, validation))
    return Latents(*scaled, mean, deviation)


def encoded(encoder: keras.Model, store: Store, split: str) -> np.ndarray:
    """Return the latents of a split [shape=(utterances, ...)]; of a VAE, their means.

    Utterances are read block by block: a whole training split may not fit into memory.
    """

    def encode(positions: np.ndarray) -> np.ndarray:
        result = encoder(store.batch(positions), training=False)
        mean = result[0] if isinstance(result, (list, tuple)) else result
        return keras.ops.convert_to_numpy(mean)

    return in_blocks(encode, store.split(split))


def denoiser_trainee(bundle: Bundle, name: str, store: Store, recipe: Recipe, seed: int) -> Trainee:
    """Prepare the training of a denoiser of the latents of an autoencoder in the bundle.

    Raises:
        BundleError: the bundle does not have the autoencoder.
        CorpusError: a split of the store is empty.
        ParameterError: the latents do not differ.
    """
    autoencoder = autoencoder_of(bundle, name)
    latents = read_latents(autoencoder.model("encoder"), store)
    offset = seed + recipe.seed_offset
    model = build_denoiser(latents.training.shape[1], seed=offset)
    model.compile("adam", "mean_squared_error")
    splits = (latents.training, latents.validation)
    batches = (
        LatentBatches(values, np.arange(len(values)), recipe.batch_size, (offset, 0))
        for values in splits
    )
    return Trainee(
        model,
        {DENOISER: model},
        labelled=False,
        kind=DENOISER,
        about={"autoencoder": autoencoder_identity(autoencoder), "noise": list(NOISE)},
        batches=tuple(batches),
        finish=lambda: unscale(model, latents.mean, latents.deviation),
    )


def autoencoder_of(bundle: Bundle, name: str) -> BundlePart:
    """Return the component whose latents a denoiser is fitted to."""
    weights = DENOISERS[name]
    if weights not in bundle.names():
        raise BundleError(
            f"{name} is fitted to the latents of {weights}, but the bundle {bundle.root} has none; "
            f"train both: --only {weights},{name}"
        )
    return bundle.component(weights)


def is_outdated(bundle: Bundle, name: str) -> bool:
    """Return whether a denoiser was fitted to another autoencoder than the bundle has now."""
    weights = DENOISERS.get(name)
    if weights is None or weights not in bundle.names():
        return False
    return not is_fitted_to(bundle.component(name), bundle.component(weights))


def measure_denoiser(bundle: Bundle, name: str, store: Store, split: str) -> dict[str, Any]:
    """Measure the share of the noise's power that a denoiser leaves in latents of a split."""
    latents = encoded(autoencoder_of(bundle, name).model("encoder"), store, split)
    mean = latents.mean(axis=0)
    deviation = float(np.sqrt(np.mean(np.square(latents - mean))))
    clean = (latents - mean) / deviation
    noisy, weight = disturbed(clean, np.random.default_rng(0))
    model = bundle.component(name).model(DENOISER)
    denoised = in_blocks(
        lambda block: keras.ops.convert_to_numpy(model(block, training=False)),
        (noisy * deviation + mean).astype(np.float32),
    )
    left = np.square((denoised - latents) / deviation).mean(axis=1) * weight
    return {"deviation": deviation, "noise_left": float(left.mean())}
