"""Repair the settings of layers that Keras 2 stored, so that Keras 3 takes them.

Nothing stored is executed: settings are renamed, dropped where they change no output, or refused.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from ..problem import ModelFileError, Problem
from .keras2_layers import TensorFlowFunction, hard_sigmoid, is_pure

#: What to do about a network that cannot be rebuilt from its description.
BUILD_IT = (
    "write a function without arguments that builds the network in Keras 3 and name it as builder "
    "(--model MODULE:FUNCTION); the file's weights are loaded into it"
)
#: Layers of Keras 2 under the names that Keras 3 has for them.
_CLASSES = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
    "ThresholdedReLU": "ReLU",
    "SlicingOpLambda": "TFOpLambda",
}
#: Layers that run what lies outside the file.
_FOREIGN = ("TFSMLayer", "JaxLayer", "FlaxLayer", "TorchModuleWrapper")
#: Settings that change no output at inference, whatever their value.
_HARMLESS = frozenset(
    (
        "batch_input_shape",
        "batch_size",
        "force_generator",
        "fused",
        "implementation",
        "input_dim",
        "input_dtype",
        "input_length",
        "key_shape",
        "noise_shape",
        "query_shape",
        "ragged",
        "rng_type",
        "softmax_robust_masking",
        "sparse",
        "stateful",
        "synchronized",
        "value_shape",
        "virtual_batch_size",
    )
)
#: Settings of every layer.
_COMMON = ("name", "trainable", "dtype")
#: Names under which Keras 2 stored TensorFlow's functions.
_FUNCTIONS = {"softmax_v2": "softmax", "log_softmax_v2": "log_softmax"}
#: Settings that hold layers.
_INNER = ("layer", "backward_layer", "cell", "cells")


def is_network(entry: Mapping[str, Any]) -> bool:
    """Return whether a stored entry is a model built from layers, not a single layer."""
    config = entry["config"]
    return isinstance(config, list) or (
        isinstance(config, Mapping) and isinstance(config.get("layers"), list)
    )


def layers_of(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the entries of a network's layers."""
    config = entry["config"]
    return list(config if isinstance(config, list) else config["layers"])


