"""Windows, gradients and ways by hand; sounds that line up with their features; messages.

Bounds on closeness are the measured values with half as much again.
"""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import keras_listen_pghi as pghi
import librosa
import numpy as np
import pytest
from keras_listen_pghi import PhaseGradient

import keras_listen
from keras_listen import FeatureSpec
from keras_listen.errors import ParameterError
from keras_listen.features import count_samples, denormalize_magnitude, extract, window
from keras_listen.plugins import default_registry
from keras_listen.testing import check_vocoder
from keras_listen.vocoders import phase_gradient

SPEC = FeatureSpec()
OTHERS = {
    "published": SPEC,
    "center": dataclasses.replace(SPEC, padding="center"),
    "hann": dataclasses.replace(SPEC, window="hann"),
    "power": dataclasses.replace(SPEC, power=2.0),
    "half": dataclasses.replace(SPEC, hop_length=512),
    "uneven": FeatureSpec(
        sample_rate=16000, n_fft=500, hop_length=160, window="hamming", n_mels=40, fmax=7000.0
    ),
}


def random() -> np.random.Generator:
    return np.random.default_rng(0)


def seeds_of(count: int) -> np.ndarray:
    return np.array([[k, 9] for k in range(count)], np.uint32)


def chirp_of(spec: FeatureSpec) -> np.ndarray:
    """Return a second of a rising tone with a click in it."""
    y = 0.5 * librosa.chirp(fmin=200, fmax=4000, sr=spec.sample_rate, length=spec.sample_rate)
    y[spec.sample_rate // 3] += 0.5
    return y


@pytest.fixture(scope="module")
def chirp() -> np.ndarray:
    return extract(chirp_of(SPEC), SPEC)


@pytest.fixture(scope="module")
def chirp_sound(chirp) -> np.ndarray:
    return PhaseGradient(SPEC).synthesize(chirp[None], seeds_of(1))[0]


def convergence(features: np.ndarray, sound: np.ndarray, spec: FeatureSpec = SPEC) -> float:
    """Return the relative error of the sound's mel magnitudes: 0 is perfect."""
    as_it_is = dataclasses.replace(spec, peak=0.0)
    wanted = denormalize_magnitude(features, spec)
    found = denormalize_magnitude(extract(sound, as_it_is), spec)
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def test_gamma_of_a_gaussian_is_its_own_and_of_a_hann_window_the_published_one():
    places = np.arange(2001) - 1000.0
    gamma, middle = phase_gradient.measure_window(np.exp(-np.pi * places**2 / 40000))
    assert gamma == pytest.approx(40000)
    assert middle == pytest.approx(1000)
    gamma, middle = phase_gradient.measure_window(window(OTHERS["hann"]))
    assert gamma == pytest.approx(0.25645 * 1024**2, rel=0.03)
    assert middle == pytest.approx(512)
    _, middle = phase_gradient.measure_window(window(SPEC))
    assert middle == pytest.approx(511.5)


def test_gradients_of_a_tone_and_of_a_click_are_those_of_their_phases():
    frames, bins = np.arange(40)[:, None], np.arange(513)
    gamma, _ = phase_gradient.measure_window(window(SPEC))
    # What a Gaussian window makes of a tone of 100.3 bins: the phase advances with it.
    tone = np.exp(-np.pi * gamma * ((bins - 100.3) / 1024) ** 2) + 0 * frames
    by_frame, by_bin = phase_gradient.gradients(tone, SPEC)
    advance = 2 * np.pi * 100.3 * 256 / 1024
    np.testing.assert_allclose(by_frame[:, 98:103], advance, rtol=1e-9)
    np.testing.assert_allclose(by_bin[:, 98:103], 0, atol=1e-9)
    # And of a click in the middle of frame 20.4: the later it comes, the faster phases fall.
    click = np.exp(-np.pi * (256 * (frames - 20.4)) ** 2 / gamma) + 0 * bins
    by_frame, by_bin = phase_gradient.gradients(click, SPEC)
    late = 256 * (20.4 - frames[18:23])
    falling = np.broadcast_to(-2 * np.pi * late / 1024, (5, 513))
    np.testing.assert_allclose(by_bin[18:23], falling, rtol=1e-9)
    np.testing.assert_allclose(by_frame[20], 2 * np.pi * 256 / 1024 * bins, atol=1e-9)


def integrated(magnitude, by_frame, by_bin, least=0.0) -> np.ndarray:
    phase = np.full(np.shape(magnitude), 77.0)
    arrays = (np.asarray(a, np.float64) for a in (magnitude, by_frame, by_bin))
    phase_gradient._compiled()(*arrays, least, phase)
    return phase


def test_integration_takes_the_loud_way_first():
    by_frame, by_bin = [[2.0, 4.0], [6.0, 8.0]], [[1.0, 3.0], [5.0, 7.0]]
    # From 9 to both its neighbours; to 1 from the louder of them.
    found = integrated([[9.0, 5.0], [8.0, 1.0]], by_frame, by_bin)
    np.testing.assert_allclose(found, [[0, 2], [4, 4 + 6]])
    found = integrated([[9.0, 8.0], [5.0, 1.0]], by_frame, by_bin)
    np.testing.assert_allclose(found, [[0, 2], [4, 2 + 6]])
    # From 9 in the last place, against both directions.
    found = integrated([[1.0, 8.0], [5.0, 9.0]], by_frame, by_bin)
    np.testing.assert_allclose(found, [[-6 - 2, -6], [-6, 0]])


def test_integration_leaves_what_is_soft_and_begins_anew_behind_it():
    magnitude = [[9.0, 8.0, 0.1, 3.0, 4.0]]
    slopes = np.ones((1, 5))
    found = integrated(magnitude, slopes, slopes, least=0.5)
    np.testing.assert_allclose(found, [[0, 1, 77, -1, 0]])


def test_integration_finds_any_phase_whose_gradient_it_is_given():
    frame, bin_ = np.meshgrid(np.arange(30.0), np.arange(50.0), indexing="ij")
    wanted = 0.3 * frame**2 - 2 * frame * bin_ + 0.1 * bin_**2 + bin_
    slopes = 0.6 * frame - 2 * bin_, -2 * frame + 0.2 * bin_ + 1
    magnitude = random().uniform(1, 2, wanted.shape)
    found = integrated(magnitude, *slopes)
    np.testing.assert_allclose(found - found[0, 0], wanted - wanted[0, 0], atol=1e-8)


def consistency(phase: np.ndarray, magnitude: np.ndarray, spec: FeatureSpec) -> float:
    """Return how far magnitudes are from those of the sound they make: 0 is perfect."""
    again = np.abs(pghi._analyse(pghi._synthesise(magnitude * np.exp(1j * phase), spec), spec))
    return float(np.linalg.norm(again - magnitude) / np.linalg.norm(magnitude))


@pytest.mark.parametrize(
    ("spec", "most"), [("published", 0.067), ("hann", 0.047), ("uneven", 0.047), ("half", 0.15)]
)
def test_phases_of_a_known_spectrum_agree_with_each_other(spec, most):
    spec = OTHERS[spec]
    magnitude = np.abs(pghi._analyse(chirp_of(spec), spec))
    found = consistency(pghi.find_phases(magnitude, spec, random()), magnitude, spec)
    chance = consistency(random().uniform(0, 6.3, magnitude.shape), magnitude, spec)
    assert found < most
    assert chance > 0.5


def test_only_what_is_soft_is_drawn():
    magnitude = np.ones((6, 513))
    magnitude[:, 200:] = 1e-3
    draws = [np.random.default_rng(seed) for seed in (1, 2, 1)]
    one, other, same = (pghi.find_phases(magnitude, SPEC, draw, 1e-2) for draw in draws)
    np.testing.assert_array_equal(one, same)
    np.testing.assert_array_equal(one[:, :200], other[:, :200])
    assert (one[:, 200:] != other[:, 200:]).all()


def best_lag(features: np.ndarray, again: np.ndarray) -> int:
    """Return by how many frames `again` is late, of -3 to 3."""

    def likeness(lag: int) -> float:
        rows = slice(3, len(features) - 3)
        moved = again[3 + lag : len(features) - 3 + lag]
        return float(np.corrcoef(features[rows].ravel(), moved.ravel())[0, 1])

    return max(range(-3, 4), key=likeness)


def test_sound_of_a_chirp_comes_close_and_lines_up(chirp, chirp_sound):
    assert convergence(chirp, chirp_sound) < 0.087
    assert best_lag(chirp, extract(chirp_sound, SPEC)) == 0


def test_iterations_bring_the_sound_closer(chirp, chirp_sound):
    more = PhaseGradient(SPEC, iterations=8).synthesize(chirp[None], seeds_of(1))[0]
    assert convergence(chirp, more) < 0.95 * convergence(chirp, chirp_sound)


def test_sound_has_the_level_of_its_features(chirp, chirp_sound):
    soft = PhaseGradient(SPEC).synthesize(chirp[None] - 0.2, seeds_of(1))[0]  # 20 dB
    assert np.sqrt((chirp_sound**2).mean() / (soft**2).mean()) == pytest.approx(10, rel=0.1)


@pytest.mark.parametrize("name", OTHERS)
def test_any_spec_and_number_of_frames(name):
    spec = OTHERS[name]
    features = extract(chirp_of(spec), spec)
    least = 2 if spec.padding == "center" else spec.n_fft // spec.hop_length
    for frames in (least, least + 1, len(features)):
        sounds = PhaseGradient(spec).synthesize(features[None, :frames], seeds_of(1))
        assert sounds.shape == (1, count_samples(frames, spec))
        assert sounds.dtype == np.float32
        assert extract(sounds[0], spec).shape == (frames, spec.n_mels)
    # Of squared magnitudes errors are twice as large.
    most = 0.62 if name == "power" else 0.19
    assert convergence(features, sounds[0], spec) < most
    assert best_lag(features, extract(sounds[0], spec)) == 0


@pytest.mark.parametrize("options", [{}, {"iterations": 2}], ids=str)
def test_it_keeps_the_contract(options):
    check_vocoder("pghi", **options)


def test_too_few_frames_for_any_sound_are_refused():
    with pytest.raises(ParameterError, match="3 frames are too few"):
        PhaseGradient(SPEC).synthesize(np.ones((1, 3, 80), np.float32), seeds_of(1))


def test_same_seed_same_sound_whatever_its_batch_mates(chirp):
    features = np.clip(chirp, 0.3, 1) - 0.3  # softer parts that lie below the tolerance
    other = np.random.default_rng(0).uniform(0, 1, (3, *chirp.shape)).astype(np.float32)
    vocoder, seeds = PhaseGradient(SPEC, iterations=1), seeds_of(4)
    alone = vocoder.synthesize(features[None], seeds[2:3])
    batch = vocoder.synthesize(np.stack([*other[:2], features, other[2]]), seeds)
    np.testing.assert_array_equal(batch[2], alone[0])
    np.testing.assert_array_equal(vocoder.synthesize(features[None], seeds[2:3]), alone)


def test_seeds_decide_what_is_soft(chirp):
    vocoder = PhaseGradient(SPEC, tolerance=0.01)
    one, other = (vocoder.synthesize(chirp[None], seeds_of(2)[k : k + 1]) for k in (0, 1))
    assert np.any(one != other)


def test_silence_stays_quiet():
    sound = PhaseGradient(SPEC).synthesize(np.zeros((1, 90, 80)), seeds_of(1))
    assert np.isfinite(sound).all()
    assert np.abs(sound).max() < 2e-3


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ({"hop_length": 600}, {}, "hop_length is 600; pghi needs .* at most 512 for n_fft 1024"),
        ({}, {"iterations": -1}, "iterations is -1; expected 0 or more"),
        ({}, {"tolerance": 1.0}, "tolerance is 1.0; expected at least 0 and below 1"),
        ({}, {"tolerance": float("nan")}, "tolerance is nan"),
        ({}, {"tolerance": "low"}, "vocoder.pghi.tolerance of .* is 'low'; expected float"),
        ({}, {"iteration": 3}, "'iteration'; did you mean 'iterations'"),
    ],
)
def test_what_does_not_fit_is_named_in_one_line(spec, options, message):
    bundle = SimpleNamespace(spec=dataclasses.replace(SPEC, **spec))
    with pytest.raises(ParameterError, match=message) as caught:
        default_registry().create("vocoder", "pghi", bundle, options)
    assert "\n" not in str(caught.value)


