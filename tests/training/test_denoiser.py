"""Denoisers: what they learn, where they are kept, when they are fitted again, what is refused."""

from __future__ import annotations

import csv
import shutil

import keras
import numpy as np
import pytest
from helpers import assert_one_line, digests

from keras_listen.data.corpus import read_corpus
from keras_listen.data.prepare import prepare
from keras_listen.data.store import Store
from keras_listen.errors import BundleError, ParameterError
from keras_listen.features import FeatureSpec
from keras_listen.maximization import priors
from keras_listen.models.bundle import Bundle, create_bundle
from keras_listen.models.denoisers import autoencoder_identity
from keras_listen.models.networks.denoiser import build_denoiser, unscale
from keras_listen.training.api import train
from keras_listen.training.denoiser import NOISE, encoded, read_latents

SMALL = FeatureSpec(sample_rate=16000, n_fft=1024, hop_length=512, frames=32, n_mels=24)
UNITS = 6


@pytest.fixture(scope="module")
def small_store(tiny_corpus, tmp_path_factory) -> Store:
    target = tmp_path_factory.mktemp("small") / "store"
    return prepare(read_corpus(tiny_corpus), target, spec=SMALL, workers=1).store


def projections(seed: int, *, vae: bool = False) -> dict[str, keras.Model]:
    """Build an encoder and a decoder that are fixed random projections."""
    start = keras.initializers.GlorotUniform(seed=seed)
    inputs = keras.Input(SMALL.shape)
    z = keras.layers.Dense(UNITS, kernel_initializer=start)(keras.layers.Flatten()(inputs))
    encoder = keras.Model(inputs, [z, 5 * z] if vae else z)
    latent = keras.Input((UNITS,))
    values = int(np.prod(SMALL.shape))
    x = keras.layers.Dense(values, "sigmoid", kernel_initializer=start)(latent)
    decoder = keras.Model(latent, keras.layers.Reshape(SMALL.shape)(x))
    return {"encoder": encoder, "decoder": decoder}


@pytest.fixture
def projected(small_store, tmp_path) -> Bundle:
    """A bundle with the autoencoders ae and vae, and nothing else."""
    bundle = create_bundle(tmp_path / "bundle", small_store.words, SMALL)
    bundle.add("ae", projections(0), about={"kind": "ae"})
    bundle.add("vae", projections(1, vae=True), about={"kind": "vae"})
    return bundle


def fitted(bundle: Bundle, store: Store, name: str = "ae-denoiser", **settings) -> Bundle:
    return train(store, bundle.root, only=[name], **{"epochs": 40, **settings})


def test_a_denoiser_leaves_less_of_the_noise_and_is_opened_by_the_prior(projected, small_store):
    before = digests(projected.root)
    bundle = fitted(projected, small_store, epochs=150)
    assert before.items() <= digests(bundle.root).items()
    part = bundle.component("ae-denoiser")
    assert part.about["kind"] == "denoiser"
    assert part.about["autoencoder"] == autoencoder_identity(bundle.component("ae"))
    assert part.about["noise"] == list(NOISE)
    assert part.about["provenance"]["epochs_run"] == 150
    encoder = bundle.component("ae").model("encoder")
    clean = encoded(encoder, small_store, "testing")
    deviation = np.sqrt(np.mean(np.square(clean - clean.mean(axis=0))))
    noise = 1.5 * deviation * np.random.default_rng(0).normal(size=clean.shape)
    noisy = (clean + noise).astype(np.float32)
    moved = noisy + priors.ae(bundle, learned_pull=1.0).move(noisy, step=0, seeds=None)
    np.testing.assert_allclose(moved, part.model("denoiser")(noisy), atol=1e-5)
    left = np.mean(np.square(moved - clean)) / np.mean(np.square(noise))
    assert left < 0.5
    assert 0 < part.figures["noise_left"] < 0.5
    assert part.figures["split"] == "testing"
    assert part.figures["utterances"] == len(clean)


def test_curves_are_kept_and_a_killed_training_ends_the_same(projected, small_store, tmp_path):
    class StopError(Exception):
        pass

    def stop(name: str, row: dict) -> None:
        if row["epoch"] == 3:
            raise StopError

    shutil.copytree(projected.root, tmp_path / "killed")
    whole = fitted(projected, small_store, epochs=5).component("ae-denoiser")
    killed = Bundle(tmp_path / "killed")
    with pytest.raises(StopError):
        fitted(killed, small_store, epochs=5, announce=stop)
    again = fitted(killed, small_store, epochs=5).component("ae-denoiser")
    with open(again.root / "curves.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "epochs", "loss", "val_loss"]
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert again.files["curves.csv"] == whole.files["curves.csv"]
    z = np.ones((1, UNITS), np.float32)
    np.testing.assert_array_equal(again.model("denoiser")(z), whole.model("denoiser")(z))


def test_the_latent_of_a_vae_is_its_mean(projected, small_store):
    encoder = projected.component("vae").model("encoder")
    latents = np.asarray(encoder(small_store.batch(small_store.split("training")))[0])
    read = read_latents(encoder, small_store)
    spread = np.sqrt(np.mean(np.square(latents - latents.mean(axis=0))))
    assert read.deviation == pytest.approx(spread, rel=1e-4)
    assert read.training.std() == pytest.approx(1, rel=1e-3)
    bundle = fitted(projected, small_store, "vae-denoiser", epochs=1)
    assert priors.vae(bundle, learned_pull=0.3).denoiser is not None


def test_a_denoiser_is_kept_and_fitted_again_once_its_autoencoder_is_another(
    projected, small_store
):
    bundle = fitted(projected, small_store, epochs=1)
    before = bundle.component("ae-denoiser").files
    assert fitted(bundle, small_store, epochs=2).component("ae-denoiser").files == before
    bundle.add("ae", projections(7), about={"kind": "ae"})
    message = "ae-denoiser of .* was fitted to another autoencoder than .*ae; remove it"
    with pytest.raises(BundleError, match=message) as caught:
        priors.ae(Bundle(bundle.root), learned_pull=0.3)
    assert "\n" not in str(caught.value)
    again = fitted(bundle, small_store, epochs=1)
    assert priors.ae(again, learned_pull=0.3).denoiser is not None


def test_weights_that_were_unscaled_take_latents_as_they_are():
    generator = np.random.default_rng(0)
    denoiser = build_denoiser(5, hidden=7, seed=3)
    denoiser.set_weights([generator.normal(size=w.shape) for w in denoiser.get_weights()])
    mean, deviation = generator.normal(size=5).astype(np.float32), 0.2
    z = generator.normal(size=(4, 5)).astype(np.float32)
    expected = mean + deviation * np.asarray(denoiser((z - mean) / deviation))
    unscale(denoiser, mean, deviation)
    np.testing.assert_allclose(denoiser(z), expected, rtol=1e-4, atol=1e-4)


def test_without_its_autoencoder_there_is_nothing_to_fit(call, small_store, tmp_path):
    done = call("train", small_store.root, tmp_path / "bundle", "--only", "vae-denoiser")
    assert_one_line(done, "latents of vae, but the bundle .* has none; train both: --only vae,vae-")


def test_latents_that_say_nothing_are_refused(projected, small_store):
    parts = projections(0)
    parts["encoder"].set_weights([np.zeros_like(w) for w in parts["encoder"].get_weights()])
    projected.add("ae", parts)
    with pytest.raises(ParameterError, match=r"deviate by 0\.0 from their mean; expected"):
        fitted(projected, small_store, epochs=1)
