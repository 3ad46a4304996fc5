"""Open SavedModel folders, of Keras 2, Keras 3 or plain TensorFlow, as Keras models."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from ..problem import ModelFileError, Problem

#: The signature that exporters write.
_USUAL = "serving_default"
#: Operations that call Python functions of the process that wrote the graph.
_PYTHON = frozenset(("PyFunc", "PyFuncStateless", "EagerPyFunc", "NumpyFunction"))
#: Operations with functions of their own, to which variables are passed.
_CONTROL = frozenset(("While", "StatelessWhile", "If", "StatelessIf", "Case", "StatelessCase"))
_EXPORT = (
    "export it again: tf.saved_model.save(module, folder, signatures=function.get_concrete_function"
    "(tf.TensorSpec([None, length], tf.float32)))"
)


class SavedModelLayer(keras.layers.Layer):
    """Calls a function of a SavedModel.

    Args:
        loaded: the SavedModel; its variables are gone once nobody holds it.
        function: float tensor [shape=(batch, ...)] to float tensor.
    """

    def __init__(self, loaded: Any, function: Callable[[Any], Any], **settings: Any):
        super().__init__(trainable=False, **settings)
        # In tuples: Keras would look for weights in them.
        self._loaded, self._function = (loaded,), (function,)

    def call(self, inputs: Any) -> Any:
        """Return the function's output, differentiable."""
        # Variables, which a restored function cannot take, become tensors.
        return self._function[0](tf.convert_to_tensor(inputs))


def open_saved_model(folder: Path) -> keras.Model:
    """Open a SavedModel as a functional model of one layer.

    Uses the signature `serving_default`, the only one, or the only function of one float tensor
    that `__call__` has. A function of one sound without, or with exactly one, sample at the front
    is called for each sample by itself. Input and output are float32, whatever the function's are;
    an output of one value a sample without an axis of its own gets one.

    Args:
        folder: holds `saved_model.pb` and `variables/`.

    Raises:
        ModelFileError: it cannot be read, has no such function or several, or its input is no
            floating point tensor.
    """
    loaded = _load(folder)
    function = _require_function(loaded, folder)
    _require_no_python(function, folder)
    name, spec = _require_input(function, folder)
    key = _require_output(function, folder)

    plain = _without_variables(function, key) if _operations(function) & _CONTROL else None

    def call(values: Any) -> Any:
        values = tf.cast(values, spec.dtype)
        if plain is not None:
            return tf.cast(plain(values), tf.float32)
        outputs = function(**{name: values}) if isinstance(name, str) else function(values)
        return tf.cast(outputs if key is None else outputs[key], tf.float32)

    shape = list(spec.shape)
    if len(shape) == 1 or shape[0] == 1:
        alone = len(shape) == 1
        call, shape = _one_by_one(call, alone), [None, *(shape if alone else shape[1:])]
    inputs = keras.Input(batch_shape=shape, dtype="float32")
    try:
        layer = SavedModelLayer(loaded, _with_two_axes(call), name="saved_model")
        outputs = layer(inputs)
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise _refusal(folder, f"its function cannot be called: {reason}", _EXPORT) from error
    return keras.Model(inputs, outputs, name="saved_model_classifier")


def _load(folder: Path) -> Any:
    """Load a SavedModel without what belongs to its optimizer.

    TensorFlow restores an optimizer's slots through a method that only Keras 2 gives it.
    """
    try:
        proto = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    except Exception as error:
        text = f"the SavedModel {folder} is damaged: its saved_model.pb cannot be read"
        raise ModelFileError(Problem(text, "copy or export it anew")) from error
    slots = False
    for graph in proto.meta_graphs:
        for node in graph.object_graph_def.nodes:
            slots |= bool(node.slot_variables)
            del node.slot_variables[:]
    version = proto.meta_graphs[0].meta_info_def.tensorflow_version if proto.meta_graphs else "?"
    place = folder
    try:
        with _beside(folder, proto.SerializeToString()) if slots else _as_it_is(folder) as place:
            return tf.saved_model.load(str(place))
    except Exception as error:
        if not (folder / "variables").is_dir():
            text = f"the SavedModel {folder} has no folder variables/: its weights are missing"
            remedy = "copy its whole folder, variables/ beside saved_model.pb, or export it anew"
            raise ModelFileError(Problem(text, remedy)) from error
        # A temporary folder tells nobody anything.
        reason = " ".join(str(error).replace(str(place), str(folder)).split())[:160]
        text = (
            f"cannot open the SavedModel {folder}, written by TensorFlow {version}: "
            f"{type(error).__name__}: {reason}"
        )
        raise ModelFileError(Problem(text, "copy the whole folder, or export it anew")) from error


@contextlib.contextmanager
def _as_it_is(folder: Path) -> Iterator[Path]:
    yield folder


