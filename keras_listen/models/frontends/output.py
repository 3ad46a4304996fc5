"""The form of a front end's output: differences over time, normalisation and layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ParameterError
from .settings import AXES, Settings, SpectrumSettings
from .sound import safe_root


def statistics_of(settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation of the output, from the settings or their file.

    Returns:
        Two float32 arrays; they broadcast to (time, bands).

    Raises:
        ParameterError: a value is no finite number, a deviation is not above 0, or the file cannot
            be read or lacks an array.
    """
    if settings.statistics is not None:
        mean, deviation = _from_file(settings.statistics)
    else:
        mean, deviation = _numbers("mean", settings.mean), _numbers("deviation", settings.deviation)
    for name, values in (("mean", mean), ("deviation", deviation)):
        if not np.isfinite(values).all() or (name == "deviation" and not (values > 0).all()):
            above = " above 0" if name == "deviation" else ""
            raise ParameterError(f"{name} has values that are no finite numbers{above}")
    return mean, deviation


def _numbers(name: str, text: float | str) -> np.ndarray:
    try:
        values = np.array([float(part) for part in str(text).split(",")], np.float32)
    except ValueError:
        raise ParameterError(
            f"{name} is {text!r}; expected a number, or one for each band, with commas"
        ) from None
    return values if values.size > 1 else values.reshape(())


def _from_file(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name], np.float32) for name in file.files}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ParameterError(f"cannot read the statistics {path}: {error}") from error
    deviation = arrays.get("deviation", arrays.get("std"))
    if "mean" not in arrays or deviation is None:
        raise ParameterError(
            f"the statistics {path} have the arrays {', '.join(arrays) or 'none'}; expected mean "
            "and deviation (or std)"
        )
    return arrays["mean"].squeeze(), deviation.squeeze()


def with_deltas(values: Any, settings: SpectrumSettings) -> Any:
    """Append differences over time.

    Args:
        values: tensor [shape=(batch, frames, bands)].
        settings: of the front end.

    Returns:
        The values and one tensor for each order, joined along the bands, or stacked
        [shape=(batch, frames, bands, 1 + deltas)].
    """
    import tensorflow as tf

    parts = [values]
    for order in range(1, settings.deltas + 1):
        matrix = delta_matrix(values.shape[1], order, settings)
        parts.append(tf.einsum("tf,bfm->btm", matrix, values))
    joined = tf.concat(parts, axis=2) if settings.delta_axis == "bands" else tf.stack(parts, axis=3)
    return joined if settings.deltas else values


def delta_matrix(frames: int, order: int, settings: SpectrumSettings) -> np.ndarray:
    """Return the matrix [shape=(frames, frames), float32] of differences of an order over time.

    Raises:
        ParameterError: there are fewer frames than the difference needs.
    """
    # Slow to import, and few front ends need it.
    import scipy.signal

    width, edges = settings.delta_width, settings.delta_edges
    unit = np.eye(frames)
    if edges == "nearest":
        for _ in range(order):
            unit = scipy.signal.savgol_filter(unit, width, 1, deriv=1, axis=0, mode="nearest")
        return unit.astype(np.float32)
    if width > frames or order >= width:
        raise ParameterError(
            f"delta_width is {width}, but there are {frames} frames; expected at most as many, "
            "or delta_edges=nearest"
        )
    return scipy.signal.savgol_filter(
        unit, width, order, deriv=order, axis=0, mode="interp"
    ).astype(np.float32)


def of_frames(values: Any, settings: SpectrumSettings) -> Any:
    """Cut or pad values [shape=(batch, frames, ...)] to the number of frames that is set."""
    import tensorflow as tf

    if settings.frames is None:
        return values
    values = values[:, : settings.frames]
    lacking = settings.frames - values.shape[1]
    around = [[0, 0], [0, lacking]] + [[0, 0]] * (len(values.shape) - 2)
    return tf.pad(values, around, constant_values=settings.frames_value) if lacking else values


def normalized(values: Any, how: str, epsilon: float) -> Any:
    """Normalize each sample by itself; see `Settings.normalize`.

    Args:
        values: tensor [shape=(batch, time, ...)].
        how: the setting.
        epsilon: added to what is divided by.
    """
    import tensorflow as tf

    if how == "none":
        return values
    axes = [1] if how.endswith("_bands") else list(range(1, len(values.shape)))
    kind = how.removesuffix("_bands")
    if kind == "minmax":
        least = tf.reduce_min(values, axes, keepdims=True)
        extent = tf.reduce_max(values, axes, keepdims=True) - least + epsilon
        return (values - least) / tf.where(extent > 0, extent, 1.0)
    centered = values - tf.reduce_mean(values, axes, keepdims=True)
    if kind == "mean":
        return centered
    variance = tf.reduce_mean(centered**2, axes, keepdims=True)
    return centered / (safe_root(variance) + epsilon)


def arranged(values: Any, settings: Settings) -> Any:
    """Bring the axes into the order of the layout.

    Args:
        values: tensor [shape=(batch, time), (batch, time, bands) or (batch, time, bands, channel)].
        settings: of the front end.

    Returns:
        A tensor [shape=(batch, ...)].
    """
    import tensorflow as tf

    axes = settings.axes()
    have = ["time"] if type(settings) is Settings else list(AXES[: len(values.shape) - 1])
    if "channel" in axes and "channel" not in have:
        values = values[..., None]
        have.append("channel")
    order = [have.index(axis) + 1 for axis in axes]
    if order != sorted(order):
        values = tf.transpose(values, [0, *order])
    if settings.flat:
        values = tf.reshape(values, [-1, int(np.prod(values.shape[1:]))])
    return values
