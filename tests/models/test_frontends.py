"""Front ends: settings against closed forms and SciPy, gradients, layouts, and what is refused."""

from __future__ import annotations

import importlib.util
import pickle
from pathlib import Path

import librosa
import numpy as np
import pytest
import scipy.fft
import scipy.signal
import tensorflow as tf

from keras_listen.errors import ParameterError
from keras_listen.models.frontends import bands, presets, sound, spectrum
from keras_listen.models.frontends.components import FACTORIES
from keras_listen.models.frontends.settings import MelSettings, MfccSettings, SpectrumSettings
from keras_listen.plugins import default_registry
from keras_listen.testing import voice

DOCS = Path(__file__).parents[2] / "docs"
NAMES = [*FACTORIES, "features", "tflite-micro"]
VOICES = np.stack([voice(k, 4000, 16000) for k in range(3)]).astype(np.float32)
SMALL = {"samples": 4000, "seconds": None}


def frontend(name: str, **options):
    return default_registry().create("frontend", name, None, options)


def small(name: str, **options) -> np.ndarray:
    return np.asarray(frontend(name, **SMALL, **options)(VOICES))


def gradient(front, sounds) -> np.ndarray:
    x = tf.constant(sounds)
    with tf.GradientTape() as tape:
        tape.watch(x)
        inputs = front(x)
        value = tf.reduce_sum(inputs * tf.random.stateless_normal(inputs.shape, [1, 2]))
    return np.asarray(tape.gradient(value, x))


# What each step computes.


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("as_is", VOICES),
        ("peak", VOICES / np.abs(VOICES).max(1, keepdims=True)),
        ("maximum", VOICES / VOICES.max(1, keepdims=True)),
        ("rms", VOICES / np.sqrt((VOICES**2).mean(1, keepdims=True))),
        ("int16", VOICES * 32768),
    ],
)
def test_levels(level, expected):
    np.testing.assert_allclose(small("waveform", level=level), expected, rtol=1e-5)
    gained = small("waveform", level=level, gain=0.5)
    np.testing.assert_allclose(gained, expected / 2, rtol=1e-5)


def test_the_sound_is_centered_and_emphasized():
    found = small("waveform", remove_mean=True, pre_emphasis=0.95)
    centered = VOICES - VOICES.mean(1, keepdims=True)
    expected = scipy.signal.lfilter([1, -0.95], [1], centered)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("length", [255, 256])
def test_windows_are_scipys_and_tensorflows(length):
    for name, fit in (("hann", True), ("hamming", True), ("blackman", True), ("boxcar", True)):
        found = spectrum.window_of(name, length)
        np.testing.assert_allclose(found, scipy.signal.get_window(name, length, fit))
    symmetric = scipy.signal.get_window("hann", length, False)
    np.testing.assert_allclose(spectrum.window_of("hann_symmetric", length), symmetric)
    np.testing.assert_allclose(spectrum.window_of("povey", length), symmetric**0.85)
    # Every second sample of a Hann window twice as long, from the second on.
    offset = scipy.signal.get_window("hann", 2 * length)[1::2]
    np.testing.assert_allclose(spectrum.window_of("hann_half", length), offset, atol=1e-12)
    found = spectrum.window_of("sqrt_hann", length)
    np.testing.assert_allclose(found, np.sqrt(offset / 2), atol=1e-12)
    found = spectrum.window_of("hann_tf", length)
    np.testing.assert_allclose(found, tf.signal.hann_window(length), atol=1e-6)


@pytest.mark.parametrize(
    ("padding", "before", "frames"),
    [
        # Frames of 400 at every 160 of 4000 samples: 22.5 steps are left after the first.
        ("none", 0, 23),
        ("center", 200, 26),
        ("end", 0, 25),
        ("fill", 0, 24),
        ("edges", 240, 26),
        ("same", 120, 25),
        ("kaldi", 120, 25),
    ],
)
def test_padding_counts_frames_and_places_them(padding, before, frames):
    settings = SpectrumSettings(padding=padding)
    assert spectrum.margins(4000, settings)[::2] == (before, frames)
    found = np.asarray(spectrum.framed(tf.constant(VOICES), settings))
    wide = np.pad(VOICES, [(0, 0), (before, 1000)])
    expected = np.stack([wide[:, 160 * k : 160 * k + 400] for k in range(frames)], 1)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("step", [1, 37, 160, 400, 555])
