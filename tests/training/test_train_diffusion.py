"""The latent diffusion model: its networks, how they are trained, and what is kept."""

from __future__ import annotations

import shutil

import keras
import numpy as np
import pytest

from keras_listen.data.corpus import read_corpus
from keras_listen.data.prepare import prepare
from keras_listen.data.store import Store
from keras_listen.errors import BundleError, ParameterError
from keras_listen.features import FeatureSpec
from keras_listen.maximization import priors
from keras_listen.models.bundle import Bundle
from keras_listen.models.networks import latent_diffusion as networks
from keras_listen.training.api import train
from keras_listen.training.augmentation import SHARP
from keras_listen.training.batches import StoreBatches
from keras_listen.training.diffusion import LOG_NOISE, NoisyBatches, channel_statistics

#: An odd number of frames: the decoder has one too many.
SMALL = FeatureSpec(sample_rate=16000, n_fft=1024, hop_length=512, frames=31, n_mels=24)
BOTH = ("conv-ae", "diffusion")


@pytest.fixture(scope="module")
def small_store(tiny_corpus, tmp_path_factory) -> Store:
    target = tmp_path_factory.mktemp("small") / "store"
    return prepare(read_corpus(tiny_corpus), target, spec=SMALL, workers=1).store


@pytest.fixture(scope="module")
def trained(small_store, tmp_path_factory) -> Bundle:
    target = tmp_path_factory.mktemp("trained") / "bundle"
    train(small_store, target, only=["conv-ae"], epochs=30)
    return train(small_store, target, only=BOTH, epochs=12)


