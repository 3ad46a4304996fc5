"""Priors: values by hand; their contract is in test_testing_priors.py."""

from __future__ import annotations

import shutil

import keras
import numpy as np
import pytest

from keras_listen import load_bundle, testing
from keras_listen.errors import BundleError, ParameterError
from keras_listen.features import FeatureSpec
from keras_listen.maximization import priors
from keras_listen.models.bundle import Bundle, create_bundle
from keras_listen.plugins import default_registry
from keras_listen.seeds import derive, normal

REGISTERED = [c for c in default_registry().components if c.kind == "prior"]


@pytest.fixture(scope="module")
def bundle():
    return load_bundle()


def seeds_of(numbers) -> np.ndarray:
    return np.stack([derive(0, "yes", k) for k in numbers])


def test_seeds_depend_on_run_word_and_number_alone():
    # Written down once: a change here changes every published sample.
    assert derive(0, "yes", 0).tolist() == [3993908851, 458356356]
    others = [derive(1, "yes", 0), derive(0, "no", 0), derive(0, "yes", 1), derive(0, "yes1", 0)]
    assert len({tuple(seed) for seed in [derive(0, "yes", 0), *others]}) == 5
    assert derive(0, "yes", 0).dtype == np.uint32


def test_normal_noise_has_the_deviation_asked_for():
    noise = normal(seeds_of(range(4)), (100, 50), 0.1)
    assert noise.dtype == np.float32
    assert noise.shape == (4, 100, 50)
    np.testing.assert_allclose(noise.std(axis=(1, 2)), 0.1, rtol=0.05)
    np.testing.assert_allclose(noise.mean(axis=(1, 2)), 0, atol=0.01)


def test_none_is_the_identity_with_published_noise():
    spec = FeatureSpec(frames=5, n_mels=6)
    prior = priors.Identity(spec)
    z = prior.start(np.zeros(200, np.int32), seeds_of(range(200)))
    assert z.shape == (200, 5, 6, 1)
    assert z.std() == pytest.approx(0.1, rel=0.05)
    assert prior.decode(z) is z
    assert prior.encode(z) is z
    assert (prior.step_size, prior.bounded) == (0.01, False)


def test_ae_is_the_bundles_decoder_and_encoder(bundle):
    prior = priors.ae(bundle)
    z = prior.start(np.zeros(2, np.int32), seeds_of(range(2)))
    assert z.shape == (2, 256)
    component = bundle.component("ae")
    features = component.model("decoder")(z, training=False)
    np.testing.assert_array_equal(prior.decode(z), features)
    encoded = component.model("encoder")(features, training=False)
    np.testing.assert_array_equal(prior.encode(features), encoded)
    assert (prior.step_size, prior.bounded) == (0.1, True)


def test_starts_of_ae_are_published_noise_and_those_of_vae_its_prior(bundle):
    seeds = seeds_of(range(20))
    assert priors.ae(bundle).start(np.zeros(20), seeds).std() == pytest.approx(0.1, rel=0.05)
    assert priors.vae(bundle).start(np.zeros(20), seeds).std() == pytest.approx(1.0, rel=0.05)
    wide = priors.ae(bundle, start_deviation=0.5)
    assert wide.start(np.zeros(20), seeds).std() == pytest.approx(0.5, rel=0.05)


def test_vae_encodes_to_the_mean_without_noise(bundle):
    prior = priors.vae(bundle)
    x = np.random.default_rng(0).uniform(0, 1, (2, *bundle.spec.shape)).astype(np.float32)
    mean, _ = bundle.component("vae").model("encoder")(x, training=False)
    np.testing.assert_array_equal(prior.encode(x), mean)
    np.testing.assert_array_equal(prior.encode(x), prior.encode(x))


def test_weights_pick_the_component(bundle):
    seeds = seeds_of(range(1))
    z = priors.ae(bundle).start(np.zeros(1), seeds)
    as_ae, as_vae = priors.ae(bundle), priors.ae(bundle, weights="vae")
    np.testing.assert_array_equal(as_vae.decode(z), priors.vae(bundle).decode(z))
    assert np.abs(as_vae.decode(z) - as_ae.decode(z)).max() > 1e-3
    with pytest.raises(BundleError, match="'aee'; did you mean 'ae'"):
        priors.ae(bundle, weights="aee")


