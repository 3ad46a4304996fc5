"""Output distributions of a WaveNet: their losses and samplers.

Each has `loss(parameters, samples)`, the negative log-likelihood in nats, in Keras operations, and
`sample(parameters, uniforms)`, in NumPy: the reference that the generator is tested against.

References:
    Salimans et al., "PixelCNN++", 2017, https://arxiv.org/abs/1701.05517
    Ping et al., "ClariNet", 2019, https://arxiv.org/abs/1807.07281
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from .network import WaveNetConfig

#: Levels of the discretized logistics.
_LEVELS = 65536
#: Distance of uniform draws from 0 and 1, as published.
MARGIN = 1e-5


@dataclass(frozen=True)
class Logistics:
    """A mixture of logistics over 65,536 levels; parameters are logits, means and log-scales."""

    channels: int
    log_scale_floor: float

    @property
    def draws(self) -> int:
        """Uniform draws for one sample: one for each component and one for the sample."""
        return self.channels // 3 + 1

    def loss(self, parameters: Any, samples: Any) -> Any:
        """Return the negative log-likelihood [shape=(batch, samples)].

        Args:
            parameters: [shape=(batch, samples, channels)].
            samples: [shape=(batch, samples), in [-1, 1]].
        """
        logits, means, log_scales = ops.split(parameters, 3, axis=-1)
        log_scales = ops.maximum(log_scales, self.log_scale_floor)
        y = samples[..., None]
        scaled, half = (y - means) * ops.exp(-log_scales), ops.exp(-log_scales) / (_LEVELS - 1)
        above, below = scaled + half, scaled - half
        # Where rounding swallows the level's probability, use the density times its width.
        middle = scaled - log_scales - 2.0 * ops.softplus(scaled) - math.log((_LEVELS - 1) / 2)
        delta = ops.sigmoid(above) - ops.sigmoid(below)
        inside = ops.where(delta > 1e-5, ops.log(ops.maximum(delta, 1e-12)), middle)
        lowest, highest = above - ops.softplus(above), -ops.softplus(below)
        likelihood = ops.where(y < -0.999, lowest, ops.where(y > 0.999, highest, inside))
        return -ops.logsumexp(likelihood + ops.log_softmax(logits, axis=-1), axis=-1)

    def sample(self, parameters: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
        """Draw samples in [-1, 1] by the Gumbel-max trick and the inverse of the logistic.

        Args:
            parameters: [shape=(..., channels)].
            uniforms: [shape=(..., draws), in [0, 1)].
        """
        u = MARGIN + uniforms * (1 - 2 * MARGIN)
        logits, means, log_scales = np.split(parameters, 3, axis=-1)
        chosen = np.argmax(logits - np.log(-np.log(u[..., :-1])), axis=-1)[..., None]
        mean = np.take_along_axis(means, chosen, -1)[..., 0]
        scale = np.take_along_axis(log_scales, chosen, -1)[..., 0]
        scale = np.exp(np.maximum(scale, self.log_scale_floor))
        last = u[..., -1]
        return np.clip(mean + scale * (np.log(last) - np.log(1 - last)), -1, 1)


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution; parameters are mean and log-scale."""

    log_scale_floor: float
    channels: int = 2
    draws: int = 2

    def loss(self, parameters: Any, samples: Any) -> Any:
        """Return the negative log-density [shape=(batch, samples)]; see `Logistics.loss`."""
        mean, log_scale = parameters[..., 0], parameters[..., 1]
        log_scale = ops.maximum(log_scale, self.log_scale_floor)
        scaled = (samples - mean) * ops.exp(-log_scale)
        return 0.5 * ops.square(scaled) + log_scale + 0.5 * math.log(2 * math.pi)

    def sample(self, parameters: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
        """Draw samples in [-1, 1] by the Box-Muller transform; see `Logistics.sample`."""
        u = MARGIN + uniforms * (1 - 2 * MARGIN)
        normal = np.sqrt(-2 * np.log(u[..., 0])) * np.cos(2 * np.pi * u[..., 1])
        scale = np.exp(np.maximum(parameters[..., 1], self.log_scale_floor))
        return np.clip(parameters[..., 0] + scale * normal, -1, 1)


@dataclass(frozen=True)
class Softmax:
    """A categorical distribution over mu-law levels."""

    channels: int
    draws: int = 1

    def loss(self, parameters: Any, samples: Any) -> Any:
        """Return the cross-entropy [shape=(batch, samples)].

        Args:
            parameters: logits [shape=(batch, samples, channels)].
            samples: levels [shape=(batch, samples), integer].
        """
        logs = ops.log_softmax(parameters, axis=-1)
        return -ops.sum(logs * ops.one_hot(samples, self.channels, dtype=logs.dtype), axis=-1)

    def sample(self, parameters: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
        """Draw levels [integer] by the inverse of the cumulative distribution."""
        weights = np.exp(parameters - parameters.max(axis=-1, keepdims=True))
        total = np.cumsum(weights, axis=-1)
        level = (total <= uniforms[..., :1] * total[..., -1:]).sum(axis=-1)
        return np.minimum(level, self.channels - 1)


Output = Logistics | Gaussian | Softmax


def make_output(config: WaveNetConfig) -> Output:
    """Return the distribution of `config`."""
    if config.output == "logistics":
        return Logistics(config.out_channels, config.log_scale_floor)
    if config.output == "gaussian":
        return Gaussian(config.log_scale_floor)
    return Softmax(config.out_channels)


def compand(y: np.ndarray, levels: int) -> np.ndarray:
    """Compress sound in [-1, 1] by the mu-law of `levels` levels; still in [-1, 1]."""
    mu = levels - 1
    return np.sign(y) * np.log1p(mu * np.abs(y)) / np.log1p(mu)


def expand(y: np.ndarray, levels: int) -> np.ndarray:
    """Undo `compand`."""
    mu = levels - 1
    return np.sign(y) * np.expm1(np.abs(y) * np.log1p(mu)) / mu


def to_levels(y: np.ndarray, levels: int) -> np.ndarray:
    """Turn sound in [-1, 1] into mu-law levels [integer, 0 up to levels - 1]."""
    return ((compand(np.clip(y, -1, 1), levels) + 1) / 2 * (levels - 1)).astype(np.int32)


def from_levels(level: np.ndarray, levels: int) -> np.ndarray:
    """Turn mu-law levels into sound in [-1, 1]."""
    return expand(2 * np.asarray(level, np.float64) / (levels - 1) - 1, levels).astype(np.float32)
