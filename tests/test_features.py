"""Features against the published extraction, written once more from its description."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import soundfile

from keras_listen.data.readers import soundfile_reader
from keras_listen.errors import ParameterError, ReadError, SpecError
from keras_listen.features import (
    FeatureSpec,
    count_frames,
    count_samples,
    denormalize_magnitude,
    extract,
    extract_fitted,
    fit_frames,
    left_padding,
    mel_basis,
    normalize_magnitude,
    require_sound,
    window,
)

SPEC = FeatureSpec()


def published_features(y: np.ndarray) -> np.ndarray:
    """Extract features frame by frame, as the published tooling describes it."""
    y = np.asarray(y, np.float64)
    y = y / np.abs(y).max() * 0.999
    length, size, hop = len(y), 1024, 256
    frames = (length + 1536 - 1024) // 256 + (1 if length % 256 == 0 else 2)
    padded = np.concatenate([np.zeros(768), y, np.zeros(size + frames * hop)])
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(size) + 0.5) / size)
    root = np.sqrt(0.5) * np.sqrt(hann)
    mel = librosa.filters.mel(sr=22050, n_fft=1024, n_mels=80, fmin=125, fmax=7600)
    features = np.zeros((frames, 80))
    for i in range(frames):
        magnitude = np.abs(np.fft.rfft(padded[i * hop : i * hop + size] * root))
        decibel = 20 * np.log10(np.maximum(1e-5, mel @ magnitude)) - 20
        features[i] = np.clip((decibel + 100) / 100, 0, 1)
    return features


def published_fit(features: np.ndarray, frames: int = 90) -> np.ndarray:
    """Delete row 1 while there are too many rows, add rows of zeros while there are too few."""
    while len(features) > frames:
        features = np.delete(features, 1, axis=0)
    while len(features) < frames:
        features = np.concatenate([features, np.zeros((1, features.shape[1]))])
    return features


def glide(length: int, seed: int = 0) -> np.ndarray:
    """Return a falling tone with noise, a pause in the middle."""
    time = np.arange(length) / 22050
    y = np.sin(2 * np.pi * (2000 * time - 600 * time**2))
    y += np.random.default_rng(seed).normal(0, 0.01, length)
    y[length // 3 : length // 2] = 0
    return 0.3 * y


def check_against_published(y: np.ndarray) -> None:
    features, expected = extract(y, SPEC), published_features(y)
    assert features.dtype == np.float32
    assert features.shape == expected.shape
    assert np.abs(features - expected).mean() <= 1e-6
    assert np.abs(features - expected).max() <= 1e-4


@pytest.mark.parametrize("length", [22050, 22272, 12345, 30000, 1])
def test_features_of_a_synthetic_sound_are_the_published_ones(length):
    check_against_published(glide(length) if length > 1 else np.ones(1))


def test_features_of_real_recordings_are_the_published_ones(real_reading):
    for path in sorted(real_reading.glob("**/*.flac"))[:5]:
        y, rate = soundfile.read(path)
        assert rate == 22050
        check_against_published(y)


def test_features_of_real_utterances_are_the_published_ones(real_speech):
    paths = sorted((real_speech / "yes").glob("*.flac"))[:10]
    for _, y in soundfile_reader(None)(paths, 22050):
        check_against_published(y)
        expected = published_fit(published_features(y))
        assert np.abs(extract_fitted(y, SPEC) - expected).mean() <= 1e-6


def test_default_spec_is_the_published_one():
    phase = 2 * np.pi * (np.arange(1024) + 0.5) / 1024
    np.testing.assert_allclose(window(SPEC) ** 2, 0.25 * (1 - np.cos(phase)), atol=1e-15)
    assert left_padding(SPEC) == 768
    assert SPEC.shape == (90, 80, 1)


@pytest.mark.parametrize("length", [1, 255, 256, 257, 16000, 22049, 22050, 22272, 22273, 44100])
def test_frame_count_follows_the_published_formula(length):
    frames = (length + 1536 - 1024) // 256 + (1 if length % 256 == 0 else 2)
    assert count_frames(length, SPEC) == frames
    assert len(extract(np.ones(length), SPEC)) == frames


def test_one_second_and_its_vocoded_length_have_ninety_frames():
    assert count_frames(22050, SPEC) == 90
    assert count_samples(90, SPEC) == 22272
    assert count_frames(22272, SPEC) == 90
    assert count_frames(22273, SPEC) == 91


@pytest.mark.parametrize("padding", ["edges", "center"])
@pytest.mark.parametrize(("n_fft", "hop_length"), [(1024, 256), (512, 128), (400, 160), (512, 160)])
def test_count_samples_gives_as_many_frames_as_asked_for(n_fft, hop_length, padding):
    spec = FeatureSpec(n_fft=n_fft, hop_length=hop_length, padding=padding)
    for frames in (10, 90, 98):
        assert count_frames(count_samples(frames, spec), spec) == frames


def test_the_last_sample_of_the_longest_sound_is_seen():
    """A click at either end must be in the features, or vocoded sounds would lose their ends."""
    for place in (0, 22271):
        y = np.zeros(22272)
        y[place] = 1
        assert extract(y, SPEC).max() > 0


def test_longer_features_lose_the_rows_after_the_first():
    features = np.arange(95 * 80, dtype=np.float32).reshape(95, 80)
    fitted = fit_frames(features, SPEC)
    np.testing.assert_array_equal(fitted, published_fit(features))
    np.testing.assert_array_equal(fitted[:2], features[[0, 6]])


def test_shorter_features_are_followed_by_zeros():
    features = np.ones((60, 80), np.float32)
    np.testing.assert_array_equal(fit_frames(features, SPEC), published_fit(features))


@pytest.mark.parametrize(
    ("longer", "kept"), [("crop_end", slice(0, 90)), ("crop_center", slice(2, 92))]
)
def test_other_ways_to_shorten(longer, kept):
    features = np.random.default_rng(0).uniform(size=(95, 80)).astype(np.float32)
    fitted = fit_frames(features, FeatureSpec(longer=longer))
    np.testing.assert_array_equal(fitted, features[kept])


def test_pad_center_puts_the_sound_in_the_middle():
    features = np.random.default_rng(0).uniform(size=(85, 80)).astype(np.float32)
    fitted = fit_frames(features, FeatureSpec(shorter="pad_center"))
    np.testing.assert_array_equal(fitted[2:87], features)
    assert not fitted[:2].any()
    assert not fitted[87:].any()


def test_silence_is_all_zeros_and_not_nan():
    features = extract(np.zeros(22050), SPEC)
    assert features.shape == (90, 80)
    assert not features.any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_no_number_is_refused(value):
    y = glide(22050)
    y[7] = value
    with pytest.raises(ReadError, match="not finite"):
        extract(y, SPEC)


@pytest.mark.parametrize("y", [np.zeros(0), np.zeros((100, 2))])
def test_only_one_channel_with_samples_is_taken(y):
    with pytest.raises(ReadError, match=r"expected a sound of shape \(samples,\)"):
        extract(y, SPEC)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(0, np.float32), "holds no samples"),
        (np.array([0.1, np.nan], np.float32), "not finite"),
        (np.zeros(10, np.float32), "is silent"),
    ],
)
def test_require_sound_names_the_file_and_what_is_wrong(samples, message):
    with pytest.raises(ReadError, match=rf"no/a\.wav: .*{message}"):
        require_sound(samples, "no/a.wav")


def test_level_does_not_matter_unless_peaks_are_left_alone():
    y = glide(22050)
    np.testing.assert_allclose(extract(y, SPEC), extract(0.01 * y, SPEC), atol=1e-6)
    spec = FeatureSpec(peak=0.0)
    loud, soft = extract(y, spec), extract(0.1 * y, spec)
    both = (soft > 0) & (loud < 1)
    np.testing.assert_allclose((loud - soft)[both], 0.2, atol=1e-5)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_center_padding_is_that_of_librosa(power):
    spec = FeatureSpec(
        sample_rate=16000,
        n_fft=400,
        hop_length=160,
        window="hann",
        padding="center",
        peak=0.0,
        power=power,
        n_mels=40,
        fmin=20.0,
        mel_scale="htk",
        mel_norm="none",
        reference_db=10.0,
        floor_db=-60.0,
    )
    y = 10 * glide(16000)
    mel = librosa.feature.melspectrogram(
        y=y,
        sr=16000,
        n_fft=400,
        hop_length=160,
        pad_mode="constant",
        power=power,
        n_mels=40,
        fmin=20,
        fmax=7600,
        htk=True,
        norm=None,
    )
    to_db = librosa.power_to_db if power == 2 else librosa.amplitude_to_db
    decibel = to_db(mel, ref=1.0, amin=1e-10 if power == 2 else 1e-5, top_db=None) - 10
    expected = np.clip((decibel + 60) / 60, 0, 1).T
    features = extract(y, spec)
    assert 0.2 < expected.mean() < 0.8
    np.testing.assert_allclose(features, expected, atol=1e-5)


@pytest.mark.parametrize("changes", [{"power": 2.0}, {"reference_db": -40.0}, {"floor_db": -140.0}])
def test_a_pause_lies_on_the_floor_whatever_the_spec(changes):
    """Frames without any sound are what padding is: zeros."""
    y = glide(22050)
    y[:8000] = 0
    features = extract(y, FeatureSpec(**changes))
    assert features.max() > 0.3
    assert not features[:10].any()


def test_a_known_tone_has_the_level_computed_by_hand():
    """A sine on bin 40 of amplitude A has magnitude A * sum(window) / 2 there."""
    spec = FeatureSpec(window="boxcar", padding="center", peak=0.0)
    y = 0.5 * np.cos(2 * np.pi * 40 * np.arange(22050) / 1024)
    magnitude = 0.5 * 1024 / 2 * mel_basis(spec)[:, 40]
    expected = np.clip((20 * np.log10(np.maximum(magnitude, 1e-5)) - 20 + 100) / 100, 0, 1)
    np.testing.assert_allclose(extract(y, spec)[40], expected, atol=1e-3)


@pytest.mark.parametrize("spec", [SPEC, FeatureSpec(power=2.0, floor_db=-80.0, reference_db=0.0)])
def test_denormalize_undoes_normalize(spec):
    features = np.random.default_rng(0).uniform(size=(90, 80))
    again = normalize_magnitude(denormalize_magnitude(features, spec), spec)
    np.testing.assert_allclose(again, features, atol=1e-12)
    mel = denormalize_magnitude(features, spec)
    decibel = 20 / spec.power * np.log10(mel) - spec.reference_db
    np.testing.assert_allclose(decibel, spec.floor_db * (1 - features), atol=1e-9)


def test_ends_of_the_range_are_floor_and_zero_decibel():
    np.testing.assert_allclose(denormalize_magnitude(np.array([0.0, 1.0]), SPEC), [1e-4, 10.0])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"padding": "left"}, "padding is 'left'; expected one of edges, center"),
        ({"longer": "cut"}, "expected one of drop_second, crop_end, crop_center, loudest"),
        ({"shorter": "loop"}, "expected one of pad_end, pad_center"),
        ({"mel_scale": "bark"}, "expected one of slaney, htk"),
        ({"mel_norm": "l2"}, "expected one of slaney, none"),
        ({"n_mels": 0}, "n_mels is 0; expected at least 1"),
        ({"frames": -3}, "frames is -3; expected at least 1"),
        ({"hop_length": 2048}, "hop_length 2048 is longer than n_fft 1024"),
        ({"fmin": 8000.0}, "0 <= fmin < fmax <= sample_rate / 2"),
        ({"fmax": 12000.0}, r"sample_rate / 2 = 11025\.0"),
        ({"fmin": -1.0}, "must satisfy"),
        ({"floor_db": 0.0}, r"floor_db is 0\.0; expected a value below 0"),
        ({"n_mels": 80.5}, r"n_mels is 80\.5; expected a value of type int"),
        ({"n_mels": True}, "n_mels is True; expected a value of type int"),
        ({"fmin": "125"}, "fmin is '125'; expected a value of type float"),
        ({"window": 3}, "window is 3; expected a value of type str"),
        ({"power": 0.0}, "power is 0"),
        ({"power": -1.0}, "power is -1"),
        ({"floor_db": float("nan")}, "floor_db is nan"),
        ({"reference_db": float("inf")}, "reference_db is inf"),
        ({"peak": -0.5}, "peak is -0.5"),
    ],
)
def test_impossible_values_are_refused(fields, message):
    with pytest.raises(ParameterError, match=message):
        FeatureSpec(**fields)


def test_an_unknown_window_is_named():
    with pytest.raises(ParameterError, match="window 'hamming2' is unknown"):
        extract(glide(2000), FeatureSpec(window="hamming2"))


def test_too_few_frames_for_any_sound_are_refused():
    with pytest.raises(ParameterError, match="2 frames are too few"):
        count_samples(2, SPEC)


def test_spec_from_toml(tmp_path):
    path = tmp_path / "spec.toml"
    path.write_text('n_mels = 40\nframes = 50\nfmax = 4000\nlonger = "crop_end"\n')
    spec = FeatureSpec.from_toml(path)
    assert spec == FeatureSpec(n_mels=40, frames=50, fmax=4000.0, longer="crop_end")
    assert FeatureSpec.from_dict(spec.to_dict()) == spec


@pytest.mark.parametrize("place", [0.0, 0.7, 1.5, 2.0])
def test_the_loudest_second_is_found_and_centred(place):
    """A word of half a second anywhere in three: its middle comes to the feature's middle."""
    spec = FeatureSpec(longer="loudest")
    rate = spec.sample_rate
    noise = np.random.default_rng(0).normal(0, 1e-3, 3 * rate)
    start, length = int(place * rate), rate // 2
    word = np.sin(2 * np.pi * 440 * np.arange(length) / rate) * np.hanning(length)
    noise[start : start + length] += 0.3 * word
    whole = extract(noise, spec)
    kept = fit_frames(whole, spec)
    first = next(i for i in range(len(whole)) if np.array_equal(whole[i : i + 90], kept))
    # The middle of frame i is that of samples (i - 1) * 256 and on.
    middle = (start + length / 2) / spec.hop_length + 1 - 44.5
    assert first == pytest.approx(np.clip(middle, 0, len(whole) - 90), abs=1)


