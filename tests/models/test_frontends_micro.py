"""TensorFlow Lite Micro's front end: values of the operation, a gradient that leads somewhere."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from keras_listen.errors import ParameterError, Unavailable
from keras_listen.models.frontends import micro
from keras_listen.plugins import default_registry
from keras_listen.testing import voice

if reason := micro.unavailable():
    pytest.skip(reason, allow_module_level=True)

from tensorflow.lite.experimental.microfrontend.python.ops import audio_microfrontend_op

VOICES = np.stack([voice(k, 16000, 16000) for k in range(3)]).astype(np.float32)


def frontend(**options):
    return default_registry().create(
        "frontend", "tflite-micro", None, {"layout": "time,bands", **options}
    )


def operation(sound, **settings):
    whole = np.clip(np.round(sound * 32768), -32768, 32767).astype(np.int16)
    return audio_microfrontend_op.audio_microfrontend(
        tf.constant(whole), out_type=tf.float32, **settings
    )


CASES = {
    "as it is": ({}, {}),
    "without gain control": ({"pcan": False}, {"enable_pcan": False}),
    "without logarithm": ({"log": False}, {"enable_log": False}),
    "of 8 kHz": (
        {"sample_rate": 8000, "fmax": 3800.0, "frame_ms": 30, "step_ms": 20, "seconds": 2.0},
        {"sample_rate": 8000, "upper_band_limit": 3800.0, "window_size": 30, "window_step": 20},
    ),
    "with settings of its own": (
        {
            "bands": 40,
            "even_smoothing": 0.1,
            "odd_smoothing": 0.2,
            "min_signal_remaining": 0.2,
            "pcan_strength": 0.5,
            "pcan_offset": 100.0,
            "gain_bits": 20,
            "scale_shift": 5,
            "out_scale": 2,
        },
        {
            "num_channels": 40,
            "even_smoothing": 0.1,
            "odd_smoothing": 0.2,
            "min_signal_remaining": 0.2,
            "pcan_strength": 0.5,
            "pcan_offset": 100.0,
            "gain_bits": 20,
            "scale_shift": 5,
            "out_scale": 2,
        },
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_values_are_those_of_the_operation(case):
    ours, theirs = CASES[case]
    found = np.asarray(frontend(**ours)(VOICES))
    expected = np.stack([operation(sound, **theirs) for sound in VOICES])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("case", CASES)
def test_the_gradient_is_of_nearly_the_same(case):
    front = frontend(**CASES[case][0])
    # Louder than a bit: below, values are whole numbers before their logarithm.
    sounds = VOICES + np.random.default_rng(0).normal(0, 0.01, VOICES.shape).astype(np.float32)
    smooth, exact = np.asarray(front.smooth(sounds)), np.asarray(front(sounds))
    assert np.corrcoef(smooth.ravel(), exact.ravel())[0, 1] > 0.9


def test_a_range_below_the_maximum_becomes_whole_numbers():
    whole = np.stack([operation(sound, enable_pcan=False) for sound in VOICES]).astype(int)
    # Silicon Labs' fixed-point formula.
    top = whole.max((1, 2), keepdims=True)
    least = np.maximum(top - int(40 * 64 * np.log(10) / 20), 0)
    expected = np.clip((whole - least) * 255 // np.maximum(top - least, 1) - 128, -128, 127)
    front = frontend(pcan=False, range_db=40)
    np.testing.assert_array_equal(front(VOICES), expected)
    assert (expected.min(), expected.max()) == (-128, 127)
    sounds = tf.Variable(VOICES)
    with tf.GradientTape() as tape:
        output = front(sounds)
    assert np.abs(tape.gradient(output, sounds)).max() > 0
    silent = tf.Variable(np.zeros_like(VOICES))
    with tf.GradientTape() as tape:
        output = front(silent)
    np.testing.assert_array_equal(output, np.full(output.shape, -128))
    assert np.isfinite(tape.gradient(output, silent)).all()


def test_int8_input_is_a_mean_and_a_deviation():
    """TensorFlow Lite Micro's examples store 0 to 666 as -128 to 127."""
    whole = np.stack([operation(sound) for sound in VOICES]).astype(int)
    expected = np.minimum((whole * 256 + 333) // 666 - 128, 127)
    found = frontend(mean=333, deviation=2.6015625)(VOICES)
    assert np.abs(found - expected)[expected < 127].max() <= 0.51


def test_real_recordings_have_values_of_the_operation(real_speech):
    import soundfile

    front = frontend()
    for word in ("yes", "stop"):
        sound, _ = soundfile.read(sorted((real_speech / word).iterdir())[0], dtype="float32")
        fitted = front.fit(sound)
        np.testing.assert_allclose(front(fitted[None])[0], operation(fitted), rtol=1e-5, atol=1e-3)


def test_steps_along_the_gradient_bring_a_sound_near_another():
    front, sounds = frontend(), tf.Variable(VOICES[:1])
    wanted = front(VOICES[1:2])
    distances = []
    for _ in range(30):
        with tf.GradientTape() as tape:
            distance = tf.reduce_mean((front(sounds) - wanted) ** 2)
        distances.append(float(distance))
        slope = tape.gradient(distance, sounds)
        sounds.assign_sub(3e-3 * slope / tf.sqrt(tf.reduce_mean(slope**2)))
    assert distances[-1] < 0.7 * distances[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"range_db": 40, "log": False}, "range_db is of logarithms; expected log=true"),
        ({"fmax": 9000.0}, "fmin < fmax <= sample_rate / 2 = 8000"),
        ({"gain_bits": 40}, "gain_bits is 40; expected at most 30"),
        ({"even_smoothing": 2.0}, "even_smoothing is 2.0; expected at most 1.0"),
        ({"samples": 300}, "a sound of 300 samples is shorter than a frame of 400"),
        ({"sample_rate": 10, "fmin": 0.0, "fmax": 5.0}, "have no sample at 10 Hz; give more ms"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(options, message):
    with pytest.raises(ParameterError, match=message) as caught:
        frontend(**options)
    assert "\n" not in str(caught.value)


def test_a_tensorflow_without_the_operation_is_named(monkeypatch):
    monkeypatch.setattr(micro, "_LIBRARY", "no_such_file.so")
    with pytest.raises(Unavailable, match=r"this TensorFlow has no micro front end \(no_such_file"):
        frontend()
