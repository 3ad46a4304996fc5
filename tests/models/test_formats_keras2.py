"""Keras 2 files open in Keras 3, with the outputs that Keras 2 gives."""

from __future__ import annotations

import io
import zipfile

import h5py
import keras
import numpy as np
import pytest

from keras_listen.models.formats.keras_file import open_model


@pytest.fixture(scope="module")
def k2():
    """Keras 2 itself, the truth."""
    return pytest.importorskip("tf_keras", reason="tf_keras is not installed (extra test)")


def dense(k2):
    layers = k2.layers
    return [
        layers.Input((7,)),
        layers.Dense(4, "hard_sigmoid"),
        layers.Activation("hard_sigmoid"),
        layers.LeakyReLU(),
        layers.PReLU(),
        layers.Dense(4, layers.LeakyReLU(0.2)),
        layers.ThresholdedReLU(0.1),
        layers.Dense(3, "softmax"),
    ]


def one_dimension(k2):
    layers = k2.layers
    return [
        layers.Input((30, 4), name="a/sound"),
        layers.Conv1D(5, 3, padding="causal", dilation_rate=2, name="block/conv"),
        layers.BatchNormalization(),
        layers.SpatialDropout1D(0.2),
        layers.SeparableConv1D(6, 3),
        layers.DepthwiseConv1D(3),
        layers.Conv1DTranspose(3, 2),
        layers.GlobalAveragePooling1D(),
    ]


def two_dimensions(k2):
    layers = k2.layers
    return [
        layers.Input((30, 20, 1)),
        layers.Conv2D(5, 3, strides=2, padding="same", kernel_regularizer="l2"),
        layers.DepthwiseConv2D(3),
        layers.SeparableConv2D(6, 3, depth_multiplier=2),
        layers.BatchNormalization(),
        layers.ReLU(6.0),
        layers.SpatialDropout2D(0.1),
        layers.LayerNormalization(axis=[1, 2]),
        layers.GlobalMaxPooling2D(),
        layers.Dense(3, activity_regularizer="l1"),
    ]


def recurrent(k2):
    layers = k2.layers
    return [
        layers.Input((6, 6)),
        layers.LSTM(4, return_sequences=True, recurrent_activation="hard_sigmoid"),
        layers.GRU(4, return_sequences=True, reset_after=False),
        layers.SimpleRNN(4, return_sequences=True),
        layers.Bidirectional(
            layers.GRU(3, return_sequences=True, recurrent_activation="hard_sigmoid")
        ),
        layers.TimeDistributed(layers.Dense(4)),
        layers.RNN([layers.LSTMCell(3), layers.GRUCell(4)], return_sequences=True),
        layers.Bidirectional(layers.LSTM(3), merge_mode="sum"),
    ]


def convolutional_recurrent(k2):
    layers = k2.layers
    return [
        layers.Input((5, 8, 8, 2)),
        layers.ConvLSTM2D(3, 3, return_sequences=True),
        layers.TimeDistributed(layers.BatchNormalization()),
        layers.Flatten(),
    ]


def stateful(k2):
    layers = k2.layers
    return [layers.LSTM(4, stateful=True, batch_input_shape=(2, 5, 3)), layers.Dense(3)]


def spectrogram(k2):
    layers = k2.layers
    normalize = layers.Normalization()
    normalize.adapt(np.random.default_rng(3).normal(2, 3, (8, 32, 32, 1)))
    return [
        layers.Input((124, 129, 1)),
        layers.Resizing(32, 32),
        normalize,
        layers.Rescaling(1 / 3, 0.1),
        layers.RandomRotation(0.1),
        layers.Conv2D(4, 3),
        layers.GlobalAveragePooling2D(),
    ]


def nested(k2):
    """Networks inside networks, one of them called twice and one frozen, with attention."""
    layers = k2.layers
    x = inputs = layers.Input((6, 8))
    x = layers.Bidirectional(layers.LSTM(2, return_sequences=True), name="a/b")(x)
    chain = [layers.Dense(4), layers.BatchNormalization(), layers.Dense(4)]
    x = k2.Sequential(chain, name="inner/chain")(x)
    within = layers.Input((6, 4))
    y = layers.MultiHeadAttention(2, 3)(within, within)
    graph = k2.Model(within, layers.LayerNormalization()(layers.BatchNormalization()(y)))
    x = graph(graph(x))
    frozen = k2.Sequential([layers.Input((6, 4)), layers.Dense(4), layers.BatchNormalization()])
    frozen.trainable = False
    x = frozen(x)
    y = layers.Dense(4)(x)
    x = layers.Attention(use_scale=True)([x, y])
    x = layers.Add()([layers.AdditiveAttention()([x, y]), y])
    _, state, memory = layers.LSTM(4, return_sequences=True, return_state=True)(x)
    x = layers.LSTM(4)(x, initial_state=[state, memory])
    return k2.Model(inputs, layers.Dense(5, activation="softmax")(x))


def masked(k2):
    layers = k2.layers
    chain = [layers.Masking(0.0), layers.GRU(4, return_sequences=True), layers.LSTM(3)]
    return [layers.Input((6, 8)), *chain]


MODELS = {
    make.__name__: make
    for make in (
        dense,
        one_dimension,
        two_dimensions,
        recurrent,
        convolutional_recurrent,
        stateful,
        spectrogram,
        nested,
        masked,
    )
}


def trained(k2, make):
    """Make a model with weights of its own, also in its moving averages."""
    made = make(k2)
    model = k2.Sequential(made) if isinstance(made, list) else made
    rng = np.random.default_rng(1)
    model.set_weights(
        [
            w if np.issubdtype(w.dtype, np.integer) else w + rng.uniform(0.1, 0.4, w.shape)
            for w in model.get_weights()
        ]
    )
    return model


