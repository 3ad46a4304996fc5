"""Tell model files of other systems by their contents, with what to bring instead."""

from __future__ import annotations

import re
from pathlib import Path

#: What to bring instead of a file without gradients, or of another system.
BRING = (
    "bring the Keras model that it was made from (.keras, .h5, or a SavedModel folder), from where "
    "it was trained"
)
TORCH = (
    "bring a Keras model: build the network in Keras, copy the weights by hand, check the outputs, "
    "and call model.save('model.keras')"
)
#: Stand behind the first four bytes of a file.
TFLITE, _ORT = b"TFL3", b"ORTM"
_ONNX = (
    "is an ONNX file, whose gradients are not known here",
    "bring the Keras model that it was made from, or rebuild the network in Keras and copy its "
    "weights",
)
CORE_ML = "is a Core ML model, which runs on Apple's systems only", BRING
_OPENVINO = "is an OpenVINO model, whose gradients are not known here", BRING
_TENSORRT = "is a TensorRT engine, compiled for one graphics card and without gradients", BRING
_JS = "is a TensorFlow.js model, which cannot be opened here"
_JS_LAYERS = (
    "convert it back: pip install tensorflowjs, and tensorflowjs_converter --input_format "
    "tfjs_layers_model --output_format keras model.json model.h5"
)
#: Ends of names of files that nothing in their first bytes tells.
ENGINES = (".engine", ".plan", ".trt")


def of_another_system(path: Path, head: bytes) -> tuple[str, str] | None:
    """Return what is wrong with a model of another system, and what to do.

    Contents count, and names only where these tell nothing.
    """
    if head[4:8] == TFLITE:
        return "is a TensorFlow Lite file, through which there are no gradients", BRING
    if head[4:8] == _ORT or _begins_like_onnx(head):
        return _ONNX
    first = head[:100].rstrip(b"\0")
    in_tar = head[257:262] == b"ustar" and first in (b"sys_info", b"pickle", b"storages")
    if b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19" in head[:32] or in_tar:
        return "is a PyTorch file", TORCH
    if head[8:10] == b'{"' and int.from_bytes(head[:8], "little") < 1 << 32:
        return "is a safetensors file: weights without a network", TORCH
    if problem := _graph_file(path):
        return problem
    if path.suffix.lower() in ENGINES:
        return _TENSORRT
    if path.suffix == ".mlmodel":
        return CORE_ML
    if re.search(r"shard\d+of\d+", path.name):
        beside = path.parent / "model.json"
        return (beside.is_file() and exported(beside)) or (_JS, BRING)
    beside = path.with_suffix(".xml")
    if path.suffix == ".bin" and beside.is_file():
        return exported(beside)
    return None


def _begins_like_onnx(head: bytes) -> bool:
    """Return whether a file begins with a version and the name of the program that wrote it.

    So do ONNX files of all exporters, also where the rest is missing.
    """
    if head[:1] != b"\x08" or head[2:3] != b"\x12" or len(head) < 6:
        return False
    name = head[4 : 4 + head[3]]
    return 2 <= head[3] < 64 and re.fullmatch(rb"[A-Za-z][\w.+ -]*", name) is not None


def exported(path: Path) -> tuple[str, str] | None:
    """Return what is wrong with a description of a network for browsers or OpenVINO."""
    with open(path, "rb") as file:
        head = file.read(4096)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    marks = (b'"modelTopology"', b'"weightsManifest"', b'"graph-model"', b'"layers-model"')
    if text.startswith(b"{") and any(mark in head for mark in marks):
        layers = b'"layers-model"' in head or b'"class_name"' in head or b'"model_config"' in head
        return _JS, _JS_LAYERS if layers else BRING
    if text.startswith((b"<?xml", b"<net ")) and b"<net " in head:
        return _OPENVINO
    return None


def _graph_file(path: Path) -> tuple[str, str] | None:
    """Return what is wrong with a file in protocol buffers, None for a complete SavedModel's."""
    if path.name in ("keras_metadata.pb", "fingerprint.pb"):
        return "is a part of a SavedModel", f"give {path.parent}"
    fields = _fields(path)
    if {(1, 0), (7, 2)} <= fields and fields <= _ONNX_FIELDS:
        return _ONNX
    if {(1, 0), (2, 2)} <= fields and max(number for number, _ in fields) >= 200:
        return CORE_ML
    if fields == {(1, 0), (2, 2)} and not (path.parent / "variables").exists():
        return "is a part of a SavedModel", "give its whole folder, with variables/ beside it"
    if (1, 2) in fields and fields <= {(1, 2), (2, 2), (3, 0), (4, 2)}:
        return "is a frozen TensorFlow graph (GraphDef), which cannot be listened to", BRING
    return None


#: Numbers and wire types of the outermost fields of ONNX's ModelProto.
_ONNX_FIELDS = {(1, 0), (5, 0), *((number, 2) for number in (2, 3, 4, 6, 7, 8, 14, 20, 25, 26))}


def _fields(path: Path, limit: int = 100_000) -> set[tuple[int, int]]:
    """Return numbers and wire types of the outermost fields of a protocol buffer.

    Empty for a file that is none.
    """
    size, found = path.stat().st_size, set()
    with open(path, "rb") as file:
        for _ in range(limit):
            if (at := file.tell()) == size:
                return found
            key = _varint(file)
            kind = key & 7
            length = _varint(file) if kind in (0, 2) else {1: 8, 5: 4}.get(kind)
            if key < 8 or length is None or file.tell() == at:
                return set()
            if kind != 0:
                file.seek(length, 1)
            if file.tell() > size:
                return set()
            found.add((key >> 3, kind))
    return found


def _varint(file) -> int:
    """Read a number of protocol buffers: seven bits a byte, the lowest first; 0 at the end."""
    value = shift = 0
    while (byte := file.read(1)) and shift < 64:
        value |= (byte[0] & 127) << shift
        shift += 7
        if byte[0] < 128:
            return value
    return 0
