"""Training on synthetic words: what is learned, kept, resumed and recorded."""

from __future__ import annotations

import csv
import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_listen.cli.train import train as train_command
from keras_listen.data.corpus import read_corpus
from keras_listen.data.prepare import prepare
from keras_listen.data.store import Store
from keras_listen.errors import BundleError, CorpusError, ParameterError, RunError
from keras_listen.features import FeatureSpec
from keras_listen.models.bundle import REFEREES, Bundle, create_bundle
from keras_listen.models.networks.autoencoder import build_decoder
from keras_listen.models.networks.vae import build_vae_encoder
from keras_listen.training.api import COMPONENTS, train
from keras_listen.training.figures import draw_training
from keras_listen.training.recipes import CLASSIFIERS, RECIPES
from keras_listen.training.results import measure

SMALL = FeatureSpec(sample_rate=16000, n_fft=1024, hop_length=512, frames=32, n_mels=24)


@pytest.fixture(scope="module")
def small_store(tiny_corpus, tmp_path_factory) -> Store:
    """The tiny corpus in small features, on which autoencoders train in seconds."""
    target = tmp_path_factory.mktemp("small") / "store"
    return prepare(read_corpus(tiny_corpus), target, spec=SMALL, workers=1).store


class Rows(list):
    """Collects what is announced, and stops the training after `stop` rows."""

    class StopError(Exception):
        pass

    def __init__(self, stop: int | None = None):
        self.stop = stop

    def __call__(self, name: str, row: dict) -> None:
        self.append((name, dict(row)))
        if len(self) == self.stop:
            raise self.StopError


def curves(bundle: Bundle, name: str) -> list[dict[str, float]]:
    with open(bundle.root / name / "curves.csv", newline="", encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def weights_of(bundle: Bundle, name: str) -> list[np.ndarray]:
    files = sorted((bundle.root / name).glob("*.keras"))
    return [w for file in files for w in keras.saving.load_model(file).get_weights()]


@pytest.fixture(scope="module")
def learned(tiny_store, tmp_path_factory) -> tuple[Bundle, Rows]:
    """A classifier trained on the tiny store, and what was announced."""
    rows = Rows()
    target = tmp_path_factory.mktemp("learned") / "bundle"
    only = ["classifier"]
    bundle = train(tiny_store, target, only=only, epochs=16, augment=False, announce=rows)
    return bundle, rows


def test_a_classifier_learns_words(learned, tiny_store):
    bundle, _ = learned
    rows = curves(bundle, "classifier")
    assert rows[-1]["loss"] < 0.6 * rows[0]["loss"]
    assert rows[-1]["val_loss"] < 0.8 * rows[0]["val_loss"]
    positions = tiny_store.split("testing")
    scores = bundle.classifier.predict(tiny_store.batch(positions))
    accuracy = (scores.argmax(axis=1) == tiny_store.labels[positions]).mean()
    assert accuracy > 0.6
    figures = bundle.component("classifier").figures
    assert figures["accuracy"] == pytest.approx(accuracy)
    assert figures["utterances"] == 18
    confusion = np.array(figures["confusion"])
    assert confusion.sum(axis=1).tolist() == [6, 6, 6]
    assert np.trace(confusion) / 18 == pytest.approx(accuracy)


def test_the_best_epochs_weights_are_kept(learned, tiny_store):
    bundle, _ = learned
    rows = curves(bundle, "classifier")
    accuracies = [row["val_accuracy"] for row in rows]
    best = accuracies.index(max(accuracies))
    # Where the last epoch is the best, this test shows nothing.
    assert best < len(rows) - 1
    positions = tiny_store.split("validation")
    model = keras.saving.load_model(bundle.root / "classifier" / "model.keras")
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    features, labels = tiny_store.batch(positions), tiny_store.labels[positions]
    loss, accuracy = model.evaluate(features, labels, verbose=0)
    assert accuracy == pytest.approx(max(accuracies))
    assert loss == pytest.approx(rows[best]["val_loss"], rel=1e-4)


def test_curves_are_what_was_announced(learned):
    bundle, rows = learned
    assert [name for name, _ in rows] == ["classifier"] * 16
    assert curves(bundle, "classifier") == [row for _, row in rows]
    assert [row["epoch"] for _, row in rows] == list(range(1, 17))
    assert set(rows[0][1]) == {
        "epoch",
        "epochs",
        "loss",
        "accuracy",
        "val_loss",
        "val_accuracy",
    }


def test_provenance_says_how_it_was_trained(learned):
    bundle, _ = learned
    provenance = bundle.component("classifier").about["provenance"]
    assert provenance["recipe"]["epochs"] == 16
    assert provenance["recipe"]["augmentation"] is None
    assert provenance["seed"] == 0
    counts = bundle.about["provenance"]["corpus"]["utterances"]
    assert counts == {"training": 45, "validation": 9, "testing": 18}


def test_what_is_finished_is_not_trained_again(learned, tiny_store):
    bundle, _ = learned
    files = [path for path in bundle.root.rglob("*") if path.is_file()]
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
    rows = Rows()
    train(tiny_store, bundle.root, only=["classifier"], epochs=3, announce=rows)
    assert rows == []
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files} == before
    assert not (bundle.root / ".training").exists()


