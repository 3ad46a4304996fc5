"""The kit: every component of ours passes its check, and each broken one fails for what it is."""

from __future__ import annotations

import contextlib
import inspect
import os
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from types import ModuleType, SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_listen import testing
from keras_listen.classifier import Classifier
from keras_listen.errors import ParameterError, PluginError, ReadError, Unavailable
from keras_listen.experiment import resolve
from keras_listen.features import FeatureSpec
from keras_listen.hookspecs import hookimpl
from keras_listen.plugins import default_registry
from keras_listen.readers import soundfile_reader
from keras_listen.seeds import generator, normal
from keras_listen.testing import ContractBroken
from keras_listen.vocoders.griffin_lim import GriffinLim

SPEC = FeatureSpec(frames=24, n_mels=20)
#: Components that take their time.
SLOW = {"wavenet": [pytest.mark.slow]}
WORDS = ("down", "stop", "up", "yes", "no")


def bundle_of(spec: FeatureSpec) -> SimpleNamespace:
    """Return a bundle of a linear classifier."""
    keras.utils.set_random_seed(2)
    inputs = keras.Input(spec.shape)
    flat = keras.layers.Flatten(data_format="channels_last")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(len(WORDS), activation="softmax")(flat))
    return SimpleNamespace(classifier=Classifier(model, WORDS, spec), spec=spec, words=WORDS)


@pytest.fixture(scope="module")
def small() -> SimpleNamespace:
    """A bundle of a linear classifier on 24 x 20 features."""
    return bundle_of(SPEC)


def own(kind: str) -> list:
    """Return our components of a kind, those that cannot work here as skipped."""

    def marks(component) -> list:
        reason = component.why_unavailable()
        return [pytest.mark.skip(reason=reason)] if reason else SLOW.get(component.name, [])

    return [
        pytest.param(each, id=each.name, marks=marks(each))
        for each in default_registry().components
        if each.kind == kind and each.distribution == "keras-listen"
    ]


def broken(check, factory, bundle, **options) -> ContractBroken:
    """Return how `check` blames what `factory` makes."""
    with pytest.raises(ContractBroken) as caught:
        check(factory, bundle, **options)
    error = caught.value
    assert "\n" not in error.contract + error.expected + error.mend
    for part in (error.contract, error.seen, error.expected, error.mend):
        assert part in str(error)
        assert part
    return error


@pytest.mark.parametrize("prior", own("prior"))
def test_our_priors_keep_the_contract(prior):
    made = testing.check_prior(prior)
    assert made.spec == testing.material.embedded_bundle().spec


@pytest.mark.parametrize("name", ["ae", "vae"])
def test_our_pull_keeps_the_contract_of_moves(name):
    assert np.any(testing.check_prior(name, pull=0.05).move(np.ones((1, 256)), step=0, seeds=0))


@tf.custom_gradient
def mixing(x):
    """Return x, with a gradient that mixes the samples of a block."""
    return x, lambda upstream: upstream + tf.reduce_mean(upstream, axis=0, keepdims=True)


class Wave:
    """A prior that keeps every contract: features as a sigmoid of their latent."""

    bounded, step_size = True, 0.1

    def __init__(self, bundle):
        self.spec = bundle.spec

    def start(self, targets, seeds):
        return normal(seeds, self.spec.shape, 0.1)

    def encode(self, features):
        x = tf.clip_by_value(features, 1e-3, 1 - 1e-3)
        return tf.math.log(x / (1 - x))

    def decode(self, z):
        return tf.sigmoid(z)

    def move(self, z, *, step, seeds):
        seeds = tf.bitcast(seeds, tf.int32) + step
        rows = [tf.random.stateless_normal(z.shape[1:], seed) for seed in tf.unstack(seeds)]
        return 1e-4 * tf.stack(rows)


def test_a_prior_that_keeps_the_contract_passes(small):
    made = testing.check_prior(Wave, small)
    assert isinstance(made, Wave)


def numpy_decode(self, z):
    return np.tanh(z.numpy())


