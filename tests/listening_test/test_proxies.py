"""Numbers that need no rater, against what is known of them by hand."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import scipy.linalg

from keras_listen.features import FeatureSpec
from keras_listen.listening_test.make.proxies import (
    DRAWS,
    Reference,
    active_level,
    frechet_distance,
    spectral_flatness,
    speech_band_share,
)
from keras_listen.listening_test.make.record import LEVEL, level_sound
from keras_listen.listening_test.make.referee_panel import RefereePanel
from keras_listen.models.classifier import Classifier

SPEC = FeatureSpec()
RATE = SPEC.sample_rate


def tone(frequency: float, amplitude: float = 0.5) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(RATE) / RATE)


def noise(seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(RATE)


def cross(units: int, scales) -> np.ndarray:
    """Return points whose mean is 0 and whose covariance is diagonal, with these deviations."""
    points = np.concatenate([np.diag(scales), -np.diag(scales)])
    # Two of 2 * units points lie along each axis.
    return points * np.sqrt((2 * units - 1) / 2)


def test_flatness_tells_noise_from_a_tone():
    assert spectral_flatness(noise(), SPEC) == pytest.approx(math.exp(-np.euler_gamma), abs=0.02)
    assert spectral_flatness(tone(1000), SPEC) < 1e-4
    assert math.isnan(spectral_flatness(np.zeros(RATE), SPEC))


def test_flatness_depends_on_neither_level_nor_silence():
    quiet = np.concatenate([np.zeros(RATE), 0.01 * noise()])
    assert spectral_flatness(quiet, SPEC) == pytest.approx(
        spectral_flatness(noise(), SPEC), abs=0.02
    )


def test_the_speech_band_ends_where_telephones_do():
    assert speech_band_share(tone(1000), SPEC) == pytest.approx(1, abs=1e-3)
    assert speech_band_share(tone(6000), SPEC) < 1e-3
    assert speech_band_share(tone(60), SPEC) < 0.01
    both = tone(1000, 0.3) + tone(6000, 0.4)
    assert speech_band_share(both, SPEC) == pytest.approx(0.09 / 0.25, abs=0.01)
    assert speech_band_share(noise(), SPEC) == pytest.approx(3875 / 11025, abs=0.02)
    assert math.isnan(speech_band_share(np.zeros(RATE), SPEC))


def test_pauses_are_no_part_of_a_level():
    level = 0.5 / math.sqrt(2)
    assert active_level(tone(1000), RATE) == pytest.approx(level, rel=1e-3)
    pausing = np.concatenate([np.zeros(3 * RATE), tone(1000)])
    assert active_level(pausing, RATE) == pytest.approx(level, rel=0.02)
    assert active_level(tone(1000)[:200], RATE) == pytest.approx(level, rel=0.05)


@pytest.mark.parametrize(("before", "after"), [(0.5, 0.5), (0.025, 0), (0.013, 0), (0, 2)], ids=str)
def test_silence_around_a_word_does_not_change_its_level(before, after):
    # A word: two syllables that rise and fall, over a hiss of -80 dB.
    time = np.arange(RATE // 2) / RATE
    word = noise()[: len(time)] * np.sin(4 * np.pi * time) ** 2 * np.exp(-3 * time)
    word += 1e-4 * noise()[: len(time)]
    around = np.pad(word, (round(before * RATE), round(after * RATE)))
    change = 20 * math.log10(active_level(around, RATE) / active_level(word, RATE))
    assert abs(change) < 0.2
    assert active_level(0.1 * word, RATE) == pytest.approx(0.1 * active_level(word, RATE), rel=1e-5)


def test_sounds_come_to_one_level():
    wanted = 10 ** (LEVEL / 20)
    for y in (tone(300, 0.9), noise(), np.concatenate([np.zeros(RATE), noise()])):
        found, gain, limited = level_sound(y, RATE)
        assert active_level(found, RATE) == pytest.approx(wanted, rel=1e-3)
        np.testing.assert_allclose(found, gain * y, rtol=1e-5)
        assert not limited


def test_a_peak_is_kept_whole():
    y = 0.01 * noise()
    y[100] = 0.9
    found, gain, limited = level_sound(y, RATE)
    assert limited
    assert np.abs(found).max() == pytest.approx(1)
    assert gain == pytest.approx(1 / 0.9)
    silence, gain, limited = level_sound(np.zeros(RATE), RATE)
    assert (np.abs(silence).max(), gain, limited) == (0, 1, False)


def test_frechet_distance_of_known_normal_distributions():
    x = cross(3, [1.0, 2.0, 3.0])
    np.testing.assert_allclose(np.cov(x.T), np.diag([1, 4, 9]), atol=1e-12)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    y = cross(3, [2.0, 2.0, 5.0]) + np.array([1, 0, -2])
    # |difference of means|^2 + sum of squared differences of deviations
    assert frechet_distance(x, y) == pytest.approx(1 + 4 + 1 + 0 + 4)
    assert frechet_distance(y, x) == pytest.approx(10)


def test_frechet_distance_is_that_of_the_root_of_a_matrix():
    generator = np.random.default_rng(1)
    x = generator.standard_normal((40, 5)) @ generator.standard_normal((5, 5))
    y = generator.standard_normal((60, 5)) @ generator.standard_normal((5, 5)) + 1
    first, second = np.cov(x.T), np.cov(y.T)
    root = scipy.linalg.sqrtm(first @ second).real
    far = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(first + second - 2 * root)
    assert frechet_distance(x, y) == pytest.approx(far, rel=1e-6)


def kernel_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Return the squared distance of two sets by a cubic kernel, pair by pair of different ones."""

    def mean(a, b, alike):
        products = (a @ b.T / a.shape[1] + 1) ** 3
        return products[~np.eye(len(a), dtype=bool)].mean() if alike else products.mean()

    return mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)


