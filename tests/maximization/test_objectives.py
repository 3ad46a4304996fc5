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
    objective = objectives.neuron(bundle, layer="dense_1", unit=17)
    direct = output_of(bundle.classifier.model, features, "dense_1")
    values = objective(bundle.classifier, features, None)
    np.testing.assert_allclose(values, direct[:, 17], rtol=1e-5, atol=1e-6)
    assert objective.uses_targets is False
    assert objective.label == "dense_1-17"


def test_neuron_of_a_convolution_is_a_position_or_the_mean_over_it(bundle, features):
    direct = output_of(bundle.classifier.model, features, "conv_2")
    assert direct.ndim == 4
    one = objectives.neuron(bundle, layer="conv_2", unit=3, position="5,7")
    mean = objectives.neuron(bundle, layer="conv_2", unit=3)
    values = one(bundle.classifier, features, None)
    np.testing.assert_allclose(values, direct[:, 5, 7, 3], rtol=1e-5, atol=1e-6)
    values = mean(bundle.classifier, features, None)
    np.testing.assert_allclose(values, direct[..., 3].mean(axis=(1, 2)), rtol=1e-5, atol=1e-6)
    assert (one.label, mean.label) == ("conv_2-3-5-7", "conv_2-3")


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
