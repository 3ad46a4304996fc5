"""Objectives: values by hand; their contract is in test_testing_objectives.py."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_listen import load_bundle
from keras_listen.errors import ModelError, ParameterError
from keras_listen.features import FeatureSpec
from keras_listen.maximization import objectives
from keras_listen.models.classifier import Classifier
from keras_listen.plugins import default_registry

SPEC = FeatureSpec(frames=3, n_mels=4)
WORDS = ("a", "b", "c")
REGISTERED = [c for c in default_registry().components if c.kind == "objective"]


@pytest.fixture(scope="module")
def bundle():
    return load_bundle()


@pytest.fixture(scope="module")
def features(bundle) -> np.ndarray:
    """Four features of the embedded bundle's shape, in [0, 1]."""
    return np.random.default_rng(5).uniform(0, 1, (4, *bundle.spec.shape)).astype(np.float32)


def small(*, softmax: bool) -> tuple[SimpleNamespace, np.ndarray]:
    """Return a bundle of a linear classifier on 3 x 4 features, and its kernel."""
    kernel = np.random.default_rng(6).normal(0, 1, (12, 3)).astype(np.float32)
    inputs = keras.Input(SPEC.shape)
    dense = keras.layers.Dense(3, activation="softmax" if softmax else None)
    outputs = dense(keras.layers.Flatten(data_format="channels_last")(inputs))
    dense.set_weights([kernel, np.zeros(3, np.float32)])
    return SimpleNamespace(classifier=Classifier(keras.Model(inputs, outputs), WORDS, SPEC)), kernel


@pytest.mark.parametrize("softmax", [True, False], ids=["with softmax", "without softmax"])
def test_logit_and_softmax_by_hand(softmax):
    bundle, kernel = small(softmax=softmax)
    x = np.random.default_rng(7).normal(0, 1, (2, *SPEC.shape)).astype(np.float32)
    targets = np.array([2, 0])
    logits = x.reshape(2, 12) @ kernel
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = objectives.logit(bundle)(bundle.classifier, x, targets)
    np.testing.assert_allclose(found, logits[[0, 1], targets], rtol=1e-5)
    found = objectives.softmax(bundle)(bundle.classifier, x, targets)
    np.testing.assert_allclose(found, probabilities[[0, 1], targets], rtol=1e-5)


def test_logit_still_climbs_where_the_softmax_is_saturated():
    bundle, kernel = small(softmax=True)
    x = tf.constant(20 * kernel[:, 1].reshape(1, *SPEC.shape))
    slopes = {}
    for name in ("logit", "softmax"):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = getattr(objectives, name)(bundle)(bundle.classifier, x, np.array([1]))
        slopes[name] = np.abs(tape.gradient(value, x)).max()
    assert slopes["softmax"] < 1e-6
    assert slopes["logit"] == pytest.approx(np.abs(kernel[:, 1]).max(), rel=1e-5)


def test_logit_of_a_hidden_softmax_is_refused_with_the_reason():
    inputs = keras.Input(SPEC.shape)
    x = keras.layers.Flatten(data_format="channels_last")(inputs)
    heads = [keras.layers.Dense(3, activation="softmax")(x) for _ in range(2)]
    model = keras.Model(inputs, keras.layers.Average()(heads))
    bundle = SimpleNamespace(classifier=Classifier(model, WORDS, SPEC))
    with pytest.raises(ModelError, match=r"no logits.*use the objective log-probability"):
        objectives.logit(bundle)
    x = np.zeros((1, *SPEC.shape), np.float32)
    value = objectives.softmax(bundle)(bundle.classifier, x, np.array([1]))
    np.testing.assert_allclose(value, model(x)[:, 1], rtol=1e-6)


def output_of(model: keras.Model, features: np.ndarray, layer: str) -> np.ndarray:
    """Call the layers of a chain one after the other, up to `layer`."""
    x = features
    for each in model.layers[1:]:
        x = each(x, training=False)
        if each.name == layer:
            return x.numpy()
    raise AssertionError(f"no layer {layer}")


def test_neuron_of_a_dense_layer_is_that_unit(bundle, features):
    direct = output_of(bundle.classifier.model, features, "dense_1")
    unit = int(direct.min(axis=0).argmax())
    assert direct[:, unit].min() > 0
    objective = objectives.neuron(bundle, layer="dense_1", unit=unit)
    values = objective(bundle.classifier, features, None)
    np.testing.assert_allclose(values, direct[:, unit], rtol=1e-5, atol=1e-6)
    objective = objectives.neuron(bundle, layer="dense_1", unit=17)
    assert objective.uses_targets is False
    assert objective.label == "dense_1-17"


