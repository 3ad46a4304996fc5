"""Augmentation against what each change should do to features, computed directly."""

from __future__ import annotations

import numpy as np
import pytest

from keras_listen.features import FeatureSpec, extract
from keras_listen.training.augmentation import GENTLE, Augmentation, add_sounds, interpolate

SPEC = FeatureSpec()
NOTHING = Augmentation(
    shift=0, stretch=0.0, warp=0.0, gain_db=0.0, noise_share=0.0, mask_frames=0, mask_mels=0
)
NO_NOISE = np.zeros((0, 80), np.float32)


def only(**changes) -> Augmentation:
    """Return an augmentation that does nothing but `changes`."""
    return Augmentation(**{**NOTHING.__dict__, **changes})


def apply(augmentation: Augmentation, features: np.ndarray, noise=NO_NOISE, seed=0) -> np.ndarray:
    return augmentation.apply(features, SPEC, noise, np.random.default_rng(seed))


def random_features(batch: int = 8, *, low: float = 0.2, high: float = 0.8) -> np.ndarray:
    generator = np.random.default_rng(5)
    return generator.uniform(low, high, (batch, 90, 80)).astype(np.float32)


def noise_features(frames: int = 300) -> np.ndarray:
    return np.random.default_rng(6).uniform(0.3, 0.7, (frames, 80)).astype(np.float32)


def test_ranges_of_zero_change_nothing():
    features = random_features()
    np.testing.assert_array_equal(apply(NOTHING, features, noise_features()), features)


@pytest.mark.parametrize("augmentation", [Augmentation(), GENTLE])
def test_results_are_features_again(augmentation):
    features = random_features(32, low=0.0, high=1.0)
    before = features.copy()
    changed = apply(augmentation, features, noise_features())
    assert changed.dtype == np.float32
    assert changed.shape == features.shape
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert np.abs(changed - features).mean() > 0.01
    np.testing.assert_array_equal(features, before)


def test_the_generator_alone_decides():
    features, noise = random_features(), noise_features()
    first = apply(Augmentation(), features, noise, seed=1)
    np.testing.assert_array_equal(first, apply(Augmentation(), features, noise, seed=1))
    assert not np.array_equal(first, apply(Augmentation(), features, noise, seed=2))


def test_a_shift_moves_an_impulse_by_that_many_frames():
    features = np.zeros((50, 90, 80), np.float32)
    features[:, 40, 7] = 1
    shifted = apply(only(shift=12), features)
    # The first draw of the generator is the shift.
    shifts = np.random.default_rng(0).uniform(-12, 12, 50)
    energy = shifted[:, :, 7]
    centres = (energy * np.arange(90)).sum(axis=1) / energy.sum(axis=1)
    np.testing.assert_allclose(energy.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(centres, 40 + shifts, atol=1e-3)
    assert np.abs(shifts).max() > 8
    assert not np.delete(shifted, 7, axis=2).any()


def test_a_shift_by_whole_frames_is_a_roll_with_silence():
    features = random_features(2)
    where = np.array([np.arange(90) - 5.0, np.arange(90) + 3.0])
    moved = interpolate(features, where, axis=1)
    np.testing.assert_array_equal(moved[0, 5:], features[0, :-5])
    np.testing.assert_array_equal(moved[1, :-3], features[1, 3:])
    assert not moved[0, :5].any()
    assert not moved[1, -3:].any()


@pytest.mark.parametrize("axis", [1, 2])
def test_interpolation_is_that_of_numpy(axis):
    features = random_features(3)
    size = features.shape[axis]
    where = np.sort(np.random.default_rng(1).uniform(0, size - 1, (3, size)), axis=1)
    read = interpolate(features, where, axis=axis)
    for i in range(3):
        for j in range(0, 80, 13):
            line = features[i, :, j] if axis == 1 else features[i, j]
            found = read[i, :, j] if axis == 1 else read[i, j]
            np.testing.assert_allclose(found, np.interp(where[i], np.arange(size), line), atol=1e-5)


def test_stretching_keeps_the_middle_and_moves_the_rest():
    features = np.zeros((40, 90, 80), np.float32)
    features[:, 60:64] = 1
    stretched = apply(only(stretch=0.15), features)
    generator = np.random.default_rng(0)
    generator.uniform(0, 0, (40, 1))
    speed = 1 + generator.uniform(-0.15, 0.15, 40)
    energy = stretched[:, :, 0]
    centres = (energy * np.arange(90)).sum(axis=1) / energy.sum(axis=1)
    np.testing.assert_allclose(centres, 44.5 + (61.5 - 44.5) / speed, atol=0.1)


def test_warping_moves_bands_and_not_frames():
    features = np.zeros((40, 90, 80), np.float32)
    features[:, 30, 40] = 1
    warped = apply(only(warp=0.08), features)
    assert not np.delete(warped, 30, axis=1).any()
    peaks = warped[:, 30].argmax(axis=1)
    assert peaks.min() < 40 < peaks.max()
    assert np.abs(peaks - 40).max() <= np.ceil(40 * 0.08 / 0.92)


def test_gain_adds_decibels_and_leaves_the_floor():
    features = random_features(200)
    features[:, :10] = 0
    changed = apply(only(gain_db=8.0), features)
    assert not changed[:, :10].any()
    gains = 100 * (changed - features)[:, 10:]
    np.testing.assert_allclose(gains, gains[:, :1, :1] + np.zeros_like(gains), atol=1e-3)
    in_decibel = gains[:, 0, 0]
    assert np.abs(in_decibel).max() <= 8
    assert in_decibel.min() < -6
    assert in_decibel.max() > 6


def test_gain_counts_in_the_specs_own_depth():
    spec = FeatureSpec(floor_db=-50.0)
    features = random_features(20)
    louder = only(gain_db=8.0).apply(features, spec, NO_NOISE, np.random.default_rng(0))
    softer = only(gain_db=8.0).apply(features, SPEC, NO_NOISE, np.random.default_rng(0))
    np.testing.assert_allclose(louder - features, 2 * (softer - features), atol=1e-5)


@pytest.mark.parametrize("spec", [SPEC, FeatureSpec(floor_db=-60.0, reference_db=0.0)])
def test_added_sounds_add_their_powers(spec):
    features, added = random_features(3), random_features(3)[::-1]
    level = np.array([0.5, 0.01, 2.0], np.float32)[:, None, None]

    def power(values):
        return 10 ** ((values.astype(np.float64) * -spec.floor_db + spec.reference_db) / 10)

    mixed = power(features) + level * power(added)
    expected = (10 * np.log10(mixed) - spec.reference_db) / -spec.floor_db
    found = add_sounds(features, added, level, spec)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.minimum(expected, 1), atol=1e-5)


