"""What components are tried on: the embedded bundle, sounds like a voice, their features."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from ..features import FeatureSpec, count_samples, extract

#: Harmonics of a voice, bandwidth of its formants in Hz.
_HARMONICS, _BANDWIDTH = 30, 120.0


@lru_cache(maxsize=1)
def embedded_bundle():
    """Open the embedded bundle once a process."""
    from ..models.bundle import load_bundle

    return load_bundle()


def voice(number: int, length: int, sample_rate: int) -> np.ndarray:
    """Return a sound like a voice [shape=(length,), in [-1, 1]], another one for each number.

    Harmonics of a gliding pitch under two gliding formants, swelling and dying away at its own
    place, over a little noise: features of it are within reach of decoders of speech.
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
        heard = gain * (k * pitch < sample_rate / 2) * np.sqrt(np.sin(np.pi * np.clip(place, 0, 1)))
        y += heard * np.sin(k * phase)
    return 0.5 * y / np.abs(y).max()


@lru_cache(maxsize=16)
def features_like_speech(count: int, spec: FeatureSpec, frames: int = 0) -> np.ndarray:
    """Return features of voices [shape=(count, frames, mels), in [0, 1]]; the spec's frames by
    default. The array is shared: do not change it."""
    length = count_samples(frames or spec.frames, spec)
    sounds = (voice(number, length, spec.sample_rate) for number in range(count))
    features = np.stack([extract(y, spec) for y in sounds])
    features.setflags(write=False)
    return features


def target_logit(classifier, features, targets):
    """Return the target word's logit, or its probability where there is no logit."""
    import tensorflow as tf

    outputs = classifier.logits if classifier.has_logits else classifier.probabilities
    return tf.gather(outputs(features), targets, batch_dims=1)


def write_wav(path: Path, samples: np.ndarray, sample_rate: int) -> None:
    """Write a sound [shape=(samples,) or (samples, channels), in [-1, 1]] as 16-bit wav."""
    import soundfile

    soundfile.write(path, samples, sample_rate, format="WAV", subtype="PCM_16")