#: What is put in place of a part of the prior, and how it is blamed: contract, seen, mend.
BROKEN_PRIORS = {
    "spec": (
        {"spec": property(lambda self: FeatureSpec(), lambda self, value: None)},
        "spec: the features of the classifier",
        "n_mels, frames",
        "use bundle.spec",
    ),
    "no spec": (
        {"__init__": lambda self, bundle: None},
        "attribute spec",
        "Prior has none",
        "set spec = bundle.spec",
    ),
    "bounded no bool": ({"bounded": "yes"}, "bounded: a bool", "'yes'", "bounded = True"),
    "step of nothing": ({"step_size": 0.0}, "step_size: the default step", "0.0", "such as 0.1"),
    "step the wrong way": (
        {"decode": lambda self, z: tf.sigmoid(tf.stop_gradient(2 * z) - z)},
        "ascent: the value grows",
        "it goes from",
        "smaller or larger step_size",
    ),
    "starts of a list": (
        {"start": lambda self, targets, seeds: [[0.0]] * len(seeds)},
        "start(targets, seeds)",
        "list",
        "np.asarray(z, np.float32)",
    ),
    "starts of doubles": (
        {"start": lambda self, targets, seeds: Wave.start(self, targets, seeds).astype(float)},
        "start(targets, seeds)",
        "dtype float64",
        "np.float32",
    ),
    "one start for all": (
        {"start": lambda self, targets, seeds: Wave.start(self, targets, seeds)[:1]},
        "start(targets, seeds)",
        "shape (1, 24, 20, 1)",
        "one latent for each row of seeds",
    ),
    "seeds ignored": (
        {"start": lambda self, t, seeds: np.zeros((len(seeds), *SPEC.shape), np.float32)},
        "start(targets, seeds): the seed decides",
        "the same z for other seeds",
        "keras_listen.seeds.normal",
    ),
    "no seeds at all": (
        {"start": lambda self, t, seeds: np.random.rand(len(seeds), *SPEC.shape).astype("f4")},
        "start(targets, seeds): the seed decides",
        "values differ",
        "keras_listen.seeds.normal",
    ),
    "one seed for all": (
        {
            "start": lambda self, t, seeds: np.float32(
                generator(seeds[0]).normal(size=(len(seeds), *SPEC.shape))
            )
        },
        "start(targets, seeds): a sample does not depend on its block-mates",
        "values differ",
        "from its own row of seeds",
    ),
    "words needed": (
        {
            "start": lambda self, targets, seeds: (
                Wave.start(self, targets, seeds)
                * np.float32(np.where(targets < 0, np.inf, 1))[:, None, None, None]
            )
        },
        "start(targets, seeds), targets -1",
        "are not finite",
        "divisions by zero",
    ),
    "wrong shape": (
        {"decode": lambda self, z: tf.sigmoid(z)[..., 0]},
        "decode(z)",
        "shape (5, 24, 20)",
        "return features of the shape (batch, 24, 20, 1)",
    ),
    "half precision": (
        {"decode": lambda self, z: tf.cast(tf.sigmoid(z), tf.float16)},
        "decode(z)",
        "dtype float16",
        "tf.cast",
    ),
    "not a number": (
        {"decode": lambda self, z: tf.sigmoid(tf.math.log(z))},
        "decode(z)",
        "are not finite",
        "logarithms",
    ),
    "out of range": (
        {"decode": lambda self, z: 2 * tf.sigmoid(z)},
        "decode(z): bounded as declared",
        "to 2",
        "set bounded = False",
    ),
    "NumPy inside": (
        {"decode": numpy_decode},
        "decode(z): traced by TensorFlow",
        "numpy",
        "TensorFlow operations on tensors only",
    ),
    "mixing": (
        {"decode": lambda self, z: tf.sigmoid(z - tf.reduce_mean(z, axis=0))},
        "decode(z): a sample does not depend on its block-mates",
        "values differ",
        "normalisation over the first axis",
    ),
    "mixing in the gradient": (
        {"decode": lambda self, z: tf.sigmoid(mixing(z))},
        "decode(z): gradients: a sample does not depend on its block-mates",
        "a gradient by another sample",
        "over the first axis",
    ),
    "noise while decoding": (
        {"decode": lambda self, z: tf.sigmoid(z + tf.random.normal(z.shape[1:]))},
        "decode(z): the arguments decide",
        "values differ",
        "noise comes from seeds",
    ),
    "no gradient": (
        {"decode": lambda self, z: tf.stop_gradient(tf.sigmoid(z))},
        "decode(z): gradients",
        "no gradient",
        "tf.stop_gradient",
    ),
    "no slope": (
        {"decode": lambda self, z: tf.clip_by_value(z, 5.0, 6.0) / 6 + 0 * z},
        "decode(z): gradients",
        "the gradient of 5 of 5 samples is 0",
        "leave no slope",
    ),
    "encoding of a wrong shape": (
        {"encode": lambda self, features: features[..., 0]},
        "encode(features)",
        "shape (5, 24, 20)",
        "return a latent of the shape (batch, 24, 20, 1)",
    ),
    "encoding normalised over the batch": (
        {"encode": lambda self, features: Wave.encode(self, features / tf.reduce_max(features))},
        "encode(features): a sample does not depend on its block-mates",
        "values differ",
        "no batch statistics",
    ),
    "encoding upside down": (
        {"encode": lambda self, features: Wave.encode(self, features[:, ::-1])},
        "decode(encode(features)): like the features",
        "another sound",
        "the way back of decode",
    ),
    "no encoding": (
        {"encode": lambda self, features: 1 / 0},
        "encode(features)",
        "ZeroDivisionError",
        "return a latent of the shape",
    ),
    "move of a wrong shape": (
        {"move": lambda self, z, *, step, seeds: z[:, :1]},
        "move(z, *, step, seeds)",
        "shape (5, 1, 20, 1)",
        "in its shape",
    ),
    "move by a number drawn when traced": (
        {"move": lambda self, z, *, step, seeds: 1e-4 * np.random.rand() * z},
        "move(z, *, step, seeds): z, step and seeds decide",
        "values differ",
        "stateless_normal",
    ),
    "move that mixes": (
        {"move": lambda self, z, *, step, seeds: 0.1 * (tf.reduce_mean(z, 0) - z)},
        "move(z, *, step, seeds): a sample does not depend on its block-mates",
        "values differ",
        "over the first axis",
    ),
    "move of other arguments": (
        {"move": lambda self, z, *, number: z},
        "move(z, *, step, seeds): traced by TensorFlow",
        "unexpected keyword argument 'step'",
        "the arguments of the contract",
    ),
    "rewritten as something else": (
        {"rewritten": SimpleNamespace(decode=lambda z: tf.sigmoid(z + 1e-2))},
        "rewritten: an equal prior",
        "features differ by up to 0.00",
        "leave `rewritten` away",
    ),
}


