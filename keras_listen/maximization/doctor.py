"""Check a model file: whether it can be used, what does not fit, and how to mend it."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from ..errors import ListenError, ParameterError, unknown
from ..features import FeatureSpec
from ..models.batch_coupling import apart, is_batch_coupled
from ..models.blocks import BLOCK_SIZE, pad_block, spans
from ..models.classifier import check_shapes
from ..models.formats.keras_file import open_model
from ..models.head import KINDS, Head, find_head
from ..models.problem import ModelFileError
from ..models.sound_classifier import input_given
from ..models.sound_path import SoundPath
from .engine import STABILIZER

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
        return (SoundPath(self.spec, self.frontend).samples,)

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
        path = SoundPath(self.spec, self.frontend)
        return lambda features: function(path(features, path.begin(features, _PHASES)))


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        name: of the check.
        ok: whether it passed; None for a note on something that works all the same.
        text: what was found.
        remedy: how to mend it; empty where there is nothing to mend.
    """

    name: str
    ok: bool | None
    text: str
    remedy: str = ""


def examine(
    path: str | Path,
    words: Sequence[str] | None = None,
    spec: FeatureSpec | None = None,
    trust: bool = False,
    head: str | None = None,
    *,
    frontend: Any = None,
    builder: str | None = None,
    imports: Sequence[str] = (),
) -> list[Finding]:
    """Run all checks on a Keras file; no model makes them fail.

    Args:
        path: the `.keras` or `.h5` file, or the folder of a SavedModel.
        words: in the order of the model's outputs; without them only their number is reported.
        spec: the features that it was trained on; the published ones by default.
        trust: open it even if it holds Python code.
        head: what its outputs are, one of `keras_listen.models.head.KINDS`; found out where None.
        frontend: makes the model's input from sound; None where it takes the features of `spec`.
        builder, imports: see `open_model`.

    Raises:
        ParameterError: there is no such head.
    """
    if head is not None and head not in KINDS:
        raise ParameterError(unknown("head", head, KINDS))
    entrance = Entrance(spec or FeatureSpec(), frontend)
    with warnings.catch_warnings():
        # Keras's warnings are either harmless here or among the findings.
        warnings.simplefilter("ignore")
        try:
            model = open_model(path, trust=trust, builder=builder, imports=imports)
        except ModelFileError as error:
            return [_unopened(Path(path), error)]
        opened = Finding("file", True, f"{path} opens: {type(model).__name__} {model.name}")
        return [opened, *_examine_model(model, words, entrance, head)]


def _examine_model(
    model: keras.Model, words: Sequence[str] | None, entrance: Entrance, kind: str | None
) -> list[Finding]:
    if problem := _unclear_ends(model, entrance.spec):
        return [problem]
    findings = [
        _guarded("input shape", _input_shape, model, entrance),
        *_input_limits(model),
        _guarded("outputs", _outputs, model, words),
    ]
    fits = all(finding.ok for finding in findings)
    if findings[-1].ok:
        findings.append(_words(model, words))
    try:
        head = find_head(model, kind=kind)
    except Exception as error:
        return [*findings, _failure("head", error)]
    findings.append(_head(head))
    if fits:
        findings += _behaviour(model, head, words, entrance)
    return findings


def _unopened(path: Path, error: ModelFileError) -> Finding:
    missing = _missing_classes(path) if "Could not locate" in str(error.__cause__) else []
    if missing:
        return Finding(
            "file",
            False,
            f"{path} needs custom classes or functions that are not there: {', '.join(missing)}",
            "name the module that registers them (keras.saving.register_keras_serializable) as an "
            "import, or rebuild the model from Keras's own layers",
        )
    default = "save it again: model.save('model.keras')" if path.exists() else "check the path"
    return Finding("file", False, error.problem.text, error.problem.remedy or default)


