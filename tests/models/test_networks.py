"""The published networks, layer by layer, and what the variational autoencoder adds."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_listen.errors import ParameterError
from keras_listen.models.networks.autoencoder import build_autoencoder, build_decoder, build_encoder
from keras_listen.models.networks.classifier import SMALLEST, build_classifier
from keras_listen.models.networks.vae import SampleLatent, build_vae, build_vae_encoder

RNG = np.random.default_rng(0)


def shapes_of(model: keras.Model) -> list[tuple[int, ...]]:
    """Return the shapes between layers, without the batch, dropouts and repetitions."""
    shapes = [tuple(layer.output.shape[1:]) for layer in model.layers]
    return [shape for i, shape in enumerate(shapes) if i == 0 or shape != shapes[i - 1]]


def conv(size: int, before: int, filters: int) -> int:
    return size * size * before * filters + filters


def dense(before: int, units: int) -> int:
    return before * units + units


def noise(*shape: int) -> np.ndarray:
    return RNG.uniform(size=shape).astype(np.float32)


def test_the_classifier_is_the_published_one():
    model = build_classifier(35)
    assert shapes_of(model) == [
        (90, 80, 1),
        (89, 79, 8),
        (44, 39, 8),
        (43, 38, 16),
        (21, 19, 16),
        (20, 18, 32),
        (10, 9, 32),
        (2880,),
        (512,),
        (256,),
        (128,),
        (35,),
    ]
    convolutions = conv(2, 1, 8) + conv(2, 8, 16) + conv(2, 16, 32)
    denses = dense(2880, 512) + dense(512, 256) + dense(256, 128) + dense(128, 35)
    assert model.count_params() == convolutions + denses == 1_646_459
    dropouts = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert dropouts == [0.2] * 6
    activations = [
        a.__name__ for layer in model.layers if (a := getattr(layer, "activation", None))
    ]
    assert activations == ["relu"] * 6 + ["softmax"]


def test_the_classifier_returns_probabilities_and_drops_out_in_training_only():
    model, features = build_classifier(35), noise(3, 90, 80, 1)
    calm = np.asarray(model(features, training=False))
    np.testing.assert_allclose(calm.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(calm, np.asarray(model(features, training=False)))
    assert np.abs(calm - np.asarray(model(features, training=True))).max() > 1e-3


@pytest.mark.parametrize(("frames", "mels"), [(98, 64), (50, 40), (SMALLEST, SMALLEST)])
def test_the_classifier_takes_other_sizes(frames, mels):
    model = build_classifier(5, frames=frames, mels=mels)
    first, second = np.asarray(model(noise(2, frames, mels, 1), training=False))
    assert first.shape == (5,)
    assert not np.allclose(first, second)


@pytest.mark.parametrize("size", [(SMALLEST - 1, 80), (90, SMALLEST - 1)])
def test_too_small_features_are_refused(size):
    frames, mels = size
    message = rf"features of {frames} frames and {mels} mels are too small .* at least 22 of each"
    with pytest.raises(ParameterError, match=message):
        build_classifier(5, frames=frames, mels=mels)


def test_one_word_is_no_classifier():
    with pytest.raises(ParameterError, match=r"a classifier of 1 word\(s\) is none"):
        build_classifier(1)


def test_the_encoder_is_the_published_one():
    encoder = build_encoder()
    assert shapes_of(encoder) == [
        (90, 80, 1),
        (90, 80, 16),
        (30, 40, 16),
        (30, 40, 32),
        (10, 20, 32),
        (10, 20, 64),
        (5, 10, 64),
        (5, 10, 128),
        (6400,),
        (256,),
    ]
    convolutions = conv(2, 1, 16) + conv(2, 16, 32) + conv(2, 32, 64) + conv(2, 64, 128)
    assert encoder.count_params() == convolutions + dense(6400, 256) == 1_681_968


def test_the_decoder_is_the_published_one():
    decoder = build_decoder()
    assert shapes_of(decoder) == [
        (256,),
        (6400,),
        (5, 10, 128),
        (10, 20, 128),
        (10, 20, 64),
        (30, 40, 64),
        (30, 40, 32),
        (90, 80, 32),
        (90, 80, 1),
    ]
    convolutions = conv(2, 128, 128) + conv(2, 128, 64) + conv(2, 64, 32) + conv(3, 32, 1)
    assert decoder.count_params() == dense(256, 6400) + convolutions == 1_751_809
    activations = [layer.activation.__name__ for layer in decoder.layers if layer.count_params()]
    assert activations == ["linear", "relu", "relu", "relu", "sigmoid"]


def test_the_latent_has_no_activation():
    encoder = build_encoder()
    flat = keras.Model(encoder.input, encoder.get_layer("flatten").output)
    features = noise(2, 90, 80, 1)
    layer = encoder.get_layer("latent")
    expected = np.asarray(flat(features)) @ np.asarray(layer.kernel) + np.asarray(layer.bias)
    latent = np.asarray(encoder(features))
    assert latent.min() < 0 < latent.max()
    np.testing.assert_allclose(latent, expected, atol=1e-5)


def test_decoded_features_lie_in_the_range_of_features():
    decoded = np.asarray(build_decoder()(RNG.normal(0, 50, (4, 256)).astype(np.float32)))
    assert decoded.min() >= 0
    assert decoded.max() <= 1
    assert decoded.max() - decoded.min() > 0.5


@pytest.mark.parametrize(("frames", "mels"), [(90, 80), (50, 40), (98, 64), (7, 5)])
def test_autoencoders_of_other_sizes_return_what_they_take(frames, mels):
    size = {"frames": frames, "mels": mels, "latent": 16}
    encoder, decoder = build_encoder(**size), build_decoder(**size)
    model, features = build_autoencoder(encoder, decoder), noise(2, frames, mels, 1)
    out = np.asarray(model(features))
    assert out.shape == features.shape
    np.testing.assert_allclose(out, np.asarray(decoder(encoder(features))), atol=1e-6)


@pytest.mark.parametrize("place", [(0, 0), (49, 0), (0, 39), (49, 39)])
def test_padding_loses_no_frame_and_no_band(place):
    """50 x 40 is padded to 54 x 40 inside: every corner must still reach the latent."""
    encoder = build_encoder(frames=50, mels=40)
    features = np.zeros((1, 50, 40, 1), np.float32)
    silent = np.asarray(encoder(features))
    features[0, place[0], place[1], 0] = 1
    assert np.abs(np.asarray(encoder(features)) - silent).max() > 0


@pytest.mark.parametrize("size", [{"frames": 0}, {"mels": 0}, {"latent": 0}])
def test_a_decoder_of_nothing_is_refused(size):
    with pytest.raises(ParameterError, match="must all be at least 1"):
        build_decoder(**size)


@pytest.fixture(scope="module")
def vae_parts() -> tuple[keras.Model, keras.Model]:
    """Encoder and decoder of a VAE whose log-variance depends on the features."""
    keras.utils.set_random_seed(0)
    encoder, decoder = build_vae_encoder(), build_decoder()
    layer = encoder.get_layer("log_variance")
    layer.kernel.assign(RNG.normal(0, 0.05, layer.kernel.shape))
    return encoder, decoder


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_the_vaes_loss_is_cross_entropy_and_weighted_divergence(vae_parts, beta):
    encoder, decoder = vae_parts
    features = noise(6, 90, 80, 1)
    model = build_vae(encoder, decoder, beta=beta)
    model.compile("adam", "binary_crossentropy")
    loss = model.evaluate(features, features, batch_size=6, verbose=0)

    mean, log_variance = (np.asarray(v, np.float64) for v in encoder(features))
    x, decoded = (
        features.astype(np.float64),
        np.asarray(decoder(mean.astype(np.float32)), np.float64),
    )
    cross_entropy = -(x * np.log(decoded) + (1 - x) * np.log(1 - decoded)).mean()
    divergence = 0.5 * (np.exp(log_variance) + mean**2 - 1 - log_variance).sum(axis=1).mean()
    assert beta * divergence / 7200 > 1e-3 or beta == 0
    np.testing.assert_allclose(loss, cross_entropy + beta * divergence / 7200, rtol=1e-5)


def test_a_fresh_vae_starts_at_a_small_variance():
    _, log_variance = build_vae_encoder()(noise(2, 90, 80, 1))
    np.testing.assert_array_equal(np.asarray(log_variance), -2)


def test_draws_have_the_mean_and_the_variance_asked_for():
    sample = SampleLatent(0.0, seed=3)
    mean = np.full((20000, 2), [1.0, -2.0], np.float32)
    log_variance = np.full((20000, 2), [0.0, -4.0], np.float32)
    draws = np.asarray(sample([mean, log_variance], training=True))
    np.testing.assert_allclose(draws.mean(axis=0), [1, -2], atol=0.03)
    np.testing.assert_allclose(draws.std(axis=0), [1, np.exp(-2)], rtol=0.03)
    again = np.asarray(sample([mean, log_variance], training=True))
    assert not np.array_equal(draws, again)
    np.testing.assert_array_equal(np.asarray(sample([mean, log_variance], training=False)), mean)
