"""Open and write Keras model files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..problem import ModelFileError, Problem
from .recognise import HDF5, SAVED_MODEL, recognise

if TYPE_CHECKING:
    import keras

_WEIGHTS = "model.weights.h5"


def open_model(
    path: str | Path,
    *,
    trust: bool = False,
    builder: str | None = None,
    imports: Sequence[str] = (),
) -> keras.Model:
    """Open a model file as a functional Keras model, without running code from it.

    Takes `.keras` archives of Keras 3 and 2, whole-model `.h5` files of both, SavedModel folders,
    and with `builder` also files of weights alone.

    Args:
        path: the file, or the folder of a SavedModel.
        trust: allow the file to carry Python code (lambda layers). Only for files you made.
        builder: "module:function", which is called without arguments and returns the network; the
            file's weights are loaded into it and its description is not looked at.
        imports: modules to import before, which register layers of their own.

    Returns:
        The model, with known inputs and outputs; only a model of a class of its own that does not
        tell its input shape is returned as it is.

    Raises:
        ModelFileError: the file is missing, damaged, of another format, needs custom layers, or
            holds code while `trust` is false; or the builder or an import fails.
    """
    kind, path = recognise(Path(path))
    # Keras takes seconds to start, so not before there is a file to open.
    from .builder import build_network, import_modules

    import_modules(imports)
    model = None if builder is None else build_network(builder)
    if kind == SAVED_MODEL:
        if model is not None:
            text = f"{path} is a SavedModel, which has its network in it"
            raise ModelFileError(Problem(text, "open it without a builder"))
        from .saved_model import open_saved_model

        return open_saved_model(path)
    if kind == HDF5:
        from .hdf5_file import open_hdf5

        return open_hdf5(path, trust=trust, model=model)
    from .keras_archive import open_archive

    return open_archive(path, trust=trust, model=model)


def save_model(model: keras.Model, path: str | Path, *, compact: bool = False) -> None:
    """Write a model without its optimizer.

    Args:
        model: built from inputs and outputs.
        path: of the `.keras` file.
        compact: store weights as float16, and those of two or more axes with 8 significant bits
            (the precision of bfloat16), of which deflate takes away the rest: 2 / 5 of the size. It
            remains an ordinary `.keras` file: Keras converts the weights back to float32.
    """
    import keras

    # A single tensor stays one: Keras tells it from a list of one.
    inputs, outputs = (v[0] if len(v) == 1 else v for v in (model.inputs, model.outputs))
    keras.Model(inputs, outputs, name=model.name).save(path)
    if compact:
        _compact(Path(path))


def _compact(path: Path) -> None:
    import h5py

    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    source = h5py.File(io.BytesIO(members[_WEIGHTS]), "r")
    buffer = io.BytesIO()
    with source, h5py.File(buffer, "w") as target:
        _copy_compact(source, target)
    members[_WEIGHTS] = buffer.getvalue()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def _copy_compact(source, target) -> None:
    """Copy an HDF5 group with its attributes, floating point arrays as compact float16."""
    import h5py

    target.attrs.update(source.attrs)
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            _copy_compact(item, target.create_group(name))
        else:
            data = item[()]
            if item.dtype == np.float32:
                data = data.astype(np.float16) if data.ndim < 2 else _rounded(data)
            target.create_dataset(name, data=data).attrs.update(item.attrs)


def _rounded(weights: np.ndarray) -> np.ndarray:
    """Return float16 weights whose last bits, beyond 8 significant ones, are zero."""
    dropped = 10 - 7
    bits = weights.astype(np.float16).view(np.uint16)
    half = (1 << (dropped - 1)) - 1 + (bits >> dropped & 1)  # to even where halfway
    return ((bits + half) >> dropped << dropped).astype(np.uint16).view(np.float16)
