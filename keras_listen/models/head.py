"""The end of a model: what its outputs are, and a way around its last activation.

The model's graph tells most heads. Where the end is opaque (a SavedModel, a custom layer, an
average of probabilities) the outputs for a few very different inputs tell what they are, but then
there is no way around a softmax or sigmoid.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from ..errors import ParameterError, unknown
from .probes import varied_inputs
from .problem import Problem

#: Turns a model into a function of features, in inference mode.
Compute = Callable[[keras.Model], Callable]

#: Kinds that a user may name. With one output, "sigmoid" and "logits" stand for two words.
KINDS = ("softmax", "log-softmax", "logits", "sigmoid")

#: Layers and operations that pass values on as they are; all else may change them.
_TRANSPARENT = (
    layers.Dropout,
    layers.Flatten,
    layers.Reshape,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.Identity,
)
_TRANSPARENT_OPERATIONS = ("Reshape", "Squeeze", "ExpandDims", "Ravel", "Flatten")

#: Activations by kind, as Keras makes them from their names.
_KNOWN = {
    keras.activations.softmax: "softmax",
    keras.activations.log_softmax: "log-softmax",
    keras.activations.sigmoid: "sigmoid",
    keras.activations.hard_sigmoid: "hard sigmoid",
    keras.activations.linear: "linear",
}
_WITHOUT_LOGITS = (
    "rebuild it to end in one, or use the objective log-probability or softmax, which need none"
)
_NOT_LAST = Problem(
    "its softmax is not in a last Dense, Softmax or Activation layer",
    _WITHOUT_LOGITS,
)
_NO_WAY_AROUND = Problem(
    "its sigmoid is not in a last Dense or Activation layer",
    _WITHOUT_LOGITS,
)
_CONSTANT = Problem(
    "its softmax is over one output, whose probability is always 1",
    "let it end in a sigmoid, or in one output for each word",
)
_BOUNDED = "its outputs lie within 0 and 1, as probabilities do, and are taken as logits"


@dataclass(frozen=True)
class Head:
    """The end of a model, its logits and its probabilities.

    Attributes:
        kind: "softmax", "log-softmax" (the outputs are log probabilities), "logits", "sigmoid" (a
            probability for each word by itself), "single sigmoid" (one output, the probability of
            the second of two words), or "hidden softmax" (probabilities without logits).
        logits: function from features to logits [shape=(batch, words)], or None where there is
            none. Those of a single output x are -x / 2 and x / 2.
        probabilities: function from features to probabilities [shape=(batch, words)]; None where
            the model cannot be used.
        activate: function from logits to probabilities.
        problem: why there are no logits, or why the model cannot be used.
        note: what was assumed about the head without being sure; empty where it is sure.
    """

    kind: str
    logits: Callable | None = None
    probabilities: Callable | None = None
    activate: Callable = ops.softmax
    problem: Problem | None = None
    note: str = ""

    @property
    def sure(self) -> bool:
        """Whether the kind follows from the model, or from the user, beyond doubt."""
        return not self.note

    @property
    def multilabel(self) -> bool:
        """Whether each word has a probability of its own, so that none may be predicted."""
        return self.kind == "sigmoid"

    def decide(self, probabilities: Any) -> Any:
        """Return the position of the predicted word, -1 where none is.

        The most probable word is predicted; by sigmoids for several words only if its probability
        is above 0.5.

        Args:
            probabilities: NumPy array or TensorFlow tensor [shape=(..., words)].

        Returns:
            integers [shape=(...)], of the same library.
        """
        if isinstance(probabilities, np.ndarray):
            found = probabilities.argmax(axis=-1)
            return (
                np.where(probabilities.max(axis=-1) > 0.5, found, -1) if self.multilabel else found
            )
        # Takes seconds; whoever has a tensor has imported it.
        import tensorflow as tf

        found = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
        if not self.multilabel:
            return found
        return tf.where(tf.reduce_max(probabilities, axis=-1) > 0.5, found, -1)


def plainly(model: keras.Model) -> Callable:
    """Compute a model by Keras, in inference mode."""
    return lambda features: model(features, training=False)


def find_head(model: keras.Model, compute: Compute = plainly, kind: str | None = None) -> Head:
    """Find what a model's outputs are, and functions to its logits and probabilities.

    Args:
        model: of one input [shape=(batch, ...)] and one output [shape=(batch, outputs)].
        compute: makes the functions.
        kind: what the outputs are, one of `KINDS`; found out where None.

    Raises:
        ParameterError: there is no such kind.
    """
    if kind is not None and kind not in KINDS:
        raise ParameterError(unknown("head", kind, KINDS))
    end = _find_end(model)
    found = _kind_of_end(end, model)
    if kind is not None and (problem := _contradiction(kind, found, model)):
        return Head(kind, problem=problem)
    # There is no way around an activation that is not known.
    before = _logits_before(model, end, compute) if found else None
    note = ""
    if kind is None:
        kind, note = (found, "") if found else _probe(_outputs(model))
    elif kind == "logits" and found != "linear":
        outputs = _outputs(model)
        note = _BOUNDED if len(outputs) and _within_0_and_1(outputs) else ""
    elif kind == "sigmoid" and found != "hard sigmoid":
        if found == "linear" or not _within_0_and_1(_outputs(model)):
            return _sigmoid(model, compute, compute(model), ops.sigmoid)
        before = before if found == kind else None
    elif kind == "softmax" and found != kind:
        before = None
        note = "" if _sums_to_1(_outputs(model)) else "its outputs do not sum to 1"
    if found == "hard sigmoid" and kind in ("sigmoid", found):
        return _sigmoid(model, compute, before, end.activation)
    if kind == "sigmoid":
        return _sigmoid(model, compute, before, ops.sigmoid, note)
    return _normalised(model, compute, before, kind, note)


def _contradiction(kind: str, found: str | None, model: keras.Model) -> Problem | None:
    """Return why outputs cannot be what a user called them; None where they may be.

    Only what the model shows for every input that was tried counts, and not what its graph
    promises: a softmax may be over something else than the words.

    Args:
        kind: given by the user.
        found: what the graph tells, see `_kind_of_end`.
        model: with the outputs.
    """
    try:
        outputs = _outputs(model)
    except Exception:
        # Whoever computes the model meets the same error, with its reason.
        return None
    if not len(outputs) or found == kind:
        return None
    if found == "softmax" and outputs.shape[-1] == 1:
        return _CONSTANT
    several = outputs.shape[-1] > 1
    moving = several and bool(np.ptp(outputs, axis=0).max() >= 1e-6)
    softmax = (found == "softmax" or moving) and _sums_to_1(outputs)
    logarithms = (found == "log-softmax" or moving) and _are_log_probabilities(outputs)
    low, high = outputs.min(), outputs.max()
    # Sigmoids of two words may be trained to sum to 1.
    if softmax and (kind == "logits" or (kind == "sigmoid" and outputs.shape[-1] != 2)):
        text, right = "lie within 0 and 1, with the sum 1", "softmax"
    elif logarithms and kind == "sigmoid":
        text, right = "are logarithms of probabilities with the sum 1", "log-softmax"
    elif kind in ("softmax", "log-softmax") and not several:
        text, right = "are one value", "sigmoid"
    elif kind == "softmax" and not _within_0_and_1(outputs):
        text, right = f"reach from {low:.3g} to {high:.3g}", "logits"
        right = "log-softmax" if logarithms else right
    elif kind == "log-softmax" and not _are_log_probabilities(outputs, 1e-2):
        text = f"reach from {low:.3g} to {high:.3g}, and their exponentials do not sum to 1"
        within = "sigmoid" if _within_0_and_1(outputs) else "logits"
        right = "softmax" if softmax else within
    else:
        return None
    return Problem(
        f"its head was given as {kind}, but its outputs {text}",
        f"leave the head out, or give {right}",
    )


def _normalised(
    model: keras.Model, compute: Compute, before: Callable | None, kind: str, note: str
) -> Head:
    """Return the head of a model whose probabilities are a softmax."""
    single = model.output_shape[-1] == 1
    if single and kind in ("softmax", "log-softmax"):
        return Head("softmax", problem=_CONSTANT)
    if kind == "softmax" and before is None:
        return Head("hidden softmax", probabilities=compute(model), problem=_NOT_LAST, note=note)
    if kind == "softmax":
        return _with_logits(kind, before, ops.softmax, note)
    logits = compute(model)
    if single:
        logits = _pair(logits)
        note = note or "its one output is taken as the logit of the second word"
    return _with_logits("log-softmax" if kind == "log-softmax" else "logits", logits, note=note)


def _sigmoid(
    model: keras.Model,
    compute: Compute,
    before: Callable | None,
    activation: Callable,
    note: str = "",
) -> Head:
    """Return the head of a model whose outputs are `activation` of `before`."""
    single = model.output_shape[-1] == 1
    kind = "single sigmoid" if single else "sigmoid"
    if before is None:
        outputs = compute(model)
        probabilities = (lambda features: _both(outputs(features))) if single else outputs
        return Head(kind, None, probabilities, problem=_NO_WAY_AROUND, note=note)
    if not single:
        return _with_logits(kind, before, activation, note)
    if activation is ops.sigmoid:
        return _with_logits(kind, _pair(before), note=note)
    return _with_logits(
        kind, _pair(before), lambda x: _both(activation(x[..., 1:] - x[..., :1])), note
    )


def _with_logits(
    kind: str, logits: Callable, activate: Callable = ops.softmax, note: str = ""
) -> Head:
    return Head(kind, logits, lambda features: activate(logits(features)), activate, note=note)


def _pair(function: Callable) -> Callable:
    """Return logits of two words whose softmax is the sigmoid of a function's one value."""

    def logits(features: Any) -> Any:
        half = function(features) / 2
        return ops.concatenate([-half, half], axis=-1)

    return logits


