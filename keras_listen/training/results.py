"""Measure trained components on a split of a store, and the statistics of their latents."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from ..data.store import Store
from ..models.blocks import in_blocks
from ..models.bundle import Bundle
from ..models.denoisers import DIFFUSION
from .denoiser import encoded, measure_denoiser
from .diffusion import measure_diffusion
from .recipes import CLASSIFIERS, DENOISERS

#: A latent unit is active where the variance of its mean over real speech exceeds this (Burda et
#: al., "Importance Weighted Autoencoders", 2016, https://arxiv.org/abs/1509.00519).
ACTIVE_VARIANCE = 0.01


def latent_arrays(encoder: keras.Model, store: Store) -> dict[str, np.ndarray]:
    """Compute the statistics of the latents of training utterances.

    Returns:
        latent_mean and latent_deviation of each unit [shape=(units,), float32].
    """
    latents = encoded(encoder, store, "training")
    return {"latent_mean": latents.mean(axis=0), "latent_deviation": latents.std(axis=0)}


def measure(bundle: Bundle, name: str, store: Store, split: str = "testing") -> dict[str, Any]:
    """Measure a stored component on a split.

    For a classifier: accuracy and confusion matrix (rows: spoken, columns: predicted). For an
    autoencoder: mean squared error and, where the bundle has a classifier, the classifier's
    accuracy on the features and on their reconstructions; for a VAE also the number of active
    units. For a denoiser: the share of the noise that it leaves in latents.
    """
    positions = store.split(split)
    if name in DENOISERS:
        left = (
            measure_diffusion(bundle, store, split)
            if name == DIFFUSION
            else measure_denoiser(bundle, name, store, split)
        )
        return {"split": split, "utterances": len(positions), **left}
    features, labels = store.batch(positions), store.labels[positions]
    figures: dict[str, Any] = {"split": split, "utterances": len(positions)}
    if name in CLASSIFIERS:
        classifier = bundle.classifier_of(name)
        predicted = classifier.decide(classifier.predict(features))
        confusion = np.zeros((len(store.words),) * 2, int)
        np.add.at(confusion, (labels, predicted), 1)
        accuracy = float((predicted == labels).mean())
        return {**figures, "accuracy": accuracy, "confusion": confusion.tolist()}
    component = bundle.component(name)
    encoder, decoder = component.model("encoder"), component.model("decoder")
    latents = encoded(encoder, store, split)
    decoded = in_blocks(lambda block: _numpy(decoder(block, training=False)), latents)
    # Networks of any number of frames give an even one.
    decoded = decoded[:, : store.spec.frames]
    figures["mean_squared_error"] = float(np.mean((decoded - features) ** 2))
    if name == "vae":
        figures["active_units"] = int((latents.var(axis=0) > ACTIVE_VARIANCE).sum())
    if "classifier" in bundle.names():
        for what, values in (("features", features), ("reconstructions", decoded)):
            classifier = bundle.classifier
            right = classifier.decide(classifier.predict(values)) == labels
            figures[f"accuracy_on_{what}"] = float(right.mean())
    return figures


def _numpy(tensor: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)