def test_a_sound_as_loud_everywhere_has_a_loudest_part():
    spec = FeatureSpec(longer="loudest")
    assert fit_frames(np.zeros((200, 80), np.float32), spec).shape == (90, 80)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"mels = 40", "in the feature spec .*spec.toml, unknown feature field 'mels'; known: "),
        (b"n_mels = 0", "in the feature spec .*spec.toml, n_mels is 0; expected at least 1"),
        (b"n_mels = 'x'", "in the feature spec .*spec.toml, n_mels is 'x'; expected a value of"),
        (b"window = 'hat'", "in the feature spec .*spec.toml, window 'hat' is unknown"),
        (b"n_mels = ", "cannot read the feature spec .*spec.toml"),
        (b"\xff\xfe\x00", "cannot read the feature spec .*spec.toml"),
        (None, "cannot read the feature spec .*spec.toml"),
    ],
)
def test_a_bad_spec_file_is_explained(tmp_path, content, message):
    path = tmp_path / "spec.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ParameterError, match=message):
        FeatureSpec.from_toml(path)


def test_specs_that_differ_are_told_apart_by_field():
    other = FeatureSpec(n_mels=40, frames=50)
    assert SPEC.differing(other) == ["n_mels", "frames"]
    assert SPEC.differing(other, ignore=("frames",)) == ["n_mels"]
    with pytest.raises(SpecError) as caught:
        SPEC.require(other, "the vocoder")
    message = str(caught.value)
    assert message.startswith("the vocoder was made for other features: ")
    assert "n_mels 40 instead of 80" in message
    assert "frames 50 instead of 90" in message
    assert SPEC.require(FeatureSpec(frames=50), "the vocoder", ignore=("frames",)) is None
