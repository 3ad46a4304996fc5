"""The example that builds the network of a published file hears what its words' recordings say."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from keras_listen.models.formats.keras_file import open_model

ROOT = Path(__file__).parents[2]


@pytest.fixture
def attrnn(monkeypatch):
    """The module, from the folder in which a user would run it."""
    monkeypatch.chdir(ROOT)
    yield "examples.attrnn"
    for name in ("examples", "examples.attrnn"):
        sys.modules.pop(name, None)


def test_the_published_weights_hear_words(real_models, real_speech, attrnn):
    file = real_models / "attrnn" / "model-attRNN.h5"
    model = open_model(file, builder=f"{attrnn}:build")
    words = sys.modules[attrnn].WORDS
    assert model.output_shape == (None, len(words))
    listed = (real_speech / "testing_list.txt").read_text().split()
    # Every fifteenth: of all 1,124 recordings 95.7 % of those in its words were heard.
    names = [name for name in listed if name.partition("/")[0] in words][::15]
    sounds = []
    for name in names:
        path = (real_speech / name).with_suffix(".flac")
        sound, rate = soundfile.read(path if path.exists() else real_speech / name)
        assert rate == 16000
        sounds.append(np.pad(sound, (0, max(0, rate - len(sound))))[:rate])
    heard = np.asarray(model(np.array(sounds, np.float32), training=False)).argmax(axis=1)
    right = [words[i] == name.partition("/")[0] for i, name in zip(heard, names, strict=True)]
    assert len(right) > 60
    assert np.mean(right) >= 0.88


def test_it_answers_for_a_sound_without_regard_to_others(attrnn):
    from keras_listen.models.formats.builder import build_network

    model = build_network(f"{attrnn}:build")
    rng = np.random.default_rng(0)
    quiet, loud = (level * rng.normal(size=2000).astype(np.float32) for level in (0.01, 1))
    together = np.asarray(model(np.stack([quiet, loud]), training=False))
    np.testing.assert_allclose(together[:1], model(quiet[None], training=False), atol=1e-5)
