"""Recipes of training: settings and networks of the components that can be trained."""

from __future__ import annotations

from dataclasses import dataclass

from ..models.denoisers import AUTOENCODER, DIFFUSION, denoiser_name
from ..models.networks.classifier import build_classifier
from ..models.networks.residual import build_residual
from ..models.networks.separable import build_separable
from .augmentation import GENTLE, SHARP, Augmentation


@dataclass(frozen=True)
class Recipe:
    """Settings of the training of one component.

    Attributes:
        epochs: passes over the training split.
        batch_size: utterances in a step.
        learning_rate: of Adam at the start; it falls to 1 % of that along half a cosine.
        augmentation: applied to the features on the fly, or None.
        seed_offset: added to the seed, so that components of the same network differ.
        monitor: validation figure whose best epoch is kept.
        beta: weight of a VAE's divergence against its reconstruction.
    """

    epochs: int
    augmentation: Augmentation | None
    monitor: str
    batch_size: int = 64
    learning_rate: float = 1e-3
    seed_offset: int = 0
    beta: float = 1.0


RECIPES = {
    "classifier": Recipe(120, Augmentation(), "accuracy"),
    "referee": Recipe(120, Augmentation(), "accuracy", seed_offset=5),
    "ae": Recipe(30, GENTLE, "loss", seed_offset=2),
    "ae-denoiser": Recipe(60, None, "loss", seed_offset=8),
    "vae": Recipe(40, GENTLE, "loss", seed_offset=3),
    "vae-denoiser": Recipe(60, None, "loss", seed_offset=9),
    AUTOENCODER: Recipe(24, SHARP, "loss", batch_size=32, seed_offset=10),
    DIFFUSION: Recipe(36, SHARP, "loss", seed_offset=11),
    "residual": Recipe(120, Augmentation(), "accuracy", seed_offset=6),
    "separable": Recipe(120, Augmentation(), "accuracy", seed_offset=7),
}

#: Components with an encoder and a decoder.
AUTOENCODERS = ("ae", "vae", AUTOENCODER)

#: The autoencoders whose latents are denoised, by denoiser.
DENOISERS = {denoiser_name(weights): weights for weights in ("ae", "vae")}
DENOISERS |= {DIFFUSION: AUTOENCODER}

#: Builders of the components that classify words.
CLASSIFIERS = {
    "classifier": build_classifier,
    "referee": build_classifier,
    "residual": build_residual,
    "separable": build_separable,
}