def test_small_sets_are_further_apart_by_frechet_and_not_by_kernel():
    """The caveat: the first is biased by the number of sounds, the second is not."""
    generator = np.random.default_rng(2)
    few = generator.standard_normal((50, 2, 20, 30))
    many = generator.standard_normal((2, 2000, 30))
    assert np.mean([frechet_distance(*pair) for pair in few]) > 10 * frechet_distance(*many)
    kernels = np.array([kernel_distance(*pair) for pair in few])
    assert abs(kernels.mean()) < 3 * kernels.std() / math.sqrt(len(kernels))


def test_kernel_distance_by_hand():
    x, y = np.array([[1.0], [2.0]]), np.array([[3.0], [5.0]])
    # (a * b + 1)^3: 27 within x, 4096 within y, 64, 216, 343 and 1331 between them.
    assert kernel_distance(x, y) == pytest.approx(27 + 4096 - 2 * (64 + 216 + 343 + 1331) / 4)


def test_a_sound_is_as_far_from_its_word_as_the_covariance_says():
    around = 2 * math.sqrt(3) * np.concatenate([np.eye(3), -np.eye(3)])
    activations = np.concatenate([around, around + np.array([10, 0, 0])])
    words = ["yes"] * 6 + ["no"] * 6
    np.testing.assert_allclose(around.T @ around / 6, 4 * np.eye(3), atol=1e-12)
    reference = Reference(activations, words)
    sounds = np.array([[0.0, 6, 8], [10, 6, 8], [10, 0, 0], [0, 0, 0]])
    found = reference.distances(sounds, ["yes", "no", "yes", "up"])
    # Deviations of 2 along every axis: half the Euclidean distance.
    np.testing.assert_allclose(found[:3], [5, 5, 5], rtol=1e-6)
    assert math.isnan(found[3])


def test_there_is_no_distance_without_a_spread():
    reference = Reference(np.ones((2, 3)), ["yes", "no"])
    assert np.isnan(reference.distances(np.ones((2, 3)), ["yes", "no"])).all()
    empty = Reference(np.zeros((0, 1)), [])
    assert np.isnan(empty.distances(np.ones((1, 3)), ["yes"])).all()


def test_the_floor_is_the_distance_of_as_many_real_ones():
    generator = np.random.default_rng(3)
    words = ["yes", "no"] * 60
    reference = Reference(generator.standard_normal((120, 4)), words)
    same = reference.compare(
        generator.standard_normal((20, 4)), ["yes", "no"] * 10, np.random.default_rng(0)
    )
    assert same["frechet"] == pytest.approx(same["frechet_floor"], abs=1)
    assert abs(same["kernel"] - same["kernel_floor"]) < 0.5
    far = reference.compare(
        generator.standard_normal((20, 4)) + 2, ["yes", "no"] * 10, np.random.default_rng(0)
    )
    # Each mean is 2 away along 4 axes.
    assert far["frechet"] - far["frechet_floor"] == pytest.approx(16, abs=4)
    assert far["kernel"] > 10 * abs(far["kernel_floor"])


