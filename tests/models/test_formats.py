"""Model files are told by their contents, opened with builders and imports, or refused by name."""

from __future__ import annotations

import shutil
import sys
import textwrap
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from keras_listen.errors import ModelError
from keras_listen.models.formats.builder import import_modules
from keras_listen.models.formats.keras_file import open_model


def network() -> keras.Model:
    x = inputs = keras.Input((12, 6))
    x = layers.Conv1D(4, 3, name="conv")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Bidirectional(layers.LSTM(3), name="rnn")(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax", name="last")(x))


@pytest.fixture
def trained() -> keras.Model:
    """The network with weights of its own."""
    model = network()
    rng = np.random.default_rng(2)
    model.set_weights([rng.uniform(0.1, 0.6, w.shape) for w in model.get_weights()])
    return model


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A function that writes a module into the current folder and returns its name."""
    monkeypatch.chdir(tmp_path)
    written = []

    def write(source: str) -> str:
        written.append(f"own_module_{len(written)}_{tmp_path.name}")
        (tmp_path / f"{written[-1]}.py").write_text(textwrap.dedent(source))
        return written[-1]

    yield write
    for name in written:
        sys.modules.pop(name, None)


#: A module that builds the network under other names of layers.
BUILDER = """
    import keras
    from keras import layers

    def build():
        x = inputs = keras.Input((12, 6))
        x = layers.Conv1D(4, 3)(x)
        x = layers.BatchNormalization()(x)
        x = layers.Bidirectional(layers.LSTM(3))(x)
        return keras.Model(inputs, layers.Dense(3, activation="softmax")(x))

    def other():
        x = inputs = keras.Input((12, 6))
        return keras.Model(inputs, layers.Dense(5)(layers.Flatten()(x)))

    def wrong():
        return 7

    def failing(argument):
        return argument
"""


def sounds(shape: tuple[int, ...] = (5, 12, 6)) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def outputs(model: keras.Model, values: np.ndarray | None = None) -> np.ndarray:
    return np.asarray(model(sounds() if values is None else values, training=False))


def refused(path: Path, **options) -> str:
    with pytest.raises(ModelError) as error:
        open_model(path, **options)
    text = str(error.value)
    assert "\n" not in text
    assert "newer" not in text
    return text


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "download", "model.weights.h5.keras"])
def test_a_whole_model_opens_whatever_its_file_is_called(tmp_path, trained, name):
    place = tmp_path / ("saved.h5" if "." not in name or name.endswith(".h5") else "saved.keras")
    trained.save(place)
    opened = open_model(place.rename(tmp_path / name))
    assert type(opened).__name__ == "Functional"
    np.testing.assert_allclose(outputs(opened), outputs(trained), atol=1e-6)


def test_a_sequential_model_is_opened_as_a_functional_one(tmp_path):
    model = keras.Sequential([keras.Input((12, 6)), layers.Flatten(), layers.Dense(3)], name="mine")
    model.save(tmp_path / "model.keras")
    opened = open_model(tmp_path / "model.keras")
    assert not isinstance(opened, keras.Sequential)
    assert (opened.name, opened.input_shape, opened.output_shape) == (
        "mine",
        (None, 12, 6),
        (None, 3),
    )
    np.testing.assert_array_equal(outputs(opened), outputs(model))


@pytest.mark.parametrize(
    "name", ["model.keras", "model.h5", "model.weights.h5", "renamed.h5", "renamed"]
)
def test_weights_are_loaded_into_what_a_builder_builds(tmp_path, trained, module, name):
    saved = tmp_path / (name if "renamed" not in name else "saved.weights.h5")
    (trained.save_weights if "weights" in saved.name else trained.save)(saved)
    saved.rename(tmp_path / name)
    model = open_model(tmp_path / name, builder=f"{module(BUILDER)}:build")
    assert [layer.name for layer in model.layers] != [layer.name for layer in trained.layers]
    np.testing.assert_allclose(outputs(model), outputs(trained), atol=1e-6)


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "model.weights.h5"])
def test_weights_of_another_network_are_refused(tmp_path, trained, module, name):
    (trained.save_weights if "weights" in name else trained.save)(tmp_path / name)
    said = refused(tmp_path / name, builder=f"{module(BUILDER)}:other")
    assert f"the weights in {tmp_path / name} do not fit the network that was built" in said
    assert said.endswith("build the network that they were saved from")


def test_weights_alone_need_a_builder(tmp_path, trained):
    trained.save_weights(tmp_path / "model.weights.h5")
    said = refused(tmp_path / "model.weights.h5")
    assert "holds weights without a network" in said
    assert "builder (--model MODULE:FUNCTION)" in said


@pytest.mark.parametrize(
    ("builder", "said"),
    [
        ("own.py", "'own.py' is not of the form module:function; .*network:build"),
        ("networks/own:build", "is not of the form module:function"),
        ("no_such_module:build", "there is no module no_such_module .* run in the folder"),
        ("{}:nothing", "has no nothing"),
        ("{}:wrong", r"returned builtins\.int, expected a keras\.Model"),
        ("{}:failing", "failed: TypeError: .*without arguments"),
    ],
)
def test_a_builder_that_cannot_be_used(tmp_path, trained, module, builder, said):
    trained.save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match=said):
        open_model(tmp_path / "model.keras", builder=builder.format(module(BUILDER)))


def test_a_module_that_fails_is_named(tmp_path, trained, module):
    trained.save(tmp_path / "model.keras")
    name = module("import no_such_package\n")
    said = refused(tmp_path / "model.keras", imports=[name])
    assert f"the module {name} (import) failed: ModuleNotFoundError" in said


def test_a_custom_layer_is_named_and_there_after_an_import(tmp_path, module):
    source = """
        import keras

        @keras.saving.register_keras_serializable("own")
        class Doubled(keras.layers.Layer):
            def call(self, x):
                return 2 * x
    """
    name = module(source)
    x = keras.Input((12, 6))
    import_modules([name])
    keras.Model(x, sys.modules[name].Doubled()(x)).save(tmp_path / "model.keras")
    # As in another process: neither imported nor registered.
    del sys.modules[name], keras.saving.get_custom_objects()["own>Doubled"]
    said = refused(tmp_path / "model.keras")
    assert "needs a custom class that is not there (Doubled)" in said
    assert "name its module as an import" in said
    opened = open_model(tmp_path / "model.keras", imports=[name])
    np.testing.assert_array_equal(outputs(opened), 2 * sounds())


def test_code_in_an_h5_file_of_keras_3_needs_trust(tmp_path):
    x = keras.Input((12, 6))
    keras.Model(x, layers.Lambda(lambda v: 3 * v, output_shape=(12, 6))(x)).save(tmp_path / "a.h5")
    assert "it holds Python code (a lambda)" in refused(tmp_path / "a.h5")
    opened = open_model(tmp_path / "a.h5", trust=True)
    np.testing.assert_allclose(outputs(opened), 3 * sounds(), rtol=1e-6)


def test_a_file_of_a_later_keras_is_told_so(tmp_path, trained):
    trained.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["metadata.json"] = b'{"keras_version": "99.1.0"}'
    members["config.json"] = members["config.json"].replace(b'"Conv1D"', b'"Conv1DNext"')
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(ModelError, match=r"model\.keras, written by Keras 99\.1\.0: "):
        open_model(tmp_path / "model.keras")


def test_an_unzipped_archive_is_named_and_opens_zipped(tmp_path, trained):
    trained.save(tmp_path / "model.keras")
    folder = tmp_path / "unzipped"
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        archive.extractall(folder)
    assert "is an unzipped .keras archive; zip its files again" in refused(folder)
    shutil.make_archive(str(tmp_path / "again"), "zip", folder)
    opened = open_model(tmp_path / "again.zip")
    np.testing.assert_allclose(outputs(opened), outputs(trained), atol=1e-6)
