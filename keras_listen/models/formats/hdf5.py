"""Read names and arrays from the HDF5 files of Keras 2, as data."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

from ..problem import ModelFileError, Problem

#: Errors of h5py, and of reading a damaged description.
DAMAGES = (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError)


def read_names(group: h5py.Group, attribute: str) -> list[str]:
    """Return a list of names; Keras splits one that is too long for HDF5 into numbered pieces."""
    if attribute in group.attrs:
        return [as_text(name) for name in group.attrs[attribute]]
    names: list[str] = []
    piece = 0
    while f"{attribute}{piece}" in group.attrs:
        names += [as_text(name) for name in group.attrs[f"{attribute}{piece}"]]
        piece += 1
    return names


def as_text(value: str | bytes) -> str:
    """Return an attribute as text: h5py gives either, depending on how it was written."""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


@contextlib.contextmanager
def opened(path: Path, content: BinaryIO | None = None) -> Iterator[h5py.File]:
    """Open an HDF5 file; turn errors that its contents cause meanwhile into a ModelFileError.

    Args:
        path: names the file in the message.
        content: the file itself, where it lies inside an archive.
    """
    try:
        with h5py.File(content or path, "r") as file:
            yield file
    except ModelFileError:
        raise
    except DAMAGES as error:
        text = " ".join(str(error).split())[:120]
        raise ModelFileError(
            Problem(f"{path} is damaged or cut short ({text})", "copy or save it anew")
        ) from error


def read_version(file: h5py.File) -> str:
    """Return the version of Keras that wrote a file, or "" where it does not say."""
    for place in (file, file.get("model_weights")):
        if place is not None and "keras_version" in place.attrs:
            return as_text(place.attrs["keras_version"])
    return ""


def read_config(file: h5py.File) -> dict[str, Any] | None:
    """Return the description of the network in a whole-model file, None in one of weights alone."""
    text = file.attrs.get("model_config")
    return None if text is None else json.loads(as_text(text))


def read_layers(file: h5py.File, path: Path) -> list[tuple[str, Sequence[tuple[str, np.ndarray]]]]:
    """Return the layers that a Keras 2 file lists, with the names and values of their weights.

    A model inside a model counts as one layer.

    Raises:
        ModelFileError: the file was saved by Keras on Theano, or refers to another file.
    """
    root = file.get("model_weights", file)
    if as_text(root.attrs.get("backend", "")) == "theano":
        text = f"{path} was saved by Keras on Theano, which stores convolutions mirrored"
        raise ModelFileError(Problem(text, "open it in Keras 2 on TensorFlow and save it there"))
    layers = []
    for layer in read_names(root, "layer_names"):
        group = root[layer]
        names = read_names(group, "weight_names")
        layers.append((layer, [(name, read_array(group[name], file, path)) for name in names]))
    return layers


def read_array(dataset: h5py.Dataset, file: h5py.File, path: Path) -> np.ndarray:
    """Return an array that lies in the file itself.

    Raises:
        ModelFileError: it lies in another file.
    """
    if dataset.external or dataset.is_virtual or dataset.file.filename != file.filename:
        text = f"in {path}, tensor {dataset.name} lies in another file"
        raise ModelFileError(Problem(text, "save it in one"))
    return np.asarray(dataset[()])
