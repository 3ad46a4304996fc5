"""Patterns of layers that have a faster equivalent, and how a model is divided into them."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from .operations import convolve_and_pool, convolve_enlarged


@dataclass(frozen=True)
class Step:
    """A layer with the tensors before and after it."""

    layer: keras.Layer
    before: keras.KerasTensor
    after: keras.KerasTensor


def chain(model: keras.Model) -> list[Step]:
    """Return the layers from a model's input to its output; empty where they are no chain."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        return []
    steps, after = [], model.outputs[0]
    while True:
        layer, use, _ = after._keras_history
        if isinstance(layer, layers.InputLayer):
            return steps[::-1]
        entering = layer._inbound_nodes[use].input_tensors
        if len(entering) != 1:
            return []
        steps.append(Step(layer, entering[0], after))
        after = entering[0]


def find(model: keras.Model) -> list[Part]:
    """Return the parts that compute a model in order; empty where no pattern is found."""
    found, run = [], []
    steps = chain(model)
    while steps:
        part = next((f for pattern in _PATTERNS if (f := pattern.match(steps))), None)
        if part is None:
            run.append(steps.pop(0))
            continue
        found += [*_as_it_is(run), part]
        run, steps = [], steps[part.length :]
    return [*found, *_as_it_is(run)] if found else []


def _as_it_is(run: list[Step]) -> list[Part]:
    return [_AsItIs(keras.Model(run[0].before, run[-1].after))] if run else []


class Part:
    """Some layers of a model, as a function of the first layer's input."""

    def refresh(self) -> None:
        """Recompute the prepared weights if the layers' weights have changed."""


class _AsItIs(Part):
    """Layers that are left to Keras."""

    def __init__(self, model: keras.Model):
        self._model = model

    def __call__(self, x):
        return self._model(x, training=False)


class _ConvolvedAndPooled(Part):
    """Conv2D of one channel, without padding and with relu, then MaxPooling2D."""

    length = 2

    def __init__(self, convolution: layers.Conv2D, pooling: layers.MaxPooling2D):
        self._convolution, self._pool = convolution, tuple(pooling.pool_size)

    @classmethod
    def match(cls, steps: list[Step]) -> Part | None:
        first, second = _types(steps, layers.Conv2D, layers.MaxPooling2D)
        if first is None or not _is_plain_convolution(first, "valid"):
            return None
        fits = (
            first.activation is keras.activations.relu
            and steps[0].before.shape[-1] == 1
            and second.padding == "valid"
            and tuple(second.strides) == tuple(second.pool_size)
            and second.data_format == "channels_last"
        )
        return cls(first, second) if fits else None

    def __call__(self, x):
        return convolve_and_pool(x, *_weights(self._convolution), self._pool)


class _Prepared(Part):
    """Layers whose kernels and biases are converted to another form ahead of time."""

    def __init__(self, *layers: keras.Layer):
        self._layers = layers
        self._seen = self._weights()
        self._prepared = [tf.Variable(x, trainable=False) for x in self._prepare(*self._seen)]

    def _weights(self) -> list[np.ndarray]:
        return [weight.numpy() for layer in self._layers for weight in _weights(layer)]

    def refresh(self) -> None:
        now = self._weights()
        if all(map(np.array_equal, now, self._seen)):
            return
        for variable, value in zip(self._prepared, self._prepare(*now), strict=True):
            variable.assign(value)
        self._seen = now


class _ConvolvedEnlarged(_Prepared):
    """UpSampling2D by repetition, then Conv2D with "same" padding."""

    length = 2

    def __init__(self, enlarging: layers.UpSampling2D, convolution: layers.Conv2D):
        super().__init__(convolution)
        self._factors, self._convolution = tuple(enlarging.size), convolution

    @classmethod
    def match(cls, steps: list[Step]) -> Part | None:
        first, second = _types(steps, layers.UpSampling2D, layers.Conv2D)
        if first is None or not _is_plain_convolution(second, "same"):
            return None
        fits = first.interpolation == "nearest" and first.data_format == "channels_last"
        return cls(first, second) if fits and np.prod(first.size) > 1 else None

    def _prepare(self, kernel, bias):
        return np.moveaxis(kernel, 2, 0), bias

    def __call__(self, x):
        activation = self._convolution.activation
        rectify = activation is keras.activations.relu
        y = convolve_enlarged(x, *self._prepared, self._factors, rectify=rectify)
        return y if rectify else activation(y)


class _Folded(_Prepared):
    """Dense without activation, Reshape, then Conv2D: computed as one matrix product."""

    length = 3

    def __init__(self, dense: layers.Dense, shape: tuple[int, ...], convolution: layers.Conv2D):
        self._shape, self._convolution = shape, convolution
        super().__init__(dense, convolution)

    @classmethod
    def match(cls, steps: list[Step]) -> Part | None:
        dense, _, convolution = _types(steps, layers.Dense, layers.Reshape, layers.Conv2D)
        if dense is None or not _is_plain_convolution(convolution):
            return None
        inputs, shape, result = steps[0].before.shape, steps[2].before.shape, steps[2].after.shape
        products = inputs[-1] * np.prod(result[1:])
        apart = inputs[-1] * dense.units + np.prod(result[1:-1]) * np.prod(convolution.kernel.shape)
        fits = (
            dense.activation is keras.activations.linear and len(inputs) == 2 and products <= apart
        )
        return cls(dense, tuple(shape[1:]), convolution) if fits else None

    def _prepare(self, kernel, bias, taps, offset):
        maps = np.concatenate([kernel, bias[None]]).reshape(-1, *self._shape)
        folded = tf.nn.conv2d(maps, taps, 1, self._convolution.padding.upper()).numpy()
        return folded[:-1].reshape(len(kernel), -1), folded[-1] + offset

    def __call__(self, x):
        kernel, bias = self._prepared
        y = tf.reshape(tf.matmul(x, kernel), (-1, *bias.shape)) + bias
        return self._convolution.activation(y)


_PATTERNS = (_ConvolvedAndPooled, _ConvolvedEnlarged, _Folded)


def _types(steps: list[Step], *wanted: type) -> list:
    """Return the next layers if they are of these very types, else as many None."""
    found = [step.layer for step in steps[: len(wanted)]]
    if [type(layer) for layer in found] == list(wanted) and all(map(_is_usual, found)):
        return found
    return [None] * len(wanted)


def _is_usual(layer: keras.Layer) -> bool:
    return layer.compute_dtype == "float32" and not getattr(layer, "quantization_mode", None)


def _is_plain_convolution(layer: layers.Conv2D, *paddings: str) -> bool:
    return (
        layer.padding in (paddings or ("valid", "same"))
        and layer.data_format == "channels_last"
        and (layer.groups, *layer.strides, *layer.dilation_rate) == (1, 1, 1, 1, 1)
    )


def _weights(layer) -> tuple:
    """Return kernel and bias as tensors; the bias is zero where there is none."""
    kernel = tf.convert_to_tensor(layer.kernel)
    bias = tf.convert_to_tensor(layer.bias) if layer.use_bias else tf.zeros(kernel.shape[-1])
    return kernel, bias