def _both(probability: Any) -> Any:
    """Return the probabilities of both words from that of the second [shape=(batch, 1)]."""
    return ops.concatenate([1 - probability, probability], axis=-1)


@dataclass(frozen=True)
class _End:
    """The last layer or operation of a model that changes values.

    Attributes:
        operation: that one; None where its values are not those of the words alone.
        parts: models that give its input, computed one after the other.
    """

    operation: Any
    parts: tuple[keras.Model, ...] = ()

    @property
    def activation(self) -> Callable | None:
        """What it applies last; None where that is not known."""
        operation = self.operation
        if isinstance(operation, layers.Softmax):
            return keras.activations.softmax
        # A convolution's too: it tells the kind, though there is no way around it.
        known = layers.Dense, layers.Activation, layers.Conv1D, layers.Conv2D
        if isinstance(operation, known):
            return operation.activation
        module = type(operation).__module__
        return operation if module.startswith("keras.src.ops.nn") else None


def _find_end(model: keras.Model) -> _End:
    """Find the last layer that changes values, also inside of a model that is the last layer.

    A layer may have been used in other models before, so the model's own graph is followed.
    """
    tensor = model.outputs[0]
    while True:
        operation, use, _ = tensor._keras_history
        entering = operation._inbound_nodes[use].input_tensors
        if not _is_transparent(operation):
            break
        tensor = entering[0]
    # With more values than words, its softmax is over something else.
    if math.prod(size or 0 for size in tensor.shape[1:]) != model.output_shape[-1]:
        return _End(None)
    if len(entering) != 1:
        return _End(operation)
    # Keras treats a list of one tensor differently from a tensor.
    before = () if entering[0] is model.inputs[0] else (keras.Model(model.inputs[0], entering[0]),)
    if isinstance(operation, layers.TimeDistributed):
        return _End(operation.layer, before)
    if _is_graph(operation):
        inner = _find_end(operation)
        return _End(inner.operation, (*before, *inner.parts))
    return _End(operation, before)


