"""The WaveNet of frames: its network, source and sounds. No trained weights are needed."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_listen.data.readers import soundfile_reader
from keras_listen.errors import BundleError, ParameterError
from keras_listen.features import (
    FeatureSpec,
    count_samples,
    denormalize_magnitude,
    extract,
    frame_padded,
    window,
)
from keras_listen.models.bundle import create_bundle, load_bundle
from keras_listen.vocoders.griffin_lim import GriffinLim, project, project_with_bands
from keras_listen.vocoders.pitch import PitchControl
from keras_listen.vocoders.synthesis import mel_distance
from keras_listen.vocoders.wavenet import frames, wavenet
from keras_listen.vocoders.wavenet.frames import FramesVocoder
from keras_listen.vocoders.wavenet.network import ResidualLayer
from keras_listen.vocoders.wavenet.source import spectrum_of
from keras_listen.vocoders.wavenet.spectrum import (
    LOWEST_DB,
    SpectrumConfig,
    build_spectrum,
    from_scale,
    to_scale,
)

SPEC = FeatureSpec()
SMALL = SpectrumConfig(
    layers=4,
    stacks=2,
    residual_channels=8,
    gate_channels=8,
    skip_channels=8,
    side_channels=4,
    maps=2,
    detail_layers=1,
    detail_channels=2,
)
SEEDS = np.array([[0, 1], [0, 2], [0, 3]], np.uint32)


def random_net(config: SpectrumConfig, size: float = 0.1) -> keras.Model:
    """Build a network whose every weight is random, the last ones too."""
    keras.utils.set_random_seed(1)
    model = build_spectrum(config)
    draws = np.random.default_rng(3)
    for variable in model.trainable_variables:
        variable.assign(variable + draws.normal(0, size, variable.shape))
    return model


def inputs_of(config: SpectrumConfig, count: int) -> dict[str, np.ndarray]:
    draws = np.random.default_rng(0)
    sizes = {"features": config.bands, "source": config.bins, "comb": config.bins}
    return {k: draws.random((1, count, n)).astype(np.float32) for k, n in sizes.items()}


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    """Features of a second of harmonics of a falling pitch, after some silence."""
    hertz = np.linspace(160, 120, 18000)
    phase = 2 * np.pi * np.cumsum(hertz) / SPEC.sample_rate
    sound = sum(np.sin(k * phase) / k for k in range(1, 40))
    return extract(np.pad(sound, (4000, 272)), SPEC)


def convergence(features: np.ndarray, sound: np.ndarray) -> float:
    """Return the distance between mel magnitudes of features and of a sound, relative to them."""
    again = extract(sound, dataclasses.replace(SPEC, peak=0.0))
    wanted, found = (denormalize_magnitude(f[: len(again)], SPEC) for f in (features, again))
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def periodicity(sound: np.ndarray, hertz: float) -> float:
    """Return the largest correlation of a sound with itself, a period of nearly `hertz` later."""
    lags = range(round(SPEC.sample_rate / hertz / 1.06), round(SPEC.sample_rate / hertz * 1.06))
    return max(float(np.corrcoef(sound[:-lag], sound[lag:])[0, 1]) for lag in lags)


class TestNetwork:
    def test_before_training_the_output_is_the_source(self):
        inputs = inputs_of(SMALL, 7)
        found = keras.ops.convert_to_numpy(build_spectrum(SMALL)(inputs))
        assert np.array_equal(found, inputs["source"])

    def test_a_layer_that_is_not_causal_is_a_dilated_convolution_of_the_same_length(self):
        layer = ResidualLayer(4, 6, 5, kernel_size=3, dilation=2, causal=False)
        x = np.random.default_rng(0).normal(size=(2, 11, 4)).astype(np.float32)
        signal, skip = (keras.ops.convert_to_numpy(y) for y in layer(x))
        conv = keras.layers.Conv1D(6, 3, dilation_rate=2, padding="same")
        conv.build(x.shape)
        kernel = keras.ops.convert_to_numpy(layer.kernel).reshape(3, 4, 6)
        conv.set_weights([kernel, np.zeros(6, np.float32)])
        gates = keras.ops.convert_to_numpy(conv(x))
        gated = np.tanh(gates[..., :3]) / (1 + np.exp(-gates[..., 3:]))
        both = gated @ keras.ops.convert_to_numpy(layer.out_kernel)
        np.testing.assert_allclose(signal, (x + both[..., :4]) * np.sqrt(0.5), atol=1e-5)
        np.testing.assert_allclose(skip, both[..., 4:], atol=1e-5)

    def test_a_frame_depends_on_those_within_reach_alone(self):
        model, inputs = random_net(SMALL, 0.3), inputs_of(SMALL, 41)
        before = keras.ops.convert_to_numpy(model(inputs))
        changed = {name: array.copy() for name, array in inputs.items()}
        for array in changed.values():
            array[:, 20] += 1
        apart = np.abs(keras.ops.convert_to_numpy(model(changed)) - before).max(axis=(0, 2))
        assert SMALL.reach == 8
        assert np.array_equal(np.flatnonzero(apart), np.arange(20 - 8, 20 + 9))

    def test_the_scale_is_decibel_by_forty(self):
        np.testing.assert_allclose(to_scale(np.array([1, 10, 1e-9])), [0, 0.5, LOWEST_DB / 40])
        magnitude = np.geomspace(1e-4, 100, 30)
        np.testing.assert_allclose(from_scale(to_scale(magnitude)), magnitude, rtol=1e-5)

    def test_settings_survive_a_file(self):
        assert SpectrumConfig.from_dict(SMALL.to_dict()) == SMALL

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"layers": 0}, "layers is 0; expected at least 1"),
            ({"layers": 5}, "5 layers cannot be divided into 2 equal stacks"),
            ({"gate_channels": 7}, "gate_channels is 7; expected an even number"),
            ({"kernel_size": 2}, "kernels are of odd sizes"),
            ({"detail_kernel": [3, 4]}, "kernels are of odd sizes"),
            ({"bins": "many"}, "bins is 'many'; expected at least 1"),
            ({"layer": 5}, "did you mean 'layers'"),
            ({"context_layers": 1}, "of a WaveNet of samples.* --predict samples"),
        ],
    )
    def test_impossible_settings_are_named(self, changes, message):
        with pytest.raises(ParameterError, match=message):
            SpectrumConfig.from_dict(SMALL.to_dict() | changes)


class TestSound:
    def test_an_untrained_net_speaks_with_its_source_alone(self, voice):
        vocoder = FramesVocoder(SPEC, build_spectrum(SMALL), SMALL)
        sound = vocoder.synthesize(voice[None], SEEDS[:1])[0]
        source = vocoder._source(voice, SEEDS[0])
        np.testing.assert_allclose(
            vocoder._magnitudes(*source), np.maximum(np.abs(source[2]), 1e-4), rtol=1e-4, atol=1e-4
        )
        assert len(sound) == count_samples(len(voice), SPEC)
        found = np.abs(spectrum_of(frame_padded(sound, SPEC), SPEC))
        wanted = np.abs(source[2])
        assert np.linalg.norm(found - wanted) < 0.3 * np.linalg.norm(wanted)

    def test_it_is_nearer_to_features_of_speech_than_griffin_lim(self, real_speech):
        files = [sorted((real_speech / word).glob("*.flac"))[0] for word in ("no", "stop", "yes")]
        vocoder = FramesVocoder(SPEC, build_spectrum(SMALL), SMALL)
        other = GriffinLim(SPEC, start="gradient", pitch="estimated")
        for _, sound in soundfile_reader(None)(files, SPEC.sample_rate):
            features = extract(sound, SPEC)
            near, far = (
                convergence(features, each.synthesize(features[None], SEEDS[:1])[0])
                for each in (vocoder, other)
            )
            assert near < 0.6 * far

    def test_a_sound_does_not_depend_on_its_batch_but_on_its_seed(self, voice):
        vocoder = FramesVocoder(SPEC, random_net(SMALL), SMALL)
        batch = np.stack([voice, voice[::-1], voice])
        whole = vocoder.synthesize(batch, SEEDS)
        assert np.array_equal(whole, vocoder.synthesize(batch, SEEDS))
        for place in range(3):
            part = slice(place, place + 1)
            assert np.array_equal(vocoder.synthesize(batch[part], SEEDS[part]), whole[part])
        assert not np.array_equal(whole[0], whole[2])

    @pytest.mark.parametrize("count", [4, 5, 90, 200])
    def test_any_number_of_frames_is_spoken(self, voice, count):
        vocoder = FramesVocoder(SPEC, random_net(SMALL), SMALL)
        features = np.resize(voice, (1, count, 80))
        sound = vocoder.synthesize(features, SEEDS[:1])
        assert sound.shape == (1, count_samples(count, SPEC))
        assert sound.dtype == np.float32
        assert np.isfinite(sound).all()

    def test_silence_is_silent(self):
        vocoder = FramesVocoder(SPEC, build_spectrum(SMALL), SMALL)
        sound = vocoder.synthesize(np.zeros((1, 30, 80), np.float32), SEEDS[:1])
        assert np.abs(sound).max() < 5e-3  # features of 0 are magnitudes of at most -80 dB

    def test_blocks_of_frames_give_what_all_at_once_give(self, voice, monkeypatch):
        vocoder = FramesVocoder(SPEC, random_net(SMALL), SMALL)
        source = vocoder._source(voice, SEEDS[0])
        whole = vocoder._magnitudes(*source)
        monkeypatch.setattr(frames, "_BLOCK", 13)
        np.testing.assert_allclose(vocoder._magnitudes(*source), whole, rtol=1e-3)

    def test_its_sound_has_the_pitch_that_is_asked_for(self):
        whisper = np.tile(np.linspace(0.7, 0.4, 80, dtype=np.float32), (60, 1))
        found = {}
        for pitch in ("none", "estimated", "invented", "auto"):
            control = PitchControl(SPEC, pitch)
            vocoder = FramesVocoder(SPEC, build_spectrum(SMALL), SMALL, control)
            sound = vocoder.synthesize(whisper[None], SEEDS[:1])[0]
            found[pitch] = periodicity(sound[4000:8000], 116)  # 120 Hz falls to that until here
        assert max(found["none"], found["estimated"]) < 0.3
        assert min(found["invented"], found["auto"]) > 0.6

    def test_frames_that_hardly_overlap_are_refused(self):
        spec = dataclasses.replace(SPEC, hop_length=600)
        with pytest.raises(ParameterError, match="hop_length is 600; a WaveNet of frames needs"):
            FramesVocoder(spec, build_spectrum(SMALL), SMALL)


class TestProjections:
    def test_the_first_ones_hold_magnitudes(self, voice):
        draws = np.random.default_rng(0)
        magnitude = draws.random((len(voice), 513))
        phase = draws.uniform(-3, 3, magnitude.shape)
        held = project_with_bands(magnitude, phase, voice, SPEC, 2)
        assert np.array_equal(held, project(magnitude, phase, SPEC, 2))

    @pytest.mark.parametrize("power", [1.0, 2.0])
    def test_bands_get_nearer_with_each(self, voice, power):
        spec = dataclasses.replace(SPEC, power=power, peak=0.0)
        time = np.arange(20000) / SPEC.sample_rate
        features = extract(0.3 * np.sin(2 * np.pi * 700 * time) + 1e-3, spec)
        draws = np.random.default_rng(0)
        magnitude = np.full((len(features), 513), 0.1)
        phase = draws.uniform(-3, 3, magnitude.shape)
        apart = []
        for count in (2, 8, 32):
            padded = project_with_bands(magnitude, phase, features, spec, count)
            sound = padded[768 : 768 + count_samples(len(features), spec)]
            apart.append(mel_distance(features, sound, spec))
        assert apart[0] > 2 * apart[1] > 2 * apart[2]

    def test_the_transform_is_that_of_the_features(self, voice):
        sound = np.random.default_rng(0).normal(size=4000).astype(np.float32)

        padded = frame_padded(sound, SPEC)
        found = spectrum_of(padded, SPEC)
        wanted = np.fft.rfft(padded[256:1280] * window(SPEC))
        np.testing.assert_allclose(found[1], wanted, atol=1e-4)


class TestComponent:
    def test_a_bundle_says_which_kind_speaks(self, tmp_path, voice):
        bundle = create_bundle(tmp_path / "b", (), SPEC)
        about = {"kind": "wavenet-frames", "config": SMALL.to_dict()}
        bundle.add("wavenet", {"model": random_net(SMALL)}, about=about)
        opened = wavenet(load_bundle(tmp_path / "b"), pitch="auto", expand=1.3)
        assert isinstance(opened, FramesVocoder)
        assert opened.files.keys() == {"model.keras"}
        assert opened.control.settings() == {"pitch": "auto", "expand": 1.3}
        direct = FramesVocoder(SPEC, random_net(SMALL), SMALL, PitchControl(SPEC, "auto", 1.3))
        sounds = [each.synthesize(voice[None], SEEDS[:1]) for each in (opened, direct)]
        np.testing.assert_allclose(*sounds, atol=1e-4)

    def test_an_unknown_kind_is_named(self):
        part = SimpleNamespace(about={"kind": "wavenet-flows"}, spec=SPEC, root="b/wavenet")
        bundle = SimpleNamespace(names=lambda: ["wavenet"], component=lambda name: part)
        with pytest.raises(BundleError, match=r"b/wavenet is of the kind 'wavenet-flows'"):
            wavenet(bundle)
