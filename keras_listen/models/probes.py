"""Inputs on which a model's behaviour is probed where its graph does not tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Length of an axis that may have any: of frames, and of a waveform.
_FRAMES, _SAMPLES = 64, 16000


def probe_shape(input_shape: Sequence[int | None]) -> tuple[int, ...]:
    """Return one shape that a model takes, without the batch.

    Args:
        input_shape: of the model, with the batch; None for an axis of any length.
    """
    sizes = tuple(input_shape)[1:]
    # An axis of any length with at most a channel behind it is that of a waveform.
    waveform = bool(sizes) and sizes[0] is None and all(size == 1 for size in sizes[1:])
    return tuple((_SAMPLES if waveform else _FRAMES) if s is None else s for s in sizes)


def varied_inputs(input_shape: Sequence[int | None]) -> np.ndarray:
    """Return eight inputs of very different level and sign [shape=(8, ...), float32].

    Four are uniform in [0, 1], as features are; the others are noise of levels up to 1000.
    """
    rng, shape = np.random.default_rng(0), probe_shape(input_shape)
    uniform = rng.uniform(size=(4, *shape))
    levels = np.array([0.1, 5.0, 60.0, 1000.0]).reshape(-1, *[1] * len(shape))
    means = np.array([0.0, -5.0, 60.0, 0.0]).reshape(levels.shape)
    return np.concatenate([uniform, means + levels * rng.normal(size=(4, *shape))]).astype(
        "float32"
    )