def test_mixed_features_are_close_to_features_of_the_mixed_sound():
    """On average over bins; phases make the powers of single bins differ."""
    time = np.arange(22050) / 22050
    y = 0.3 * np.sin(2 * np.pi * 700 * time) * (1 + np.sin(2 * np.pi * 3 * time))
    hiss = np.random.default_rng(0).normal(0, 0.02, 22050)
    spec = FeatureSpec(peak=0.0)
    level = np.full((1, 1, 1), 0.25, np.float32)
    mixed = add_sounds(extract(y, spec)[None], extract(hiss, spec)[None], level, spec)[0]
    expected = extract(y + 0.5 * hiss, spec)
    assert np.abs(expected - extract(y, spec)).mean() > 0.1
    assert np.abs(mixed - expected).mean() < 0.02


def test_noise_reaches_the_share_asked_for():
    features = random_features(400)
    changed = apply(only(noise_share=0.3, noise_db=(-20.0, -10.0)), features, noise_features())
    noisy = (changed != features).any(axis=(1, 2))
    assert 0.2 < noisy.mean() < 0.4
    assert (changed >= features - 1e-6).all()


def test_noise_has_a_level_in_the_range_asked_for():
    """On silence, what is there afterwards is the noise, lowered by the level, above the floor."""
    silence = np.zeros((100, 90, 80), np.float32)
    noise = np.full((300, 80), 0.8, np.float32)
    changed = apply(only(noise_share=1.0, noise_db=(-30.0, -10.0)), silence, noise)
    lowered = 100 * (0.8 - changed[:, 0, 0])
    assert lowered.min() >= 10 - 1e-3
    assert lowered.max() <= 30 + 1e-3
    assert lowered.max() - lowered.min() > 15


def test_noise_shorter_than_a_feature_is_not_mixed_in():
    features = random_features()
    changed = apply(only(noise_share=1.0), features, noise_features(89))
    np.testing.assert_array_equal(changed, features)


def test_noise_as_long_as_a_feature_is_mixed_in():
    features = random_features()
    changed = apply(only(noise_share=1.0), features, noise_features(90))
    assert (changed != features).any(axis=(1, 2)).all()


def test_masks_hide_one_strip_no_longer_than_told():
    features = random_features(300)
    masked = apply(only(mask_frames=12, mask_mels=10), features)
    hidden = masked == 0
    np.testing.assert_array_equal(masked[~hidden], features[~hidden])
    frames, mels = hidden.all(axis=2), hidden.all(axis=1)
    np.testing.assert_array_equal(hidden, frames[:, :, None] | mels[:, None, :])
    for strips, longest in ((frames, 12), (mels, 10)):
        lengths = strips.sum(axis=1)
        assert lengths.min() == 0
        assert lengths.max() == longest
        starts = np.diff(strips.astype(int), axis=1, prepend=0) == 1
        assert starts.sum(axis=1).max() == 1
        # Every place can be hidden, the first and the last among them.
        assert strips.any(axis=0).all()
