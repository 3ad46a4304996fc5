"""Networks of wavenet_vocoder 0.1.1 with random weights, converted: the same numbers come out."""

from __future__ import annotations

import json
import math
import os

import keras
import numpy as np
import pytest

if os.environ.get("KERAS_LISTEN_REQUIRE_TORCH"):
    import torch
    import wavenet_vocoder as published
else:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    published = pytest.importorskip("wavenet_vocoder", reason="wavenet_vocoder is not installed")

from keras_listen.errors import ModelError, ParameterError, SpecError
from keras_listen.models.bundle import load_bundle
from keras_listen.vocoders.wavenet.convert import (
    config_of,
    convert_wavenet,
    read_checkpoint,
    to_keras,
)
from keras_listen.vocoders.wavenet.generator import Forced, Generator

# Torch's threads wait for each other spinning, which starves them where cores are shared.
torch.set_num_threads(1)

SMALL = {
    "input_type": "raw",
    "out_channels": 30,
    "layers": 6,
    "stacks": 2,
    "kernel_size": 3,
    "residual_channels": 16,
    "gate_channels": 24,
    "skip_out_channels": 12,
    "cin_channels": 80,
    "gin_channels": -1,
    "n_speakers": 7,
    "dropout": 0.05,
    "upsample_conditional_features": True,
    "upsample_scales": [4, 4, 4, 4],
    "freq_axis_kernel_size": 3,
    "weight_normalization": True,
    "legacy": True,
    "sample_rate": 22050,
    "hop_size": 256,
    "fft_size": 1024,
    "num_mels": 80,
}
LJSPEECH = {
    **SMALL,
    "layers": 24,
    "stacks": 4,
    "residual_channels": 512,
    "gate_channels": 512,
    "skip_out_channels": 256,
}


def build(settings: dict, seed: int = 0):
    """Build the published network with random weights, biases and lengths included."""
    torch.manual_seed(seed)
    names = {
        "out_channels",
        "layers",
        "stacks",
        "residual_channels",
        "gate_channels",
        "skip_out_channels",
        "kernel_size",
        "dropout",
        "cin_channels",
        "gin_channels",
        "n_speakers",
        "weight_normalization",
        "upsample_conditional_features",
        "upsample_scales",
        "freq_axis_kernel_size",
        "legacy",
    }
    scalar = settings["input_type"] != "mulaw-quantize"
    net = published.WaveNet(**{n: settings[n] for n in names}, scalar_input=scalar)
    with torch.no_grad():
        for name, value in net.named_parameters():
            if name.endswith("bias"):
                value.normal_(0, 0.1)
            elif name.endswith("weight_g"):
                value.mul_(torch.empty_like(value).uniform_(0.7, 1.3))
    return net.eval()


def save(net, settings: dict, folder):
    """Write a checkpoint and its hyper-parameters as wavenet_vocoder does."""
    checkpoint, hparams = folder / "net.pth", folder / "net.json"
    state = {"state_dict": net.state_dict(), "optimizer": None, "global_step": 3}
    torch.save(state, checkpoint)
    hparams.write_text(json.dumps(settings))
    return checkpoint, hparams


