"""A small bundle and a store of tones, to fit denoisers to within a second."""

from __future__ import annotations

import os

# TensorFlow reads these when it is first imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
import numpy as np
import pytest
import soundfile

from keras_listen import FeatureSpec, Store, load_bundle, prepare, read_corpus
from keras_listen.models.bundle import create_bundle
from keras_listen.seeds import derive

RATE = 22050
WORDS = ("high", "low")
UNITS = 8
#: Speakers by split.
SPEAKERS = {"training": 60, "validation": 20, "testing": 20}


def tone(word: str, generator: np.random.Generator) -> np.ndarray:
    """Return a third of a second that differs in pitch, level, length and place."""
    time = np.arange(RATE // 3) / RATE
    pitch = generator.uniform(300, 500) * (4 if word == "high" else 1)
    begin, length = generator.uniform(0, 0.1), generator.uniform(0.1, 0.2)
    inside = (time > begin) & (time < begin + length)
    y = generator.uniform(0.1, 0.9) * inside * np.sin(2 * np.pi * pitch * time)
    return (y + generator.normal(0, 1e-3, len(time))).astype(np.float32)


@pytest.fixture(scope="session")
def spec() -> FeatureSpec:
    return FeatureSpec(frames=18, n_mels=16)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A tree of two words and 100 speakers."""
    root, generator = tmp_path_factory.mktemp("corpus"), np.random.default_rng(0)
    for word in WORDS:
        (root / word).mkdir()
    number = 0
    for split, count in SPEAKERS.items():
        names = []
        for _ in range(count):
            number += 1
            for word in WORDS:
                names.append(f"{word}/{number:08x}_nohash_0.wav")
                soundfile.write(root / names[-1], tone(word, generator), RATE)
        if split != "training":
            (root / f"{split}_list.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    return root


@pytest.fixture(scope="session")
def store(corpus, spec, tmp_path_factory) -> Store:
    target = tmp_path_factory.mktemp("store") / "tones"
    return prepare(read_corpus(corpus), target, spec=spec, workers=1).store


@pytest.fixture
def bundle(spec, tmp_path):
    """A bundle whose autoencoder is two fixed random projections."""
    return make_bundle(tmp_path / "bundle", spec)


def make_bundle(root, spec, units: int = UNITS, seed: int = 0):
    bundle = create_bundle(root, WORDS, spec)
    start = keras.initializers.GlorotUniform(seed=seed)
    encoder = keras.Sequential(
        [
            keras.Input(spec.shape),
            keras.layers.Flatten(),
            keras.layers.Dense(units, None, True, start),
        ]
    )
    values = int(np.prod(spec.shape))
    decoder = keras.Sequential(
        [
            keras.Input((units,)),
            keras.layers.Dense(values, "sigmoid", kernel_initializer=start),
            keras.layers.Reshape(spec.shape),
        ]
    )
    bundle.add("ae", {"encoder": encoder, "decoder": decoder}, about={"kind": "ae"})
    return bundle


@pytest.fixture(scope="session")
def embedded():
    return load_bundle()


@pytest.fixture(scope="session")
def seeds():
    """Seeds of 48 samples."""
    return np.stack([derive(0, "yes", k) for k in range(48)])