@pytest.mark.parametrize("case", BROKEN_PRIORS)
def test_a_broken_prior_is_blamed_for_what_it_is(case, small):
    parts, contract, seen, mend = BROKEN_PRIORS[case]
    error = broken(testing.check_prior, type("Prior", (Wave,), parts), small)
    assert error.contract.startswith(contract)
    assert seen in error.seen
    assert mend in error.mend


@pytest.mark.parametrize("objective", own("objective"))
def test_our_objectives_keep_the_contract(objective):
    made = testing.check_objective(objective)
    assert getattr(made, "uses_targets", True) == (objective.name != "neuron")


def logit(bundle):
    """Keep every contract."""
    return lambda classifier, x, t: tf.gather(classifier.logits(x), t, batch_dims=1)


def without_targets(value, label="label"):
    """Return a factory of an objective that says it needs no targets."""

    def factory(bundle):
        def objective(classifier, x, t):
            return value(classifier, x, t)

        objective.uses_targets, objective.label = False, label
        return objective

    return factory


def with_targets(value):
    return lambda bundle: value


def of_target(c, x, t):
    return tf.gather(c.logits(x), t, batch_dims=1)


@tf.custom_gradient
def downhill(x):
    return x, lambda upstream: -upstream


class Counting:
    """An objective that remembers how often it was called."""

    def __init__(self, bundle):
        self.calls = 0

    def __call__(self, classifier, x, t):
        self.calls += 1
        return of_target(classifier, x, t) + self.calls


def unlabelled(bundle):
    objective = without_targets(lambda c, x, t: tf.reduce_max(c.logits(x), 1))(bundle)
    del objective.label
    return objective


def undecided(bundle):
    objective = logit(bundle)
    objective.uses_targets = None
    return objective


def test_objectives_that_keep_the_contract_pass(small):
    testing.check_objective(logit, small)
    largest = without_targets(lambda c, x, t: tf.reduce_max(c.logits(x), axis=1))
    assert testing.check_objective(largest, small).label == "label"


