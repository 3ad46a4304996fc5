"""Rebuild the networks that Keras 2 files describe, layer by layer, in Keras 3."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from ..problem import ModelFileError, Problem
from .keras2_config import BUILD_IT, find_missing, is_network, layers_of, repair
from .keras2_layers import TensorFlowFunction, split_tensors

#: Recurrent layers, which take their initial states as further inputs in Keras 2.
_RECURRENT = (keras.layers.RNN, keras.layers.Bidirectional)
#: Rows from which a stored list of numbers is made an array.
_LONG = 16


class Network:
    """A network that a Keras 2 file describes.

    Args:
        entry: its description, with `class_name` and `config`.

    Attributes:
        model: functional, of one input and output where the description has one each; its number of
            samples is free.
        layers: layers in the order of the file by the names that the file has for them; for those
            that are networks themselves, their `Network`.
        kinds: their classes in Keras 2, in the same order.

    Raises:
        ModelFileError: it needs layers that are not there, or cannot be rebuilt.
    """

    def __init__(self, entry: Mapping[str, Any]):
        if missing := find_missing(entry):
            text = f"it needs custom classes or functions that are not there: {', '.join(missing)}"
            # Functions of TensorFlow cannot be registered.
            own = any(not name.startswith("tf.") for name in missing)
            remedy = "name the module that registers them as an import (--import MODULE), or "
            remedy = remedy if own else ""
            raise ModelFileError(Problem(text, remedy + BUILD_IT))
        self.layers: dict[str, keras.layers.Layer | Network] = {}
        self.kinds: dict[str, str] = {}
        self._outputs: dict[str, list[Any]] = {}
        config = entry["config"]
        self._name = None if isinstance(config, list) else _clean(config.get("name") or "model")
        graph = isinstance(config, Mapping) and "input_layers" in config
        self.model = self._functional(config) if graph else self._sequential(entry)

    def _sequential(self, entry: Mapping[str, Any]) -> keras.Model:
        """Build a chain; a model without an input shape takes that of what it is called on."""
        config, entries = entry["config"], layers_of(entry)
        shape = None if isinstance(config, list) else config.get("build_input_shape")
        dtype = None
        if entries:
            first = entries[0]["config"]
            first = first[0]["config"] if isinstance(first, list) else first
            shape = first.get("batch_input_shape") or first.get("batch_shape") or shape
            dtype = first.get("dtype") if isinstance(first.get("dtype"), str) else None
        chain = []
        for position, each in enumerate(entries):
            if each["class_name"] != "InputLayer":
                name = each["config"].get("name") if isinstance(each["config"], Mapping) else None
                chain.append(self._make(each, name or f"layer_{position}"))
        if shape is None:
            return keras.Sequential(chain, name=self._name)
        x = inputs = keras.Input(batch_shape=(None, *shape[1:]), dtype=dtype)
        for layer in chain:
            x = _called(layer, x)
        return keras.Model(inputs, x, name=self._name)

    def _functional(self, config: Mapping[str, Any]) -> keras.Model:
        """Build a graph; a layer is called once its inputs are there."""
        waiting: list[tuple[str, keras.layers.Layer, Any]] = []
        for entry in config["layers"]:
            name = entry.get("name") or entry["config"]["name"]
            if entry["class_name"] == "InputLayer":
                self._outputs[name] = [_input(entry["config"])]
                continue
            layer = self._make(entry, name)
            # A network that knows its input has been called once already, by itself.
            self._outputs[name] = [None] if _skips_first(entry) else []
            waiting += [(name, layer, node) for node in entry.get("inbound_nodes", [])]
        while waiting:
            late = [each for each in waiting if not self._call(*each)]
            if len(late) == len(waiting):
                text = f"its layers {', '.join(sorted({name for name, *_ in late}))} lack inputs"
                raise ModelFileError(Problem(text, BUILD_IT))
            waiting = late
        ends = [self._ends(config[key]) for key in ("input_layers", "output_layers")]
        return keras.Model(*ends, name=self._name)

    def _make(self, entry: Mapping[str, Any], name: str) -> keras.layers.Layer:
        made = Network(entry) if is_network(entry) else _layer(entry, _clean(name))
        self.layers[name], self.kinds[name] = made, entry["class_name"].rpartition(">")[2]
        return made.model if isinstance(made, Network) else made

    def _call(self, name: str, layer: keras.layers.Layer, node: Any) -> bool:
        """Call a layer on its stored inputs; return False where they are not there yet."""
        try:
            arguments, settings = self._arguments(node)
        except _Waiting:
            return False
        if isinstance(layer, _RECURRENT) and isinstance(arguments[0], list):
            settings = settings | {"initial_state": arguments[0][1:]}
            arguments = [arguments[0][0]]
        if isinstance(layer, TensorFlowFunction):
            layer, arguments, settings = _bound(layer, arguments, settings)
        self._outputs[name].append(_called(layer, *arguments, **settings))
        return True

    def _arguments(self, node: Any) -> tuple[list[Any], dict[str, Any]]:
        """Return the values that a layer was called on."""
        single = _is_reference(node)
        parts = [node] if single else node
        settings = self._value(parts[0][3]) if len(parts[0]) > 3 else {}
        tensors = [
            self._value(part[2]) if part[0] == "_CONSTANT_VALUE" else self._tensor(part)
            for part in parts
        ]
        settings.pop("training", None)
        if len(tensors) == 1 and tensors[0] is None:
            return [], settings
        return [tensors[0] if len(tensors) == 1 else tensors], settings

    def _value(self, stored: Any) -> Any:
        """Return an argument: references to layers in it are replaced by their outputs."""
        if _is_reference(stored):
            constant = stored[0] == "_CONSTANT_VALUE"
            return self._value(stored[2]) if constant else self._tensor(stored)
        if isinstance(stored, list):
            if len(stored) > _LONG and (array := _array(stored)) is not None:
                return array
            return [self._value(part) for part in stored]
        if isinstance(stored, Mapping):
            return {key: self._value(part) for key, part in stored.items()}
        return stored

    def _tensor(self, reference: Sequence[Any]) -> Any:
        name, node, position = reference[:3]
        if name not in self._outputs:
            text = f"its description refers to a layer {name} that it does not have"
            raise ModelFileError(Problem(text, BUILD_IT))
        if node >= len(self._outputs[name]) or self._outputs[name][node] is None:
            raise _Waiting
        found = self._outputs[name][node]
        return found[position] if isinstance(found, list | tuple) else found

    def _ends(self, stored: Any) -> Any:
        """Return the inputs or outputs of the graph; a single one by itself."""
        if isinstance(stored, Mapping):
            stored = list(stored.values())
        if _is_reference(stored):
            stored = [stored]
        tensors = [self._tensor(each) for each in stored]
        return tensors[0] if len(tensors) == 1 else tensors


def _bound(
    layer: TensorFlowFunction, arguments: list[Any], settings: dict[str, Any]
) -> tuple[TensorFlowFunction, list[Any], dict[str, Any]]:
    """Return a layer that keeps the constants of a call, and the tensors to call it on.

    Keras 3 does not take both mixed.
    """
    tensors: list[Any] = []
    places = split_tensors(arguments, tensors), split_tensors(settings, tensors)
    return TensorFlowFunction(layer.function, *places), tensors, {}


class _Waiting(Exception):
    """A layer's input has not been computed yet."""


