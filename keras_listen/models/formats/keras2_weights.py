"""Set the weights that Keras 2 stored, by layer and in its order, in networks of Keras 3."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from ..problem import ModelFileError, Problem
from .hdf5 import read_array
from .keras2_network import Network

#: What holds the layers of a model in an archive; the second up to Keras 2.12.
_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")

Stored = Sequence[tuple[str, Sequence[tuple[str, np.ndarray]]]]


def set_listed(network: Network, stored: Stored) -> None:
    """Set the weights of a whole-model HDF5 file.

    Args:
        network: rebuilt from the file's description.
        stored: layers and their weights, as `read_layers` returns them.

    Raises:
        ModelFileError: a layer's weights are missing or of another shape.
    """
    found = dict(stored)
    for name, layer in network.layers.items():
        set_layer(layer, name, found.get(name, ()))


def set_layer(
    layer: keras.layers.Layer | Network, name: str, tensors: Sequence[tuple[str, np.ndarray]]
) -> None:
    """Set a layer's weights: the trainable ones come first in a file, the others behind.

    Raises:
        ModelFileError: they are missing or of another shape.
    """
    weights = [weight for part in _split(layer) for weight in part]
    if len(tensors) != len(weights):
        # Counters of Normalization and of random numbers, which Keras 3 does without.
        tensors = [tensor for tensor in tensors if not np.issubdtype(tensor[1].dtype, np.integer)]
    shapes = [value.shape for _, value in tensors]
    wanted = [tuple(weight.shape) for weight in weights]
    if shapes != wanted:
        text = f"its layer {name} has weights of the shapes {shapes}, expected {wanted}"
        raise _unfit(text)
    for weight, (_, value) in zip(weights, tensors, strict=True):
        weight.assign(value)
    _finish(layer)


def _split(layer: keras.layers.Layer | Network) -> tuple[list[Any], list[Any]]:
    """Return the trainable weights and the others, a network's layers in the file's order."""
    if not isinstance(layer, Network):
        return layer.trainable_weights, layer.non_trainable_weights
    parts = [_split(inner) for inner in layer.layers.values()]
    return [w for part in parts for w in part[0]], [w for part in parts for w in part[1]]


def _finish(layer: keras.layers.Layer | Network) -> None:
    """Let layers compute what they derive from their weights (Normalization)."""
    inner = layer.layers.values() if isinstance(layer, Network) else layer._flatten_layers()
    for each in inner:
        if isinstance(each, Network):
            _finish(each)
        elif hasattr(each, "finalize_state") and each.weights:
            each.finalize_state()


#: What an archive of a compiled model has beside its layers; listening does not need it.
_COMPILED = ("optimizer", "metrics")


def set_tree(root: Network | keras.Model, group: h5py.Group, path: Path) -> None:
    """Set the weights of an archive, whose groups follow attributes and classes of layers.

    Args:
        root: the network.
        group: of the archive's HDF5 file.
        path: of the archive, for messages.

    Raises:
        ModelFileError: a layer's weights are missing, left over or of another shape.
    """
    model = root.model if isinstance(root, Network) else root
    done = _set_group(root, group, path, leave=_COMPILED)
    if missing := [weight.path for weight in model.weights if weight.path not in done]:
        text = f"it has no weights for {', '.join(missing[:3])}"
        raise _unfit(text)


def _set_group(item: Any, group: h5py.Group, path: Path, leave: Sequence[str] = ()) -> set[str]:
    """Set the weights in a group; return the paths of those that were set.

    Args:
        item: network or layer.
        group: of the archive.
        path: of the archive, for messages.
        leave: names of groups in it that are left alone.
    """
    done: set[str] = set()
    if not isinstance(item, Network) and "vars" in group and len(group["vars"]):
        done |= _set_own(item, group["vars"], path)
    for name, inner in group.items():
        if name in ("vars", *leave) or not _has_arrays(inner):
            continue
        held = _held(item, name)
        if isinstance(held, Mapping):
            for key, child in inner.items():
                if _has_arrays(child):
                    done |= _set_group(_require(held.get(key), f"{name}/{key}"), child, path)
        else:
            done |= _set_group(_require(held, name), inner, path)
    return done


def _set_own(layer: keras.layers.Layer, stored: h5py.Group, path: Path) -> set[str]:
    """Set the weights that belong to a layer itself."""
    arrays = [read_array(stored[key], stored.file, path) for key in sorted(stored, key=int)]
    own = layer._trainable_variables + layer._non_trainable_variables
    if len(arrays) != len(own):
        arrays = [array for array in arrays if not np.issubdtype(array.dtype, np.integer)]
    try:
        layer.load_own_variables({str(number): array for number, array in enumerate(arrays)})
    except Exception as error:
        # Layers of others may raise anything; the file is whole all the same.
        reason = " ".join(str(error).split())[:160]
        raise _unfit(f"its layer {layer.name} does not fit: {reason}") from error
    return {weight.path for weight in own}


def _held(item: Any, name: str) -> Any:
    """Return what an attribute of a layer holds; layers in a list by their names in an archive."""
    if isinstance(item, Network):
        held: Any = None
        if name in _CONTAINERS:
            return _numbered([(item.kinds[key], layer) for key, layer in item.layers.items()])
    else:
        held = getattr(item, "layers" if name in _CONTAINERS else name, None)
    if isinstance(held, list | tuple):
        return _numbered([(type(layer).__name__, layer) for layer in held])
    return held


def _numbered(layers: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Name layers by their classes, the second of a class `..._1` and so on."""
    named: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for kind, layer in layers:
        # As Keras does: ConvLSTM2D is conv_lstm2d, PReLU is p_re_lu.
        name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", kind))
        name = re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
        number = counts.setdefault(name, 0)
        counts[name] += 1
        named[f"{name}_{number}" if number else name] = layer
    return named


def _require(found: Any, name: str) -> Any:
    if found is None:
        text = f"it has weights for {name}, which the network does not have"
        raise _unfit(text)
    return found


def _unfit(text: str) -> ModelFileError:
    return ModelFileError(
        Problem(text, "give the weights that were saved together with this network")
    )


def _has_arrays(item: Any) -> bool:
    if isinstance(item, h5py.Dataset):
        return True
    return any(_has_arrays(inner) for inner in item.values())
