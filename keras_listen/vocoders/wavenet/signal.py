"""Sound to what a WaveNet speaks, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...features import FeatureSpec
from .linear_prediction import excitation_of, filters_of, look_ahead, memory, reach, sound_of
from .network import WaveNetConfig
from .outputs import compand, expand, from_levels, to_levels

#: Excitation, whose variance is about 1, is cut off here.
_RANGE = 8.0


@dataclass(frozen=True)
class Margins:
    """Frames that `to_net` needs around a piece of sound.

    Attributes:
        before, after: of sound.
        features: of features before those of the sound.
    """

    before: int = 0
    after: int = 0
    features: int = 0


def margins(config: WaveNetConfig, spec: FeatureSpec) -> Margins:
    """Return what `to_net` needs around a piece of sound; nothing without linear prediction."""
    if not config.linear_prediction:
        return Margins()
    return Margins(memory(spec), look_ahead(spec), reach(spec))


def to_net(
    config: WaveNetConfig,
    sounds: np.ndarray,
    features: np.ndarray,
    spec: FeatureSpec,
    draws: np.random.Generator,
) -> np.ndarray:
    """Turn sound into what the net speaks.

    That is filtered by the pre-emphasis (and scaled so that it stays in [-1, 1]) or the linear
    prediction, companded or turned into levels, as the configuration says.

    Args:
        config: of the network.
        sounds: [shape=(batch, samples), in [-1, 1]], with `margins` around what is returned.
        features: [shape=(batch, frames, mels)]: those of the sounds, and `margins` before them.
        spec: of the features.
        draws: of what takes the place of sound that features say nothing of.

    Returns:
        Samples, or levels [shape=(batch, samples without margins)].
    """
    y = np.asarray(sounds)
    if order := config.linear_prediction:
        around = margins(config, spec)
        filters = filters_of(features, spec, order, config.pitch_prediction)
        y = excitation_of(y, filters, spec, draws)
        hop = spec.hop_length
        y = y[:, around.before * hop : y.shape[1] - around.after * hop]
        y = np.clip(y / _RANGE, -1, 1)
    elif config.preemphasis:
        before = np.pad(y[:, :-1], ((0, 0), (1, 0)))
        y = (y - config.preemphasis * before) / (1 + config.preemphasis)
    if config.output == "softmax":
        return to_levels(y, config.out_channels)
    return (compand(y, 256) if config.mulaw else y).astype(np.float32)


def from_net(
    config: WaveNetConfig, spoken: np.ndarray, features: np.ndarray, spec: FeatureSpec
) -> np.ndarray:
    """Turn what the net speaks into sound.

    Args:
        config: of the network.
        spoken: [shape=(batch, frames * hop_length)].
        features: [shape=(batch, frames, mels)].
        spec: of the features.

    Returns:
        float32, of the shape of `spoken`.
    """
    if config.output == "softmax":
        spoken = from_levels(spoken, config.out_channels)
    elif config.mulaw:
        spoken = expand(spoken, 256)
    if order := config.linear_prediction:
        before = np.pad(features, ((0, 0), (reach(spec), 0), (0, 0)))
        filters = filters_of(before, spec, order, config.pitch_prediction)
        spoken = sound_of(_RANGE * spoken, filters, spec)
    elif config.preemphasis:
        from scipy.signal import lfilter

        spoken = lfilter([1 + config.preemphasis], [1, -config.preemphasis], spoken, axis=1)
    return spoken.astype(np.float32)
