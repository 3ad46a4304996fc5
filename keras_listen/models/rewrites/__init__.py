"""Rewrites of Keras models: exact, faster computation on a CPU, for the engine.

In a model that is one chain of layers, those that match one of three patterns are computed by other
operations, the others by Keras. A model that is no chain, or has no match, is left alone.

- Conv2D of one channel with relu, then max-pooling: fused, and the gradient is computed only where
  a maximum was.
- Conv2D of an upsampled map: products at the small size, added up at the large one.
- Dense without activation, then Conv2D: both are linear and become one product.

The model itself is not changed, and its weights are read whenever it is computed, so further
training has its effect. On a GPU the library is fast, and nothing is rewritten.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import keras

#: Environment variable that turns rewrites off where it is 0.
SWITCH = "KERAS_LISTEN_REWRITES"


def enabled() -> bool:
    """Return whether models are rewritten: on TensorFlow, without a GPU, unless switched off."""
    if os.environ.get(SWITCH, "1") == "0" or keras.backend.backend() != "tensorflow":
        return False
    # Only now: Keras may run on another backend, without TensorFlow.
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")


class Rewritten:
    """A model as a function of its input, in inference mode; differentiable.

    Args:
        model: any Keras model of one input and one output.
    """

    def __init__(self, model: keras.Model):
        self._parts: list = []
        if enabled():
            # Imports TensorFlow.
            from .patterns import find

            self._parts = find(model)
        self._model = model

    def __call__(self, x):
        """Return the model's output."""
        if not self._parts:
            return self._model(x, training=False)
        for part in self._parts:
            x = part(x)
        return x

    def refresh(self) -> None:
        """Recompute what was precomputed from the weights, if they have changed."""
        for part in self._parts:
            part.refresh()


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt where TensorFlow turned it into an error of its own.

    Ctrl-C may arrive while TensorFlow waits for one of the compiled loops, which are called from
    Python.
    """
    try:
        yield
    except Exception as error:
        if "KeyboardInterrupt" in str(error):
            raise KeyboardInterrupt from None
        raise
