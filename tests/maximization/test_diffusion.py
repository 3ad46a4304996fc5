"""The prior diffusion: starts, schedule and moves by closed forms; the engine's part in it."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import small_classifier

from keras_listen.errors import ParameterError
from keras_listen.features import FeatureSpec
from keras_listen.maximization import objectives, priors
from keras_listen.maximization.ascent import Ascent
from keras_listen.maximization.diffusion import END
from keras_listen.maximization.engine import maximize
from keras_listen.models.bundle import Bundle, create_bundle
from keras_listen.models.classifier import Classifier
from keras_listen.models.denoisers import autoencoder_identity
from keras_listen.models.networks import latent_diffusion as networks
from keras_listen.seeds import derive

SPEC = FeatureSpec(sample_rate=16000, n_fft=1024, hop_length=512, frames=31, n_mels=24)
WORDS = ("a", "b", "c", "d")
SEEDS = np.stack([derive(3, "yes", k) for k in range(4)])
TARGETS = np.array([0, 1, 2, 0], np.int32)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Bundle:
    """A bundle whose denoiser is untrained: it returns the best linear estimate."""
    made = create_bundle(tmp_path_factory.mktemp("untrained") / "bundle", WORDS, SPEC)
    keras.utils.set_random_seed(1)
    parts = {
        "encoder": networks.build_encoder(mels=SPEC.n_mels),
        "decoder": networks.build_decoder(mels=SPEC.n_mels),
    }
    made.add("conv-ae", parts, about={"kind": "conv-ae"})
    mean = np.linspace(-1, 1, networks.CHANNELS).astype(np.float32)
    made.add(
        "diffusion",
        {"denoiser": networks.build_noise_denoiser(width=8, blocks=2)},
        arrays={"latent_mean": mean, "latent_deviation": np.full_like(mean, 0.5)},
        about={
            "kind": "denoiser",
            "autoencoder": autoencoder_identity(made.component("conv-ae")),
        },
    )
    return made


@pytest.fixture(scope="module")
def prior(bundle):
    return priors.diffusion(bundle)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier(small_classifier(0, spec=SPEC), WORDS, SPEC)


def linear(noisy: np.ndarray, noise: float) -> np.ndarray:
    return noisy / (1 + noise**2)


def test_starts_are_noise_that_says_how_much_it_is(prior):
    z = prior.start(TARGETS, SEEDS)
    assert z.shape == (4, 16, networks.CHANNELS + 1)
    assert z.dtype == np.float32
    np.testing.assert_array_equal(z[..., -1], 10)
    assert z[..., :-1].std() == pytest.approx(10, rel=0.05)
    np.testing.assert_array_equal(prior.start(TARGETS[:1], SEEDS[1:2])[0], z[1])


def test_features_are_those_of_the_denoised_latent(prior, bundle):
    z = prior.start(TARGETS, SEEDS)
    mean = np.linspace(-1, 1, networks.CHANNELS)
    latents = (0.5 * linear(z[..., :-1], 10) + mean).astype(np.float32)
    expected = bundle.component("conv-ae").model("decoder")(latents)[:, :31]
    assert expected.shape == (4, *SPEC.shape)
    np.testing.assert_allclose(prior.decode(z), expected, atol=1e-5)


def test_the_gradient_is_that_of_the_denoised_latent(prior, bundle):
    z = tf.constant(prior.start(TARGETS, SEEDS))
    clean = tf.constant(linear(z[..., :-1].numpy(), 10))
    mean = np.linspace(-1, 1, networks.CHANNELS).astype(np.float32)
    decoder = bundle.component("conv-ae").model("decoder")
    with tf.GradientTape() as tape:
        tape.watch(clean)
        total = tf.reduce_sum(decoder(0.5 * clean + mean)[:, :31] ** 2)
    expected = tape.gradient(total, clean)
    with tf.GradientTape() as tape:
        tape.watch(z)
        total = tf.reduce_sum(prior.decode(z) ** 2)
    found = tape.gradient(total, z)
    np.testing.assert_allclose(found[..., :-1], expected, rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(found[..., -1], 0)


def test_a_recording_has_hardly_any_noise_and_comes_back(prior, bundle):
    features = np.random.default_rng(0).uniform(0, 1, (2, *SPEC.shape)).astype(np.float32)
    z = np.asarray(prior.encode(features))
    latents = bundle.component("conv-ae").model("encoder")(features)
    mean = np.linspace(-1, 1, networks.CHANNELS)
    np.testing.assert_allclose(z[..., :-1], (latents - mean) / 0.5, atol=1e-5)
    np.testing.assert_allclose(z[..., -1], END)


@pytest.mark.parametrize("steps", [1, 3, 20])
def test_noise_falls_along_the_published_schedule(prior, steps):
    z, sized = prior.start(TARGETS, SEEDS), prior.for_steps(steps)
    assert sized is prior.for_steps(steps)
    ends = 10.0 ** (1 / 7), END ** (1 / 7)
    schedule = (ends[0] + np.arange(steps + 1) / steps * (ends[1] - ends[0])) ** 7
    for number in range(steps):
        noise, lower = schedule[number : number + 2]
        expected = (linear(z[..., :-1], noise) - z[..., :-1]) * (1 - lower / noise)
        change = np.asarray(sized.move(tf.constant(z), step=tf.constant(number), seeds=SEEDS))
        np.testing.assert_allclose(change[..., :-1], expected, rtol=1e-3, atol=1e-4)
        z = z + change
        np.testing.assert_allclose(z[..., -1], lower, rtol=1e-3)
    np.testing.assert_allclose(z[..., -1], END, rtol=1e-3)


def test_without_a_length_the_noise_falls_by_a_tenth(prior):
    z = prior.start(TARGETS, SEEDS)
    change = prior.move(tf.constant(z), step=tf.constant(5), seeds=SEEDS)
    np.testing.assert_allclose(np.asarray(change)[..., -1], -1, rtol=1e-5)


def test_a_recording_gets_noise_at_the_first_step_and_loses_it_to_the_last(bundle):
    edited = priors.diffusion(bundle, edit=2.0).for_steps(6)
    features = np.random.default_rng(0).uniform(0, 1, (2, *SPEC.shape)).astype(np.float32)
    z = np.asarray(edited.encode(features))
    first = np.asarray(edited.move(tf.constant(z), step=tf.constant(0), seeds=SEEDS[:2]))
    np.testing.assert_allclose(first[..., -1] + END, 2, rtol=1e-5)
    assert first[..., :-1].std() == pytest.approx(2, rel=0.1)
    alone = np.asarray(edited.move(tf.constant(z[1:]), step=tf.constant(0), seeds=SEEDS[1:2]))
    np.testing.assert_array_equal(alone[0, ..., :-1], first[1, ..., :-1])
    z = z + first
    for number in range(1, 6):
        z = z + np.asarray(edited.move(tf.constant(z), step=tf.constant(number), seeds=SEEDS[:2]))
    np.testing.assert_allclose(z[..., -1], END, rtol=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"noise": 0.05}, "noise is 0.05; expected more than 0.05 and at most 100"),
        ({"noise": 101.0}, "noise is 101.0; expected more than 0.05 and at most 100"),
        ({"edit": float("nan")}, "edit is nan; expected more than 0.05 and at most 100"),
    ],
)
def test_impossible_noise_is_refused(bundle, settings, message):
    with pytest.raises(ParameterError, match=message):
        priors.diffusion(bundle, **settings)


def climbed(classifier, prior, **settings):
    objective = objectives.logit(SimpleNamespace(classifier=classifier))
    return maximize(
        *(classifier, objective, prior, prior.start(TARGETS, SEEDS), TARGETS),
        Ascent(**settings),
        seeds=SEEDS,
        block_size=24,
    )


def test_an_ascent_ends_without_noise_whatever_its_length(classifier, prior):
    for steps in (2, 5):
        found = climbed(classifier, prior, steps=steps)
        np.testing.assert_allclose(found.z[..., -1], END, rtol=1e-3)
        assert found.features.shape == (4, *SPEC.shape)
    assert (found.scores[-1] > found.scores[0]).all()


def test_a_sample_that_stops_climbing_still_loses_its_noise(classifier, prior):
    stopped = climbed(classifier, prior, steps=5, stop_at=1e-6)
    np.testing.assert_allclose(stopped.z[..., -1], END, rtol=1e-3)
    still = climbed(classifier, prior, steps=5, step_size=1e-9)
    np.testing.assert_allclose(stopped.z, still.z, atol=1e-4)