def walk(entry: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the entries of a network's layers at any depth, those inside wrappers included."""
    if is_network(entry):
        for layer in layers_of(entry):
            yield from walk(layer)
        return
    yield entry
    config = entry["config"]
    for key in _INNER:
        inner = config.get(key) if isinstance(config, Mapping) else None
        for each in inner if isinstance(inner, list) else [inner]:
            if isinstance(each, Mapping) and "class_name" in each:
                yield from walk(each)


def holds_code(stored: Any) -> bool:
    """Return whether a description holds compiled Python code, anywhere in it."""
    if isinstance(stored, list):
        return any(holds_code(part) for part in stored)
    if not isinstance(stored, Mapping):
        return False
    if stored.get("class_name") == "__lambda__":
        return True
    config = stored.get("config")
    if stored.get("class_name") == "Lambda" and isinstance(config, Mapping):
        # Keras 2 wrote code, defaults and closure in a list, a function's name as text.
        return isinstance(config.get("function"), list) or holds_code(config.get("function"))
    return any(holds_code(part) for part in stored.values())


def find_missing(entry: Mapping[str, Any]) -> list[str]:
    """Return the classes and functions that a network needs and nobody has registered."""
    missing = set()
    for layer in walk(entry):
        name = layer["class_name"]
        if name not in ("InputLayer", "Lambda") and layer_class(layer) is None:
            missing.add(_of_function(layer) if name in ("TFOpLambda", "SlicingOpLambda") else name)
        for key, value in layer["config"].items():
            if key.endswith("activation") and value and _activation(value) is None:
                missing.add(_function_name(value))
        if name == "Lambda" and _registered(_lambda_name(layer["config"])) is None:
            missing.add(str(_lambda_name(layer["config"])))
    return sorted(missing)


def _of_function(layer: Mapping[str, Any]) -> str:
    return f"tf.{layer['config'].get('function')}"


def layer_class(entry: Mapping[str, Any]) -> type | None:
    """Return the class of a stored layer in Keras 3; None for one that is not known."""
    name = _CLASSES.get(entry["class_name"], entry["class_name"])
    if name == "TFOpLambda":
        return TensorFlowFunction if is_pure(str(entry["config"].get("function"))) else None
    # Registered ones first: somebody may have given an old layer's name to one of their own.
    found = _registered(entry.get("registered_name") or name) or _registered(name)
    return found or _own_layer(name)


def repair(entry: Mapping[str, Any], name: str) -> tuple[type, dict[str, Any]]:
    """Return the class of a stored layer and arguments to make it of.

    Args:
        entry: as stored, its class known.
        name: for the layer; Keras 3 takes no slashes.

    Raises:
        ModelFileError: a setting has no counterpart in Keras 3 and would change the outputs.
    """
    cls = layer_class(entry)
    config = dict(entry["config"]) | {"name": name}
    if isinstance(policy := config.get("dtype"), Mapping):
        config["dtype"] = policy["config"].get("name")
    if str(config.get("dtype")) in ("None", "_infer", "infer"):
        config.pop("dtype", None)
    if not cls.__module__.startswith("keras."):
        config.pop("batch_input_shape", None)
        return cls, config
    for key, value in list(config.items()):
        if key.endswith(("_initializer", "_regularizer", "_constraint")):
            del config[key]  # They matter in training only.
        elif key.endswith("activation"):
            config[key] = _activation(value) if value else None
    _mend(entry["class_name"], config)
    _drop(cls, config, f"its layer {entry['config'].get('name', name)} ({entry['class_name']})")
    return cls, config


def _mend(kind: str, config: dict[str, Any]) -> None:
    """Change settings that a kind of layer has under another name or in another form."""
    if kind in ("BatchNormalization", "LayerNormalization", "BatchNormalizationV1"):
        axis = config.get("axis")
        if isinstance(axis, list) and len(axis) == 1:
            config["axis"] = axis[0]
    elif kind == "LeakyReLU" and "alpha" in config:
        config["negative_slope"] = float(config.pop("alpha"))
    elif kind == "ThresholdedReLU":
        config["threshold"] = float(config.pop("theta"))
    elif kind == "GRU" or kind == "GRUCell":
        config.setdefault("reset_after", False)
    elif kind == "Lambda":
        config["function"] = _registered(_lambda_name(config))
        for key in ("function_type", "module", "output_shape_type", "output_shape_module"):
            config.pop(key, None)
    for key in ("scale", "center"):  # Some wrote 1 for true.
        if isinstance(config.get(key), int):
            config[key] = bool(config[key])


def _drop(cls: type, config: dict[str, Any], what: str) -> None:
    """Drop settings that Keras 3 does not have.

    Raises:
        ModelFileError: one that is dropped would change the outputs.
    """
    taken = inspect.signature(cls.__init__).parameters
    known = {*taken, *(_COMMON if "kwargs" in taken else ())}
    for key in [key for key in config if key not in known]:
        value = config.pop(key)
        harmless = key in (*_HARMLESS, *_COMMON) or value in (None, False, [], {})
        # As many groups as channels are what a depthwise layer is; a Keras 2 file always says 1.
        if not harmless and (key, value) != ("groups", 1):
            text = f"{what} has {key}={value!r}, which no layer of Keras 3 has"
            raise ModelFileError(Problem(text, BUILD_IT))
    if config.get("stateful"):
        config["stateful"] = False  # A sample does not go on from the one before.


def _lambda_name(config: Mapping[str, Any]) -> Any:
    function = config.get("function")
    return function.get("config") if isinstance(function, Mapping) else function


def _function_name(value: Any) -> str:
    """Return the name of a stored function or layer."""
    if not isinstance(value, Mapping):
        return str(value)
    named = value.get("config")
    return named if isinstance(named, str) else str(value.get("class_name"))


def _activation(value: Any) -> Any:
    """Return a stored activation, None for one that is not known.

    It has Keras 2's formula where Keras 3 has another under its name.
    """
    if isinstance(value, Mapping) and isinstance(value.get("config"), Mapping):
        if layer_class(value) is None:
            return None
        cls, config = repair(value, value["config"].get("name") or "activation")
        return cls(**config)
    name = _function_name(value)
    name = _FUNCTIONS.get(name, name)
    if name == "hard_sigmoid":
        return hard_sigmoid
    if (found := _registered(name)) is not None:
        return found
    if hasattr(keras.activations, name):
        return getattr(keras.activations, name)
    cls = _own_layer(name)
    return None if cls is None else cls()


def _own_layer(name: str) -> type | None:
    """Return a layer of Keras 3 by its name."""
    found = getattr(keras.layers, name, None)
    layer = inspect.isclass(found) and issubclass(found, keras.layers.Layer)
    return found if layer and name not in _FOREIGN else None


def _registered(name: Any) -> Any:
    """Return what somebody registered under a name, with or without a package in front."""
    if not isinstance(name, str):
        return None
    found = keras.saving.get_registered_object(name)
    custom = keras.saving.get_custom_objects()
    return found or custom.get(f"Custom>{name}") or custom.get(name)
