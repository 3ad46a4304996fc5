"""Pitch from features: sounds of known pitch, and sounds without one."""

import numpy as np
import pytest

from keras_listen.features import FeatureSpec, extract
from keras_listen.vocoders.wavenet.pitch import HIGHEST, LOWEST, estimate

SPEC = FeatureSpec()


def harmonics(pitch, seconds=1.0):
    """Return a sound with all harmonics below 4 kHz, falling by 6 dB an octave."""
    time = np.arange(int(seconds * SPEC.sample_rate)) / SPEC.sample_rate
    return sum(np.sin(2 * np.pi * k * pitch * time) / k for k in range(1, int(4000 / pitch)))


@pytest.mark.parametrize("spec", [SPEC, FeatureSpec(power=2.0, padding="center")])
@pytest.mark.parametrize("pitch", [90.0, 130.0, 210.0, 330.0])
def test_the_pitch_of_harmonics_is_found(pitch, spec):
    features = extract(harmonics(pitch), spec)[None]
    hertz, voiced = estimate(features, spec)
    assert hertz.shape == voiced.shape == features.shape[:2]
    inner = slice(8, -8)
    np.testing.assert_allclose(hertz[0, inner], pitch, rtol=0.02)
    assert voiced[0, inner].min() > 0.9


def test_a_moving_pitch_is_followed():
    time = np.arange(SPEC.sample_rate) / SPEC.sample_rate
    pitch = 120 + 100 * time
    phase = 2 * np.pi * np.cumsum(pitch) / SPEC.sample_rate
    features = extract(sum(np.sin(k * phase) / k for k in range(1, 15)), SPEC)[None]
    hertz, _ = estimate(features, SPEC)
    frames = np.arange(10, 80)
    # Frame j is in the middle of samples 256 j - 768 up to 256 j + 256.
    wanted = 120 + 100 * (256 * frames - 256) / SPEC.sample_rate
    np.testing.assert_allclose(hertz[0, frames], wanted, rtol=0.04)


def test_noise_and_silence_have_no_voice():
    noise = np.random.default_rng(0).standard_normal(SPEC.sample_rate)
    _, voiced = estimate(extract(noise, SPEC)[None], SPEC)
    assert voiced.mean() < 0.15
    hertz, voiced = estimate(np.zeros((1, 5, 80)), SPEC)
    assert (voiced == 0).all()
    assert ((hertz >= LOWEST - 1e-9) & (hertz <= HIGHEST + 1e-9)).all()


def test_a_frame_depends_on_its_neighbours_only():
    features = np.random.default_rng(0).random((1, 20, 80))
    changed = features.copy()
    changed[:, 10] = 0.5
    different = (estimate(features, SPEC)[1] != estimate(changed, SPEC)[1])[0]
    assert set(np.flatnonzero(different)) <= {9, 10, 11}
