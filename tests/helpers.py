"""What tests of several rooms share: a small bundle, and looks at what commands wrote and said.

The small bundle has random weights: it stands in where only the machinery matters.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np

import keras_listen
from keras_listen.experiment.folder import Run
from keras_listen.features import FeatureSpec
from keras_listen.models.bundle import create_bundle

HOSTILE = '<script>alert("x")</script>, up&down'
WORDS = ("down", "stop", "up", HOSTILE)
#: Settings of a small run or evaluation.
SMALL = {"samples": 5, "steps": 3, "block_size": 2, "seed": 5}


def dense(units: int, seed: int, **settings) -> keras.layers.Dense:
    initial = keras.initializers.RandomNormal(stddev=0.3, seed=seed)
    return keras.layers.Dense(units, kernel_initializer=initial, **settings)


def small_classifier(seed: int, *, softmax: bool = True, spec: FeatureSpec | None = None):
    """Build a linear classifier of the four words on averages of 10 x 10 values."""
    inputs = keras.Input((spec or FeatureSpec()).shape)
    x = keras.layers.AveragePooling2D(10, data_format="channels_last")(inputs)
    x = keras.layers.Flatten(data_format="channels_last")(x)
    activation = "softmax" if softmax else None
    return keras.Model(inputs, dense(len(WORDS), seed, activation=activation)(x))


def sigmoid_classifier(bias: float = 0.0) -> keras.Model:
    """Build a classifier with a sigmoid for each word; only that of "up" is ever above 0.5.

    Args:
        bias: added to the logit of "up".
    """
    model = small_classifier(8, softmax=False)
    kernel, _ = model.layers[-1].get_weights()
    biases = np.array([bias if word == "up" else -50.0 for word in WORDS])
    model.layers[-1].set_weights([kernel, biases])
    return keras.Model(model.inputs[0], keras.ops.sigmoid(model.outputs[0]))


def small_autoencoder() -> dict[str, keras.Model]:
    """Build an encoder to 16 units, and a decoder whose features are loud."""
    inputs = keras.Input((90, 80, 1))
    x = keras.layers.AveragePooling2D(10, data_format="channels_last")(inputs)
    encoder = keras.Model(inputs, dense(16, 3)(keras.layers.Flatten()(x)))
    latent = keras.Input((16,))
    loud = keras.initializers.Constant(2.0)
    x = dense(72, 4, activation="sigmoid", bias_initializer=loud)(latent)
    x = keras.layers.Reshape((9, 8, 1))(x)
    features = keras.layers.UpSampling2D(10, data_format="channels_last")(x)
    return {"encoder": encoder, "decoder": keras.Model(latent, features)}


def write_small_bundle(root: Path, spec: FeatureSpec | None = None) -> Path:
    """Write a bundle of the four words with classifier, referee and ae."""
    bundle = create_bundle(root, WORDS, spec or FeatureSpec())
    bundle.add("classifier", {"model": small_classifier(1)})
    bundle.add("referee", {"model": small_classifier(2)})
    bundle.add("ae", small_autoencoder())
    return root


def listen(*names: str, **settings) -> Run:
    """Do what `keras_listen.listen` does, with the published settings unless told otherwise."""
    return keras_listen.listen(*names, **{"preset": "paper", **settings})


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def digests(root: Path) -> dict[str, str]:
    """Return the checksum of each file below `root` but timing.json."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "timing.json"
    }


def assert_one_line(done, message: str) -> None:
    """Check that a command failed as it should: status 1 and one line of the program's own."""
    assert done.status == 1
    assert "Traceback" not in done.err
    lines = done.err.splitlines()
    assert len(lines) == 1, done.err
    assert lines[0].startswith("keras-listen: ")
    assert re.search(message, lines[0]), lines[0]


def watched(act: Callable[..., None]):
    """Return a `track` that calls `act(done, total=, label=, unit=)` as items are finished."""

    @contextmanager
    def track(**about) -> Iterator[Callable[..., None]]:
        done = 0

        def advance(count: int = 1) -> None:
            nonlocal done
            done += count
            act(done, **about)

        yield advance

    return track


def interrupted(after: int, label: str | None = None):
    """Return a `track` that is interrupted once more than `after` items of a stage are finished.

    Args:
        label: of the stage; any by default.
    """

    def act(done: int, **about) -> None:
        if done > after and label in (None, about["label"]):
            raise KeyboardInterrupt

    return watched(act)
