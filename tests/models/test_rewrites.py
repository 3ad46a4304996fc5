"""What is computed otherwise is what Keras computes; what is not known is left to Keras."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_listen import load_bundle
from keras_listen.features import FeatureSpec
from keras_listen.maximization import objectives, priors
from keras_listen.maximization.ascent import Ascent
from keras_listen.maximization.engine import maximize
from keras_listen.models import rewrites
from keras_listen.models.classifier import Classifier
from keras_listen.models.networks.residual import build_residual
from keras_listen.models.rewrites import Rewritten, operations
from keras_listen.models.rewrites.patterns import find
from keras_listen.seeds import derive

#: What a convolution takes in these tests unless they say otherwise.
LAST = {"data_format": "channels_last"}


def sequential(shape: tuple[int, ...], *chain: keras.Layer) -> keras.Model:
    """Return a chain of layers with biases that are not zero."""
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input(shape), *chain])
    random = np.random.default_rng(5)
    for weight in model.weights:
        if weight.shape and len(weight.shape) == 1:
            weight.assign(random.normal(0, 0.3, weight.shape))
    return model


def both(function, x):
    """Return a function's result and the gradient of a weighted sum of it."""
    weights = np.random.default_rng(7)

    @tf.function(autograph=False)
    def compute(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        rows = weights.normal(size=(y.shape[0], *y.shape[1:])).astype(np.float32)
        return y, tape.gradient(y, x, rows)

    return [result.numpy() for result in compute(tf.constant(x))]


def assert_equal_to_keras(
    model: keras.Model, x: np.ndarray, names: list[str], at_edges: int = 0
) -> None:
    """Check that a model is computed by the named patterns, and to 1e-5 as Keras does.

    A value of some layer may stand so near to a relu's edge that rounding decides; then one of
    thousands of gradients that add up is there or not. So many samples may be `at_edges`.
    """
    assert [type(part).__name__.strip("_") for part in find(model)] == names
    (fast, slope), (plain, wanted) = both(Rewritten(model), x), both(_plainly(model), x)
    assert min(plain.std(), wanted.std()) > 0
    np.testing.assert_allclose(fast, plain, rtol=1e-5, atol=1e-5 * np.abs(plain).max())
    off = np.abs(slope - wanted).reshape(len(x), -1).max(axis=1) / np.abs(wanted).max()
    assert (off > 1e-5).sum() <= at_edges
    assert off.max() < (1e-2 if at_edges else 1e-5)


def _plainly(model: keras.Model):
    return lambda x: model(x, training=False)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("size", "kernel", "pool", "filters", "bias"),
    [
        ((90, 80), (2, 2), (2, 2), 8, True),
        ((13, 11), (3, 2), (2, 3), 5, True),
        ((13, 12), (1, 4), (3, 1), 3, False),
        ((7, 40), (5, 5), (1, 2), 1, True),
        ((4, 4), (2, 2), (3, 3), 2, True),
        ((30, 9), (2, 3), (4, 4), 6, True),
    ],
)
def test_convolution_with_pooling_behind(size, kernel, pool, filters, bias):
    model = sequential(
        (*size, 1),
        layers.Conv2D(filters, kernel, activation="relu", use_bias=bias, **LAST),
        layers.MaxPooling2D(pool, **LAST),
    )
    assert_equal_to_keras(model, noise(5, *size, 1), ["ConvolvedAndPooled"])


def test_of_equal_values_the_first_has_the_gradient_as_in_keras():
    # Silence, and anything flat: all places of a window have the same value.
    model = sequential(
        (9, 9, 1),
        layers.Conv2D(4, 2, activation="relu", bias_initializer="ones", **LAST),
        layers.MaxPooling2D(2, **LAST),
    )
    for x in (np.zeros((2, 9, 9, 1), np.float32), np.repeat(noise(2, 1, 9, 1), 9, axis=1)):
        mine, theirs = both(Rewritten(model), x), both(_plainly(model), x)
        np.testing.assert_allclose(mine[1], theirs[1], atol=1e-6)


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "linear"])
@pytest.mark.parametrize(
    ("factors", "kernel", "filters"),
    [
        ((2, 2), (2, 2), 7),
        ((3, 2), (2, 2), 32),
        ((3, 2), (3, 3), 1),
        ((1, 3), (4, 1), 2),
        ((2, 1), (1, 5), 3),
        ((4, 2), (5, 5), 1),
    ],
)
def test_convolution_of_an_enlarged_map(activation, factors, kernel, filters):
    model = sequential(
        (5, 6, 3),
        layers.UpSampling2D(factors, **LAST),
        layers.Conv2D(filters, kernel, padding="same", activation=activation, **LAST),
    )
    assert_equal_to_keras(model, noise(4, 5, 6, 3), ["ConvolvedEnlarged"])


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("bias", [True, False])
def test_dense_then_convolution(padding, bias):
    model = sequential(
        (6,),
        layers.Dense(60, use_bias=bias),
        layers.Reshape((4, 5, 3)),
        layers.Conv2D(3, (2, 3), padding=padding, activation="relu", use_bias=bias, **LAST),
    )
    assert_equal_to_keras(model, noise(9, 6), ["Folded"])


