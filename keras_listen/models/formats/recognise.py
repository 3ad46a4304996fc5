"""Tell by its contents what a model file is, and refuse those that cannot be listened to."""

from __future__ import annotations

import zipfile
from pathlib import Path

from ..problem import ModelFileError, Problem
from .other_systems import BRING, CORE_ML, ENGINES, TFLITE, TORCH, exported, of_another_system

#: Kinds that can be opened.
ARCHIVE, HDF5, SAVED_MODEL = "keras archive", "hdf5", "saved model"

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_HEAD = 4096
#: Ends of names by which a folder's files are looked at.
_ELSEWHERE = (".onnx", ".ort", ".tflite", ".safetensors", ".mlmodel", *ENGINES)
_ARCHIVE_PARTS = {"metadata.json", "config.json", "model.weights.h5"}


def recognise(path: Path) -> tuple[str, Path]:
    """Return the kind of a model file or folder, and where it begins.

    Args:
        path: of the file or folder; `saved_model.pb` stands for its folder.

    Raises:
        ModelFileError: there is none, it is damaged, or of a kind that cannot be used.
    """
    if not path.exists():
        raise ModelFileError(Problem(f"there is no model file {path}"))
    if path.is_dir():
        return SAVED_MODEL, _require_saved_model(path)
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        text = f"cannot read the model file {path}: {error.strerror or error}"
        raise ModelFileError(Problem(text)) from error
    if not head and path.suffix != ".keras":
        raise _refusal(path, "is empty", "download or save it again")
    if head.startswith(_SIGNATURE):
        return HDF5, path
    if head[4:8] != TFLITE and (zipfile.is_zipfile(path) or head.startswith(b"PK\x03\x04")):
        _require_archive(path)
        return ARCHIVE, path
    if problem := (
        exported(path)
        or _text_file(head)
        or of_another_system(path, head)
        or _other_file(path, head)
    ):
        raise _refusal(path, *problem)
    if path.parent.joinpath("saved_model.pb").exists() and path.suffix == ".pb":
        return SAVED_MODEL, _require_saved_model(path.parent)
    raise _unknown(path, head)


def _unknown(path: Path, head: bytes) -> ModelFileError:
    if path.suffix == ".keras":
        return ModelFileError(
            Problem(f"the model {path} is damaged: it is no complete .keras archive")
        )
    begins = f"it begins with {head[:8]!r}"
    remedy = "open it in the Keras that wrote it and call model.save('model.keras')"
    if path.suffix in (".h5", ".hdf5"):
        return _refusal(path, f"is no HDF5 file: {begins}", f"download it again, or {remedy}")
    return _refusal(path, f"is no .keras file, .h5 file or SavedModel folder: {begins}", remedy)


def _require_saved_model(folder: Path) -> Path:
    """Return the folder of a SavedModel, or raise ModelFileError for another folder."""
    if (folder / "saved_model.pb").exists():
        return folder
    if {part.name for part in folder.iterdir()} >= _ARCHIVE_PARTS:
        text = "is an unzipped .keras archive"
        remedy = f"zip its files again: cd {folder} && zip -r ../zipped.keras ."
        raise _refusal(folder, text, remedy)
    if (folder.parent / "saved_model.pb").exists():
        raise _refusal(folder, "is a part of a SavedModel", f"give {folder.parent}")
    inner = sorted(part.parent for part in folder.glob("*/saved_model.pb"))
    if inner:
        remedy = f"give {' or '.join(str(each) for each in inner[:3])}"
        raise _refusal(folder, "holds a SavedModel in a folder of its own", remedy)
    text, remedy = "is a folder without saved_model.pb", "give a .keras or .h5 file"
    if models := sorted((*folder.glob("*.keras"), *folder.glob("*.h5"))):
        raise _refusal(folder, text, f"give {' or '.join(str(each) for each in models[:3])}")
    if problem := _folder_of_another_system(folder):
        raise _refusal(folder, *problem)
    raise _refusal(folder, text, f"{remedy}, or the folder of a SavedModel")


