"""Fit a denoiser to the latents of real speech."""

from __future__ import annotations

import csv
import io
import math
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_listen import Bundle, Store, __version__
from keras_listen.errors import ParameterError, RunError
from keras_listen.models.denoisers import DENOISER, autoencoder_identity
from keras_listen.models.networks.denoiser import build_denoiser, unscale
from keras_listen.training.denoiser import NOISE, Latents, disturbed, read_latents

from .denoisers import name_of

_BATCH = 64
_LEARNING_RATE = 1e-3


def fit(
    bundle,
    store,
    *,
    weights: str = "ae",
    out: str | Path | None = None,
    epochs: int = 60,
    hidden: int = 384,
    seed: int = 0,
    report: Callable[[dict[str, float]], None] | None = None,
):
    """Fit a denoiser to the latents of a store's training split.

    Args:
        bundle: the Bundle with the autoencoder, or its folder.
        store: a Store or its folder, prepared with the autoencoder's FeatureSpec.
        weights: component with encoder and decoder.
        out: folder of a bundle to write the denoiser to; by default that of `bundle`. The component
            is called `ppgn-<weights>`.
        epochs: passes over the training split; the best one by validation is kept.
        hidden: units of each of the two hidden layers.
        seed: of initial weights, order and noise.
        report: called with the losses of each epoch.

    Returns:
        The component that was written.

    Raises:
        ListenError: an argument is invalid, the store's features are not the autoencoder's, or the
            folder cannot be written.
    """
    for what, value in (("epochs", epochs), ("hidden", hidden)):
        if value < 1:
            raise ParameterError(f"{what} is {value}; expected at least 1")
    bundle = Bundle(bundle) if isinstance(bundle, (str, Path)) else bundle
    store = Store.open(store) if isinstance(store, (str, Path)) else store
    component = bundle.component(weights)
    component.spec.require(store.spec, f"the store {store.root}")
    latents = read_latents(component.model("encoder"), store)
    target = bundle if out is None else _beside(bundle, Path(out))
    denoiser = build_denoiser(latents.training.shape[1], hidden=hidden, seed=seed)
    curves = _train(denoiser, latents, epochs, seed, report or (lambda row: None))
    unscale(denoiser, latents.mean, latents.deviation)
    settings = {"seed": seed, "epochs": epochs, "hidden": hidden, "noise": NOISE}
    return target.add(
        name_of(weights),
        {"denoiser": denoiser},
        texts={"curves.csv": _csv(curves)},
        about={
            "kind": DENOISER,
            "autoencoder": autoencoder_identity(component),
            "provenance": settings | _origin(store),
            "figures": {**min(curves, key=_held_out), "deviation": latents.deviation},
        },
        compact=True,
    )


def _beside(bundle, folder: Path):
    """Open the bundle in `folder`, creating one of the same words and features if there is none."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "bundle.json").exists():
            shutil.copyfile(bundle.root / "bundle.json", folder / "bundle.json")
    except OSError as error:
        raise RunError(f"cannot write {folder}: {error.strerror or error}") from error
    return Bundle(folder)


def _origin(store) -> dict[str, Any]:
    """Return the provenance of a denoiser: its data and versions."""
    return {
        "utterances": {name: len(store.split(name)) for name in ("training", "validation")},
        "index_sha256": sha256((store.root / "index.csv").read_bytes()).hexdigest(),
        "versions": {"keras-listen": __version__, "keras": keras.__version__},
    }


def _held_out(row: dict[str, float]) -> float:
    return row["validation"]


def _train(denoiser, latents: Latents, epochs: int, seed: int, report) -> list[dict[str, float]]:
    """Train for all epochs, restore the best weights, and return the losses of each epoch."""
    denoiser.compile(keras.optimizers.Adam(_LEARNING_RATE), "mean_squared_error")
    curves: list[dict[str, float]] = []
    for epoch in range(epochs):
        share = 0.5 * (1 + math.cos(math.pi * epoch / epochs))
        denoiser.optimizer.learning_rate = _LEARNING_RATE * (0.01 + 0.99 * share)
        row = {
            "epoch": epoch + 1,
            "training": _pass(denoiser, latents.training, np.random.default_rng((seed, epoch + 1))),
            "validation": _left(denoiser, latents.validation, np.random.default_rng((seed, 0))),
        }
        if all(row["validation"] < earlier["validation"] for earlier in curves):
            best = denoiser.get_weights()
        curves.append(row)
        report(row)
    denoiser.set_weights(best)
    return curves


def _pass(denoiser, clean: np.ndarray, generator: np.random.Generator) -> float:
    """Go once through the latents in a random order and return the mean loss."""
    order, total = generator.permutation(len(clean)), 0.0
    for first in range(0, len(order), _BATCH):
        wanted = clean[order[first : first + _BATCH]]
        noisy, weight = disturbed(wanted, generator)
        # Some versions of Keras go on averaging from step to step.
        denoiser.reset_metrics()
        total += len(wanted) * float(denoiser.train_on_batch(noisy, wanted, weight))
    return total / len(order)


def _left(denoiser, clean: np.ndarray, generator: np.random.Generator) -> float:
    """Return the share of the noise's power that the denoiser leaves."""
    noisy, weight = disturbed(clean, generator)
    error = np.square(denoiser.predict_on_batch(noisy) - clean).mean(axis=1)
    return float((error * weight).mean())


def _csv(rows: list[dict[str, float]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()
