"""The share of voiced frames: sounds whose voicing is known, and Praat's measure on recordings."""

from __future__ import annotations

import numpy as np
import pytest

from keras_listen.vocoders.voicing import voiced_frames, voiced_share


def vowel(hertz: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    """Return harmonics of a pitch, softer towards higher ones [shape=(samples,)]."""
    time = np.arange(round(rate * seconds)) / rate
    count = int(min(rate / 2, 5000) / hertz)
    return 0.1 * sum(np.sin(2 * np.pi * k * hertz * time) / k for k in range(1, count))


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100])
@pytest.mark.parametrize("hertz", [80, 140, 380])
def test_a_vowel_is_voiced_throughout(hertz, rate):
    assert voiced_share(vowel(hertz, rate), rate) == 1


@pytest.mark.parametrize("rate", [8000, 22050])
def test_noise_and_silence_are_not_voiced(rate):
    noise = np.random.default_rng(0).standard_normal(rate)
    assert voiced_share(noise, rate) < 0.02
    assert voiced_share(np.zeros(rate), rate) == 0
    assert voiced_share(np.full(rate, 0.5), rate) == 0


def test_a_tone_beyond_the_range_of_voices_is_not_voiced_below_it():
    time = np.arange(22050) / 22050
    # Its period is 40 ms: more than that of the lowest pitch, 60 Hz.
    assert voiced_share(np.sin(2 * np.pi * 25 * time), 22050) == 0


def test_share_and_place_of_a_vowel_between_noise_are_found():
    rate = 22050
    noise = 0.02 * np.random.default_rng(1).standard_normal(rate)
    sound = noise.copy()
    sound[rate // 4 : 3 * rate // 4] += vowel(120, rate, 0.5)[: 3 * rate // 4 - rate // 4]
    voiced = voiced_frames(sound, rate)
    middles = 0.025 + 0.01 * np.arange(len(voiced))
    assert voiced[(middles > 0.29) & (middles < 0.71)].all()
    assert not voiced[(middles < 0.21) | (middles > 0.79)].any()
    assert voiced.mean() == pytest.approx(0.5, abs=0.05)


def test_level_does_not_matter_but_what_is_soft_beside_the_rest_is_not_voiced():
    rate = 22050
    loud, soft = vowel(120, rate), 1e-4 * vowel(120, rate)
    assert voiced_share(soft, rate) == 1
    voiced = voiced_frames(np.concatenate([loud, soft]), rate)
    assert voiced[:90].all()
    assert not voiced[-90:].any()


def test_a_sound_shorter_than_a_frame_is_padded():
    assert voiced_frames(vowel(150, 22050, 0.02), 22050).shape == (1,)


def test_shares_of_recordings_are_those_of_praat(real_speech):
    parselmouth = pytest.importorskip("parselmouth", reason="praat-parselmouth is not installed")
    import soundfile

    names = (real_speech / "testing_list.txt").read_text().split()
    paths = [
        path for name in names if (path := (real_speech / name).with_suffix(".flac")).is_file()
    ]
    shares = []
    for path in paths[::20]:
        sound, rate = soundfile.read(path)
        pitch = parselmouth.Sound(sound, rate).to_pitch(0.01, 60, 400)
        praat = (pitch.selected_array["frequency"] > 0).mean()
        shares.append((voiced_share(sound, rate), praat))
    mine, praat = np.transpose(shares)
    assert len(mine) > 20
    assert np.corrcoef(mine, praat)[0, 1] > 0.9
    assert abs(mine.mean() - praat.mean()) < 0.03
