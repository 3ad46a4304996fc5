"""Compute in padded blocks of one size, so that results are reproducible bit for bit.

A sample's bits depend on the shape of the batch it is computed in. In most batches they also depend
on its position: matrix products take rows in panels of 24, and the remainder goes through another
kernel. So everything that must be reproducible is computed in blocks of one size, whose rows are
padded to whole panels; there a sample has the same bits at any position (measured with AVX2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..errors import ParameterError

#: Rows that a matrix product takes at once.
_PANEL = 24

#: Samples in a block: whole panels, so that no padding is needed.
BLOCK_SIZE = 3 * _PANEL


def spans(count: int, size: int) -> Iterator[slice]:
    """Divide `count` samples into blocks of `size`; the last may be shorter.

    Raises:
        ParameterError: the size is below 1.
    """
    if size < 1:
        raise ParameterError(f"the block size is {size}; expected at least 1")
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def pad_block(array: np.ndarray, size: int) -> np.ndarray:
    """Pad `array` to the rows of a block of `size` samples by repeating its last row."""
    array = np.asarray(array)
    rows = -(-size // _PANEL) * _PANEL
    return np.concatenate([array, np.repeat(array[-1:], rows - len(array), axis=0)])


def in_blocks(
    function: Callable[[np.ndarray], Any], array: np.ndarray, size: int = BLOCK_SIZE
) -> np.ndarray:
    """Apply `function` block by block and concatenate the results.

    Args:
        function: takes a padded block [shape=(rows, ...)] and returns one row for each row.
        array: [shape=(samples, ...)], at least one sample.
        size: samples in a block.
    """
    parts = []
    for span in spans(len(array), size):
        block = array[span]
        parts.append(np.asarray(function(pad_block(block, size)))[: len(block)])
    return np.concatenate(parts)
