"""The WaveNet: model, distributions, generation. No trained weights are needed for any of it."""

from __future__ import annotations

import dataclasses
import math

import keras
import numpy as np
import pytest
import scipy.signal
import scipy.stats

from keras_listen.errors import ParameterError
from keras_listen.features import FeatureSpec, count_samples, extract, frame_padded
from keras_listen.seeds import generator
from keras_listen.vocoders.wavenet.generator import Forced, Generator
from keras_listen.vocoders.wavenet.network import SKIP_SCALINGS, WaveNetConfig, build_wavenet
from keras_listen.vocoders.wavenet.outputs import (
    Gaussian,
    Logistics,
    Softmax,
    compand,
    expand,
    from_levels,
    make_output,
    to_levels,
)
from keras_listen.vocoders.wavenet.signal import Margins, from_net, margins, to_net
from keras_listen.vocoders.wavenet.vocoder import WaveNetVocoder

SMALL = WaveNetConfig(
    layers=6,
    stacks=2,
    kernel_size=3,
    residual_channels=12,
    gate_channels=16,
    skip_channels=10,
    conditioning_channels=8,
    upsample_scales=(4, 2),
    log_scale_floor=-7.0,
)
OUTPUTS = {
    "logistics": {"output": "logistics", "out_channels": 30},
    "gaussian": {"output": "gaussian", "out_channels": 2},
    "softmax": {"output": "softmax", "out_channels": 16},
}


def random_net(config: WaveNetConfig) -> keras.Model:
    """Build a network whose biases are random, too."""
    keras.utils.set_random_seed(1)
    model = build_wavenet(config)
    draws = np.random.default_rng(3)
    for variable in model.trainable_variables:
        variable.assign(variable + draws.normal(0, 0.3, variable.shape))
    return model


def seeds_of(batch: int) -> np.ndarray:
    return np.arange(2 * batch, dtype=np.uint32).reshape(batch, 2)


class Case:
    """A random network with random inputs for it."""

    def __init__(self, batch: int, frames: int = 4, **changes):
        self.config = dataclasses.replace(SMALL, **changes)
        self.model = random_net(self.config)
        draws, config = np.random.default_rng(0), self.config
        shape = (batch, frames * config.hop_length)
        self.features = self.speakers = None
        if config.conditioning_channels:
            self.features = draws.random((batch, frames, 8)).astype(np.float32)
        if config.speakers:
            self.speakers = draws.integers(0, config.speakers, batch)
        if config.output == "softmax":
            self.spoken = draws.integers(0, config.out_channels, shape)
        else:
            self.spoken = draws.uniform(-1, 1, shape).astype(np.float32)

    def parallel(self) -> np.ndarray:
        """Return what the Keras model says, given all samples at once."""
        config, margin = self.config, self.config.context_layers
        silent = (config.out_channels - 1) // 2 if config.output == "softmax" else 0
        before = np.insert(self.spoken, 0, silent, axis=1)[:, :-1]
        inputs = {"samples": before[..., None].astype(np.float32)}
        if config.output == "softmax":
            inputs["samples"] = np.eye(config.out_channels, dtype=np.float32)[before]
        if self.features is not None:
            inputs["features"] = np.pad(self.features, ((0, 0), (margin, margin), (0, 0)))
        if self.speakers is not None:
            inputs["speaker"] = self.speakers[:, None]
        return keras.ops.convert_to_numpy(self.model(inputs, training=False))

    def generate(self, rows: int = 0, forced: bool = False, chosen: slice = slice(None)):
        """Generate; return the samples, or with `forced` the parameters too."""
        teacher = Forced(self.spoken[chosen]) if forced else None
        samples = Generator(self.model, self.config, rows).generate(
            None if self.features is None else self.features[chosen],
            seeds_of(len(self.spoken))[chosen],
            samples=0 if self.features is not None else self.spoken.shape[1],
            speakers=None if self.speakers is None else self.speakers[chosen],
            forced=teacher,
        )
        return (samples, teacher.parameters) if forced else samples


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("conditioned", [True, False])
@pytest.mark.parametrize("scaling", SKIP_SCALINGS)
def test_generation_agrees_with_the_parallel_network(scaling, conditioned, output, batch):
    changes = {"skip_scaling": scaling, **OUTPUTS[output]}
    if not conditioned:
        changes["conditioning_channels"] = 0
    case = Case(batch, **changes)
    wanted = case.parallel()
    assert wanted.std() > 0.1
    _, parameters = case.generate(forced=True)
    np.testing.assert_allclose(parameters, wanted, atol=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"upsampling": "repeat", "upsample_scales": (8,), "context_layers": 2},
        {"context_layers": 1, "context_channels": 9},
        {"speakers": 4, "speaker_channels": 3},
        {"kernel_size": 2, "stacks": 1},
        {"kernel_size": 1},
        {"freq_axis_kernel_size": 1},
    ],
    ids=lambda changes: "-".join(changes),
)
@pytest.mark.parametrize("frames", [1, 37])
def test_variants_agree_with_the_parallel_network(changes, frames):
    case = Case(2, frames, **changes)
    _, parameters = case.generate(forced=True)
    np.testing.assert_allclose(parameters, case.parallel(), atol=1e-4)