def test_neuron_of_a_convolution_is_a_position_or_the_mean_over_it(bundle, features):
    direct = output_of(bundle.classifier.model, features, "conv_2")
    assert direct.ndim == 4
    one = objectives.neuron(bundle, layer="conv_2", unit=3, position="5,7")
    mean = objectives.neuron(bundle, layer="conv_2", unit=3)
    values = one(bundle.classifier, features, None)
    assert min(values) < 0 < max(values)  # some are dead
    np.testing.assert_allclose(np.maximum(values, 0), direct[:, 5, 7, 3], rtol=1e-5, atol=1e-6)
    values = mean(bundle.classifier, features, None)
    np.testing.assert_allclose(values, direct[..., 3].mean(axis=(1, 2)), rtol=1e-5, atol=1e-6)
    assert (one.label, mean.label) == ("conv_2-3-5-7", "conv_2-3")


def hidden_unit(*behind: keras.layers.Layer, activation: str | None = None):
    """Return a bundle of a network whose layer "dense" has units of +-1 times all of the input.

    Args:
        behind: layers behind it; the last is called "last".
        activation: of the layer.
    """
    inputs = keras.Input(SPEC.shape)
    dense = keras.layers.Dense(2, activation=activation, name="dense")
    x = dense(keras.layers.Flatten(data_format="channels_last")(inputs))
    for layer in behind:
        x = layer(x)
    dense.set_weights([np.tile([[1.0, -1.0]], (12, 1)), np.zeros(2)])
    outputs = keras.layers.Dense(3, name="end")(keras.layers.Flatten(name="flat")(x))
    return SimpleNamespace(classifier=Classifier(keras.Model(inputs, outputs), WORDS, SPEC))


