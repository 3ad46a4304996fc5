"""Linear prediction: filters against an independent solver, and the sound they stand for."""

import numpy as np
import pytest
import scipy.linalg
import scipy.ndimage
import scipy.signal

from keras_listen.features import FeatureSpec, extract, frame_padded, left_padding
from keras_listen.linear_prediction import _levinson, color, predictors, reach, whiten

SPEC = FeatureSpec(peak=0.0)
ORDER = 32


def filters_of(sound, spec=SPEC, order=ORDER):
    """Return the filters of a sound, and the padded sound that its frames cover."""
    features = extract(sound, spec)
    before = np.pad(features, ((reach(spec), 0), (0, 0)))
    padded = frame_padded(sound, spec)[: len(features) * spec.hop_length]
    return predictors(before[None], spec, order), padded


def voiced(rng, seconds=1.0, pitch=120.0):
    """Return pulses and a little noise through two resonances, at a level like speech."""
    rate = SPEC.sample_rate
    samples = int(seconds * rate)
    source = 0.02 * rng.standard_normal(samples)
    source[:: int(rate / pitch)] += 1.0
    for frequency, radius in ((600, 0.97), (1800, 0.96)):
        turn = 2 * np.pi * frequency / rate
        source = scipy.signal.lfilter([1], [1, -2 * radius * np.cos(turn), radius**2], source)
    return 0.3 * source / np.abs(source).max()


def test_levinson_solves_the_normal_equations():
    rng = np.random.default_rng(0)
    sounds = rng.standard_normal((3, 200))
    correlation = np.stack([[s[: 200 - k] @ s[k:] for k in range(9)] for s in sounds])
    solved = _levinson(correlation)
    for row, found in zip(correlation, solved, strict=True):
        wanted = scipy.linalg.solve_toeplitz(row[:8], row[1:])
        np.testing.assert_allclose(found[1:], wanted, atol=1e-10)
        np.testing.assert_allclose(found[0] ** 2, row[0] - wanted @ row[1:], rtol=1e-10)


@pytest.mark.parametrize("spec", [SPEC, FeatureSpec(peak=0.0, padding="center", power=2.0)])
def test_the_excitation_of_stationary_noise_has_unit_variance_whatever_the_level(spec):
    noise = np.random.default_rng(1).standard_normal(spec.sample_rate)
    # Of 22,050 Hz, features see what is below 7,600.
    noise = scipy.signal.lfilter(scipy.signal.firwin(255, 7600, fs=22050), 1, noise)
    for level in (0.3, 0.003):
        filters, padded = filters_of(level * noise, spec)
        excitation = whiten(np.pad(padded, (ORDER, 0))[None], filters)[0, 4096:-4096]
        assert excitation.std() == pytest.approx(1.0, abs=0.2)


def test_whitening_flattens_the_spectrum_of_a_vowel():
    sound = voiced(np.random.default_rng(2))
    filters, padded = filters_of(sound)
    excitation = whiten(np.pad(padded, (ORDER, 0))[None], filters)[0]

    def unevenness(y):
        """Standard deviation, in dB, of the power in bands of 250 Hz from 250 to 7000 Hz."""
        _, power = scipy.signal.welch(y[4096:-4096], 22050, nperseg=1024)
        bands = power[12 : 12 + 27 * 12].reshape(27, 12).mean(axis=1)
        return (10 * np.log10(bands)).std()

    assert unevenness(padded) > 8
    assert unevenness(excitation) < 2.5


def test_coloring_undoes_whitening():
    sound = voiced(np.random.default_rng(3))
    filters, padded = filters_of(sound)
    excitation = whiten(np.pad(padded, (ORDER, 0))[None], filters)
    np.testing.assert_allclose(color(excitation, filters)[0], padded, atol=1e-5)


def test_noise_through_the_filters_has_the_features_that_they_came_from():
    rng = np.random.default_rng(4)
    features = extract(voiced(rng, pitch=400.0 / 3), SPEC)
    # Smooth over the bands: harmonics are the excitation's.
    smooth = scipy.ndimage.uniform_filter1d(features, 9, axis=1, mode="nearest")
    before = np.pad(smooth, ((reach(SPEC), 0), (0, 0)))[None]
    filters = predictors(before, SPEC, ORDER)
    heard = []
    for _ in range(8):
        sound = color(rng.standard_normal((1, len(smooth) * SPEC.hop_length)), filters)[0]
        heard.append(extract(sound[left_padding(SPEC) :], SPEC)[6:-6])
    difference = 100 * (np.mean(heard, axis=0) - smooth[6 : 6 + len(heard[0])])
    assert np.abs(difference).mean() < 1.5


def test_filters_change_where_the_sound_does():
    sound = 0.01 * np.random.default_rng(5).standard_normal(22050)
    sound[11025:] *= 30.0
    filters, _ = filters_of(sound)
    gain = np.log(filters[0, :, 0])
    middle = (gain[60:100].mean() + gain[-100:-60].mean()) / 2
    crossed = np.flatnonzero(gain > middle)[0] * SPEC.hop_length / 4 - left_padding(SPEC)
    # The window looks ahead: in dB the louder half takes over before the middle of the step.
    assert -512 <= crossed - 11025 <= 128


def test_a_filter_depends_on_no_other_sound_of_the_batch():
    rng = np.random.default_rng(6)
    features = rng.random((3, reach(SPEC) + 5, 80))
    filters = predictors(features, SPEC, ORDER)
    np.testing.assert_array_equal(filters[1:2], predictors(features[1:2], SPEC, ORDER))
