"""Convert published WaveNet checkpoints to bundles.

The checkpoints are those of wavenet_vocoder's 2018 line (PyPI 0.1.1): a torch file of weights, in
which weight normalisation is still apart, and a JSON file of hyper-parameters.

References:
    Yamamoto, "WaveNet vocoder", https://github.com/r9y9/wavenet_vocoder
    Salimans and Kingma, "Weight Normalization", 2016, https://arxiv.org/abs/1602.07868
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ...errors import ModelError, ParameterError, Unavailable, install_command
from ...features import FeatureSpec
from ...models.bundle import Bundle, bundle_for_vocoder
from ...models.provenance import made_with
from ...output.files import sha256
from ...texts import read_text
from .network import WaveNetConfig, build_wavenet

Tensors = Mapping[str, np.ndarray]

_LATER_KEYS = ("upsample_params", "upsample_net", "output_distribution", "cin_pad")


def convert_wavenet(
    checkpoint: str | Path, hparams: str | Path, target: str | Path, *, compact: bool = False
) -> Bundle:
    """Convert a checkpoint and add it, as the component `wavenet`, to the bundle in `target`.

    Args:
        checkpoint: `.pth` file; it is opened without running code from it.
        hparams: `.json` file of its hyper-parameters.
        target: folder of a bundle; one without words is made where it is missing.
        compact: store weights as float16.

    Raises:
        Unavailable: torch is not installed.
        ModelError: the checkpoint is missing, damaged, of the later line or holds code, or a tensor
            does not fit the hyper-parameters.
        ParameterError: the hyper-parameters are missing or not understood.
        SpecError: the bundle there is of other features.
    """
    settings = _read_hparams(Path(hparams))
    config, spec = config_of(settings), spec_of(settings)
    tensors = read_checkpoint(checkpoint)
    model = to_keras(tensors, config, str(checkpoint))
    bundle = bundle_for_vocoder(target, spec)
    bundle.add(
        "wavenet",
        {"model": model},
        about={
            "kind": "wavenet",
            "config": config.to_dict(),
            "provenance": {
                "checkpoint": Path(checkpoint).name,
                "sha256": sha256(checkpoint),
                **made_with(),
            },
        },
        compact=compact,
    )
    return bundle


def _read_hparams(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(read_text(path))
    except (OSError, ValueError) as error:
        raise ParameterError(f"cannot read the hyper-parameters {path}: {error}") from error
    if not isinstance(settings, dict):
        raise ParameterError(f"{path} holds no hyper-parameters; expected an object of settings")
    for key in _LATER_KEYS:
        if key in settings:
            raise ModelError(
                f"{path} is of wavenet_vocoder's later line (it has {key}), whose networks are "
                "other ones; use a checkpoint of the 2018 line (PyPI 0.1.1)"
            )
    return settings


def config_of(settings: Mapping[str, Any]) -> WaveNetConfig:
    """Convert published hyper-parameters to a WaveNetConfig.

    Raises:
        ParameterError: one is missing or not understood.
    """

    def get(name: str) -> Any:
        if name not in settings:
            raise ParameterError(f"the hyper-parameters have no {name}")
        return settings[name]

    kind = get("input_type")
    if kind not in ("raw", "mulaw", "mulaw-quantize"):
        raise ParameterError(f"input_type is {kind!r}; expected raw, mulaw or mulaw-quantize")
    channels = int(get("out_channels"))
    scalar = "gaussian" if channels == 2 else "logistics"
    bands, speaker = int(get("cin_channels")), int(get("gin_channels"))
    upsampled = bool(settings.get("upsample_conditional_features", False))
    scales = tuple(get("upsample_scales")) if upsampled else (int(settings.get("hop_size", 256)),)
    return WaveNetConfig(
        output="softmax" if kind == "mulaw-quantize" else scalar,
        out_channels=channels,
        layers=int(get("layers")),
        stacks=int(get("stacks")),
        kernel_size=int(get("kernel_size")),
        residual_channels=int(get("residual_channels")),
        gate_channels=int(get("gate_channels")),
        skip_channels=int(get("skip_out_channels")),
        conditioning_channels=max(bands, 0),
        upsampling="transposed" if upsampled else "repeat",
        upsample_scales=scales,
        freq_axis_kernel_size=int(settings.get("freq_axis_kernel_size", 3)),
        speakers=int(get("n_speakers")) if speaker > 0 else 0,
        speaker_channels=max(speaker, 0),
        skip_scaling="cumulative" if settings.get("legacy", True) else "sum",
        dropout=float(settings.get("dropout", 0.05)),
        log_scale_floor=float(settings.get("log_scale_min", math.log(1e-14))),
        mulaw=kind == "mulaw",
    )


def spec_of(settings: Mapping[str, Any]) -> FeatureSpec:
    """Return the FeatureSpec of published hyper-parameters; fields they leave out keep defaults."""
    names = {
        "sample_rate": "sample_rate",
        "fft_size": "n_fft",
        "hop_size": "hop_length",
        "num_mels": "n_mels",
        "fmin": "fmin",
        "fmax": "fmax",
        "min_level_db": "floor_db",
        "ref_level_db": "reference_db",
    }
    fields = {ours: settings[name] for name, ours in names.items() if name in settings}
    if "rescaling" in settings:
        fields["peak"] = settings.get("rescaling_max", 0.999) if settings["rescaling"] else 0.0
    return FeatureSpec.from_dict(fields)


def read_checkpoint(path: str | Path) -> dict[str, np.ndarray]:
    """Read the weights of a checkpoint, weight normalisation folded in, without running its code.

    Raises:
        Unavailable: torch is not installed.
        ModelError: the file is missing, damaged, holds code or is no checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"there is no checkpoint {path}")
    try:
        # An extra, and slow to import.
        import torch
    except ImportError as error:
        raise Unavailable(
            f"reading a checkpoint needs torch; {install_command('torch')}"
        ) from error
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        text = " ".join(str(error).split())
        if "weights_only" in text.lower() or "unsupported" in text.lower():
            raise ModelError(
                f"the checkpoint {path} holds more than weights (pickled code), which is never "
                "run; save its state_dict alone"
            ) from error
        raise ModelError(
            f"the checkpoint {path} is damaged or no torch file: {text[:120]}"
        ) from error
    state = stored.get("state_dict", stored) if isinstance(stored, dict) else None
    if not state or not all(hasattr(value, "numpy") for value in state.values()):
        raise ModelError(f"the checkpoint {path} has no weights (no state_dict of tensors)")
    if later := next((name for name in state if name.startswith("upsample_net.")), None):
        raise ModelError(
            f"the checkpoint {path} is of wavenet_vocoder's later line (it has {later}), whose "
            "networks are other ones; use a checkpoint of the 2018 line (PyPI 0.1.1)"
        )
    return _fold({name: value.float().numpy() for name, value in state.items()})


