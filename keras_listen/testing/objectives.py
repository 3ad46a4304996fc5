"""The contract of objectives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..plugins import Component
from .contracts import Subject, in_block, seeds_of, subject_of
from .material import features_like_speech

_SAMPLES = 6
_STEPS = 10


def check_objective(
    objective: str | Component | Callable, bundle: Any = None, **options: Any
) -> Any:
    """Check that an objective keeps its contract, see `hookspecs.register_objectives`.

    Args:
        objective: name of an installed objective, a component of a registry, or a factory.
        bundle: what the factory gets; the embedded bundle by default.
        options: of the factory.

    Returns:
        the objective that was made.

    Raises:
        ContractBroken: it does not; the message says in what and how to mend it.
        ListenError: there is no such objective, or an option is unknown.
    """
    subject = subject_of("objective", objective, bundle, options)
    classifier = subject.bundle.classifier
    uses_targets = _check_attributes(subject)
    features = _features(classifier.spec)
    targets = np.arange(_SAMPLES, dtype=np.int32) % len(classifier.words)
    targets = targets if uses_targets else np.full(_SAMPLES, -1, np.int32)
    _check_values(subject, features, targets)
    _check_targets(subject, features, targets, uses_targets)
    _check_gradient(subject, features, targets)
    _check_ascent(subject, features, targets)
    subject.refuses_politely(lambda made: np.asarray(made(classifier, features, targets)))
    return subject.made


def _features(spec) -> np.ndarray:
    """Return features like speech, and beyond [0, 1], where a prior without bounds may go."""
    features = np.array(features_like_speech(_SAMPLES, spec)[..., None])
    noise = np.random.default_rng(0).normal(0, 0.3, features[::2].shape)
    features[::2] += noise.astype(np.float32)
    return features


def _check_attributes(subject: Subject) -> bool:
    uses_targets = getattr(subject.made, "uses_targets", True)
    subject.require(
        isinstance(uses_targets, bool),
        "uses_targets: a bool",
        seen=repr(uses_targets),
        expected="True (the default) or False",
        mend="set objective.uses_targets = False where no target words are needed",
    )
    label = getattr(subject.made, "label", None)
    fine = isinstance(label, str) and label.strip() and "\n" not in label
    subject.require(
        uses_targets or fine,
        "label: the name of samples without a word",
        seen=repr(label),
        expected="a short text in one line",
        mend='set objective.label, such as "dense_1-17"; files are called by it',
    )
    return uses_targets


def _check_values(subject: Subject, features: np.ndarray, targets: np.ndarray) -> None:
    import tensorflow as tf

    contract = "objective(classifier, features, targets)"
    classifier = subject.bundle.classifier
    mend = (
        "take the arguments of the contract, and use TensorFlow operations on tensors only: no "
        "NumPy, no .numpy(), no Python branches"
    )

    def values_of(function):
        def values(features, targets):
            given = classifier, tf.constant(features), tf.constant(targets)
            return subject.call(contract, function, *given, mend=mend)

        return values

    graphs = [
        values_of(tf.function(lambda c, x, t: subject.made(c, x, t), autograph=False))
        for _ in range(2)
    ]
    shaped = "return one value a sample: reduce over every axis but the first"
    values = subject.array(in_block(graphs[0], features, targets), contract, (_SAMPLES,), shaped)
    subject.alone_and_among(contract, graphs[0], features, targets)
    again = np.asarray(values_of(subject.made)(features, targets))
    other = in_block(graphs[1], features, targets)
    fixed = np.allclose(again, values, rtol=1e-3, atol=1e-4) and np.array_equal(other, values)
    subject.require(
        fixed,
        f"{contract}: the arguments decide",
        seen="other values when it was called again",
        expected="the same values",
        mend="draw nothing and keep no state in the objective",
    )


def _check_targets(
    subject: Subject, features: np.ndarray, targets: np.ndarray, uses_targets: bool
) -> None:
    contract = "objective(classifier, features, targets)"
    classifier, other = subject.bundle.classifier, targets.copy()
    other[-1] = 0 if targets[-1] > 0 else 1
    before = np.asarray(subject.made(classifier, features, targets))
    after = np.asarray(subject.made(classifier, features, other))
    subject.same(
        before[:-1],
        after[:-1],
        f"{contract}: the target of one sample leaves the others alone",
        expected="the same values for samples whose target stays",
        mend="take each sample's own target, for instance tf.gather(x, targets, batch_dims=1)",
    )
    matters = before[-1] != after[-1]
    subject.require(
        matters or not uses_targets,
        f"{contract}: the target matters",
        seen="the same value for another target word",
        expected="another value, since uses_targets is True",
        mend="use targets, or set objective.uses_targets = False and objective.label",
    )
    subject.require(
        uses_targets or not matters,
        f"{contract}: no target is needed",
        seen="another value for another target word",
        expected="the same value, since uses_targets is False",
        mend="leave targets out (they are -1), or set objective.uses_targets = True",
    )


def _check_gradient(subject: Subject, features: np.ndarray, targets: np.ndarray) -> None:
    import tensorflow as tf

    contract = "gradient: it reaches the features"
    x = tf.constant(features)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        values = subject.made(subject.bundle.classifier, x, tf.constant(targets))
        first = values[0]
    gradient = tape.gradient(values, x)
    mend = (
        "compute the value from `features` through the classifier that is given, in differentiable "
        "operations; counting, argmax, NumPy and tf.stop_gradient have no gradient"
    )
    subject.require(
        gradient is not None, contract, seen="no gradient", expected="a gradient", mend=mend
    )
    gradient = subject.array(gradient, contract, features.shape, mend)
    subject.require(
        np.any(gradient),
        contract,
        seen=f"the gradient of all {_SAMPLES} samples is 0",
        expected="a gradient that is not 0, of one sample at least",
        mend=mend,
    )
    subject.require(
        not np.any(np.asarray(tape.gradient(first, x))[1:]),
        "gradient: a sample does not depend on its block-mates",
        seen="the value of one sample has a gradient by another's features",
        expected="none",
        mend="no mean, sum or comparison over the first axis",
    )


def _check_ascent(subject: Subject, features: np.ndarray, targets: np.ndarray) -> None:
    from ..engine import Ascent, maximize
    from ..priors import Identity

    prior = Identity(subject.bundle.classifier.spec)

    def climb(rows: slice):
        return subject.call(
            "ascent",
            maximize,
            subject.bundle.classifier,
            subject.made,
            prior,
            features[rows],
            targets[rows],
            Ascent(_STEPS),
            seeds=seeds_of(_SAMPLES)[rows],
            block_size=24,
            mend="see the message; the engine calls the objective while TensorFlow traces it",
        )

    among, alone = climb(slice(None)), climb(slice(1, 2))
    subject.same(
        among.features[1:2],
        alone.features,
        "ascent: a sample does not depend on its block-mates",
        expected="the same features alone and among others",
        mend="compute each sample's value from its own features and target",
    )
    before, after = among.scores[0].mean(), among.scores[-1].mean()
    subject.require(
        after > before,
        "ascent: the value grows",
        seen=f"it goes from {before:.4g} to {after:.4g} in {_STEPS} steps (means)",
        expected="a larger value: larger is better",
        mend="turn its sign, or look for a gradient of your own that points elsewhere",
    )
