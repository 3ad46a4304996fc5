"""Changes of features while climbing: what they do, and that a sample's are its own."""

import numpy as np
import pytest
import tensorflow as tf

from keras_listen.errors import ParameterError
from keras_listen.maximization.transforms import Gain, Shift

FEATURES = np.random.default_rng(0).uniform(0.1, 1, (50, 30, 4, 1)).astype(np.float32)
SEEDS = np.random.default_rng(1).integers(0, 2**32, (50, 2), np.uint32)


def applied(transform, step=0, rows=slice(None)):
    return transform(tf.constant(FEATURES[rows]), tf.constant(step), SEEDS[rows]).numpy()


def moved(before, after, most):
    """Return by how many frames `after` is late."""
    for late in range(-most, most + 1):
        wanted = np.zeros_like(before)
        wanted[max(late, 0) : len(before) + min(late, 0)] = before[
            max(-late, 0) : len(before) - max(late, 0)
        ]
        if np.array_equal(wanted, after):
            return late
    raise AssertionError("not the same features, moved")


def test_features_are_moved_by_every_amount_and_silence_comes_in():
    amounts = [
        moved(before, after, 3)
        for step in range(10)
        for before, after in zip(FEATURES, applied(Shift(3), step), strict=True)
    ]
    counts = np.bincount(np.array(amounts) + 3, minlength=7)
    # 500 draws of 7 amounts: 71 of each, give or take 4 standard deviations.
    assert counts.min() > 71 - 32
    assert counts.max() < 71 + 32


def test_levels_change_by_every_amount_up_to_the_largest():
    change = np.concatenate([(applied(Gain(0.06), step) - FEATURES) for step in range(10)])
    np.testing.assert_allclose(np.ptp(change.reshape(500, -1), axis=1), 0, atol=1e-6)
    amounts = change[:, 0, 0, 0]
    assert -0.06 - 1e-6 <= amounts.min() < -0.055
    assert 0.055 < amounts.max() <= 0.06 + 1e-6
    assert abs(amounts.mean()) < 0.006


@pytest.mark.parametrize("transform", [Shift(3), Gain(0.06)])
def test_a_sample_has_its_own_changes_wherever_it_stands(transform):
    np.testing.assert_array_equal(applied(transform, 4)[7:9], applied(transform, 4, slice(7, 9)))
    assert not np.array_equal(applied(transform, 4), applied(transform, 5))


def test_shifts_and_gains_are_drawn_apart():
    shifts = [moved(b, a, 3) for b, a in zip(FEATURES, applied(Shift(3)), strict=True)]
    gains = (applied(Gain(0.06)) - FEATURES)[:, 0, 0, 0]
    assert abs(np.corrcoef(shifts, gains)[0, 1]) < 0.4


def test_gradients_pass_through_a_shift():
    z = tf.constant(FEATURES[:1])
    with tf.GradientTape() as tape:
        tape.watch(z)
        value = tf.reduce_sum(Shift(3)(z, tf.constant(0), SEEDS[:1]))
    gradient = tape.gradient(value, z).numpy()
    late = moved(FEATURES[0], applied(Shift(3))[0], 3)
    assert gradient.sum() == FEATURES[0].size - abs(late) * 4


def test_impossible_amounts_are_named():
    with pytest.raises(ParameterError, match="a shift by 0 frames"):
        Shift(0)
    with pytest.raises(ParameterError, match=r"a gain of 1\.5 times"):
        Gain(1.5)
