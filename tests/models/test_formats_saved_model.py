"""SavedModel folders open as functional models through which gradients flow."""

from __future__ import annotations

import gc
import shutil
import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from tensorflow.core.protobuf import saved_model_pb2

from keras_listen.errors import ModelError
from keras_listen.models.formats.keras_file import open_model

RATE = 800


class Sound(tf.Module):
    """A classifier of sounds of one length: log-spectrogram, mean over time, matrix."""

    def __init__(self):
        super().__init__()
        self.matrix = tf.Variable(tf.random.stateless_normal((33, 4), (1, 2)))

    def logits(self, sounds):
        spectra = tf.abs(tf.signal.stft(sounds, 64, 32))
        return tf.math.log(tf.reduce_mean(spectra, axis=1) + 1e-2) @ self.matrix

    @tf.function
    def __call__(self, sounds):
        if sounds.dtype == tf.string:
            sounds = tf.audio.decode_wav(tf.io.read_file(sounds), 1, RATE).audio[None, :, 0]
        logits = self.logits(sounds)
        best = tf.argmax(logits, axis=-1)
        return {"predictions": logits, "class": best, "name": tf.gather(list("abcd"), best)}

    @tf.function
    def plain(self, sounds):
        return self.logits(sounds)

    @tf.function
    def alone(self, sound):
        return self.logits(sound[None])[0]

    @tf.function
    def rounded(self, sounds):
        return self.logits(tf.cast(sounds, tf.float32))

    @tf.function
    def score(self, sounds):
        return tf.sigmoid(self.logits(tf.cast(sounds, tf.float32)))[:, 1]

    @tf.function
    def looped(self, sounds):
        each = tf.map_fn(lambda sound: self.logits(sound[None])[0], sounds)
        return {"a": tf.argmax(each, axis=-1), "logits": each, "z": tf.argmin(each, axis=-1)}

    @tf.function
    def both(self, first, second):
        return self.logits(first + second)

    @tf.function
    def twice(self, sounds):
        return {"first": self.logits(sounds), "second": self.logits(sounds)}

    @tf.function
    def python(self, sounds):
        return self.logits(tf.ensure_shape(tf.py_function(tf.abs, [sounds], tf.float32), (3, 800)))


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3, RATE)).astype(np.float32)


def spec(*shape, dtype=tf.float32) -> tf.TensorSpec:
    return tf.TensorSpec(shape, dtype)


def saved(folder: Path, *forms, name: str = "__call__", signature: str | None = "only") -> Sound:
    """Write a SavedModel with one function, traced for several forms of input."""
    module = Sound()
    function = getattr(module, name)
    traced = [function.get_concrete_function(*each) for each in forms]
    tf.saved_model.save(module, folder, signatures={signature: traced[0]} if signature else None)
    return module


def check_gradient(model: keras.Model, values: np.ndarray) -> None:
    """Compare the gradient along a direction with finite differences."""
    direction = np.random.default_rng(1).normal(size=values.shape).astype(np.float32)
    variable = tf.Variable(values)
    with tf.GradientTape() as tape:
        output = model(variable, training=False)[:, 1]
    slope = (tape.gradient(output, variable).numpy() * direction).sum(axis=1)
    step = 3e-3
    above, below = (model(values + sign * step * direction)[:, 1] for sign in (1, -1))
    difference = (above - below).numpy() / (2 * step)
    assert abs(slope).max() > 0.01
    np.testing.assert_allclose(slope, difference, atol=0.02 * abs(slope).max() + 1e-3)