@pytest.mark.parametrize("output", OUTPUTS)
def test_samples_are_drawn_as_the_reference_draws_them(output):
    case = Case(3, 8, **OUTPUTS[output])
    samples, parameters = case.generate(forced=True)
    distribution = make_output(case.config)
    length = parameters.shape[1]
    uniforms = [generator(seed).random((length, distribution.draws)) for seed in seeds_of(3)]
    wanted = distribution.sample(parameters.astype(np.float64), np.stack(uniforms))
    np.testing.assert_allclose(samples, wanted, atol=1e-5)
    assert samples.std() > 0.05


class TestSameness:
    def test_a_batch_equals_its_singles_under_teacher_forcing(self):
        case = Case(5)
        _, together = case.generate(forced=True)
        for i in range(5):
            _, alone = case.generate(rows=1, forced=True, chosen=slice(i, i + 1))
            np.testing.assert_allclose(alone[0], together[i], atol=1e-4)

    @pytest.mark.parametrize("rows", [4, 16])
    def test_a_sound_has_the_same_bytes_wherever_it_stands(self, rows):
        case = Case(21, kernel_size=2)
        together = case.generate(rows)
        for chosen in (slice(0, 1), slice(7, 9), slice(20, 21)):
            assert case.generate(rows, chosen=chosen).tobytes() == together[chosen].tobytes()

    def test_no_state_is_left_from_an_earlier_call(self):
        case = Case(2)
        network = Generator(case.model, case.config)
        first = network.generate(case.features, seeds_of(2))
        network.generate(1 - case.features, seeds_of(2) + 9)
        assert network.generate(case.features, seeds_of(2)).tobytes() == first.tobytes()

    def test_other_seeds_give_other_sounds(self):
        case = Case(2)
        network = Generator(case.model, case.config)
        first = network.generate(case.features, seeds_of(2))
        assert np.abs(network.generate(case.features, seeds_of(2) + 1) - first).max() > 0.1

    def test_what_is_appended_changes_nothing_before_it(self):
        case = Case(1, 6, context_layers=2)
        network = Generator(case.model, case.config)
        longer = np.pad(case.features, ((0, 0), (0, 3), (0, 0)))
        short = network.generate(case.features, seeds_of(1))
        assert np.array_equal(network.generate(longer, seeds_of(1))[:, : 6 * 8], short)


class TestReach:
    @pytest.mark.parametrize(
        ("layers", "stacks", "kernel_size", "field"),
        [(24, 4, 3, 505), (30, 3, 3, 6139), (24, 4, 2, 253)],
    )
    def test_receptive_field(self, layers, stacks, kernel_size, field):
        config = WaveNetConfig(layers=layers, stacks=stacks, kernel_size=kernel_size)
        assert config.receptive_field == field

    @pytest.mark.parametrize("kernel_size", [2, 3])
    def test_a_sample_reaches_what_follows_and_no_further_than_the_field(self, kernel_size):
        case, at = Case(1, 8, kernel_size=kernel_size), 10
        ways = (case.parallel, lambda: case.generate(forced=True)[1])
        before = [way()[0] for way in ways]
        case.spoken[0, at] += 0.5
        for way, was in zip(ways, before, strict=True):
            reached = np.flatnonzero((way()[0] != was).any(axis=1))
            # The net sees the sound one sample late.
            assert reached[0] == at + 1
            assert reached[-1] == at + case.config.receptive_field

    def test_features_reach_no_earlier_frame(self):
        case = Case(1, 8)
        before = case.parallel()[0]
        case.features[0, 5] += 0.5
        changed = np.abs(case.parallel()[0] - before).max(axis=1) > 0
        assert np.flatnonzero(changed)[0] == 5 * case.config.hop_length


