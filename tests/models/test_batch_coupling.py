"""Models that mix the samples of a batch: found by a probe, and computed one by one."""

from __future__ import annotations

import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from keras_listen.features import FeatureSpec
from keras_listen.maximization.doctor import examine
from keras_listen.maximization.engine import maximize
from keras_listen.maximization.objectives import softmax
from keras_listen.models.batch_coupling import apart, is_batch_coupled
from keras_listen.models.bundle import load_bundle
from keras_listen.models.classifier import Classifier, load_classifier

SPEC = FeatureSpec(frames=10, n_mels=8)
WORDS = ("no", "stop", "yes")


@pytest.fixture(autouse=True)
def _same_weights_every_time():
    keras.utils.set_random_seed(0)


def model_of(mix, shape=(10, 8, 1)) -> keras.Model:
    inputs = keras.Input(shape)
    x = layers.Flatten()(mix(inputs))
    return keras.Model(
        inputs, layers.Dense(3, "softmax")(layers.Dense(16, "relu", name="inner")(x))
    )


def floor(x, **axes):
    """Cut what lies 40 dB below the maximum, of the whole batch unless axes are given."""
    decibels = x * 100.0 - 100.0
    return ops.maximum(decibels, ops.max(decibels, **axes) - 40.0) / 40.0


def each(x, function):
    return function(x, axis=(1, 2, 3), keepdims=True)


COUPLED = {
    "maximum": floor,
    "mean": lambda x: x - ops.mean(x),
    "deviation": lambda x: x / (ops.std(x, axis=0, keepdims=True) + 1e-3),
    "smallest": lambda x: x - ops.min(x),
    "norm": lambda x: x / (ops.sqrt(ops.sum(x**2)) + 1e-6),
}
APART = {
    "plain": lambda x: x,
    "maximum": lambda x: floor(x, axis=(1, 2, 3), keepdims=True),
    "mean": lambda x: x - each(x, ops.mean),
    "batch normalisation": lambda x: layers.BatchNormalization()(x),
    "logarithm": lambda x: ops.log(ops.maximum(x, 1e-6)),
    "dropout": lambda x: layers.Dropout(0.5)(x),
    "random": lambda x: layers.Dropout(0.5)(x, training=True),
}


@pytest.mark.parametrize("name", COUPLED)
def test_coupled_models_are_found(name):
    assert Classifier(model_of(COUPLED[name]), WORDS, SPEC).batch_coupled


@pytest.mark.parametrize("name", APART)
def test_others_are_not(name):
    classifier = Classifier(model_of(APART[name]), WORDS, SPEC)
    assert not classifier.batch_coupled
    assert classifier.notes == ()


def test_kerass_own_melspectrogram_couples_sounds():
    def build(**options) -> keras.Model:
        inputs = keras.Input((2000,))
        x = layers.MelSpectrogram(fft_length=256, num_mel_bins=16, sampling_rate=16000, **options)(
            inputs
        )
        return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))

    for options, expected in (({}, True), ({"power_to_db": False}, False)):
        model = build(**options)
        assert (
            is_batch_coupled(lambda x, model=model: model(x, training=False), model.input_shape)
            is expected
        )


def test_confident_models_are_found_by_their_logits():
    """Probabilities of 0 and 1 hide what the others in the batch change."""
    model = model_of(floor)
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel, bias + np.array([0.0, 2e3, 0.0])])
    classifier = Classifier(model, WORDS, SPEC)
    assert not is_batch_coupled(classifier.head.probabilities, model.input_shape)
    assert classifier.batch_coupled


def test_models_that_cannot_be_probed_are_not_called_coupled():
    def fail(x):
        raise RuntimeError("out of order")

    assert not is_batch_coupled(fail, (None, 4))
    assert not is_batch_coupled(lambda x: x * np.nan, (None, 4))
    assert not is_batch_coupled(lambda x: x - ops.mean(x), (2, 4))


