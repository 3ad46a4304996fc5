from types import SimpleNamespace

import keras_listen_dct as plugin
import numpy as np
import pytest
from scipy.fft import dctn

from keras_listen import FeatureSpec, load_bundle
from keras_listen.errors import ParameterError
from keras_listen.testing import check_prior, features_like_speech

SEEDS = np.arange(20, dtype=np.uint32).reshape(10, 2)


@pytest.mark.parametrize(
    "options",
    [{}, {"time": 2, "mel": 2}, {"time": 90, "mel": 80}, {"level": 0.7, "start_deviation": 1.0}],
)
def test_it_keeps_the_contract(listen_registry, options):
    component = listen_registry.load(plugin).find("prior", "dct")
    check_prior(component, **options)


def test_what_it_decodes_has_no_higher_coefficient():
    prior = plugin.dct(load_bundle(), time=5, mel=7, start_deviation=0.5)
    features = np.asarray(prior.decode(prior.start(None, SEEDS)), np.float64)[..., 0]
    coefficients = dctn(plugin.logit(features), axes=(1, 2), norm="ortho")
    assert np.abs(coefficients[:, :5, :7]).min(axis=0).all()
    coefficients[:, :5, :7] = 0
    assert np.abs(coefficients).max() < 1e-3


def test_a_latent_is_as_large_as_its_surface():
    prior = plugin.dct(load_bundle(), level=0.5, start_deviation=0.1)
    z = prior.start(None, SEEDS)
    surface = plugin.logit(np.asarray(prior.decode(z), np.float64))
    assert np.sqrt(np.mean(surface**2)) == pytest.approx(np.sqrt(np.mean(z**2)), rel=1e-3)


def test_encoding_projects():
    bundle = load_bundle()
    features = features_like_speech(3, bundle.spec).reshape(3, *bundle.spec.shape)
    inside = np.clip(features, plugin.MARGIN, 1 - plugin.MARGIN)
    whole = plugin.dct(bundle, time=90, mel=80)
    np.testing.assert_allclose(whole.decode(whole.encode(features)), inside, atol=1e-3)
    few = plugin.dct(bundle)
    once = np.asarray(few.decode(few.encode(features)))
    np.testing.assert_allclose(few.decode(few.encode(once)), once, atol=0.01)
    assert 0.01 < np.abs(once - inside).mean() < np.abs(inside - inside.mean()).mean()


def test_other_features_have_other_bounds():
    bundle = SimpleNamespace(spec=FeatureSpec(frames=40, n_mels=20))
    prior = plugin.dct(bundle, time=40, mel=20)
    assert prior.decode(prior.start(None, SEEDS)).shape == (10, 40, 20, 1)
    with pytest.raises(ParameterError, match="time is 41; expected 2 to 40 coefficients"):
        plugin.dct(bundle, time=41)


def test_zeros_are_the_level():
    prior = plugin.dct(load_bundle(), level=0.2, start_deviation=0.0)
    np.testing.assert_allclose(prior.decode(prior.start(None, SEEDS)), 0.2, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time": 91}, "time is 91; expected 2 to 90 coefficients"),
        ({"mel": 1}, "mel is 1; expected 2 to 80 coefficients"),
        ({"level": 1.0}, "level is 1.0; expected between 0 and 1"),
        ({"level": float("nan")}, "level is nan; expected between 0 and 1"),
        ({"start_deviation": -0.1}, "start_deviation is -0.1; expected at least 0"),
    ],
)
def test_a_bad_option_is_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        plugin.dct(load_bundle(), **options)
