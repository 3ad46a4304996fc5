"""From features to the sound that a front end gets, and back."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.signal
import tensorflow as tf

from keras_listen.errors import ParameterError
from keras_listen.features import FeatureSpec, extract_fitted
from keras_listen.maximization.transforms import Shift
from keras_listen.models.sound_path import SoundPath

SPEC = FeatureSpec()


def front(rate: int = 22050, samples: int | None = None) -> SimpleNamespace:
    """A front end that lets sound through."""
    return SimpleNamespace(sample_rate=rate, samples=samples)


def vowel(rate: int = 22050) -> np.ndarray:
    """A second of a pulse train through two resonances, louder in the middle."""
    time = np.arange(rate) / rate
    pulses = (np.diff(np.floor(120 * time), prepend=0) > 0).astype(float)
    for frequency in (700, 1200):
        radius, angle = 0.98, 2 * np.pi * frequency / rate
        pulses = scipy.signal.lfilter([1], [1, -2 * radius * np.cos(angle), radius**2], pulses)
    return pulses * np.hanning(rate)


@pytest.fixture(scope="module")
def features() -> tf.Tensor:
    return tf.constant(extract_fitted(vowel(), SPEC)[None, ..., None])


def test_a_sound_has_the_features_that_it_was_made_of(features):
    path = SoundPath(SPEC, front())
    sound = path.sound(features, path.begin(features, 64))[0].numpy()
    assert sound.shape == (22272,)
    again = extract_fitted(sound, SPEC)
    # In tenths of a dB of the 100 that features span, over what is above the floor.
    heard = features[0, ..., 0].numpy() > 0.2
    assert np.abs(again - features[0, ..., 0])[heard].mean() < 0.03


def test_more_iterations_fit_the_magnitudes_better(features):
    path = SoundPath(SPEC, front())

    def error(iterations: int) -> float:
        again = extract_fitted(
            path.sound(features, path.begin(features, iterations))[0].numpy(), SPEC
        )
        return float(np.abs(again - features[0, ..., 0].numpy()).mean())

    assert error(32) < error(4) < error(0)


def test_features_of_zero_are_silence():
    path = SoundPath(SPEC, front(16000))
    silent = tf.zeros((2, *SPEC.shape))
    with tf.GradientTape() as tape:
        tape.watch(silent)
        sound = path.sound(silent, path.begin(silent))
    assert np.abs(sound).max() < 1e-6
    gradient = tape.gradient(sound, silent)
    assert gradient is None or np.isfinite(gradient).all()


@pytest.mark.parametrize("rate", [16000, 22050, 44100, 48000])
def test_sounds_of_any_rate_have_the_features(features, rate):
    path = SoundPath(SPEC, front(rate))
    sound = path.sound(features, path.begin(features, 32))[0].numpy()
    # Whole samples from frame to frame: up to half a sample longer or shorter for each.
    assert len(sound) == pytest.approx(22272 * rate / 22050, rel=0.003)
    common = np.gcd(22050, rate)
    there = scipy.signal.resample_poly(sound, 22050 // common, rate // common)
    # At the level that the features have, not at a full one.
    again = extract_fitted(there, replace(SPEC, peak=0.0))
    loud = features[0, ..., 0].numpy() > 0.5
    # Features are in hundreds of dB: less than 1.5 dB off on average, 3 dB in a single place.
    difference = (again - features[0, ..., 0].numpy())[loud]
    assert abs(difference.mean()) < 0.015
    assert np.abs(difference).mean() < 0.03


def test_above_half_the_rate_there_is_nothing(features):
    path = SoundPath(SPEC, front(8000))
    sound = path.sound(features, path.begin(features, 32))[0].numpy()
    there = scipy.signal.resample_poly(sound, 441, 160)
    again = extract_fitted(there, replace(SPEC, peak=0.0))
    # Bands from 2,000 Hz down keep what they had; those above 4,300 Hz are empty.
    wanted = features[0, ..., 0].numpy()
    low = wanted[:, :40] > 0.5
    assert np.abs((again - wanted)[:, :40][low]).mean() < 0.04
    assert again[:, 66:].max() < wanted[:, :40].max() - 0.3


ROOM = 44100 - 22272


@pytest.mark.parametrize(
    ("place", "seed", "before"),
    [
        ("start", 7, 0),
        ("middle", 7, ROOM // 2),
        ("end", 7, ROOM),
        ("anywhere", 0, 0),
        ("anywhere", 2**30, ROOM // 4),
        ("anywhere", 2**32 - 1, ROOM),
    ],
)
def test_where_the_sound_stands_in_a_longer_window(features, place, seed, before):
    path = SoundPath(SPEC, front(22050, 44100), place)
    alone = SoundPath(SPEC, front())
    held = path.begin(features, seeds=np.array([[3, seed]], np.uint32))
    sound = path.sound(features, held)[0].numpy()
    assert sound.shape == (44100,)
    assert not sound[:before].any()
    assert not sound[before + 22272 :].any()
    word = alone.sound(features, alone.begin(features))[0]
    np.testing.assert_array_equal(sound[before : before + 22272], word)


def test_without_seeds_anywhere_is_the_middle(features):
    held = SoundPath(SPEC, front(22050, 44100), "anywhere").begin(features)
    assert held.before.numpy().tolist() == [ROOM // 2]


def test_an_unknown_place_is_told():
    with pytest.raises(ParameterError, match="no place is called 'midle'; did you mean 'middle'"):
        SoundPath(SPEC, front(), "midle")


def test_a_shorter_window_gets_the_beginning(features):
    whole, part = SoundPath(SPEC, front()), SoundPath(SPEC, front(22050, 16000))
    phase = whole.begin(features)
    np.testing.assert_array_equal(
        part.sound(features, phase), whole.sound(features, phase)[:, :16000]
    )


@pytest.mark.parametrize("seed", range(4))
def test_shifted_features_and_phases_are_the_shifted_sound(features, seed):
    path, shift = SoundPath(SPEC, front()), Shift(8)
    key = tf.constant(0), tf.constant([[seed, 0]], tf.uint32)
    phases = path.begin(features, 8)
    sound = path.sound(features, phases)[0].numpy()
    held = phases._replace(phase=shift.move_phases(phases.phase, *key))
    moved = path.sound(shift(features, *key), held)[0].numpy()
    best = max(range(-8, 9), key=lambda by: moved @ np.roll(sound, by * SPEC.hop_length))
    assert best != 0
    # Frames at the ends leave or are silent; those between are the same samples.
    inside = slice(10 * SPEC.hop_length, -10 * SPEC.hop_length)
    expected = np.roll(sound, best * SPEC.hop_length)[inside]
    np.testing.assert_allclose(moved[inside], expected, atol=1e-5 * np.abs(sound).max())


def test_the_gradient_is_that_of_finite_differences(features):
    path = SoundPath(SPEC, front(16000, 16000))
    phase = path.begin(features)
    weights = tf.constant(np.random.default_rng(0).normal(size=(1, 16000)), tf.float32)

    def value(x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(weights * path.sound(x, phase))

    with tf.GradientTape() as tape:
        tape.watch(features)
        found = value(features)
    gradient = tape.gradient(found, features).numpy()
    # The loudest place: elsewhere single precision would drown the difference.
    place = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
    step = np.zeros_like(gradient)
    step[place] = 1e-3
    numeric = (value(features + step) - value(features - step)) / 2e-3
    assert float(numeric) == pytest.approx(gradient[place], rel=0.02)


def test_a_network_that_gathers_frames_has_the_same_gradient(features):
    path = SoundPath(SPEC, front(16000, 16000))
    held, places = path.begin(features), tf.range(0, 16000, 7)

    def gradient(chosen) -> np.ndarray:
        with tf.GradientTape() as tape:
            tape.watch(features)
            value = tf.reduce_sum(chosen(path.sound(features, held)) ** 2)
        return tape.gradient(value, features).numpy()

    # The gradient of a gather along the batch is made of slices.
    gathered = gradient(lambda sounds: tf.gather(sounds, [0]))
    np.testing.assert_allclose(gathered, gradient(lambda sounds: sounds), rtol=1e-5)
    assert np.abs(gradient(lambda sounds: tf.gather(sounds, places, axis=1))).max() > 0


def test_phases_do_not_depend_on_the_batch(features):
    path = SoundPath(SPEC, front())
    other = tf.reverse(features, [1])
    alone = path.begin(features)
    beside = path.begin(tf.concat([other, features], 0)).phase[1:]
    np.testing.assert_allclose(alone.phase, beside, atol=1e-3)