BROKEN_OBJECTIVES = {
    "undecided": (undecided, "uses_targets: a bool", "None", "uses_targets = False"),
    "unlabelled": (unlabelled, "label: the name", "None", "set objective.label"),
    "label of two lines": (
        without_targets(lambda c, x, t: tf.reduce_max(c.logits(x), 1), "a\nb"),
        "label: the name",
        "'a\\nb'",
        "set objective.label",
    ),
    "a single value": (
        with_targets(lambda c, x, t: tf.reduce_mean(of_target(c, x, t))),
        "objective(classifier, features, targets)",
        "shape ()",
        "one value a sample",
    ),
    "a value a word": (
        with_targets(lambda c, x, t: c.logits(x)),
        "objective(classifier, features, targets)",
        "shape (6, 5)",
        "one value a sample",
    ),
    "doubles": (
        with_targets(lambda c, x, t: tf.cast(of_target(c, x, t), tf.float64)),
        "objective(classifier, features, targets)",
        "dtype float64",
        "tf.cast",
    ),
    "not finite": (
        with_targets(lambda c, x, t: tf.math.log(of_target(c, x, t) - 1e6)),
        "objective(classifier, features, targets)",
        "6 of 6 values are not finite",
        "logarithms of zero",
    ),
    "NumPy inside": (
        with_targets(lambda c, x, t: of_target(c, x.numpy(), t)),
        "objective(classifier, features, targets)",
        "numpy",
        "TensorFlow operations on tensors only",
    ),
    "mixing": (
        with_targets(lambda c, x, t: of_target(c, x, t) - tf.reduce_mean(of_target(c, x, t))),
        "objective(classifier, features, targets): a sample does not depend on its block-mates",
        "values differ",
        "over the first axis",
    ),
    "mixing in the gradient": (
        with_targets(lambda c, x, t: mixing(of_target(c, x, t))),
        "objective(classifier, features, targets): gradients: a sample does not depend",
        "a gradient by another sample",
        "over the first axis",
    ),
    "drawn at each call": (
        with_targets(lambda c, x, t: of_target(c, x, t) + np.random.rand()),
        "objective(classifier, features, targets): the arguments decide",
        "other values",
        "draw nothing and keep no state",
    ),
    "counting": (
        Counting,
        "objective(classifier, features, targets): the arguments decide",
        "other values",
        "keep no state",
    ),
    "targets ignored": (
        with_targets(lambda c, x, t: tf.reduce_max(c.logits(x), axis=1)),
        "objective(classifier, features, targets): the target matters",
        "the same value",
        "uses_targets = False",
    ),
    "targets used in secret": (
        without_targets(lambda c, x, t: of_target(c, x, tf.maximum(t, 0))),
        "objective(classifier, features, targets): no target is needed",
        "another value",
        "uses_targets = True",
    ),
    "the largest target for all": (
        with_targets(lambda c, x, t: tf.gather(c.logits(x), tf.reduce_max(t), axis=1)),
        "objective(classifier, features, targets): a sample does not depend on its block-mates",
        "values differ",
        "over the first axis",
    ),
    "no gradient": (
        with_targets(lambda c, x, t: tf.stop_gradient(of_target(c, x, t))),
        "objective(classifier, features, targets): gradients",
        "no gradient",
        "tf.stop_gradient",
    ),
    "no slope": (
        with_targets(lambda c, x, t: of_target(c, tf.stop_gradient(x), t) + 0 * x[:, 0, 0, 0]),
        "objective(classifier, features, targets): gradients",
        "the gradient of all 6 samples is 0",
        "through the classifier",
    ),
    "downhill": (
        with_targets(lambda c, x, t: downhill(of_target(c, x, t))),
        "ascent: the value grows",
        "it goes from",
        "turn its sign",
    ),
}


@pytest.mark.parametrize("case", BROKEN_OBJECTIVES)
def test_a_broken_objective_is_blamed_for_what_it_is(case, small):
    factory, contract, seen, mend = BROKEN_OBJECTIVES[case]
    error = broken(testing.check_objective, factory, small)
    assert error.contract.startswith(contract)
    assert seen in error.seen
    assert mend in error.mend


@pytest.mark.parametrize("vocoder", own("vocoder"))
def test_our_vocoders_keep_the_contract(vocoder):
    made = testing.check_vocoder(vocoder)
    assert getattr(made, "causal", False) == (vocoder.name == "wavenet")


class Voice(GriffinLim):
    """A vocoder that keeps every contract."""

    def __init__(self, bundle):
        super().__init__(bundle.spec, iterations=3)


def test_a_vocoder_that_keeps_the_contract_passes(small):
    assert isinstance(testing.check_vocoder(Voice, small), Voice)


