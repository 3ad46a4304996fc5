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
#: How many times the others in the batch are louder.
_LOUDER = 1e4


def is_batch_coupled(compute: Callable[[Any], Any], input_shape: Sequence[int | None]) -> bool:
    """Find whether a model's answer for a sample changes with the others in its batch.

    A sample beside a far louder one, a far more negative one and silence is compared with the
    sample among copies of itself. A model that fails, gives no finite numbers for the copies, or
    does not give the same for each copy (because it is random) is not called coupled.

    Args:
        compute: from inputs [shape=(batch, ...)] to answers [shape=(batch, ...)].
        input_shape: of the model, with the batch.
    """
    if input_shape[0] is not None:
        return False
    noise = np.random.default_rng(0).uniform(-0.5, 1.0, probe_shape(input_shape))
    return any(_changes(compute, (level * noise).astype(np.float32)) for level in _LEVELS)


def _changes(compute: Callable[[Any], Any], sample: np.ndarray) -> bool:
    copies = np.stack([sample] * 4)
    mixed = np.stack([sample, _LOUDER * sample, -_LOUDER * np.abs(sample), 0 * sample])
    try:
        alone, beside = (
            ops.convert_to_numpy(ops.cast(compute(batch), "float32")) for batch in (copies, mixed)
        )
    except Exception:
        # Whoever computes the model meets the same error, with its reason.
        return False
    scale = np.abs(alone).max()
    tolerance = _TOLERANCE * scale
    if not np.isfinite(scale) or np.abs(alone - alone[0]).max() > tolerance:
        return False
    return not bool(np.abs(beside[0] - alone[0]).max() <= tolerance)


def apart(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return `function`, computed for each sample alone; gradients flow as through `function`."""
    return lambda batch: ops.map(lambda sample: function(sample[None])[0], batch)
