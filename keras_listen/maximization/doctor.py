"""Check a model file: whether it can be used, what does not fit, and how to mend it."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras

from ..errors import ListenError, ParameterError, unknown
from ..features import FeatureSpec
from ..models.classifier import check_shapes
from ..models.formats.keras_file import open_model
from ..models.head import KINDS, Head, find_head
from ..models.problem import ModelFileError
from .behaviour import Entrance, check_behaviour
from .findings import Finding, failure, guarded


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
        guarded("input shape", _input_shape, model, entrance),
        *_input_limits(model),
        guarded("outputs", _outputs, model, words),
    ]
    fits = all(finding.ok for finding in findings)
    if findings[-1].ok:
        findings.append(_words(model, words))
    try:
        head = find_head(model, kind=kind)
    except Exception as error:
        return [*findings, failure("head", error)]
    findings.append(_head(head))
    if fits:
        findings += check_behaviour(model, head, words, entrance)
    return findings


def _unopened(path: Path, error: ModelFileError) -> Finding:
    missing = _missing_classes(path) if "Could not locate" in str(error.__cause__) else []
    if missing:
        return Finding(
            "file",
            False,
            f"{path} needs custom classes or functions that are not there: {', '.join(missing)}",
            "name the module that registers them (keras.saving.register_keras_serializable) with "
            "--import MODULE, or rebuild the model from Keras's own layers",
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