def _missing_classes(path: Path) -> list[str]:
    """Return the registered names that a model file needs and nobody has registered."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(_custom_names(json.loads(archive.read("config.json"))))
    except (OSError, KeyError, ValueError, RecursionError, zipfile.BadZipFile):
        return []
    return sorted(name for name in names if keras.saving.get_registered_object(name) is None)


def _custom_names(config: Any) -> Iterator[str]:
    """Yield the registered names in a model's config that are not Keras's own."""
    if isinstance(config, dict):
        own = str(config.get("module")).partition(".")[0] == "keras"
        is_function = config.get("class_name") == "function"
        name = config.get("config" if is_function else "registered_name")
        if "class_name" in config and isinstance(name, str) and not own:
            yield name
    children = config.values() if isinstance(config, dict) else config
    if isinstance(config, dict | list):
        for child in children:
            yield from _custom_names(child)


def _guarded(name: str, look: Callable[..., Finding], *arguments: Any) -> Finding:
    """Run a check; if the model fails in an unforeseen way, that is the finding."""
    try:
        return look(*arguments)
    except Exception as error:
        return _failure(name, error)


def _failure(name: str, error: Exception) -> Finding:
    reason = " ".join(str(error).split())[:200]
    return Finding(
        name,
        False,
        f"the model fails here: {type(error).__name__}: {reason}",
        "call it in Keras on one feature, mend what fails, and save it again",
    )


def _unclear_ends(model: keras.Model, spec: FeatureSpec) -> Finding | None:
    """Return a finding if a model does not have exactly one input and one output."""
    try:
        ends = len(model.inputs), len(model.outputs)
    except (AttributeError, ValueError, TypeError):
        return Finding(
            "input shape",
            False,
            "the model has none: it was saved before it was built, or is a subclassed model",
            f"put x = keras.Input({spec.shape}) in front, then save keras.Model(x, model(x))",
        )
    if ends == (1, 1):
        return None
    return Finding(
        "input shape",
        False,
        f"the model has {ends[0]} input(s) and {ends[1]} output(s), expected one of each",
        "save keras.Model(the input, the output) with those that recognise words",
    )


def _input_shape(model: keras.Model, entrance: Entrance) -> Finding:
    try:
        expected = entrance.expected
    except ListenError as error:
        return Finding("input shape", False, str(error), "change the settings of the front end")
    # With as many words as outputs, only problems of shape remain.
    fitting = [str(i) for i in range(model.output_shape[-1] or 0)]
    problems = check_shapes(model, fitting, expected)
    problem = next((p for p in problems if p.text.startswith("the model takes")), None)
    if problem is None:
        return Finding("input shape", True, str(tuple(model.input_shape)))
    return Finding("input shape", False, problem.text, problem.remedy)


def _input_limits(model: keras.Model) -> list[Finding]:
    """Return problems of the input other than its shape."""
    findings = []
    batch, kind = model.inputs[0].shape[0], str(model.inputs[0].dtype)
    if batch is not None:
        remedy = "rebuild it with keras.Input(shape) instead of batch_shape, and copy the weights"
        text = f"the model takes {batch} samples at a time, expected any number"
        findings.append(Finding("batch", False, text, remedy))
    if "float" not in kind:
        remedy = "gradients need a model on features in floating point"
        text = f"the model takes values of type {kind}, expected float32"
        findings.append(Finding("input type", False, text, remedy))
    return findings


def _outputs(model: keras.Model, words: Sequence[str] | None) -> Finding:
    shape = tuple(model.output_shape)
    if len(shape) != 2 or shape[1] is None:
        remedy = "let the model end in one value a word, after Flatten or a pooling over time"
        return Finding("outputs", False, f"shape {shape}, expected (None, words)", remedy)
    # One output stands for two words.
    if shape[1] < 2 and words is not None and len(words) != 2:
        remedy = (
            "give two words, that of 0 first, or let it end in Dense(number of words, "
            "activation='softmax')"
        )
        return Finding("outputs", False, f"{shape[1]} output, expected one for each word", remedy)
    return Finding("outputs", True, f"{shape[1]}")


def _words(model: keras.Model, words: Sequence[str] | None) -> Finding:
    count = model.output_shape[1]
    lines = max(2, count)
    mend = f"give a words file of {lines} lines: one word a line, in the order of the outputs"
    if count == 1:
        mend = "give a words file of 2 lines: the word of 0, then that of 1"
    if words is None:
        return Finding("words", None, "not given", mend)
    if len(words) != lines:
        return Finding("words", False, f"{len(words)} words for {count} outputs", mend)
    if repeated := sorted({word for word in words if list(words).count(word) > 1}):
        return Finding("words", False, f"given more than once: {', '.join(repeated)}", mend)
    outputs = "1 output" if count == 1 else f"{count} outputs"
    return Finding("words", True, f"{lines} words for {outputs}")


#: What the outputs of a model are, by the kind of its head.
_HEADS = {
    "softmax": "softmax",
    "hidden softmax": "probabilities",
    "log-softmax": "log-softmax: its outputs are log probabilities",
    "logits": "logits; their softmax is taken as probabilities",
    "sigmoid": "a sigmoid for each word; one is predicted if its probability is above 0.5 and the "
    "largest",
    "single sigmoid": "one sigmoid: the probability of the second word",
}


def _head(head: Head) -> Finding:
    if head.probabilities is None:
        return Finding("head", False, head.problem.text, head.problem.remedy)
    text = _HEADS[head.kind]
    if head.note:
        remedy = f"if that is wrong, say what they are by its head: {', '.join(KINDS)}"
        return Finding("head", None, f"{text}; unsure: {head.note}", remedy)
    if head.problem:
        text = f"{text}, but no logits: {head.problem.text}"
        return Finding("head", None, text, head.problem.remedy)
    return Finding("head", True, text)


def _behaviour(
    model: keras.Model, head: Head, words: Sequence[str] | None, entrance: Entrance
) -> list[Finding]:
    """Check values and gradients on noise: features, the usual start of an ascent, or sounds."""
    inputs = np.asarray(entrance(_noise(entrance.count, entrance.shape)))
    values = _guarded("values", _values, model, head, inputs)
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
    gradient = _guarded("gradient", _gradient, model, climbed, words, starts)
    if entrance.frontend is None:
        return [*findings, gradient]
    heard = _before(head, entrance.before)
    return [*findings, _of_sounds(gradient), _guarded("silence", _silence, heard, entrance)]


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