def _fold(state: Tensors) -> dict[str, np.ndarray]:
    """Join direction and length of normalised weights."""
    folded = {}
    for name, value in state.items():
        if name.endswith(".weight_v"):
            length = state.get(name[:-1] + "g")
            if length is None:
                raise ModelError(f"the checkpoint has {name} but no {name[:-1]}g")
            axes = tuple(range(1, value.ndim))
            norm = np.sqrt((value.astype(np.float64) ** 2).sum(axis=axes, keepdims=True))
            folded[name[: -len("_v")]] = (length * value / norm).astype(np.float32)
        elif not name.endswith(".weight_g"):
            folded[name] = value
    return folded


class _Weights:
    """Published tensors, each taken once.

    Args:
        tensors: by published name.
        what: how messages call the checkpoint.
    """

    def __init__(self, tensors: Tensors, what: str):
        self.left, self.what = dict(tensors), what

    def take(self, name: str, *shape: int) -> np.ndarray:
        """Return a tensor, which must have this shape."""
        if name not in self.left:
            raise ModelError(
                f"{self.what} has no tensor {name} of shape {shape}, which the hyper-parameters "
                "ask for"
            )
        value = self.left.pop(name)
        if value.shape != shape:
            raise ModelError(
                f"in {self.what}, tensor {name} has the shape {value.shape}; the hyper-parameters "
                f"ask for {shape}"
            )
        return value

    def pointwise(self, name: str, into: int, out: int) -> tuple[np.ndarray, np.ndarray]:
        """Return kernel [shape=(into, out)] and bias of a convolution of width 1."""
        return self.take(f"{name}.weight", out, into, 1)[..., 0].T, self.take(f"{name}.bias", out)

    def require_none_left(self) -> None:
        """Raise ModelError if a tensor has not been taken."""
        if self.left:
            name = sorted(self.left)[0]
            raise ModelError(
                f"{self.what} has a tensor {name} of shape {self.left[name].shape}, for which the "
                "hyper-parameters have no place"
            )


