"""Fitting: what it learns, where it is kept, and what it refuses."""

from __future__ import annotations

import csv
import json
import shutil
import sys

import numpy as np
import pytest
from conftest import UNITS, make_bundle
from keras_listen_ppgn import fit, ppgn
from keras_listen_ppgn.__main__ import main

from keras_listen import Bundle, FeatureSpec, Store, load_bundle
from keras_listen.errors import BundleError, CorpusError, ParameterError, SpecError
from keras_listen.models.bundle import create_bundle


def encoded(bundle, store, split: str) -> np.ndarray:
    features = store.batch(store.split(split))
    return np.asarray(bundle.component("ae").model("encoder")(features))


def test_fitting_leaves_less_of_the_noise_in_latents_it_has_not_seen(bundle, store):
    rows = []
    fit(bundle, store, epochs=60, report=rows.append)
    assert [row["epoch"] for row in rows] == list(range(1, 61))
    assert min(row["validation"] for row in rows) < 0.5 * rows[0]["validation"]

    training, testing = (encoded(bundle, store, split) for split in ("training", "testing"))
    deviation = np.sqrt(np.mean(np.square(training - training.mean(axis=0))))
    noise = 1.5 * deviation * np.random.default_rng(0).normal(size=testing.shape)
    disturbed = (testing + noise).astype(np.float32)
    moved = disturbed + ppgn(bundle, pull=1.0).move(disturbed, step=0, seeds=None)

    def distance(z):
        return np.sqrt(np.mean(np.square(z - testing), axis=1))

    assert (distance(moved) < distance(disturbed)).mean() > 0.9
    assert distance(moved).mean() < 0.5 * distance(disturbed).mean()
    # It knows more than where the middle of all latents is.
    assert distance(moved).mean() < 0.8 * distance(training.mean(axis=0)).mean()


def test_what_was_fitted_is_a_component_that_the_prior_opens(bundle, store, tmp_path):
    before = {path: path.read_bytes() for path in bundle.root.rglob("*") if path.is_file()}
    component = fit(bundle, store, epochs=3)
    assert component.root == bundle.root / "ppgn-ae"
    assert all(path.read_bytes() == content for path, content in before.items())
    opened = ppgn(Bundle(bundle.root))
    z = np.random.default_rng(0).normal(size=(4, UNITS)).astype(np.float32)
    expected = 0.3 * (component.model("denoiser")(z) - z)
    np.testing.assert_allclose(opened.move(z, step=0, seeds=None), expected, atol=1e-6)

    apart = fit(bundle, store, epochs=3, out=tmp_path / "apart")
    assert apart.root == tmp_path / "apart" / "ppgn-ae"
    there = ppgn(Bundle(bundle.root), denoiser=str(tmp_path / "apart"))
    np.testing.assert_array_equal(
        there.move(z, step=0, seeds=None), opened.move(z, step=0, seeds=None)
    )


def test_provenance_and_curves_are_kept_beside(bundle, store):
    component = fit(bundle, store, epochs=4, hidden=12, seed=5)
    about = json.loads((component.root / "component.json").read_text(encoding="utf-8"))
    assert about["kind"] == "denoiser"
    assert about["autoencoder"]["encoder.keras"] == bundle.component("ae").files["encoder.keras"]
    made = about["provenance"]
    assert (made["epochs"], made["hidden"], made["seed"]) == (4, 12, 5)
    assert made["utterances"] == {"training": 120, "validation": 40}
    with open(component.root / "curves.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    best = min(rows, key=lambda row: float(row["validation"]))
    assert about["figures"]["epoch"] == int(best["epoch"])


def test_the_seed_decides(bundle, store, tmp_path):
    one, two, other = (
        fit(bundle, store, epochs=2, seed=seed, out=tmp_path / name).model("denoiser")
        for name, seed in (("one", 0), ("two", 0), ("other", 1))
    )
    z = np.ones((1, UNITS), np.float32)
    np.testing.assert_array_equal(one(z), two(z))
    assert np.abs(one(z) - other(z)).max() > 1e-4


def test_a_vae_is_encoded_to_its_mean(embedded, store, spec, bundle):
    import keras

    inputs = keras.Input(spec.shape)
    mean = keras.layers.Dense(3, name="mean")(keras.layers.Flatten()(inputs))
    encoder = keras.Model(inputs, [mean, 5 * mean])
    values = int(np.prod(spec.shape))
    decoder = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(values), keras.layers.Reshape(spec.shape)]
    )
    bundle.add("vae", {"encoder": encoder, "decoder": decoder})
    component = fit(bundle, store, weights="vae", epochs=1)
    assert component.name == "ppgn-vae"
    latents = np.asarray(encoder(store.batch(store.split("training")))[0])
    spread = np.sqrt(np.mean(np.square(latents - latents.mean(axis=0))))
    assert component.figures["deviation"] == pytest.approx(spread, rel=1e-4)
    assert ppgn(bundle, weights="vae").denoiser is not None


