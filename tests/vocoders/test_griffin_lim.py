"""Griffin-Lim: sounds that line up with their features, and how close they come.

Bounds on closeness are the measured values with half as much again.
"""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import librosa
import numpy as np
import pytest

from keras_listen.data.readers import soundfile_reader
from keras_listen.errors import ParameterError
from keras_listen.features import (
    FeatureSpec,
    count_samples,
    denormalize_magnitude,
    extract,
    extract_fitted,
    mel_basis,
    normalize_magnitude,
)
from keras_listen.plugins import default_registry
from keras_listen.vocoders.griffin_lim import GriffinLim, invert_mel

SPEC = FeatureSpec()
CENTERED = dataclasses.replace(SPEC, padding="center")
#: The same features without scaling to a peak first: levels can be compared.
AS_IT_IS = dataclasses.replace(SPEC, peak=0.0)


def seeds_of(count: int) -> np.ndarray:
    return np.array([[k, 9] for k in range(count)], np.uint32)


@pytest.fixture(scope="module")
def chirp() -> np.ndarray:
    """Features of a rising tone, 200 to 4,000 Hz."""
    y = 0.8 * librosa.chirp(fmin=200, fmax=4000, sr=SPEC.sample_rate, length=22272)
    return extract_fitted(y, SPEC)


