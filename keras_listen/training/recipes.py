"""What can be trained, and how: the components of a bundle, their networks and settings."""

from __future__ import annotations

from dataclasses import dataclass

from ..models.networks.classifier import build_classifier
from ..models.networks.residual import build_residual
from ..models.networks.separable import build_separable
from .augmentation import GENTLE, Augmentation


@dataclass(frozen=True)
class Recipe:
    """How one component is trained.

    Attributes:
        epochs: passes over the training split.
        batch_size: utterances a step.
        learning_rate: of Adam at the start; it falls to 1 % of that along half a cosine.
        augmentation: changes made to the features on the fly, or None.
        seed_offset: added to the run's seed, so that twins differ.
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
    "vae": Recipe(40, GENTLE, "loss", seed_offset=3),
    "residual": Recipe(120, Augmentation(), "accuracy", seed_offset=6),
    "separable": Recipe(120, Augmentation(), "accuracy", seed_offset=7),
}

#: What tells words apart, and the architecture of each.
CLASSIFIERS = {
    "classifier": build_classifier,
    "referee": build_classifier,
    "residual": build_residual,
    "separable": build_separable,
}