def test_frames_of_any_step_and_their_gradient_are_tensorflows(step):
    settings = SpectrumSettings(frame=400, step=step)
    sounds = tf.constant(VOICES)
    frames = tf.signal.frame(sounds, 400, step)
    weights = tf.random.stateless_normal(frames.shape, [3, 4])
    slopes = []
    for cut in (lambda y: tf.signal.frame(y, 400, step), lambda y: spectrum.framed(y, settings)):
        with tf.GradientTape() as tape:
            tape.watch(sounds)
            found = cut(sounds)
        np.testing.assert_array_equal(found, frames)
        slopes.append(tape.gradient(found, sounds, weights))
    np.testing.assert_allclose(slopes[1], slopes[0], atol=1e-3)


@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize("length", [90, 127, 128, 200])
def test_magnitudes_and_their_gradient_are_tensorflows(length, power):
    frames = tf.constant(np.random.default_rng(0).normal(size=(2, 3, 100)).astype(np.float32))
    weights = tf.random.stateless_normal([2, 3, length // 2 + 1], [1, 2])

    def plain(x):
        return tf.abs(tf.signal.rfft(x[..., :length], [length])) ** power

    values, slopes = [], []
    for compute in (plain, lambda x: spectrum.magnitudes(x, length, power)):
        with tf.GradientTape() as tape:
            tape.watch(frames)
            values.append(compute(frames))
        slopes.append(tape.gradient(values[-1], frames, weights))
    np.testing.assert_allclose(values[1], values[0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(slopes[1], slopes[0], atol=1e-5 * np.abs(slopes[0]).max() + 1e-4)


@pytest.mark.parametrize("fmin", [0.0, 50.0])
@pytest.mark.parametrize(
    ("scale", "norm"),
    [("htk", "none"), ("slaney", "slaney"), ("slaney", "none"), ("htk", "slaney")],
)
def test_mel_bands_are_librosas(scale, norm, fmin):
    settings = MelSettings(bands=30, fmin=fmin, fmax=7000, mel_scale=scale, mel_norm=norm, fft=512)
    expected = librosa.filters.mel(
        sr=16000,
        n_fft=512,
        n_mels=30,
        fmin=fmin,
        fmax=7000,
        htk=scale == "htk",
        norm=None if norm == "none" else norm,
    )
    np.testing.assert_allclose(bands.mel_basis(settings), expected.T, atol=1e-6)


def test_mel_bands_in_mel_are_tensorflows():
    settings = MelSettings(bands=30, fmin=0, fmax=7000, mel_scale="kaldi", fft=512)
    expected = tf.signal.linear_to_mel_weight_matrix(30, 257, 16000, 0.0, 7000.0)
    np.testing.assert_allclose(bands.mel_basis(settings), expected, atol=2e-5)


def test_cosines_of_each_type_are_scipys():
    for kind in (1, 2, 3):
        for norm in ("ortho", "none"):
            matrix = bands.cosines(MfccSettings(dct=kind, dct_norm=norm, coefficients=20, first=1))
            x = np.random.default_rng(0).normal(size=40)
            expected = scipy.fft.dct(x, kind, norm=None if norm == "none" else norm)
            np.testing.assert_allclose(x @ matrix, expected[1:21], atol=1e-9)


def test_a_logarithm_of_each_kind():
    power = small("mel", log="none", offset=0)
    expected = np.log10(np.maximum(power, 1e-8))
    options = {"offset": 0, "floor": 1e-8}
    np.testing.assert_allclose(small("mel", log="log10", **options), expected, atol=1e-5)
    np.testing.assert_allclose(small("mel", log="db", **options), 10 * expected, atol=1e-4)
    found = small("mel", log="db", db_factor=20, reference=0.1, **options)
    np.testing.assert_allclose(found, 20 * expected + 20, atol=1e-3)
    found = small("mel", log="db", reference="max", top_db=30, **options)
    largest = expected.max((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(found, np.maximum(10 * (expected - largest), -30), atol=1e-3)
    assert found.max() == 0
    np.testing.assert_allclose(small("mel", offset=1e-3), np.log(power + 1e-3), atol=1e-4)


def test_any_power_of_magnitudes():
    one = small("spectrogram", power=1, log="none")
    np.testing.assert_allclose(small("spectrogram", power=1.5, log="none"), one**1.5, rtol=1e-3)


def test_values_are_normalized_by_given_statistics(tmp_path):
    plain = small("mel", bands=3, layout="time,bands")
    mean, deviation = np.array([1.0, 2.0, 3.0], np.float32), np.array([2.0, 4.0, 5.0], np.float32)
    expected = (plain - mean) / deviation
    options = {"bands": 3, "layout": "time,bands"}
    found = small("mel", mean="1, 2,3", deviation="2,4,5", **options)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.savez(tmp_path / "all.npz", mean=mean, std=deviation)
    found = small("mel", statistics=tmp_path / "all.npz", **options)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    found = small("mel", mean=0.5, deviation=2, **options)
    np.testing.assert_allclose(found, (plain - 0.5) / 2, rtol=1e-4, atol=1e-5)
    # Beside differences that are channels of their own.
    options = {"bands": 3, "deltas": 1, "delta_axis": "channel"}
    found = small("mel", mean="1,2,3", deviation="2,4,5", **options)
    np.testing.assert_allclose(found[..., 0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axes", [(1, 2), (1,)])
def test_samples_are_normalized_by_themselves(axes):
    suffix = "" if len(axes) == 2 else "_bands"
    plain = small("mel", layout="time,bands")
    centered = plain - plain.mean(axes, keepdims=True)
    least, most = plain.min(axes, keepdims=True), plain.max(axes, keepdims=True)
    for kind, expected in {
        "mean": centered,
        "zscore": centered / plain.std(axes, keepdims=True),
        "minmax": (plain - least) / (most - least),
    }.items():
        found = small("mel", layout="time,bands", normalize=kind + suffix)
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_layout_orders_the_axes():
    plain = small("mel", layout="time,bands")
    assert plain.shape == (3, 23, 40)
    for layout, expected in {
        "time,bands,channel": plain[..., None],
        "bands,time": plain.transpose(0, 2, 1),
        "bands, time, channel": plain.transpose(0, 2, 1)[..., None],
        "channel,time,bands": plain[:, None],
        "time,channel,bands": plain[:, :, None],
    }.items():
        np.testing.assert_array_equal(small("mel", layout=layout), expected)
        flat = small("mel", layout=layout, flat=True)
        np.testing.assert_array_equal(flat, expected.reshape(3, -1))
    assert small("waveform", layout="time,channel").shape == (3, 4000, 1)
    assert small("waveform", layout="channel,time").shape == (3, 1, 4000)


def test_differences_are_bands_or_channels():
    base = small("mfcc", layout="time,bands")
    both = small("mfcc", layout="time,bands", deltas=1)
    stacked = small("mfcc", deltas=1, delta_axis="channel")
    expected = librosa.feature.delta(base, axis=1)
    np.testing.assert_allclose(both[..., :13], base)
    np.testing.assert_allclose(both[..., 13:], expected, atol=1e-4)
    np.testing.assert_allclose(stacked, np.stack([base, expected], -1), atol=1e-4)


def test_frames_are_cut_or_padded_to_a_number():
    plain = small("mel")
    np.testing.assert_array_equal(small("mel", frames=20), plain[:, :20])
    padded = small("mel", frames=30, frames_value=-1)
    np.testing.assert_array_equal(padded[:, :23], plain)
    assert (padded[:, 23:] == -1).all()
    assert padded.shape[1] == 30


def test_recordings_are_brought_to_a_length():
    y = np.arange(1.0, 6.0)
    np.testing.assert_array_equal(sound.fit(y, 8), [1, 2, 3, 4, 5, 0, 0, 0])
    np.testing.assert_array_equal(sound.fit(y, 8, "center"), [0, 1, 2, 3, 4, 5, 0, 0])
    np.testing.assert_array_equal(sound.fit(y, 2), [1, 2])
    np.testing.assert_array_equal(sound.fit(y, 2, "center"), [2, 3])
    assert sound.fit(y, None).dtype == np.float32
    assert frontend("mel").fit(y).shape == (16000,)
    assert frontend("mel", seconds=0.5).samples == 8000
    assert frontend("mel", seconds=None).fit(y).shape == (5,)


# Gradients.

SILENT = np.stack(
    [np.zeros(22272), np.r_[voice(0, 11136, 16000), np.zeros(11136)], np.full(22272, 1e-30)]
).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_digital_silence_are_finite(name):
    options = {} if name == "features" else {"seconds": None, "samples": None}
    front = frontend(name, **options)
    assert np.isfinite(front(SILENT)).all()
    slopes = gradient(front, SILENT)
    assert np.isfinite(slopes).all()
    assert slopes[1].any()


@pytest.mark.parametrize(
    "options",
    [
        *({"level": level} for level in ("peak", "maximum", "rms", "int16")),
        *({"normalize": f"{k}{s}"} for k in ("mean", "zscore", "minmax") for s in ("", "_bands")),
        {"power": 1.5},
        {"log": "db", "reference": "max", "top_db": 80, "floor": 1e-10, "offset": 0},
        {"remove_mean": True, "frame_mean": True, "frame_emphasis": 0.97, "pre_emphasis": 0.97},
        {"deltas": 2, "padding": "center", "pad_mode": "reflect"},
    ],
    ids=str,
)
def test_no_setting_makes_gradients_of_silence_infinite(options):
    front = frontend("mfcc", seconds=None, **options)
    assert np.isfinite(front(SILENT)).all()
    assert np.isfinite(gradient(front, SILENT)).all()


@pytest.mark.parametrize("name", ["mfcc", "spectrogram", "tf-simple-audio", "mlperf-tiny-kws"])
def test_a_gradient_is_the_slope_of_what_is_computed(name):
    front, draws = frontend(name, **SMALL), np.random.default_rng(1)
    # Noise, which has no bins near 0: there a logarithm bends within the smallest step.
    sounds = draws.normal(0, 0.3, VOICES.shape).astype(np.float32)
    weights = np.asarray(tf.random.stateless_normal(front(sounds).shape, [1, 2]), np.float64)
    slopes = gradient(front, sounds).astype(np.float64)
    direction = draws.normal(size=VOICES.shape)
    ends = [front((sounds + sign * 1e-4 * direction).astype(np.float32)) for sign in (1, -1)]
    change = np.asarray(ends[0], np.float64) - np.asarray(ends[1], np.float64)
    measured = (change * weights).sum(tuple(range(1, weights.ndim))) / 2e-4
    np.testing.assert_allclose((slopes * direction).sum(1), measured, rtol=0.05)


# What is refused, in one line, and the remedy.


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mel", {"frame": 0}, "frontend mel: frame is 0; expected a number of at least 1"),
        ("mel", {"seconds": 0.0}, "seconds is 0.0; expected a number above 0"),
        ("mel", {"power": float("nan")}, "power is nan; expected a number of at least 1"),
        ("mel", {"fmin": 5000.0, "fmax": 4000.0}, "fmin 5000 and fmax 4000 must satisfy fmin < "),
        ("mel", {"fmax": 9000.0}, "fmin < fmax <= sample_rate / 2 = 8000"),
        ("mel", {"offset": 0.0}, "log is 'ln' with offset 0 and floor 0, which is infinite"),
        ("mel", {"layout": "bands"}, "layout is 'bands'; expected time and bands in any order"),
        ("waveform", {"layout": "bands"}, "layout is 'bands'; expected time in any order"),
        ("mel", {"window": "hat"}, "window is 'hat'; expected hann, hann_symmetric"),
        ("mel", {"mean": "a,b"}, "mean is 'a,b'; expected a number, or one for each band"),
        ("mel", {"mean": "1,2"}, "mean has 2 values; expected one, or one for each of 40 bands"),
        ("mel", {"deviation": "0"}, "deviation has values that are no finite numbers above 0"),
        ("mel", {"statistics": Path("no.npz")}, r"cannot read the statistics no\.npz: "),
        ("mel", {"delta_width": 4}, "delta_width is 4; expected an odd number"),
        ("mel", {"deltas": 1, "delta_axis": "channel", "layout": "time,bands"}, "add channel"),
        ("librosa-mfcc", {"fft": 512}, "frame is 2048, longer than the transform of 512"),
        ("keras-stftspectrogram", {"place": "center"}, "dft is 'float32' with place=center"),
        ("mfcc", {"coefficients": 50}, "coefficients from 0 to 49 need 50 bands; there are 40"),
        ("mfcc", {"energy": True, "first": 1}, "energy replaces c0, but first is above 0"),
        ("mfcc", {"lifter": -1.0}, "lifter is -1.0; expected a number of at least 0"),
        ("mel", {"samples": 300}, "a sound of 300 samples is shorter than a frame of 400; give"),
        ("features", {"n_mels": 0}, "frontend features: n_mels is 0; expected at least 1"),
        ("features", {"samples": 0}, "samples is 0; expected a number of at least 1"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(name, options, message):
    with pytest.raises(ParameterError, match=message) as caught:
        frontend(name, **options)
    assert "\n" not in str(caught.value)


def test_sounds_of_another_length_are_refused():
    with pytest.raises(ParameterError, match=r"shape \(3, 4000\); expected \(batch, 16000\)"):
        frontend("mel")(VOICES)
    with pytest.raises(ParameterError, match=r"expected \(batch, any fixed number of samples\)"):
        frontend("mel", seconds=None)(VOICES[0])
    assert frontend("mel", seconds=None)(VOICES).shape == (3, 23, 40, 1)


def test_sounds_shorter_than_a_frame_are_padded_as_the_message_says():
    front = frontend("mel", seconds=None)
    with pytest.raises(ParameterError, match="or padding=fill"):
        front(VOICES[:, :300])
    assert frontend("mel", seconds=None, padding="fill")(VOICES[:, :300]).shape == (3, 1, 40, 1)


def test_sounds_too_short_to_be_mirrored_are_padded_as_the_message_says():
    options = {"seconds": None, "padding": "center"}
    with pytest.raises(ParameterError, match="or pad_mode=constant"):
        frontend("mel", pad_mode="reflect", **options)(VOICES[:, :150])
    assert frontend("mel", **options)(VOICES[:, :150]).shape == (3, 1, 40, 1)


def test_too_few_frames_for_differences_are_refused_with_a_way_out():
    options = {"seconds": None, "deltas": 1}
    with pytest.raises(ParameterError, match=r"there are 4 frames; .* or delta_edges=nearest"):
        frontend("mel", **options)(VOICES[:, :1000])
    found = frontend("mel", delta_edges="nearest", **options)(VOICES[:, :1000])
    assert found.shape == (3, 4, 80, 1)


def test_statistics_without_their_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", average=np.zeros(3))
    with pytest.raises(ParameterError, match="have the arrays average; expected mean and dev"):
        frontend("mel", statistics=tmp_path / "a.npz")
    (tmp_path / "b.npz").write_text("no archive")
    with pytest.raises(ParameterError, match="cannot read the statistics"):
        frontend("mel", statistics=tmp_path / "b.npz")


# Components and the page.


def test_a_factory_survives_pickling():
    factory = FACTORIES["mlperf-tiny-kws"]
    assert default_registry().find("frontend", "mlperf-tiny-kws").options
    assert pickle.loads(pickle.dumps(factory)) == factory


def test_options_of_the_command_line_are_converted():
    front = frontend("mfcc", dct="3", reference="max", mean="0.5", statistics="none", flat="yes")
    settings = front.settings
    assert (settings.dct, settings.reference, settings.mean, settings.flat) == (3, "max", 0.5, True)
    assert settings.statistics is None


def test_presets_only_name_settings_of_their_kind():
    for name, preset in presets.PRESETS.items():
        assert preset.settings(**preset.changed), name
        defaults = preset.settings()
        for key, value in preset.changed.items():
            assert hasattr(defaults, key), (name, key)
            assert type(value) is not str or value


def test_the_page_has_the_tables_of_settings_and_presets():
    spec = importlib.util.spec_from_file_location("frontend_tables", DOCS / "frontend_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = module.PAGE.read_text(encoding="utf-8")
    assert module.filled(page) == page, "run python docs/frontend_tables.py"
    for name in NAMES:
        assert f"`{name}`" in page
