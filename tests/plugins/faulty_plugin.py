"""A plugin for tests: components that go wrong in the way that their option says."""

from __future__ import annotations

import os
from types import SimpleNamespace

import numpy as np

from keras_listen import hookimpl
from keras_listen.errors import ReadError
from keras_listen.seeds import normal

__version__ = "3.1"


def trip(how, *ways):
    """Raise what nobody expects."""
    if how in ways:
        raise KeyError("gone")


def prior(bundle, *, how: str = "", scale: float = 1.0):
    import tensorflow as tf

    trip(how, "made")
    spec = bundle.spec

    def start(targets, seeds):
        trip(how, "start raises")
        z = normal(seeds, spec.shape, 0.1)
        return {
            "start shape": z[:-1],
            "start type": z.astype(int),
            "start nan": z * np.nan,
            "start nothing": None,
        }.get(how, z)

    def encode(features):
        trip(how, "encode raises")
        return features[:2] if how == "encode shape" else features

    def decode(z):
        trip(how, "decode raises")
        if how == "decode shape":
            return z[:, :10]
        if how == "decode type":
            return tf.cast(z, tf.float64)
        if how == "decode nan":
            return tf.where(z > 0.3, np.nan, z)
        if how == "decode rounds":
            return tf.cast(tf.cast(10 * z, tf.int32), tf.float32) / 10
        if how == "decode flat":
            return 0.0 * z + tf.stop_gradient(z)
        if how == "decode within":

            def fail(values):
                trip(how, how)
                return values

            return z + tf.ensure_shape(tf.py_function(fail, [z], tf.float32), z.shape)
        return z

    def move(z, *, step, seeds):
        trip(how, "move raises")
        if how == "move shape":
            return tf.zeros(3)
        return z * np.float32(np.nan) if how == "move nan" else 0.0 * z

    parts = SimpleNamespace(spec=None if how == "spec" else spec, bounded=how == "bounded")
    parts.step_size, parts.start, parts.encode, parts.decode = 0.01, start, encode, decode
    if how.startswith("move"):
        parts.move = move
    return parts


def objective(bundle, *, how: str = ""):
    import tensorflow as tf

    def objective(classifier, features, targets):
        trip(how, "raises")
        values = tf.gather(classifier.logits(features), targets, batch_dims=1)
        if how == "within":

            def fail(values):
                trip(how, how)
                return values

            values += tf.py_function(fail, [values], tf.float32)
            return tf.ensure_shape(values, features.shape[:1])
        return {
            "shape": values[:, None],
            "type": tf.cast(values, tf.float64),
            "nothing": None,
            "nan": tf.math.log(-1.0 - tf.square(values)),
            "constant": tf.ones_like(values),
            "counts": tf.cast(values > 0, tf.float32),
            "flat": 0.0 * values,
            "steep": tf.sqrt(tf.square(values - tf.stop_gradient(values))),
        }.get(how, values)

    return objective


def vocoder(bundle, *, how: str = ""):
    def synthesize(features, seeds):
        if os.environ.get("FAULTY_COUNT"):
            left = int(os.environ["FAULTY_COUNT"]) - 1
            os.environ["FAULTY_COUNT"] = str(left)
            trip(left < 0, True)
        trip(how, "raises")
        count, frames = features.shape[:2]
        length = bundle.spec.hop_length * (frames - 3)
        sounds = 0.1 * np.sin(np.arange(length, dtype="f4"))[None].repeat(count, 0)
        return {
            "shape": sounds[0],
            "short": sounds[:, :5000],
            "few": sounds[:-1],
            "type": (1000 * sounds).astype("i2"),
            "nan": sounds * np.float32(np.nan),
            "nothing": None,
        }.get(how, sounds)

    made = SimpleNamespace(spec=None if how == "spec" else bundle.spec, synthesize=synthesize)
    if how == "seconds":
        made.report, made.seconds_for = print, lambda sounds, frames: None
    return made


def reader(bundle, *, how: str = ""):
    def read(paths, sample_rate):
        how = os.environ.get("FAULTY_READER")
        trip(how, "raises")
        sound = np.sin(np.arange(16000, dtype="f4"))
        for number, path in enumerate(paths):
            trip(how, "fails" if number else "")
            if how == "stops" and number:
                return
            if how == "error":
                yield path, ReadError(f"{path}: no luck")
                continue
            pair = {
                "nothing": None,
                "alone": sound,
                "other": ("elsewhere.wav", sound),
                "type": (path, (1000 * sound).astype("i2")),
                "shape": (path, sound[:, None]),
                "list": (path, [0.0]),
            }
            yield pair.get(how, (path, sound))

    return read


@hookimpl
def register_priors(register):
    register("faulty", prior)


@hookimpl
def register_objectives(register):
    register("faulty", objective)


@hookimpl
def register_vocoders(register):
    register("faulty", vocoder)
    register("astray", vocoder, unavailable=lambda: "no voice", fallback="nowhere")
    register("lost", vocoder, unavailable=lambda: "no voice", fallback="astray")
    register("hoarse", vocoder, unavailable=lambda: "no voice", fallback="faulty")


@hookimpl
def register_readers(register):
    register("faulty", reader)