def test_pictures_are_drawn_of_every_component(learned, tmp_path):
    bundle, _ = learned
    shutil.copytree(bundle.root, tmp_path / "bundle")
    folder = draw_training(Bundle(tmp_path / "bundle"))
    names = {path.name for path in folder.iterdir()}
    assert names == {"classifier-curves.png", "classifier-confusion.png"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in folder.iterdir())


@pytest.mark.parametrize(
    "name",
    [
        "classifier",
        "residual",
        pytest.param("separable", marks=pytest.mark.slow),
        pytest.param("vae", marks=pytest.mark.slow),
    ],
)
def test_a_resumed_training_equals_an_undisturbed_one(small_store, tmp_path, name):
    whole = train(small_store, tmp_path / "whole", only=[name], epochs=4)
    with pytest.raises(Rows.StopError):
        train(small_store, tmp_path / "halves", only=[name], epochs=4, announce=Rows(stop=2))
    work = tmp_path / "halves" / ".training" / name
    named = f"last-{json.loads((work / 'state.json').read_text())['turn']}.weights.h5"
    # What a kill in the middle of the third epoch's writing leaves behind.
    [other] = [path for path in work.glob("last-*") if path.name != named]
    other.write_bytes(b"half a file")
    (work / "best.partial.weights.h5").write_bytes(b"half a file")
    rows = Rows()

    halves = train(small_store, tmp_path / "halves", only=[name], epochs=4, announce=rows)

    assert [row["epoch"] for _, row in rows] == [3, 4]
    assert (halves.root / name / "curves.csv").read_bytes() == (
        whole.root / name / "curves.csv"
    ).read_bytes()
    for found, expected in zip(weights_of(halves, name), weights_of(whole, name), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert halves.component(name).figures == whole.component(name).figures


@pytest.mark.slow
def test_other_settings_start_anew(small_store, tmp_path):
    with pytest.raises(Rows.StopError):
        train(small_store, tmp_path, only=["classifier"], epochs=4, announce=Rows(stop=1))
    rows = Rows(stop=1)
    with pytest.raises(Rows.StopError):
        train(small_store, tmp_path, only=["classifier"], epochs=4, seed=5, announce=rows)
    assert rows[0][1]["epoch"] == 1


@pytest.mark.slow
def test_seed_and_augmentation_decide_and_the_referee_is_no_twin(small_store, tmp_path):
    folders = (tmp_path / str(number) for number in itertools.count())

    def first_loss(name: str, **settings) -> float:
        rows = Rows(stop=1)
        with pytest.raises(Rows.StopError):
            train(small_store, next(folders), only=[name], epochs=1, announce=rows, **settings)
        return rows[0][1]["loss"]

    plain = first_loss("classifier", augment=False)
    assert first_loss("classifier", augment=False, seed=9) != plain
    assert first_loss("classifier") != plain
    assert first_loss("referee", augment=False) != plain


def test_compact_components_are_measured_as_stored(small_store, tmp_path):
    bundle = train(small_store, tmp_path, only=["classifier"], epochs=1, compact=True)
    for weight in weights_of(bundle, "classifier"):
        bits = 3 if weight.ndim < 2 else 0
        assert not (weight.astype(np.float16).view(np.uint16) % 8 >> bits).any()
        np.testing.assert_array_equal(weight, weight.astype(np.float16).astype(np.float32))
    positions = small_store.split("testing")
    predicted = bundle.classifier.predict(small_store.batch(positions)).argmax(axis=1)
    accuracy = (predicted == small_store.labels[positions]).mean()
    assert bundle.component("classifier").figures["accuracy"] == pytest.approx(accuracy)


def test_an_autoencoder_is_measured_once_there_is_a_classifier(small_store, tmp_path):
    alone = train(small_store, tmp_path, only=["ae"], epochs=6)
    rows = curves(alone, "ae")
    assert rows[-1]["val_mean_squared_error"] < rows[0]["val_mean_squared_error"]
    assert "accuracy_on_features" not in alone.component("ae").figures

    bundle = train(small_store, tmp_path, only=["classifier"], epochs=2)

    figures = Bundle(tmp_path).component("ae").figures
    positions = small_store.split("testing")
    features, labels = small_store.batch(positions), small_store.labels[positions]
    encoder, decoder = (bundle.component("ae").model(part) for part in ("encoder", "decoder"))
    decoded = np.asarray(decoder(encoder(features)))
    assert figures["mean_squared_error"] == pytest.approx(((decoded - features) ** 2).mean(), 1e-4)
    for what, values in (("features", features), ("reconstructions", decoded)):
        right = bundle.classifier.predict(values).argmax(axis=1) == labels
        assert figures[f"accuracy_on_{what}"] == pytest.approx(right.mean())


def test_a_prior_comes_with_the_distribution_of_its_training_latents(small_store, tmp_path):
    bundle = train(small_store, tmp_path / "b", only=["ae"], epochs=1)
    component = bundle.component("ae")
    features = small_store.batch(small_store.split("training"))
    latents = np.asarray(component.model("encoder")(features, training=False))
    assert component.arrays.keys() == {"latent_mean", "latent_deviation"}
    np.testing.assert_allclose(component.arrays["latent_mean"], latents.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(component.arrays["latent_deviation"], latents.std(axis=0), atol=1e-4)


def test_active_units_are_those_that_vary_over_real_features(small_store, tmp_path):
    # Whether five units follow the features enough depends on the layers before them.
    keras.utils.set_random_seed(0)
    size = {"frames": SMALL.frames, "mels": SMALL.n_mels, "latent": 16}
    encoder, decoder = build_vae_encoder(**size), build_decoder(**size)
    kernel, bias = encoder.get_layer("mean").get_weights()
    # Five units follow the features, the others say the same of each, however large it is.
    kernel = np.random.default_rng(0).normal(0, 1, kernel.shape)
    kernel[:, 5:] = 0
    encoder.get_layer("mean").set_weights([kernel, np.full_like(bias, 3.0)])
    bundle = create_bundle(tmp_path, small_store.words, SMALL)
    bundle.add("vae", {"encoder": encoder, "decoder": decoder})
    figures = measure(bundle, "vae", small_store)
    assert figures["active_units"] == 5
    features = small_store.batch(small_store.split("testing"))
    decoded = np.asarray(decoder(encoder(features)[0]))
    error = ((decoded - features) ** 2).mean()
    assert figures["mean_squared_error"] == pytest.approx(error, rel=1e-4)


@pytest.mark.parametrize("name", ["residual", "separable"])
def test_a_referee_of_another_architecture_learns_words(tiny_store, tmp_path, name):
    bundle = train(tiny_store, tmp_path, only=[name], epochs=40, augment=False)
    rows = curves(bundle, name)
    assert rows[-1]["loss"] < 0.1 * rows[0]["loss"]
    assert rows[-1]["val_loss"] < 0.5 * rows[0]["val_loss"]
    # A bundle need not have a classifier to have referees.
    assert bundle.referee is None
    assert list(bundle.referees) == [name]
    positions = tiny_store.split("testing")
    features, labels = tiny_store.batch(positions), tiny_store.labels[positions]
    predicted = bundle.referees[name].predict(features).argmax(axis=1)
    accuracy = (predicted == labels).mean()
    assert accuracy > 0.6
    component = bundle.component(name)
    assert component.about["kind"] == name
    assert component.about["provenance"]["recipe"]["epochs"] == 40
    assert component.figures["accuracy"] == pytest.approx(accuracy)
    confusion = np.array(component.figures["confusion"])
    assert confusion.sum(axis=1).tolist() == [6, 6, 6]
    assert np.trace(confusion) / 18 == pytest.approx(accuracy)
    names = {path.name for path in draw_training(bundle).iterdir()}
    assert names == {f"{name}-curves.png", f"{name}-confusion.png"}


def test_what_judges_is_trained_like_the_classifier_with_a_seed_of_its_own():
    assert set(CLASSIFIERS) == {"classifier", *REFEREES}
    for name in REFEREES:
        same = replace(RECIPES[name], seed_offset=RECIPES["classifier"].seed_offset)
        assert same == RECIPES["classifier"]
    assert len({recipe.seed_offset for recipe in RECIPES.values()}) == len(RECIPES)


def test_the_command_line_trains_every_component():
    [only] = [option for option in train_command.params if option.name == "only"]
    assert only.default.split(",") == list(COMPONENTS)


def test_an_unknown_component_gets_its_nearest_match(small_store, tmp_path):
    with pytest.raises(
        ParameterError, match=r"'refree'; did you mean 'referee'\? known: ae, ae-denoiser, class"
    ):
        train(small_store, tmp_path / "bundle", only=["refree"])
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs is 0; expected at least 1"),
        ({"seed": -1}, "seed is -1"),
        ({"beta": -1.0}, "beta is -1"),
    ],
)
def test_impossible_settings_are_refused(small_store, tmp_path, settings, message):
    with pytest.raises(ParameterError, match=message):
        train(small_store, tmp_path, only=["vae"], **({"epochs": 1} | settings))