def test_folding_that_would_take_longer_is_left_out():
    model = sequential(
        (50,), layers.Dense(20), layers.Reshape((4, 5, 1)), layers.Conv2D(99, 2, **LAST)
    )
    assert find(model) == []


@pytest.fixture(scope="module")
def bundle():
    return load_bundle()


def test_the_published_networks(bundle):
    features = noise(24, 90, 80, 1)
    logits = keras.Model(
        bundle.classifier.model.inputs[0], bundle.classifier.model.layers[-2].output
    )
    assert_equal_to_keras(logits, features, ["ConvolvedAndPooled", "AsItIs"], at_edges=2)
    for name in ("ae", "vae"):
        decoder = bundle.component(name).model("decoder")
        names = ["Folded", *["ConvolvedEnlarged"] * 3]
        assert_equal_to_keras(decoder, noise(24, 256), names, at_edges=2)


def in_front(*chain: keras.Layer, size: int = 12) -> keras.Model:
    return sequential((size, size, 1), *chain)


class Shy(layers.Conv2D):
    """A layer that could do anything."""


@pytest.mark.parametrize(
    "model",
    [
        in_front(layers.Conv2D(4, 2, **LAST), layers.MaxPooling2D(2, **LAST)),
        in_front(Shy(4, 2, activation="relu", **LAST), layers.MaxPooling2D(2, **LAST)),
        in_front(
            layers.Conv2D(4, 2, padding="same", activation="relu", **LAST),
            layers.MaxPooling2D(2, **LAST),
        ),
        in_front(
            layers.Conv2D(4, 2, strides=2, activation="relu", **LAST),
            layers.MaxPooling2D(2, **LAST),
        ),
        in_front(
            layers.Conv2D(4, 2, dilation_rate=2, activation="relu", **LAST),
            layers.MaxPooling2D(2, **LAST),
        ),
        in_front(
            layers.Conv2D(4, 2, activation="relu", **LAST),
            layers.MaxPooling2D(3, strides=2, **LAST),
        ),
        in_front(
            layers.Conv2D(4, 2, activation="relu", **LAST),
            layers.MaxPooling2D(2, padding="same", **LAST),
        ),
        in_front(
            layers.Conv2D(4, 2, activation="relu", dtype="mixed_bfloat16", **LAST),
            layers.MaxPooling2D(2, **LAST),
        ),
        in_front(
            layers.UpSampling2D(2, interpolation="bilinear", **LAST),
            layers.Conv2D(4, 2, padding="same", **LAST),
        ),
        in_front(layers.UpSampling2D(2, **LAST), layers.Conv2D(4, 2, **LAST)),
        sequential(
            (6,),
            layers.Dense(60, activation="tanh"),
            layers.Reshape((4, 5, 3)),
            layers.Conv2D(3, 2, **LAST),
        ),
        build_residual(3),
    ],
    ids=[
        "without relu",
        "a layer of the user",
        "padded",
        "in strides",
        "dilated",
        "windows that overlap",
        "padded windows",
        "in half precision",
        "interpolated",
        "enlarged without padding",
        "dense with activation",
        "no chain",
    ],
)
def test_what_is_not_known_is_left_to_keras(model):
    assert find(model) == []
    x = noise(2, *model.input_shape[1:])
    np.testing.assert_array_equal(Rewritten(model)(x), model(x, training=False))


def test_parts_of_a_chain_are_left_to_keras_as_they_are():
    model = in_front(
        layers.Rescaling(0.5),
        layers.Conv2D(4, 2, activation="relu", **LAST),
        layers.MaxPooling2D(2, **LAST),
        layers.Dropout(0.5),
        layers.Flatten(**LAST),
        layers.Dense(3, activation="softmax"),
    )
    assert_equal_to_keras(model, noise(3, 12, 12, 1), ["AsItIs", "ConvolvedAndPooled", "AsItIs"])


