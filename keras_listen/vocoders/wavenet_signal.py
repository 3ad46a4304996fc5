"""Sound to what a WaveNet speaks, and back."""

from __future__ import annotations

import numpy as np

from ..features import FeatureSpec
from ..linear_prediction import color, predictors, reach, whiten
from ..models.wavenet import WaveNetConfig
from ..models.wavenet_outputs import compand, expand, from_levels, to_levels

#: Excitation, whose variance is about 1, is cut off here.
_RANGE = 16.0


def margins(config: WaveNetConfig, spec: FeatureSpec) -> tuple[int, int]:
    """Return the frames of sound, and of features, that `to_net` needs before a piece of sound."""
    if not config.linear_prediction:
        return 0, 0
    return -(-config.linear_prediction // spec.hop_length), reach(spec)


def to_net(
    config: WaveNetConfig, sounds: np.ndarray, features: np.ndarray, spec: FeatureSpec
) -> np.ndarray:
    """Turn sound into what the net speaks.

    That is filtered by the pre-emphasis (and scaled so that it stays in [-1, 1]) or the linear
    prediction, companded or turned into levels, as the configuration says.

    Args:
        config: of the network.
        sounds: [shape=(batch, samples), in [-1, 1]].
        features: of the sounds [shape=(batch, frames, mels)]. Sounds and features begin earlier
            than what is returned, by the frames of `margins`.
        spec: of the features.

    Returns:
        Samples, or levels [shape=(batch, samples of what is returned)].
    """
    y = np.asarray(sounds)
    if order := config.linear_prediction:
        lead = margins(config, spec)[0] * spec.hop_length
        filters = predictors(features, spec, order)
        y = np.clip(whiten(y[:, lead - order :], filters) / _RANGE, -1, 1)
    elif config.preemphasis:
        before = np.pad(y[:, :-1], ((0, 0), (1, 0)))
        y = (y - config.preemphasis * before) / (1 + config.preemphasis)
    if config.output == "softmax":
        return to_levels(y, config.out_channels)
    return (compand(y, 256) if config.mulaw else y).astype(np.float32)


def from_net(
    config: WaveNetConfig, spoken: np.ndarray, features: np.ndarray, spec: FeatureSpec
) -> np.ndarray:
    """Undo `to_net`, after silence.

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
        spoken = color(_RANGE * spoken, predictors(before, spec, order))
    elif config.preemphasis:
        from scipy.signal import lfilter

        spoken = lfilter([1 + config.preemphasis], [1, -config.preemphasis], spoken, axis=1)
    return spoken.astype(np.float32)