def test_kernels_of_draws_are_kernel_distances():
    generator = np.random.default_rng(4)
    real, sounds = generator.standard_normal((30, 5)), generator.standard_normal((8, 5)) + 1
    found = Reference(real, ["yes"] * 30).compare(sounds, ["yes"] * 8, np.random.default_rng(0))
    draws = np.random.default_rng(0)
    expected = []
    for _ in range(DRAWS):
        drawn = np.isin(np.arange(30), draws.choice(np.arange(30), 8, replace=False))
        left = real[~drawn]
        far = [
            m(x, left) for m in (frechet_distance, kernel_distance) for x in (sounds, real[drawn])
        ]
        expected.append(far)
    np.testing.assert_allclose(list(found.values()), np.mean(expected, axis=0), rtol=1e-9)


def test_there_is_no_floor_of_too_few_real_ones():
    reference = Reference(
        np.random.default_rng(0).standard_normal((6, 3)), ["yes"] * 3 + ["no"] * 3
    )
    sounds = np.random.default_rng(1).standard_normal((4, 3))
    for words in (["yes"] * 4, ["yes", "yes", "no", "up"], ["yes"]):
        found = reference.compare(sounds[: len(words)], words, np.random.default_rng(0))
        assert all(map(math.isnan, found.values()))


def test_listeners_may_know_the_words_in_other_orders():
    def classifier(order, seed) -> Classifier:
        inputs = keras.Input((90, 80, 1))
        x = keras.layers.AveragePooling2D(10, data_format="channels_last")(inputs)
        last = keras.layers.Dense(3, activation="softmax")
        model = keras.Model(inputs, last(keras.layers.Flatten()(x)))
        kernel = np.random.default_rng(seed).standard_normal((72, 3))
        last.set_weights([kernel[:, order], np.zeros(3)])
        return Classifier(model, [("a", "b", "c")[i] for i in order])

    first, turned, other = (
        classifier(*of) for of in (([0, 1, 2], 0), ([2, 0, 1], 0), ([1, 0, 2], 1))
    )
    features = np.random.default_rng(2).uniform(size=(5, 90, 80, 1)).astype(np.float32)
    panel = RefereePanel(first, {"referee": turned, "other": other}, 4)
    heard = panel.score(features)
    np.testing.assert_allclose(heard.own, first.predict(features), atol=1e-6)
    np.testing.assert_allclose(heard.referees[0], heard.own, atol=1e-6)
    np.testing.assert_allclose(heard.referees[1][:, [1, 0, 2]], other.predict(features), atol=1e-6)
    labels = panel.labels(features)
    assert labels.tolist() == [[label, label] for label in heard.own.argmax(axis=1)]
    # A network of another architecture is the eye; here its last layer is its only one.
    assert panel.eye == "other"
    np.testing.assert_allclose(heard.activations, other.penultimate(features), atol=1e-6)
    alone = RefereePanel(first, {}, 4)
    assert alone.labels(features)[:, 1].tolist() == [-1] * 5
    assert (alone.eye, alone.score(features).activations.shape) == (None, (5, 0))


@pytest.mark.parametrize("ending", ["dense", "softmax", "activation"])
def test_the_last_layer_starts_from_what_is_compared(ending):
    inputs = keras.Input((90, 80, 1))
    x = keras.layers.AveragePooling2D(10, data_format="channels_last")(inputs)
    inner = keras.layers.Dense(7, activation="relu")(keras.layers.Flatten()(x))
    inner = keras.layers.Dropout(0.5)(inner)
    last = keras.layers.Dense(3, activation="softmax" if ending == "dense" else None)
    x = last(inner)
    if ending != "dense":
        softmax = (
            keras.layers.Softmax() if ending == "softmax" else keras.layers.Activation("softmax")
        )
        x = softmax(x)
    classifier = Classifier(keras.Model(inputs, x), ("a", "b", "c"))
    features = np.random.default_rng(0).uniform(size=(2, 90, 80, 1)).astype(np.float32)
    found = np.asarray(classifier.penultimate(features))
    assert found.shape == (2, 7)
    kernel, bias = last.get_weights()
    np.testing.assert_allclose(found @ kernel + bias, classifier.logits(features), atol=1e-5)