def test_a_bundle_of_other_words_is_not_added_to(small_store, tmp_path):
    create_bundle(tmp_path, ("no", "yes"), SMALL)
    with pytest.raises(BundleError, match=r"has other words \(no, yes\) than the store"):
        train(small_store, tmp_path, only=["classifier"], epochs=1)


def test_an_empty_split_is_named(tiny_corpus, tmp_path):
    corpus = tmp_path / "corpus"
    shutil.copytree(tiny_corpus, corpus)
    (corpus / "validation_list.txt").write_text("")
    store = prepare(read_corpus(corpus), tmp_path / "store", spec=SMALL, workers=1).store
    with pytest.raises(CorpusError, match="has no validation utterance"):
        train(store, tmp_path / "bundle", only=["classifier"], epochs=1)


def test_an_empty_testing_split_is_named_before_the_first_epoch(tiny_corpus, tmp_path):
    corpus = tmp_path / "corpus"
    shutil.copytree(tiny_corpus, corpus)
    (corpus / "testing_list.txt").write_text("")
    store = prepare(read_corpus(corpus), tmp_path / "store", spec=SMALL, workers=1).store
    epochs = []
    with pytest.raises(CorpusError, match="has no testing utterance"):
        train(
            store,
            tmp_path / "bundle",
            only=["classifier"],
            epochs=1,
            announce=lambda *row: epochs.append(row),
        )
    assert epochs == []
    assert not (tmp_path / "bundle").exists()


def test_too_small_features_are_refused(tiny_corpus, tmp_path):
    spec = FeatureSpec(n_mels=16)
    store = prepare(read_corpus(tiny_corpus), tmp_path / "store", spec=spec, workers=1).store
    with pytest.raises(ParameterError, match="90 frames and 16 mels are too small"):
        train(store, tmp_path / "bundle", only=["classifier"], epochs=1)


def test_a_folder_that_cannot_be_written_is_named(small_store, tmp_path):
    Path(tmp_path / ".training").touch()
    with pytest.raises(RunError, match=r"cannot make the folder .*\.training/classifier"):
        train(small_store, tmp_path, only=["classifier"], epochs=1)
