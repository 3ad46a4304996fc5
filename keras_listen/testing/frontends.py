"""Check the contract of front ends."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np

from ..plugins import Component
from .factory import refuses_politely, subject_of
from .gradients import gradient, traced
from .sounds import voice
from .subject import Subject

_CALL = "frontend(sounds)"
#: Sounds beside voices: silence, one that is padded, a quiet and a clipped one.
_VOICES, _SILENT = 3, 3
_MEND_GRADIENT = (
    "use differentiable TensorFlow operations; where a root or a logarithm of 0 can be, add a "
    "small number before it, or choose with tf.where both before and after it"
)


def check_frontend(frontend: str | Component | Callable, **options: Any) -> Any:
    """Check that a front end keeps its contract, see `hookspecs.register_frontends`.

    Args:
        frontend: name of an installed front end, a component of a registry, or a factory.
        options: of the factory.

    Returns:
        What the factory made.

    Raises:
        ContractBroken: the contract is broken; the message says how, and how to mend it.
        ListenError: there is no such front end, or an option is unknown or refused.
    """
    subject = subject_of("frontend", frontend, None, options)
    _check_attributes(subject)
    sounds = _sounds(subject.made)
    compute = traced(subject, _CALL, subject.made)
    found = subject.alone_and_among(_CALL, compute, sounds)
    _check_inputs(subject, found, sounds)
    _check_gradients(subject, found, sounds)
    _check_fit(subject)
    refuses_politely(subject, lambda made: made(_sounds(made)[:1]))
    return subject.made


def _sounds(made: Any) -> np.ndarray:
    """Return sounds [shape=(7, samples), float32], of which number `_SILENT` is silent."""
    length = made.samples or made.sample_rate
    voices = np.stack([voice(number, length, made.sample_rate) for number in range(_VOICES)])
    padded = np.where(np.arange(length) < length // 2, voices[0], 0.0)
    more = [np.zeros(length), padded, 1e-4 * voices[1], np.clip(8 * voices[2], -1, 1)]
    return np.concatenate([voices, more]).astype(np.float32)


def _check_attributes(subject: Subject) -> None:
    def is_count(value: Any) -> bool:
        return isinstance(value, Integral) and not isinstance(value, bool) and value > 0

    rate = subject.attribute("sample_rate", "in Hz", "set sample_rate, such as 16000")
    length = subject.attribute(
        "samples", "length of the sounds", "set samples, such as 16000; None for any length"
    )
    subject.require(
        is_count(rate),
        "sample_rate: Hz",
        seen=repr(rate),
        expected="a whole number above 0",
        mend="set sample_rate to the rate that the model was trained at",
    )
    subject.require(
        length is None or is_count(length),
        "samples: length of the sounds",
        seen=repr(length),
        expected="a whole number above 0, or None",
        mend="set samples to the number of samples that the model takes, or to None for any",
    )


def _check_inputs(subject: Subject, found: np.ndarray, sounds: np.ndarray) -> None:
    shape = (len(sounds), *(None for _ in found.shape[1:]))
    mend = "return the model's input, one row for each sound: [shape=(batch, ...), float32]"
    subject.array(found, _CALL, shape, mend)
    subject.require(
        found.ndim > 1 and found[0].size,
        _CALL,
        seen=f"shape {found.shape}",
        expected="(batch, ...), a row for each sound",
        mend=mend,
    )
    subject.require(
        np.any(found[0] != found[1]),
        f"{_CALL}: the sound decides",
        seen="the same for two voices",
        expected="another input for another sound",
        mend="compute it from the sounds",
    )


def _check_gradients(subject: Subject, found: np.ndarray, sounds: np.ndarray) -> None:
    """Check gradients of a random combination of the input, by the sounds."""
    weights = np.random.default_rng(0).normal(size=found.shape[1:]).astype(np.float32)

    def values_of(samples: Any) -> Any:
        import tensorflow as tf

        inputs = tf.cast(subject.made(samples), tf.float32)
        return tf.reduce_sum(inputs * weights, list(range(1, len(inputs.shape))))

    slopes = gradient(subject, values_of, sounds, _CALL, _MEND_GRADIENT)
    flat = [row for row in range(_VOICES) if not np.any(slopes[row])]
    subject.require(
        not flat,
        f"{_CALL}: gradients",
        seen=f"zeros for {len(flat)} of {_VOICES} voices",
        expected="a gradient that tells how to change the sound",
        mend="use TensorFlow operations: NumPy and tf.py_function have no gradient",
    )


def _check_fit(subject: Subject) -> None:
    """Check `fit`, if there is one, on recordings that are shorter, as long, and longer."""
    made = subject.made
    if not hasattr(made, "fit"):
        return
    length = made.samples or made.sample_rate
    mend = (
        "cut what is too long and pad what is too short, by zeros, as the model's pipeline does: "
        "[shape=(any,)] -> [shape=(samples,)], float32"
    )
    for size in (length // 3, length, 2 * length + 1):
        sound = voice(1, size, made.sample_rate).astype(np.float32)
        fitted = subject.call("fit(sound)", made.fit, sound, mend=mend)
        subject.array(fitted, "fit(sound)", (made.samples,), mend)
