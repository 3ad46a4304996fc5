"""What goes into the activation that a layer's output has come through, last of all.

A rectified unit whose input is below zero has no gradient. Its input has one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
from keras import layers

from .head import Compute

#: Layers whose `activation` is applied last, and to each value by itself.
_ACTIVATED = (
    layers.Dense,
    layers.EinsumDense,
    layers.Conv1D,
    layers.Conv2D,
    layers.Conv3D,
    layers.Conv1DTranspose,
    layers.Conv2DTranspose,
    layers.Conv3DTranspose,
    layers.DepthwiseConv1D,
    layers.DepthwiseConv2D,
    layers.SeparableConv1D,
    layers.SeparableConv2D,
)
#: Layers that are nothing but an activation; so are operations of `keras.ops.nn`.
_ACTIVATIONS = (layers.Activation, layers.ReLU, layers.LeakyReLU, layers.ELU)
#: Layers that do nothing in inference mode.
_IDLE = (
    layers.Dropout,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.Identity,
)
#: Layers whose units each depend on one or some units of their input, and rise or fall with them.
_PASSING = (
    layers.Flatten,
    layers.Reshape,
    layers.Permute,
    layers.BatchNormalization,
    layers.MaxPooling1D,
    layers.MaxPooling2D,
    layers.AveragePooling1D,
    layers.AveragePooling2D,
    layers.GlobalMaxPooling1D,
    layers.GlobalMaxPooling2D,
    layers.GlobalAveragePooling1D,
    layers.GlobalAveragePooling2D,
)


@dataclass(frozen=True)
class Rectifier:
    """The last activation before a layer's output.

    Attributes:
        parts: models from the network's input to that of the layer with the activation.
        linear: that layer without its activation.
        activation: function of each value by itself, in most cases.
        rest: layers behind it, in order.
    """

    parts: tuple[keras.Model, ...]
    linear: Callable
    activation: Callable
    rest: tuple[Callable, ...]

    def before(self, compute: Compute) -> Callable:
        """Return the function from the network's input to the input of the activation."""
        parts = [compute(part) for part in self.parts]

        def function(x: Any) -> Any:
            for part in parts:
                x = part(x)
            return self.linear(x)

        return function

    def output(self, values: Any) -> Any:
        """Return the layer's output from the input of the activation."""
        return self.around(self.activation(values))

    def around(self, values: Any) -> Any:
        """Return what the layer's output would be without the activation."""
        for layer in self.rest:
            values = layer(values)
        return values


def find_rectifier(model: keras.Model, tensor: keras.KerasTensor) -> Rectifier | None:
    """Find the last activation before a tensor; None where values come from elsewhere.

    Args:
        model: of one input.
        tensor: of its graph.
    """
    rest: list[Callable] = []
    while True:
        operation, use, _ = tensor._keras_history
        entering = operation._inbound_nodes[use].input_tensors
        if len(entering) != 1:
            return None
        if type(operation) in _PASSING:
            normalises = isinstance(operation, layers.BatchNormalization)
            rest.insert(0, partial(operation, training=False) if normalises else operation)
        elif type(operation) not in _IDLE:
            break
        tensor = entering[0]
    # Keras treats a list of one tensor differently from a tensor.
    before = () if entering[0] is model.inputs[0] else (keras.Model(model.inputs[0], entering[0]),)
    if isinstance(operation, keras.Model):
        if len(getattr(operation, "outputs", None) or ()) != 1:
            return None
        inner = find_rectifier(operation, operation.outputs[0])
        return inner and Rectifier(
            (*before, *inner.parts), inner.linear, inner.activation, (*inner.rest, *rest)
        )
    if type(operation) in _ACTIVATIONS or type(operation).__module__ == "keras.src.ops.nn":
        return Rectifier(before, lambda x: x, operation, tuple(rest))
    if type(operation) not in _ACTIVATED or operation.activation is keras.activations.linear:
        return None
    return Rectifier(before, _without_activation(operation), operation.activation, tuple(rest))


def _without_activation(layer: keras.Layer) -> Callable:
    """Return a layer's function without its activation; the weights are the layer's own."""
    # Not copy.copy, by which Keras saves a layer and opens it again.
    twin = object.__new__(type(layer))
    twin.__dict__.update(layer.__dict__, activation=None)
    return twin.call
