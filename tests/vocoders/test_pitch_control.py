"""The pitch of features, estimated or invented, and what vocoders make of it."""

from __future__ import annotations

import csv
import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

import keras_listen
from keras_listen.errors import ParameterError
from keras_listen.features import (
    FeatureSpec,
    extract_fitted,
    frame_padded,
    mel_basis,
    normalize_magnitude,
    window,
)
from keras_listen.plugins import default_registry
from keras_listen.seeds import derive
from keras_listen.vocoders.griffin_lim import GriffinLim
from keras_listen.vocoders.pitch import PitchControl, comb, control_of, estimate_pitch, invent_pitch
from keras_listen.vocoders.synthesis import mel_distance

SPEC = FeatureSpec()
SEEDS = np.stack([derive(0, "", k) for k in range(2)])


def voice(hertz: np.ndarray) -> np.ndarray:
    """Return a second of harmonics of a pitch [shape=(samples,)], 6 dB softer each octave."""
    phase = 2 * np.pi * np.cumsum(hertz) / SPEC.sample_rate
    return sum(np.sin(k * phase) / k for k in range(1, 40))


def whispered_vowel() -> np.ndarray:
    """Return features of a smooth spectrum that falls by 30 dB from the lowest band to the top."""
    decibel = -30 - 30 * np.arange(SPEC.n_mels) / SPEC.n_mels
    frames = np.tile(1 + decibel / 100, (SPEC.frames, 1)).astype(np.float32)
    frames[:20] = frames[70:] = 0
    return frames


def magnitudes(sound: np.ndarray) -> np.ndarray:
    """Return the magnitudes of a sound's frames, at the level of features."""
    padded = frame_padded(sound / np.abs(sound).max() * SPEC.peak, SPEC)
    frames = np.lib.stride_tricks.sliding_window_view(padded, SPEC.n_fft)[:: SPEC.hop_length]
    return np.abs(np.fft.rfft(frames[: SPEC.frames - 4] * window(SPEC)))


def periodicity(sound: np.ndarray, hertz: float) -> float:
    """Return the correlation of the middle of a sound with itself, one period later."""
    lag = round(SPEC.sample_rate / hertz)
    middle = sound[8000:14000]
    return float(np.corrcoef(middle, sound[8000 + lag : 14000 + lag])[0, 1])


@pytest.mark.parametrize(("first", "last"), [(100, 100), (140, 110), (200, 260), (330, 300)])
def test_the_pitch_of_a_gliding_voice_is_found(first, last):
    hertz = np.linspace(first, last, SPEC.sample_rate)
    found = estimate_pitch(extract_fitted(voice(hertz), SPEC), SPEC)
    # The middle of frame j's window is (j - 1) * hop_length samples into the sound.
    truth = hertz[np.clip((np.arange(90) - 1) * SPEC.hop_length, 0, len(hertz) - 1)]
    np.testing.assert_allclose(found[6:80], truth[6:80], rtol=0.03)


def test_white_noise_and_silence_have_no_pitch_and_are_given_none():
    noise = np.random.default_rng(0).standard_normal(SPEC.sample_rate)
    control = PitchControl(SPEC, "auto")
    for features in (extract_fitted(noise, SPEC), np.zeros((90, 80), np.float32)):
        assert control.find(features).origin == "none"
        assert control.find(features).share == 0


def test_auto_takes_a_pitch_where_there_is_one_and_invents_it_where_there_is_none():
    control = PitchControl(SPEC, "auto")
    spoken = control.find(extract_fitted(voice(np.full(SPEC.sample_rate, 150.0)), SPEC))
    assert spoken.origin == "estimated"
    assert spoken.share > 0.8
    whispered = control.find(whispered_vowel())
    assert whispered.origin == "invented"
    assert whispered.share == pytest.approx(50 / 90)


def test_an_invented_pitch_falls_from_120_hz_by_three_tenths_of_an_octave_a_second():
    found = invent_pitch(whispered_vowel(), SPEC)
    assert not found[:20].any()
    assert not found[70:].any()
    assert found[20] == 120
    seconds = 49 * SPEC.hop_length / SPEC.sample_rate
    assert found[69] == pytest.approx(120 * 2 ** (-0.3 * seconds))


def test_features_that_hiss_are_given_no_pitch():
    assert not invent_pitch(whispered_vowel()[:, ::-1], SPEC).any()


def test_the_comb_is_1_at_harmonics_and_low_between_them():
    factors = comb(np.array([SPEC.sample_rate / SPEC.n_fft * 10, 0.0]), SPEC)
    np.testing.assert_allclose(factors[0, 10:181:10], 1)
    np.testing.assert_allclose(factors[0, 15:176:10], 0.1)
    np.testing.assert_allclose(factors[0, 240:], 1)
    np.testing.assert_array_equal(factors[1], 1)