def test_weights_that_change_are_followed():
    for model, x in (
        (
            sequential(
                (6,), layers.Dense(60), layers.Reshape((4, 5, 3)), layers.Conv2D(3, 2, **LAST)
            ),
            noise(2, 6),
        ),
        (
            sequential(
                (5, 6, 3),
                layers.UpSampling2D(2, **LAST),
                layers.Conv2D(2, 2, padding="same", **LAST),
            ),
            noise(2, 5, 6, 3),
        ),
    ):
        fast = Rewritten(model)
        compiled = tf.function(fast, autograph=False)
        before = compiled(x).numpy()
        model.layers[-1].kernel.assign(2 * model.layers[-1].kernel)
        fast.refresh()
        assert np.abs(compiled(x) - before).max() > 0.1
        np.testing.assert_allclose(compiled(x), model(x, training=False), atol=1e-5)


@pytest.mark.parametrize("name", ["none", "ae"])
def test_one_step_of_the_ascent_is_that_of_keras(bundle, monkeypatch, name):
    seeds = np.stack([derive(1, "any", k) for k in range(10)])
    targets = np.arange(10, dtype=np.int32)
    monkeypatch.setenv(rewrites.SWITCH, "0")
    classifier = Classifier(bundle.classifier.model, bundle.words, bundle.spec)
    plain = getattr(priors, name)(bundle)
    z = plain.start(targets, seeds)
    logit = objectives.logit(bundle)
    theirs = maximize(classifier, logit, plain, z, targets, Ascent(1))
    monkeypatch.setenv(rewrites.SWITCH, "1")
    mine = maximize(bundle.classifier, logit, getattr(priors, name)(bundle), z, targets, Ascent(1))
    np.testing.assert_allclose(mine.start_features, theirs.start_features, atol=1e-5)
    np.testing.assert_allclose(mine.scores, theirs.scores, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(mine.z, theirs.z, atol=1e-5)
    assert (mine.z != theirs.z).any(), "both went the same way"


def test_a_sample_has_the_same_bits_in_any_batch_and_with_any_number_of_threads(
    bundle, monkeypatch
):
    x = noise(24, 90, 80, 1)
    model = keras.Model(bundle.classifier.model.inputs[0], bundle.classifier.model.layers[2].output)
    front = Rewritten(model)
    whole = both(front, x)

    def part(first):
        return both(lambda x: front(x)[:3], x[first : first + 3])

    for first in (0, 5, 21):
        np.testing.assert_array_equal(part(first)[0], whole[0][first : first + 3])
    monkeypatch.setattr(operations, "_pool", lambda: (operations.ThreadPoolExecutor(5), 5))
    for mine, theirs in zip(both(front, x), whole, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_nothing_is_rewritten_on_a_gpu_or_where_it_is_switched_off(monkeypatch):
    assert rewrites.enabled()
    monkeypatch.setenv(rewrites.SWITCH, "0")
    assert not rewrites.enabled()
    monkeypatch.delenv(rewrites.SWITCH)
    assert rewrites.enabled()
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    assert not rewrites.enabled()


def test_ctrl_c_inside_of_a_loop_is_not_lost(monkeypatch):
    model = in_front(
        layers.Conv2D(4, 2, activation="relu", **LAST),
        layers.MaxPooling2D(2, **LAST),
        layers.Flatten(**LAST),
        layers.Dense(2),
    )
    classifier = Classifier(model, ("a", "b"), FeatureSpec(frames=12, n_mels=12))
    classifier.predict(noise(3, 12, 12, 1))

    def interrupted(work, count):
        raise KeyboardInterrupt

    monkeypatch.setattr(operations, "in_parts", interrupted)
    with pytest.raises(KeyboardInterrupt):
        classifier.predict(noise(3, 12, 12, 1))


def test_predictions_follow_weights_that_change():
    model = in_front(
        layers.UpSampling2D(2, **LAST),
        layers.Conv2D(2, 2, padding="same", **LAST),
        layers.Flatten(**LAST),
        layers.Dense(2, activation="softmax"),
    )
    classifier = Classifier(model, ("a", "b"), FeatureSpec(frames=12, n_mels=12))
    x = noise(3, 12, 12, 1)
    before = classifier.predict(x)
    model.layers[1].kernel.assign(-3 * model.layers[1].kernel)
    assert np.abs(classifier.predict(x) - before).max() > 0.01
    np.testing.assert_allclose(classifier.predict(x), model(x, training=False), atol=1e-5)
