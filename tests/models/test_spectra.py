"""Frames and spectra against TensorFlow's own, values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from keras_listen.models import spectra


def sounds(samples: int, batch: int = 2) -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).normal(size=(batch, samples)), tf.float32)


def gradient(function, x: tf.Tensor) -> np.ndarray:
    """Gradient of a sum weighted at random, so that no two places count the same."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)
        weights = np.random.default_rng(1).normal(size=value.shape).astype(np.float32)
        total = tf.reduce_sum(weights * value)
    return tape.gradient(total, x).numpy()


@pytest.mark.parametrize(
    ("length", "step"), [(255, 128), (480, 320), (400, 160), (1024, 256), (30, 40)]
)
def test_frames_are_those_of_tensorflow(length, step):
    x = sounds(3001)
    ours, theirs = spectra.frame(x, length, step), tf.signal.frame(x, length, step)
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(
        gradient(lambda y: spectra.frame(y, length, step), x),
        gradient(lambda y: tf.signal.frame(y, length, step), x),
        rtol=1e-5,
        atol=1e-5,
    )


@pytest.mark.parametrize(("length", "step"), [(1024, 256), (400, 160)])
def test_overlapping_frames_add_up_as_in_tensorflow(length, step):
    x = tf.reshape(sounds(2 * 9 * length, 1), [2, 9, length])
    ours, theirs = spectra.overlap_and_add(x, step), tf.signal.overlap_and_add(x, step)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        gradient(lambda y: spectra.overlap_and_add(y, step), x),
        gradient(lambda y: tf.signal.overlap_and_add(y, step), x),
        rtol=1e-5,
        atol=1e-5,
    )


@pytest.mark.parametrize("power", [1, 2])
def test_magnitudes_are_those_of_tensorflow(power):
    x = tf.reshape(sounds(2 * 5 * 255, 1), [2, 5, 255])

    def theirs(y):
        return tf.abs(tf.signal.rfft(y, [256])) ** power

    np.testing.assert_allclose(spectra.magnitudes(x, 256, power), theirs(x), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        gradient(lambda y: spectra.magnitudes(y, 256, power), x),
        gradient(theirs, x),
        rtol=1e-4,
        atol=1e-3,
    )


def test_silence_has_a_gradient_of_zero():
    silent = tf.zeros((1, 3, 256))
    assert (gradient(lambda y: spectra.magnitudes(y, 256), silent) == 0).all()


def test_frames_of_magnitudes_and_phases():
    rng = np.random.default_rng(2)
    magnitude = tf.constant(rng.uniform(size=(2, 4, 100)), tf.float32)
    angle = rng.uniform(0, 2 * np.pi, (2, 4, 100))
    real, imaginary = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)

    def theirs(x):
        spectrum = tf.complex(x * real, x * imaginary)
        return tf.signal.irfft(tf.pad(spectrum, [[0, 0], [0, 0], [0, 29]]), [256])

    def ours(x):
        return spectra.frames_of(x, real, imaginary, 256)

    np.testing.assert_allclose(ours(magnitude), theirs(magnitude), atol=1e-6)
    np.testing.assert_allclose(gradient(ours, magnitude), gradient(theirs, magnitude), atol=1e-6)