class TestDistributions:
    def test_gaussian_loss_is_the_density(self):
        parameters = np.array([[[0.1, -2.0], [0.3, -50.0]]], np.float32)
        loss = Gaussian(-7.0).loss(parameters, np.array([[0.2, 0.3]], np.float32))
        wanted = -scipy.stats.norm.logpdf([0.2, 0.3], [0.1, 0.3], np.exp([-2.0, -7.0]))
        np.testing.assert_allclose(keras.ops.convert_to_numpy(loss)[0], wanted, rtol=1e-4)

    def test_logistics_loss_is_the_probability_of_a_level(self):
        parameters = np.array([[[0.0, 1.0, 0.1, -0.4, -3.0, -5.0]]], np.float32)
        width, y = 1 / 65535, 0.12
        weights = np.exp([0.0, 1.0]) / np.exp([0.0, 1.0]).sum()
        cdf = [
            scipy.stats.logistic.cdf(y + side, [0.1, -0.4], np.exp([-3.0, -5.0]))
            for side in (-width, width)
        ]
        wanted = -np.log((weights * (cdf[1] - cdf[0])).sum())
        loss = Logistics(6, -7.0).loss(parameters, np.array([[y]], np.float32))
        assert float(loss[0, 0]) == pytest.approx(wanted, rel=1e-3)

    @pytest.mark.parametrize(("y", "side"), [(1.0, "sf"), (-1.0, "cdf")])
    def test_logistics_loss_at_the_ends_takes_the_whole_tail(self, y, side):
        parameters = np.array([[[0.0, 0.9 * y, -3.0]]], np.float32)
        edge = y - math.copysign(1 / 65535, y)
        wanted = -np.log(getattr(scipy.stats.logistic, side)(edge, 0.9 * y, np.exp(-3.0)))
        loss = Logistics(3, -7.0).loss(parameters, np.array([[y]], np.float32))
        assert float(loss[0, 0]) == pytest.approx(wanted, rel=1e-3)

    def test_softmax_loss_is_the_cross_entropy(self):
        logits = np.array([[[1.0, 2.0, 0.5]]], np.float32)
        loss = Softmax(3).loss(logits, np.array([[1]]))
        assert float(loss[0, 0]) == pytest.approx(-np.log(np.exp(2) / np.exp(logits).sum()))

    @pytest.mark.parametrize(
        ("distribution", "parameters", "mean", "deviation"),
        [
            (Gaussian(-7.0), [0.1, -2.0], 0.1, math.exp(-2)),
            # The standard deviation of a logistic is its scale times pi / sqrt(3).
            (Logistics(3, -7.0), [0.0, 0.1, -3.5], 0.1, math.exp(-3.5) * math.pi / math.sqrt(3)),
            (Logistics(6, -7.0), [0.0, 9.0, -0.5, 0.2, -7.0, -7.0], 0.2, None),
        ],
    )
    def test_draws_have_mean_and_deviation(self, distribution, parameters, mean, deviation):
        uniforms = np.random.default_rng(0).random((20000, distribution.draws))
        drawn = distribution.sample(np.tile(parameters, (20000, 1)), uniforms)
        assert drawn.mean() == pytest.approx(mean, abs=0.005)
        if deviation:
            assert drawn.std() == pytest.approx(deviation, rel=0.03)

    def test_levels_are_drawn_as_often_as_they_are_likely(self):
        logits = np.log([0.1, 0.6, 0.3])
        uniforms = np.random.default_rng(0).random((20000, 1))
        drawn = Softmax(3).sample(np.tile(logits, (20000, 1)), uniforms)
        shares = np.bincount(drawn, minlength=3) / 20000
        np.testing.assert_allclose(shares, [0.1, 0.6, 0.3], atol=0.015)

    def test_companding_is_undone_and_levels_are_close(self):
        y = np.linspace(-1, 1, 1001)
        np.testing.assert_allclose(expand(compand(y, 256), 256), y, atol=1e-12)
        assert to_levels(np.zeros(1), 256) == 127
        assert np.abs(from_levels(to_levels(y, 256), 256) - y).max() < 0.05


@pytest.mark.parametrize("changes", [{}, {"mulaw": True}, {"preemphasis": 0.85}])
def test_what_the_net_speaks_is_turned_back_into_the_sound(changes):
    config = dataclasses.replace(SMALL, **changes)
    draws = np.random.default_rng(0)
    y = draws.uniform(-1, 1, (2, 500)).astype(np.float32)
    features = np.zeros((2, 2, 80), np.float32)
    assert margins(config, FeatureSpec()) == Margins(0, 0, 0)
    spoken = to_net(config, y, features, FeatureSpec(), draws)
    assert np.abs(spoken).max() <= 1
    np.testing.assert_allclose(from_net(config, spoken, features, FeatureSpec()), y, atol=1e-5)


