"""Check what a model computes: values on noise and silence, and gradients as in an ascent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from ..features import FeatureSpec
from ..models.batch_coupling import apart, is_batch_coupled
from ..models.blocks import BLOCK_SIZE, pad_block, spans
from ..models.head import Head
from ..models.sound_classifier import input_given
from ..models.sound_path import SoundPath
from .engine import STABILIZER
from .findings import Finding, guarded

#: Number of noise starts for the checks, and their standard deviation (as published).
_STARTS, _DEVIATION = 8, 0.1
#: Number of noise starts behind a front end, which take longer.
_SOUNDS = 3
#: Iterations of Griffin-Lim for the phases of their sounds, as at the start of an ascent.
_PHASES = 4


@dataclass(frozen=True)
class Entrance:
    """What goes into a model, for checks.

    Attributes:
        spec: of the project's features.
        frontend: makes the model's input from sound; None where it takes the features.
    """

    spec: FeatureSpec
    frontend: Any = None

    @cached_property
    def shape(self) -> tuple[int | None, ...]:
        """Shape of noise that stands for a feature or a sound, without the batch."""
        if self.frontend is None:
            return self.spec.shape
        return (self._path.samples,)

    @cached_property
    def _path(self) -> SoundPath:
        return SoundPath(self.spec, self.frontend)

    @property
    def count(self) -> int:
        """Number of starts for the checks."""
        return _STARTS if self.frontend is None else _SOUNDS

    @cached_property
    def expected(self) -> FeatureSpec | tuple[int | None, ...]:
        """What the model should take: the features, or the shape that the front end gives."""
        if self.frontend is None:
            return self.spec
        return input_given(self.frontend, self.spec)

    def __call__(self, values: Any) -> Any:
        """Return the model's input of features or sounds."""
        return values if self.frontend is None else self.frontend(values)

    def before(self, function: Callable | None) -> Callable | None:
        """Return a function of the model's input as one of features or sounds."""
        return function and (lambda values: function(self(values)))

    def of_features(self, function: Callable | None) -> Callable | None:
        """Return a function of the model's input as one of features, by way of sound if need be."""
        if self.frontend is None or function is None:
            return function
        path = self._path
        return lambda features: function(path(features, path.begin(features, _PHASES)))


def check_behaviour(
    model: keras.Model, head: Head, words: Sequence[str] | None, entrance: Entrance
) -> list[Finding]:
    """Check values and gradients on noise: features, the usual start of an ascent, or sounds.

    Args:
        model: takes what `entrance` gives.
        head: of the model.
        words: in the order of its outputs; None where they were not given.
        entrance: what goes into it.
    """
    inputs = np.asarray(entrance(_noise(entrance.count, entrance.shape)))
    values = guarded("values", _values, model, head, inputs)
    if not values.ok or head.probabilities is None:
        return [values]
    findings = [values]
    if is_batch_coupled(head.logits or head.probabilities, model.input_shape):
        findings.append(_COUPLED)
        logits = head.logits and apart(head.logits)
        head = replace(head, logits=logits, probabilities=apart(head.probabilities))
    if keras.backend.backend() != "tensorflow":
        text = f"not looked at: Keras runs on {keras.backend.backend()}"
        return [*findings, Finding("gradient", None, text, "set KERAS_BACKEND=tensorflow")]
    starts = _noise(entrance.count, entrance.spec.shape)
    climbed = _before(head, entrance.of_features)
    gradient = guarded("gradient", _gradient, model, climbed, words, starts)
    if entrance.frontend is None:
        return [*findings, gradient]
    heard = _before(head, entrance.before)
    return [*findings, _of_sounds(gradient), guarded("silence", _silence, heard, entrance)]


def _noise(count: int, shape: Sequence[int | None]) -> np.ndarray:
    """Return noise of the starts' deviation [shape=(count, *shape), float32]."""
    rng = np.random.default_rng(0)
    return rng.normal(0.0, _DEVIATION, (count, *shape)).astype(np.float32)


def _before(head: Head, entrance: Callable[[Callable | None], Callable | None]) -> Head:
    """Return a head of functions of what comes in front of the model's input."""
    return replace(head, logits=entrance(head.logits), probabilities=entrance(head.probabilities))


def _of_sounds(gradient: Finding) -> Finding:
    """Return the finding on a model behind a front end, for which saturation is a note.

    It takes speech, and noise may be far from all that it knows; a prior's starts are closer.
    """
    saturated = gradient.ok is False and _SATURATED in gradient.remedy
    return replace(gradient, ok=None) if saturated else gradient


def _silence(head: Head, entrance: Entrance) -> Finding:
    """Look at values and gradients for digital silence, with which recordings are padded."""
    silent = tf.zeros((1, *entrance.shape))
    with tf.GradientTape() as tape:
        tape.watch(silent)
        values = _probabilities_of(head)(silent)
    gradient = tape.gradient(values, silent)
    for what, found in (("outputs", values), ("gradient", gradient)):
        if found is not None and not np.isfinite(found.numpy()).all():
            return Finding(
                "silence",
                False,
                f"for digital silence, the {what} of model and front end is not finite",
                "look for logarithms, roots and divisions in the model that meet 0, and add a "
                "small number there",
            )
    return Finding("silence", True, "values and gradient are finite for digital silence, too")


_COUPLED = Finding(
    "batch",
    None,
    "answers for one sample depend on the others in its batch: computed one by one, slower",
    "to mend it, give its max, mean or normalisation axes without that of the batch",
)


