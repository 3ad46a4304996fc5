"""Keras models as classifiers: ways around a softmax, activations, blocks, refusals."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_listen.errors import ModelError, ParameterError
from keras_listen.features import FeatureSpec
from keras_listen.models.blocks import in_blocks
from keras_listen.models.classifier import Classifier, load_classifier, read_words
from keras_listen.models.networks.classifier import build_classifier

WORDS = ("no", "stop", "yes")


@pytest.fixture(autouse=True)
def _same_weights_every_time():
    keras.utils.set_random_seed(0)


def features(batch: int, seed: int = 0, shape: tuple[int, ...] = (90, 80, 1)) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=(batch, *shape)).astype(np.float32)


def trunk() -> list[layers.Layer]:
    return [layers.AveragePooling2D((15, 16)), layers.Flatten(), layers.Dense(12, "relu")]


def chain(*tail: layers.Layer, shape: tuple = (90, 80, 1)) -> keras.Model:
    """Return a functional model of a small trunk and `tail`."""
    x = inputs = keras.Input(shape)
    for layer in (*trunk(), *tail):
        x = layer(x)
    return keras.Model(inputs, x)


def sequential(*tail: layers.Layer) -> keras.Model:
    return keras.Sequential([keras.Input((90, 80, 1)), *trunk(), *tail])


def grown(*tail: layers.Layer) -> keras.Model:
    """Return a Sequential to which one layer was added after the other."""
    model = keras.Sequential()
    model.add(keras.Input((90, 80, 1)))
    for layer in (*trunk(), *tail):
        model.add(layer)
    return model


def dense_softmax() -> layers.Layer:
    return layers.Dense(3, activation="softmax", kernel_initializer="normal", name="out")


def convolutional(*tail: layers.Layer) -> keras.Model:
    """Return a model without dense layers, as larger published networks end."""
    x = inputs = keras.Input((90, 80, 1))
    x = layers.GlobalAveragePooling2D(keepdims=True)(layers.Conv2D(4, 5, strides=5)(x))
    for layer in (layers.Conv2D(3, 1), *tail):
        x = layer(x)
    return keras.Model(inputs, x)


def permuted_words() -> keras.Model:
    x = inputs = keras.Input((90, 80, 1))
    for layer in trunk():
        x = layer(x)
    x = layers.Reshape((1, 12))(x)
    return keras.Model(inputs, layers.Flatten()(layers.Dense(3, activation="softmax")(x)))


OPEN_HEADS = {
    "dense softmax": lambda: chain(dense_softmax()),
    "dense without bias": lambda: chain(layers.Dense(3, activation="softmax", use_bias=False)),
    "softmax layer": lambda: chain(layers.Dense(3), layers.Softmax()),
    "activation": lambda: chain(layers.Dense(3), layers.Activation("softmax")),
    "plain logits": lambda: chain(layers.Dense(3)),
    "dropout after the softmax": lambda: chain(dense_softmax(), layers.Dropout(0.5)),
    "sequential": lambda: sequential(layers.Dropout(0.3), dense_softmax()),
    "sequential, softmax layer": lambda: sequential(layers.Dense(3), layers.Softmax()),
    "sequential, grown": lambda: grown(layers.Dropout(0.3), dense_softmax()),
    "convolution, flatten, softmax": lambda: convolutional(layers.Flatten(), layers.Softmax()),
    "convolution, softmax, flatten": lambda: convolutional(layers.Softmax(), layers.Flatten()),
    "convolution, activation, reshape": lambda: convolutional(
        layers.Activation("softmax"), layers.Reshape((3,))
    ),
    "dense in a sequence, flatten": permuted_words,
    "published": lambda: build_classifier(3),
}


@pytest.mark.parametrize("head", OPEN_HEADS)
def test_softmax_of_the_logits_is_the_models_output(head):
    model = OPEN_HEADS[head]()
    classifier = Classifier(model, WORDS)
    x = features(5)
    expected = np.asarray(model(x, training=False))
    logits = np.asarray(classifier.logits(x))
    assert logits.shape == (5, 3)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    softmax = powers / powers.sum(axis=1, keepdims=True)
    if head == "plain logits":
        np.testing.assert_array_equal(logits, expected)
        expected = softmax
    np.testing.assert_allclose(softmax, expected, atol=1e-6)
    np.testing.assert_allclose(np.asarray(classifier.probabilities(x)), expected, atol=1e-6)
    assert classifier.has_logits


@pytest.mark.parametrize("wrap", [chain, sequential])
def test_logits_come_from_the_layer_and_not_from_its_probabilities(wrap):
    """A confident network's probabilities are 0 and 1; its logits still tell the words apart."""
    model = wrap(dense_softmax())
    kernel = np.random.default_rng(0).normal(0, 500, (12, 3))
    model.get_layer("out").set_weights([kernel, np.array([3.0, -2.0, 1.0])])
    before = keras.Model(model.inputs[0], model.layers[-2].output)
    x = features(4)
    assert (np.asarray(model(x)).min(axis=1) == 0).all()
    expected = np.asarray(before(x), np.float64) @ kernel + [3, -2, 1]
    np.testing.assert_allclose(np.asarray(Classifier(model, WORDS).logits(x)), expected, rtol=1e-4)


