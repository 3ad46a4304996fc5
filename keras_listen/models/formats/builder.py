"""Import a user's modules, build a network by a function in one, and load a file's weights."""

from __future__ import annotations

import contextlib
import importlib
import io
import math
import shutil
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np

from ..problem import ModelFileError, Problem
from .hdf5 import opened, read_layers
from .keras2_weights import set_layer, set_tree


def import_modules(names: Sequence[str]) -> None:
    """Import modules, which register layers of their own, from the current folder or elsewhere.

    Raises:
        ModelFileError: there is no such module, or it fails.
    """
    for name in names:
        _import(name, "import")


def build_network(builder: str) -> keras.Model:
    """Call a function that builds a network.

    Args:
        builder: "module:function", a module in the current folder or of an installed package.

    Raises:
        ModelFileError: there is no such function, it fails, or returns no Keras model with known
            inputs and outputs.
    """
    module_name, _, function_name = builder.partition(":")
    if not module_name or not function_name or "/" in module_name or "\\" in module_name:
        text = f"the builder {builder!r} is not of the form module:function"
        remedy = "for the function build in network.py of the current folder give network:build"
        raise ModelFileError(Problem(text, remedy))
    function: Any = _import(module_name, "builder")
    for part in function_name.split("."):
        if not hasattr(function, part):
            text = f"the builder {builder} is not there: {module_name} has no {function_name}"
            raise ModelFileError(Problem(text, "give a function of that module"))
        function = getattr(function, part)
    try:
        with _current_folder():
            model = function()
    except (Exception, SystemExit) as error:
        text = f"the builder {builder} failed: {_brief(error)}"
        remedy = "it is called without arguments; call it in Python and mend it"
        raise ModelFileError(Problem(text, remedy)) from error
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        kind = f"{type(model).__module__}.{type(model).__name__}"
        text = f"the builder {builder} returned {kind}, expected a keras.Model with known inputs"
        remedy = f"return keras.Model(inputs, outputs) of Keras {keras.__version__}"
        raise ModelFileError(Problem(text, remedy))
    return model


def load_weights(model: keras.Model, path: Path, *, listed: bool, keras2: bool) -> None:
    """Load the weights of a file into a network.

    Args:
        model: the network.
        path: of the file.
        listed: whether it is an HDF5 file that lists layers and their weights by name, as Keras 2
            does; else its groups follow the classes of layers.
        keras2: whether it is an archive of Keras 2.

    Raises:
        ModelFileError: the weights do not fit.
    """
    try:
        if listed:
            _load_listed(model, path)
        elif keras2:
            _load_archive(model, path)
        else:
            _load_plainly(model, path)
    except ModelFileError as error:
        text = f"the weights in {path} do not fit the network that was built: {error.problem.text}"
        remedy = "build the network that they were saved from"
        raise ModelFileError(Problem(text, remedy)) from error


def _load_listed(model: keras.Model, path: Path) -> None:
    """Match layers by name where all are known by name, else by their order."""
    with opened(path) as file:
        stored = [(name, tensors) for name, tensors in read_layers(file, path) if tensors]
    layers = [layer for layer in model.layers if layer.weights]
    named = {layer.name: layer for layer in layers}
    if {name for name, _ in stored} == set(named):
        layers = [named[name] for name, _ in stored]
    if len(layers) != len(stored):
        text = f"it has {len(layers)} layers with weights, the file {len(stored)}"
        raise ModelFileError(Problem(text))
    for layer, (name, tensors) in zip(layers, stored, strict=True):
        set_layer(layer, name if name == layer.name else f"{layer.name} ({name} there)", tensors)


def _load_archive(model: keras.Model, path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    with opened(path, content) as file:
        set_tree(model, file, path)


def _load_plainly(model: keras.Model, path: Path) -> None:
    """Let Keras 3 load its own file, which it knows by the end of its name."""
    with contextlib.ExitStack() as stack:
        place = path
        if not path.name.endswith((".keras", ".weights.h5")):
            archive = zipfile.is_zipfile(path)
            name = "model.keras" if archive else "model.weights.h5"
            place = Path(stack.enter_context(tempfile.TemporaryDirectory())) / name
            shutil.copyfile(path, place)
        try:
            _load_all(model, place)
        except Exception as error:
            if place.suffix == ".keras":
                # A temporary file tells nobody anything.
                reason = " ".join(str(error).replace(str(place), str(path)).split())[:160]
                text = f"{type(error).__name__}: {reason}"
                raise ModelFileError(Problem(text)) from error
            # Keras 2.13 to 2.15 write the same layout with weights that Keras 3 does without.
            with opened(path) as file:
                set_tree(model, file, path)


def _load_all(model: keras.Model, place: Path) -> None:
    """Load a file's weights.

    Raises:
        ValueError: it lacks some. Keras only warns of groups that it does not find.
    """
    weights = [weight for weight in model.weights if "float" in str(weight.dtype)]
    for weight in weights:
        weight.assign(np.full(weight.shape, np.nan))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.load_weights(place)
    for weight in weights:
        if math.prod(weight.shape) and np.isnan(keras.ops.convert_to_numpy(weight)).all():
            raise ValueError(f"the file has nothing for {weight.path}")


def _import(name: str, what: str) -> ModuleType:
    try:
        with _current_folder():
            return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name is not None
        if absent and f"{name}.".startswith(f"{error.name}."):
            text = f"there is no module {name} ({what}) in {Path.cwd()} or among installed packages"
            remedy = "give its dotted name without .py, and run in the folder that holds it"
        else:
            text, remedy = f"the module {name} ({what}) failed: {_brief(error)}", "mend it"
        raise ModelFileError(Problem(text, remedy)) from error


@contextlib.contextmanager
def _current_folder() -> Iterator[None]:
    """Let modules in the current folder be found, as `python -m` does."""
    place = str(Path.cwd())
    sys.path.insert(0, place)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(place)


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