FORMS = {
    "named outputs": ([(spec(None, RATE),)], "__call__", "only"),
    "as in TensorFlow's tutorial": (
        [(spec(dtype=tf.string),), (spec(None, RATE),)],
        "__call__",
        None,
    ),
    "one sound without a batch": ([(spec(None),)], "alone", "serving_default"),
    "one sound at a time": ([(spec(1, RATE),)], "plain", "serving_default"),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_module_on_waveforms(tmp_path, values, name):
    forms, function, signature = FORMS[name]
    module = saved(tmp_path / "saved", *forms, name=function, signature=signature)
    model = open_model(tmp_path / "saved")
    gc.collect()
    assert model.input_shape in ((None, RATE), (None, None))
    assert model.output_shape == (None, 4)
    expected = module.logits(tf.constant(values)).numpy()
    np.testing.assert_allclose(model(values), expected, atol=1e-5)
    compiled = tf.function(lambda sounds: model(sounds, training=False))
    np.testing.assert_allclose(compiled(values), expected, atol=1e-5)
    check_gradient(model, values)


@pytest.mark.parametrize(
    ("form", "name"),
    [
        (spec(None, RATE), "score"),
        (spec(1, RATE), "score"),
        (spec(None, RATE, dtype=tf.float64), "score"),
        (spec(None, RATE, dtype=tf.float16), "score"),
        (spec(None, RATE, dtype=tf.float64), "rounded"),
    ],
)
def test_other_precisions_and_one_value_a_sample(tmp_path, values, form, name):
    module = saved(tmp_path / "saved", (form,), name=name)
    model = open_model(tmp_path / "saved")
    expected = module.logits(tf.constant(values)).numpy()
    if name == "score":
        expected = 1 / (1 + np.exp(-expected[:, 1:2]))
    found = model(values)
    assert found.dtype == tf.float32
    assert model.output_shape == (None, expected.shape[1])
    np.testing.assert_allclose(found, expected, atol=2e-2 if form.dtype == tf.float16 else 1e-5)
    variable = tf.Variable(values)
    with tf.GradientTape() as tape:
        output = model(variable, training=False)
    assert np.abs(tape.gradient(output, variable)).max() > 0


def test_a_loop_over_variables_has_gradients_in_compiled_functions(tmp_path, values):
    module = saved(tmp_path / "saved", (spec(None, RATE),), name="looped")
    model = open_model(tmp_path / "saved")
    np.testing.assert_allclose(model(values), module.logits(tf.constant(values)), atol=1e-5)
    check_gradient(model, values)

    @tf.function
    def slope(sounds):
        with tf.GradientTape() as tape:
            tape.watch(sounds)
            output = model(sounds, training=False)
        return tape.gradient(output, sounds)

    with tf.GradientTape() as tape:
        sounds = tf.constant(values)
        tape.watch(sounds)
        output = module.logits(sounds)
    expected = tape.gradient(output, sounds)
    np.testing.assert_allclose(slope(sounds), expected, atol=1e-4 * np.abs(expected).max())


def test_what_keras_3_exports(tmp_path, values):
    x = inputs = keras.Input((RATE,))
    x = layers.Bidirectional(layers.LSTM(3))(layers.Reshape((10, RATE // 10))(x))
    model = keras.Model(inputs, layers.Dense(4, activation="softmax")(x))
    model.export(tmp_path / "saved", verbose=False)
    opened = open_model(tmp_path / "saved")
    np.testing.assert_allclose(opened(values), model(values, training=False), atol=1e-6)
    check_gradient(opened, values)


def test_what_keras_2_writes_with_its_optimizer(tmp_path, values):
    k2 = pytest.importorskip("tf_keras", reason="tf_keras is not installed (extra test)")
    x = inputs = k2.layers.Input((RATE,))
    x = k2.layers.DepthwiseConv2D(3)(k2.layers.Reshape((8, 10, 10))(x))
    x = k2.layers.Dropout(0.5)(k2.layers.Flatten()(k2.layers.BatchNormalization()(x)))
    model = k2.Model(inputs, k2.layers.Dense(4, "softmax")(x))
    # The optimizers of Keras up to 2.10 keep their state in slots.
    model.compile(k2.optimizers.legacy.Adam(), "mse")
    model.train_on_batch(values, np.zeros((3, 4)))
    model.save(tmp_path / "saved")
    proto = saved_model_pb2.SavedModel.FromString((tmp_path / "saved/saved_model.pb").read_bytes())
    assert any(node.slot_variables for node in proto.meta_graphs[0].object_graph_def.nodes)
    opened = open_model(tmp_path / "saved" / "saved_model.pb")
    np.testing.assert_allclose(opened(values), model(values, training=False), atol=1e-6)
    check_gradient(opened, values)


def test_a_real_one(real_models):
    model = open_model(real_models / "tinykws_saved" / "kws_ref_model")
    assert (model.input_shape, model.output_shape) == ((None, 49, 10, 1), (None, 12))
    values = np.random.default_rng(0).normal(0, 3, (3, 49, 10, 1)).astype(np.float32)
    np.testing.assert_allclose(np.sum(model(values), axis=1), 1, atol=1e-5)
    # Without this package TensorFlow cannot restore the optimizer.
    pytest.importorskip("tf_keras", reason="tf_keras is not installed (extra test)")
    loaded = tf.saved_model.load(str(real_models / "tinykws_saved" / "kws_ref_model"))
    (expected,) = loaded.signatures["serving_default"](tf.constant(values)).values()
    np.testing.assert_allclose(model(values), expected, atol=1e-6)


REFUSED = {
    "whole numbers": (
        [(spec(None, RATE, dtype=tf.int16),)],
        "rounded",
        "only",
        "takes values of type int16, through which there is no gradient; export it again",
    ),
    "two inputs": (
        [(spec(None, RATE), spec(None, RATE))],
        "both",
        "only",
        r"takes 2 tensors \(first, second\)",
    ),
    "two outputs": ([(spec(None, RATE),)], "twice", "only", "2 outputs .* among first, second"),
    "no form": (
        [(spec(dtype=tf.string),)],
        "__call__",
        None,
        "takes|no signature, and no function",
    ),
    "python": ([(spec(3, RATE),)], "python", "only", r"calls a Python function .*\(EagerPyFunc\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_functions_that_cannot_be_used(tmp_path, name):
    forms, function, signature, said = REFUSED[name]
    saved(tmp_path / "saved", *forms, name=function, signature=signature)
    with pytest.raises(ModelError, match=f"cannot use the SavedModel .*saved: .*({said})"):
        open_model(tmp_path / "saved")


def test_several_signatures_need_the_usual_one(tmp_path, values):
    module = Sound()
    function = module.plain.get_concrete_function(spec(None, RATE))
    tf.saved_model.save(module, tmp_path / "saved", signatures={"a": function, "b": function})
    with pytest.raises(ModelError, match=r"several signatures: a, b; .*as serving_default"):
        open_model(tmp_path / "saved")
    signatures = {"a": function, "serving_default": function}
    tf.saved_model.save(module, tmp_path / "again", signatures=signatures)
    expected = module.logits(tf.constant(values))
    np.testing.assert_allclose(open_model(tmp_path / "again")(values), expected, atol=1e-5)


@pytest.mark.parametrize("part", ["saved_model.pb", "variables/variables.index"])
def test_a_damaged_folder(tmp_path, part):
    saved(tmp_path / "saved", (spec(None, RATE),), name="plain")
    (tmp_path / "saved" / part).write_bytes(b"\xff\xff\xff")
    with pytest.raises(ModelError, match=r"SavedModel .*(by TensorFlow 2|damaged)"):
        open_model(tmp_path / "saved")


def test_a_folder_without_its_variables(tmp_path, values):
    saved(tmp_path / "whole", (spec(None, RATE),), name="plain")
    shutil.copytree(tmp_path / "whole", tmp_path / "saved")
    shutil.rmtree(tmp_path / "saved" / "variables")
    with pytest.raises(ModelError, match=r"saved has no folder variables/: its weights are missi"):
        open_model(tmp_path / "saved")
    with pytest.raises(ModelError, match=r"is a part of a SavedModel; give its whole folder, with"):
        open_model(shutil.copy(tmp_path / "saved" / "saved_model.pb", tmp_path / "copied.pb"))
    # As the message says.
    shutil.copytree(tmp_path / "whole" / "variables", tmp_path / "saved" / "variables")
    assert open_model(tmp_path / "saved")(values).shape == (3, 4)


@pytest.mark.parametrize("cut", ["variables", "variables/variables.index"])
def test_no_message_names_a_temporary_folder(real_models, tmp_path, monkeypatch, cut):
    # Written with its optimizer: TensorFlow gets a copy without that.
    shutil.copytree(real_models / "tinykws_saved" / "kws_ref_model", tmp_path / "saved")
    for path in (tmp_path / "saved", *(tmp_path / "saved").rglob("*")):
        path.chmod(0o755)
    part = tmp_path / "saved" / cut
    shutil.rmtree(part) if part.is_dir() else part.unlink()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    with pytest.raises(ModelError, match="saved") as caught:
        open_model(tmp_path / "saved")
    assert "temporary" not in str(caught.value)


def test_a_network_of_its_own_needs_no_builder(tmp_path, monkeypatch):
    saved(tmp_path / "saved", (spec(None, RATE),), name="plain")
    (tmp_path / "own_network.py").write_text(
        "import keras\ndef build():\n    x = keras.Input((2,))\n    return keras.Model(x, 2 * x)\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="has its network in it; open it without a builder"):
        open_model(tmp_path / "saved", builder="own_network:build")
