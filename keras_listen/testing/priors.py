"""Check the contract of priors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..features import FeatureSpec
from ..plugins import Component
from .factory import refuses_politely, subject_of
from .gradients import check_ascent, gradient, traced
from .sounds import features_like_speech, target_logit
from .subject import Subject, seeds_of

_SAMPLES = 5
#: Largest difference of features between a prior and its `rewritten`, or a graph and its function.
_CLOSE = 1e-4


def check_prior(prior: str | Component | Callable, bundle: Any = None, **options: Any) -> Any:
    """Check that a prior keeps its contract, see `keras_listen.hookspecs.register_priors`.

    Args:
        prior: name of an installed prior, a component of a registry, or a factory.
        bundle: passed to the factory; the embedded bundle by default.
        options: of the factory.

    Returns:
        What the factory made.

    Raises:
        ContractBroken: the contract is broken; the message says how, and how to mend it.
        ListenError: there is no such prior, or an option is unknown or refused.
    """
    subject = subject_of("prior", prior, bundle, options)
    spec = subject.bundle.classifier.spec
    _check_attributes(subject, spec)
    z = _check_start(subject)
    _check_decode(subject, z, spec)
    _check_gradient(subject, z)
    _check_encode(subject, z, spec)
    if hasattr(subject.made, "move"):
        _check_move(subject, z)
    if hasattr(subject.made, "rewritten"):
        _check_rewritten(subject, z)
    targets = _targets(_SAMPLES) % len(subject.bundle.classifier.words)
    mend = "try a smaller or larger step_size, or a weaker move"
    check_ascent(subject, target_logit, subject.made, z, targets, mend)
    refuses_politely(subject, lambda made: made.start(_targets(2), seeds_of(2)))
    return subject.made


def _targets(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.int32)


def _check_attributes(subject: Subject, spec: FeatureSpec) -> None:
    found = subject.attribute("spec", "a FeatureSpec", "set spec = bundle.spec")
    subject.require(
        found == spec,
        "spec: the features of the classifier",
        seen=f"another one, in {', '.join(spec.differing(found)) or 'its type'}",
        expected="the FeatureSpec of bundle.classifier",
        mend="use bundle.spec, and features of its shape",
    )
    bounded = subject.attribute(
        "bounded", "True or False", "say whether decoded features always lie in [0, 1]"
    )
    subject.require(
        isinstance(bounded, bool),
        "bounded: a bool",
        seen=repr(bounded),
        expected="True or False",
        mend="set bounded = True where decoded features always lie in [0, 1], else False",
    )
    size = subject.attribute("step_size", "a number above 0", "set step_size, such as 0.1")
    subject.require(
        isinstance(size, (int, float)) and math.isfinite(size) and size > 0,
        "step_size: the default step",
        seen=repr(size),
        expected="a number above 0",
        mend="set the root mean square of what one step changes in z, such as 0.1",
    )


_DRAW = "draw from seeds alone: keras_listen.seeds.normal(seeds, shape, deviation)"


def _check_start(subject: Subject) -> np.ndarray:
    """Check `start`, and return starts for the other checks."""
    targets, seeds = _targets(_SAMPLES), seeds_of(_SAMPLES)
    contract = "start(targets, seeds)"

    def start(targets: np.ndarray, seeds: np.ndarray) -> Any:
        mend = "take int32 targets (-1: no word) and uint32 seeds (batch, 2), any number of rows"
        return subject.call(contract, subject.made.start, targets, seeds, mend=mend)

    z = start(targets, seeds)
    subject.require(
        isinstance(z, np.ndarray),
        contract,
        seen=type(z).__name__,
        expected="a NumPy array",
        mend="return np.asarray(z, np.float32)",
    )
    mend = "return one latent for each row of seeds"
    subject.require(z.ndim > 1, contract, seen=f"shape {z.shape}", expected="(5, ...)", mend=mend)
    subject.array(z, contract, (_SAMPLES, *[None] * (z.ndim - 1)), mend)
    _check_seeds(subject, contract, start, z)
    wordless = start(np.full(2, -1, np.int32), seeds[:2])
    subject.array(wordless, f"{contract}, targets -1", (2, *z.shape[1:]), "let -1 mean no word")
    return z


def _check_seeds(subject: Subject, contract: str, start: Callable, z: np.ndarray) -> None:
    """Check that each start depends on its own row of seeds, and on no other random numbers."""
    targets, seeds = _targets(_SAMPLES), seeds_of(_SAMPLES)
    decides = f"{contract}: the seed decides"
    again = start(targets, seeds)
    subject.same(z, again, decides, expected="the same z again", mend=_DRAW)
    subject.same(
        z[1:2],
        start(targets[1:2], seeds[1:2]),
        f"{contract}: a sample does not depend on its block-mates",
        expected="the same z alone and among others",
        mend="draw each sample from its own row of seeds, such as "
        "keras_listen.seeds.generator(row) for one",
    )
    other = start(targets, seeds_of(_SAMPLES, first=_SAMPLES))
    subject.require(
        np.any((z != other).reshape(_SAMPLES, -1), axis=1).all(),
        decides,
        seen="the same z for other seeds",
        expected="another z for every other seed",
        mend=_DRAW,
    )


def _check_decode(subject: Subject, z: np.ndarray, spec: FeatureSpec) -> None:
    import tensorflow as tf

    contract, decode = "decode(z)", subject.made.decode
    mend = f"return features of the shape (batch, {', '.join(map(str, spec.shape))})"
    graph = traced(subject, contract, decode)
    features = subject.alone_and_among(contract, graph, z)
    subject.array(features, contract, (_SAMPLES, *spec.shape), mend)
    eager = subject.call(contract, decode, tf.constant(z), mend=mend)
    apart = float(np.abs(np.asarray(eager) - features).max())
    subject.require(
        apart <= _CLOSE,
        f"{contract}: a function of z alone",
        seen=f"features differ by up to {apart:g} when decoded again",
        expected=f"the same features, to {_CLOSE:g}",
        mend="draw nothing and keep no state in decode; noise belongs into start or move",
    )
    far = subject.array(graph(100 * z), f"{contract}, far from the start", features.shape, mend)
    both = np.concatenate([features, far])
    subject.require(
        not subject.made.bounded or (both.min() >= 0 and both.max() <= 1),
        f"{contract}: bounded as declared",
        seen=f"values from {both.min():.4g} to {both.max():.4g}",
        expected="values in [0, 1], since bounded is True",
        mend="end in a sigmoid or clip the features, or set bounded = False",
    )


def _check_gradient(subject: Subject, z: np.ndarray) -> None:
    import tensorflow as tf

    weights = np.random.default_rng(0).normal(size=subject.made.spec.shape).astype(np.float32)

    def values_of(z: Any) -> Any:
        return tf.reduce_sum(subject.made.decode(z) * weights, axis=(1, 2, 3))

    mend = (
        "use differentiable TensorFlow operations from z to the features; NumPy, rounding, argmax "
        "and tf.stop_gradient have no gradient, and clipping may leave no slope"
    )
    found = gradient(subject, values_of, z, "decode(z)", mend)
    without = int((np.abs(found).reshape(len(z), -1).max(axis=1) == 0).sum())
    subject.require(
        without == 0,
        "decode(z): gradients",
        seen=f"the gradient of {without} of {len(z)} samples is 0",
        expected="a gradient that is not 0 at the start",
        mend=mend,
    )


def _check_encode(subject: Subject, z: np.ndarray, spec: FeatureSpec) -> None:
    contract = "encode(features)"
    features = features_like_speech(_SAMPLES, spec)[..., None]
    mend = f"return a latent of the shape (batch, {', '.join(map(str, z.shape[1:]))}), as start"

    def encode(block: np.ndarray) -> Any:
        return subject.call(contract, subject.made.encode, block, mend=mend)

    encoded = subject.alone_and_among(contract, encode, features)
    encoded = subject.array(encoded, contract, z.shape, mend)
    again = np.asarray(subject.made.decode(encoded))
    apart = np.abs(again[:, None] - features[None]).mean(axis=(2, 3, 4))
    own = float(np.diag(apart).mean())
    others = float((apart + np.diag(np.full(_SAMPLES, np.inf))).min(axis=1).mean())
    subject.require(
        own < others,
        "decode(encode(features)): like the features",
        seen=f"features differ by {own:.4g}, those of another sound by {others:.4g} (means)",
        expected="features nearer to their own sound than to any other",
        mend="let encode be the way back of decode, as nearly as it can: same axes, same scale",
    )


def _check_move(subject: Subject, z: np.ndarray) -> None:
    contract, seeds = "move(z, *, step, seeds)", seeds_of(len(z))

    def move(z: Any, step: Any, seeds: Any) -> Any:
        return subject.made.move(z, step=step, seeds=seeds)

    def at(number: int, graph: Callable) -> Callable:
        return lambda z, seeds: graph(z, np.int32(number), seeds)

    graphs = [traced(subject, contract, move) for _ in range(2)]
    for number in (0, 3):
        change = subject.alone_and_among(contract, at(number, graphs[0]), z, seeds)
        subject.array(change, contract, z.shape, "return what is added to z, in its shape")
        again = graphs[1](z, np.int32(number), seeds)
        subject.same(
            graphs[0](z, np.int32(number), seeds),
            again,
            f"{contract}: z, step and seeds decide",
            expected="the same move again",
            mend="draw noise with tf.random.stateless_normal from each row of seeds and step",
        )


def _check_rewritten(subject: Subject, z: np.ndarray) -> None:
    contract = "rewritten: an equal prior"
    mend = "leave `rewritten` away, or let it decode as the prior does"
    other = subject.call(contract, getattr, subject.made, "rewritten", mend=mend)
    if hasattr(other, "refresh"):
        subject.call(contract, other.refresh, mend=mend)
    features = np.asarray(traced(subject, contract, other.decode)(z))
    apart = float(np.abs(features - np.asarray(subject.made.decode(z))).max())
    subject.require(
        apart <= _CLOSE,
        contract,
        seen=f"features differ by up to {apart:g}",
        expected=f"the same features, to {_CLOSE:g}",
        mend=mend,
    )
