"""What tests of the kit share: bundles, and a component of each kind that is as it should be."""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType, SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_listen.errors import ParameterError, ReadError
from keras_listen.features import FeatureSpec
from keras_listen.hookspecs import hookimpl
from keras_listen.models.classifier import Classifier
from keras_listen.plugins import default_registry
from keras_listen.seeds import normal
from keras_listen.testing import ContractBroken
from keras_listen.vocoders.griffin_lim import GriffinLim

SPEC = FeatureSpec(frames=24, n_mels=20)


#: Components that take their time.
SLOW = {"wavenet": [pytest.mark.slow]}


WORDS = ("down", "stop", "up", "yes", "no")


def bundle_of(spec: FeatureSpec) -> SimpleNamespace:
    """Return a bundle of a linear classifier."""
    keras.utils.set_random_seed(2)
    inputs = keras.Input(spec.shape)
    flat = keras.layers.Flatten(data_format="channels_last")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(len(WORDS), activation="softmax")(flat))
    return SimpleNamespace(classifier=Classifier(model, WORDS, spec), spec=spec, words=WORDS)


@lru_cache(maxsize=1)
def small_bundle() -> SimpleNamespace:
    """Return a bundle of a linear classifier on 24 x 20 features."""
    return bundle_of(SPEC)


def own(kind: str) -> list:
    """Return our components of a kind, those that cannot work here as skipped."""

    def marks(component) -> list:
        reason = component.why_unavailable()
        return [pytest.mark.skip(reason=reason)] if reason else SLOW.get(component.name, [])

    return [
        pytest.param(each, id=each.name, marks=marks(each))
        for each in default_registry().components
        if each.kind == kind and each.distribution == "keras-listen"
    ]


def broken(check, factory, bundle, **options) -> ContractBroken:
    """Return how `check` blames what `factory` makes."""
    with pytest.raises(ContractBroken) as caught:
        check(factory, bundle, **options)
    error = caught.value
    assert "\n" not in error.contract + error.expected + error.mend
    for part in (error.contract, error.seen, error.expected, error.mend):
        assert part in str(error)
        assert part
    return error


@tf.custom_gradient
def mixing(x):
    """Return x, with a gradient that mixes the samples of a block."""
    return x, lambda upstream: upstream + tf.reduce_mean(upstream, axis=0, keepdims=True)


class Wave:
    """A prior that keeps every contract: features as a sigmoid of their latent."""

    bounded, step_size = True, 0.1

    def __init__(self, bundle):
        self.spec = bundle.spec

    def start(self, targets, seeds):
        return normal(seeds, self.spec.shape, 0.1)

    def encode(self, features):
        x = tf.clip_by_value(features, 1e-3, 1 - 1e-3)
        return tf.math.log(x / (1 - x))

    def decode(self, z):
        return tf.sigmoid(z)

    def move(self, z, *, step, seeds):
        seeds = tf.bitcast(seeds, tf.int32) + step
        rows = [tf.random.stateless_normal(z.shape[1:], seed) for seed in tf.unstack(seeds)]
        return 1e-4 * tf.stack(rows)


def of_target(c, x, t):
    return tf.gather(c.logits(x), t, batch_dims=1)


def logit(bundle):
    """Keep every contract."""
    return lambda classifier, x, t: tf.gather(classifier.logits(x), t, batch_dims=1)


class Voice(GriffinLim):
    """A vocoder that keeps every contract."""

    def __init__(self, bundle):
        super().__init__(bundle.spec, iterations=3)


def spoken(change):
    """Return what replaces `synthesize`: what it makes, changed."""

    def synthesize(self, features, seeds):
        return change(GriffinLim.synthesize(self, features, seeds))

    return {"synthesize": synthesize}


def raised(error):
    raise error


def plugin_of(**hooks) -> ModuleType:
    plugin = ModuleType("plugin")
    for name, function in hooks.items():
        setattr(plugin, name, hookimpl(function))
    return plugin


def raw(bundle, *, rate: int = 16000):
    """Read float32 samples without a header, whose rate must be told."""
    import soxr

    def read_one(path, sample_rate):
        try:
            y = np.fromfile(path, "<f4")
        except OSError as error:
            return ReadError(f"{path}: cannot be read as sound: {error.strerror}")
        if not y.size:
            return ReadError(f"{path}: the file holds no samples")
        return soxr.resample(y, rate, sample_rate) if rate > 0 else raised(ParameterError("rate"))

    return lambda paths, sample_rate: ((path, read_one(path, sample_rate)) for path in paths)