def climbed(bundle, layer: str, unit: int, sums) -> tuple[np.ndarray, np.ndarray]:
    """Return values of a unit and their gradients for inputs that sum to `sums`."""
    objective = objectives.neuron(bundle, layer=layer, unit=unit)
    x = tf.constant(np.ones((len(sums), *SPEC.shape)) * np.reshape(sums, (-1, 1, 1, 1)) / 12)
    x = tf.cast(x, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        values = objective(bundle.classifier, x, None)
    gradient = tape.gradient(values, x).numpy().reshape(len(sums), -1)
    assert np.ptp(gradient, axis=1).max() < 1e-6
    return values.numpy(), gradient[:, 0]


def nested(*inside: keras.layers.Layer) -> keras.Model:
    inputs = keras.Input((2,))
    x = inputs
    for layer in inside:
        x = layer(x)
    return keras.Model(inputs, x, name="last")


@pytest.mark.parametrize(
    ("layer", "made"),
    [
        ("dense", lambda: hidden_unit(activation="relu")),
        ("dense", lambda: hidden_unit(activation="relu6")),
        ("last", lambda: hidden_unit(keras.layers.ReLU(name="last"))),
        ("last", lambda: hidden_unit(keras.layers.ReLU(6.0, name="last"))),
        ("last", lambda: hidden_unit(keras.layers.Activation("relu", name="last"))),
        ("last", lambda: hidden_unit(keras.layers.LeakyReLU(0.0, name="last"))),
        ("last", lambda: hidden_unit(keras.layers.Dropout(0.5, name="last"), activation="relu")),
        ("last", lambda: hidden_unit(nested(keras.layers.ReLU()))),
        ("flat", lambda: hidden_unit(keras.layers.Reshape((2, 1)), keras.layers.ReLU())),
    ],
    ids=[
        "relu",
        "relu6",
        "ReLU",
        "ReLU(6)",
        "Activation",
        "leaky-by-0",
        "dropout",
        "nested",
        "flattened",
    ],
)
def test_a_dead_unit_climbs_what_goes_into_its_relu(layer, made):
    bundle = made()
    values, gradients = climbed(bundle, layer, 0, [-2.0, 0.0, 3.0])
    np.testing.assert_allclose(values, [-2, 0, 3], atol=1e-6)
    np.testing.assert_allclose(gradients, [1, 1, 1])
    values, gradients = climbed(bundle, layer, 1, [-2.0, 3.0])
    np.testing.assert_allclose(values, [2, -3], atol=1e-6)
    np.testing.assert_allclose(gradients, [-1, -1])


def test_a_unit_at_its_largest_value_stays_there():
    bundle = hidden_unit(activation="relu6")
    values, gradients = climbed(bundle, "dense", 0, [9.0])
    assert (values[0], gradients[0]) == (6, 0)
    # Turned round by a negative scale, zero is the largest value.
    turned = keras.layers.BatchNormalization(name="last", epsilon=0.0)
    bundle = hidden_unit(keras.layers.ReLU(), turned)
    turned.set_weights(np.array([[-1, 1], [0, 0], [0, 0], [1, 1]], np.float32))
    values, gradients = climbed(bundle, "last", 0, [-2.0, 3.0])
    np.testing.assert_allclose(values, [0, -3], atol=1e-6)
    np.testing.assert_allclose(gradients, [0, -1], atol=1e-6)


@pytest.mark.parametrize("activation", ["hard_sigmoid", "sigmoid", "silu", "tanh", "elu"])
def test_other_activations_that_are_flat_far_below_zero(activation):
    bundle = hidden_unit(activation=activation)
    values, gradients = climbed(bundle, "dense", 0, [-30.0, 0.5])
    assert values[0] == pytest.approx(-30)
    assert gradients[0] == pytest.approx(1)
    exact = float(keras.activations.get(activation)(np.float32(0.5)))
    assert values[1] == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize(
    ("activation", "slope"), [("leaky_relu", 0.2), ("linear", 1.0)], ids=["leaky", "linear"]
)
def test_a_unit_with_a_slope_is_its_activation(activation, slope):
    values, gradients = climbed(hidden_unit(activation=activation), "dense", 0, [-2.0, 3.0])
    np.testing.assert_allclose(values, [-2 * slope, 3], rtol=1e-6)
    np.testing.assert_allclose(gradients, [slope, 1], rtol=1e-6)


@pytest.mark.parametrize("layer", ["dense_1", "conv_2", "pool_1", "pool_2", "flatten"])
def test_every_unit_of_the_embedded_classifier_has_a_gradient_from_noise(bundle, layer):
    x = tf.constant(np.random.default_rng(5).normal(0, 0.1, (4, 90, 80, 1)), tf.float32)
    count = bundle.classifier.layer_shape(layer)[-1]
    dead = 0
    for unit in range(0, count, max(1, count // 8)):
        with tf.GradientTape() as tape:
            tape.watch(x)
            values = objectives.neuron(bundle, layer=layer, unit=unit)(bundle.classifier, x, None)
        assert np.abs(tape.gradient(values, x)).max(axis=(1, 2, 3)).min() > 1e-5
        dead += int((values.numpy() < 0).sum())
    # Of dense_1, nine units in ten are zero there.
    assert layer != "dense_1" or dead >= 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "dense1"}, "'dense1'; did you mean 'dense_1'"),
        ({"layer": "dense_1", "unit": 512}, "unit 512 of layer dense_1: expected 0 to 511"),
        ({"layer": "dense_1", "unit": -1}, "unit -1"),
        ({"layer": "conv_1", "unit": 8}, "expected 0 to 7"),
        ({"layer": "conv_1", "position": "middle"}, "'middle'.*expected 'mean' or 2 numbers"),
        ({"layer": "conv_1", "position": "3"}, "'3'.*such as 0,0"),
        ({"layer": "conv_1", "position": "0,-1"}, "'0,-1'"),
        ({"layer": "conv_1", "position": "89,0"}, "'89,0'.*below 89, 79"),
    ],
)
def test_neuron_says_what_does_not_fit(bundle, options, message):
    with pytest.raises(ParameterError, match=message):
        objectives.neuron(bundle, **options)


def test_gradients_reach_the_features(bundle, features):
    """Of the three built-in objectives; a single unit may be dead, the mean of a map is not."""
    made = [
        objectives.softmax(bundle),
        objectives.logit(bundle),
        *(objectives.neuron(bundle, layer="conv_1", unit=unit) for unit in range(8)),
    ]
    moved = []
    for objective in made:
        x = tf.constant(features)
        with tf.GradientTape() as tape:
            tape.watch(x)
            values = objective(bundle.classifier, x, np.zeros(4, np.int32))
        moved.append(bool(np.any(tape.gradient(values, x))))
    assert moved[:2] == [True, True]
    assert any(moved[2:])


def test_built_in_objectives_are_registered():
    assert {"softmax", "logit", "neuron"} <= {component.name for component in REGISTERED}