def test_expansion_stretches_what_is_below_the_loudest_band_of_each_sound():
    features = np.array([[[0.8, 0.5]], [[0.4, 0.1]]], np.float32)
    wanted = [[[0.8, 0.41]], [[0.4, 0.01]]]
    np.testing.assert_allclose(PitchControl(SPEC, expand=1.3).expanded(features), wanted, atol=1e-6)
    silence = np.zeros((1, 4, 80), np.float32)
    np.testing.assert_array_equal(PitchControl(SPEC, expand=1.3).expanded(silence), silence)


def test_auto_expands_only_what_has_no_pitch_of_its_own():
    spoken = extract_fitted(voice(np.linspace(120, 180, SPEC.sample_rate)), SPEC)
    auto = PitchControl(SPEC, "auto", 1.3)
    for features, pitch in ((spoken, "estimated"), (whispered_vowel(), "invented")):
        found = auto.find(features)
        assert found.origin == pitch
        always = PitchControl(SPEC, pitch, 1.3)
        wanted = features if pitch == "estimated" else always.expanded(features)
        np.testing.assert_array_equal(auto.expanded(features, found), wanted)
        voiced = spoken[None] if pitch == "estimated" else always.voiced(features[None])
        np.testing.assert_array_equal(auto.voiced(features[None]), voiced)
    assert not np.array_equal(PitchControl(SPEC, "estimated", 1.3).expanded(spoken), spoken)


def test_a_ripple_of_the_pitch_enters_features_that_have_none():
    features = whispered_vowel()[None]
    control = PitchControl(SPEC, "invented")
    assert not estimate_pitch(features[0], SPEC).any()
    found = estimate_pitch(control.voiced(features)[0], SPEC)[22:68]
    np.testing.assert_allclose(found, control.find(features[0]).hertz[22:68], rtol=0.05)
    np.testing.assert_array_equal(PitchControl(SPEC).voiced(features), features)


def test_griffin_lim_gives_a_whispered_vowel_the_invented_pitch():
    features = whispered_vowel()[None]
    whisper = GriffinLim(SPEC).synthesize(features, SEEDS[:1])[0]
    for start in ("random", "gradient"):
        vocoder = GriffinLim(SPEC, start=start, pitch="invented")
        spoken = vocoder.synthesize(features, SEEDS[:1])[0]
        hertz = invent_pitch(features[0], SPEC)[44]
        assert periodicity(spoken, hertz) > periodicity(whisper, hertz) + 0.3


def test_the_gradient_start_comes_as_close_as_random_phases_in_a_third_of_the_iterations():
    features = extract_fitted(voice(np.linspace(120, 180, SPEC.sample_rate)), SPEC)
    level = dataclasses.replace(SPEC, peak=0.0)

    def distance(vocoder: GriffinLim) -> float:
        sound = vocoder.synthesize(features[None], SEEDS[:1])[0]
        return float(np.abs(extract_fitted(sound, level) - features).mean())

    assert distance(GriffinLim(SPEC, 10, start="gradient")) < distance(GriffinLim(SPEC, 30))


@pytest.mark.parametrize("pitch", ["none", "estimated"])
def test_sounds_are_nearer_where_bands_are_held_instead_of_magnitudes(pitch):
    breath = np.random.default_rng(0).normal(size=SPEC.sample_rate)
    spoken = voice(np.linspace(120, 180, SPEC.sample_rate)) + 0.1 * breath
    features = extract_fitted(spoken, SPEC)
    bands, spectra = {}, {}
    for hold in ("magnitudes", "bands"):
        vocoder = GriffinLim(SPEC, start="gradient", hold=hold, pitch=pitch)
        sound = vocoder.synthesize(features[None], SEEDS[:1])[0]
        bands[hold] = mel_distance(features, sound, SPEC)
        spectra[hold] = np.linalg.norm(magnitudes(spoken) - magnitudes(sound))
    assert bands["bands"] < 0.85 * bands["magnitudes"]
    assert spectra["bands"] < 0.93 * spectra["magnitudes"]


def test_the_bands_that_are_held_are_the_expanded_ones():
    features = whispered_vowel()
    features[:, 40:] *= 0.6
    given = PitchControl(SPEC, expand=1.5).expanded(features)
    plain, expanding = (GriffinLim(SPEC, 4, hold="bands", expand=e) for e in (1.0, 1.5))
    expected = plain.synthesize(given[None], SEEDS[:1])
    np.testing.assert_array_equal(expanding.synthesize(features[None], SEEDS[:1]), expected)
    assert not np.allclose(plain.synthesize(features[None], SEEDS[:1]), expected, atol=1e-2)


