"""Linear prediction: filters against an independent solver, and the sound they stand for."""

import numpy as np
import pytest
import scipy.linalg
import scipy.ndimage
import scipy.signal

from keras_listen.features import FeatureSpec, extract, frame_padded, left_padding
from keras_listen.vocoders.wavenet.linear_prediction import (
    _levinson,
    _long,
    _short,
    excitation_of,
    filters_of,
    look_ahead,
    memory,
    reach,
    sound_of,
)

SPEC = FeatureSpec(peak=0.0)
ORDER, PITCH = 32, 0.85


def described(sound, spec=SPEC, pitch=PITCH):
    """Return the filters of a sound, and the padded sound that its frames cover."""
    features = extract(sound, spec)
    before = np.pad(features, ((reach(spec), 0), (0, 0)))
    padded = frame_padded(sound, spec)[: len(features) * spec.hop_length]
    return filters_of(before[None], spec, ORDER, pitch), padded[None]


def rng(seed=0):
    return np.random.default_rng(seed)


def voiced(pitch=120.0, breath=0.02):
    """Return a second of pulses and a little noise through two resonances."""
    rate = SPEC.sample_rate
    source = breath * rng().standard_normal(rate)
    source[:: int(rate / pitch)] += 1.0
    for frequency, radius in ((600, 0.97), (1800, 0.96)):
        turn = 2 * np.pi * frequency / rate
        source = scipy.signal.lfilter([1], [1, -2 * radius * np.cos(turn), radius**2], source)
    return 0.3 * source / np.abs(source).max()


def periodicity(y, pitch):
    """Return how much of `y` below 2 kHz comes again after a period: a correlation."""
    y = scipy.signal.sosfilt(scipy.signal.butter(4, 2000, fs=22050, output="sos"), y)
    lag = int(SPEC.sample_rate / pitch)
    return np.corrcoef(y[4096:-4096], y[4096 - lag : -4096 - lag])[0, 1]


def test_levinson_solves_the_normal_equations():
    sounds = rng().standard_normal((3, 200))
    correlation = np.stack([[s[: 200 - k] @ s[k:] for k in range(9)] for s in sounds])
    solved = _levinson(correlation)
    for row, found in zip(correlation, solved, strict=True):
        wanted = scipy.linalg.solve_toeplitz(row[:8], row[1:])
        np.testing.assert_allclose(found[1:], wanted, atol=1e-10)
        np.testing.assert_allclose(found[0] ** 2, row[0] - wanted @ row[1:], rtol=1e-10)


def test_the_short_predictor_is_an_all_pole_filter():
    y = rng().standard_normal((1, 400))
    wanted = scipy.signal.lfilter([0.5], [1, -0.9, 0.2], y[0])
    filters = np.tile(np.float32([0.5, 0.9, -0.2]), (1, 4, 1))
    made = _short(y, filters, True)
    np.testing.assert_allclose(made[0], wanted, atol=1e-6)
    np.testing.assert_allclose(_short(made, filters, False), y, atol=1e-9)


def test_the_long_predictor_repeats_the_period_before():
    y = np.zeros((1, 400))
    y[0, 100] = 1.0
    taps = np.array([0.25, 0.5, 0.25])
    lags, gains = np.full((1, 4), 60.5, np.float32), np.full((1, 4), 0.8, np.float32)
    made = _long(y, lags, gains, taps, True)
    # Half a sample between two: the taps' mean, one period and a half sample on.
    wanted = 0.8 * np.array([0.125, 0.375, 0.375, 0.125])
    np.testing.assert_allclose(made[0, 159:163], wanted, rtol=1e-6)
    np.testing.assert_allclose(made[0, 101:159], 0, atol=1e-12)
    np.testing.assert_allclose(_long(made, lags, gains, taps, False), y, atol=1e-9)


@pytest.mark.parametrize("spec", [SPEC, FeatureSpec(peak=0.0, padding="center", power=2.0)])
def test_the_excitation_of_noise_has_unit_variance_whatever_the_level(spec):
    noise = rng(1).standard_normal(spec.sample_rate)
    for level in (0.3, 0.003):
        filters, padded = described(level * noise, spec)
        excitation = excitation_of(padded, filters, spec, rng())[0, 4096:-4096]
        assert excitation.std() == pytest.approx(1.0, abs=0.15)


def test_the_excitation_of_a_vowel_is_flat():
    filters, padded = described(voiced())
    excitation = excitation_of(padded, filters, SPEC, rng())

    def unevenness(y):
        """Standard deviation, in dB, of the power in bands of 250 Hz from 250 to 7000 Hz."""
        _, power = scipy.signal.welch(y[0, 4096:-4096], 22050, nperseg=1024)
        bands = power[12 : 12 + 27 * 12].reshape(27, 12).mean(axis=1)
        return (10 * np.log10(bands)).std()

    assert unevenness(padded) > 8
    assert unevenness(excitation) < 3.5


def test_what_features_say_nothing_of_becomes_noise():
    time = np.arange(SPEC.sample_rate) / SPEC.sample_rate
    hum = voiced() + 0.05 * np.sin(2 * np.pi * 20 * time) + 0.05 * np.sin(2 * np.pi * 9500 * time)
    filters, padded = described(hum)

    def density_near(y, hertz):
        """Return the largest power beside a tone; that of white noise of unit variance is 1."""
        frequencies, power = scipy.signal.welch(y[0, 4096:-4096], 22050, nperseg=2048)
        return power[np.abs(frequencies - hertz) < 25].max() * 22050 / 2

    excitation = excitation_of(padded, filters, SPEC, rng())
    for hertz in (20, 9500):
        flat = density_near(_short(padded, filters.short, False), hertz)
        assert flat > 200
        assert density_near(excitation, hertz) < min(flat / 10, 30)