@pytest.fixture(scope="module")
def speech(real_speech) -> np.ndarray:
    """Features of six real utterances."""
    paths = sorted(p for p in real_speech.glob("[a-z]*/*") if p.suffix in (".wav", ".flac"))
    sounds = soundfile_reader(None)(paths[:: max(1, len(paths) // 6)][:6], SPEC.sample_rate)
    return np.stack([extract_fitted(sound, SPEC) for _, sound in sounds])


@pytest.fixture(scope="module")
def chirp_sound(chirp) -> np.ndarray:
    return GriffinLim(SPEC).synthesize(chirp[None], seeds_of(1))[0]


@pytest.fixture(scope="module")
def speech_sounds(speech) -> np.ndarray:
    return GriffinLim(SPEC).synthesize(speech, seeds_of(len(speech)))


def convergence(features: np.ndarray, sound: np.ndarray) -> float:
    """Return the relative error of the sound's mel magnitudes: 0 is perfect."""
    wanted = denormalize_magnitude(features, SPEC)
    found = denormalize_magnitude(extract(sound, AS_IT_IS), SPEC)
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def best_lag(features: np.ndarray, again: np.ndarray) -> int:
    """Return by how many frames `again` is late, of -3 to 3."""

    def likeness(lag: int) -> float:
        rows = slice(3, len(features) - 3)
        moved = again[3 + lag : len(features) - 3 + lag]
        return float(np.corrcoef(features[rows].ravel(), moved.ravel())[0, 1])

    return max(range(-3, 4), key=likeness)


def test_sound_of_a_chirp_comes_close_and_lines_up(chirp, chirp_sound):
    assert convergence(chirp, chirp_sound) < 0.15
    assert best_lag(chirp, extract(chirp_sound, SPEC)) == 0


def test_the_lag_is_seen_where_there_is_one(chirp, chirp_sound):
    late = np.concatenate([np.zeros(2 * SPEC.hop_length), chirp_sound])[: len(chirp_sound)]
    assert best_lag(chirp, extract(late, SPEC)) == 2


def test_sounds_of_real_speech_come_close_and_line_up(speech, speech_sounds):
    assert speech_sounds.shape == (len(speech), count_samples(90, SPEC))
    for features, sound in zip(speech, speech_sounds, strict=True):
        assert convergence(features, sound) < 0.16
        assert best_lag(features, extract(sound, SPEC)) == 0


def test_iterations_bring_the_sound_closer(chirp, chirp_sound):
    first = GriffinLim(SPEC, iterations=1).synthesize(chirp[None], seeds_of(1))[0]
    assert convergence(chirp, chirp_sound) < 0.6 * convergence(chirp, first)


@pytest.mark.parametrize("spec", [SPEC, CENTERED], ids=["edges", "center"])
@pytest.mark.parametrize("frames", [4, 5, 31, 90, 133])
def test_any_number_of_frames_comes_back_as_many(spec, frames):
    features = np.random.default_rng(frames).uniform(0, 1, (2, frames, 80)).astype(np.float32)
    sounds = GriffinLim(spec, iterations=2).synthesize(features, seeds_of(2))
    assert sounds.shape == (2, count_samples(frames, spec))
    assert sounds.dtype == np.float32
    assert np.isfinite(sounds).all()
    assert extract(sounds[0], spec).shape == (frames, 80)


def test_too_few_frames_for_any_sound_are_refused():
    with pytest.raises(ParameterError, match="3 frames are too few"):
        GriffinLim(SPEC, iterations=1).synthesize(np.ones((1, 3, 80), np.float32), seeds_of(1))


def test_sound_has_the_level_of_its_features(chirp, chirp_sound):
    softer = chirp - 0.2  # 20 dB
    soft = GriffinLim(SPEC).synthesize(softer[None], seeds_of(1))[0]
    ratio = np.sqrt((chirp_sound**2).mean() / (soft**2).mean())
    assert ratio == pytest.approx(10, rel=0.1)


def test_same_seed_same_sound_whatever_its_batch_mates(chirp):
    other = np.random.default_rng(0).uniform(0, 1, (3, 90, 80)).astype(np.float32)
    vocoder, seeds = GriffinLim(SPEC, iterations=3), seeds_of(4)
    alone = vocoder.synthesize(chirp[None], seeds[2:3])
    batch = vocoder.synthesize(np.stack([*other[:2], chirp, other[2]]), seeds)
    again = GriffinLim(SPEC, iterations=3).synthesize(chirp[None], seeds[2:3])
    np.testing.assert_array_equal(batch[2], alone[0])
    np.testing.assert_array_equal(again, alone)
    assert np.any(vocoder.synthesize(chirp[None], seeds[:1]) != alone)


def test_silence_stays_quiet():
    sound = GriffinLim(SPEC, iterations=4).synthesize(np.zeros((1, 90, 80)), seeds_of(1))
    assert np.abs(sound).max() < 2e-3


def inversion_error(features: np.ndarray) -> tuple[float, float]:
    """Return the relative error of mel magnitudes, and the mean one of features."""
    linear = invert_mel(features, SPEC)
    assert linear.shape == (*features.shape[:-1], 513)
    assert linear.min() >= 0
    mel, wanted = linear @ mel_basis(SPEC).T, denormalize_magnitude(features, SPEC)
    off = np.abs(normalize_magnitude(mel, SPEC) - features).mean()
    return float(np.linalg.norm(mel - wanted) / np.linalg.norm(wanted)), float(off)


def test_mel_inversion_of_a_chirp_and_of_real_speech(chirp, speech):
    for features in (chirp[None], speech):
        relative, off = inversion_error(features)
        assert relative < 0.03
        assert off < 1e-3


def test_mel_inversion_undoes_the_mel_basis_of_any_power():
    spec = dataclasses.replace(SPEC, power=2.0)
    spectrum = np.random.default_rng(1).uniform(0.5, 2, (1, 6, 513))
    features = normalize_magnitude(spectrum @ mel_basis(spec).T, spec)
    linear = invert_mel(features, spec)
    again = normalize_magnitude(linear @ mel_basis(spec).T, spec)
    np.testing.assert_allclose(again, features, atol=2e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"iterations": 0}, "iterations is 0; expected at least 1"),
        ({"momentum": 1.0}, "momentum is 1.0; expected at least 0 and below 1"),
        ({"momentum": -0.5}, "momentum is -0.5"),
        ({"momentum": float("nan")}, "momentum is nan"),
        ({"iterations": "many"}, "vocoder.griffin-lim.iterations is 'many'; expected int"),
        ({"iteration": 3}, "'iteration'; did you mean 'iterations'"),
    ],
)
def test_bad_options_are_named(options, message):
    bundle = SimpleNamespace(spec=SPEC)
    with pytest.raises(ParameterError, match=message):
        default_registry().create("vocoder", "griffin-lim", bundle, options)