def _is_transparent(operation: Any) -> bool:
    if isinstance(operation, layers.Activation):
        return operation.activation is keras.activations.linear
    if isinstance(operation, layers.TimeDistributed):
        operation = operation.layer
    kind = type(operation)
    from_ops = kind.__module__.startswith("keras.src.ops")
    return isinstance(operation, _TRANSPARENT) or (
        from_ops and kind.__name__ in _TRANSPARENT_OPERATIONS
    )


def _is_graph(operation: Any) -> bool:
    """Return whether a layer is a model that Keras computes along its graph, of one input."""
    kind = type(operation)
    if kind.__name__ not in ("Functional", "Sequential") or "keras." not in kind.__module__:
        return False
    ends = getattr(operation, "inputs", None), getattr(operation, "outputs", None)
    return all(end and len(end) == 1 for end in ends)


def _kind_of_end(end: _End, model: keras.Model) -> str | None:
    """Return what the graph tells: one of the kinds in `_KNOWN`, or None."""
    activation = end.activation
    if activation is None:
        return None
    try:
        known = _KNOWN.get(activation)
    except TypeError:  # a layer without a hash
        known = None
    return known or _kind_of_function(activation, model.output_shape[-1])


def _kind_of_function(activation: Callable, words: int) -> str | None:
    """Find what an activation computes, whatever its name and library, from its values."""
    values = np.random.default_rng(0).normal(0, 3, (4, words)).astype(np.float32)
    values[-1] = np.linspace(-50, 50, words) if words > 1 else 50
    try:
        found = ops.convert_to_numpy(activation(ops.convert_to_tensor(values)))
    except Exception:
        return None
    if found.shape != values.shape:
        return None
    for function, kind in _KNOWN.items():
        if np.allclose(found, ops.convert_to_numpy(function(values)), atol=1e-6):
            return kind
    # The formula of Keras 2, which has the same name.
    return "hard sigmoid" if np.allclose(found, np.clip(0.2 * values + 0.5, 0, 1)) else None


