"""Checks shared by priors and objectives: tracing, gradients, and an ascent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .subject import Subject, seeds_of

_STEPS = 10


def traced(subject: Subject, contract: str, function: Callable) -> Callable:
    """Compile a function as the engine does.

    Args:
        subject: the component under test.
        contract: name of the function in messages, such as "decode(z)".
        function: takes tensors.

    Returns:
        The graph; it takes NumPy arrays, and raises ContractBroken where tracing or running fails.
    """
    import tensorflow as tf

    graph = tf.function(function, autograph=False)
    mend = (
        "take the arguments of the contract, and use TensorFlow operations on tensors only: no "
        "NumPy, no .numpy(), no Python branches"
    )
    return lambda *arguments: subject.call(
        f"{contract}: traced by TensorFlow", graph, *map(tf.constant, arguments), mend=mend
    )


def gradient(
    subject: Subject, values_of: Callable, x: np.ndarray, contract: str, mend: str
) -> np.ndarray:
    """Return the gradient of values, each of which must depend on its own sample alone.

    Args:
        subject: the component under test.
        values_of: takes the tensor of all samples, returns their values [shape=(samples,)].
        x: samples [shape=(samples, ...)].
        contract: name of what is differentiated in messages, such as "decode(z)".
        mend: what to do if there is no gradient.

    Returns:
        The gradient [shape=(samples, ...), float32].

    Raises:
        ContractBroken: there is no gradient, or it depends on other samples.
    """
    import tensorflow as tf

    with tf.GradientTape(persistent=True) as tape:
        samples = tf.constant(x)
        tape.watch(samples)
        values = values_of(samples)
        first = values[0]
    found, rule = tape.gradient(values, samples), f"{contract}: gradients"
    subject.require(found is not None, rule, seen="no gradient", expected="a gradient", mend=mend)
    found = subject.array(found, rule, x.shape, mend)
    subject.require(
        not np.any(np.asarray(tape.gradient(first, samples))[1:]),
        f"{rule}: a sample does not depend on its block-mates",
        seen="what one sample gives has a gradient by another sample",
        expected="none",
        mend="no mean, sum, maximum or normalisation over the first axis, no batch statistics",
    )
    return found


def check_ascent(
    subject: Subject, objective: Callable, prior: Any, z: np.ndarray, targets: np.ndarray, mend: str
) -> None:
    """Run some steps of the engine; the objective must grow, and samples be independent.

    Args:
        subject: the component under test.
        objective: what is maximized.
        prior: that of the ascent.
        z: starts [shape=(samples, ...)].
        targets: of the samples [shape=(samples,), int32].
        mend: what to do if the value does not grow.

    Raises:
        ContractBroken: the value does not grow, a sample depends on others, or the ascent fails.
    """
    # Here, because the engine imports TensorFlow, which pytest must not when it loads the fixture.
    from ..maximization.ascent import Ascent
    from ..maximization.engine import maximize

    classifier, seeds = subject.bundle.classifier, seeds_of(len(z))

    def climb(rows: slice) -> Any:
        return subject.call(
            "ascent",
            maximize,
            classifier,
            objective,
            prior,
            z[rows],
            targets[rows],
            Ascent(_STEPS),
            seeds=seeds[rows],
            block_size=24,
            mend="see the message; smaller steps (step_size) may help",
        )

    among, alone = climb(slice(None)), climb(slice(1, 2))
    subject.same(
        among.features[1:2],
        alone.features,
        "ascent: a sample does not depend on its block-mates",
        expected="the same features alone and among others",
        mend="compute everything of a sample from its own rows",
    )
    before, after = among.scores[0].mean(), among.scores[-1].mean()
    subject.require(
        after > before,
        "ascent: the value grows",
        seen=f"it goes from {before:.4g} to {after:.4g} in {_STEPS} steps (means)",
        expected="a larger value",
        mend=mend,
    )
