"""The WaveNet network with local and global conditioning, as in the published vocoder.

Inputs are the sound delayed by one sample and the features; outputs are, for each sample, the
parameters of the distribution that it is drawn from (see `outputs`).

References:
    van den Oord et al., "WaveNet: A Generative Model for Raw Audio", 2016,
    https://arxiv.org/abs/1609.03499
    Tamamori et al., "Speaker-dependent WaveNet vocoder", Interspeech 2017
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers, ops

from ...errors import ParameterError, unknown

SKIP_SCALINGS = ("cumulative", "sum", "mean")
UPSAMPLINGS = ("transposed", "repeat")
OUTPUTS = ("logistics", "gaussian", "softmax")


@dataclass(frozen=True)
class WaveNetConfig:
    """Size and kind of a WaveNet; the defaults are the published LJSpeech configuration.

    Attributes:
        output: distribution of a sample: "logistics" (a mixture), "gaussian" or "softmax" (over
            mu-law levels).
        out_channels: number of its parameters: 3 for each logistic, 2 for a Gaussian, or the number
            of levels.
        layers, stacks: number of dilated layers, and how often their dilations restart at 1.
        kernel_size: of the dilated convolutions.
        residual_channels, gate_channels, skip_channels: widths; half of the gate channels go
            through tanh and half through sigmoid.
        conditioning_channels: bands of the features; 0 for a network without local conditioning.
        upsampling: how features are brought to the sound's rate: by "transposed" convolutions over
            bands and time, each followed by a relu, or by "repeat".
        upsample_scales: factors, whose product is the hop length.
        freq_axis_kernel_size: width of the transposed convolutions, in bands.
        context_layers, context_channels: number and width of convolutions of 3 frames, with relu,
            over the features before they are upsampled. Each needs one more frame on either side.
        speakers, speaker_channels: number of speakers and width of their embedding; 0 for none.
        skip_scaling: "cumulative" halves the power after each addition (wavenet_vocoder's
            `legacy=True`), "sum" does nothing (`legacy=False`), "mean" divides the sum by the root
            of the number of layers (its later line).
        dropout: rate before each dilated convolution, in training.
        log_scale_floor: smallest logarithm of a scale.
        mulaw: whether samples are mu-law companded.
        preemphasis: factor of the first-order filter applied to samples; 0 for none.
        linear_prediction: order of the filters, computed from the features, that turn sound into
            the excitation that the network predicts (see `linear_prediction`); 0 for none.
        pitch_prediction: largest gain of the long-term predictor, which repeats the preceding
            period; 0 for none.
    """

    output: str = "logistics"
    out_channels: int = 30
    layers: int = 24
    stacks: int = 4
    kernel_size: int = 3
    residual_channels: int = 512
    gate_channels: int = 512
    skip_channels: int = 256
    conditioning_channels: int = 80
    upsampling: str = "transposed"
    upsample_scales: tuple[int, ...] = (4, 4, 4, 4)
    freq_axis_kernel_size: int = 3
    context_layers: int = 0
    context_channels: int = 0
    speakers: int = 0
    speaker_channels: int = 0
    skip_scaling: str = "cumulative"
    dropout: float = 0.05
    log_scale_floor: float = math.log(1e-14)
    mulaw: bool = False
    preemphasis: float = 0.0
    linear_prediction: int = 0
    pitch_prediction: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "upsample_scales", tuple(self.upsample_scales))
        for name, known in (
            ("output", OUTPUTS),
            ("skip_scaling", SKIP_SCALINGS),
            ("upsampling", UPSAMPLINGS),
        ):
            if getattr(self, name) not in known:
                raise ParameterError(f"in a WaveNet, {unknown(name, getattr(self, name), known)}")
        sizes = ("layers", "stacks", "residual_channels", "gate_channels", "skip_channels")
        for name in (*sizes, "kernel_size", "out_channels"):
            if getattr(self, name) < 1:
                raise ParameterError(f"{name} is {getattr(self, name)}; expected at least 1")
        if self.layers % self.stacks:
            raise ParameterError(
                f"{self.layers} layers cannot be divided into {self.stacks} equal stacks"
            )
        if self.gate_channels % 2:
            raise ParameterError(f"gate_channels is {self.gate_channels}; expected an even number")
        if self.output == "logistics" and self.out_channels % 3:
            raise ParameterError(
                f"out_channels is {self.out_channels}; a mixture of logistics takes 3 a component"
            )
        if self.output == "gaussian" and self.out_channels != 2:
            raise ParameterError(f"out_channels is {self.out_channels}; a Gaussian takes 2")
        if not 0 <= self.preemphasis < 1:
            raise ParameterError(f"preemphasis is {self.preemphasis}; expected 0 up to below 1")
        if self.linear_prediction < 0:
            raise ParameterError(
                f"linear_prediction is {self.linear_prediction}; expected at least 0"
            )
        if self.linear_prediction and not (self.conditioning_channels and not self.preemphasis):
            raise ParameterError(
                "linear_prediction needs conditioning_channels, and takes the place of preemphasis"
            )
        if not 0 <= self.pitch_prediction < 1:
            raise ParameterError(
                f"pitch_prediction is {self.pitch_prediction}; expected 0 up to below 1"
            )
        if self.speakers and not self.speaker_channels:
            raise ParameterError(f"{self.speakers} speakers need speaker_channels of at least 1")

    @property
    def in_channels(self) -> int:
        """Channels of the delayed sound: 1, or the number of levels."""
        return self.out_channels if self.output == "softmax" else 1

    @property
    def silence(self) -> int:
        """Input of the network before the first sample: zero, or the level of zero."""
        return (self.out_channels - 1) // 2 if self.output == "softmax" else 0

    @property
    def hop_length(self) -> int:
        """Samples per frame of features."""
        return math.prod(self.upsample_scales)

    @property
    def dilations(self) -> tuple[int, ...]:
        """Dilation of each layer."""
        return tuple(2 ** (i % (self.layers // self.stacks)) for i in range(self.layers))

    @property
    def receptive_field(self) -> int:
        """Number of past samples that a sample depends on."""
        return (self.kernel_size - 1) * sum(self.dilations) + 1

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return {**dataclasses.asdict(self), "upsample_scales": list(self.upsample_scales)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> WaveNetConfig:
        """Create a configuration from `fields`; those left out keep their defaults.

        Raises:
            ParameterError: a field is unknown or has an impossible value.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in fields:
            if name not in known:
                raise ParameterError(f"in a WaveNet, {unknown('setting', name, known)}")
        return cls(**fields)


