"""Bundles on disk: what is written, what is checked, what is refused."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from keras_listen.errors import BundleError, ModelError, RunError, SpecError
from keras_listen.features import FeatureSpec
from keras_listen.models.bundle import REFEREES, Bundle, create_bundle, load_bundle
from keras_listen.models.formats.keras_file import open_model, save_model
from keras_listen.output.files import sha256
from keras_listen.vocoders.wavenet.network import WaveNetConfig, build_wavenet

WORDS = ("no", "stop", "yes")
SPEC = FeatureSpec(frames=24, n_mels=24)


def small_model(seed: int = 0) -> keras.Model:
    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input(SPEC.shape, name="features")
    x = layers.Flatten()(layers.Conv2D(4, 5, strides=4, activation="relu", name="conv")(x))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(x), name="small")


def features(batch: int = 4) -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(batch, *SPEC.shape)).astype(np.float32)


def outputs(model: keras.Model) -> np.ndarray:
    return np.asarray(model(features(), training=False))


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A bundle with a classifier and no more."""
    made = create_bundle(tmp_path / "bundle", WORDS, SPEC, {"corpus": "synthetic"})
    made.add("classifier", {"model": small_model()}, about={"kind": "classifier"})
    return made


def state_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in files
    }


def test_what_was_put_in_comes_out(bundle):
    array = np.arange(6.0).reshape(2, 3)
    bundle.add(
        "ours",
        {"encoder": small_model(1), "decoder": small_model(2)},
        arrays={"mean": array},
        texts={"curves.csv": "epoch\n1\n"},
        about={"kind": "ours", "figures": {"loss": 0.5}},
    )
    again = load_bundle(bundle.root)
    assert again.words == WORDS
    assert again.spec == SPEC
    assert again.about["provenance"]["corpus"] == "synthetic"
    assert again.about["provenance"]["versions"]["keras"] == keras.__version__
    assert again.names() == ["classifier", "ours"]
    component = again.component("ours")
    assert component.figures == {"loss": 0.5}
    np.testing.assert_array_equal(component.arrays["mean"], array)
    np.testing.assert_array_equal(outputs(component.model("encoder")), outputs(small_model(1)))
    np.testing.assert_array_equal(outputs(component.model("decoder")), outputs(small_model(2)))
    assert (component.root / "curves.csv").read_text() == "epoch\n1\n"
    assert again.component("classifier").arrays == {}


def test_a_model_with_several_outputs_keeps_them(bundle):
    x = keras.Input((5,))
    model = keras.Model(x, [layers.Dense(2)(x), layers.Dense(3)(x)])
    bundle.add("vae", {"encoder": model})
    values = np.ones((1, 5), np.float32)
    opened = Bundle(bundle.root).component("vae").model("encoder")
    for found, expected in zip(opened(values), model(values), strict=True):
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


def test_classifier_and_referee_speak_the_bundles_words(bundle):
    assert bundle.referee is None
    bundle.add("referee", {"model": small_model(7)})
    again = Bundle(bundle.root)
    assert again.referee.words == WORDS
    assert again.referee.spec == SPEC
    found = again.classifier.predict(features())
    np.testing.assert_allclose(found, outputs(small_model()), atol=1e-6)
    np.testing.assert_allclose(
        again.referee.predict(features()), outputs(small_model(7)), atol=1e-6
    )


def test_referees_are_those_the_bundle_has_in_a_fixed_order(bundle):
    assert bundle.referees == {}
    bundle.add("separable", {"model": small_model(8)})
    assert list(Bundle(bundle.root).referees) == ["separable"]
    bundle.add("residual", {"model": small_model(9)})
    bundle.add("referee", {"model": small_model(7)})
    again = Bundle(bundle.root)
    assert list(again.referees) == ["referee", "residual", "separable"]
    assert again.referees["referee"] is again.referee
    for (name, referee), seed in zip(again.referees.items(), (7, 9, 8), strict=True):
        assert referee.words == WORDS
        assert referee.spec == SPEC
        assert referee.what == f"{name} of the bundle {bundle.root}"
        np.testing.assert_allclose(
            referee.predict(features()), outputs(small_model(seed)), atol=1e-6
        )


def test_the_embedded_bundles_referees_are_found():
    embedded = load_bundle()
    kept = [name for name in REFEREES if name in embedded.names()]
    assert list(embedded.referees) == kept
    assert "referee" in kept


