"""Frames and spectra of sounds in TensorFlow, with gradients that take no longer than the values.

TensorFlow's own gradients of framing scatter samples one by one, and those of real transforms pass
over complex arrays several times. Each operation here is linear or nearly so, and its gradient is
the operation that goes the other way.
"""

from __future__ import annotations

import tensorflow as tf

#: Squared magnitude below which a spectrum has no direction: its gradient is zero there.
_SILENT = 1e-30


def frame(sounds: tf.Tensor, length: int, step: int) -> tf.Tensor:
    """Cut sounds into frames that begin every `step` samples; an incomplete last one is left out.

    Args:
        sounds: [shape=(batch, samples)], not shorter than a frame.
        length, step: of the frames, in samples.

    Returns:
        [shape=(batch, frames, length)].
    """
    samples = sounds.shape[1]

    @tf.custom_gradient
    def apply(x: tf.Tensor):
        return _cut(x, length, step), lambda dy: _add(dy, step, samples)

    return apply(sounds)


def overlap_and_add(frames: tf.Tensor, step: int) -> tf.Tensor:
    """Add up frames that begin every `step` samples.

    Args:
        frames: [shape=(batch, frames, length)].
        step: in samples.

    Returns:
        [shape=(batch, (frames - 1) * step + length)].
    """
    length = frames.shape[2]
    samples = (frames.shape[1] - 1) * step + length

    @tf.custom_gradient
    def apply(x: tf.Tensor):
        return _add(x, step, samples), lambda dy: _cut(dy, length, step)

    return apply(frames)


def magnitudes(frames: tf.Tensor, n_fft: int, power: int = 1) -> tf.Tensor:
    """Return magnitudes of the spectra of frames, or their squares.

    Args:
        frames: windowed [shape=(..., length)]; filled with zeros to `n_fft`.
        n_fft: even length of the transform.
        power: 1 or 2.

    Returns:
        [shape=(..., n_fft // 2 + 1)]. The gradient of a magnitude of 0 is 0.
    """
    length = frames.shape[-1]

    @tf.custom_gradient
    def apply(x: tf.Tensor):
        spectrum = tf.signal.rfft(x, [n_fft])
        real, imaginary = tf.math.real(spectrum), tf.math.imag(spectrum)
        squares = real * real + imaginary * imaginary
        value = squares if power == 2 else tf.sqrt(squares)

        def gradient(dy: tf.Tensor) -> tf.Tensor:
            scale = 2.0 * dy if power == 2 else dy * tf.math.rsqrt(tf.maximum(squares, _SILENT))
            return _from_spectrum(scale * real, scale * imaginary, n_fft, length)

        return value, gradient

    return apply(frames)


def frames_of(magnitude: tf.Tensor, real: tf.Tensor, imaginary: tf.Tensor, n_fft: int) -> tf.Tensor:
    """Return the frames whose spectra have given magnitudes and phases.

    Args:
        magnitude: [shape=(..., bins)]; bins above are zero.
        real, imaginary: phases on the unit circle [shape=(..., bins)]; they have no gradient.
        n_fft: even length of the transform.

    Returns:
        [shape=(..., n_fft)].
    """
    bins = magnitude.shape[-1]

    @tf.custom_gradient
    def apply(x: tf.Tensor):
        frames = tf.signal.irfft(tf.complex(x * real, x * imaginary), [n_fft])

        def gradient(dy: tf.Tensor) -> tf.Tensor:
            spectrum = tf.signal.rfft(dy)[..., :bins]
            along = tf.math.real(spectrum) * real + tf.math.imag(spectrum) * imaginary
            return along * _weights(bins, n_fft, 1 / n_fft, 2 / n_fft)

        return frames, gradient

    return apply(magnitude)


def _from_spectrum(real: tf.Tensor, imaginary: tf.Tensor, n_fft: int, length: int) -> tf.Tensor:
    """Return the transpose of the real transform, cut to `length` [shape=(..., length)]."""
    weights = _weights(real.shape[-1], n_fft, float(n_fft), n_fft / 2)
    return tf.signal.irfft(tf.complex(real * weights, imaginary * weights), [n_fft])[..., :length]


def _weights(bins: int, n_fft: int, single: float, double: float) -> tf.Tensor:
    """Return a factor a bin: `single` at 0 and Nyquist, which stand for themselves only."""
    factors = [single] + [double] * (bins - 1)
    if bins == n_fft // 2 + 1:
        factors[-1] = single
    return tf.constant(factors, tf.float32)


def _cut(sounds: tf.Tensor, length: int, step: int) -> tf.Tensor:
    samples = sounds.shape[1]
    count, parts = 1 + (samples - length) // step, -(-length // step)
    wanted = (count + parts - 1) * step
    # Frames of whole steps are slices side by side; what is too much is cut off.
    padded = tf.pad(sounds, [[0, 0], [0, max(0, wanted - samples)]])[:, :wanted]
    pieces = tf.reshape(padded, [-1, count + parts - 1, step])
    frames = tf.concat([pieces[:, k : k + count] for k in range(parts)], axis=2)
    return frames[..., :length]


def _add(frames: tf.Tensor, step: int, samples: int) -> tf.Tensor:
    """Transpose `_cut`: add frames up, to sounds [shape=(batch, samples)]."""
    count, length = frames.shape[1:]
    parts = -(-length // step)
    if length % step:
        frames = tf.pad(frames, [[0, 0], [0, 0], [0, parts * step - length]])
    pieces = tf.reshape(frames, [-1, count, parts, step])
    total = tf.add_n(
        [tf.pad(pieces[:, :, k], [[0, 0], [k, parts - 1 - k], [0, 0]]) for k in range(parts)]
    )
    flat = tf.reshape(total, [-1, (count + parts - 1) * step])
    room = samples - flat.shape[1]
    return tf.pad(flat, [[0, 0], [0, room]]) if room > 0 else flat[:, :samples]