def inputs_of(settings: dict, batch: int, frames: int):
    """Return features, samples (or levels), what the net is given, and speakers."""
    draws = np.random.default_rng(5)
    samples = frames * 256
    features = speakers = None
    if settings["cin_channels"] > 0:
        features = draws.random((batch, frames, 80)).astype(np.float32)
    if settings["gin_channels"] > 0:
        speakers = draws.integers(0, settings["n_speakers"], batch)
    levels = settings["out_channels"]
    if settings["input_type"] == "mulaw-quantize":
        spoken = draws.integers(0, levels, (batch, samples))
        before = np.concatenate([np.full((batch, 1), (levels - 1) // 2), spoken[:, :-1]], axis=1)
        given = np.eye(levels, dtype=np.float32)[before]
    else:
        spoken = draws.uniform(-1, 1, (batch, samples)).astype(np.float32)
        given = np.concatenate([np.zeros((batch, 1), np.float32), spoken[:, :-1]], axis=1)[
            ..., None
        ]
    return features, spoken, given, speakers


def published_outputs(net, given, features, speakers) -> np.ndarray:
    """Return the published parallel outputs [shape=(batch, samples, channels)]."""
    with torch.no_grad():
        x = torch.from_numpy(np.ascontiguousarray(given.swapaxes(1, 2)))
        c = None if features is None else torch.from_numpy(features.swapaxes(1, 2).copy())
        g = None if speakers is None else torch.from_numpy(speakers[:, None])
        return net(x, c=c, g=g).numpy().swapaxes(1, 2)


def compare(settings: dict, batch: int, frames: int, tmp_path) -> None:
    """Convert a random network and compare both our ways with the published outputs."""
    net = build(settings)
    checkpoint, _ = save(net, settings, tmp_path)
    config = config_of(settings)
    model = to_keras(read_checkpoint(checkpoint), config)
    features, spoken, given, speakers = inputs_of(settings, batch, frames)
    wanted = published_outputs(net, given, features, speakers)
    assert wanted.std() > 0.05  # a net that says the same of everything would prove nothing
    inputs = {"samples": given}
    if features is not None:
        inputs["features"] = features
    if speakers is not None:
        inputs["speaker"] = speakers[:, None]
    parallel = keras.ops.convert_to_numpy(model(inputs, training=False))
    np.testing.assert_allclose(parallel, wanted, atol=1e-4)
    forced = Forced(spoken)
    seeds = np.arange(2 * batch, dtype=np.uint32).reshape(batch, 2)
    Generator(model, config).generate(
        features,
        seeds,
        samples=0 if features is not None else spoken.shape[1],
        speakers=speakers,
        forced=forced,
    )
    np.testing.assert_allclose(forced.parameters, wanted, atol=1e-4)


OUTPUTS = {
    "logistics": {},
    "gaussian": {"out_channels": 2},
    "softmax": {"input_type": "mulaw-quantize", "out_channels": 256},
}


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("conditioned", [True, False])
@pytest.mark.parametrize("legacy", [True, False])
def test_outputs_are_the_published_ones(legacy, conditioned, output, batch, tmp_path):
    settings = {**SMALL, **OUTPUTS[output], "legacy": legacy}
    if not conditioned:
        settings |= {"cin_channels": -1, "upsample_conditional_features": False}
    compare(settings, batch, 2, tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"gin_channels": 5},
        {"weight_normalization": False},
        {"kernel_size": 2},
        {"stacks": 1, "upsample_scales": [16, 16]},
    ],
    ids=lambda change: "-".join(change),
)
def test_variants_are_the_published_ones(change, tmp_path):
    compare({**SMALL, **change}, 2, 2, tmp_path)


@pytest.mark.slow
def test_published_configuration(tmp_path):
    compare(LJSPEECH, 1, 3, tmp_path)


def test_converted_bundle_carries_config_and_features(tmp_path):
    checkpoint, hparams = save(build(SMALL), SMALL, tmp_path)
    convert_wavenet(checkpoint, hparams, tmp_path / "out")
    bundle = load_bundle(tmp_path / "out")
    assert bundle.names() == ["wavenet"]
    assert bundle.component("wavenet").about["config"]["skip_channels"] == 12
    assert bundle.spec.hop_length == 256
    assert math.isclose(
        bundle.component("wavenet").about["config"]["log_scale_floor"], math.log(1e-14)
    )


class TestRefusals:
    def convert(self, tmp_path, settings=SMALL, change=None, net=None):
        net = net or build(SMALL)
        checkpoint, hparams = save(net, settings, tmp_path)
        if change:
            change(checkpoint, hparams)
        return convert_wavenet(checkpoint, hparams, tmp_path / "out")

    def test_other_size_names_the_first_tensor(self, tmp_path):
        with pytest.raises(
            ModelError, match=r"first_conv\.weight has the shape \(16, 1, 1\).*\(20"
        ):
            self.convert(tmp_path, {**SMALL, "residual_channels": 20})
        assert not (tmp_path / "out" / "wavenet").exists()

    def test_more_layers_than_weights(self, tmp_path):
        with pytest.raises(ModelError, match=r"no tensor conv_layers\.6\.conv\.weight"):
            self.convert(tmp_path, {**SMALL, "layers": 8})

    def test_fewer_layers_than_weights(self, tmp_path):
        with pytest.raises(ModelError, match=r"has a tensor conv_layers\.4\.conv\.bias"):
            self.convert(tmp_path, {**SMALL, "layers": 4})

    def test_missing_file(self, tmp_path):
        with pytest.raises(ModelError, match="there is no checkpoint"):
            self.convert(tmp_path, change=lambda checkpoint, _: checkpoint.unlink())

    def test_truncated_file(self, tmp_path):
        def cut(checkpoint, _):
            checkpoint.write_bytes(checkpoint.read_bytes()[:5000])

        with pytest.raises(ModelError, match="is damaged or no torch file"):
            self.convert(tmp_path, change=cut)

    def test_pickled_code_is_not_run(self, tmp_path):
        class Evil:
            def __reduce__(self):
                return (open, (str(tmp_path / "touched"), "w"))

        def replace(checkpoint, _):
            torch.save({"state_dict": {}, "evil": Evil()}, checkpoint)

        with pytest.raises(ModelError, match="holds more than weights"):
            self.convert(tmp_path, change=replace)
        assert not (tmp_path / "touched").exists()

    def test_later_line_by_hyper_parameters(self, tmp_path):
        with pytest.raises(ModelError, match="later line"):
            self.convert(tmp_path, {**SMALL, "output_distribution": "Logistic"})

    def test_later_line_by_tensors(self, tmp_path):
        def rename(checkpoint, _):
            state = build(SMALL).state_dict()
            state["upsample_net.conv_in.weight"] = torch.zeros(3)
            torch.save({"state_dict": state}, checkpoint)

        with pytest.raises(ModelError, match="later line"):
            self.convert(tmp_path, change=rename)

    def test_no_weights_in_it(self, tmp_path):
        with pytest.raises(ModelError, match="has no weights"):
            self.convert(tmp_path, change=lambda c, _: torch.save({"global_step": 3}, c))

    def test_hyper_parameters_left_out(self, tmp_path):
        settings = {k: v for k, v in SMALL.items() if k != "stacks"}
        with pytest.raises(ParameterError, match="have no stacks"):
            self.convert(tmp_path, settings)

    def test_hyper_parameters_that_are_no_json(self, tmp_path):
        with pytest.raises(ParameterError, match="cannot read the hyper-parameters"):
            self.convert(tmp_path, change=lambda _, hparams: hparams.write_text("{"))

    def test_bundle_of_other_features(self, tmp_path):
        self.convert(tmp_path)
        with pytest.raises(SpecError, match="sample_rate"):
            self.convert(tmp_path, {**SMALL, "sample_rate": 16000, "fmax": 7600})