def test_a_classifier_that_does_not_fit_the_bundle_is_named(bundle):
    x = keras.Input(SPEC.shape)
    model = keras.Model(x, layers.Dense(5)(layers.Flatten()(x)))
    bundle.add("classifier", {"model": model})
    message = "classifier of the bundle .* has 5 outputs, but there are 3 words"
    with pytest.raises(ModelError, match=message):
        _ = Bundle(bundle.root).classifier


def test_adding_a_component_touches_no_other_file(bundle):
    before = state_of(bundle.root)
    bundle.add("referee", {"model": small_model(1)})
    bundle.describe("referee", figures={"accuracy": 0.5})
    after = state_of(bundle.root)
    assert {name: after[name] for name in before} == before
    assert {name.partition("/")[0] for name in set(after) - set(before)} == {"referee"}
    assert Bundle(bundle.root).component("referee").figures == {"accuracy": 0.5}


def test_a_component_of_the_same_name_is_replaced(bundle):
    bundle.add("classifier", {"other": small_model(3)})
    component = bundle.component("classifier")
    assert set(component.files) == {"other.keras"}
    np.testing.assert_array_equal(outputs(component.model("other")), outputs(small_model(3)))


def change_last_byte(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


@pytest.mark.parametrize("name", ["model.keras", "arrays.npz", "notes.txt"])
def test_a_changed_file_is_one_clear_error(bundle, name):
    model = {"model": small_model()}
    bundle.add("ours", model, arrays={"a": np.ones(3)}, texts={"notes.txt": "hello"})
    change_last_byte(bundle.root / "ours" / name)
    again = Bundle(bundle.root)
    with pytest.raises(
        BundleError, match=rf"checksum of .*ours/{name} is off: the file was changed"
    ):
        again.component("ours")
    # The others still open.
    assert again.component("classifier").model().name == "small"


def test_a_missing_file_is_named(bundle):
    (bundle.root / "classifier" / "model.keras").unlink()
    with pytest.raises(BundleError, match=r"file .*classifier/model\.keras is missing"):
        _ = Bundle(bundle.root).classifier


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"files": 3}'])
def test_a_damaged_description_is_named(bundle, content):
    (bundle.root / "classifier" / "component.json").write_text(content)
    with pytest.raises(BundleError, match=r"classifier/component\.json is damaged"):
        Bundle(bundle.root).component("classifier")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"schema": 1, "words": ["a"], "spec": 3}'])
def test_a_damaged_bundle_file_is_named(bundle, content):
    (bundle.root / "bundle.json").write_text(content)
    with pytest.raises(BundleError, match=r"bundle\.json is damaged"):
        Bundle(bundle.root)


def test_another_version_is_refused(bundle):
    path = bundle.root / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 99}))
    with pytest.raises(BundleError, match="has version 99, this program reads 1; train it again"):
        Bundle(bundle.root)


def test_a_folder_that_is_no_bundle_says_how_to_make_one(tmp_path):
    with pytest.raises(BundleError, match=r"is no bundle .*keras-listen train STORE BUNDLE"):
        load_bundle(tmp_path)


def test_an_unknown_component_gets_its_nearest_match(bundle):
    with pytest.raises(
        BundleError, match=r"'clasifier'; did you mean 'classifier'\? known: classif"
    ):
        bundle.component("clasifier")


def test_an_unknown_part_gets_its_nearest_match(bundle):
    with pytest.raises(BundleError, match=r"in component classifier .*did you mean 'model\.keras'"):
        bundle.component("classifier").model("modell")


def test_a_bundle_is_opened_again_for_the_same_words_and_features(bundle):
    before = state_of(bundle.root)
    again = create_bundle(bundle.root, WORDS, SPEC)
    assert again.names() == ["classifier"]
    assert state_of(bundle.root) == before


def test_a_bundle_of_other_words_is_refused(bundle):
    with pytest.raises(
        BundleError, match=r"other words \(no, stop, yes\) than the store \(no, yes\)"
    ):
        create_bundle(bundle.root, ("no", "yes"), SPEC)


def test_a_bundle_of_other_features_is_refused(bundle):
    with pytest.raises(SpecError, match=r"the bundle .* other features: n_mels 24 instead of 40"):
        create_bundle(bundle.root, WORDS, FeatureSpec(frames=24, n_mels=40))


