"""Prototypes of real speech: what k-means finds, what the component says, and what is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from keras_listen.data.store import Store
from keras_listen.errors import CorpusError
from keras_listen.features import FeatureSpec
from keras_listen.models.bundle import create_bundle
from keras_listen.models.speech import SPEECH, SpeechPrototypes, coarsen
from keras_listen.training.api import train
from keras_listen.training.speech import PROTOTYPES, make_prototypes


def test_clusters_of_moved_patterns_are_found():
    generator = np.random.default_rng(0)
    kinds = np.full((2, 30, 20), -50.0, np.float32)
    kinds[0, 10:14, :6] = kinds[1, 14:20, 12:] = 0
    chosen = generator.integers(2, size=200)
    coarse = np.stack([np.roll(kinds[k], generator.integers(-2, 3), axis=0) for k in chosen])
    found = make_prototypes(coarse, np.random.default_rng(0))
    assert found.shape == (PROTOTYPES, 30, 20)
    speech = SpeechPrototypes(["one"], found[None], FeatureSpec())
    distances = speech.distances(0.9 + np.kron(kinds, np.ones((1, 3, 4))) / 100, ["one"] * 2)
    np.testing.assert_allclose(distances, 0, atol=1e-3)


def test_few_recordings_are_their_own_prototypes():
    coarse = np.random.default_rng(0).uniform(-50, 0, (3, 5, 4)).astype(np.float32)
    found = make_prototypes(coarse, np.random.default_rng(0))
    assert found.shape == (PROTOTYPES, 5, 4)
    np.testing.assert_allclose(np.unique(found, axis=0), np.unique(coarse, axis=0), atol=1e-5)


@pytest.fixture(scope="module")
def fitted(tiny_store, tmp_path_factory):
    return train(tiny_store, tmp_path_factory.mktemp("speech") / "bundle", only=[SPEECH])


def test_the_component_has_figures_of_the_testing_split(fitted, tiny_store):
    component = fitted.component(SPEECH)
    assert component.about["kind"] == SPEECH
    assert component.about["provenance"]["corpus"]["utterances"]["training"] == 45
    figures = component.figures
    assert (figures["split"], figures["utterances"], figures["voiced_of"]) == ("testing", 18, 18)
    speech = SpeechPrototypes.of(component, fitted.words)
    positions = tiny_store.split("testing")
    features = tiny_store.batch(positions)[..., 0]
    words = [tiny_store.utterances[position].word for position in positions]
    mean = speech.distances(features, words).mean()
    assert figures["distance_db"] == pytest.approx(float(mean))
    assert figures["distance_db"] < figures["distance_db_of_other_words"]
    # Of 15 training utterances a word each is a prototype, and is at no distance.
    position = tiny_store.split("training")[:1]
    own = [tiny_store.utterances[position[0]].word]
    training = tiny_store.batch(position)[..., 0]
    assert coarsen(training, tiny_store.spec).shape == (1, 30, 20)
    assert speech.distances(training, own)[0] == pytest.approx(0, abs=0.05)


def test_it_is_fitted_once_and_gives_the_same_bytes(fitted, tiny_store, tmp_path):
    before = fitted.component(SPEECH).files
    assert train(tiny_store, fitted.root, only=[SPEECH], seed=3).component(SPEECH).files == before
    again = train(tiny_store, tmp_path / "again", only=[SPEECH])
    assert again.component(SPEECH).files == before


def test_a_store_without_training_utterances_of_a_word_is_refused(tiny_store, tmp_path):
    shutil.copytree(tiny_store.root, tmp_path / "store")
    index = tmp_path / "store" / "index.csv"
    lines = index.read_text().splitlines()
    kept = [line for line in lines if not (",up," in line and line.endswith("training"))]
    index.write_text("\n".join(kept) + "\n")
    store = Store.open(tmp_path / "store")
    bundle = create_bundle(tmp_path / "bundle", store.words, store.spec)
    with pytest.raises(CorpusError, match="no training utterance of 'up'") as caught:
        train(store, bundle.root, only=[SPEECH])
    assert "\n" not in str(caught.value)
    assert json.loads((bundle.root / "bundle.json").read_text())["words"] == ["down", "stop", "up"]
