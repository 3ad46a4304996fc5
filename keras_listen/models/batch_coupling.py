"""Models whose answer for one sample depends on the others in its batch.

A maximum, mean or normalisation without an axis takes in the whole batch: so does Keras's
MelSpectrogram layer, whose decibels end `top_db` below the loudest of all sounds. Such a model is
computed one sample at a time, as if each were alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

from .probes import probe_shape

#: Difference, relative to the scale of the answers, above which it is more than rounding.
_TOLERANCE = 1e-4
#: Levels of the samples that are probed: features in [0, 1], soft sounds, decibels.
_LEVELS = (1.0, 0.01, 100.0)
#: Level of the loudest.
_LOUD = 1e6


def is_batch_coupled(compute: Callable[[Any], Any], input_shape: Sequence[int | None]) -> bool:
    """Find whether a model's answer for a sample changes with the others in its batch.

    Samples beside a far louder one, a far more negative one and silence are compared with each
    alone. A model that fails, gives no finite numbers for a sample alone, or does not give the same
    for each of its copies (because it is random) is not called coupled.

    Args:
        compute: from inputs [shape=(batch, ...)] to answers [shape=(batch, ...)].
        input_shape: of the model, with the batch.
    """
    if input_shape[0] is not None:
        return False
    noise = np.random.default_rng(0).uniform(-0.5, 1.0, probe_shape(input_shape))
    samples = [(level * noise).astype(np.float32) for level in _LEVELS]
    loud = (_LOUD * noise).astype(np.float32)
    try:
        beside = _answers(compute, [*samples, loud, -np.abs(loud), 0 * loud])
        for i, sample in enumerate(samples):
            if _differ(_answers(compute, [sample]), beside[i]):
                # Again in a batch of the same size: another size may be rounded differently.
                copies = _answers(compute, [sample] * len(beside))
                if not _differ(copies, copies[0]) and _differ(copies[:1], beside[i]):
                    return True
    except Exception:
        # Whoever computes the model meets the same error, with its reason.
        return False
    return False


def _answers(compute: Callable[[Any], Any], samples: Sequence[np.ndarray]) -> np.ndarray:
    return ops.convert_to_numpy(ops.cast(compute(np.stack(samples)), "float32"))


def _differ(alone: np.ndarray, other: np.ndarray) -> bool:
    """Return whether answers differ by more than rounding; not where they are not finite."""
    scale = np.abs(alone).max()
    if not np.isfinite(scale):
        return False
    return not bool(np.abs(alone - other).max() <= _TOLERANCE * scale)


def apart(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return `function`, computed for each sample alone; gradients flow as through `function`."""
    return lambda batch: ops.map(lambda sample: function(sample[None])[0], batch)
