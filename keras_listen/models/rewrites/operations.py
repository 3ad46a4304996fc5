"""TensorFlow operations whose values and gradients are computed by the compiled loops."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import tensorflow as tf

from ..backend import tensorflow_threads
from . import kernels


def convolve_and_pool(
    x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, pool: tuple[int, int]
) -> tf.Tensor:
    """Convolve without padding, rectify, and take the largest value of each window.

    Args:
        x: maps of one channel [shape=(batch, height, width, 1)].
        kernel: [shape=(rows, columns, 1, filters)].
        bias: [shape=(filters,)].
        pool: height and width of a window, which is also the step from one to the next.

    Returns:
        [shape=(batch, height of the result, width of the result, filters)].
    """
    plan = _Plan(tuple(x.shape[1:3]), tuple(kernel.shape), pool)
    kernel, bias = tf.convert_to_tensor(kernel), tf.convert_to_tensor(bias)

    @tf.custom_gradient
    def apply(x):
        y, choice = tf.numpy_function(
            plan.forward, [x, kernel, bias], (tf.float32, tf.int32), stateful=False
        )
        y.set_shape((x.shape[0], *plan.result))

        def gradient(dy):
            arguments = [tf.convert_to_tensor(dy), choice, kernel]
            dx = tf.numpy_function(plan.back, arguments, tf.float32, stateful=False)
            dx.set_shape(x.shape)
            return dx

        return y, gradient

    return apply(x)


class _Plan:
    """Where `convolve_and_pool` finds the terms of each place, for one shape."""

    def __init__(self, size: tuple[int, int], kernel: tuple[int, ...], pool: tuple[int, int]):
        (height, width), (rows, columns, _, filters) = size, kernel
        down, across = -(-height // pool[0]), -(-width // pool[1])
        result = (height - rows + 1) // pool[0], (width - columns + 1) // pool[1]
        self.size, self.pool, self.result = size, pool, (*result, filters)
        self.stretch = _up(result[0] * across, kernels.STRETCH)
        reach = ((pool[0] + rows - 2) // pool[0]) * across + (pool[1] + columns - 2) // pool[1]
        self.length = max(down * across, self.stretch + reach)
        # Axes: place in a window, place in the kernel.
        i = np.arange(pool[0])[:, None, None, None] + np.arange(rows)[:, None]
        j = np.arange(pool[1])[:, None, None] + np.arange(columns)
        plane = (i % pool[0]) * pool[1] + j % pool[1]
        start = plane * self.length + (i // pool[0]) * across + j // pool[1]
        self.starts = start.reshape(pool[0] * pool[1], -1)

    def forward(
        self, x: np.ndarray, kernel: np.ndarray, bias: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        filters = self.result[-1]
        weights = np.ascontiguousarray(_filled(kernel.reshape(-1, filters), 0).T)
        # Terms that fill up have no weight; they may begin anywhere.
        spare = np.zeros((len(self.starts), weights.shape[1] - self.starts.shape[1]), np.int64)
        starts = np.concatenate([self.starts, spare], axis=1)
        y = aligned((len(x), *self.result), np.float32)
        choice = aligned((len(x), filters, self.stretch), np.int32)
        maps = x.reshape(-1, *self.size)

        def work(part: slice) -> None:
            kernels.convolve_and_pool(
                maps[part], starts, weights, bias, self.pool, self.length, y[part], choice[part]
            )

        in_parts(work, len(x))
        return y, choice

    def back(self, dy: np.ndarray, choice: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        weights = _filled(kernel.reshape(-1, self.result[-1]), 1)
        dx = aligned((len(dy), *self.size, 1), np.float32)
        maps = dx.reshape(-1, *self.size)

        def work(part: slice) -> None:
            kernels.convolve_and_pool_back(
                dy[part], choice[part], self.starts, weights, self.pool, self.length, maps[part]
            )

        in_parts(work, len(dy))
        return dx


def convolve_enlarged(
    x: tf.Tensor, taps: tf.Tensor, bias: tf.Tensor, factors: tuple[int, int], *, rectify: bool
) -> tf.Tensor:
    """Repeat rows and columns of a map, and convolve it with zeros around, "same" padding.

    Each value of the small map is multiplied with the kernel once, instead of once for each of its
    repetitions; what belongs to a place of the large map is added up afterwards.

    Args:
        x: [shape=(batch, height, width, channels)].
        taps: the kernel, channels first [shape=(channels, rows, columns, filters)].
        bias: [shape=(filters,)].
        factors: repetitions of rows and columns.
        rectify: whether a relu follows.

    Returns:
        [shape=(batch, height * factor, width * factor, filters)].
    """
    height, width, channels = x.shape[1:]
    _, rows, columns, filters = taps.shape
    large = (height * factors[0], width * factors[1] * filters)
    small = (height, width, rows, columns, filters)
    margins = ((rows - 1) // 2, (columns - 1) // 2)
    floor = np.float32(0 if rectify else -np.inf)
    products = tf.reshape(x, (-1, channels)) @ tf.reshape(taps, (channels, -1))
    products = tf.reshape(products, (-1, *small))
    bias = tf.tile(tf.convert_to_tensor(bias), [width * factors[1]])

    def forward(products, bias):
        y = aligned((len(products), *large), np.float32)

        def work(part: slice) -> None:
            kernels.add_up_taps(products[part], bias, factors, margins, floor, y[part])

        in_parts(work, len(y))
        return y

    def back(dy, y):
        products = aligned((len(dy), *small), np.float32)

        def work(part: slice) -> None:
            kernels.add_up_taps_back(dy[part], y[part], factors, margins, floor, products[part])

        in_parts(work, len(dy))
        return products

    @tf.custom_gradient
    def apply(products):
        y = tf.numpy_function(forward, [products, bias], tf.float32, stateful=False)
        y.set_shape((x.shape[0], *large))

        def gradient(dy):
            arguments = [tf.convert_to_tensor(dy), y]
            given = tf.numpy_function(back, arguments, tf.float32, stateful=False)
            given.set_shape(products.shape)
            return given

        return y, gradient

    return tf.reshape(apply(products), (-1, large[0], width * factors[1], filters))


def _up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def _filled(weights: np.ndarray, axis: int) -> np.ndarray:
    """Fill an axis up with zeros to a multiple of the terms that are added at once."""
    missing = -weights.shape[axis] % kernels.TERMS
    padding = [(0, missing if axis == i else 0) for i in range(weights.ndim)]
    return np.ascontiguousarray(np.pad(weights, padding))


def aligned(shape: tuple[int, ...], dtype) -> np.ndarray:
    """Return an empty array that TensorFlow takes over without copying it."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.empty(size + 64, np.uint8)
    first = -memory.ctypes.data % 64
    return memory[first : first + size].view(dtype).reshape(shape)


def in_parts(work: Callable[[slice], None], count: int) -> None:
    """Call `work` for parts of the samples, one on each processor core."""
    pool, threads = _pool()
    size = max(1, -(-count // threads))
    parts = [slice(first, min(first + size, count)) for first in range(0, count, size)]
    # This thread takes a part as well, instead of waiting for all of them.
    others = [pool.submit(work, part) for part in parts[1:]]
    for part in parts[:1]:
        work(part)
    for other in others:
        other.result()


@lru_cache(maxsize=1)
def _pool() -> tuple[ThreadPoolExecutor, int]:
    threads = tensorflow_threads()
    return ThreadPoolExecutor(threads, thread_name_prefix="keras-listen"), threads
