"""Front ends of libraries and published models by name: settings, and where each is from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .settings import MelSettings, MfccSettings, Settings, SpectrumSettings


@dataclass(frozen=True)
class Preset:
    """A front end with the settings of a library or model.

    Attributes:
        settings: kind of front end.
        about: what it computes, in a line.
        source: where the settings are from.
        changed: settings that differ from the defaults of the kind.
    """

    settings: type[Settings]
    about: str
    source: str
    changed: Mapping[str, Any] = field(default_factory=dict)


_LIBROSA = {
    "sample_rate": 22050,
    "frame": 2048,
    "step": 512,
    "fft": 2048,
    "place": "center",
    "padding": "center",
    "bands": 128,
    "fmin": 0.0,
    "mel_scale": "slaney",
    "mel_norm": "slaney",
    "log": "db",
    "offset": 0.0,
    "floor": 1e-10,
    "top_db": 80.0,
    "layout": "bands,time",
}

PRESETS: dict[str, Preset] = {
    "tf-simple-audio": Preset(
        SpectrumSettings,
        "Magnitudes 124 x 129 x 1 of TensorFlow's simple audio recognition tutorial.",
        "https://www.tensorflow.org/tutorials/audio/simple_audio: tf.abs(tf.signal.stft("
        "waveform, frame_length=255, frame_step=128))",
        {
            "frame": 255,
            "step": 128,
            "window": "hann_tf",
            "power": 1.0,
            "log": "none",
            "offset": 0.0,
        },
    ),
    "mlperf-tiny-kws": Preset(
        MfccSettings,
        "MFCC 49 x 10 x 1 of MLPerf Tiny's keyword spotting.",
        "https://github.com/mlcommons/tiny, benchmark/training/keyword_spotting/get_dataset.py: "
        "divided by tf.reduce_max, stft(480, 320), 40 mels 20-4000 Hz, log(mel + 1e-6), "
        "mfccs_from_log_mel_spectrograms",
        {
            "level": "maximum",
            "frame": 480,
            "step": 320,
            "power": 1.0,
            "bands": 40,
            "fmax": 4000.0,
            "mel_scale": "kaldi",
            "coefficients": 10,
            "dct_norm": "tf",
        },
    ),
    "librosa-mfcc": Preset(
        MfccSettings,
        "MFCC as librosa.feature.mfcc(y=y).",
        "librosa 0.11.0, librosa.feature.mfcc: power_to_db(melspectrogram) with ref 1, amin 1e-10 "
        "and top_db 80, orthonormal DCT-II",
        {**_LIBROSA, "coefficients": 20},
    ),
    "librosa-logmel": Preset(
        MelSettings,
        "Log-mel spectrogram as librosa.power_to_db(librosa.feature.melspectrogram(y=y)).",
        "librosa 0.11.0, librosa.feature.melspectrogram and librosa.power_to_db; reference=max "
        "for ref=np.max",
        _LIBROSA,
    ),
    "python-speech-features": Preset(
        MfccSettings,
        "MFCC as python_speech_features.mfcc(signal, 16000) of 16-bit samples.",
        "python_speech_features 0.6, mfcc: c0 is the ln of the frame's power; level=as_is for "
        "samples in [-1, 1]",
        {
            "level": "int16",
            "pre_emphasis": 0.97,
            "fft": 512,
            "window": "rect",
            "padding": "fill",
            "scaling": "fft",
            "bands": 26,
            "fmin": 0.0,
            "mel_scale": "bins",
            "offset": 0.0,
            "floor": 2.220446049250313e-16,
            "lifter": 22.0,
            "energy": True,
            "layout": "time,bands",
        },
    ),
    "kaldi-fbank": Preset(
        MelSettings,
        "Log-mel filter banks as Kaldi's compute-fbank-feats without dither.",
        "Kaldi, feat/feature-fbank.h and feature-window.h, as in kaldi-native-fbank and "
        "torchaudio.compliance.kaldi; level=as_is for samples in [-1, 1]",
        {
            "level": "int16",
            "window": "povey",
            "frame_mean": True,
            "frame_emphasis": 0.97,
            "bands": 23,
            "mel_scale": "kaldi",
            "offset": 0.0,
            "floor": 1.1920928955078125e-07,
            "layout": "time,bands",
        },
    ),
    "keras-melspectrogram": Preset(
        MelSettings,
        "Log-mel spectrogram as keras.layers.MelSpectrogram(), of each sample by itself.",
        "Keras 3.15, keras.layers.MelSpectrogram; the layer clips top_db below the largest value "
        "of its whole batch, this front end below that of each sample",
        {
            "frame": 2048,
            "step": 512,
            "fft": 2048,
            "place": "center",
            "padding": "center",
            "pad_mode": "reflect",
            "bands": 128,
            "mel_scale": "kaldi",
            "log": "db",
            "offset": 0.0,
            "floor": 1e-10,
            "top_db": 80.0,
            "layout": "bands,time",
        },
    ),
    "keras-stftspectrogram": Preset(
        SpectrumSettings,
        "Log magnitudes as keras.layers.STFTSpectrogram().",
        "Keras 3.15, keras.layers.STFTSpectrogram: symmetric window, density scaling, magnitudes "
        "of at least the root of 1e-7",
        {
            "frame": 256,
            "step": 128,
            "window": "hann_symmetric",
            "scaling": "window_power",
            "dft": "float32",
            "power": 1.0,
            "offset": 0.0,
            "floor": 1e-7**0.5,
            "layout": "time,bands",
        },
    ),
    "yamnet": Preset(
        MelSettings,
        "Log-mel patch 96 x 64 of YAMNet.",
        "https://github.com/tensorflow/models, research/audioset/yamnet, params.py and "
        "features.py: magnitudes, ln(mel + 0.001), 64 mels 125-7500 Hz, a patch of 0.96 s",
        {
            "seconds": 0.975,
            "power": 1.0,
            "bands": 64,
            "fmin": 125.0,
            "fmax": 7500.0,
            "mel_scale": "kaldi",
            "offset": 0.001,
            "layout": "time,bands",
        },
    ),
}
