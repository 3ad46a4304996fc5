"""Test material for components: the embedded bundle, voice-like sounds, and their features."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..features import FeatureSpec, count_samples, extract
from ..models.bundle import Bundle, load_bundle

#: Number of harmonics of a voice, and bandwidth of its formants in Hz.
_HARMONICS, _BANDWIDTH = 30, 120.0


@lru_cache(maxsize=1)
def embedded_bundle() -> Bundle:
    """Return the embedded bundle, opened once a process."""
    return load_bundle()


def voice(number: int, length: int, sample_rate: int) -> np.ndarray:
    """Return a voice-like sound [shape=(length,), in [-1, 1]].

    Harmonics of a gliding pitch are filtered by two gliding formants, with an envelope and a little
    noise, so that decoders of speech can produce features like those of the sound.

    Args:
        number: seed; pitch, formants, place and length of the envelope depend on it.
        length: in samples.
        sample_rate: in Hz.
    """
    draws = np.random.default_rng(number)
    time = np.arange(length) / length

    def glide(low: float, high: float, octaves: float) -> np.ndarray:
        return draws.uniform(low, high) * 2 ** (draws.uniform(-octaves, octaves) * time)

    pitch, formants = glide(100, 250, 0.5), (glide(300, 800, 0.7), glide(900, 2400, 0.7))
    place = (time - draws.uniform(0.05, 0.4)) / draws.uniform(0.3, 0.55)
    phase = 2 * np.pi * np.cumsum(pitch) / sample_rate
    y = draws.normal(0, 1e-3, length)
    for k in range(1, _HARMONICS):
        gain = sum(1 / (1 + ((k * pitch - each) / _BANDWIDTH) ** 2) for each in formants) + 0.01
        below_nyquist = k * pitch < sample_rate / 2
        envelope = np.sqrt(np.sin(np.pi * np.clip(place, 0, 1)))
        y += gain * below_nyquist * envelope * np.sin(k * phase)
    return 0.5 * y / np.abs(y).max()


@lru_cache(maxsize=16)
def features_like_speech(count: int, spec: FeatureSpec, frames: int = 0) -> np.ndarray:
    """Return features of `voice` 0 to count - 1 [shape=(count, frames, mels), in [0, 1]].

    The array is cached and read-only.

    Args:
        count: number of voices.
        spec: of the features.
        frames: number of frames; 0 for that of the spec.
    """
    length = count_samples(frames or spec.frames, spec)
    sounds = (voice(number, length, spec.sample_rate) for number in range(count))
    features = np.stack([extract(y, spec) for y in sounds])
    features.setflags(write=False)
    return features


def target_logit(classifier: Any, features: Any, targets: Any) -> Any:
    """Return each target's logit [shape=(batch,)], or its probability if there are no logits."""
    import tensorflow as tf

    outputs = classifier.logits if classifier.has_logits else classifier.probabilities
    return tf.gather(outputs(features), targets, batch_dims=1)


def write_wav(path: Path, samples: np.ndarray, sample_rate: int) -> None:
    """Write a sound [shape=(samples,) or (samples, channels), in [-1, 1]] as 16-bit wav.

    Args:
        path: of the file.
        samples: of the sound.
        sample_rate: in Hz.
    """
    import soundfile

    soundfile.write(path, samples, sample_rate, format="WAV", subtype="PCM_16")