def test_noise_through_the_filters_has_the_features_that_they_came_from():
    features = extract(voiced(400.0 / 3), SPEC)
    # Smooth over the bands: harmonics are left to the pitch.
    smooth = scipy.ndimage.uniform_filter1d(features, 9, axis=1, mode="nearest")
    filters = filters_of(np.pad(smooth, ((reach(SPEC), 0), (0, 0)))[None], SPEC, ORDER, 0.0)
    heard = []
    for seed in range(8):
        noise = rng(seed).standard_normal((1, len(smooth) * SPEC.hop_length))
        sound = sound_of(noise, filters, SPEC)[0]
        heard.append(extract(sound[left_padding(SPEC) :], SPEC)[6:-6])
    difference = 100 * (np.mean(heard, axis=0) - smooth[6 : 6 + len(heard[0])])
    assert np.abs(difference).mean() < 1.5


def test_noise_through_the_filters_of_a_voice_is_a_voice_again():
    filters, padded = described(voiced(120.0))
    noise = rng().standard_normal(padded.shape)
    assert periodicity(padded[0], 120.0) > 0.9
    assert periodicity(sound_of(noise, filters, SPEC)[0], 120.0) > 0.5
    whispered, _ = described(voiced(120.0), pitch=0.0)
    assert periodicity(sound_of(noise, whispered, SPEC)[0], 120.0) < 0.3


def test_filters_change_where_the_sound_does():
    sound = 0.01 * rng(5).standard_normal(22050)
    sound[11025:] *= 30.0
    gain = np.log(described(sound)[0].short[0, :, 0])
    middle = (gain[60:100].mean() + gain[-100:-60].mean()) / 2
    crossed = np.flatnonzero(gain > middle)[0] * SPEC.hop_length / 4 - left_padding(SPEC)
    # The window looks ahead: in dB the louder half takes over before the middle of the step.
    assert -512 <= crossed - 11025 <= 128


def test_a_sound_depends_on_nothing_that_follows_or_stands_beside_it():
    features = rng(6).random((3, reach(SPEC) + 12, 80))
    noise = rng(7).standard_normal((3, 12 * SPEC.hop_length))
    whole = sound_of(noise, filters_of(features, SPEC, ORDER, PITCH), SPEC)
    alone = sound_of(noise[1:2], filters_of(features[1:2], SPEC, ORDER, PITCH), SPEC)
    np.testing.assert_array_equal(whole[1:2], alone)
    shorter = filters_of(features[:, :-4], SPEC, ORDER, PITCH)
    cut = sound_of(noise[:, : 8 * SPEC.hop_length], shorter, SPEC)
    # The last frame's pitch leans on the next one.
    np.testing.assert_array_equal(whole[:, : 7 * 256], cut[:, : 7 * 256])


def test_a_piece_with_its_margins_has_the_excitation_of_the_whole():
    filters, padded = described(voiced())
    whole = excitation_of(padded, filters, SPEC, rng())
    features = np.pad(extract(voiced(), SPEC), ((reach(SPEC), 0), (0, 0)))
    first, frames = 30, 20
    piece = padded[:, first * 256 : (first + frames) * 256]
    mine = filters_of(features[None, first : first + reach(SPEC) + frames], SPEC, ORDER, PITCH)
    cut = excitation_of(piece, mine, SPEC, rng())
    begin, end = memory(SPEC) * 256, (frames - look_ahead(SPEC)) * 256
    wanted = whole[:, first * 256 + begin : first * 256 + end]
    # But for the noise outside the bands, whose draws differ.
    both = scipy.signal.butter(6, (300, 6500), "bandpass", fs=22050, output="sos")
    a, b = (scipy.signal.sosfiltfilt(both, y) for y in (wanted, cut[:, begin:end]))
    assert np.corrcoef(a[0], b[0])[0, 1] > 0.995


@pytest.mark.parametrize(
    "changes",
    [
        {"sample_rate": 16000, "n_fft": 400, "hop_length": 110, "n_mels": 40, "fmax": 7900.0},
        {"power": 2.0, "floor_db": -80.0, "window": "hann", "padding": "center"},
    ],
)
def test_other_features_have_filters_too(changes):
    """Parts that do not divide a frame, no room above the highest band, other magnitudes."""
    spec = FeatureSpec(peak=0.0, **changes)
    noise = 0.1 * rng(8).standard_normal(2 * spec.sample_rate)
    filters, padded = described(noise, spec)
    excitation = excitation_of(padded, filters, spec, rng())
    assert excitation.shape == padded.shape
    assert excitation[0, 2048:-2048].std() == pytest.approx(1.0, abs=0.2)
    sound = sound_of(excitation, filters, spec)[0, 2048:-2048]
    inside = scipy.signal.butter(4, (300, 3000), "bandpass", fs=spec.sample_rate, output="sos")
    levels = [scipy.signal.sosfilt(inside, y).std() for y in (sound, padded[0, 2048:-2048])]
    assert levels[0] == pytest.approx(levels[1], rel=0.1)


def test_bands_too_few_for_a_pitch_have_none():
    spec = FeatureSpec(sample_rate=8000, n_fft=256, hop_length=80, n_mels=4, fmax=4000.0, peak=0.0)
    filters, padded = described(0.1 * rng(8).standard_normal(16000), spec)
    assert not filters.gains.any()
    assert np.isfinite(excitation_of(padded, filters, spec, rng())).all()