@pytest.mark.parametrize(
    "fields",
    [
        {"padding": "center"},
        {"sample_rate": 8000, "n_fft": 256, "hop_length": 80, "fmax": 3800.0},
        {"power": 2.0, "mel_scale": "htk", "window": "hann"},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_other_features_are_no_obstacle(fields):
    bundle = bundle_of(replace(SPEC, **fields))
    testing.check_prior(Wave, bundle)
    testing.check_objective(logit, bundle)
    testing.check_vocoder(Voice, bundle)
    late = type("Vocoder", (Voice,), spoken(lambda y: np.roll(y, bundle.spec.hop_length, axis=1)))
    assert "late" in broken(testing.check_vocoder, late, bundle).seen


def spoken(change):
    """Return what replaces `synthesize`: what it makes, changed."""

    def synthesize(self, features, seeds):
        return change(GriffinLim.synthesize(self, features, seeds))

    return {"synthesize": synthesize}


def later(sounds, frames):
    return np.roll(sounds, 256 * frames, axis=1)


def by_the_batch(self, features, seeds):
    sounds = GriffinLim.synthesize(self, features, seeds)
    return sounds / np.abs(sounds).max()


def without_seeds(self, features, seeds):
    drawn = np.random.randint(0, 99, np.shape(seeds)).astype(np.uint32)
    return GriffinLim.synthesize(self, features, drawn)


def first_seed(self, features, seeds):
    return GriffinLim.synthesize(self, features, np.repeat(seeds[:1], len(seeds), axis=0))


def in_place(self, features, seeds):
    features += 1e-3
    return GriffinLim.synthesize(self, features, seeds)


def of_fixed_length(self, features, seeds):
    fixed = np.zeros((len(features), 44, features.shape[2]), np.float32)
    fixed[:, : features.shape[1]] = features[:, :44]
    return GriffinLim.synthesize(self, fixed, seeds)


def of_another(self, features, seeds):
    """Speak three voices' features in another order."""
    if len(features) == 3 and np.array_equal(features, self.known):
        return GriffinLim.synthesize(self, features[[1, 2, 0]], seeds[[1, 2, 0]])
    return GriffinLim.synthesize(self, features, seeds)


def deaf(self, features, seeds):
    self.report(100)
    return GriffinLim.synthesize(self, features, seeds)


def stubborn(self, features, seeds):
    with contextlib.suppress(Exception):
        self.report(100)
    return GriffinLim.synthesize(self, features, seeds)


REPORTING = {"report": lambda self, done: None, "seconds_for": lambda self, sounds, frames: 1.0}

BROKEN_VOCODERS = {
    "spec": (
        {"spec": property(lambda self: FeatureSpec(n_mels=30), lambda self, value: None)},
        "spec: the features of the classifier",
        "n_mels",
        "Unavailable",
    ),
    "causal no bool": ({"causal": "no"}, "causal: a bool", "'no'", "set causal = True"),
    "files of numbers": ({"files": {"a": 1}}, "files: names to checksums", "1", "SHA-256"),
    "one for all": (
        spoken(lambda sounds: sounds[0]),
        "synthesize(features, seeds)",
        "shape (",
        "np.stack(sounds)",
    ),
    "doubles": (
        spoken(lambda sounds: sounds.astype(float)),
        "synthesize(features, seeds)",
        "dtype float64",
        "np.float32",
    ),
    "not finite": (
        spoken(lambda sounds: np.log(np.minimum(sounds, 0))),
        "synthesize(features, seeds)",
        "are not finite",
        "logarithms",
    ),
    "silent": (
        spoken(np.zeros_like),
        "synthesize(features, seeds): a sound",
        "3 of 3 sounds are silent",
        "denormalize_magnitude",
    ),
    "features changed": (
        {"synthesize": in_place},
        "synthesize(features, seeds)",
        "read-only",
        "leave the features as they are",
    ),
    "seeds ignored": (
        {"synthesize": without_seeds},
        "synthesize(features, seeds): the seed decides",
        "values differ",
        "generator(row)",
    ),
    "one seed for all": (
        {"synthesize": first_seed},
        "synthesize(features, seeds): a sound does not depend on its batch-mates",
        "values differ",
        "each row of seeds",
    ),
    "level of the batch": (
        {"synthesize": by_the_batch},
        "synthesize(features, seeds): a sound does not depend on its batch-mates",
        "values differ",
        "no level",
    ),
    "late": (
        spoken(lambda sounds: later(sounds, 3)),
        "sounds: frame by frame in place",
        "3 frames too late",
        "left_padding(spec)",
    ),
    "early": (
        spoken(lambda sounds: later(sounds, -2)),
        "sounds: frame by frame in place",
        "2 frames too early",
        "left_padding(spec)",
    ),
    "too long": (
        spoken(lambda sounds: np.pad(sounds, [(0, 0), (0, 256)])),
        "sounds: as many frames as features",
        "45 frames from 44",
        "count_samples",
    ),
    "of a fixed length": (
        {"synthesize": of_fixed_length},
        "sounds of 4 frames",
        "44 frames",
        "from the features",
    ),
    "not causal": (
        {"causal": True},
        "causal: as declared",
        "values differ",
        "set causal = False",
    ),
    "half a report": (
        {"report": lambda self, done: None},
        "attribute seconds_for",
        "has none",
        "both or neither",
    ),
    "no estimate": (
        {**REPORTING, "seconds_for": lambda self, sounds, frames: "soon"},
        "seconds_for(sounds, frames)",
        "'soon'",
        "estimate the time",
    ),
    "never reporting": (
        REPORTING,
        "report(done): samples since the last call",
        "0 calls",
        "call self.report",
    ),
    "not to be stopped": (
        {**REPORTING, "synthesize": stubborn},
        "report(done): it may raise to stop",
        "went on",
        "let exceptions",
    ),
}


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
@pytest.mark.parametrize("case", BROKEN_VOCODERS)
def test_a_broken_vocoder_is_blamed_for_what_it_is(case, small):
    parts, contract, seen, mend = BROKEN_VOCODERS[case]
    error = broken(testing.check_vocoder, type("Vocoder", (Voice,), parts), small)
    assert error.contract.startswith(contract)
    assert seen in error.seen
    assert mend in error.mend


def test_a_vocoder_that_reports_as_it_should_passes(small):
    testing.check_vocoder(type("Vocoder", (Voice,), {**REPORTING, "synthesize": deaf}), small)


def test_a_vocoder_that_speaks_other_features_is_told_so(small):
    known = testing.features_like_speech(3, SPEC, 44)
    parts = {"synthesize": of_another, "known": known[::-1]}
    turned = type("Vocoder", (Voice,), parts)
    assert "batch-mates" in broken(testing.check_vocoder, turned, small).contract
    loud = spoken(lambda sounds: np.tile(sounds[:, :50], (1, sounds.shape[1] // 50 + 1)))
    buzz = broken(testing.check_vocoder, type("Vocoder", (Voice,), loud), small)
    assert buzz.contract.startswith("sounds: ")


@pytest.mark.parametrize("reader", own("reader"))
def test_our_readers_keep_the_contract(reader):
    assert callable(testing.check_reader(reader))


def reading(change):
    """Return a factory of a reader that changes what ours yields."""

    def factory(bundle):
        read = soundfile_reader(None)
        return lambda paths, rate: (
            (path, y if isinstance(y, ReadError) else change(y)) for path, y in read(paths, rate)
        )

    return factory


def failing(change):
    """Return a factory of a reader that changes the errors of ours."""

    def factory(bundle):
        read = soundfile_reader(None)
        return lambda paths, rate: (
            (path, change(y) if isinstance(y, ReadError) else y) for path, y in read(paths, rate)
        )

    return factory


def raised(error):
    raise error


def reader_of(read):
    """Return a factory of `read(paths, rate)`, given ours as `ours`."""
    return lambda bundle: lambda paths, rate: read(paths, rate, soundfile_reader(None))


def by_count(paths, rate, ours):
    for number, (path, y) in enumerate(ours(paths, rate)):
        yield path, y if isinstance(y, ReadError) else y * np.float32(1 + number / 1000)


def first_channel(paths, rate, ours):
    import soundfile

    for path, y in ours(paths, rate):
        good = not isinstance(y, ReadError)
        if good and soundfile.info(path).channels == 2:
            y = soundfile.read(path, dtype="float32")[0][:, 0]
        yield path, y


BROKEN_READERS = {
    "raising": (failing(raised), "reader(paths, sample_rate)", "no such file", "instead of"),
    "leaving bad files out": (
        reader_of(lambda p, r, ours: (x for x in ours(p, r) if not isinstance(x[1], ReadError))),
        "reader(paths, sample_rate): every path, in order",
        "0.wav",
        "once for each",
    ),
    "backwards": (
        reader_of(lambda p, r, ours: list(ours(p, r))[::-1]),
        "reader(paths, sample_rate): every path, in order",
        "['2.wav', '1.wav', '0.wav']",
        "in the order of paths",
    ),
    "no pairs": (
        reader_of(lambda p, r, ours: (y for _, y in ours(p, r))),
        "reader(paths, sample_rate)",
        "ndarray",
        "yield (path, samples)",
    ),
    "something of nothing": (
        reader_of(lambda p, r, ours: list(ours(p, r)) or [("a", 0)]),
        "reader(paths, sample_rate): no paths",
        "something",
        "one pair for each path",
    ),
    "doubles": (
        reading(lambda y: y.astype(float)),
        "samples at 16000 Hz",
        "dtype float64",
        "np.float32",
    ),
    "two axes": (
        reading(lambda y: y[:, None]),
        "samples at 16000 Hz",
        "1)",
        "y.mean(axis=1)",
    ),
    "not finite": (reading(lambda y: y / 0), "samples at 16000 Hz", "not finite", "zero"),
    "as integers": (
        reading(lambda y: 32768 * y),
        "samples at 16000 Hz: the sound that was written",
        "of its level",
        "full scale is 1",
    ),
    "a file's own rate": (
        reader_of(lambda p, r, ours: ours(p, 16000)),
        "samples at 22050 Hz: as many as the sound lasts",
        "4000 samples",
        "soxr.resample",
    ),
    "shifted": (
        reading(lambda y: np.roll(y, 20)),
        "samples at 16000 Hz: the sound that was written",
        "of its level",
        "place",
    ),
    "by count": (
        reader_of(by_count),
        "reader(paths, sample_rate): a file does not depend on the others",
        "values differ",
        "no state",
    ),
    "the first channel": (
        reader_of(first_channel),
        "channels: averaged",
        "2000 samples, off by",
        "y.mean(axis=1)",
    ),
    "None for bad files": (
        failing(lambda error: None),
        "bad files: a missing file",
        "NoneType",
        "yield (path, ReadError",
    ),
    "an error of two lines": (
        failing(lambda error: ReadError(f"{error}\nand more")),
        "bad files: a missing file",
        "and more",
        "cannot be read as sound",
    ),
    "an error without a name": (
        failing(lambda error: ReadError("no luck")),
        "bad files: a missing file",
        "no luck",
        "{path}",
    ),
}


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
@pytest.mark.parametrize("case", BROKEN_READERS)
def test_a_broken_reader_is_blamed_for_what_it_is(case):
    factory, contract, seen, mend = BROKEN_READERS[case]
    error = broken(lambda reader, bundle: testing.check_reader(reader), factory, None)
    assert error.contract.startswith(contract)
    assert seen in error.seen
    assert mend in error.mend


def raw(bundle, *, rate: int = 16000):
    """Read float32 samples without a header, whose rate must be told."""
    import soxr

    def read_one(path, sample_rate):
        try:
            y = np.fromfile(path, "<f4")
        except OSError as error:
            return ReadError(f"{path}: cannot be read as sound: {error.strerror}")
        if not y.size:
            return ReadError(f"{path}: the file holds no samples")
        return soxr.resample(y, rate, sample_rate) if rate > 0 else raised(ParameterError("rate"))

    return lambda paths, sample_rate: ((path, read_one(path, sample_rate)) for path in paths)


def test_readers_of_other_formats_bring_their_own_files():
    def write(path, samples, sample_rate):
        samples.astype("<f4").tofile(path)

    testing.check_reader(raw, suffix=".raw", write=write, garbage=None)
    error = broken(lambda reader, bundle: testing.check_reader(reader), raw, None)
    assert error.contract.startswith("samples at 16000 Hz")


# The odd ones are option names, types and values; what is asked of them is asked of every kind.


def positional(bundle, scale: float = 0.5):
    return logit(bundle)


def unannotated(bundle, *, scale=0.5):
    return logit(bundle)


def without_default(bundle, *, scale: float):
    return logit(bundle)


def listed(bundle, *, scales: list = ()):
    return logit(bundle)


def wrong_default(bundle, *, scale: int = 0.5):
    return logit(bundle)


def none_by_default(bundle, *, scale: float = None):  # noqa: RUF013
    return logit(bundle)


def anything(bundle, **options):
    return logit(bundle)


def unpolite(bundle, *, scale: float = 0.5):
    if not scale > 0:
        raise ValueError("math domain error")
    return logit(bundle)


def talkative(bundle, *, scale: float = 0.5):
    if not scale > 0:
        raise ParameterError(f"scale is {scale}\nand that is no scale")
    return logit(bundle)


def late(bundle, *, layer: str = "dense"):
    def objective(classifier, x, t):
        return {"dense": of_target}[layer](classifier, x, t)

    return objective


BAD_OPTIONS = {
    positional: ("factory: arguments", "scale: 'float' = 0.5", "behind a `*`"),
    anything: ("factory: arguments", "**options", "behind a `*`"),
    unannotated: ("option scale: type and default", "`scale=0.5`", "annotate it"),
    without_default: ("option scale: type and default", "`scale: 'float'`", "give a default"),
    listed: ("option scales: type and default", "the type list", "choose one of these"),
    wrong_default: ("option scale: type and default", "0.5 of type float", "annotated type"),
    none_by_default: ("option scale: type and default", "None of type NoneType", "annotated type"),
    unpolite: ("option scale: odd values", "with nan, ValueError", "raise keras_listen.errors"),
    talkative: ("option scale: odd values", "\\nand that", "with one line"),
    late: ("option layer: odd values", "with 'no-such-thing', KeyError", "check layer"),
}


@pytest.mark.parametrize("factory", BAD_OPTIONS, ids=lambda factory: factory.__name__)
def test_bad_options_are_blamed(factory, small):
    contract, seen, mend = BAD_OPTIONS[factory]
    error = broken(testing.check_objective, factory, small)
    assert error.contract == contract
    assert seen in error.seen
    assert mend in error.mend


def test_the_message_names_the_component_and_what_to_do(small):
    error = broken(testing.check_objective, wrong_default, small)
    assert str(error) == (
        "objective wrong_default breaks its contract: option scale: type and default\n"
        "    seen:     the default 0.5 of type float\n"
        "    expected: int\n"
        "    to mend:  give a default of the annotated type"
    )


def test_what_is_given_may_be_a_name_or_a_component():
    testing.check_objective("keras-listen:logit")
    with pytest.raises(ParameterError, match="no objective is called 'logitt'; did you mean"):
        testing.check_objective("logitt")
    with pytest.raises(ParameterError, match="no option of objective logit is called 'scale'"):
        testing.check_objective("logit", scale=1)


def test_an_option_without_a_default_is_given_to_the_check(small):
    testing.check_objective(without_default, small, scale=2)


def test_what_cannot_work_here_is_not_checked():
    registry = testing.IsolatedRegistry()

    def elsewhere(register):
        register("far", raw, unavailable=lambda: "too far away")

    far = registry.load(plugin_of(register_readers=elsewhere)).find("reader", "far")
    with pytest.raises(Unavailable, match=r"^reader far is unavailable: too far away$"):
        testing.check_reader(far)


def plugin_of(**hooks) -> ModuleType:
    plugin = ModuleType("plugin")
    for name, function in hooks.items():
        setattr(plugin, name, hookimpl(function))
    return plugin


def test_the_fixture_has_the_built_ins_and_what_is_loaded(listen_registry, small):
    assert {c.distribution for c in listen_registry.components} == {"keras-listen"}
    names = {(c.kind, c.name) for c in listen_registry.components}
    assert {("prior", "ae"), ("objective", "logit"), ("reader", "soundfile")} <= names
    mine = plugin_of(register_objectives=lambda register: register("mine", logit))
    component = listen_registry.load(mine, "keras-listen-mine", "0.3").find("objective", "mine")
    assert (component.distribution, component.version) == ("keras-listen-mine", "0.3")
    testing.check_objective(component, small)
    listen_registry.find("objective", "keras-listen-mine:mine")


def test_the_fixtures_components_go_together(listen_registry):
    listen_registry.load(plugin_of(register_priors=lambda register: register("wave", Wave)))
    bundle = testing.material.embedded_bundle()
    experiment = resolve(bundle, prior="wave", vocoder="none", registry=listen_registry)
    block = experiment.compute(experiment.noise_samples(["yes"], 1))
    assert block.maximization.scores[-1, 0] > block.maximization.scores[0, 0]


def test_the_fixture_is_fresh_and_nobody_elses(listen_registry):
    assert all(component.name != "mine" for component in listen_registry.components)
    assert all(component.name != "mine" for component in default_registry().components)


def test_the_fixture_says_why_a_plugin_cannot_be_loaded(listen_registry):
    with pytest.raises(PluginError, match="register_prior"):
        listen_registry.load(plugin_of(register_prior=lambda register: None))
    with pytest.raises(PluginError, match="no luck"):
        listen_registry.load(plugin_of(register_priors=lambda register: raised(OSError("no luck"))))
    # What was there before is there still.
    listen_registry.find("prior", "ae")


PYTEST = """
import sys
import keras_listen.testing

def test_nothing_big_is_there(listen_registry):
    assert listen_registry.find("prior", "ae")
    assert not {"tensorflow", "keras", "librosa", "numba"} & set(sys.modules)
"""


@pytest.mark.parametrize("automatic", [True, False], ids=["by its entry point", "by its name"])
def test_pytest_finds_the_fixture_without_tensorflow(automatic, tmp_path):
    known = {point.name for point in metadata.entry_points(group="pytest11")}
    if automatic and "keras_listen.testing" not in known:
        pytest.fail("the project must be installed again: pip install -e .")
    named = "" if automatic else 'pytest_plugins = ["keras_listen.testing"]\n'
    (tmp_path / "test_it.py").write_text(named + PYTEST)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    variables = {} if automatic else {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@pytest.mark.parametrize("kind", ["prior", "objective", "vocoder", "reader"])
def test_there_is_a_check_of_each_kind(kind):
    check = getattr(testing, f"check_{kind}")
    assert f"hookspecs.register_{kind}s" in inspect.getdoc(check)
    assert next(iter(inspect.signature(check).parameters)) == kind