@contextlib.contextmanager
def _beside(folder: Path, graph: bytes) -> Iterator[Path]:
    """Give a folder with another graph and the same variables, for as long as it is read."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "saved_model.pb").write_bytes(graph)
        for part in folder.resolve().iterdir():
            if part.is_dir():
                try:
                    os.symlink(part, place / part.name, target_is_directory=True)
                except OSError:  # Windows allows links to some users only.
                    shutil.copytree(part, place / part.name)
        yield place


def _require_function(loaded: Any, folder: Path) -> Any:
    """Return the function to call."""
    signatures = dict(loaded.signatures)
    if _USUAL in signatures:
        return signatures[_USUAL]
    if len(signatures) == 1:
        return next(iter(signatures.values()))
    if signatures:
        text = f"it has several signatures: {', '.join(sorted(signatures))}"
        raise _refusal(folder, text, f"export it with the one to use as {_USUAL}")
    call = getattr(loaded, "__call__", None)  # noqa: B004 its functions are wanted
    fitting = [
        function
        for function in getattr(call, "concrete_functions", ())
        if len(specs := _specs(function)) == 1 and specs[0][1].dtype.is_floating
    ]
    if len(fitting) != 1:
        raise _refusal(folder, "it has no signature, and no function of one float tensor", _EXPORT)
    return fitting[0]


def _specs(function: Any) -> list[tuple[Any, tf.TensorSpec]]:
    """Return the tensors that a function takes, with their names or positions."""
    positional, named = function.structured_input_signature
    pairs = [*enumerate(positional), *named.items()]
    return [(name, spec) for name, spec in pairs if isinstance(spec, tf.TensorSpec)]


def _require_no_python(function: Any, folder: Path) -> None:
    """Raise ModelFileError where the graph calls back to Python."""
    if found := sorted(_operations(function) & _PYTHON):
        text = f"its graph calls a Python function that is not stored in it ({', '.join(found)})"
        remedy = "replace tf.py_function and tf.numpy_function by TensorFlow's own, and export it"
        raise _refusal(folder, text, remedy)


def _operations(function: Any) -> set[str]:
    """Return the kinds of operations in a function and those that it calls."""
    graph = function.graph.as_graph_def()
    operations = {node.op for node in graph.node}
    return operations | {node.op for each in graph.library.function for node in each.node_def}


def _without_variables(function: Any, key: Any) -> Callable[[Any], Any]:
    """Return a function whose variables are constants, with one output.

    In a compiled function, TensorFlow's gradient of a restored loop fails at variables that are
    passed to it, depending on what was called before.

    Args:
        function: of a SavedModel.
        key: of its output.
    """
    # No part of TensorFlow's API; its converters are built on it.
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
    outputs = function.structured_outputs
    keys = sorted(outputs) if isinstance(outputs, Mapping) else [key]
    place = keys.index(key) if isinstance(outputs, Mapping) else (key or 0)

    def call(values: Any) -> Any:
        found = frozen(values)
        return found[place] if isinstance(found, list | tuple) else found

    return call


def _require_input(function: Any, folder: Path) -> tuple[Any, tf.TensorSpec]:
    """Return name or position and form of the only input."""
    specs = _specs(function)
    if len(specs) != 1:
        names = ", ".join(sorted(str(name) for name, _ in specs))
        raise _refusal(folder, f"its function takes {len(specs)} tensors ({names})", _EXPORT)
    name, spec = specs[0]
    if not spec.dtype.is_floating:
        text = f"its function takes values of type {spec.dtype.name}, through which there is no"
        raise _refusal(folder, f"{text} gradient", _EXPORT)
    if spec.shape.rank in (None, 0):
        raise _refusal(folder, f"its function takes a tensor of shape {spec.shape}", _EXPORT)
    return name, spec


def _require_output(function: Any, folder: Path) -> str | None:
    """Return the key of the only floating point output, None where there are no keys."""
    outputs = function.structured_outputs
    if isinstance(outputs, tf.TensorSpec | tf.Tensor):
        outputs, keys = [outputs], [None]
    elif isinstance(outputs, Mapping):
        keys, outputs = list(outputs), list(outputs.values())
    else:
        keys, outputs = list(range(len(outputs))), list(outputs)
    floating = [key for key, out in zip(keys, outputs, strict=True) if out.dtype.is_floating]
    if len(floating) != 1:
        names = ", ".join(sorted(str(key) for key in keys))
        text = f"its function has {len(floating)} outputs in floating point, among {names}"
        raise _refusal(folder, text, "export a function with the one to listen to")
    return floating[0]


def _one_by_one(call: Callable[[Any], Any], alone: bool) -> Callable[[Any], Any]:
    """Return a function of a batch that calls one of a single sample.

    Args:
        call: the function.
        alone: whether without an axis for the batch.
    """

    def each(value: Any) -> Any:
        return call(value) if alone else call(value[None])[0]

    def batch(values: Any) -> Any:
        return tf.map_fn(each, values, fn_output_signature=tf.float32)

    return batch


def _with_two_axes(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a function whose output [shape=(batch,)], one value a sample, is (batch, 1)."""

    def whole(values: Any) -> Any:
        found = call(values)
        return found[:, None] if found.shape.rank == 1 else found

    return whole


def _refusal(folder: Path, text: str, remedy: str) -> ModelFileError:
    return ModelFileError(Problem(f"cannot use the SavedModel {folder}: {text}", remedy))