@keras.saving.register_keras_serializable("keras_listen")
class ResidualLayer(layers.Layer):
    """A gated, dilated convolution with its residual and skip connections, causal by default.

    Called with the signal [shape=(batch, samples, residual_channels)], the skips so far
    [shape=(batch, samples, skip_channels)] or None, the conditioning [shape=(batch, frames,
    channels)], where samples are a multiple of frames, and the speaker's embedding
    [shape=(batch, 1, channels)]. Returns the signal and the skips.

    The convolution is one matrix product of shifted copies, which is faster on a CPU than a dilated
    convolution; conditioning is projected at its own rate and then repeated.
    """

    def __init__(
        self,
        residual_channels: int,
        gate_channels: int,
        skip_channels: int,
        *,
        kernel_size: int,
        dilation: int,
        dropout: float = 0.0,
        skip_scale: float = 1.0,
        causal: bool = True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.residual_channels, self.gate_channels = residual_channels, gate_channels
        self.skip_channels, self.skip_scale = skip_channels, skip_scale
        self.kernel_size, self.dilation, self.causal = kernel_size, dilation, causal
        self.dropout_rate = dropout
        self.dropout = layers.Dropout(dropout) if dropout else None

    def build(self, signal_shape, skips_shape=None, conditioning_shape=None, speaker_shape=None):
        gate, half = self.gate_channels, self.gate_channels // 2
        wide = self.residual_channels + self.skip_channels
        self.kernel = self._matrix("kernel", self.kernel_size * signal_shape[-1], gate)
        self.bias = self.add_weight(name="bias", shape=(gate,), initializer="zeros")
        if conditioning_shape is not None:
            self.conditioning_kernel = self._matrix(
                "conditioning_kernel", conditioning_shape[-1], gate
            )
        if speaker_shape is not None:
            self.speaker_kernel = self._matrix("speaker_kernel", speaker_shape[-1], gate)
        self.out_kernel = self._matrix("out_kernel", half, wide)
        self.out_bias = self.add_weight(name="out_bias", shape=(wide,), initializer="zeros")

    def _matrix(self, name: str, rows: int, columns: int):
        return self.add_weight(name=name, shape=(rows, columns), initializer="lecun_normal")

    def call(self, signal, skips=None, conditioning=None, speaker=None, training=False):
        x = signal
        if self.dropout is not None:
            x = self.dropout(x, training=training)
        x = ops.matmul(self._taps(x), self.kernel) + self.bias
        if conditioning is not None:
            x = _add_repeated(x, ops.matmul(conditioning, self.conditioning_kernel))
        if speaker is not None:
            x = x + ops.matmul(speaker, self.speaker_kernel)
        half = self.gate_channels // 2
        x = ops.tanh(x[..., :half]) * ops.sigmoid(x[..., half:])
        x = ops.matmul(x, self.out_kernel) + self.out_bias
        residual, skip = x[..., : self.residual_channels], x[..., self.residual_channels :]
        if skips is not None:
            skip = skips + skip
            if self.skip_scale != 1.0:
                skip = skip * self.skip_scale
        return (signal + residual) * math.sqrt(0.5), skip

    def _taps(self, x):
        """Return the samples under the kernel, oldest first, concatenated along the channels."""
        if self.kernel_size == 1:
            return x
        samples = ops.shape(x)[1]
        reach = (self.kernel_size - 1) * self.dilation
        after = 0 if self.causal else reach // 2
        padded = ops.pad(x, ((0, 0), (reach - after, after), (0, 0)))
        taps = [
            padded[:, k * self.dilation : k * self.dilation + samples]
            for k in range(self.kernel_size)
        ]
        return ops.concatenate(taps, axis=-1)

    def compute_output_shape(
        self, signal_shape, skips_shape=None, conditioning_shape=None, speaker_shape=None
    ):
        return tuple(signal_shape), (*signal_shape[:-1], self.skip_channels)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "residual_channels": self.residual_channels,
            "gate_channels": self.gate_channels,
            "skip_channels": self.skip_channels,
            "kernel_size": self.kernel_size,
            "dilation": self.dilation,
            "dropout": self.dropout_rate,
            "skip_scale": self.skip_scale,
            "causal": self.causal,
        }


