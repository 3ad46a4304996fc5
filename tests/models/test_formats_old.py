"""Keras 2 files written by hand: the old formulas, and what is refused in them."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from keras_listen.errors import ModelError
from keras_listen.models.formats.keras_file import open_model


def write_keras2(path: Path, *layers: dict, weights: dict | None = None, **attributes) -> None:
    """Write a Sequential model as Keras 2.3 does.

    Args:
        path: of the file.
        layers: entries of its description.
        weights: arrays by the names of layers.
        attributes: of the file and its weights, such as keras_version.
    """
    entry = {"class_name": "Sequential", "config": {"name": "old", "layers": list(layers)}}
    attributes = {"keras_version": "2.3.1", "backend": "tensorflow"} | attributes
    with h5py.File(path, "w") as file:
        group = file.create_group("model_weights")
        file.attrs.update(attributes | {"model_config": json.dumps(entry)})
        group.attrs.update(attributes | {"layer_names": list(weights or {})})
        for name, arrays in (weights or {}).items():
            inner = group.create_group(name)
            inner.attrs["weight_names"] = [f"{name}/{i}:0" for i in range(len(arrays))]
            for i, array in enumerate(arrays):
                inner[f"{name}/{i}:0"] = array


def entry(kind: str, **config) -> dict:
    return {"class_name": kind, "config": {"name": kind.lower()} | config}


def old_dense(**config) -> dict:
    settings = {"batch_input_shape": [None, 2], "dtype": "float32", "units": 2, "use_bias": True}
    return entry("Dense", **settings, **config)


KERNEL = np.array([[1.0, -2.0], [0.5, 3.0]], np.float32)
BIAS = np.array([0.1, -0.2], np.float32)


def test_the_old_hard_sigmoid_by_its_formula(tmp_path):
    layer = old_dense(activation="hard_sigmoid", kernel_initializer={"class_name": "Own"})
    write_keras2(tmp_path / "old.h5", layer, weights={"dense": [KERNEL, BIAS]})
    model = open_model(tmp_path / "old.h5")
    values = np.array([[0.3, -0.4], [1.0, 2.0], [-9.0, 9.0]], np.float32)
    expected = np.clip(0.2 * (values @ KERNEL + BIAS) + 0.5, 0, 1)
    np.testing.assert_allclose(model(values), expected, atol=1e-6)


LAMBDA = entry("Lambda", function=["4wEA", None, None], function_type="lambda")
REFUSED = {
    "code": ([old_dense(), LAMBDA], {}, r"Keras 2\.3\.1: .*bytecode.*MODULE:FUNCTION"),
    "class": ([old_dense(), entry("Whistle")], {}, r"are not there: Whistle; .*import"),
    "function": ([old_dense(activation="sing")], {}, r"not there: sing; name the module"),
    "foreign": ([old_dense(), entry("TFSMLayer", filepath="x")], {}, "not there: TFSMLayer"),
    "named lambda": ([old_dense(), entry("Lambda", function="sing")], {}, "not there: sing"),
    "operation": (
        [old_dense(), entry("TFOpLambda", function="io.write_file")],
        {},
        r"not there: tf\.io\.write_file",
    ),
    "setting": (
        [entry("LSTM", units=2, time_major=True, batch_input_shape=[None, 3, 2])],
        {},
        r"its layer lstm \(LSTM\) has time_major=True, which no layer of Keras 3 has",
    ),
    "shape": ([old_dense()], {"weights": {"dense": [BIAS, BIAS]}}, r"its layer dense has weights"),
    "no weights": ([old_dense()], {}, r"its layer dense has weights of the shapes \[\]"),
    "no shape": ([entry("Dense", units=2)], {}, "its input shape is not known"),
    "Keras 1": ([old_dense()], {"keras_version": "1.2.2"}, r"was written by Keras 1\.2\.2"),
    "Theano": ([old_dense()], {"backend": "theano"}, "saved by Keras on Theano"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("trust", [False, True])
def test_what_cannot_be_rebuilt_is_named(tmp_path, name, trust):
    layers, attributes, said = REFUSED[name]
    write_keras2(tmp_path / "old.h5", *layers, **attributes)
    with pytest.raises(ModelError, match=said):
        open_model(tmp_path / "old.h5", trust=trust)


def test_the_weights_of_a_file_with_code_are_loaded_into_a_network(tmp_path, monkeypatch):
    write_keras2(tmp_path / "old.h5", old_dense(), LAMBDA, weights={"dense": [KERNEL, BIAS]})
    (tmp_path / "own_builder.py").write_text(
        "import keras\n"
        "def build():\n"
        "    x = keras.Input((2,))\n"
        "    return keras.Model(x, 3 * keras.layers.Dense(2, name='first')(x))\n"
    )
    monkeypatch.chdir(tmp_path)
    model = open_model(tmp_path / "old.h5", builder="own_builder:build")
    values = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    np.testing.assert_allclose(model(values), 3 * (values @ KERNEL + BIAS), rtol=1e-5)


def test_weights_in_another_file_are_not_followed(tmp_path):
    write_keras2(tmp_path / "secret.h5", old_dense(), weights={"dense": [KERNEL, BIAS]})
    write_keras2(tmp_path / "old.h5", old_dense(), weights={"dense": [KERNEL, BIAS]})
    with h5py.File(tmp_path / "old.h5", "a") as file:
        inner = file["model_weights/dense"]
        del inner["dense/0:0"]
        link = "model_weights/dense/dense/0:0"
        inner["dense/0:0"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), link)
    with pytest.raises(ModelError, match="lies in another file; save it in one"):
        open_model(tmp_path / "old.h5")