def _array(stored: list[Any]) -> np.ndarray | None:
    """Return a long list of numbers as an array, None for one of other things."""
    try:
        array = np.asarray(stored)
    except ValueError:
        return None
    kinds = {"f": np.float32, "i": np.int32}
    return array.astype(kinds[array.dtype.kind]) if array.dtype.kind in kinds else None


def _is_reference(stored: Any) -> bool:
    """Return whether a stored value points to a layer's output: name, call, position, settings."""
    return (
        isinstance(stored, list | tuple)
        and len(stored) in (3, 4)
        and isinstance(stored[0], str)
        and isinstance(stored[1], int)
    )


def _skips_first(entry: Mapping[str, Any]) -> bool:
    return is_network(entry) and any(
        layer["class_name"] == "InputLayer" for layer in layers_of(entry)[:1]
    )


def _input(config: Mapping[str, Any]) -> Any:
    shape = config.get("batch_input_shape") or config.get("batch_shape")
    name = _clean(config["name"])
    return keras.Input(batch_shape=(None, *shape[1:]), dtype=config.get("dtype"), name=name)


def _clean(name: str) -> str:
    """Return a name without slashes, which Keras 3 refuses."""
    return name.replace("/", "_")


def _layer(entry: Mapping[str, Any], name: str) -> keras.layers.Layer:
    """Make a layer, and those inside it."""
    cls, config = repair(entry, name)
    for key in ("layer", "backward_layer", "cell", "cells"):
        inner = config.get(key)
        if isinstance(inner, list):
            config[key] = [_inner(each) for each in inner]
        elif isinstance(inner, Mapping):
            config[key] = _inner(inner)
    own = cls.__module__.startswith("keras.") or "from_config" not in dir(cls)
    return _guarded(cls if own else lambda **settings: cls.from_config(settings), name, config)


def _inner(entry: Mapping[str, Any]) -> keras.layers.Layer:
    if is_network(entry):
        return Network(entry).model
    return _layer(entry, _clean(entry["config"].get("name") or entry["class_name"].lower()))


def _guarded(make: Callable[..., Any], name: str, config: Mapping[str, Any]) -> Any:
    try:
        return make(**config)
    except ModelFileError:
        raise
    except Exception as error:
        raise _failure(name, error) from error


def _called(layer: keras.layers.Layer, *arguments: Any, **settings: Any) -> Any:
    try:
        return layer(*arguments, **settings)
    except Exception as error:
        raise _failure(layer.name, error) from error


def _failure(name: str, error: Exception) -> ModelFileError:
    reason = " ".join(str(error).split())[:160]
    text = f"its layer {name} does not work in Keras {keras.__version__}: {reason}"
    return ModelFileError(Problem(text, BUILD_IT))