def test_excitation_is_turned_back_into_the_sound():
    spec = FeatureSpec(peak=0.0)
    config = dataclasses.replace(
        SMALL, conditioning_channels=80, linear_prediction=16, pitch_prediction=0.5
    )
    draws = np.random.default_rng(0)
    noise = 0.1 * draws.standard_normal(60 * 256)
    noise = scipy.signal.lfilter(
        scipy.signal.firwin(1023, [150, 7000], fs=22050, pass_zero=False), 1, noise
    )
    features = extract(noise, spec)
    padded = frame_padded(noise, spec)[: len(features) * 256].astype(np.float32)
    around = margins(config, spec)
    assert around == Margins(before=4, after=2, features=3)
    spoken = to_net(
        config,
        np.pad(padded, (around.before * 256, around.after * 256))[None],
        np.pad(features, ((around.features + around.before, around.after), (0, 0)))[None],
        spec,
        draws,
    )
    assert spoken.shape == (1, len(padded))
    # In its steady part the excitation has a variance of 1; the net speaks an eighth of it.
    assert spoken[0, 4096:-4096].std() == pytest.approx(1 / 8, rel=0.2)
    back = from_net(config, spoken, features[None], spec)[0]
    # The filter for rumble and hiss turns phases at its edges only; what stays is the sound.
    inner = scipy.signal.butter(6, (800, 4000), "bandpass", fs=22050, output="sos")
    a, b = (scipy.signal.sosfiltfilt(inner, y)[4096:-4096] for y in (back, padded))
    best = max(np.corrcoef(a[lag:][:4000], b[:4000])[0, 1] for lag in range(8))
    assert best > 0.9


class TestVocoder:
    CONFIG = dataclasses.replace(SMALL, conditioning_channels=80, upsample_scales=(16, 16))

    def test_sound_lines_up_with_the_features(self):
        """A net that repeats the features' mean as its own mean speaks in the right place."""
        vocoder = WaveNetVocoder(FeatureSpec(), random_net(self.CONFIG), self.CONFIG)
        features = np.random.default_rng(0).random((2, 10, 80)).astype(np.float32)
        whole = vocoder.generator.generate(features, seeds_of(2))
        sounds = vocoder.synthesize(features, seeds_of(2))
        assert sounds.shape == (2, count_samples(10, FeatureSpec())) == (2, 7 * 256)
        assert np.array_equal(sounds, whole[:, 768:])

    def test_too_few_frames_are_refused(self):
        vocoder = WaveNetVocoder(FeatureSpec(), random_net(self.CONFIG), self.CONFIG)
        with pytest.raises(ParameterError, match="3 frames are too few"):
            vocoder.synthesize(np.zeros((1, 3, 80), np.float32), seeds_of(1))

    def test_progress_counts_every_sample(self):
        case, done = Case(5, 40), []
        Generator(case.model, case.config, 4).generate(
            case.features, seeds_of(5), report=done.append
        )
        assert sum(done) == 5 * 40 * 8
        assert len(done) > 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output": "logistic"}, "did you mean 'logistics'"),
        ({"skip_scaling": "none"}, "no skip_scaling is called 'none'"),
        ({"stacks": 5}, "6 layers cannot be divided into 5"),
        ({"gate_channels": 15}, "even number"),
        ({"out_channels": 31}, "3 a component"),
        ({"output": "gaussian", "out_channels": 3}, "a Gaussian takes 2"),
        ({"residual_channels": 0}, "residual_channels is 0"),
        ({"pitch_prediction": 1.0}, "pitch_prediction is 1.0; expected 0 up to below 1"),
        ({"linear_prediction": -1}, "linear_prediction is -1; expected at least 0"),
        ({"linear_prediction": 8, "preemphasis": 0.5}, "takes the place of preemphasis"),
        ({"linear_prediction": 8, "conditioning_channels": 0}, "needs conditioning_channels"),
        ({"preemphasis": 1.0}, "preemphasis is 1.0"),
        ({"speakers": 3}, "speaker_channels"),
    ],
)
def test_impossible_configurations_are_refused(changes, message):
    with pytest.raises(ParameterError, match=message):
        dataclasses.replace(SMALL, **changes)


def test_an_unknown_setting_gets_its_nearest_match():
    with pytest.raises(ParameterError, match="did you mean 'stacks'"):
        WaveNetConfig.from_dict({"stack": 2})


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({}, {"features": None}, "needs features"),
        ({}, {"features": np.zeros((1, 4, 9), np.float32)}, "conditioned on 8 bands"),
        ({}, {"features": np.zeros((1, 0, 8), np.float32)}, "needs features"),
        ({"conditioning_channels": 0}, {"features": None}, "give the number of samples"),
        ({"speakers": 2, "speaker_channels": 1}, {}, "knows 2 speakers; give the number"),
        (
            {"speakers": 2, "speaker_channels": 1},
            {"speakers": np.array([2])},
            "knows 0 to 1",
        ),
        ({}, {"speakers": np.array([0])}, "knows 0 speakers; give no number"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(changes, arguments, message):
    config = dataclasses.replace(SMALL, **changes)
    arguments = {"features": np.zeros((1, 4, 8), np.float32), **arguments}
    with pytest.raises(ParameterError, match=message):
        Generator(random_net(config), config).generate(seeds=seeds_of(1), **arguments)