def _folder_of_another_system(folder: Path) -> tuple[str, str] | None:
    """Return what is wrong with a folder that another system wrote, and what to do."""
    if (folder / "Data" / "com.apple.CoreML").is_dir() or (folder / "coremldata.bin").exists():
        return CORE_ML
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    for path in files:
        if path.suffix in (".json", ".xml") and (found := exported(path)):
            return found
    for path in files:
        if path.suffix in _ELSEWHERE:
            with open(path, "rb") as file:
                found = of_another_system(path, file.read(_HEAD))
            if found:
                return f"holds {path.name}, which {found[0]}", found[1]
    ends = {path.suffix for path in files}
    if ".meta" in ends:
        return _graph_checkpoint()
    return _checkpoint() if ".index" in ends else None


def _require_archive(path: Path) -> None:
    """Raise ModelFileError unless a zip file is a `.keras` archive."""
    if not zipfile.is_zipfile(path):
        text = f"the model {path} is damaged: it is no complete .keras archive"
        raise ModelFileError(Problem(text, "download or save it again"))
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
    if names & _ARCHIVE_PARTS:
        return
    last = {name.rpartition("/")[2] for name in names}
    if "data.pkl" in last:
        raise _refusal(path, "is a PyTorch file", TORCH)
    if "saved_model.pb" in last:
        raise _refusal(path, "is a zipped SavedModel", "unzip it and give the folder")
    if last >= _ARCHIVE_PARTS:
        text, remedy = "has a .keras archive in a folder of its own", "zip the files themselves"
    elif models := sorted(name for name in names if name.endswith((".keras", ".h5"))):
        text, remedy = f"is a zip file with {models[0]} in it", "unzip it and give that file"
    elif any(name.endswith(".npy") for name in names):
        text, remedy = "is a file of NumPy arrays, without a network", BRING
    else:
        text, remedy = "is a zip file, but no .keras archive: it has no config.json", BRING
    raise _refusal(path, text, remedy)


def _text_file(head: bytes) -> tuple[str, str] | None:
    """Return what is wrong with a text file, and what to do."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"version https://git-lfs"):
        return (
            "is a git-lfs pointer, not the file itself",
            "fetch it with `git lfs pull`, or download it from the repository's page",
        )
    if text[:64].lower().startswith((b"<!doctype html", b"<html", b"<?xml")):
        return "is a web page, not a model file", "download the file itself (its raw link)"
    if text.startswith(b"{"):
        return (
            "is a description in JSON, without weights",
            "give the file of its weights, and as builder (--model MODULE:FUNCTION) a function "
            "that builds the network (keras.models.model_from_json may do)",
        )
    if text.startswith(b"model_checkpoint_path"):
        return _checkpoint()
    return None


def _checkpoint() -> tuple[str, str]:
    return (
        "belongs to a TensorFlow checkpoint: weights without a network",
        "build the network in Keras where it was trained, load them with model.load_weights, and "
        "call model.save('model.keras')",
    )


def _graph_checkpoint() -> tuple[str, str]:
    return (
        "belongs to a checkpoint of TensorFlow 1: weights, and a graph without inputs and outputs",
        "in the TensorFlow that it was made with, run the code that builds it, restore the "
        "weights, and write a SavedModel with tf.compat.v1.saved_model.simple_save",
    )


def _other_file(path: Path, head: bytes) -> tuple[str, str] | None:
    """Return what is wrong with a binary file that is no model by itself, and what to do."""
    if head[257:262] == b"ustar":
        return "is an archive of files", "unpack it and give the model in it"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return (
            "is a pickle of Python objects, which could do anything on this machine when opened",
            "open it where it was made and call model.save('model.keras')",
        )
    if path.suffix in (".joblib", ".pkl", ".pickle"):
        return "is a compressed pickle", "open it where it was made; call model.save('model.keras')"
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!")):
        return "is a compressed file", "unpack it and give the model in it"
    if head.startswith(b"\x93NUMPY"):
        return "is an array of NumPy, without a network", BRING
    if path.suffix == ".meta":
        return _graph_checkpoint()
    if path.suffix == ".index" or ".data-0" in path.name:
        inside = path.parent.name == "variables"
        own = ("is a part of a SavedModel", f"give {path.parent.parent}")
        return own if inside else _checkpoint()
    return None


def _refusal(path: Path, text: str, remedy: str) -> ModelFileError:
    return ModelFileError(Problem(f"{path} {text}", remedy))
