"""The check of objectives: ours pass it, and each broken one fails for what it is."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from kit import broken, logit, mixing, of_target, own, small_bundle

from keras_listen import testing


@pytest.fixture(scope="module")
def small():
    return small_bundle()


@pytest.mark.parametrize("objective", own("objective"))
def test_our_objectives_keep_the_contract(objective):
    made = testing.check_objective(objective)
    assert getattr(made, "uses_targets", True) == (objective.name != "neuron")


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


def test_a_shape_of_one_axis_is_written_as_python_writes_it(small):
    error = broken(testing.check_objective, BROKEN_OBJECTIVES["a single value"][0], small)
    assert (error.seen, error.expected) == ("shape ()", "(6,)")
