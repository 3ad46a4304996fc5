"""A WaveNet of frames: the same stack of gated, dilated convolutions, but not causal, over spectra.

What a vocoder has to invent is what mel bands do not tell: the magnitude of each bin, and phases.
Phases follow from magnitudes, if those are right (see `phase_gradient`), but not the other way
round. So this network maps a source, the harmonics of the pitch under the envelope of the bands, to
the magnitudes of the sound, all frames in one pass. Its output is added to the source in dB, and is
0 before training: then the sound is that of Griffin-Lim with the pitch's comb.

References:
    Wang, Takaki and Yamagishi, "Neural source-filter waveform models for statistical parametric
    speech synthesis", 2019, https://arxiv.org/abs/1904.12088
    Tamamori et al., "Speaker-dependent WaveNet vocoder", Interspeech 2017
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from ...errors import ParameterError, unknown
from .network import ResidualLayer, WaveNetConfig

#: dB that are 1 to the network, and the lowest dB that it is told of.
SCALE_DB, LOWEST_DB = 40.0, -80.0


@dataclass(frozen=True)
class SpectrumConfig:
    """Size of a WaveNet of frames.

    Attributes:
        bands: of the features.
        bins: of the transform, from 0 Hz on, whose magnitudes are predicted; those above stay.
        layers, stacks: number of dilated layers, and how often their dilations restart at 1.
        kernel_size: of the dilated convolutions, in frames; odd.
        residual_channels, gate_channels, skip_channels: widths; half of the gate channels go
            through tanh and half through sigmoid.
        side_channels: width of what conditions each layer: a projection of features and comb.
        maps: pictures [shape=(frames, bins)] that the stack hands on.
        detail_layers, detail_channels: number and width of gated convolutions over those pictures,
            source and comb.
        detail_kernel: their size in frames and bins; odd.
    """

    bands: int = 80
    bins: int = 384
    layers: int = 6
    stacks: int = 2
    kernel_size: int = 3
    residual_channels: int = 192
    gate_channels: int = 384
    skip_channels: int = 192
    side_channels: int = 64
    maps: int = 4
    detail_layers: int = 2
    detail_channels: int = 8
    detail_kernel: tuple[int, int] = (3, 5)

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail_kernel", tuple(self.detail_kernel))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            for each in value if isinstance(value, tuple) else (value,):
                if isinstance(each, bool) or not isinstance(each, int) or each < 1:
                    raise ParameterError(
                        f"in a WaveNet, {field.name} is {value!r}; expected at least 1"
                    )
        if self.layers % self.stacks:
            raise ParameterError(
                f"{self.layers} layers cannot be divided into {self.stacks} equal stacks"
            )
        if self.gate_channels % 2:
            raise ParameterError(f"gate_channels is {self.gate_channels}; expected an even number")
        if not all(size % 2 for size in (self.kernel_size, *self.detail_kernel)):
            raise ParameterError("in a WaveNet of frames, kernels are of odd sizes")

    @property
    def dilations(self) -> tuple[int, ...]:
        """Dilation of each layer, in frames."""
        return tuple(2 ** (i % (self.layers // self.stacks)) for i in range(self.layers))

    @property
    def reach(self) -> int:
        """Number of frames on either side that a frame depends on."""
        details = (self.detail_layers + 1) * (self.detail_kernel[0] // 2)
        return self.kernel_size // 2 * sum(self.dilations) + details

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return {**dataclasses.asdict(self), "detail_kernel": list(self.detail_kernel)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> SpectrumConfig:
        """Create a configuration from `fields`; those left out keep their defaults.

        Raises:
            ParameterError: a field is unknown or has an impossible value.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in fields:
            if name not in known and name in WaveNetConfig.__dataclass_fields__:
                raise ParameterError(
                    f"{name} is a setting of a WaveNet of samples, this one is of frames; train "
                    "one of samples with --predict samples"
                )
            if name not in known:
                raise ParameterError(f"in a WaveNet, {unknown('setting', name, known)}")
        return cls(**fields)


def build_spectrum(config: SpectrumConfig) -> keras.Model:
    """Build the network.

    Its inputs, of any number of frames, are `features` [shape=(batch, frames, bands)] and, on the
    scale of `to_scale`, the magnitudes of the `source` and the `comb` of its pitch [both
    shape=(batch, frames, bins)]. The output has the source's shape and scale.
    """
    features = keras.Input((None, config.bands), name="features")
    source = keras.Input((None, config.bins), name="source")
    comb = keras.Input((None, config.bins), name="comb")
    side = layers.Concatenate(name="sides")([features, comb])
    side = layers.Dense(config.side_channels, name="side")(side)
    x = layers.Concatenate(name="whole")([features, source])
    x = layers.Dense(config.residual_channels, name="first")(x)
    skips = None
    for i, dilation in enumerate(config.dilations):
        layer = ResidualLayer(
            config.residual_channels,
            config.gate_channels,
            config.skip_channels,
            kernel_size=config.kernel_size,
            dilation=dilation,
            causal=False,
            name=f"layer_{i}",
        )
        x, skips = layer(x, skips=skips, conditioning=side)
    x = layers.Activation("relu", name="relu_1")(skips)
    x = layers.Dense(config.skip_channels, activation="relu", name="hidden")(x)
    x = layers.Dense(config.bins * config.maps, name="maps")(x)
    x = layers.Reshape((-1, config.bins, config.maps), name="pictures")(x)
    lines = [layers.Reshape((-1, config.bins, 1))(line) for line in (source, comb)]
    x = layers.Concatenate(name="details")([x, *lines])
    for i in range(config.detail_layers):
        found = Gated(config.detail_channels, config.detail_kernel, name=f"detail_{i}")(x)
        x = layers.Concatenate(name=f"with_{i}")([x, found])
    change = layers.Conv2D(
        1,
        config.detail_kernel,
        padding="same",
        kernel_initializer="zeros",
        data_format="channels_last",
        name="change",
    )(x)
    change = layers.Reshape((-1, config.bins), name="bins")(change)
    outputs = layers.Add(name="magnitudes")([source, change])
    inputs = {"features": features, "source": source, "comb": comb}
    return keras.Model(inputs, outputs, name="wavenet")


@keras.saving.register_keras_serializable("keras_listen")
class Gated(layers.Layer):
    """A gated convolution over a picture of frames and bins, of its size."""

    def __init__(self, channels: int, kernel_size: tuple[int, int], **kwargs):
        super().__init__(**kwargs)
        self.channels, self.kernel_size = channels, tuple(kernel_size)
        self.conv = layers.Conv2D(
            2 * channels, self.kernel_size, padding="same", data_format="channels_last"
        )

    def build(self, shape):
        self.conv.build(shape)

    def call(self, x):
        x = self.conv(x)
        return ops.tanh(x[..., : self.channels]) * ops.sigmoid(x[..., self.channels :])

    def compute_output_shape(self, shape):
        return (*shape[:-1], self.channels)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {**config, "channels": self.channels, "kernel_size": self.kernel_size}


def to_scale(magnitude: np.ndarray) -> np.ndarray:
    """Convert magnitudes to the network's scale: dB, at least `LOWEST_DB`, by `SCALE_DB`."""
    decibel = 20 * np.log10(np.maximum(magnitude, 10 ** (LOWEST_DB / 20)))
    return (decibel / SCALE_DB).astype(np.float32)


def from_scale(scaled: np.ndarray) -> np.ndarray:
    """Convert the network's scale to magnitudes."""
    return 10 ** (np.asarray(scaled) * (SCALE_DB / 20))