def test_built_in_priors_are_registered():
    assert {"none", "ae", "vae", "diffusion"} <= {component.name for component in REGISTERED}


class Nudged(priors.Latent):
    """What a plugin makes of the base class: a move, and starts of its own."""

    step_size = 0.2

    def start(self, targets, seeds):
        return 2 * super().start(targets, seeds)

    def move(self, z, *, step, seeds):
        return 0.5 + 0 * z


def test_a_prior_of_a_plugin_extends_that_of_a_decoder(bundle):
    component, seeds = bundle.component("vae"), seeds_of(range(20))
    prior, plain = Nudged(component), priors.Latent(component)
    assert (prior.spec, prior.latent_shape, prior.bounded) == (bundle.spec, (256,), True)
    assert not hasattr(plain, "move")
    assert plain.start(np.zeros(20), seeds).std() == pytest.approx(0.1, rel=0.05)
    z = prior.start(np.zeros(20), seeds)
    np.testing.assert_array_equal(z, 2 * plain.start(np.zeros(20), seeds))
    np.testing.assert_array_equal(prior.decode(z), component.model("decoder")(z, training=False))
    mean, _ = component.model("encoder")(prior.decode(z), training=False)
    np.testing.assert_array_equal(prior.encode(prior.decode(z)), mean)
    # The faster one is of the same class, decodes the same, and is made once.
    faster = prior.rewritten
    assert isinstance(faster, Nudged)
    assert prior.rewritten is faster
    assert (faster.step_size, faster.move(z, step=0, seeds=None)[0, 0]) == (0.2, 0.5)
    np.testing.assert_allclose(faster.decode(z), prior.decode(z), atol=1e-5)
    with pytest.raises(BundleError, match="classifier"):
        priors.Latent(bundle.component("classifier"))


def test_a_prior_that_extends_one_keeps_the_contract(bundle):
    made = testing.check_prior(lambda bundle: Nudged(bundle.component("ae")), bundle)
    assert isinstance(made, Nudged)


def test_the_pull_goes_up_the_density_of_real_latents(bundle):
    mean, deviation = np.float32([1, 0, -2]), np.float32([1, 2, 0.5])
    component = bundle.component("ae")
    prior = priors.Pulled(component, 0.1, 0.1, mean, deviation)
    z = np.float32([[2, 2, 2], [1, 0, -2]])
    # A tenth along the unit of the middle deviation, 1; a quarter of that where it is 2, and four
    # times as much where it is a half.
    np.testing.assert_allclose(
        prior.move(z, step=0, seeds=None), [[-0.1, -0.05, -1.6], [0, 0, 0]], atol=1e-6
    )
    strong = priors.Pulled(component, 0.1, 0.9, mean, deviation)
    np.testing.assert_allclose(z + strong.move(z, step=0, seeds=None), [[1.1, 1.55, -2], z[1]])


def test_the_pull_of_a_bundle_is_towards_its_training_latents(bundle):
    prior = priors.ae(bundle, pull=0.05)
    arrays = bundle.component("ae").arrays
    np.testing.assert_array_equal(
        prior.move(arrays["latent_mean"][None], step=0, seeds=None), np.zeros((1, 256))
    )
    z = np.ones((1, 256), np.float32)
    np.testing.assert_allclose(priors.vae(bundle, pull=0.05).move(z, step=0, seeds=None), -0.05 * z)
    for made in (priors.ae(bundle), priors.vae(bundle)):
        assert not np.any(made.move(z, step=0, seeds=None))


