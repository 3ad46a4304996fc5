"""Each preset against the library that it is named after, on real recordings.

Relative means: the largest difference in a recording's output, divided by the largest absolute
value of the library's output for it.
"""

from __future__ import annotations

from pathlib import Path

import keras
import librosa
import numpy as np
import pytest
import soundfile
import tensorflow as tf

from keras_listen import features
from keras_listen.plugins import default_registry

RATE = 16000
CLOSE = 1e-4
#: One of them is shorter than a second, so that digital silence is behind it.
COUNT = 4


def frontend(name: str, **options):
    return default_registry().create("frontend", name, None, options)


def int16(y: np.ndarray) -> np.ndarray:
    return np.round(y * 32768).astype(np.int16)


@pytest.fixture(scope="module")
def recordings(real_speech: Path) -> list[np.ndarray]:
    """Some utterances as they are, and one cut to two thirds of a second."""
    paths = [sorted((real_speech / word).iterdir())[0] for word in ("yes", "stop", "nine", "off")]
    sounds = [soundfile.read(path, dtype="float32")[0] for path in paths[:COUNT]]
    assert all(soundfile.info(path).samplerate == RATE for path in paths)
    return [*sounds[:-1], sounds[-1][: 2 * RATE // 3]]


def largest_relative_difference(front, library, sounds) -> float:
    found = []
    for sound in sounds:
        fitted = front.fit(sound)
        ours, theirs = np.asarray(front(fitted[None])[0]), np.asarray(library(fitted))
        assert ours.shape == theirs.shape
        assert ours.dtype == np.float32
        found.append(np.abs(ours - theirs).max() / np.abs(theirs).max())
    return max(found)


def tutorial(y):
    return tf.abs(tf.signal.stft(y, frame_length=255, frame_step=128))[..., tf.newaxis]


def tf_mel(y, frame, step, fft, *mel):
    spectrum = tf.abs(tf.signal.stft(y, frame, step, fft))
    return spectrum @ tf.signal.linear_to_mel_weight_matrix(*mel)


def mlperf(y):
    mel = tf_mel(y / tf.reduce_max(y), 480, 320, 512, 40, 257, RATE, 20.0, 4000.0)
    return tf.signal.mfccs_from_log_mel_spectrograms(tf.math.log(mel + 1e-6))[..., :10, None]


def yamnet(y):
    return tf.math.log(tf_mel(y, 400, 160, 512, 64, 257, RATE, 125.0, 7500.0) + 0.001)


def librosa_db(y, ref=1.0, **settings):
    return librosa.power_to_db(librosa.feature.melspectrogram(y=y, **settings), ref=ref)


def librosa_deltas(y):
    base = librosa.feature.mfcc(y=y)
    return np.concatenate([base, librosa.feature.delta(base), librosa.feature.delta(base, order=2)])


#: Short windows in a longer transform.
SHORT = {"frame": 400, "step": 160, "fft": 512, "bands": 40, "sample_rate": RATE}
LIBROSA_SHORT = {"sr": RATE, "win_length": 400, "hop_length": 160, "n_fft": 512, "n_mels": 40}

GOLDEN = {
    "the tutorial": ("tf-simple-audio", {}, tutorial),
    "MLPerf Tiny": ("mlperf-tiny-kws", {}, mlperf),
    "YAMNet": ("yamnet", {}, yamnet),
    "librosa's MFCC": ("librosa-mfcc", {}, lambda y: librosa.feature.mfcc(y=y)),
    "librosa's MFCC at 16 kHz, liftered": (
        "librosa-mfcc",
        {"sample_rate": RATE, "coefficients": 40, "lifter": 22, "lifter_first": 1},
        lambda y: librosa.feature.mfcc(y=y, sr=RATE, n_mfcc=40, lifter=22),
    ),
    "librosa's MFCC of HTK bands, DCT-III": (
        "librosa-mfcc",
        {**SHORT, "mel_scale": "htk", "mel_norm": "none", "dct": 3},
        lambda y: librosa.feature.mfcc(y=y, dct_type=3, htk=True, mel_norm=None, **LIBROSA_SHORT),
    ),
    "librosa's MFCC without norm": (
        "librosa-mfcc",
        {"dct_norm": "none"},
        lambda y: librosa.feature.mfcc(y=y, norm=None),
    ),
    "librosa's differences": ("librosa-mfcc", {"deltas": 2}, librosa_deltas),
    "librosa's log-mel": ("librosa-logmel", {}, librosa_db),
    "librosa's log-mel below the maximum": (
        "librosa-logmel",
        {"reference": "max"},
        lambda y: librosa_db(y, np.max),
    ),
    "librosa's log-mel of magnitudes": (
        "librosa-logmel",
        {"power": 1, "db_factor": 20, "floor": 1e-5, "reference": "max", **SHORT},
        lambda y: librosa.amplitude_to_db(
            librosa.feature.melspectrogram(y=y, power=1, **LIBROSA_SHORT), ref=np.max
        ),
    ),
    "Keras' MelSpectrogram": (
        "keras-melspectrogram",
        {},
        lambda y: keras.layers.MelSpectrogram()(y[None])[0],
    ),
    "Keras' MelSpectrogram with a short window": (
        "keras-melspectrogram",
        SHORT,
        lambda y: keras.layers.MelSpectrogram(512, 160, 400, num_mel_bins=40)(y[None])[0],
    ),
    "Keras' STFTSpectrogram": (
        "keras-stftspectrogram",
        {},
        lambda y: keras.layers.STFTSpectrogram()(y[None, :, None])[0],
    ),
    "Keras' STFTSpectrogram of magnitudes, padded": (
        "keras-stftspectrogram",
        {"log": "none", "padding": "same", "frame": 200, "step": 80},
        lambda y: keras.layers.STFTSpectrogram("magnitude", 200, 80, padding="same")(
            y[None, :, None]
        )[0],
    ),
    "Keras' STFTSpectrogram of densities": (
        "keras-stftspectrogram",
        {"log": "none", "floor": 0, "power": 2, "one_sided": True},
        lambda y: keras.layers.STFTSpectrogram("psd")(y[None, :, None])[0],
    ),
    "tf.signal's padding at the end": (
        "spectrogram",
        {"power": 1, "log": "none", "padding": "end", "layout": "time,bands"},
        lambda y: tf.abs(tf.signal.stft(y, 400, 160, pad_end=True)),
    ),
}


@pytest.mark.parametrize("case", GOLDEN)
def test_a_preset_gives_what_its_library_gives(case, recordings):
    name, options, library = GOLDEN[case]
    assert largest_relative_difference(frontend(name, **options), library, recordings) < CLOSE


def test_python_speech_features(recordings):
    psf = pytest.importorskip("python_speech_features", reason="the dev extra has it")

    def with_deltas(y):
        found = psf.mfcc(int16(y), RATE)
        return np.concatenate([found, psf.delta(found, 2)], axis=1)

    cases = [
        ({}, lambda y: psf.mfcc(int16(y), RATE)),
        ({"deltas": 1, "delta_width": 5, "delta_edges": "nearest"}, with_deltas),
        # Its frames of 551 samples are cut to the transform's 512.
        (
            {"sample_rate": 22050, "frame": 551, "step": 221, "window": "hamming_symmetric"},
            lambda y: psf.mfcc(int16(y), 22050, winfunc=np.hamming),
        ),
        (
            {"energy": False, "coefficients": 20, "lifter": 0},
            lambda y: psf.mfcc(int16(y), RATE, appendEnergy=False, numcep=20, ceplifter=0),
        ),
    ]
    for options, library in cases:
        front = frontend("python-speech-features", **options)
        assert largest_relative_difference(front, library, recordings) < CLOSE, options


@pytest.mark.parametrize(
    ("options", "frame", "mel"),
    [
        ({}, {}, {}),
        ({"padding": "kaldi", "pad_mode": "symmetric"}, {"snip_edges": False}, {}),
        (
            {"window": "hamming_symmetric", "bands": 80},
            {"window_type": "hamming"},
            {"num_bins": 80},
        ),
    ],
)
def test_kaldi(options, frame, mel, recordings):
    kaldi = pytest.importorskip("kaldi_native_fbank", reason="the dev extra has it")

    def library(y):
        settings = kaldi.FbankOptions()
        settings.frame_opts.dither = 0.0
        for name, value in frame.items():
            setattr(settings.frame_opts, name, value)
        for name, value in mel.items():
            setattr(settings.mel_opts, name, value)
        computer = kaldi.OnlineFbank(settings)
        computer.accept_waveform(RATE, (y * 32768).tolist())
        computer.input_finished()
        return np.stack([computer.get_frame(i) for i in range(computer.num_frames_ready)])

    assert largest_relative_difference(frontend("kaldi-fbank", **options), library, recordings) < (
        CLOSE
    )


@pytest.mark.parametrize(
    "options", [{}, {"padding": "center", "window": "hann", "power": 2.0, "longer": "crop_center"}]
)
def test_the_projects_own_features(options, recordings):
    front, spec = frontend("features", **options), features.FeatureSpec(**options)
    for sound in (*recordings, np.tile(recordings[0], 2), recordings[1][:5000]):
        found = np.asarray(front(sound[None]))[0, ..., 0]
        np.testing.assert_allclose(found, features.extract_fitted(sound, spec), atol=CLOSE)
