"""Small classifiers that are trained in seconds, with a front end of one's choice."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_listen.experiment.hearing import read_sounds, recordings_by_word, spaced
from keras_listen.plugins import default_registry


def train(
    path: Path,
    recordings: Mapping[str, Sequence[Path]],
    frontend: str,
    options: Mapping[str, Any] | None = None,
    *,
    epochs: int = 12,
) -> Path:
    """Train a small network on recordings by word through a front end, and save it."""
    front = default_registry().create("frontend", frontend, None, options)
    files = [(k, file) for k, files in enumerate(recordings.values()) for file in files]
    sounds, kept, _ = read_sounds([file for _, file in files], front.sample_rate)
    sounds = np.stack([front.fit(sound) for sound in sounds])
    blocks = [front(sounds[i : i + 100]).numpy() for i in range(0, len(sounds), 100)]
    inputs = np.concatenate(blocks)
    labels = np.array([files[i][0] for i in kept])
    keras.utils.set_random_seed(0)
    start = keras.Input(inputs.shape[1:])
    normalize = layers.Normalization(axis=None)
    normalize.adapt(inputs)
    x = layers.Resizing(24, 24)(normalize(start))
    for filters in (12, 24):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Dropout(0.2)(layers.Flatten()(x))
    model = keras.Model(start, layers.Dense(len(recordings), activation="softmax")(x))
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(inputs, labels, epochs=epochs, batch_size=32, verbose=0)
    model.save(path)
    return path


def split(
    corpus: Path, words: Sequence[str], training: int, testing: Path
) -> dict[str, list[Path]]:
    """Return training recordings of a corpus, and link those of its testing list into a folder."""
    listed = {
        tuple(line.rsplit(".", 1)[0].split("/"))
        for line in (corpus / "testing_list.txt").read_text(encoding="utf-8").splitlines()
    }
    kept: dict[str, list[Path]] = {}
    for word, files in recordings_by_word([corpus], words).items():
        (testing / word).mkdir(parents=True)
        for file in files:
            if (word, file.stem) in listed:
                os.symlink(file, testing / word / file.name)
            else:
                kept.setdefault(word, []).append(file)
    return {word: spaced(files, training) for word, files in kept.items()}