def to_keras(tensors: Tensors, config: WaveNetConfig, what: str = "the checkpoint") -> keras.Model:
    """Build the network of `config` with the published tensors as its weights.

    Args:
        tensors: by published name, weight normalisation folded in.
        config: of the network.
        what: how messages call the checkpoint.

    Raises:
        ModelError: naming the first tensor that is missing, of another shape or left over.
    """
    weights, model = _Weights(tensors, what), build_wavenet(config)
    residual, skip = config.residual_channels, config.skip_channels
    first = weights.pointwise("first_conv", config.in_channels, residual)
    model.get_layer("first").set_weights(first)
    for i in range(config.layers):
        layer = model.get_layer(f"layer_{i}")
        for attribute, value in _residual_layer(weights, config, f"conv_layers.{i}").items():
            getattr(layer, attribute).assign(value)
    model.get_layer("hidden").set_weights(weights.pointwise("last_conv_layers.1", skip, skip))
    parameters = weights.pointwise("last_conv_layers.3", skip, config.out_channels)
    model.get_layer("parameters").set_weights(parameters)
    if config.conditioning_channels and config.upsampling == "transposed":
        for i, scale in enumerate(config.upsample_scales):
            name = f"upsample_conv.{2 * i}"
            kernel = weights.take(f"{name}.weight", 1, 1, config.freq_axis_kernel_size, scale)
            bias = weights.take(f"{name}.bias", 1)
            model.get_layer(f"upsample_{i}").set_weights([kernel[0, 0].T[..., None, None], bias])
    if config.speakers:
        embedding = weights.take("embed_speakers.weight", config.speakers, config.speaker_channels)
        model.get_layer("speakers").set_weights([embedding])
    weights.require_none_left()
    return model


def _residual_layer(weights: _Weights, config: WaveNetConfig, name: str) -> dict[str, np.ndarray]:
    """Return the weights of a `ResidualLayer`, by attribute, from a published layer's tensors.

    All convolutions that are added together share one bias here, and those of the residual and of
    the skips are one matrix product.
    """
    residual, gate = config.residual_channels, config.gate_channels
    kernel = weights.take(f"{name}.conv.weight", gate, residual, config.kernel_size)
    bias = weights.take(f"{name}.conv.bias", gate).copy()
    values = {"kernel": kernel.transpose(2, 1, 0).reshape(-1, gate), "bias": bias}
    sides = {
        "conditioning": ("c", config.conditioning_channels),
        "speaker": ("g", config.speaker_channels),
    }
    for side, (letter, width) in sides.items():
        if width:
            side_kernel, side_bias = weights.pointwise(f"{name}.conv1x1{letter}", width, gate)
            values[f"{side}_kernel"] = side_kernel
            bias += side_bias
    out_kernel, out_bias = weights.pointwise(f"{name}.conv1x1_out", gate // 2, residual)
    skip_kernel, skip_bias = weights.pointwise(
        f"{name}.conv1x1_skip", gate // 2, config.skip_channels
    )
    values["out_kernel"] = np.concatenate([out_kernel, skip_kernel], axis=1)
    values["out_bias"] = np.concatenate([out_bias, skip_bias])
    return values