def test_features_without_a_pitch_are_given_harmonics_at_an_invented_one():
    features = np.tile(np.linspace(0.7, 0.4, SPEC.n_mels, dtype=np.float32), (1, 90, 1))
    seeds = np.array([[1, 2]], np.uint32)
    control = PhaseGradient(SPEC, pitch="invented").control
    lag = round(SPEC.sample_rate / control.find(features[0]).hertz[40])
    alike = []
    for pitch in ("none", "invented"):
        (sound,) = PhaseGradient(SPEC, pitch=pitch).synthesize(features, seeds)
        # The middle of frame j's window is (j - 1) * hop_length samples into the sound.
        middle = 39 * SPEC.hop_length
        pair = (
            sound[middle - 1000 : middle + 1000],
            sound[middle - 1000 + lag : middle + 1000 + lag],
        )
        alike.append(np.corrcoef(*pair)[0, 1])
    assert alike[1] > alike[0] + 0.3


def test_a_run_speaks_with_it_and_hears_the_words_again(tmp_path):
    words = ["yes", "no", "stop", "left"]
    run = keras_listen.listen(vocoder="pghi", words=words, out=tmp_path / "run", seed=1)
    assert run.summary["cycle"] >= run.summary["own success"] - 0.25
    assert (tmp_path / "run" / "yes-000.wav").stat().st_size > 40000
