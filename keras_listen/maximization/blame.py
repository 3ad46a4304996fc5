"""Find the component that made an ascent fail, or a classifier that would make any fail.

After a failure the ascent is repeated and each intermediate value checked, one at a time, which may
be slow. Errors name the plugin that a component comes from.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf

from ..errors import ListenError, ModelError, ParameterError
from ..models.classifier import Classifier
from ..plugins.proxy import fault, is_foreign

Objective = Callable[[Any, tf.Tensor, tf.Tensor], tf.Tensor]
Advance = Callable[[tf.Tensor, int], tf.Tensor]

_FROM_FEATURES = (
    "it must be computed from `features`, by TensorFlow operations that have a gradient"
)
_FROM_LATENT = "features must be computed from `z`, by TensorFlow operations that have a gradient"


@lru_cache(maxsize=8)
def require_usable(classifier: Classifier, *, gradient: bool = True) -> None:
    """Refuse a classifier that no ascent can use, before anything is computed or written.

    Each is tried once, as an evaluation asks for every cell, and uncompiled networks are slow.

    Args:
        classifier: is tried on a few features of noise.
        gradient: whether its outputs have to have one.

    Raises:
        ModelError: it gives no finite numbers for any of them, or has no gradient.
    """
    generator, shape = np.random.default_rng(0), (2, *classifier.spec.shape)
    # As real features are, and as an ascent begins without a prior.
    noise = np.concatenate([generator.uniform(size=shape), generator.normal(0, 0.1, shape)])
    features = tf.constant(noise, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(features)
        probabilities = classifier.probabilities(features)
    if not np.isfinite(probabilities).any():
        raise ModelError(
            f"{classifier.what} gives no finite numbers, whatever it hears; look for NaN in its "
            "weights, and check it with keras-listen doctor"
        )
    if gradient and tape.gradient(probabilities, features) is None:
        raise ModelError(
            f"{classifier.what} has no gradient; listen to one whose layers all have one, and "
            "check it with keras-listen doctor"
        )


def blame_gradient(
    classifier: Classifier,
    objective: Objective,
    prior: Any,
    features: tf.Tensor,
    targets: tf.Tensor,
) -> ListenError:
    """Return the error that names the component which cuts the gradient from objective to z."""
    if _gradient(lambda x: objective(classifier, x, targets), features) is not None:
        return fault(prior, "the prior", f"decodes without a gradient; {_FROM_LATENT}")
    if _gradient(classifier.probabilities, features) is None:
        return ParameterError(
            "the classifier has no gradient; listen to one whose layers all have one"
        )
    return fault(objective, "the objective", f"does not depend on the latent; {_FROM_FEATURES}")


def blame_values(
    classifier: Classifier,
    objective: Objective,
    prior: Any,
    advance: Advance,
    z: tf.Tensor,
    targets: tf.Tensor,
    seeds: tf.Tensor,
    steps: int,
) -> ListenError | None:
    """Return the error that names the first component with a value that is not finite, or None.

    Args:
        classifier, objective, prior: in use.
        advance: takes one step, `advance(z, number) -> z`.
        z, targets, seeds: of the block, at its start.
        steps: number of steps.

    Raises:
        PluginError: a component failed when it was called.
    """
    for number in range(steps + 1):
        change = prior.move if number < steps and hasattr(prior, "move") else None
        if found := _blame_step(classifier, objective, prior, change, z, targets, seeds, number):
            return found
        if number < steps:
            z = advance(z, number)
    return None


def _blame_step(
    classifier: Classifier,
    objective: Objective,
    prior: Any,
    change: Callable | None,
    z: tf.Tensor,
    targets: tf.Tensor,
    seeds: tf.Tensor,
    number: int,
) -> ListenError | None:
    """Check all values that are computed from one latent."""
    step = f"at step {number}"
    features = prior.decode(z)
    if not _finite(features):
        return fault(prior, "the prior", f"decoded features that are not finite {step}")
    if not _finite(classifier.probabilities(features)):
        return ParameterError(
            f"the classifier gave probabilities that are not finite {step}; check it with "
            "keras-listen doctor, or take smaller steps"
        )
    if not _finite(objective(classifier, features, targets)):
        return fault(
            objective,
            "the objective",
            f"gave values that are not finite {step}; check the classifier with keras-listen "
            "doctor, or take smaller steps",
        )
    if not _finite(_gradient(lambda x: objective(classifier, x, targets), features)):
        return fault(objective, "the objective", f"has a gradient that is not finite {step}")
    if not _finite(_gradient(lambda x: objective(classifier, prior.decode(x), targets), z)):
        return fault(prior, "the prior", f"has a decode whose gradient is not finite {step}")
    if change is not None and not _finite(change(z, step=tf.constant(number), seeds=seeds)):
        return fault(prior, "the prior", f"has a move that is not finite {step}")
    return None


def require_gradient(
    classifier: Classifier, objective: Objective, prior: Any, z: tf.Tensor, targets: tf.Tensor
) -> None:
    """Raise an error if a plugin is the reason for a gradient of zero in a whole block.

    A saturated objective has one, too, but not on noise.

    Args:
        classifier, objective, prior: in use.
        z, targets: of the block, at its start.

    Raises:
        PluginError: a plugin is the reason.
    """
    features = prior.decode(z)
    generator = np.random.default_rng(0)
    noise = tf.constant(generator.uniform(size=features.shape), tf.float32)
    width = classifier.probabilities(noise).shape[1]
    aim = tf.constant(generator.normal(size=(1, width)), tf.float32)

    def is_flat(function: Callable[[tf.Tensor], tf.Tensor], *places: tf.Tensor) -> bool:
        gradients = [_gradient(function, place) for place in places]
        return not any(np.any(gradient) for gradient in gradients if gradient is not None)

    if (
        is_foreign(objective)
        and is_flat(lambda x: objective(classifier, x, targets), features, noise)
        and not is_flat(lambda x: aim * classifier.probabilities(x), noise)
    ):
        raise fault(objective, "", f"has a gradient of zero, on noise, too; {_FROM_FEATURES}")
    shaken = z + tf.constant(generator.normal(size=z.shape), tf.float32)
    if is_foreign(prior) and is_flat(lambda x: noise * prior.decode(x), z, shaken):
        raise fault(prior, "", f"decodes with a gradient of zero, from noise, too; {_FROM_LATENT}")


def _gradient(function: Callable[[Any], Any], place: tf.Tensor) -> tf.Tensor | None:
    """Return the gradient of a function's sum at a place; None where they are disconnected."""
    place = tf.identity(place)
    with tf.GradientTape() as tape:
        tape.watch(place)
        value = function(place)
    return tape.gradient(value, place)


def _finite(array: Any) -> bool:
    """Return whether all values are finite; a missing gradient counts as finite."""
    return array is None or bool(np.isfinite(array).all())