def sounds(shape: tuple) -> np.ndarray:
    size = (shape[0] or 3, *shape[1:])
    return np.random.default_rng(0).normal(size=size).astype(np.float32)


def truth(model) -> tuple[np.ndarray, np.ndarray]:
    """Return values and what Keras 2 makes of them."""
    values = sounds(model.input_shape)
    if model.layers[0].__class__.__name__ == "Masking":
        values[:, 4:] = 0
    return values, np.asarray(model(values, training=False))


def compare(opened: keras.Model, values: np.ndarray, expected: np.ndarray) -> None:
    found = np.asarray(opened(values, training=False))
    assert type(opened).__name__ == "Functional"
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(1, abs(expected).max()))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_outputs_are_those_of_keras_2(tmp_path, k2, name):
    k2.backend.clear_session()
    model = trained(k2, MODELS[name])
    for suffix in (".h5", ".keras"):
        model.save(tmp_path / f"model{suffix}")
    values, expected = truth(model)
    for suffix in (".h5", ".keras"):
        opened = open_model(tmp_path / f"model{suffix}")
        assert opened.input_shape == (None, *model.input_shape[1:])
        compare(opened, values, expected)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_the_optimizer_of_a_compiled_model_is_left_alone(tmp_path, k2, suffix):
    model = k2.Sequential([k2.layers.Input((6,)), k2.layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    x = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
    model.fit(x, np.arange(8) % 3, verbose=0)
    model.save(tmp_path / f"model.{suffix}")
    opened = open_model(tmp_path / f"model.{suffix}")
    np.testing.assert_allclose(opened(x), model(x), atol=1e-6)


def test_functions_of_tensorflow_are_called_by_name(tmp_path, k2):
    import tensorflow as tf

    rng = np.random.default_rng(4)
    x = inputs = k2.layers.Input((1600,))
    x = tf.math.log(tf.abs(tf.signal.stft(x, 255, 128)) + 1e-6)[..., tf.newaxis]
    x = 2.0 * x[..., 0] - 1.0
    x = tf.tensordot(x, tf.constant(rng.normal(size=(129, 40)), tf.float32), 1)
    x = tf.transpose(tf.squeeze(tf.expand_dims(x, -1), -1), [0, 1, 2])
    x = tf.concat([x / tf.reduce_max(x, axis=-1, keepdims=True), tf.nn.relu(x)], axis=-1)
    x = tf.reduce_mean(k2.layers.Conv1D(4, 3)(x[:, 1:-1, ::2]), axis=1)
    model = k2.Model(inputs, tf.nn.softmax(x))
    model.save(tmp_path / "model.h5")
    compare(open_model(tmp_path / "model.h5"), *truth(model))


def test_an_archive_of_keras_2_12(tmp_path, k2):
    model = trained(k2, nested)
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    weights = h5py.File(io.BytesIO(members["model.weights.h5"]), "r")
    buffer = io.BytesIO()
    with weights, h5py.File(buffer, "w") as target:
        for path, array in arrays_in(weights):
            target[path.replace("layers/", "_layer_checkpoint_dependencies/")] = array
    members |= {
        "model.weights.h5": buffer.getvalue(),
        "metadata.json": b'{"keras_version":"2.12.0"}',
    }
    with zipfile.ZipFile(tmp_path / "old.keras", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    compare(open_model(tmp_path / "old.keras"), *truth(model))


def arrays_in(group: h5py.Group, path: str = "") -> list[tuple[str, np.ndarray]]:
    """Return the arrays at any depth with their paths."""
    found = []
    for name, item in group.items():
        inner = f"{path}/{name}" if path else name
        found += arrays_in(item, inner) if isinstance(item, h5py.Group) else [(inner, item[()])]
    return found


#: A module that builds the network of `one_dimension` in Keras 3.
BUILDER = """
from keras import Input, Sequential, layers

def build():
    return Sequential([
        Input((30, 4)),
        layers.Conv1D(5, 3, padding="causal", dilation_rate=2),
        layers.BatchNormalization(),
        layers.SpatialDropout1D(0.2),
        layers.SeparableConv1D(6, 3),
        layers.DepthwiseConv1D(3),
        layers.Conv1DTranspose(3, 2),
        layers.GlobalAveragePooling1D(),
    ])
"""


@pytest.mark.parametrize("name", ["model.h5", "weights.h5", "model.keras", "model.weights.h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_weights_of_keras_2_are_loaded_into_what_a_builder_builds(tmp_path, monkeypatch, k2, name):
    model = trained(k2, one_dimension)
    (model.save_weights if "weights" in name else model.save)(tmp_path / name)
    (tmp_path / "own_conv.py").write_text(BUILDER)
    monkeypatch.chdir(tmp_path)
    compare(open_model(tmp_path / name, builder="own_conv:build"), *truth(model))


@pytest.mark.parametrize(
    "name",
    [
        "edison/kws_model.h5",
        "strww/str_ww_ref_model.h5",
        "mltk_keyword_spotting/keyword_spotting.h5",
        "mltk_keyword_spotting_on_off/keyword_spotting_on_off.h5",
        "emo_loren_lstm/lstm_model.h5",
    ],
)
def test_real_files(real_models, k2, name):
    path = real_models / name
    compare(open_model(path), *truth(k2.models.load_model(path, compile=False)))


@pytest.mark.parametrize("name", ["capstone/kws_model.keras", "wake_nerio/wakeword_model.keras"])
def test_real_files_of_keras_3(real_models, name):
    opened = open_model(real_models / name)
    values = sounds(opened.input_shape)
    expected = keras.saving.load_model(real_models / name, compile=False)(values, training=False)
    np.testing.assert_array_equal(opened(values, training=False), expected)
