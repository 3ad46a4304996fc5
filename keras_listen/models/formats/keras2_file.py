"""Open whole-model files of Keras 2: `.h5`, and the `.keras` archives of Keras 2.12 to 2.15."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras

from ..problem import ModelFileError, Problem
from .hdf5 import opened, read_config, read_layers, read_version
from .keras2_config import BUILD_IT, holds_code, is_network
from .keras2_network import Network
from .keras2_weights import set_listed, set_tree


def open_keras2_h5(path: Path) -> keras.Model:
    """Rebuild the network of a whole-model `.h5` file and set its weights.

    Raises:
        ModelFileError: it is damaged, holds code, or cannot be rebuilt in Keras 3.
    """
    with opened(path) as file:
        version, config, stored = read_version(file), read_config(file), read_layers(file, path)
    return _rebuild(path, version, config, lambda network: set_listed(network, stored))


def open_keras2_archive(path: Path, version: str) -> keras.Model:
    """Rebuild the network of a `.keras` archive and set its weights.

    Raises:
        ModelFileError: see `open_keras2_h5`.
    """
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
        weights = io.BytesIO(archive.read("model.weights.h5"))

    def fill(network: Network) -> None:
        with opened(path, weights) as file:
            set_tree(network, file, path)

    return _rebuild(path, version, config, fill)


def _rebuild(
    path: Path, version: str, config: Mapping[str, Any], fill: Callable[[Network], None]
) -> keras.Model:
    try:
        _require_data(config)
        network = Network(config)
        fill(network)
    except ModelFileError as error:
        by = f", written by Keras {version}" if version else ""
        text = f"cannot open the model {path}{by}: {error.problem.text}"
        raise ModelFileError(Problem(text, error.problem.remedy)) from error
    if not isinstance(network.model, keras.Sequential):
        return network.model
    text = f"cannot open the model {path}: its input shape is not known"
    raise ModelFileError(Problem(text, BUILD_IT))


def _require_data(config: Mapping[str, Any]) -> None:
    """Raise ModelFileError where a description is not of layers alone."""
    if not is_network(config):
        text = f"it is of a class of its own, {config.get('class_name')}, without a list of layers"
        raise ModelFileError(Problem(text, BUILD_IT))
    if holds_code(config):
        text = (
            "it holds Python code (a Lambda layer) as bytecode of the Python that wrote it, which "
            "another Python cannot run"
        )
        raise ModelFileError(Problem(text, BUILD_IT))
