"""Checks of what the methods of components return: shape, dtype and values.

Each function checks one result and returns what is wrong with it, or "". While TensorFlow traces,
tensors have a shape and a dtype but no values.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ReadError


def _anything(made: Any, result: Any, *given: Any, **named: Any) -> str:
    return ""


def _latents(made: Any, result: Any, *given: Any, **named: Any) -> str:
    """Check what `start(targets, seeds)` or `encode(features)` returned."""
    count = len((*given, *named.values())[0])
    if wrong := _not_numbers(result):
        return wrong
    if len(result.shape) < 2 or len(result) != count:
        return f"returned {_about(result)}; expected ({count}, ...), a latent a sample"
    if _holds_values(result) and not np.isfinite(result).all():
        return "returned values that are not finite"
    return ""


def _features(made: Any, result: Any, z: Any) -> str:
    """Check what `decode(z)` returned."""
    return _differs(result, (z.shape[0], made.spec.frames, made.spec.n_mels, 1))


def _change(made: Any, result: Any, z: Any, **settings: Any) -> str:
    """Check what `move(z, step, seeds)` returned."""
    return _differs(result, tuple(z.shape))


def _values(made: Any, result: Any, classifier: Any, features: Any, targets: Any) -> str:
    """Check what an objective returned."""
    return _differs(result, (features.shape[0],))


def _sounds(made: Any, result: Any, features: Any, seeds: Any) -> str:
    """Check what `synthesize(features, seeds)` returned."""
    if wrong := _not_numbers(result):
        return wrong
    if len(result.shape) != 2 or result.shape[0] != len(features):
        return f"returned {_about(result)}; expected ({len(features)}, samples)"
    if not np.isfinite(result).all():
        return "returned sounds with values that are not finite"
    return ""


def _inputs(made: Any, result: Any, sounds: Any) -> str:
    """Check what a front end returned."""
    shape = _known_shape(result) if hasattr(result, "shape") else None
    if shape is None or len(shape) < 2:
        return _differs(result, (sounds.shape[0], None))
    return _differs(result, (sounds.shape[0], *shape[1:]))


def _recording(made: Any, result: Any, sound: Any) -> str:
    """Check what `fit(sound)` returned."""
    return _differs(result, (made.samples,))


def _seconds(made: Any, result: Any, *given: Any, **named: Any) -> str:
    """Check what `seconds_for(sounds, frames)` returned."""
    return "" if isinstance(result, Real) else f"returned {short(result)}; expected seconds"


#: Check of each method, by kind of component and name of the method.
CHECKS: dict[tuple[str, str], Callable[..., str]] = {
    ("prior", "start"): _latents,
    ("prior", "encode"): _latents,
    ("prior", "decode"): _features,
    ("prior", "move"): _change,
    ("prior", "refresh"): _anything,
    ("objective", "__call__"): _values,
    ("vocoder", "synthesize"): _sounds,
    ("vocoder", "seconds_for"): _seconds,
    ("frontend", "__call__"): _inputs,
    ("frontend", "fit"): _recording,
}


def wrong_pair(pair: Any, path: Path) -> str:
    """Check the pair that a reader yielded for a path; return what is wrong with it, or ""."""
    if pair is None:
        return f"gave nothing for {path}; expected a pair for every path, in order"
    if not _is_pair(pair) or Path(pair[0]) != Path(path):
        return f"gave {short(pair)} for {path}; expected (path, samples) of it, in order"
    if isinstance(pair[1], ReadError):
        return ""
    if wrong := _not_numbers(pair[1]):
        return f"{path}: {wrong}"
    if len(pair[1].shape) != 1:
        return f"{path}: returned {_about(pair[1])}; expected (samples,), mono"
    return ""


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str | Path)


def _not_numbers(result: Any) -> str:
    """Return what is wrong with a result that is no array of floating-point numbers, or ""."""
    if not hasattr(result, "shape") or not hasattr(result, "dtype"):
        return f"returned {short(result)}; expected an array"
    if not np.issubdtype(_dtype(result), np.floating):
        return f"returned {_about(result)}; expected floating-point numbers"
    return ""


def _differs(result: Any, shape: tuple[int | None, ...]) -> str:
    """Return in what a result differs from a float32 tensor of a shape, or ""."""
    wanted = f"{shape} of float32"
    if not hasattr(result, "shape") or not hasattr(result, "dtype"):
        return f"returned {short(result)}; expected a tensor {wanted}"
    found = _known_shape(result)
    fits = (
        found is not None
        and len(found) == len(shape)
        and all(a == b or a is None or b is None for a, b in zip(found, shape, strict=True))
    )
    if fits and _dtype(result) == np.float32:
        return ""
    return f"returned {_about(result)}; expected {wanted}"


def _known_shape(array: Any) -> tuple[int | None, ...] | None:
    """Return the shape of an array; None for a traced tensor of unknown rank."""
    try:
        return tuple(array.shape)
    except ValueError:
        return None


def _dtype(array: Any) -> np.dtype:
    return np.dtype(getattr(array.dtype, "as_numpy_dtype", array.dtype))


def _holds_values(array: Any) -> bool:
    """Return whether an array has values; a traced tensor has none."""
    return isinstance(array, np.ndarray) or hasattr(array, "numpy")


def _about(array: Any) -> str:
    shape = _known_shape(array)
    return f"{'an unknown shape' if shape is None else shape} of {_dtype(array).name}"


def short(value: Any) -> str:
    """Return the repr of a value for a message, or its type if that is too long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{type(value).__name__}"
