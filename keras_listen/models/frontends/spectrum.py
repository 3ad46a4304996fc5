"""Frames of sounds and their magnitudes, by one batched FFT."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ParameterError
from ...features import hann_half, sqrt_hann
from .settings import SpectrumSettings


def window_of(name: str, length: int) -> np.ndarray:
    """Return a window [shape=(length,), float64].

    Args:
        name: see `SpectrumSettings.window`.
        length: in samples.

    Raises:
        ParameterError: the name is unknown.
    """
    if name == "rect":
        return np.ones(length)
    if name in ("sqrt_hann", "hann_half"):
        return sqrt_hann(length) if name == "sqrt_hann" else hann_half(length)
    if name == "povey":
        return window_of("hann_symmetric", length) ** 0.85
    if name == "hann_tf":
        name = "hann_symmetric" if length % 2 else "hann"
    # Takes a quarter of a second to import, and the windows above do not need it.
    import scipy.signal

    symmetric = name.endswith("_symmetric")
    try:
        return scipy.signal.get_window(name.removesuffix("_symmetric"), length, not symmetric)
    except (ValueError, TypeError) as error:
        raise ParameterError(
            f"window is {name!r}; expected hann, hann_symmetric, hann_tf, hamming, povey, rect, "
            f"sqrt_hann or a name known to scipy.signal.get_window: {error}"
        ) from error


def margins(length: int, settings: SpectrumSettings) -> tuple[int, int, int]:
    """Return zeros before and after a sound, and the number of frames.

    The last frames may need more than the padding names; what is behind them may be negative.

    Args:
        length: of the sound, in samples.
        settings: of the front end.

    Raises:
        ParameterError: the sound is shorter than a frame.
    """
    span, step = settings.span, settings.step
    before, frames = 0, 1 + (length - span) // step
    if settings.padding == "center":
        before = span // 2
        frames = 1 + (length + 2 * before - span) // step
    elif settings.padding == "end":
        frames = -(-length // step)
    elif settings.padding == "fill":
        frames = 1 + max(0, -(-(length - span) // step))
    elif settings.padding == "edges":
        before = max(0, span - step)
        frames = (length + 2 * before - span) // step + (1 if length % step == 0 else 2)
    elif settings.padding == "same":
        frames = -(-length // step)
        before = max(0, (frames - 1) * step + span - length) // 2
    elif settings.padding == "kaldi":
        frames = (length + step // 2) // step
        before = span // 2 - step // 2
    if frames < 1:
        raise ParameterError(
            f"a sound of {length} samples is shorter than a frame of {span}; give longer sounds "
            "(seconds or samples), a shorter frame, or padding=fill"
        )
    return before, (frames - 1) * step + span - length - before, frames


class Spectrum:
    """Magnitudes of sounds to a power.

    Args:
        settings: of the front end.

    Raises:
        ParameterError: the window is unknown.
    """

    def __init__(self, settings: SpectrumSettings):
        self.settings = settings
        window = window_of(settings.window, settings.frame)
        divisor = {
            "none": 1.0,
            "fft": settings.transform,
            "window_power": np.sum(window**2),
            "window_sum": np.sum(window) ** 2,
        }[settings.scaling]
        if settings.place == "center":
            left = (settings.transform - settings.frame) // 2
            window = np.pad(window, (left, settings.transform - settings.frame - left))
        # The root of the power's divisor goes into the window.
        self._window = (window / np.sqrt(divisor)).astype(np.float32)
        self._kernels = None
        if settings.dft == "float32":
            self._kernels = [self._window[:, None] * wave for wave in rounded_waves(settings)]
        bins = settings.transform // 2 + 1
        self._doubled = np.full(bins, 2.0, np.float32)
        self._doubled[[0, -1]] = 1.0

    @property
    def bins(self) -> int:
        """Number of frequencies."""
        return self._doubled.size

    def __call__(self, sounds: Any) -> Any:
        """Return magnitudes [shape=(batch, frames, bins)] of sounds [shape=(batch, samples)]."""
        settings = self.settings
        frames = self.windowed(sounds)
        if self._kernels is not None:
            return self._by_kernels(frames)
        if settings.power == 1 and not settings.one_sided:
            return magnitudes(frames, settings.transform)
        return self._to_power(magnitudes(frames, settings.transform, 2.0))

    def _by_kernels(self, frames: Any) -> Any:
        import tensorflow as tf

        return self._to_power(sum(tf.matmul(frames, kernel) ** 2 for kernel in self._kernels))

    def _to_power(self, power: Any) -> Any:
        """Return magnitudes to the power that is set, from their squares."""
        import tensorflow as tf

        settings = self.settings
        if settings.one_sided:
            power *= self._doubled
        if settings.power == 2:
            return power
        # The derivative of a root is infinite at 0.
        safe = tf.where(power > 0, power, 1.0)
        return tf.where(power > 0, safe ** (settings.power / 2), 0.0)

    def windowed(self, sounds: Any) -> Any:
        """Return frames times the window, if kernels have it not [shape=(batch, frames, span)]."""
        import tensorflow as tf

        settings = self.settings
        frames = framed(sounds, settings)
        if settings.frame_mean:
            frames -= tf.reduce_mean(frames, axis=2, keepdims=True)
        if settings.frame_emphasis:
            before = tf.concat([frames[..., :1], frames[..., :-1]], axis=2)
            frames -= settings.frame_emphasis * before
        return frames if self._kernels is not None else frames * self._window


def rounded_waves(settings: SpectrumSettings) -> tuple[np.ndarray, np.ndarray]:
    """Return cosines and sines [shape=(frame, bins), float32] of angles rounded to float32.

    Angles grow to hundreds, so their rounding error is a few 1e-5. It is computed as Keras does.
    """
    bins = np.arange(settings.transform // 2 + 1, dtype=np.float32)
    time = np.arange(settings.frame, dtype=np.float32)
    turns = -2 * time[:, None] * (bins / np.float32(settings.transform))
    angles = turns * np.float32(np.pi)
    return np.cos(angles), np.sin(angles)


def framed(sounds: Any, settings: SpectrumSettings) -> Any:
    """Cut sounds [shape=(batch, samples)] into overlapping frames [shape=(batch, frames, span)]."""
    import tensorflow as tf

    length, mode = sounds.shape[1], settings.pad_mode
    before, after, frames = margins(length, settings)
    if mode != "constant":
        mirrored = [max(0, before), max(0, after)]
        if max(mirrored) >= length:
            raise ParameterError(
                f"a sound of {length} samples is too short to be mirrored for frames of "
                f"{settings.span}; give longer sounds, or pad_mode=constant"
            )
        sounds = tf.pad(sounds, [[0, 0], mirrored], mode)
        before = min(0, before)
    return joined_frames(sounds, before, frames, settings.span, settings.step)


def joined_frames(sounds: Any, before: int, frames: int, span: int, step: int) -> Any:
    """Cut sounds into overlapping frames, with zeros around as far as these reach.

    The frames are joined of steps, and their gradient adds these up where they came from: less than
    a fifth of the time that TensorFlow's own gradient takes.

    Args:
        sounds: tensor [shape=(batch, samples)].
        before: zeros before the first sample; below 0, samples that are left out.
        frames: number of frames.
        span: length of a frame, in samples.
        step: from one frame to the next, in samples.

    Returns:
        A tensor [shape=(batch, frames, span)].
    """
    import tensorflow as tf

    parts = -(-span // step)
    steps = frames + parts - 1
    sounds = sounds[:, max(0, -before) : steps * step - before]
    before = max(0, before)
    lacking = steps * step - before - sounds.shape[1]
    if before or lacking:
        sounds = tf.pad(sounds, [[0, 0], [before, lacking]])

    @tf.custom_gradient
    def compute(whole: Any) -> Any:
        rows = tf.reshape(whole, [-1, steps, step])
        pieces = [rows[:, k : k + frames, : min(step, span - k * step)] for k in range(parts)]

        def gradient(upstream: Any) -> Any:
            found = []
            for k in range(parts):
                piece = upstream[..., k * step : (k + 1) * step]
                margins = [k, parts - 1 - k], [0, step - piece.shape[-1]]
                found.append(tf.pad(piece, [[0, 0], *margins]))
            return tf.reshape(tf.add_n(found), [-1, steps * step])

        return tf.concat(pieces, axis=2), gradient

    return compute(sounds)


def magnitudes(frames: Any, length: int, power: float = 1.0) -> Any:
    """Return magnitudes of real frames, to the power of 1 or 2.

    The gradient is one inverse transform of the bins, half the time of TensorFlow's own; it is 0
    for frames of zeros.

    Args:
        frames: tensor [shape=(..., any)]; what is longer than the transform is cut, as NumPy does.
        length: of the transform.
        power: 1 or 2.

    Returns:
        A tensor [shape=(..., length // 2 + 1)].
    """
    import tensorflow as tf

    size = min(frames.shape[-1], length)
    # Each bin but the first, and the last of an even transform, stands for its mirror image, too.
    share = np.full(length // 2 + 1, length / 2, np.float32)
    share[0] = length
    if length % 2 == 0:
        share[-1] = length

    @tf.custom_gradient
    def compute(cut: Any) -> Any:
        spectrum = tf.signal.rfft(cut, [length])
        squares = tf.math.real(spectrum) ** 2 + tf.math.imag(spectrum) ** 2
        found = squares if power == 2 else tf.sqrt(squares)

        def gradient(upstream: Any) -> Any:
            slope = 2.0 * share if power == 2 else share * tf.math.reciprocal_no_nan(found)
            bins = tf.cast(upstream * slope, spectrum.dtype) * spectrum
            return tf.signal.irfft(bins, [length])[..., :size]

        return found, gradient

    return compute(frames[..., :size])
