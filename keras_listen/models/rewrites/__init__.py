"""Exact, faster ways to compute what Keras models compute, for the engine on a processor.

A model is a chain of layers; those that are known in one of three patterns are computed otherwise,
the rest by Keras as they are. Whatever is no chain, or has nothing that is known, is left alone.

- A convolution of one channel with relu and a max-pooling behind it: together, and backwards only
  where a maximum was.
- A convolution of an enlarged map: its products at the small size, added up at the large one.
- Dense without activation, then a convolution: both are linear and become one product.

The model stays what it is, and its weights are read when it is computed, so that training it
further is not lost. On a GPU the library is fast, and nothing is rewritten.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import keras

#: Set to 0 in the environment, it leaves every model to Keras.
SWITCH = "KERAS_LISTEN_REWRITES"


def enabled() -> bool:
    """Say whether models are rewritten here: on TensorFlow, without a GPU, unless switched off."""
    if os.environ.get(SWITCH, "1") == "0" or keras.backend.backend() != "tensorflow":
        return False
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
            from .patterns import find

            self._parts = find(model)
        self._model = model

    def __call__(self, x):
        """Compute the model's output."""
        if not self._parts:
            return self._model(x, training=False)
        for part in self._parts:
            x = part(x)
        return x

    def refresh(self) -> None:
        """Compute again what was computed from the weights ahead, if they have changed."""
        for part in self._parts:
            part.refresh()


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt as itself where TensorFlow made another error of it.

    Ctrl-C may arrive while TensorFlow waits for one of the compiled loops, which are called from
    Python.
    """
    try:
        yield
    except Exception as error:
        if "KeyboardInterrupt" in str(error):
            raise KeyboardInterrupt from None
        raise
