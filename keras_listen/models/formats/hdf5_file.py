"""Open HDF5 files: whole models of Keras 2 and 3, and weights for a network that is given."""

from __future__ import annotations

from pathlib import Path

import keras

from ..problem import ModelFileError, Problem
from .builder import load_weights
from .hdf5 import opened, read_config, read_version
from .keras2_config import BUILD_IT
from .keras2_file import open_keras2_h5
from .keras_archive import as_functional, open_in_keras3


def open_hdf5(path: Path, *, trust: bool, model: keras.Model | None) -> keras.Model:
    """Open a whole-model file, or load a file's weights into `model`.

    Raises:
        ModelFileError: see `open_model`.
    """
    with opened(path) as file:
        version, config = read_version(file), read_config(file)
        listed = any(name in file.attrs for name in ("layer_names", "layer_names0"))
        listed |= "model_weights" in file
        grouped = any(name in file for name in ("layers", "_layer_checkpoint_dependencies", "vars"))
    if model is not None and (listed or grouped):
        load_weights(model, path, listed=listed, keras2=False)
        return as_functional(model)
    if config is not None:
        if version.startswith(("0.", "1.")):
            text = f"cannot open the model {path}: it was written by Keras {version}"
            raise ModelFileError(Problem(text, BUILD_IT))
        if version.startswith("3."):
            return open_in_keras3(path, config, version, trust=trust, suffix=".h5")
        return open_keras2_h5(path)
    if listed or grouped:
        by = f", written by Keras {version}" if version else ""
        raise ModelFileError(Problem(f"{path}{by}, holds weights without a network", BUILD_IT))
    text = f"{path} is an HDF5 file, but holds neither a Keras model nor its weights"
    remedy = "give a file that model.save or model.save_weights wrote"
    raise ModelFileError(Problem(text, remedy))