def mean_of_two() -> keras.Model:
    x = inputs = keras.Input((90, 80, 1))
    return keras.Model(inputs, layers.Average()([chain(dense_softmax())(x) for _ in range(2)]))


@pytest.mark.parametrize(
    "build", [mean_of_two, lambda: chain(layers.Dense(3), layers.Lambda(keras.ops.softmax))]
)
def test_logits_of_a_hidden_softmax_are_refused_with_the_reason(build):
    model = build()
    classifier = Classifier(model, WORDS, what="the model x.keras")
    assert not classifier.has_logits
    with pytest.raises(ModelError) as caught:
        classifier.logits(features(1))
    message = str(caught.value)
    assert message.startswith("the model x.keras has no logits: its softmax is not in a last Dense")
    assert "use the objective log-probability" in message
    x = features(3)
    found = np.asarray(classifier.probabilities(x))
    np.testing.assert_allclose(found, np.asarray(model(x, training=False)), atol=1e-7)


def test_models_run_in_inference_mode():
    model = chain(layers.Dropout(0.9), layers.BatchNormalization(), dense_softmax())
    classifier, x = Classifier(model, WORDS), features(4)
    first = np.asarray(classifier.probabilities(x))
    np.testing.assert_array_equal(first, np.asarray(classifier.probabilities(x)))
    np.testing.assert_allclose(first, np.asarray(model(x, training=False)), atol=1e-6)
    np.testing.assert_array_equal(model.layers[-2].moving_mean, 0)


def test_activations_are_those_of_the_layer():
    classifier, x = Classifier(build_classifier(3), WORDS), features(2)
    pooled = np.asarray(classifier.activations(x, "pool_1"))
    convolved = np.asarray(classifier.activations(x, "conv_1"))
    kernel, bias = classifier.model.get_layer("conv_1").get_weights()
    corners = [x[:, i : 89 + i, j : 79 + j] * kernel[i, j, 0] for i in (0, 1) for j in (0, 1)]
    np.testing.assert_allclose(convolved, np.maximum(sum(corners) + bias, 0), atol=1e-5)
    blocks = convolved[:, :88, :78].reshape(2, 44, 2, 39, 2, 8)
    np.testing.assert_array_equal(pooled, blocks.max(axis=(2, 4)))
    assert classifier.layer_shape("pool_1") == (44, 39, 8)


def test_an_unknown_layer_gets_its_nearest_match():
    classifier = Classifier(build_classifier(3), WORDS)
    with pytest.raises(ParameterError, match=r"'conv1'; did you mean 'conv_1'\? known: .*dense_1"):
        classifier.activations(features(1), "conv1")


def test_words_have_labels_and_unknown_ones_a_nearest_match():
    classifier = Classifier(chain(dense_softmax()), ("yes", "no", "stop"))
    assert [classifier.label(word) for word in ("yes", "no", "stop")] == [0, 1, 2]
    with pytest.raises(
        ParameterError, match=r"'stopp'; did you mean 'stop'\? known: no, stop, yes"
    ):
        classifier.label("stopp")


@pytest.mark.parametrize("block_size", [1, 3, 8, 64])
def test_predicting_in_blocks_equals_single_calls(block_size):
    model = chain(dense_softmax())
    x = features(8)
    single = np.concatenate([np.asarray(model(x[i : i + 1], training=False)) for i in range(8)])
    found = Classifier(model, WORDS).predict(x, block_size=block_size)
    np.testing.assert_allclose(found, single, atol=1e-6)
    assert np.ptp(single, axis=0).max() > 1e-3


@pytest.mark.parametrize("block_size", [5, 16, 64])
def test_a_samples_bits_do_not_depend_on_its_place_nor_on_its_mates(block_size):
    classifier = Classifier(build_classifier(3), WORDS)
    x = features(70)
    together = classifier.predict(x, block_size=block_size)
    alone = classifier.predict(x[37:38], block_size=block_size)
    backwards = classifier.predict(x[::-1], block_size=block_size)[::-1]
    shifted = classifier.predict(x[5:], block_size=block_size)
    np.testing.assert_array_equal(together[37:38], alone)
    np.testing.assert_array_equal(together, backwards)
    np.testing.assert_array_equal(together[5:], shifted)


def test_blocks_are_padded_and_cut():
    sizes = []

    def double(block):
        sizes.append(len(block))
        return 2 * block

    np.testing.assert_array_equal(in_blocks(double, np.arange(10.0), 4), 2 * np.arange(10.0))
    assert len(sizes) == 3
    assert len(set(sizes)) == 1


def test_an_impossible_block_size_is_refused():
    with pytest.raises(ParameterError, match="the block size is 0; expected at least 1"):
        Classifier(chain(dense_softmax()), WORDS).predict(features(2), block_size=0)


def two_inputs() -> keras.Model:
    first, second = keras.Input((90, 80, 1)), keras.Input((90, 80, 1))
    x = layers.Flatten()(layers.AveragePooling2D(16)(layers.Add()([first, second])))
    return keras.Model([first, second], layers.Dense(3)(x))