def _logits_before(model: keras.Model, end: _End, compute: Compute) -> Callable | None:
    """Return a function from features to what goes into the last activation."""
    layer = end.operation
    plain = isinstance(layer, layers.Softmax | layers.Activation) or not isinstance(
        layer, layers.Layer
    )
    if end.activation is None or not (plain or isinstance(layer, layers.Dense)):
        return None
    parts = [compute(part) for part in end.parts]
    shape = (-1, model.output_shape[-1])

    def logits(x: Any) -> Any:
        for part in parts:
            x = part(x)
        if not plain:
            x = ops.matmul(x, layer.kernel)
            x = x + layer.bias if layer.use_bias else x
        return ops.reshape(x, shape)

    return logits


def _outputs(model: keras.Model) -> np.ndarray:
    """Return a model's finite outputs for varied inputs [shape=(at most 8, outputs)]."""
    inputs = varied_inputs(model.input_shape)
    outputs = ops.convert_to_numpy(model(inputs, training=False)).astype(np.float64)
    return outputs[np.isfinite(outputs).all(axis=-1)]


def _within_0_and_1(outputs: np.ndarray) -> bool:
    return bool(((outputs >= 0) & (outputs <= 1)).all())


def _sums_to_1(outputs: np.ndarray) -> bool:
    return bool((outputs >= 0).all() and np.allclose(outputs.sum(axis=-1), 1.0, atol=1e-3))


def _are_log_probabilities(outputs: np.ndarray, tolerance: float = 1e-3) -> bool:
    total = np.log(np.exp(np.minimum(outputs, 50)).sum(axis=-1))
    return bool((outputs <= tolerance).all() and np.allclose(total, 0.0, atol=tolerance))


def _probe(outputs: np.ndarray) -> tuple[str, str]:
    """Return the kind that a model's outputs for varied inputs show, and a note if it is unsure."""
    if not len(outputs):
        return "logits", "it gave no finite numbers for any input that was tried"
    still = bool(np.ptp(outputs, axis=0).max() < 1e-6)
    note = "its outputs are the same for all inputs that were tried" if still else ""
    if outputs.shape[-1] > 1:
        if _sums_to_1(outputs):
            return "softmax", note
        if _are_log_probabilities(outputs):
            return "log-softmax", note
    if _within_0_and_1(outputs):
        if np.ptp(outputs) < 0.25:
            note = note or "its outputs lie within 0 and 1, but hardly differ between inputs"
        return "sigmoid", note and f"{note}; they are taken as sigmoids"
    if (outputs >= 0).all():
        note = note or "its outputs are never negative, but no probabilities"
    elif (np.abs(outputs) <= 1).all():
        note = note or "its outputs lie within -1 and 1"
    return "logits", note and f"{note}; they are taken as logits"
