"""Computing in one fixed, padded block.

A sample's bits depend on the shape of the batch it is computed in, but not on its place there nor
on its block-mates. So everything that must be reproducible is computed in blocks of one size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .errors import ParameterError

BLOCK_SIZE = 64


def spans(count: int, size: int) -> Iterator[slice]:
    """Cut `count` samples into blocks of `size`; the last may be shorter.

    Raises:
        ParameterError: the size is below 1.
    """
    if size < 1:
        raise ParameterError(f"the block size is {size}; expected at least 1")
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def pad_block(array: np.ndarray, size: int) -> np.ndarray:
    """Repeat the last row of `array` until there are `size` rows."""
    array = np.asarray(array)
    return np.concatenate([array, np.repeat(array[-1:], size - len(array), axis=0)])


def in_blocks(
    function: Callable[[np.ndarray], Any], array: np.ndarray, size: int = BLOCK_SIZE
) -> np.ndarray:
    """Apply `function` block by block and put the results together.

    Args:
        function: takes [shape=(size, ...)] and returns one row a sample.
        array: [shape=(samples, ...)], at least one sample.
        size: rows of a block.
    """
    parts = []
    for span in spans(len(array), size):
        block = array[span]
        parts.append(np.asarray(function(pad_block(block, size)))[: len(block)])
    return np.concatenate(parts)
