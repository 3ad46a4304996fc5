"""The prior: its move by hand, its noise, its denoiser, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import UNITS, make_bundle
from keras_listen_ppgn import fit, ppgn
from keras_listen_ppgn.prior import PlugAndPlay, draw

from keras_listen import ListenError
from keras_listen.errors import BundleError, ParameterError
from keras_listen.models.bundle import create_bundle
from keras_listen.models.denoisers import autoencoder_identity as identity
from keras_listen.models.networks.denoiser import build_denoiser
from keras_listen.plugins import default_registry

#: Latents of 34 testing utterances, two a word, from the embedded autoencoder.
LATENTS = np.load(Path(__file__).with_name("latents.npy")).astype(np.float32)


def halving(units: int) -> keras.Model:
    """A denoiser that halves a latent and adds 1."""
    model = keras.Sequential([keras.Input((units,)), keras.layers.Dense(units)])
    model.set_weights([0.5 * np.eye(units), np.ones(units)])
    return model


def prior_of(bundle, **settings) -> PlugAndPlay:
    return PlugAndPlay(bundle.component("ae"), **settings)


def test_the_pull_goes_its_share_of_the_way_to_the_denoised_latent(bundle, seeds):
    prior = prior_of(bundle, denoiser=halving(UNITS), pull=0.25)
    z = np.zeros((2, UNITS), np.float32)
    z[0, :3] = 4, -2, 2
    # R(z) - z = 1 - z / 2: -1, 2, 0 for the first three units, 1 where z is 0.
    expected = np.full((2, UNITS), 0.25)
    expected[0, :3] = -0.25, 0.5, 0
    np.testing.assert_allclose(prior.move(z, step=0, seeds=seeds[:2]), expected, atol=1e-6)


def test_without_a_denoiser_the_latent_is_decoded_and_encoded(bundle, seeds):
    prior = prior_of(bundle, pull=0.5)
    z = np.random.default_rng(0).normal(size=(3, UNITS)).astype(np.float32)
    (into, into_bias), (out, out_bias) = (
        bundle.component("ae").model(part).get_weights() for part in ("encoder", "decoder")
    )
    decoded = 1 / (1 + np.exp(-(z @ out + out_bias)))
    expected = 0.5 * (decoded @ into + into_bias - z)
    np.testing.assert_allclose(prior.move(z, step=0, seeds=seeds[:3]), expected, atol=1e-5)
    rewritten = prior.rewritten
    np.testing.assert_allclose(rewritten.move(z, step=0, seeds=seeds[:3]), expected, atol=1e-5)


def test_noise_has_the_deviation_asked_for_and_is_added_to_the_pull(bundle, seeds):
    denoiser, z = halving(UNITS), np.ones((48, UNITS), np.float32)
    still = prior_of(bundle, denoiser=denoiser, pull=0.5).move(z, step=3, seeds=seeds)
    noisy = prior_of(bundle, denoiser=denoiser, pull=0.5, noise=0.2).move(z, step=3, seeds=seeds)
    added = np.asarray(noisy) - np.asarray(still)
    np.testing.assert_allclose(added, 0.2 * draw(seeds, 3, (UNITS,)), atol=1e-6)
    assert added.std() == pytest.approx(0.2, rel=0.1)
    assert added.mean() == pytest.approx(0, abs=0.03)


def test_noise_depends_on_seed_and_step_alone(seeds):
    first = draw(seeds, 0, (64,)).numpy()
    np.testing.assert_array_equal(draw(seeds, 0, (64,)), first)
    # Neither on the place in the block, nor on who else is in it, nor on being traced.
    np.testing.assert_array_equal(draw(seeds[7:9], 0, (64,)), first[7:9])
    np.testing.assert_array_equal(draw(seeds[::-1], 0, (64,))[::-1], first)
    traced = tf.function(lambda s, step: draw(s, step, (64,)), autograph=False)
    np.testing.assert_array_equal(traced(tf.constant(seeds), tf.constant(0)), first)
    assert len(np.unique(first)) == first.size, "every sample has noise of its own"
    assert np.abs(draw(seeds, 1, (64,)) - first).mean() > 0.5, "and at every step other noise"


def test_the_denoiser_is_the_bundles_own(embedded):
    prior = ppgn(embedded)
    assert prior.denoiser is embedded.component("ae-denoiser").model("denoiser")
    assert prior.denoiser.name == "denoiser"
    assert (prior.pull, prior.noise, prior.step_size, prior.bounded) == (0.3, 0.0, 0.1, True)


@pytest.mark.parametrize("noise", [0.1, 0.2, 0.5])
def test_disturbed_latents_of_real_speech_are_drawn_back(embedded, noise, seeds):
    disturbed = LATENTS + noise * draw(seeds[: len(LATENTS)], 0, LATENTS.shape[1:])
    moved = disturbed + ppgn(embedded, pull=1.0).move(disturbed, step=0, seeds=None)

    def distance(z):
        return np.sqrt(np.mean(np.square(z - LATENTS), axis=1))

    assert (distance(moved) < distance(disturbed)).all()
    assert distance(moved).mean() < 0.5 * distance(disturbed).mean()
    # It knows more than where the middle of all latents is.
    mean = embedded.component("ae").arrays["latent_mean"]
    assert (distance(moved) < distance(mean[None])).mean() > 0.9


def test_the_round_trip_takes_the_place_of_a_denoiser_where_there_is_none(bundle, caplog):
    assert ppgn(bundle).denoiser is None
    (line,) = caplog.messages
    assert line.startswith("no denoiser was fitted to ae of the bundle")
    assert line.endswith(f"fit one with: keras-listen-ppgn fit STORE {bundle.root}")


def test_the_round_trip_may_be_asked_for(embedded, caplog):
    assert ppgn(embedded, denoiser="roundtrip").denoiser is None
    assert not caplog.messages


def test_what_does_not_fit_is_refused_in_one_line(bundle, spec, store, tmp_path):
    empty = create_bundle(tmp_path / "empty", bundle.words, spec)
    other = make_bundle(tmp_path / "other", spec, seed=1)
    smaller = make_bundle(tmp_path / "smaller", spec, units=4)
    fitted = tmp_path / "fitted"
    fit(bundle, store, out=fitted, epochs=1)
    unfitted = tmp_path / "unfitted"
    create_bundle(unfitted, bundle.words, spec)
    refused = [
        (BundleError, "no component is called 'ae'", lambda: ppgn(empty)),
        (
            BundleError,
            "no component is called 'vae'.*known: ae",
            lambda: ppgn(bundle, weights="vae"),
        ),
        (BundleError, "is no bundle", lambda: ppgn(bundle, denoiser=str(tmp_path / "nowhere"))),
        (BundleError, "'ppgn-ae'", lambda: ppgn(bundle, denoiser=str(unfitted))),
        (
            BundleError,
            "is for latents of 8 values, those of ae have 4; fit it again",
            lambda: ppgn(smaller, denoiser=str(fitted)),
        ),
        (
            BundleError,
            "was fitted to another autoencoder than .*other/ae; fit it again",
            lambda: ppgn(other, denoiser=str(fitted)),
        ),
        (
            ParameterError,
            r"pull is 1\.5; expected a number from 0 to 1",
            lambda: ppgn(bundle, pull=1.5),
        ),
        (ParameterError, r"pull is -0\.1; expected", lambda: ppgn(bundle, pull=-0.1)),
        (ParameterError, "pull is nan; expected", lambda: ppgn(bundle, pull=float("nan"))),
        (ParameterError, "noise is -1; expected 0 or", lambda: ppgn(bundle, noise=-1)),
        (ParameterError, "noise is inf; expected 0 or", lambda: ppgn(bundle, noise=float("inf"))),
        (ParameterError, "start_deviation is -2; exp", lambda: ppgn(bundle, start_deviation=-2)),
    ]
    for kind, message, call in refused:
        with pytest.raises(kind, match=message) as caught:
            call()
        assert isinstance(caught.value, ListenError)
        assert "\n" not in str(caught.value)


def test_a_denoiser_in_the_bundle_of_another_autoencoder_is_refused(bundle, spec, tmp_path):
    other = make_bundle(tmp_path / "other", spec, seed=1)
    about = {"autoencoder": identity(other.component("ae"))}
    bundle.add("ppgn-ae", {"denoiser": build_denoiser(UNITS)}, about=about)
    with pytest.raises(BundleError, match="another autoencoder"):
        ppgn(bundle)
    about = {"autoencoder": identity(bundle.component("ae"))}
    bundle.add("ppgn-ae", {"denoiser": build_denoiser(UNITS)}, about=about)
    assert ppgn(bundle).denoiser.name == "denoiser"


def test_it_is_registered_with_its_options_documented():
    component = default_registry().find("prior", "ppgn")
    assert component.presets["natural"]["steps"] == 60
    assert component.distribution == "keras-listen-ppgn"
    options = {option.name: option for option in component.options}
    assert set(options) == {"weights", "denoiser", "pull", "noise", "start_deviation"}
