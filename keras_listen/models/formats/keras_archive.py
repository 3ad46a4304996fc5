"""Open `.keras` archives, and what Keras 3 writes as `.h5`."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import keras

from ..problem import ModelFileError, Problem
from .builder import load_weights
from .keras2_config import BUILD_IT, holds_code
from .keras2_file import open_keras2_archive

_WEIGHTS = "model.weights.h5"


def open_archive(path: Path, *, trust: bool, model: keras.Model | None) -> keras.Model:
    """Open a `.keras` archive, or load its weights into `model`.

    Raises:
        ModelFileError: see `open_model`.
    """
    members = _read(path)
    version = _version_in(members)
    keras2 = version.startswith("2.")
    if model is not None:
        load_weights(model, path, listed=False, keras2=keras2)
        return as_functional(model)
    config = _config_in(members, path, version)
    if keras2:
        return open_keras2_archive(path, version)
    return open_in_keras3(path, config, version, trust=trust, suffix=".keras")


def open_in_keras3(
    path: Path, config: Mapping[str, Any], version: str, *, trust: bool, suffix: str
) -> keras.Model:
    """Open a file of Keras 3 by Keras itself.

    Args:
        path: of the file.
        config: description of the network in it.
        version: of Keras that wrote it.
        trust: whether it may hold code.
        suffix: of its format, by which Keras tells formats apart.

    Raises:
        ModelFileError: see `open_model`.
    """
    if holds_code(config) and not trust:
        raise _refusal(path, version, *_CODE)
    with contextlib.ExitStack() as stack:
        place = path
        if path.suffix != suffix:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory())) / f"model{suffix}"
            shutil.copyfile(path, place)
        try:
            model = keras.saving.load_model(place, compile=False, safe_mode=not trust)
        except Exception as error:
            # A temporary file tells nobody anything.
            text = str(error).replace(str(place), str(path))
            raise _refusal(path, version, *_explain(error, text, version)) from error
    return as_functional(model)


def as_functional(model: keras.Model) -> keras.Model:
    """Return a model built from inputs and outputs.

    A model of a class of its own becomes one layer; it is returned as it is where it does not tell
    its input shape.
    """
    if isinstance(model, keras.Sequential):
        if not model.layers or not getattr(model, "inputs", None):
            return model
        return keras.Model(_single(model.inputs), _single(model.outputs), name=model.name)
    if getattr(model, "inputs", None):
        return model
    shape = (model.get_build_config() or {}).get("input_shape")
    if not isinstance(shape, list | tuple) or not all(
        size is None or isinstance(size, int) for size in shape
    ):
        return model
    inputs = keras.Input(shape[1:])
    try:
        return keras.Model(inputs, model(inputs), name=f"{model.name}_functional")
    except Exception:
        # It computes only on values; whoever examines it says so.
        return model


def _single(tensors: list[Any]) -> Any:
    return tensors[0] if len(tensors) == 1 else tensors


_CODE = (
    "it holds Python code (a lambda), which could do anything on this machine",
    "if you made it yourself, pass --trust-model (trust=True)",
)


def _read(path: Path) -> dict[str, bytes]:
    """Read an archive's members.

    Raises:
        ModelFileError: one is missing or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile, NotImplementedError) as error:
        text = f"cannot open the model {path}: it is damaged ({' '.join(str(error).split())[:120]})"
        raise ModelFileError(Problem(text, "download or save it again")) from error
    for name in ("config.json", _WEIGHTS):
        if name not in members:
            text = f"cannot open the model {path}: it is damaged, it has no {name}"
            raise ModelFileError(Problem(text, "download or save it again"))
    try:
        h5py.File(io.BytesIO(members[_WEIGHTS]), "r").close()
    except OSError as error:
        text = f"cannot open the model {path}: its {_WEIGHTS} is damaged"
        raise ModelFileError(Problem(text, "download or save it again")) from error
    return members


def _version_in(members: Mapping[str, bytes]) -> str:
    """Return the version of Keras that wrote an archive, "" where it does not say."""
    try:
        return str(json.loads(members["metadata.json"])["keras_version"])
    except (KeyError, ValueError, TypeError):
        return ""


def _config_in(members: Mapping[str, bytes], path: Path, version: str) -> dict[str, Any]:
    try:
        config = json.loads(members["config.json"])
        if not isinstance(config, dict) or not isinstance(config["config"], dict | list):
            raise ValueError("it describes no model")
        return config
    except (ValueError, KeyError) as error:
        text = f"its config.json is damaged ({' '.join(str(error).split())[:80]})"
        raise _refusal(path, version, text, "download or save it again") from error


def _refusal(path: Path, version: str, text: str, remedy: str) -> ModelFileError:
    by = f", written by Keras {version}" if version else ""
    return ModelFileError(Problem(f"cannot open the model {path}{by}: {text}", remedy))


def _explain(error: Exception, text: str, version: str) -> tuple[str, str]:
    """Return why Keras cannot open a file, and how to mend that, from an error and its text."""
    text = " ".join(text.split())
    if missing := re.search(r"Could not locate \w+ '([^']+)'", text):
        return (
            f"it needs a custom class that is not there ({missing[1]})",
            "register it with keras.saving.register_keras_serializable and name its module as an "
            "import, or rebuild the model from Keras's own layers",
        )
    if "safe_mode" in text or "lambda" in text.lower() or "unsafe" in text.lower():
        return _CODE
    reason = f"{type(error).__name__}: {text[:200]}"
    if _number(version) > _number(keras.__version__):
        return reason, f"this is Keras {keras.__version__}: pip install 'keras>={version}'"
    return reason, f"call model.save('model.keras') in the Keras that wrote it, or {BUILD_IT}"


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
