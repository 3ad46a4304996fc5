"""The referees' networks, layer by layer: what they compute, take and refuse."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_listen.errors import ParameterError
from keras_listen.features import FeatureSpec
from keras_listen.models.classifier import Classifier
from keras_listen.models.formats.keras_file import open_model, save_model
from keras_listen.models.networks import residual, separable
from keras_listen.models.networks.residual import build_residual
from keras_listen.models.networks.separable import build_separable

BUILDERS = pytest.mark.parametrize("build", [build_residual, build_separable])
WORDS = tuple(f"word{number}" for number in range(17))


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(size=shape).astype(np.float32)


def shape_at(model: keras.Model, layer: str) -> tuple[int, ...]:
    return tuple(model.get_layer(layer).output.shape[1:])


def tap(model: keras.Model, layer: str, features: np.ndarray) -> np.ndarray:
    part = keras.Model(model.inputs[0], model.get_layer(layer).output)
    return np.asarray(part(features, training=False))


def normalised_conv(size: int, before: int, filters: int) -> int:
    """Return the parameters of a convolution without bias and of its normalisation."""
    return size * before * filters + 4 * filters


def warmed(build, **size: int) -> keras.Model:
    """Build a network whose normalisations have seen something."""
    keras.utils.set_random_seed(0)
    model = build(17, **size)
    frames, mels = model.input_shape[1:3]
    for _ in range(20):
        model(noise(8, frames, mels, 1), training=True)
    return model


def test_the_residual_network_layer_by_layer():
    model = build_residual(17)
    assert shape_at(model, "stem") == (45, 40, 16)
    assert shape_at(model, "stem_relu") == (23, 20, 16)
    assert shape_at(model, "block_1_relu") == (23, 20, 16)
    assert shape_at(model, "block_2_relu") == (12, 10, 48)
    assert shape_at(model, "block_3_relu") == (6, 5, 96)
    assert shape_at(model, "average") == (96,)
    assert model.output_shape == (None, 17)
    stem = normalised_conv(25, 1, 16)
    blocks = 2 * normalised_conv(9, 16, 16)
    for before, filters in ((16, 48), (48, 96)):
        blocks += normalised_conv(1, before, filters) + normalised_conv(9, before, filters)
        blocks += normalised_conv(9, filters, filters)
    assert model.count_params() == stem + blocks + 96 * 17 + 17 == 166_017


def test_the_separable_network_layer_by_layer():
    model = build_separable(17)
    assert shape_at(model, "stem_relu") == (18, 20, 48)
    assert shape_at(model, "block_1_depthwise_relu") == (9, 10, 48)
    for number in (1, 2, 3, 4):
        assert shape_at(model, f"block_{number}_pointwise_relu") == (9, 10, 128)
    assert shape_at(model, "average") == (128,)
    assert model.output_shape == (None, 17)
    parameters = normalised_conv(80, 1, 48) + 128 * 17 + 17
    for before in (48, 128, 128, 128):
        parameters += 9 * before + 4 * before  # depthwise
        parameters += normalised_conv(1, before, 128)
    assert model.count_params() == parameters == 69_185


def test_a_block_that_adds_nothing_passes_its_input_on():
    model, features = warmed(build_residual), noise(3, 90, 80, 1)
    before = tap(model, "stem_relu", features)
    assert np.abs(tap(model, "block_1_relu", features) - before).max() > 0.1
    model.get_layer("block_1_conv_2_norm").gamma.assign(np.zeros(16))
    np.testing.assert_array_equal(tap(model, "block_1_relu", features), before)
    # A block that changes the shape passes on a projection of every second place.
    model.get_layer("block_2_conv_2_norm").gamma.assign(np.zeros(48))
    kernel = np.asarray(model.get_layer("block_2_projection").kernel)[0, 0]
    norm = model.get_layer("block_2_projection_norm")
    mean, variance = np.asarray(norm.moving_mean), np.asarray(norm.moving_variance)
    projected = (before[:, ::2, ::2] @ kernel - mean) / np.sqrt(variance + norm.epsilon)
    expected = np.maximum(projected, 0)
    np.testing.assert_allclose(tap(model, "block_2_relu", features), expected, atol=1e-4)


def test_a_separable_convolution_mixes_maps_place_by_place():
    model, features = warmed(build_separable), noise(2, 90, 80, 1)
    before = np.pad(
        tap(model, "block_1_pointwise_relu", features), ((0, 0), (1, 1), (1, 1), (0, 0))
    )
    kernel = np.asarray(model.get_layer("block_2_depthwise").kernel)[..., 0]
    looked = sum(
        before[:, i : i + 9, k : k + 10] * kernel[i, k] for i in range(3) for k in range(3)
    )
    found = tap(model, "block_2_depthwise", features)
    np.testing.assert_allclose(found, looked, atol=1e-5)
    rectified = tap(model, "block_2_depthwise_relu", features)
    mixed = rectified @ np.asarray(model.get_layer("block_2_pointwise").kernel)[0, 0]
    np.testing.assert_allclose(tap(model, "block_2_pointwise", features), mixed, atol=1e-5)


@BUILDERS
def test_logits_are_what_goes_into_the_softmax(build):
    model, features = warmed(build), noise(4, 90, 80, 1)
    classifier = Classifier(model, WORDS)
    assert classifier.has_logits
    logits = np.asarray(classifier.logits(features))
    assert np.ptp(logits, axis=1).min() > 0.1
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = raised / raised.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.asarray(model(features, training=False)), expected, atol=1e-6)
    layer = model.get_layer("probabilities")
    linear = tap(model, "average", features) @ np.asarray(layer.kernel) + np.asarray(layer.bias)
    np.testing.assert_allclose(logits, linear, atol=1e-5)


@BUILDERS
def test_inference_is_calm_and_training_drops_out(build):
    model, features = warmed(build), noise(3, 90, 80, 1)
    calm = np.asarray(model(features, training=False))
    np.testing.assert_array_equal(calm, np.asarray(model(features, training=False)))
    once, again = (np.asarray(model(features, training=True)) for _ in range(2))
    assert np.abs(once - again).max() > 1e-3


@BUILDERS
def test_a_sample_has_the_same_bits_wherever_it_stands(build):
    classifier = Classifier(warmed(build), WORDS)
    features = noise(64, 90, 80, 1)
    whole = classifier.predict(features)
    np.testing.assert_array_equal(
        classifier.predict(np.roll(features, 17, axis=0))[17:], whole[:47]
    )
    np.testing.assert_array_equal(classifier.predict(features[:5]), whole[:5])


@BUILDERS
@pytest.mark.parametrize("place", [(0, 0), (89, 0), (0, 79), (89, 79)])
def test_every_corner_is_heard(build, place):
    model = warmed(build)
    features = np.zeros((1, 90, 80, 1), np.float32)
    silent = tap(model, "average", features)
    features[0, place[0], place[1], 0] = 1
    assert np.abs(tap(model, "average", features) - silent).max() > 0


@pytest.mark.parametrize(
    ("build", "frames", "mels"),
    [
        (build_residual, 98, 64),
        (build_residual, residual.SMALLEST, residual.SMALLEST),
        (build_separable, 98, 64),
        (build_separable, separable.SMALLEST, separable.SMALLEST),
    ],
)
def test_other_sizes_are_taken(build, frames, mels):
    model = warmed(build, frames=frames, mels=mels)
    first, second = np.asarray(model(noise(2, frames, mels, 1), training=False))
    assert first.shape == (17,)
    assert not np.allclose(first, second)


@pytest.mark.parametrize(
    ("build", "smallest"),
    [(build_residual, residual.SMALLEST), (build_separable, separable.SMALLEST)],
)
def test_too_small_features_and_too_few_words_are_refused(build, smallest):
    message = rf"are too small for strides of {smallest} in all; expected at least {smallest} of"
    for frames, mels in ((smallest - 1, 80), (90, smallest - 1)):
        with pytest.raises(ParameterError, match=message):
            build(5, frames=frames, mels=mels)
    with pytest.raises(ParameterError, match=r"a classifier of 1 word\(s\) is none"):
        build(1)


@BUILDERS
def test_a_compact_file_says_nearly_the_same(build, tmp_path):
    model, features = warmed(build), noise(4, 90, 80, 1)
    save_model(model, tmp_path / "model.keras", compact=True)
    opened = Classifier(open_model(tmp_path / "model.keras"), WORDS, FeatureSpec())
    expected = np.asarray(model(features, training=False))
    np.testing.assert_allclose(opened.predict(features), expected, atol=5e-3)