def test_a_bundle_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"cannot make the folder .*file/bundle"):
        create_bundle(tmp_path / "file" / "bundle", WORDS, SPEC)


def test_a_component_that_cannot_be_written_is_named(bundle):
    (bundle.root / "referee").write_text("in the way")
    with pytest.raises(RunError, match=r"cannot write .*/referee: (?!None)"):
        bundle.add("referee", {"model": small_model()})
    assert bundle.names() == ["classifier"]


def test_a_failed_component_leaves_the_old_one(bundle):
    class UnsavableError(Exception):
        pass

    class Broken:
        @property
        def inputs(self):
            raise UnsavableError

    before = state_of(bundle.root / "classifier")
    with pytest.raises(UnsavableError):
        bundle.add("classifier", {"model": Broken()})
    assert state_of(bundle.root / "classifier") == before
    assert Bundle(bundle.root).names() == ["classifier"]


def test_a_compact_file_is_an_ordinary_one_with_rounded_weights(tmp_path):
    model = small_model()
    model.get_layer("conv").kernel.assign_add(np.full((5, 5, 1, 4), 1e-4, np.float32))
    save_model(model, tmp_path / "whole.keras")
    save_model(model, tmp_path / "compact.keras", compact=True)
    opened = keras.saving.load_model(tmp_path / "compact.keras")
    for found, weight in zip(opened.get_weights(), model.get_weights(), strict=True):
        assert found.dtype == np.float32
        halved = weight.astype(np.float16)
        if weight.ndim < 2:
            np.testing.assert_array_equal(found, halved.astype(np.float32))
        else:
            # 8 significant bits, as bfloat16; below float16's normal numbers fewer.
            np.testing.assert_allclose(found, halved.astype(np.float32), rtol=2**-8, atol=2**-22)
            assert not (found.astype(np.float16).view(np.uint16) & 0b111).any()
        assert weight.std() == 0 or not np.array_equal(found, weight)
    np.testing.assert_allclose(outputs(opened), outputs(model), atol=4e-3)


def test_weights_of_a_compact_file_are_those_of_bfloat16(tmp_path):
    model = small_model()
    kernel = np.linspace(-3, 3, 100, dtype=np.float32).reshape(5, 5, 1, 4)
    model.get_layer("conv").kernel.assign(kernel)
    save_model(model, tmp_path / "compact.keras", compact=True)
    opened = keras.saving.load_model(tmp_path / "compact.keras")
    expected = kernel.astype(np.float16).astype("bfloat16").astype(np.float32)
    np.testing.assert_array_equal(opened.get_layer("conv").kernel, expected)


def test_a_compact_file_is_two_fifths_of_the_size(tmp_path):
    model = keras.Sequential([keras.Input((400,)), keras.layers.Dense(400)])
    save_model(model, tmp_path / "whole.keras")
    save_model(model, tmp_path / "compact.keras", compact=True)
    whole, compact = ((tmp_path / f"{n}.keras").stat().st_size for n in ("whole", "compact"))
    assert compact / whole == pytest.approx(0.4, abs=0.04)


def test_a_saved_model_has_no_optimizer(tmp_path):
    model = small_model()
    model.compile("adam", "mse")
    model.fit(features(), np.eye(3)[[0, 1, 2, 0]], verbose=0)
    save_model(model, tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        weights = h5py.File(io.BytesIO(archive.read("model.weights.h5")))
    assert "optimizer" not in weights
    opened = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(outputs(opened), outputs(model))


def test_a_missing_model_file_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"there is no model file .*gone\.keras"):
        open_model(tmp_path / "gone.keras")