@pytest.mark.parametrize("hold", ["magnitudes", "bands"])
def test_sounds_with_a_pitch_do_not_depend_on_their_batch_mates(hold):
    features = np.stack([whispered_vowel(), np.random.default_rng(1).uniform(0, 1, (90, 80))])
    vocoder = GriffinLim(SPEC, 3, start="gradient", hold=hold, pitch="auto", expand=1.3)
    both = vocoder.synthesize(features, SEEDS)
    np.testing.assert_array_equal(both[1:], vocoder.synthesize(features[1:], SEEDS[1:]))


@pytest.mark.parametrize("hold", ["magnitudes", "bands"])
def test_silence_stays_quiet(hold):
    vocoder = GriffinLim(SPEC, 4, start="gradient", hold=hold, pitch="auto", expand=1.3)
    sound = vocoder.synthesize(np.zeros((1, 90, 80), np.float32), SEEDS[:1])
    assert np.abs(sound).max() < 2e-3


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_few_and_wide_bands_have_no_pitch_to_be_estimated(power):
    spec = FeatureSpec(n_mels=12, power=power)
    features = normalize_magnitude(np.ones((30, 513)) @ mel_basis(spec).T, spec)
    assert not estimate_pitch(features, spec).any()


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ({}, {"expand": 9.0}, "expand is 9.0; expected 0.5 to 4, 1 for no expansion"),
        ({}, {"expand": float("nan")}, "expand is nan; expected 0.5 to 4"),
        ({}, {"pitch": "low"}, "griffin-lim.pitch is 'low'; expected .*'invented' or 'auto'"),
        (
            {"hop_length": 600},
            {"start": "gradient"},
            "start by the phase gradient needs frames",
        ),
    ],
)
def test_what_does_not_fit_is_named_in_one_line(spec, options, message):
    bundle = SimpleNamespace(spec=dataclasses.replace(SPEC, **spec))
    with pytest.raises(ParameterError, match=message) as caught:
        default_registry().create("vocoder", "griffin-lim", bundle, options)
    assert "\n" not in str(caught.value)


def test_a_run_says_which_sounds_have_an_invented_pitch(tmp_path):
    options = ["vocoder.griffin-lim.pitch=auto", "vocoder.griffin-lim.expand=1.3"]
    where = {"vocoder": "griffin-lim", "words": ["yes"], "steps": 3}
    run = keras_listen.listen(out=tmp_path / "run", options=options, **where)
    manifest = json.loads((run.root / "manifest.json").read_text())
    assert manifest["pitch"] == {"pitch": "auto", "expand": 1.3}
    (row,) = csv.DictReader((run.root / "samples.csv").open())
    features = np.clip(np.load(run.root / "yes-000.npy"), 0, 1)
    pitch = PitchControl(SPEC, "auto", 1.3).find(features)
    assert row["pitch"] == pitch.origin
    assert float(row["pitched_share"]) == pytest.approx(pitch.share, abs=1e-4)
    page = (run.root / "index.html").read_text()
    assert "The vocoder's pitch is <b>auto</b>" in page
    assert ("invented pitch</figcaption>" in " ".join(page.split())) == (pitch.origin == "invented")
    plain = keras_listen.listen(out=tmp_path / "plain", preset="paper", **where)
    assert "pitch" not in json.loads((plain.root / "manifest.json").read_text())
    assert "pitch" not in (plain.root / "samples.csv").read_text()
    assert "The vocoder's pitch" not in (plain.root / "index.html").read_text()


def test_wavenet_hears_an_invented_pitch_in_its_features():
    features = whispered_vowel()[None, 15:60]
    plain, spoken = (
        default_registry().create("vocoder", "wavenet", keras_listen.load_bundle(), options)
        for options in ({}, {"pitch": "invented"})
    )
    hertz = spoken.control.find(features[0]).hertz.max()
    whisper, sound = (each.synthesize(features, SEEDS[:1])[0] for each in (plain, spoken))
    ripple = [estimate_pitch(extract_fitted(y, SPEC), SPEC) for y in (whisper, sound)]
    assert (ripple[1] > 0.8 * hertz).sum() > (ripple[0] > 0.8 * hertz).sum() + 5


def test_vocoders_of_plugins_need_not_know_of_pitch():
    assert control_of(SimpleNamespace(spec=SPEC)) is None
    assert control_of(SimpleNamespace(control="mine")) is None
    assert control_of(GriffinLim(SPEC)) is None