def test_what_does_not_fit_is_refused(bundle, spec, store, tmp_path):
    empty = create_bundle(tmp_path / "empty", bundle.words, spec)
    with pytest.raises(BundleError, match="no component is called 'ae'"):
        fit(empty, store)
    wider = make_bundle(tmp_path / "wider", FeatureSpec(frames=20, n_mels=16))
    with pytest.raises(SpecError, match="frames"):
        fit(wider, store)
    with pytest.raises(SpecError, match="frames"):
        fit(load_bundle(), store)
    with pytest.raises(ParameterError, match="epochs is 0; expected at least 1"):
        fit(bundle, store, epochs=0)
    with pytest.raises(ParameterError, match="hidden is -3; expected at least 1"):
        fit(bundle, store, hidden=-3)
    with pytest.raises(CorpusError, match="is no store"):
        fit(bundle, tmp_path / "nowhere")


def test_a_split_without_utterances_is_refused(bundle, store, tmp_path):
    shutil.copytree(store.root, tmp_path / "store")
    index = tmp_path / "store" / "index.csv"
    index.write_text(index.read_text(encoding="utf-8").replace(",validation", ",training"))
    with pytest.raises(CorpusError, match="no validation utterance"):
        fit(bundle, Store.open(tmp_path / "store"))


@pytest.mark.parametrize(("value", "said"), [(0, r"0\.0"), (np.nan, "nan")])
def test_latents_that_say_nothing_are_refused(bundle, store, value, said):
    component = bundle.component("ae")
    encoder = component.model("encoder")
    encoder.set_weights([np.full_like(values, value) for values in encoder.get_weights()])
    bundle.add("ae", {"encoder": encoder, "decoder": component.model("decoder")})
    with pytest.raises(ParameterError, match=f"deviate by {said} from their mean; expected"):
        fit(bundle, store)


@pytest.fixture
def call(monkeypatch, capsys):
    """A function that runs the command and returns status, output and complaints."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["keras-listen-ppgn", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        said = capsys.readouterr()
        return exit_.value.code, said.out, said.err

    return call


def test_the_command_fits_and_says_where(call, bundle, store):
    status, out, err = call("fit", store.root, bundle.root, "--epochs", 10, "--hidden", 16)
    assert (status, err) == (0, "")
    shown, where = out.splitlines()
    assert shown.startswith("epoch 10: noise left 0.")
    assert where == f"denoiser: {bundle.root / 'ppgn-ae'}"
    assert ppgn(Bundle(bundle.root)).denoiser.get_layer("dense_1").units == 16


def test_the_command_complains_in_one_line(call, bundle, store, tmp_path):
    status, _, err = call("fit", tmp_path / "nowhere", bundle.root)
    assert status == 1
    assert err.count("\n") == 1
    assert err.startswith("keras-listen-ppgn: ")
    assert "is no store" in err
    status, _, err = call("fit", store.root)
    assert status == 2
    assert "name a BUNDLE to add to, or --out FOLDER" in err
    status, _, err = call("fit", store.root, bundle.root, "--weights", "vae")
    assert status == 1
    assert "no component is called 'vae'" in err
    (tmp_path / "file").touch()
    status, _, err = call("fit", store.root, bundle.root, "--out", tmp_path / "file" / "folder")
    assert status == 1
    assert err.startswith(f"keras-listen-ppgn: cannot write {tmp_path / 'file' / 'folder'}: ")
