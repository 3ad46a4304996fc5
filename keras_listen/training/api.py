"""Train the components of a bundle on a store; resumable, and the best epoch's weights are kept.

    classifier, referee   the same network with two seeds
    ae, vae               autoencoders whose decoders serve as priors
    ae-, vae-denoiser     denoisers of their latents, for the learned pull of these priors
    conv-ae, diffusion    an autoencoder with a time axis and a denoiser: a latent diffusion model
    residual, separable   referees of other architectures
    speech                prototypes of real speech, which distances are measured from

Each epoch ends with its state on disk in `<bundle>/.training/<component>`, from which a call after
a killed one continues. Finished models become components of the bundle.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ..data.splits import SPLITS
from ..data.store import Store
from ..errors import ParameterError, RunError, unknown
from ..models.bundle import Bundle, create_bundle
from ..models.denoisers import AUTOENCODER, DIFFUSION
from ..models.networks.autoencoder import build_autoencoder, build_decoder, build_encoder
from ..models.networks.vae import build_vae, build_vae_encoder
from ..models.provenance import made_with
from ..models.speech import SPEECH
from ..output.files import csv_text
from .batches import StoreBatches
from .checkpoint import Checkpoint
from .denoiser import denoiser_trainee, is_outdated
from .diffusion import autoencoder_trainee, diffusion_trainee
from .recipes import AUTOENCODERS, CLASSIFIERS, DENOISERS, RECIPES, Recipe
from .results import latent_arrays, measure
from .speech import add_speech
from .trainee import Batches, Trainee

Announce = Callable[[str, dict[str, float]], None]

#: What can be trained on a store, in this order by default.
COMPONENTS = (*RECIPES, SPEECH)


def train(
    store: Store,
    target: str | Path,
    *,
    only: Sequence[str] = COMPONENTS,
    epochs: int | None = None,
    augment: bool = True,
    seed: int = 0,
    beta: float | None = None,
    compact: bool = False,
    announce: Announce = lambda name, row: None,
) -> Bundle:
    """Train components and add them to the bundle in `target`; existing ones are kept.

    A denoiser is fitted again where its autoencoder was replaced.

    Args:
        store: features to train on, with their splits.
        target: folder of the bundle, created where it is missing.
        only: components to train, in this order; a denoiser after its autoencoder.
        epochs: passes over the training split, for each component; by default those of its recipe.
        augment: augment features on the fly.
        seed: of initial weights, order, dropout and augmentation.
        beta: weight of the VAE's divergence, 1 by default.
        compact: store weights as float16; figures are measured on the stored weights.
        announce: called after each epoch with the component's name and its row of figures.

    Raises:
        ParameterError: an unknown component, an impossible setting, or too small features.
        CorpusError: the store has an empty split, or no training utterance of a word.
        BundleError: the folder holds a bundle of other words or features, or no autoencoder to fit
            a denoiser to.
        RunError: the disk is full or cannot be written.
    """
    _require_settings(only, epochs, seed, beta)
    for split in SPLITS:
        # Before the first epoch: the figures of the last one need all of them.
        store.split(split)
    bundle = create_bundle(target, store.words, store.spec, {"corpus": _corpus_facts(store)})
    for name in only:
        if _is_finished(bundle, name):
            continue
        if name == SPEECH:
            add_speech(bundle, store, seed, _corpus_facts(store))
            continue
        recipe = RECIPES[name]
        recipe = replace(
            recipe,
            epochs=epochs or recipe.epochs,
            augmentation=recipe.augmentation if augment else None,
            beta=recipe.beta if beta is None else beta,
        )
        trainee = _build(bundle, name, store, recipe, seed)
        try:
            _fit(name, trainee, store, recipe, seed, bundle.root, announce)
        except OSError as error:
            raise RunError(f"cannot write to {bundle.root}: {error.strerror or error}") from error
        trainee.finish()
        _add(bundle, name, trainee, store, recipe, seed, compact)
        shutil.rmtree(_work(bundle.root, name), ignore_errors=True)
    with contextlib.suppress(OSError):
        (bundle.root / ".training").rmdir()
    _complete_figures(bundle, store)
    return bundle


def planned_epochs(
    target: str | Path, only: Sequence[str], epochs: int | None = None
) -> dict[str, int]:
    """Return the number of epochs of each component that `train` would train, in its order.

    Args:
        target: folder of the bundle; what is there already is left out.
        only, epochs: as for `train`.
    """
    bundle = Bundle(target) if (Path(target) / "bundle.json").exists() else None
    return {
        name: epochs or RECIPES[name].epochs
        for name in only
        if name in RECIPES and not (bundle and _is_finished(bundle, name))
    }


def _is_finished(bundle: Bundle, name: str) -> bool:
    """Return whether the bundle has a component that needs no training."""
    return name in bundle.names() and not is_outdated(bundle, name)


def _require_settings(
    only: Sequence[str], epochs: int | None, seed: int, beta: float | None
) -> None:
    """Raise ParameterError unless `train` can use its arguments."""
    for name in only:
        if name not in COMPONENTS:
            raise ParameterError(unknown("component to train", name, COMPONENTS))
    if epochs is not None and epochs < 1:
        raise ParameterError(f"epochs is {epochs}; expected at least 1")
    if seed < 0:
        raise ParameterError(f"seed is {seed}; expected at least 0")
    if beta is not None and not 0 <= beta < math.inf:
        raise ParameterError(f"beta is {beta}; expected at least 0")


def _complete_figures(bundle: Bundle, store: Store) -> None:
    """Measure autoencoders that were finished before the bundle had a classifier."""
    if "classifier" not in bundle.names():
        return
    for name in AUTOENCODERS:
        if name in bundle.names() and "accuracy_on_features" not in bundle.component(name).figures:
            bundle.describe(name, figures=measure(bundle, name, store))


def _work(root: Path, name: str) -> Path:
    return root / ".training" / name


def _corpus_facts(store: Store) -> dict[str, Any]:
    index = hashlib.sha256((store.root / "index.csv").read_bytes()).hexdigest()
    return {"utterances": store.counts(), "index_sha256": index}


def _build(bundle: Bundle, name: str, store: Store, recipe: Recipe, seed: int) -> Trainee:
    keras.utils.set_random_seed(seed + recipe.seed_offset)
    if name == DIFFUSION:
        return diffusion_trainee(bundle, store, recipe, seed)
    if name == AUTOENCODER:
        return autoencoder_trainee(store, recipe, seed)
    if name in DENOISERS:
        return denoiser_trainee(bundle, name, store, recipe, seed)
    size = {"frames": store.spec.frames, "mels": store.spec.n_mels}
    if name in CLASSIFIERS:
        model = CLASSIFIERS[name](len(store.words), **size)
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return Trainee(model, {"model": model}, labelled=True)
    decoder = build_decoder(**size)
    if name == "ae":
        encoder = build_encoder(**size)
        model = build_autoencoder(encoder, decoder)
    else:
        encoder = build_vae_encoder(**size)
        model = build_vae(encoder, decoder, beta=recipe.beta, seed=seed + recipe.seed_offset)
    model.compile("adam", "binary_crossentropy", metrics=["mean_squared_error"])
    return Trainee(model, {"encoder": encoder, "decoder": decoder}, labelled=False)


def _fit(
    name: str,
    trainee: Trainee,
    store: Store,
    recipe: Recipe,
    seed: int,
    root: Path,
    announce: Announce,
) -> None:
    """Train to the last epoch, then load the weights of the best one."""
    settings = _settings(store, recipe, seed) | trainee.about
    state = _State(_work(root, name), trainee, settings)
    training, validation = trainee.batches or (
        StoreBatches(store, store.split(split), recipe.batch_size, trainee.labelled)
        for split in ("training", "validation")
    )
    model = trainee.model
    for epoch in range(state.resume(), recipe.epochs):
        model.optimizer.learning_rate = _rate(recipe, epoch)
        _reseed(model, (seed, recipe.seed_offset, epoch))
        batches = training.shuffled(recipe.augmentation, (seed, recipe.seed_offset, epoch))
        row = {"epoch": epoch + 1, "epochs": recipe.epochs}
        row |= _pass(model, model.train_on_batch, batches)
        row |= {f"val_{k}": v for k, v in _pass(model, model.test_on_batch, validation).items()}
        state.save(row, f"val_{recipe.monitor}", larger=recipe.monitor == "accuracy")
        announce(name, row)
    state.load_best()


def _pass(model: keras.Model, step: Callable[..., dict], batches: Batches) -> dict[str, float]:
    """Run `step` over all batches and return the mean of its figures over the utterances.

    Measured, this loop takes two thirds of the time of `fit` with the same batches as a PyDataset.
    """
    totals: Counter[str] = Counter()
    for batch in batches:
        # Some versions of Keras go on counting from step to step, some start anew.
        model.reset_metrics()
        for name, value in step(*batch, return_dict=True).items():
            totals[name] += float(value) * len(batch[1])
    return {name: total / len(batches.positions) for name, total in totals.items()}


def _reseed(model: keras.Model, key: tuple[int, ...]) -> None:
    """Make an epoch's dropout and sampling depend only on `key`.

    Keras does not save the state of its random generators, so a resumed training would differ.
    """
    draws = np.random.default_rng(key)
    for variable in model.variables:
        if variable.path.endswith("seed_generator_state"):
            variable.assign(draws.integers(2**32, size=2, dtype=np.uint32))


def _rate(recipe: Recipe, epoch: int) -> float:
    share = 0.5 * (1 + math.cos(math.pi * epoch / recipe.epochs))
    return recipe.learning_rate * (0.01 + 0.99 * share)


def _settings(store: Store, recipe: Recipe, seed: int) -> dict[str, Any]:
    """Return the settings that must be equal for a call to continue an earlier one."""
    return {
        "seed": seed,
        "recipe": repr(recipe),
        "store": hashlib.sha256((store.root / "index.csv").read_bytes()).hexdigest(),
    }


class _State:
    """State of a training on disk: the last epoch, the best epoch's weights, and the curves."""

    def __init__(self, root: Path, trainee: Trainee, settings: dict[str, Any]):
        self.trainee, self.checkpoint = trainee, Checkpoint(root, trainee.model, settings)
        self.best: float | None = None

    def resume(self) -> int:
        """Load the last finished epoch of the same settings and return its number, or 0."""
        if (saved := self.checkpoint.load()) is None:
            return 0
        state, _ = saved
        self.best = state["best"]
        self.trainee.curves.extend(state["curves"])
        return len(state["curves"])

    def save(self, row: dict[str, float], monitor: str, *, larger: bool) -> None:
        """Save the epoch that has just finished."""
        self.trainee.curves.append(row)
        value = row[monitor]
        if self.best is None or (value > self.best if larger else value < self.best):
            self.best = value
            beside = self._best.with_name("best.partial.weights.h5")
            self.trainee.model.save_weights(beside)
            beside.replace(self._best)
        state = {"best": self.best, "curves": self.trainee.curves}
        self.checkpoint.save(state, len(self.trainee.curves) % 2)

    @property
    def _best(self) -> Path:
        return self.checkpoint.root / "best.weights.h5"

    def load_best(self) -> None:
        """Load the weights of the best epoch into the model."""
        self.trainee.model.load_weights(self._best)


def _add(
    bundle: Bundle,
    name: str,
    trainee: Trainee,
    store: Store,
    recipe: Recipe,
    seed: int,
    compact: bool,
) -> None:
    """Write the component, then measure the stored weights on the testing split."""
    epochs = [row["epoch"] for row in trainee.curves]
    provenance = {
        "recipe": json.loads(json.dumps(recipe, default=lambda value: value.__dict__)),
        "seed": seed,
        "epochs_run": len(epochs),
        **made_with(),
    }
    bundle.add(
        name,
        trainee.parts,
        arrays=trainee.arrays or _latent_arrays(trainee, store),
        texts={"curves.csv": csv_text(trainee.curves)},
        about={"kind": trainee.kind or name, **trainee.about, "provenance": provenance},
        compact=compact,
    )
    bundle.describe(name, figures=measure(bundle, name, store))


def _latent_arrays(trainee: Trainee, store: Store) -> dict[str, np.ndarray]:
    """Compute the statistics of an autoencoder's latents; none of another model."""
    return latent_arrays(trainee.parts["encoder"], store) if "encoder" in trainee.parts else {}