def with_input(*shape: int | None) -> keras.Model:
    """Return a model on input of another shape."""
    x = inputs = keras.Input(shape)
    x = layers.Reshape((-1, 1))(x) if None not in shape else layers.Masking()(x)
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(x)))


MISFITS = {
    "two inputs": (two_inputs, "has 2 inputs and 1 outputs; expected one of each"),
    "too many outputs": (
        lambda: chain(layers.Dense(4, activation="softmax")),
        "the model has 4 outputs, but there are 3 words; give one word for each output",
    ),
    "output of two axes": (
        lambda: chain(layers.Dense(6), layers.Reshape((2, 3))),
        r"the model's output has shape \(None, 2, 3\); expected \(None, words\)",
    ),
    "mels first": (lambda: with_input(80, 90, 1), "its axes differ: give --frontend features"),
    "no channel": (lambda: with_input(90, 80), "its axes differ: give --frontend features"),
    "no channel, any length": (lambda: with_input(None, 80), "name its front end with --frontend"),
    "three channels": (lambda: with_input(90, 80, 3), "name its front end with --frontend"),
    "waveform": (lambda: with_input(16000), "it takes a waveform: name its front end"),
    "waveform with channel": (
        lambda: with_input(16000, 1),
        "it takes a waveform: name its front end",
    ),
    "mfcc": (lambda: with_input(90, 13, 1), "name its front end with --frontend"),
    "other frames": (
        lambda: with_input(98, 80, 1),
        r"takes input of shape \(None, 98, 80, 1\), expected \(None, 90, 80, 1\); name its"
        ".*with other settings, give these with a --spec file",
    ),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_a_model_that_does_not_fit_is_refused_with_a_way_out(misfit):
    build, message = MISFITS[misfit]
    with pytest.raises(ModelError, match=f"the model x.keras: .*{message}"):
        Classifier(build(), WORDS, what="the model x.keras")


def test_words_that_are_not_all_different_are_refused():
    with pytest.raises(ModelError, match="the words are not all different"):
        Classifier(chain(dense_softmax()), ("no", "yes", "no"))


class Subclassed(keras.Model):
    def call(self, x):
        return x[:, 0, :3, 0]


@pytest.mark.parametrize("build", [lambda: keras.Sequential(trunk()), Subclassed])
def test_a_model_without_known_shapes_is_refused(build):
    with pytest.raises(ModelError, match="the classifier"):
        Classifier(build(), WORDS)


@pytest.mark.parametrize("tail", [(), (layers.Softmax(),), (layers.Lambda(keras.ops.softmax),)])
def test_models_on_any_number_of_frames_are_taken(tail):
    x = inputs = keras.Input((None, 80, 1))
    x = layers.Dense(3)(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(x)))
    for layer in tail:
        x = layer(x)
    model = keras.Model(inputs, x)
    scores = np.asarray(model(features(2)))
    expected = scores if tail else np.asarray(keras.ops.softmax(scores))
    classifier = Classifier(model, WORDS)
    np.testing.assert_allclose(classifier.predict(features(2)), expected, atol=1e-6)


def test_layers_shared_with_another_model_are_tapped_in_this_one():
    """A head that was first used elsewhere, as in transfer learning."""
    head = dense_softmax()
    chain(head)
    model = chain(head)
    x = features(3)
    powers = np.exp(np.asarray(Classifier(model, WORDS).logits(x)))
    softmax = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(softmax, np.asarray(model(x)), atol=1e-6)


def test_a_model_file_with_words_and_spec_is_a_classifier(tmp_path):
    spec = FeatureSpec(frames=50, n_mels=40)
    model = build_classifier(3, frames=50, mels=40)
    model.save(tmp_path / "mine.keras")
    (tmp_path / "words.txt").write_text("stop\n\n yes \nno\n")
    words = read_words(tmp_path / "words.txt")
    assert words == ("stop", "yes", "no")
    classifier = load_classifier(tmp_path / "mine.keras", words, spec)
    x = features(2, shape=spec.shape)
    np.testing.assert_allclose(classifier.predict(x), np.asarray(model(x)), atol=1e-6)
    with pytest.raises(
        ModelError, match=r"the model .*mine\.keras: .*expected \(None, 90, 80, 1\)"
    ):
        load_classifier(tmp_path / "mine.keras", words)
    with pytest.raises(ModelError, match=r"mine\.keras: the model has 3 outputs, but .* 2 words"):
        load_classifier(tmp_path / "mine.keras", words[:2], spec)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"cannot read the words file .*words\.txt"),
        (b"\xff\xfe\x00", r"cannot read the words file .*words\.txt"),
        (b"\n  \n", r"the words file .*words\.txt is empty; expected one word a line"),
    ],
)
def test_a_bad_words_file_is_explained(tmp_path, content, message):
    if content is not None:
        (tmp_path / "words.txt").write_bytes(content)
    with pytest.raises(ModelError, match=message):
        read_words(tmp_path / "words.txt")
