"""The check of front ends: ours pass it, and each broken one fails for what it is."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from kit import mixing, own, raised

from keras_listen import testing
from keras_listen.testing import ContractBroken


@pytest.mark.parametrize("frontend", own("frontend"))
def test_our_frontends_keep_the_contract(frontend):
    made = testing.check_frontend(frontend)
    assert made.sample_rate in (16000, 22050)


class Loudness:
    """A front end that keeps every contract, and what a test changes of it."""

    sample_rate, samples = 8000, 4000

    def __init__(self, **changed):
        for name, value in changed.items():
            setattr(self, name, value)

    def __call__(self, sounds):
        return self.compute(sounds)

    @staticmethod
    def compute(sounds):
        return tf.math.log(tf.reduce_mean(tf.signal.frame(sounds, 80, 80) ** 2, 2) + 1e-9)


def changed(**attributes):
    return lambda bundle: Loudness(**attributes)


def computing(change):
    return changed(compute=lambda sounds: change(Loudness.compute(sounds)))


def rooted(sounds):
    return tf.sqrt(tf.reduce_mean(tf.signal.frame(sounds, 80, 80) ** 2, 2))


def in_numpy(sounds):
    return tf.py_function(lambda x: Loudness.compute(x.numpy()), [sounds], tf.float32)


def without_gradient(sounds):
    return tf.stop_gradient(Loudness.compute(sounds)) + 0 * tf.reduce_mean(sounds, 1)[:, None]


BROKEN_FRONTENDS = {
    "no rate": (changed(sample_rate=None), "sample_rate: Hz", "None", "rate that the model"),
    "a length of text": (changed(samples="1 s"), "samples: length", "'1 s'", "or to None"),
    "doubles": (
        computing(lambda x: tf.cast(x, tf.float64)),
        "frontend(sounds)",
        "dtype float64",
        "np.float32",
    ),
    "a mean over the block": (
        computing(lambda x: x - tf.reduce_mean(x)),
        "frontend(sounds): a sample does not depend on its block-mates",
        "values differ",
        "no mean",
    ),
    "infinite for silence": (
        changed(compute=lambda x: tf.math.log(tf.reduce_mean(tf.signal.frame(x, 80, 80) ** 2, 2))),
        "frontend(sounds)",
        "not finite",
        "logarithms of zero",
    ),
    "a root of silence": (
        changed(compute=rooted),
        "frontend(sounds): gradients",
        "not finite",
        "divisions by zero",
    ),
    "without a gradient": (
        changed(compute=without_gradient),
        "frontend(sounds): gradients",
        "zeros for 3 of 3",
        "tf.py_function",
    ),
    "a gradient by block-mates": (
        changed(compute=lambda x: Loudness.compute(mixing(x))),
        "frontend(sounds): gradients: a sample does not depend on its block-mates",
        "another sample",
        "first axis",
    ),
    "constant": (
        changed(compute=lambda x: 0 * Loudness.compute(x)),
        "frontend(sounds): the sound decides",
        "the same for two voices",
        "from the sounds",
    ),
    "not traced": (
        changed(compute=lambda x: tf.constant(x.numpy())),
        "frontend(sounds): traced by TensorFlow",
        "numpy",
        "no .numpy()",
    ),
    "random": (
        computing(lambda x: x + tf.random.normal(tf.shape(x))),
        "frontend(sounds): the arguments decide",
        "values differ",
        "draw nothing",
    ),
    "one value": (
        changed(compute=lambda x: tf.reduce_mean(x**2, 1)),
        "frontend(sounds)",
        "shape (7,)",
        "one row for each sound",
    ),
    "a fit that leaves lengths": (
        changed(fit=lambda sound: sound),
        "fit(sound)",
        "shape (1333,)",
        "cut what is too long",
    ),
    "a fit that raises": (
        changed(fit=lambda sound: raised(ValueError("too short"))),
        "fit(sound)",
        "too short",
        "pad what is too short",
    ),
}


@pytest.mark.parametrize("case", BROKEN_FRONTENDS)
def test_a_broken_frontend_is_blamed_for_what_it_is(case):
    factory, contract, seen, mend = BROKEN_FRONTENDS[case]
    with pytest.raises(ContractBroken) as caught:
        testing.check_frontend(factory)
    error = caught.value
    assert error.contract.startswith(contract)
    assert seen in error.seen
    assert mend in error.mend


def test_one_that_keeps_the_contract_passes():
    assert isinstance(testing.check_frontend(changed()), Loudness)
    testing.check_frontend(changed(fit=lambda y: np.resize(y, 4000), samples=4000))
    testing.check_frontend(changed(samples=None))
