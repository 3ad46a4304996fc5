"""Combine priors, objectives and vocoders from Python, among them some of your own.

    python examples/combine.py [OUT]

Defines a prior, an objective and a vocoder in a few lines each, registers them, and maximizes one
word with every combination of them and built-in ones. Prints the probabilities that the classifier
and its referee give to the word, and how often the classifier recognizes it in the sound. To use
your own components by name, also on the command line, make a plugin of them: see docs/plugins.md.
"""

import itertools
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import soundfile
import tensorflow as tf

import keras_listen
from keras_listen.errors import ParameterError
from keras_listen.plugins import Registry, default_registry, new_manager
from keras_listen.seeds import normal

PRIORS = ("ae", "blurred")
OBJECTIVES = ("softmax", "margin")
VOCODERS = ("griffin-lim", "ringing")


def blurred(bundle, *, frames: int = 5):
    """Features averaged over neighbouring frames."""
    if frames < 1:
        raise ParameterError(f"frames is {frames}; expected at least 1")
    near = np.abs(np.subtract.outer(np.arange(bundle.spec.frames), np.arange(bundle.spec.frames)))
    mean = (near <= frames // 2).astype(np.float32)
    mean /= mean.sum(axis=1, keepdims=True)
    return SimpleNamespace(
        spec=bundle.spec,
        bounded=True,
        step_size=0.1,
        start=lambda targets, seeds: normal(seeds, bundle.spec.shape, 0.1),
        encode=lambda features: np.log(x := np.clip(features, 0.01, 0.99)) - np.log(1 - x),
        decode=lambda z: tf.einsum("fg,bgmc->bfmc", mean, tf.sigmoid(z)),
    )


def margin(bundle):
    """The target's logit minus the largest other one."""

    def objective(classifier, features, targets):
        logits = classifier.logits(features)
        wanted = tf.one_hot(targets, logits.shape[1])
        rival = tf.reduce_max(logits - 1e9 * wanted, axis=1)
        return tf.reduce_sum(logits * wanted, axis=1) - rival

    return objective


def ringing(bundle, *, seconds: float = 0.02):
    """Griffin-Lim with a short reverberation."""
    if not 0 < seconds < 1:
        raise ParameterError(f"seconds is {seconds}; expected between 0 and 1")
    dry = default_registry().create("vocoder", "griffin-lim", bundle)
    length = max(1, round(seconds * bundle.spec.sample_rate))
    room = np.exp(-np.linspace(0, 7, length))

    def synthesize(features, seeds):
        sounds = dry.synthesize(features, seeds)
        rung = [np.convolve(sound, room)[: sounds.shape[1]] for sound in sounds]
        return np.asarray(rung, np.float32)

    return SimpleNamespace(spec=bundle.spec, synthesize=synthesize)


class Plugin:
    """The hooks that register the three components."""

    @keras_listen.hookimpl
    def register_priors(self, register):
        register("blurred", blurred)

    @keras_listen.hookimpl
    def register_objectives(self, register):
        register("margin", margin)

    @keras_listen.hookimpl
    def register_vocoders(self, register):
        register("ringing", ringing)


def main(out: str = "combined") -> None:
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    bundle = keras_listen.load_bundle()
    # Installed components, and those above.
    registry = Registry(list(default_registry().components))
    registry.add_plugin(new_manager(), Plugin(), ("examples", "1"))

    print("prior    objective vocoder     own  referee  heard again")
    for prior, objective, vocoder in itertools.product(PRIORS, OBJECTIVES, VOCODERS):
        choice = {"prior": prior, "objective": objective, "vocoder": vocoder}
        experiment = keras_listen.resolve(bundle, **choice, registry=registry)
        samples = experiment.noise_samples(["yes"], 2)
        block = experiment.compute(samples)
        yes = experiment.classifier.label("yes")
        own = block.maximization.probabilities[-1, :, yes].mean()
        referee = block.referee[:, yes].mean()
        again = (block.cycle.argmax(axis=1) == yes).mean()
        print(
            f"{prior:8} {objective:9} {vocoder:11} {own:.2f}     {referee:.2f}         {again:.0%}"
        )
        path = folder / f"{prior}-{objective}-{vocoder}.wav"
        soundfile.write(path, block.sounds[0], bundle.spec.sample_rate)


if __name__ == "__main__":
    main(*sys.argv[1:])
