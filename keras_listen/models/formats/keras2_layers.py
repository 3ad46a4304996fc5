"""What Keras 2 files need and Keras 3 lacks: the old hard sigmoid, TensorFlow functions by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

#: Parts of TensorFlow whose functions only compute.
_PURE = ("math.", "nn.", "signal.", "linalg.")
#: Functions elsewhere that only compute; those for operators stand in `_OPERATORS`.
_NAMES = """
abs add broadcast_to cast clip_by_value concat convert_to_tensor cos divide einsum
ensure_shape exp expand_dims eye fill floor gather gather_nd identity
image.grayscale_to_rgb image.per_image_standardization image.resize matmul maximum minimum
multiply negative norm one_hot ones ones_like pad pow range rank reduce_max reduce_mean
reduce_min reduce_prod reduce_sum repeat reshape reverse roll round shape sigmoid sign sin
size slice split sqrt square squeeze stack strided_slice subtract tanh tensordot tile
transpose unstack where zeros zeros_like
"""
_SINGLE = frozenset(_NAMES.split())
_OPERATORS = {
    "add": lambda x, y: x + y,
    "radd": lambda x, y: y + x,
    "sub": lambda x, y: x - y,
    "rsub": lambda x, y: y - x,
    "mul": lambda x, y: x * y,
    "rmul": lambda x, y: y * x,
    "truediv": lambda x, y: x / y,
    "rtruediv": lambda x, y: y / x,
    "pow": lambda x, y: x**y,
    "rpow": lambda x, y: y**x,
    "neg": lambda x: -x,
    "abs": tf.abs,
    "matmul": tf.matmul,
    "getitem": lambda tensor, slice_spec: tensor[_slices(slice_spec)],
}


@keras.saving.register_keras_serializable("keras_listen")
def hard_sigmoid(x: Any) -> Any:
    """Compute Keras 2's hard sigmoid, clip(0.2 x + 0.5, 0, 1); Keras 3 has x / 6 + 0.5."""
    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)


class TensorFlowFunction(keras.layers.Layer):
    """Calls a function of TensorFlow that Keras 2 stored by name.

    Args:
        function: its name without `tf.`, one that `is_pure` knows.
        arguments: the values that it is called on, `Place(i)` for the i-th tensor.
        keywords: those that it is called on by name.

    Raises:
        ValueError: another function.
    """

    def __init__(
        self,
        function: str,
        arguments: Sequence[Any] = (),
        keywords: Mapping[str, Any] | None = None,
        **settings: Any,
    ):
        super().__init__(**settings)
        if not is_pure(function):
            raise ValueError(f"tf.{function} is not among the functions that may be called")
        self.function, self._arguments = function, tuple(arguments)
        # In a tuple, so that Keras does not track it as parts of the layer.
        self._keywords = (dict(keywords or {}),)

    def call(self, *tensors: Any) -> Any:
        """Call the function on tensors, in the order of their places."""
        values = [_filled(value, tensors) for value in self._arguments]
        keywords = {
            key: _filled(value, tensors)
            for key, value in self._keywords[0].items()
            if key != "name"
        }
        if str(window := keywords.get("window_fn")).endswith("_window"):
            keywords["window_fn"] = getattr(tf.signal, str(window))
        place, _, name = self.function.rpartition(".")
        function = _OPERATORS[name] if place == "__operators__" else _find(self.function)
        return function(*values, **keywords)


@dataclass(frozen=True)
class Place:
    """Stands for a tensor among the stored arguments of a function."""

    number: int


def split_tensors(value: Any, tensors: list[Any]) -> Any:
    """Return a value with its tensors replaced by places; append them to `tensors`."""
    if isinstance(value, keras.KerasTensor):
        tensors.append(value)
        return Place(len(tensors) - 1)
    if isinstance(value, list | tuple):
        return [split_tensors(part, tensors) for part in value]
    if isinstance(value, Mapping):
        return {key: split_tensors(part, tensors) for key, part in value.items()}
    return value


def _filled(value: Any, tensors: Sequence[Any]) -> Any:
    """Return a value with places replaced by their tensors."""
    if isinstance(value, Place):
        return tensors[value.number]
    if isinstance(value, list | tuple):
        return [_filled(part, tensors) for part in value]
    if isinstance(value, Mapping):
        return {key: _filled(part, tensors) for key, part in value.items()}
    return value


def is_pure(function: str) -> bool:
    """Return whether a function of TensorFlow, named without `tf.`, only computes."""
    place, _, name = function.rpartition(".")
    if place == "__operators__":
        return name in _OPERATORS
    # Some have a first form, with other arguments, under the same name.
    plain = function.removeprefix("compat.v1.")
    known = plain in _SINGLE or (plain.startswith(_PURE) and plain.count(".") == 1)
    return known and callable(_find(function))


def _find(function: str) -> Any:
    found: Any = tf
    for part in function.split("."):
        found = getattr(found, part, None)
    return found


def _slices(stored: Any) -> Any:
    """Return an index from what Keras 2 wrote of it."""
    if isinstance(stored, list | tuple):
        return tuple(_slices(part) for part in stored)
    if isinstance(stored, dict):
        if stored.get("class_name") == "__ellipsis__":
            return Ellipsis
        return slice(stored["start"], stored["stop"], stored["step"])
    return int(stored) if isinstance(stored, float | np.integer) else stored
