"""What Keras 2 files need and Keras 3 lacks: the old hard sigmoid, TensorFlow functions by name."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

#: Parts of TensorFlow whose functions only compute.
_PURE = ("math.", "nn.", "signal.", "linalg.")
#: Functions elsewhere that only compute; those for operators stand in `_OPERATORS`.
_SINGLE = frozenset(
    """abs add broadcast_to cast clip_by_value concat cos divide exp expand_dims gather identity
    image.resize matmul maximum minimum multiply negative ones_like pad pow repeat reshape reverse
    round shape sigmoid sign sin split sqrt square squeeze stack subtract tanh tensordot tile
    transpose unstack where zeros_like reduce_max reduce_mean reduce_min reduce_prod
    reduce_sum""".split()
)
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


@keras.saving.register_keras_serializable("keras_listen")
class TensorFlowFunction(keras.layers.Layer):
    """Calls a function of TensorFlow that Keras 2 stored by name.

    Args:
        function: its name without `tf.`, one that `is_pure` knows.

    Raises:
        ValueError: another function.
    """

    def __init__(self, function: str, **settings: Any):
        super().__init__(**settings)
        if not is_pure(function):
            raise ValueError(f"tf.{function} is not among the functions that may be called")
        self.function = function

    def call(self, *values: Any, **settings: Any) -> Any:
        """Call the function as Keras 2 did."""
        settings.pop("name", None)
        if (window := settings.get("window_fn")) and str(window).endswith("_window"):
            settings["window_fn"] = getattr(tf.signal, str(window))
        place, _, name = self.function.rpartition(".")
        if place == "__operators__":
            return _OPERATORS[name](*values, **settings)
        return _find(self.function)(*values, **settings)

    def get_config(self) -> dict[str, Any]:
        """Return the settings, for saving."""
        return super().get_config() | {"function": self.function}


def is_pure(function: str) -> bool:
    """Return whether a function of TensorFlow, named without `tf.`, only computes."""
    place, _, name = function.rpartition(".")
    if place == "__operators__":
        return name in _OPERATORS
    known = function in _SINGLE or (function.startswith(_PURE) and function.count(".") == 1)
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