def test_a_pull_needs_to_know_where_to_and_how_much(bundle, tmp_path):
    with pytest.raises(ParameterError, match=r"pull is 1\.5; expected at least 0 and below 1"):
        priors.vae(bundle, pull=1.5)
    old = create_bundle(tmp_path / "old", bundle.words, bundle.spec)
    component = bundle.component("ae")
    old.add("ae", {part: component.model(part) for part in ("encoder", "decoder")})
    with pytest.raises(
        BundleError, match=r"component ae .*; train it again, or leave the pull out"
    ):
        priors.ae(old, pull=0.1)


@pytest.mark.parametrize("make", [priors.none, priors.ae, priors.vae])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_noise_needs_a_deviation(make, value, bundle):
    with pytest.raises(ParameterError, match=f"^start_deviation is {value}; expected at least 0$"):
        make(bundle, start_deviation=value)


def halving(units: int) -> keras.Model:
    """A denoiser that halves a latent and adds 1."""
    model = keras.Sequential([keras.Input((units,)), keras.layers.Dense(units)])
    model.set_weights([0.5 * np.eye(units), np.ones(units)])
    return model


def test_the_learned_pull_goes_its_share_of_the_way_to_the_denoised_latent(bundle):
    prior = priors.Denoised(bundle.component("ae"), 0.1, halving(256), 0.25)
    z = np.zeros((2, 256), np.float32)
    z[0, :3] = 4, -2, 2
    # R(z) - z = 1 - z / 2: -1, 2, 0 for the first three units, 1 where z is 0.
    expected = np.full((2, 256), 0.25)
    expected[0, :3] = -0.25, 0.5, 0
    np.testing.assert_allclose(prior.move(z, step=0, seeds=None), expected, atol=1e-6)
    np.testing.assert_allclose(prior.rewritten.move(z, step=0, seeds=None), expected, atol=1e-6)


@pytest.mark.parametrize(("name", "factory"), [("ae", priors.ae), ("vae", priors.vae)])
def test_the_learned_pull_uses_the_bundles_denoiser(bundle, name, factory):
    prior, z = factory(bundle, learned_pull=0.5), np.ones((2, 256), np.float32)
    denoised = bundle.component(f"{name}-denoiser").model("denoiser")(z)
    np.testing.assert_allclose(prior.move(z, step=0, seeds=None), 0.5 * (denoised - z), atol=1e-5)
    assert prior.notes == ()
    assert list(prior.files) == [f"{name}-denoiser"]
    # Without it, everything is as published.
    assert not isinstance(factory(bundle), priors.Denoised)


def test_without_a_denoiser_latents_are_decoded_and_encoded_again(bundle, tmp_path):
    root = shutil.copytree(bundle.root, tmp_path / "bundle")
    shutil.rmtree(root / "ae-denoiser")
    prior, z = priors.ae(Bundle(root), learned_pull=0.5), np.ones((2, 256), np.float32)
    expected = 0.5 * (prior.encode(prior.decode(z)) - z)
    np.testing.assert_allclose(prior.move(z, step=0, seeds=None), expected, atol=1e-5)
    (note,) = prior.notes
    assert note.endswith(f"keras-listen train STORE {root} --only ae-denoiser")
    assert prior.files == {}


def test_a_denoiser_of_another_autoencoder_is_refused(bundle, tmp_path):
    root = shutil.copytree(bundle.root, tmp_path / "bundle")
    part = bundle.component("vae")
    models = {name: part.model(name) for name in ("encoder", "decoder")}
    Bundle(root).add("ae", models, about={"kind": "ae"})
    message = "the denoiser ae-denoiser of .* was fitted to another autoencoder than .*/ae; remove"
    with pytest.raises(BundleError, match=message):
        priors.ae(Bundle(root), learned_pull=0.3)
    priors.ae(Bundle(root))


@pytest.mark.parametrize("factory", [priors.ae, priors.vae])
def test_two_pulls_are_refused(bundle, factory):
    with pytest.raises(ParameterError, match=r"pull is 0\.1 and learned_pull 0\.3, .* to 0"):
        factory(bundle, pull=0.1, learned_pull=0.3)
    with pytest.raises(ParameterError, match=r"learned_pull is -0\.1; expected a number from 0"):
        factory(bundle, learned_pull=-0.1)
