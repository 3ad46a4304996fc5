"""Convert sound to the signal that a WaveNet predicts, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...features import FeatureSpec
from .linear_prediction import excitation_of, filters_of, look_ahead, memory, reach, sound_of
from .network import WaveNetConfig
from .outputs import compand, expand, from_levels, to_levels

#: Excitation, whose variance is about 1, is clipped here.
_RANGE = 8.0


@dataclass(frozen=True)
class Margins:
    """Frames that `to_net` needs around a piece of sound.

    Attributes:
        before, after: of sound.
        features: of features before the sound's own.
    """

    before: int = 0
    after: int = 0
    features: int = 0


def margins(config: WaveNetConfig, spec: FeatureSpec) -> Margins:
    """Return the margins that `to_net` needs; none without linear prediction."""
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
    """Convert sound to the signal that the network predicts.

    As configured, sound is filtered by pre-emphasis (and scaled so that it stays in [-1, 1]) or by
    linear prediction, then companded or quantised to levels.

    Args:
        config: of the network.
        sounds: [shape=(batch, samples), in [-1, 1]], with `margins` around the result.
        features: [shape=(batch, frames, mels)]: those of the sounds, and `margins` before them.
        spec: of the features.
        draws: source of the noise that replaces sound outside the features' bands.

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
    config: WaveNetConfig, generated: np.ndarray, features: np.ndarray, spec: FeatureSpec
) -> np.ndarray:
    """Convert the signal that the network generated to sound.

    Args:
        config: of the network.
        generated: [shape=(batch, frames * hop_length)].
        features: [shape=(batch, frames, mels)].
        spec: of the features.

    Returns:
        float32, of the shape of `generated`.
    """
    if config.output == "softmax":
        generated = from_levels(generated, config.out_channels)
    elif config.mulaw:
        generated = expand(generated, 256)
    if order := config.linear_prediction:
        before = np.pad(features, ((0, 0), (reach(spec), 0), (0, 0)))
        filters = filters_of(before, spec, order, config.pitch_prediction)
        generated = sound_of(_RANGE * generated, filters, spec)
    elif config.preemphasis:
        from scipy.signal import lfilter

        generated = lfilter([1 + config.preemphasis], [1, -config.preemphasis], generated, axis=1)
    return generated.astype(np.float32)
