"""Objectives: functions of features that the ascent maximizes.

TensorFlow is imported when an objective is made, so that listing objectives takes no seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from ..errors import ParameterError
from ..hookspecs import hookimpl


def softmax(bundle: Any) -> Callable[..., Any]:
    """The target word's probability, as published.

    A start whose gradient has vanished climbs the logarithm until it has one.
    """
    import tensorflow as tf

    def objective(classifier: Any, features: Any, targets: Any) -> Any:
        return tf.gather(classifier.probabilities(features), targets, batch_dims=1)

    # For the engine.
    objective.steeper = log_probability(bundle)
    return objective


def logit(bundle: Any) -> Callable[..., Any]:
    """The target word's logit: what goes into the softmax, which cannot saturate."""
    import tensorflow as tf

    # Checked here, so that a model without logits is refused before any work.
    bundle.classifier.require_logits()

    def objective(classifier: Any, features: Any, targets: Any) -> Any:
        return tf.gather(classifier.logits(features), targets, batch_dims=1)

    return objective


def log_probability(bundle: Any) -> Callable[..., Any]:
    """The log of the target word's probability; unlike softmax, it hardly saturates."""
    import tensorflow as tf

    def objective(classifier: Any, features: Any, targets: Any) -> Any:
        if not classifier.has_logits:
            probabilities = classifier.probabilities(features)
            # The smallest normal number: below, single precision has no gradient.
            found = tf.math.log(tf.maximum(probabilities, 1.2e-38))
        elif classifier.head.multilabel:
            found = tf.math.log_sigmoid(classifier.logits(features))
        else:
            found = tf.nn.log_softmax(classifier.logits(features))
        return tf.gather(found, targets, batch_dims=1)

    return objective


def neuron(
    bundle: Any,
    *,
    layer: Annotated[str, "name of the layer"] = "dense_1",
    unit: Annotated[int, "position in the layer's last axis"] = 0,
    position: Annotated[
        str, "of a convolution: 'frame,mel' in its map, or 'mean' over it"
    ] = "mean",
) -> Callable[..., Any]:
    """The activation of one unit of any layer; samples have no target word.

    Where its relu is at zero, or another activation is flat, what goes into that takes its place.
    """
    import tensorflow as tf

    units = bundle.classifier.layer_shape(layer)
    if not 0 <= unit < units[-1]:
        raise ParameterError(f"unit {unit} of layer {layer}: expected 0 to {units[-1] - 1}")
    place = _position(position, layer, units[:-1])

    def of_unit(values: Any) -> Any:
        values = values[..., unit]
        if place:
            return values[(slice(None), *place)]
        return tf.reduce_mean(values, axis=list(range(1, len(values.shape))))

    def objective(classifier: Any, features: Any, targets: Any) -> Any:
        value = of_unit(classifier.activations(features, layer))
        if (rectifier := classifier.rectifier(layer)) is None:
            return value
        before = classifier.before_activation(features, layer)
        dead = _is_dead(lambda x: of_unit(rectifier.output(x)), before)
        return tf.where(dead, of_unit(rectifier.around(before)), value)

    objective.uses_targets = False
    objective.label = "-".join(str(part) for part in (layer, unit, *place))
    return objective


#: Slope of an activation, summed over a map, up to which a unit is dead: that of the engine.
_FLAT = 1e-5
#: Added to the input of an activation, this gives its largest value, or a large one.
_FAR = 1e4


def _is_dead(function: Callable[[Any], Any], before: Any) -> Any:
    """Return where a unit does not grow with the input of its activation, and could be larger.

    Args:
        function: from the input of the activation to the unit's value [shape=(batch,)].
        before: input of the activation [shape=(batch, ...)].

    Returns:
        bool [shape=(batch,)].
    """
    import tensorflow as tf

    before = tf.stop_gradient(before)
    with tf.GradientTape() as tape:
        tape.watch(before)
        value = function(before)
    slope = tf.nn.relu(tape.gradient(value, before))
    steep = tf.reduce_sum(slope, axis=list(range(1, len(slope.shape))))
    return (steep <= _FLAT) & (function(before + _FAR) > value)


def _position(text: str, layer: str, size: tuple[int, ...]) -> tuple[int, ...]:
    if text == "mean":
        return ()
    if not size:
        raise ParameterError(f"position {text!r}: layer {layer} is no map and has no positions")
    try:
        place = tuple(int(part) for part in text.split(","))
    except ValueError:
        place = ()
    if len(place) != len(size) or any(not 0 <= p < s for p, s in zip(place, size, strict=True)):
        raise ParameterError(
            f"position {text!r} of layer {layer}: expected 'mean' or {len(size)} numbers below "
            f"{', '.join(map(str, size))}, such as {','.join('0' for _ in size)}"
        )
    return place


@hookimpl
def register_objectives(register: Callable[..., None]) -> None:
    register("softmax", softmax)
    register("logit", logit)
    register("log-probability", log_probability)
    register("neuron", neuron)
