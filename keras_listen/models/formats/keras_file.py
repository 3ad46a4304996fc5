"""Open and write Keras model files."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..problem import ModelFileError, Problem

if TYPE_CHECKING:
    import keras

_WEIGHTS = "model.weights.h5"


def open_model(path: str | Path, *, trust: bool = False) -> keras.Model:
    """Open a `.keras` file without running code from it.

    Args:
        path: the file.
        trust: allow the file to carry Python code (lambda layers). Only for files you made.

    Raises:
        ModelFileError: the file is missing, damaged, of another format, needs custom layers, or
            holds code while `trust` is false.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(Problem(f"there is no model file {path}"))
    if path.suffix != ".keras":
        remedy = "open it in the Keras that wrote it and call model.save('model.keras')"
        raise ModelFileError(Problem(f"{path} is no .keras file", remedy))
    if not zipfile.is_zipfile(path):
        text = f"the model {path} is damaged: it is no complete .keras archive"
        raise ModelFileError(Problem(text))
    # Takes seconds, so not before there is a file to open.
    import keras

    try:
        return keras.saving.load_model(path, compile=False, safe_mode=not trust)
    except Exception as error:
        reason, remedy = _explain(error)
        problem = Problem(f"cannot open the model {path}: {reason}", remedy)
        raise ModelFileError(problem) from error


def _explain(error: Exception) -> tuple[str, str]:
    """Return why Keras cannot open a file, and how to mend that."""
    text = " ".join(str(error).split())
    if missing := re.search(r"Could not locate \w+ '([^']+)'", text):
        return (
            f"it needs a custom class that is not there ({missing[1]})",
            "register it with keras.saving.register_keras_serializable and import it first, or "
            "rebuild the model from Keras's own layers",
        )
    if "safe_mode" in text or "lambda" in text.lower() or "unsafe" in text.lower():
        return (
            "it holds Python code (a lambda), which could do anything on this machine",
            "if you made it yourself, pass --trust-model (trust=True)",
        )
    return f"{type(error).__name__}: {text[:200]}", "the file is damaged or from a newer Keras"


def save_model(model: keras.Model, path: str | Path, *, compact: bool = False) -> None:
    """Write a model without its optimizer.

    Args:
        model: built from inputs and outputs.
        path: of the `.keras` file.
        compact: halve the file by storing weights as float16. It remains an ordinary `.keras` file:
            Keras converts the weights back to float32.
    """
    import keras

    # A single tensor stays one: Keras tells it from a list of one.
    inputs, outputs = (v[0] if len(v) == 1 else v for v in (model.inputs, model.outputs))
    keras.Model(inputs, outputs, name=model.name).save(path)
    if compact:
        _halve(Path(path))


def _halve(path: Path) -> None:
    import h5py

    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    source = h5py.File(io.BytesIO(members[_WEIGHTS]), "r")
    buffer = io.BytesIO()
    with source, h5py.File(buffer, "w") as target:
        _copy_halved(source, target)
    members[_WEIGHTS] = buffer.getvalue()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def _copy_halved(source, target) -> None:
    """Copy an HDF5 group with its attributes, float32 arrays as float16."""
    import h5py

    target.attrs.update(source.attrs)
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            _copy_halved(item, target.create_group(name))
        else:
            data = item[()]
            halved = data.astype(np.float16) if item.dtype == np.float32 else data
            target.create_dataset(name, data=halved).attrs.update(item.attrs)
