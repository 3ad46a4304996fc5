"""Files that cannot be used are told by their contents, with what to bring instead."""

from __future__ import annotations

import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from keras_listen.errors import ModelError
from keras_listen.models.formats.keras_file import open_model
from keras_listen.models.formats.recognise import recognise


def zipped(**members: bytes):
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name.replace("__", "/").replace("_dot_", "."), data)

    return write


def hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["measured"] = np.zeros(3)


def numpy_array(path: Path) -> None:
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))


TORCH = bytes.fromhex("80028a0a6c fc9c46f9206aa850192e".replace(" ", ""))
ONNX = b"\x08\x08\x12\x07pytorch\x3a\x02\x0a\x00\x42\x02\x10\x11"
CORE_ML = b"\x08\x01\x12\x02\x0a\x00\x9a\x19\x02\x0a\x00"
OPENVINO = b'<?xml version="1.0"?>\n<net name="x" version="11">\n<layers></layers></net>'
LAYERS = b'{"format": "layers-model", "modelTopology": {"class_name": "Sequential"}}'
GRAPH = b'{"modelTopology": {"node": []}, "weightsManifest": []}'
FROZEN = b"\x0a\x10\x0a\x01x\x12\x0bPlaceholder\x22\x02\x08\x01"
REFUSED = {
    "model.tflite": (b"\x1c\0\0\0TFL3\x14\0 \0", "is a TensorFlow Lite file.*bring the Keras"),
    "renamed.h5": (b"\x1c\0\0\0TFL3\x14\0 \0", "is a TensorFlow Lite file"),
    "model.pb": (FROZEN, r"is a frozen TensorFlow graph \(GraphDef\).*bring the Keras model"),
    "model.onnx": (ONNX, "is an ONNX file.*bring the Keras model"),
    "model.pt": (zipped(model__data_dot_pkl=b"x"), "is a PyTorch file; .*copy the weights"),
    "old.pth": (TORCH, "is a PyTorch file"),
    "model.pkl": (b"\x80\x04\x95\x0c\0", r"is a pickle .*open it where it was made"),
    "model.joblib": (b"x\x9c\x01\x02", "is a compressed pickle"),
    "model.tar.gz": (b"\x1f\x8b\x08\0", "is a compressed file; unpack it"),
    "pointer.keras": (
        b"version https://git-lfs.github.com/spec/v1\n",
        "git-lfs pointer.*git lfs pull",
    ),
    "page.h5": (b"\n<!DOCTYPE html><html>", "is a web page, not a model file; .*raw link"),
    "layers.json": (
        LAYERS,
        "is a TensorFlow.js model.*tensorflowjs_converter --input_format tfjs_",
    ),
    "graph.json": (GRAPH, "is a TensorFlow.js model.*bring the Keras model"),
    "group1-shard1of2.bin": (b"\x00\x01", "is a TensorFlow.js model.*bring the Keras model"),
    "model.mlmodel": (CORE_ML, "is a Core ML model.*bring the Keras model"),
    "model.engine": (b"\x01\x02\x03", "is a TensorRT engine.*bring the Keras model"),
    "model.xml": (OPENVINO, "is an OpenVINO model.*bring the Keras model"),
    "page.xml": (b'<?xml version="1.0"?><html>', "is a web page, not a model file"),
    "cut.onnx": (ONNX[:20], "is an ONNX file"),
    "model.ort": (b"\x18\0\0\0ORTM\0\0", "is an ONNX file"),
    "model.tar": (b"kws.h5".ljust(257, b"\0") + b"ustar\0", "is an archive of files; unpack it"),
    "tar.pth": (b"sys_info".ljust(257, b"\0") + b"ustar\0", "is a PyTorch file"),
    "model.json": (b'{"class_name": "Model"}', "is a description in JSON, without weights"),
    "early.json": (
        b'{"format": "graph-model", "generatedBy": "2.4.1"',
        r"is a TensorFlow\.js model.*bring the Keras model",
    ),
    "x.meta": (b"\n\xc5<\x12\xa3<\n:", "checkpoint of TensorFlow 1.*simple_save"),
    "cut.mlmodel": (b"\x08\x05\x12\x02", "is a Core ML model.*bring the Keras model"),
    "checkpoint": (b'model_checkpoint_path: "x"', "TensorFlow checkpoint: weights without"),
    "x.data-00000-of-00001": (b"\0" * 64, "TensorFlow checkpoint: weights without"),
    "empty.h5": (b"", r"empty\.h5 is empty; download"),
    "empty.keras": (b"", "damaged: it is no complete .keras archive"),
    "cut.keras": (b"PK\x03\x04\x14\0", "damaged: it is no complete .keras archive"),
    "cut.h5": (b"\x89HDF\r\n\x1a\n\0\0", r"cut\.h5 is damaged or cut short"),
    "other.h5": (hdf5, "holds neither a Keras model nor its weights"),
    "array.npy": (numpy_array, "is an array of NumPy"),
    "arrays.npz": (zipped(a_dot_npy=b"x"), "is a file of NumPy arrays"),
    "saved.zip": (zipped(m__saved_model_dot_pb=b"x"), "zipped SavedModel; unzip it"),
    "inner.zip": (zipped(m__kws_dot_h5=b"x"), "a zip file with m/kws.h5 in it; unzip it"),
    "weights.safetensors": (b"\x10\0\0\0\0\0\0\0" + b'{"a":{"b":[1]}}', "is a safetensors file"),
    "model.bin": (b"\x01\x02\x03", r"is no \.keras file, \.h5 file or SavedModel folder"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_used_is_named(tmp_path, name):
    refuse(tmp_path / name, *REFUSED[name])


def refuse(path: Path, content, said: str) -> None:
    if callable(content):
        content(path)
    else:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=said):
        open_model(path)


CONTENTS = {
    "TensorFlow Lite": REFUSED["model.tflite"][0],
    "ONNX": ONNX,
    "frozen TensorFlow graph": FROZEN,
    "PyTorch file": TORCH,
    "PyTorch": REFUSED["model.pt"][0],
    "safetensors": REFUSED["weights.safetensors"][0],
    "Core ML": CORE_ML,
    "OpenVINO": OPENVINO,
    "TensorFlow.js": LAYERS,
    "git-lfs pointer": REFUSED["pointer.keras"][0],
}


@pytest.mark.parametrize("name", ["m.h5", "m.keras", "m.bin", "m", "m.pkl", "m.pb", "m.index"])
@pytest.mark.parametrize("said", CONTENTS)
def test_contents_count_and_not_names(tmp_path, said, name):
    refuse(tmp_path / name, CONTENTS[said], said)


FOLDERS = {
    "model.mlpackage/Data/com.apple.CoreML/model.mlmodel": (CORE_ML, "is a Core ML model"),
    "model.mlmodelc/coremldata.bin": (b"x", "is a Core ML model"),
    "web/model.json": (LAYERS, "web is a TensorFlow.js model.*convert it back"),
    "ir/model.xml": (OPENVINO, "ir is an OpenVINO model"),
    "hub/model.safetensors": (
        REFUSED["weights.safetensors"][0],
        "hub holds model.safetensors, which is a safetensors file",
    ),
    "mine/kws.h5": (b"x", r"mine is a folder without saved_model\.pb; give .*mine/kws\.h5$"),
    "graph/net.meta": (b"x", "graph belongs to a checkpoint of TensorFlow 1.*simple_save"),
    "weights/ckpt-1.index": (b"x", "weights belongs to a TensorFlow checkpoint.*load_weights"),
    "notes/readme.json": (b"{}", "notes is a folder without saved_model.pb; give a .keras or .h5"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_that_cannot_be_used_is_named(tmp_path, name):
    content, said = FOLDERS[name]
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=said):
        open_model(tmp_path / name.partition("/")[0])


def test_weights_beside_a_description_are_named_with_it(tmp_path):
    for name, content in (("m.xml", OPENVINO), ("m.bin", b"\1\2"), ("model.json", LAYERS)):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "group1-shard1of1.bin").write_bytes(b"\1\2")
    with pytest.raises(ModelError, match=r"m\.bin is an OpenVINO model"):
        open_model(tmp_path / "m.bin")
    with pytest.raises(ModelError, match=r"of1\.bin is a TensorFlow\.js model.*--output_format"):
        open_model(tmp_path / "group1-shard1of1.bin")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tinykws_tflite/kws_ref_model_float32.tflite", "is a TensorFlow Lite file"),
        ("arm_pb/DS_CNN_S.pb", "is a frozen TensorFlow graph"),
        ("attrnn/model-attRNN.h5", r"written by Keras 2\.10\.0: it holds Python code"),
        ("tinykws_saved/kws_ref_model/variables", "is a part of a SavedModel; give .*ref_model"),
        ("tinykws_saved", "in a folder of its own; give .*kws_ref_model"),
    ],
)
def test_real_files_that_cannot_be_used(real_models, name, said):
    with pytest.raises(ModelError, match=said):
        open_model(real_models / name)


def test_the_file_in_a_saved_model_stands_for_its_folder(real_models):
    folder = real_models / "tinykws_saved" / "kws_ref_model"
    assert recognise(folder / "saved_model.pb") == ("saved model", folder)
    part = folder / "variables" / "variables.index"
    with pytest.raises(ModelError, match=f"is a part of a SavedModel; give {folder}"):
        open_model(part)