def _add_repeated(x, conditioning):
    """Add to each sample of `x` the frame of `conditioning` that it belongs to."""
    batch, samples, channels = ops.shape(x)
    frames = ops.shape(conditioning)[1]
    folded = ops.reshape(x, (batch, frames, samples // frames, channels))
    return ops.reshape(folded + conditioning[:, :, None], (batch, samples, channels))


def build_wavenet(config: WaveNetConfig) -> keras.Model:
    """Build the network.

    Its inputs are `samples` [shape=(batch, samples, in_channels)]: the sound delayed by one sample,
    or one-hot levels; with local conditioning `features` [shape=(batch, frames + 2 *
    context_layers, conditioning_channels)], where samples = frames * hop_length; and with speakers
    `speaker` [shape=(batch, 1), integer]. The output [shape=(batch, samples, out_channels)] holds
    the parameters of each sample's distribution.
    """
    samples = keras.Input((None, config.in_channels), name="samples")
    inputs, sides = {"samples": samples}, {}
    if config.conditioning_channels:
        features = keras.Input((None, config.conditioning_channels), name="features")
        inputs["features"] = features
        sides["conditioning"] = _upsample(_context(features, config), config)
    if config.speakers:
        inputs["speaker"] = keras.Input((1,), dtype="int32", name="speaker")
        embedding = layers.Embedding(config.speakers, config.speaker_channels, name="speakers")
        sides["speaker"] = embedding(inputs["speaker"])
    x = layers.Dense(config.residual_channels, name="first")(samples)
    skips = None
    for i, dilation in enumerate(config.dilations):
        layer = ResidualLayer(
            config.residual_channels,
            config.gate_channels,
            config.skip_channels,
            kernel_size=config.kernel_size,
            dilation=dilation,
            dropout=config.dropout,
            skip_scale=math.sqrt(0.5) if config.skip_scaling == "cumulative" else 1.0,
            name=f"layer_{i}",
        )
        x, skips = layer(x, skips=skips, **sides)
    if config.skip_scaling == "mean":
        skips = layers.Rescaling(math.sqrt(1.0 / config.layers), name="mean")(skips)
    x = layers.Activation("relu", name="relu_1")(skips)
    x = layers.Dense(config.skip_channels, activation="relu", name="hidden")(x)
    outputs = layers.Dense(config.out_channels, name="parameters")(x)
    return keras.Model(inputs, outputs, name="wavenet")


def _context(features, config: WaveNetConfig):
    x = features
    for i in range(config.context_layers):
        x = layers.Conv1D(
            config.context_channels or config.conditioning_channels,
            3,
            activation="relu",
            data_format="channels_last",
            name=f"context_{i}",
        )(x)
    return x


def _upsample(features, config: WaveNetConfig):
    """Upsample features to the sound's rate; the layers repeat them, which costs less."""
    if config.upsampling == "repeat":
        return features
    bands = features.shape[-1]
    x = layers.Reshape((-1, bands, 1), name="as_picture")(features)
    for i, scale in enumerate(config.upsample_scales):
        x = layers.Conv2DTranspose(
            1,
            (scale, config.freq_axis_kernel_size),
            strides=(scale, 1),
            padding="same",
            activation="relu",
            kernel_initializer=keras.initializers.Constant(1.0 / config.freq_axis_kernel_size),
            data_format="channels_last",
            name=f"upsample_{i}",
        )(x)
    return layers.Reshape((-1, bands), name="as_channels")(x)
