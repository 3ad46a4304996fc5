"""Check the contract of objectives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..features import FeatureSpec
from ..maximization.priors import Identity
from ..plugins import Component
from .factory import refuses_politely, subject_of
from .gradients import check_ascent, gradient, traced
from .sounds import features_like_speech
from .subject import Subject, in_block

_SAMPLES = 6
_CALL = "objective(classifier, features, targets)"


def check_objective(
    objective: str | Component | Callable, bundle: Any = None, **options: Any
) -> Any:
    """Check that an objective keeps its contract, see `hookspecs.register_objectives`.

    Args:
        objective: name of an installed objective, a component of a registry, or a factory.
        bundle: passed to the factory; the embedded bundle by default.
        options: of the factory.

    Returns:
        What the factory made.

    Raises:
        ContractBroken: the contract is broken; the message says how, and how to mend it.
        ListenError: there is no such objective, or an option is unknown or refused.
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
    mend = "turn its sign, or look for a gradient of your own that points elsewhere"
    check_ascent(subject, subject.made, Identity(classifier.spec), features, targets, mend)
    refuses_politely(subject, lambda made: np.asarray(made(classifier, features, targets)))
    return subject.made


def _features(spec: FeatureSpec) -> np.ndarray:
    """Return features like those of speech, and others beyond [0, 1], as an unbounded prior has."""
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
    classifier = subject.bundle.classifier

    def values(features: Any, targets: Any) -> Any:
        return subject.made(classifier, features, targets)

    graph, other = (traced(subject, _CALL, lambda *given: values(*given)) for _ in range(2))
    shaped = "return one value a sample: reduce over every axis but the first"
    found = subject.array(in_block(graph, features, targets), _CALL, (_SAMPLES,), shaped)
    subject.alone_and_among(_CALL, graph, features, targets)
    plain = np.asarray(values(features, targets))
    same = np.array_equal(in_block(other, features, targets), found)
    subject.require(
        same and np.allclose(plain, found, rtol=1e-3, atol=1e-4),
        f"{_CALL}: the arguments decide",
        seen="other values when it was called again",
        expected="the same values",
        mend="draw nothing and keep no state in the objective",
    )


def _check_targets(
    subject: Subject, features: np.ndarray, targets: np.ndarray, uses_targets: bool
) -> None:
    classifier, other = subject.bundle.classifier, targets.copy()
    other[-1] = 0 if targets[-1] > 0 else 1
    before = np.asarray(subject.made(classifier, features, targets))
    after = np.asarray(subject.made(classifier, features, other))
    subject.same(
        before[:-1],
        after[:-1],
        f"{_CALL}: the target of one sample leaves the others alone",
        expected="the same values for samples whose target stays",
        mend="take each sample's own target, for instance tf.gather(x, targets, batch_dims=1)",
    )
    matters = before[-1] != after[-1]
    subject.require(
        matters or not uses_targets,
        f"{_CALL}: the target matters",
        seen="the same value for another target word",
        expected="another value, since uses_targets is True",
        mend="use targets, or set objective.uses_targets = False and objective.label",
    )
    subject.require(
        uses_targets or not matters,
        f"{_CALL}: no target is needed",
        seen="another value for another target word",
        expected="the same value, since uses_targets is False",
        mend="leave targets out (they are -1), or set objective.uses_targets = True",
    )


def _check_gradient(subject: Subject, features: np.ndarray, targets: np.ndarray) -> None:
    def values_of(features: Any) -> Any:
        return subject.made(subject.bundle.classifier, features, targets)

    mend = (
        "compute the value from `features` through the classifier that is given, in differentiable "
        "operations; counting, argmax, NumPy and tf.stop_gradient have no gradient"
    )
    found = gradient(subject, values_of, features, _CALL, mend)
    subject.require(
        np.any(found),
        f"{_CALL}: gradients",
        seen=f"the gradient of all {_SAMPLES} samples is 0",
        expected="a gradient that is not 0, of one sample at least",
        mend=mend,
    )
