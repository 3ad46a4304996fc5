"""Convert networks that the published tooling trained, in Keras 2's HDF5 files, to a bundle.

Nothing in such a file is executed: the networks are built here, and only arrays are read from the
file, in the order in which they are stored.

References:
    Soomro et al., Interspeech 2019, sections 3.1 and 3.2, and its code.
    Keras 2.2.4, keras/engine/saving.py: the layout of the files.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from ...errors import ModelError, RunError
from ...features import FeatureSpec
from ...output.files import make_folder, require_empty, sha256
from ..bundle import Bundle, create_bundle
from ..classifier import Classifier
from ..networks.autoencoder import build_decoder, build_encoder
from ..networks.classifier import build_classifier
from ..provenance import made_with
from .hdf5 import as_text, opened, read_names

#: Layers without effect in inference.
_PASSIVE = ("InputLayer", "Dropout")
#: Settings that change a layer's outputs but not the shapes of its weights.
_SETTINGS = (
    "activation",
    "data_format",
    "dilation_rate",
    "interpolation",
    "padding",
    "pool_size",
    "size",
    "strides",
    "target_shape",
)

Models = Mapping[str, keras.Model]


def convert_keras2(
    classifier: str | Path,
    target: str | Path,
    *,
    words: Sequence[str],
    referee: str | Path | None = None,
    autoencoder_weights: str | Path | None = None,
    spec: FeatureSpec | None = None,
) -> Bundle:
    """Convert the published networks' HDF5 files to a bundle, which is written atomically.

    Args:
        classifier: file of the classifier, by `model.save` or `model.save_weights`.
        target: folder of the bundle, new or empty.
        words: in the order of the classifier's outputs.
        referee: file of a separately trained classifier of the same words.
        autoencoder_weights: file of the whole autoencoder, which is split into encoder and decoder.
        spec: the features that all networks were trained on; the published ones by default.

    Raises:
        ModelError: a file is missing, damaged, without weights or of another network, or does not
            fit the words.
        ParameterError: fewer than two words, or features too small for the classifier.
        RunError: the folder is not empty, or cannot be written.
    """
    words, spec = tuple(words), spec or FeatureSpec()
    require_empty(target)
    components: dict[str, tuple[Path, Models]] = {}
    for name, file in (("classifier", classifier), ("referee", referee)):
        if file is not None:
            components[name] = (Path(file), {"model": read_classifier(file, words, spec)})
    if autoencoder_weights is not None:
        encoder, decoder = read_autoencoder(autoencoder_weights, spec)
        models = {"encoder": encoder, "decoder": decoder}
        components["ae"] = (Path(autoencoder_weights), models)
    return _write(Path(target), words, spec, components)


def read_classifier(
    path: str | Path, words: Sequence[str], spec: FeatureSpec | None = None
) -> keras.Model:
    """Read the published classifier: features [shape=(batch, frames, mels, 1)] to probabilities.

    Raises:
        ModelError: see `convert_keras2`.
        ParameterError: fewer than two words, or features too small for the classifier.
    """
    spec = spec or FeatureSpec()
    model = build_classifier(len(words), frames=spec.frames, mels=spec.n_mels)
    _fill([model], Path(path), "classifier", words)
    # Refuses words that are not all different.
    Classifier(model, words, spec, what=f"the model {path}")
    return model


def read_autoencoder(
    path: str | Path, spec: FeatureSpec | None = None
) -> tuple[keras.Model, keras.Model]:
    """Read the published autoencoder and split it at its latent [shape=(batch, 256)].

    Returns:
        The encoder of features [shape=(batch, frames, mels, 1)], and the decoder back to them.

    Raises:
        ModelError: see `convert_keras2`.
    """
    spec = spec or FeatureSpec()
    size = {"frames": spec.frames, "mels": spec.n_mels}
    encoder, decoder = build_encoder(**size), build_decoder(**size)
    _fill([encoder, decoder], Path(path), "autoencoder")
    return encoder, decoder


def _write(
    target: Path,
    words: Sequence[str],
    spec: FeatureSpec,
    components: Mapping[str, tuple[Path, Models]],
) -> Bundle:
    """Write the bundle beside `target` and move its files there, `bundle.json` last."""
    place = target.resolve()  # "." has no name of its own
    fresh = place.with_name(f".{place.name}.partial")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        bundle = create_bundle(fresh, words, spec)
        for name, (file, models) in components.items():
            source = {"file": file.name, "sha256": sha256(file), **made_with()}
            bundle.add(name, models, about={"kind": name, "provenance": source})
        # The folder stays where it is: somebody may stand in it.
        make_folder(place)
        for path in sorted(fresh.iterdir(), key=lambda path: path.name == "bundle.json"):
            path.rename(place / path.name)
    except OSError as error:
        raise RunError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return Bundle(target)


def _fill(models: Sequence[keras.Model], path: Path, what: str, words: Sequence[str] = ()) -> None:
    """Load the weights in a file into `models`, which follow each other."""
    weights = [weight for model in models for weight in model.weights]
    with _opened(path) as file:
        _require_network(file, models, f"{path} is not the published {what}")
        tensors = _tensors(file, path)
        if words:
            _require_words(tensors, weights, path, words)
        _require_fit(tensors, weights, path, what)
        # Only now: a distorted file may declare arrays that no memory holds.
        values = [np.asarray(tensor[()], np.float32) for _, tensor in tensors]
    for weight, value in zip(weights, values, strict=True):
        weight.assign(value)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """Open a file; turn every error that its contents cause meanwhile into a ModelError."""
    if not path.is_file():
        raise ModelError(f"there is no file {path}")
    if not h5py.is_hdf5(path):
        raise ModelError(
            f"{path} is no HDF5 file, or its beginning is damaged; expected what Keras 2 writes "
            "with model.save('model.h5') or model.save_weights('weights.h5')"
        )
    with opened(path) as file:
        yield file


def _tensors(file: h5py.File, path: Path) -> list[tuple[str, h5py.Dataset]]:
    """Return the weights of all layers with their names, in the order of layers and weights.

    The weights of a model inside a model stand in one group, so that flat and nested models are
    alike here.
    """
    whole = "layer_names" not in file.attrs and "model_weights" in file
    root = file["model_weights"] if whole else file
    tensors = [
        (name, root[layer][name])
        for layer in read_names(root, "layer_names")
        for name in read_names(root[layer], "weight_names")
    ]
    if not tensors:
        raise ModelError(
            f"{path} has no weights in the layout of Keras 2 (groups that layer_names lists); save "
            "the network in the Keras that trained it, with model.save_weights('weights.h5')"
        )
    if as_text(root.attrs.get("backend", "")) == "theano":
        raise ModelError(
            f"{path} was saved by Keras on Theano, which stores convolutions mirrored; open it in "
            "Keras 2 on TensorFlow and save it there"
        )
    for name, tensor in tensors:
        if tensor.external or tensor.is_virtual or tensor.file.filename != file.filename:
            raise ModelError(f"in {path}, tensor {name} lies in another file; save it in one")
        if not np.issubdtype(tensor.dtype, np.floating):
            raise ModelError(
                f"in {path}, tensor {name} is of type {tensor.dtype}; expected floating point"
            )
    return tensors


def _require_words(
    tensors: Sequence[tuple[str, h5py.Dataset]],
    weights: Sequence[keras.Variable],
    path: Path,
    words: Sequence[str],
) -> None:
    """Raise ModelError if everything fits but the number of words."""
    shapes = [tensor.shape for _, tensor in tensors]
    wanted = [tuple(weight.shape) for weight in weights]
    outputs = shapes[-1]
    if outputs and shapes == [*wanted[:-2], wanted[-2][:1] + outputs, outputs]:
        if outputs[0] == len(words):
            return
        raise ModelError(
            f"the classifier {path} has {outputs[0]} outputs, but there are {len(words)} words; "
            "give one word for each output, in its order"
        )


def _require_fit(
    tensors: Sequence[tuple[str, h5py.Dataset]],
    weights: Sequence[keras.Variable],
    path: Path,
    what: str,
) -> None:
    """Raise ModelError, naming the first tensor of another shape, missing or left over."""
    counts = f"it has {len(tensors)} tensors, the published {what} {len(weights)}"
    hint = f"give the file of that network, trained on the same features ({counts})"
    for (name, tensor), weight in zip(tensors, weights, strict=False):
        if tensor.shape != tuple(weight.shape):
            raise ModelError(
                f"in {path}, tensor {name} has the shape {tensor.shape}; the published {what} has "
                f"{tuple(weight.shape)} there, as {weight.path}; {hint}"
            )
    if len(tensors) < len(weights):
        weight = weights[len(tensors)]
        raise ModelError(
            f"{path} has too few tensors: the first that is missing is {weight.path} of shape "
            f"{tuple(weight.shape)}; {hint}"
        )
    if len(tensors) > len(weights):
        name, tensor = tensors[len(weights)]
        raise ModelError(
            f"{path} has too many tensors: the first that is left over is {name} of shape "
            f"{tensor.shape}; {hint}"
        )


def _require_network(file: h5py.File, models: Sequence[keras.Model], complaint: str) -> None:
    """Raise ModelError unless the network described in a whole-model file is equivalent.

    Weights of the same shapes could be used by another network. The description is read as text; a
    file of weights alone has none.
    """
    if "model_config" not in file.attrs:
        return
    described = list(_walk(json.loads(as_text(file.attrs["model_config"]))))
    inputs = described[0][1].get("batch_input_shape") or described[0][1].get("batch_shape")
    expected = list(models[0].input_shape)
    # The number of utterances at the front may have been fixed.
    if inputs and inputs[1:] != expected[1:]:
        raise ModelError(f"{complaint}: it takes input of shape {inputs}, expected {expected}")
    given = [layer for layer in described if layer[0] not in _PASSIVE]
    layers = [layer for model in models for layer in model.layers]
    wanted = [(type(layer).__name__, layer.get_config()) for layer in layers]
    wanted = [layer for layer in wanted if layer[0] not in _PASSIVE]
    nothing: tuple[str, dict[str, Any]] = ("no layer", {})
    for number, pair in enumerate(zip_longest(given, wanted, fillvalue=nothing), start=1):
        (kind, settings), (expected_kind, expected_settings) = pair
        where = f"{complaint}: its layer {number} (without inputs and dropout)"
        if kind != expected_kind:
            raise ModelError(f"{where} is {kind}, expected {expected_kind}")
        for key in _SETTINGS:
            if key in settings and key in expected_settings:
                value, expected_value = settings[key], _as_json(expected_settings[key])
                if value != expected_value:
                    raise ModelError(
                        f"{where}, {kind}, has {key} {value!r}, expected {expected_value!r}"
                    )


def _walk(entry: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield class name and settings of each layer of a description, at any depth."""
    inner = entry["config"]
    # Before Keras 2.2.3, the settings of a Sequential were its layers alone.
    layers = inner if isinstance(inner, list) else inner.get("layers")
    if layers is None:
        yield str(entry["class_name"]), inner
        return
    for layer in layers:
        yield from _walk(layer)


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))