def batch() -> np.ndarray:
    rng = np.random.default_rng(0)
    levels = np.array([0.3, 1.0, 3.0]).reshape(-1, 1, 1, 1)
    return (levels * rng.uniform(size=(3, 10, 8, 1))).astype(np.float32)


def test_each_sample_is_computed_as_if_it_were_alone():
    model, x = model_of(floor), batch()
    alone = np.concatenate([np.asarray(model(one[None])) for one in x])
    assert np.abs(alone - np.asarray(model(x))).max() > 0.01
    classifier = Classifier(model, WORDS, SPEC)
    np.testing.assert_allclose(np.asarray(classifier.probabilities(x)), alone, atol=1e-6)
    np.testing.assert_allclose(classifier.predict(x), alone, atol=1e-6)
    np.testing.assert_allclose(np.asarray(ops.softmax(classifier.logits(x))), alone, atol=1e-6)
    inner = keras.Model(model.inputs[0], model.get_layer("inner").output)
    expected = np.concatenate([np.asarray(inner(one[None])) for one in x])
    np.testing.assert_allclose(np.asarray(classifier.activations(x, "inner")), expected, rtol=1e-5)


def test_the_first_look_may_be_in_a_graph():
    classifier, x = Classifier(model_of(floor), WORDS, SPEC), tf.constant(batch())
    found = tf.function(classifier.probabilities)(x)
    np.testing.assert_allclose(found, classifier.probabilities(x), atol=1e-6)
    assert classifier.batch_coupled


def test_gradients_flow_to_each_sample_alone():
    def gradient(x, compute):
        x = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            values = compute(x)[:, 1]
        return tape.gradient(values, x).numpy()

    model, x = model_of(floor), batch()
    alone = np.concatenate([gradient(one[None], model) for one in x])
    assert np.abs(alone).max(axis=(1, 2, 3)).min() > 0
    compiled = tf.function(apart(model))
    np.testing.assert_allclose(gradient(x, compiled), alone, atol=1e-6)
    np.testing.assert_allclose(gradient(x, apart(model)), alone, atol=1e-6)


class _Identity:
    step_size, bounded = 0.05, False

    def decode(self, z):
        return z


def test_bytes_of_an_ascent_do_not_depend_on_the_other_samples():
    classifier, x = Classifier(model_of(floor), WORDS, SPEC), batch()
    targets = np.array([2, 2, 2], np.int32)
    objective, prior = softmax(None), _Identity()
    together = maximize(classifier, objective, prior, x, targets, block_size=24)
    for i in range(3):
        one = maximize(classifier, objective, prior, x[i : i + 1], targets[:1], block_size=24)
        np.testing.assert_array_equal(one.features[0], together.features[i])
        np.testing.assert_array_equal(one.probabilities[:, 0], together.probabilities[:, i])
        np.testing.assert_allclose(
            together.probabilities[-1, i],
            np.asarray(classifier.model(one.features))[0],
            atol=1e-5,
        )


def test_a_note_and_a_finding_say_so(tmp_path):
    path = tmp_path / "mixed.keras"
    model_of(floor).save(path)
    classifier = load_classifier(path, WORDS, SPEC)
    assert classifier.notes == (
        f"the model {path}: answers for one sample depend on the others in its batch (such as by a "
        "maximum over all of its input): computed one by one, slower",
    )
    (finding,) = [f for f in examine(path, WORDS, SPEC) if f.name == "batch"]
    assert finding.ok is None
    assert "computed one by one" in finding.text
    # The remedy helps.
    model_of(APART["maximum"]).save(path)
    assert load_classifier(path, WORDS, SPEC).notes == ()
    assert all(f.ok for f in examine(path, WORDS, SPEC))


def test_a_bundles_own_classifiers_are_not_probed_and_the_probe_is_quick():
    classifier = load_bundle().classifier
    assert classifier.__dict__["batch_coupled"] is False
    arguments = classifier.head.logits, classifier.model.input_shape
    assert not is_batch_coupled(*arguments)
    started = time.perf_counter()
    is_batch_coupled(*arguments)
    assert time.perf_counter() - started < 2  # 0.1 s on a quiet machine