def _values(model: keras.Model, head: Head, starts: np.ndarray) -> Finding:
    outputs = ops.convert_to_numpy(model(starts, training=False)).astype(np.float64)
    wrong = int((~np.isfinite(outputs)).sum())
    if wrong:
        return Finding(
            "values",
            False,
            f"{wrong} of {outputs.size} outputs on noise are not finite numbers",
            "look for NaN in its weights; train it again, with a smaller learning rate",
        )
    if not _undone(head, starts, outputs):
        name = _activation_name(head)
        return Finding(
            "values",
            False,
            f"its outputs are not the {name} of what goes into its last {name}",
            f"let a {name} over the words be the last that happens to them",
        )
    return Finding("values", True, f"finite, {outputs.min():.3g} to {outputs.max():.3g} on noise")


def _activation_name(head: Head) -> str:
    return "sigmoid" if "sigmoid" in head.kind else "softmax"


def _undone(head: Head, starts: np.ndarray, outputs: np.ndarray) -> bool:
    """Return whether the softmax or sigmoid of the logits gives the model's outputs."""
    if head.logits is None or head.kind in ("logits", "log-softmax"):
        return True
    if "sigmoid" in head.kind and not (outputs >= 0).all():
        # The user called it a sigmoid; its outputs are the logits.
        return True
    again = ops.convert_to_numpy(_probabilities_of(head)(starts))
    if outputs.shape[-1] == 1:
        again = again[:, 1:]
    # Wide enough for models that compute in half precision.
    return again.shape == outputs.shape and bool(np.allclose(again, outputs, atol=1e-2))


def _gradient(
    model: keras.Model,
    head: Head,
    words: Sequence[str] | None,
    starts: np.ndarray,
) -> Finding:
    """Compare the size of each word's gradient with the constant that the engine adds to it.

    An ascent without a prior climbs features, from such noise, and the engine divides their
    gradient by its root mean square plus that constant: below, a step is damped instead of
    normalised. So the bound is the same whatever the model takes, and behind a front end the
    gradient goes through the sound to the features, as in an ascent.
    """
    count = max(2, model.output_shape[1])
    names = list(words) if words and len(words) == count else [f"output {i}" for i in range(count)]
    softmax = _gradient_sizes(_probabilities_of(head), starts, count)
    weak = [i for i in range(count) if not softmax[i] >= STABILIZER]
    name = _activation_name(head)
    if not weak:
        return Finding("gradient", True, f"of every word's {name} at least {softmax.min():.1e}")
    listed = ", ".join(f"{names[i]} {softmax[i]:.1e}" for i in weak[:5])
    more = f" and {len(weak) - 5} more" if len(weak) > 5 else ""
    return Finding(
        "gradient",
        False,
        f"of the {name} with respect to noise vanishes (below {STABILIZER:.0e}) for {len(weak)} "
        f"of {count} words: {listed}{more}",
        _gradient_remedy(head, starts, weak),
    )


#: Part of the remedy where probabilities alone have no gradient.
_SATURATED = "is saturated: climb"


def _gradient_remedy(head: Head, starts: np.ndarray, weak: list[int]) -> str:
    objectives = {"its logarithm with --objective log-probability": _log_probabilities_of(head)}
    if head.logits is not None:
        objectives["its logits with --objective logit"] = head.logits
    ways = [
        way
        for way, function in objectives.items()
        if (_gradient_sizes(function, starts, max(weak) + 1)[weak] >= STABILIZER).all()
    ]
    if ways:
        return f"the {_activation_name(head)} {_SATURATED} {', or '.join(ways)}"
    if head.logits is None:
        return "let it end in a Dense, Softmax or Activation layer, then use --objective logit"
    return (
        "nor does that of the logits reach the input: look for layers that pass no gradient "
        "(rounding, integers, stop_gradient, dead relu), or train it again"
    )


def _probabilities_of(head: Head) -> Callable:
    """Return a function to a model's probabilities, in single precision where it has logits."""
    if head.logits is None:
        return head.probabilities
    return lambda features: head.activate(ops.cast(head.logits(features), "float32"))


def _log_probabilities_of(head: Head) -> Callable:
    """Return a function to the values of the objective log-probability."""
    if head.logits is None:
        return lambda features: tf.math.log(tf.maximum(head.probabilities(features), 1.2e-38))
    logarithm = tf.math.log_sigmoid if head.multilabel else tf.nn.log_softmax
    return lambda features: logarithm(tf.cast(head.logits(features), tf.float32))


def _gradient_sizes(function: Callable, starts: np.ndarray, count: int) -> np.ndarray:
    """Return the root mean square of each output's gradient, its median over the starts.

    Args:
        function: features or sounds [shape=(starts, ...)] to values [shape=(starts, outputs)].
        starts: features or sounds.
        count: number of outputs, the first ones.

    Returns:
        float32 [shape=(count,)]; 0 where an output does not depend on the features.
    """
    # Every start with every output is a row, so that recurrent networks, which take as long for one
    # sound as for many, are computed a few times only.
    rows = np.repeat(np.arange(len(starts)), count), np.tile(np.arange(count), len(starts))

    @tf.function(autograph=False)
    def of_rows(some: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(some)
            values = tf.gather(function(some), outputs, batch_dims=1)
        gradient = tape.gradient(values, some, unconnected_gradients="zero")
        return tf.sqrt(tf.reduce_mean(tf.square(gradient), axis=range(1, starts.ndim)))

    found = []
    for span in spans(len(rows[0]), BLOCK_SIZE):
        start, output = (pad_block(each[span], BLOCK_SIZE) for each in rows)
        sizes = of_rows(tf.constant(starts[start]), tf.constant(output)).numpy()
        found.append(sizes[: span.stop - span.start])
    return np.median(np.concatenate(found).reshape(len(starts), count), axis=0)