def test_another_format_says_how_to_convert(tmp_path):
    (tmp_path / "model.h5").write_bytes(b"old")
    with pytest.raises(
        ModelError, match=r"model\.h5 is no HDF5 file: .*model\.save\('model\.keras"
    ):
        open_model(tmp_path / "model.h5")


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_truncated_model_is_damaged(tmp_path, share):
    path = tmp_path / "model.keras"
    save_model(small_model(), path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(
        ModelError, match=r"model\.keras is damaged: it is no complete \.keras archive"
    ):
        open_model(path)


def rewrite(path: Path, **changes) -> None:
    """Replace members of an archive; None drops one."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members |= {
        name.replace("_json", ".json").replace("_h5", ".weights.h5"): data
        for name, data in changes.items()
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            if data is not None:
                archive.writestr(name, data)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"config_json": b"{"}, r"its config\.json is damaged"),
        ({"config_json": None}, r"it has no config\.json"),
        ({"model_h5": b"no weights"}, r"its model\.weights\.h5 is damaged"),
        ({"model_h5": None}, r"it has no model\.weights\.h5"),
    ],
)
@pytest.mark.parametrize("folder", ["models", "lambda-unsafe"])
def test_a_damaged_archive_is_an_error_that_says_so(tmp_path, changes, said, folder):
    path = tmp_path / folder / "model.keras"
    path.parent.mkdir()
    save_model(small_model(), path)
    rewrite(path, **changes)
    with pytest.raises(ModelError, match=rf"cannot open the model .*{said}.*; download or save"):
        open_model(path)


def with_lambda() -> keras.Model:
    x = inputs = keras.Input(SPEC.shape)
    x = layers.Lambda(lambda v: 2 * v)(x)
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))


def test_a_model_with_code_is_opened_only_when_trusted(tmp_path):
    path = tmp_path / "model.keras"
    model = with_lambda()
    model.save(path)
    with pytest.raises(ModelError, match=r"it holds Python code \(a lambda\).*trust=True"):
        open_model(path)
    np.testing.assert_allclose(outputs(open_model(path, trust=True)), outputs(model), atol=1e-6)


def test_a_model_with_a_class_of_its_own_names_it(tmp_path):
    class Whistle(layers.Layer):
        def call(self, x):
            return x

    x = keras.Input(SPEC.shape)
    keras.Model(x, layers.Dense(3)(layers.Flatten()(Whistle()(x)))).save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match=r"needs a custom class .*Whistle.*register it"):
        open_model(tmp_path / "model.keras")


def test_every_embedded_model_opens_in_a_process_that_imported_nothing_else():
    # The WaveNet first: its file holds layers of our own, which Keras knows once they are imported.
    script = """
import sys
from keras_listen import load_bundle
bundle = load_bundle()
assert "keras_listen.vocoders.wavenet.network" not in sys.modules
for name in sorted(bundle.names(), reverse=True):
    for file in bundle.component(name).files:
        if file.endswith(".keras"):
            print(name, bundle.component(name).model(file.removesuffix(".keras")).name)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n") == [
        "wavenet wavenet",
        "vae-denoiser denoiser",
        "vae decoder",
        "vae encoder",
        "separable separable",
        "residual residual",
        "referee classifier",
        "diffusion denoiser",
        "conv-ae decoder",
        "conv-ae encoder",
        "classifier classifier",
        "ae-denoiser denoiser",
        "ae decoder",
        "ae encoder",
        "",
    ]


def test_a_wavenet_from_before_opens_and_answers_as_it_did(bundle):
    """Its file names the module that its layers once stood in, and lacks settings added since."""
    config = WaveNetConfig(
        output="gaussian",
        out_channels=2,
        layers=2,
        stacks=1,
        residual_channels=4,
        gate_channels=4,
        skip_channels=4,
        conditioning_channels=3,
        upsample_scales=(2,),
    )
    model = build_wavenet(config)
    bundle.add("wavenet", {"model": model}, about={"kind": "wavenet", "config": config.to_dict()})
    path = bundle.root / "wavenet" / "model.keras"
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    settings = json.loads(parts["config.json"])
    own = [each for each in settings["config"]["layers"] if each["class_name"] == "ResidualLayer"]
    for layer in own:
        layer["module"] = "keras_listen.models.wavenet"
        assert layer["config"].pop("causal") is True
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**parts, "config.json": json.dumps(settings)}.items():
            archive.writestr(name, data)
    bundle.describe("wavenet", files={"model.keras": sha256(path)})
    opened = load_bundle(bundle.root).component("wavenet").model()
    assert len(own) == 2
    assert type(opened.get_layer("layer_0")).__module__ == "keras_listen.vocoders.wavenet.network"
    draws = np.random.default_rng(0)
    inputs = {"samples": draws.normal(size=(1, 8, 1)), "features": draws.random((1, 4, 3))}
    np.testing.assert_array_equal(*(each(inputs, training=False) for each in (model, opened)))
