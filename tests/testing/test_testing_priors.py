"""The check of priors: ours pass it, and each broken one fails for what it is."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from kit import SPEC, Wave, broken, mixing, own, small_bundle

from keras_listen import testing
from keras_listen.features import FeatureSpec
from keras_listen.seeds import generator


@pytest.fixture(scope="module")
def small():
    return small_bundle()


@pytest.mark.parametrize("prior", own("prior"))
def test_our_priors_keep_the_contract(prior):
    made = testing.check_prior(prior)
    assert made.spec == testing.sounds.embedded_bundle().spec


@pytest.mark.parametrize("name", ["ae", "vae"])
def test_our_pull_keeps_the_contract_of_moves(name):
    assert np.any(testing.check_prior(name, pull=0.05).move(np.ones((1, 256)), step=0, seeds=0))


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