def random_latents(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_networks_serve_any_number_of_frames_and_give_the_same_inside():
    encoder, decoder = networks.build_encoder(mels=24), networks.build_decoder(mels=24)
    denoiser = networks.build_noise_denoiser(channels=networks.CHANNELS)
    features = np.random.default_rng(1).uniform(0, 1, (1, 200, 24, 1)).astype(np.float32)
    long, short = np.asarray(encoder(features)), np.asarray(encoder(features[:, :120]))
    assert long.shape == (1, 100, networks.CHANNELS)
    np.testing.assert_allclose(long[:, :50], short[:, :50], atol=1e-5)
    decoded = np.asarray(decoder(long))
    assert decoded.shape == features.shape
    assert 0 < decoded.min() < decoded.max() < 1
    np.testing.assert_allclose(decoded[:, :80], decoder(short)[:, :80], atol=1e-5)
    assert denoiser([long, np.ones((1, 1), np.float32)]).shape == long.shape


@pytest.mark.parametrize("mels", [0, -3])
def test_impossible_sizes_are_refused(mels):
    for build in (networks.build_encoder, networks.build_decoder):
        with pytest.raises(ParameterError, match=f"mels is {mels}; expected at least 1"):
            build(mels=mels)


def test_an_untrained_denoiser_gives_the_best_linear_estimate():
    denoiser = networks.build_noise_denoiser(channels=3, width=8, blocks=2)
    noisy, noise = random_latents(4, 10, 3), np.array([[0.1], [0.5], [1], [7]], np.float32)
    expected = noisy / (1 + np.square(noise[:, None]))
    np.testing.assert_allclose(denoiser([noisy, noise]), expected, rtol=1e-5)


def test_the_loss_is_that_of_values_and_slopes():
    x, y = np.random.default_rng(2).uniform(0, 1, (2, 3, 5, 6, 1)).astype(np.float32)
    error = y - x
    expected = (
        np.abs(error).mean((1, 2, 3))
        + 4 * np.square(error).mean((1, 2, 3))
        + 0.5 * np.abs(np.diff(error, axis=2)).mean((1, 2, 3))
        + 0.3 * np.abs(np.diff(error, axis=1)).mean((1, 2, 3))
    )
    np.testing.assert_allclose(networks.reconstruction_loss(x, y), expected, rtol=1e-5)
    thin = networks.reconstruction_loss(x[:, :, :1], y[:, :, :1])
    assert np.isfinite(thin).all()


def test_latents_are_noisy_in_training_alone():
    layer = networks.NoisyLatent(0.5, weight=0.1, seed=3)
    latents = random_latents(8, 50, 20)
    np.testing.assert_array_equal(layer(latents), latents)
    noise = np.asarray(layer(latents, training=True)) - latents
    assert noise.std() == pytest.approx(0.5, rel=0.05)
    assert float(layer.losses[0]) == pytest.approx(0.1 * np.square(latents).mean(), rel=1e-4)


def test_shifts_by_whole_frames_keep_features_as_they_are():
    features = np.random.default_rng(4).uniform(0.2, 0.8, (3, 40, 24)).astype(np.float32)
    still = SHARP.__class__(
        shift=5, gain_db=0, noise_share=0, mask_mels=0, whole_frames=SHARP.whole_frames
    )
    shifted = still.apply(features, SMALL, np.zeros((0, 24)), np.random.default_rng(0))
    for before, after in zip(features, shifted, strict=True):
        moves = [k for k in range(-5, 6) if np.array_equal(after[5:35], before[5 - k : 35 - k])]
        assert len(moves) == 1


def test_noise_depends_on_the_key_and_weights_make_amounts_count_alike(trained, small_store):
    component = trained.component("conv-ae")
    mean, deviation = channel_statistics(component)
    features = StoreBatches(small_store, small_store.split("training"), 16, labelled=False)
    batches = NoisyBatches(features, component.model("encoder"), mean, deviation, (1, 0))
    (noisy, noise), clean, weight = next(iter(batches))
    assert noisy.shape == clean.shape == (16, 16, networks.CHANNELS)
    np.testing.assert_allclose((noisy - clean).std((1, 2)), noise[:, 0], rtol=0.25)
    np.testing.assert_allclose(weight, (1 + noise**2) / noise**2, rtol=1e-6)
    again, other = next(iter(batches))[0], next(iter(batches.shuffled(None, (2, 0))))[0]
    np.testing.assert_array_equal(again[0], noisy)
    assert not np.array_equal(other[1], noise)
    everything = np.concatenate([batch[0][1] for batch in batches])
    assert np.log(everything).mean() == pytest.approx(LOG_NOISE[0], abs=0.8)
    whole = np.concatenate([batch[1] for batch in batches])
    np.testing.assert_allclose(whole.mean((0, 1)), 0, atol=1e-3)
    np.testing.assert_allclose(whole.std((0, 1)), 1, atol=1e-3)


def test_what_is_trained_is_kept_with_its_figures(trained, small_store):
    autoencoder, diffusion = (trained.component(name) for name in BOTH)
    assert autoencoder.about["kind"] == "conv-ae"
    assert diffusion.about["kind"] == "denoiser"
    assert autoencoder.figures["mean_squared_error"] < 0.01
    left = diffusion.figures["noise_left"]
    assert list(left) == ["0.1", "0.3", "1", "3"]
    # Better than the linear estimate, which leaves 1 / (1 + noise^2) of the power.
    assert left["1"] < 0.5
    assert left["3"] < 0.1
    features = small_store.batch(small_store.split("testing"))
    prior = priors.diffusion(trained)
    apart = np.square(np.asarray(prior.decode(prior.encode(features))) - features).mean()
    assert apart < 0.01


def test_a_killed_training_ends_the_same(trained, small_store, tmp_path):
    class StopError(Exception):
        pass

    def stop(name: str, row: dict) -> None:
        if row["epoch"] == 1:
            raise StopError

    results = []
    for name, announce in (("whole", None), ("killed", stop)):
        root = tmp_path / name
        shutil.copytree(trained.root, root)
        shutil.rmtree(root / "diffusion")
        if announce:
            with pytest.raises(StopError):
                train(small_store, root, only=["diffusion"], epochs=2, announce=announce)
        part = train(small_store, root, only=["diffusion"], epochs=2).component("diffusion")
        results.append(part)
    assert results[0].files["curves.csv"] == results[1].files["curves.csv"]
    inputs = [random_latents(1, 16, networks.CHANNELS), np.ones((1, 1), np.float32)]
    first, second = (np.asarray(part.model("denoiser")(inputs)) for part in results)
    np.testing.assert_array_equal(first, second)


def test_a_denoiser_without_its_autoencoder_is_refused_with_the_remedy(small_store, tmp_path):
    message = r"diffusion is fitted to the latents of conv-ae, but the bundle .* --only conv-ae,dif"
    with pytest.raises(BundleError, match=message) as caught:
        train(small_store, tmp_path / "bundle", only=["diffusion"], epochs=1)
    assert "\n" not in str(caught.value)


def test_a_bundle_from_before_says_how_to_train_the_prior(small_store, tmp_path):
    bundle = train(small_store, tmp_path / "bundle", only=["conv-ae"], epochs=1)
    command = f"keras-listen train STORE {bundle.root} --only diffusion"
    message = f"has no component diffusion, which .* needs; train with: {command}"
    with pytest.raises(BundleError, match=message):
        priors.diffusion(bundle)
    train(small_store, bundle.root, only=["diffusion"], epochs=1)
    assert priors.diffusion(Bundle(bundle.root)).bounded


def test_another_autoencoder_makes_the_denoiser_outdated(trained, small_store, tmp_path):
    root = tmp_path / "bundle"
    shutil.copytree(trained.root, root)
    shutil.rmtree(root / "conv-ae")
    keras.utils.clear_session()
    bundle = train(small_store, root, only=["conv-ae"], epochs=1, seed=5)
    with pytest.raises(BundleError, match="fitted to another autoencoder"):
        priors.diffusion(bundle)
    before = bundle.component("diffusion").files
    again = train(small_store, root, only=BOTH, epochs=1)
    assert again.component("diffusion").files != before
    assert priors.diffusion(again).latent_shape == (16, networks.CHANNELS + 1)
