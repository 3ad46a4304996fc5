"""What priors and objectives share: they are traced, they have gradients, and the engine climbs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .subject import Subject, seeds_of

_STEPS = 10


def traced(subject: Subject, contract: str, function: Callable) -> Callable:
    """Compile `function` as the engine does; it then takes NumPy arrays."""
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
    """Return the gradient of values, one a sample; each must depend on its own sample alone.

    Args:
        values_of: from the tensor of all samples to their values [shape=(samples,)].
        x: samples [shape=(samples, ...)].
        contract: how messages call it, such as "decode(z)".
        mend: what to do where there is none.
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
    """Climb some steps with the engine: alone and among others, and upwards.

    Args:
        mend: what to do where the value does not grow.
    """
    from ..maximization.ascent import Ascent
    from ..maximization.engine import maximize

    classifier, seeds = subject.bundle.classifier, seeds_of(len(z))

    def climb(rows: slice):
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
