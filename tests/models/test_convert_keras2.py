"""Files as Keras 2 wrote them, with random weights, converted: the same numbers come out.

The files are written here by h5py in the old layout, from networks that are built here out of the
published layers.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from helpers import assert_one_line
from keras import layers

from keras_listen.errors import ModelError, ParameterError, RunError
from keras_listen.features import FeatureSpec
from keras_listen.models.bundle import load_bundle
from keras_listen.models.formats.keras2 import convert_keras2, read_autoencoder, read_classifier

WORDS = ("yes", "no", "up", "down", "left")
#: As os.listdir gave them: in no order, so that one that sorts them is found out.
assert list(WORDS) != sorted(WORDS)


def randomize(model: keras.Model, seed: int) -> keras.Model:
    """Draw weights and biases; sums keep their size from layer to layer."""
    draws = np.random.default_rng(seed)
    for weight in model.weights:
        scale = np.sqrt(2 / np.prod(weight.shape[:-1])) if len(weight.shape) > 1 else 0.2
        weight.assign(draws.normal(0, scale, weight.shape))
    return model


def published_classifier(words: int = len(WORDS), seed: int = 0, **first) -> keras.Model:
    """Build the classifier as published, as a stack of layers with Keras's own names."""
    stack = [keras.Input((90, 80, 1))]
    for filters in (8, 16, 32):
        stack.append(layers.Conv2D(filters, (2, 2), **{"activation": "relu", **first}))
        stack += [layers.MaxPooling2D((2, 2)), layers.Dropout(0.2)]
        first = {}
    stack.append(layers.Flatten())
    for units in (512, 256, 128):
        stack += [layers.Dense(units, activation="relu"), layers.Dropout(0.2)]
    stack.append(layers.Dense(words, activation="softmax"))
    return randomize(keras.Sequential(stack), seed)


def published_halves(seed: int = 5) -> tuple[keras.Model, keras.Model]:
    """Build encoder and decoder of the published autoencoder."""
    same = {"padding": "same"}
    encoder = [keras.Input((90, 80, 1))]
    for filters, pool in ((16, (3, 2)), (32, (3, 2)), (64, (2, 2))):
        encoder.append(layers.Conv2D(filters, (2, 2), activation="relu", **same))
        encoder.append(layers.MaxPooling2D(pool, **same))
    encoder.append(layers.Conv2D(128, (2, 2), activation="relu", **same))
    encoder += [layers.Flatten(name="encoder"), layers.Dense(256, name="bottleneck")]
    decoder = [keras.Input((256,)), layers.Dense(6400), layers.Reshape((5, 10, 128))]
    for filters, factor in ((128, (2, 2)), (64, (3, 2)), (32, (3, 2))):
        decoder.append(layers.Conv2D(filters, (2, 2), activation="relu", **same))
        decoder.append(layers.UpSampling2D(factor))
    decoder.append(layers.Conv2D(1, (3, 3), activation="sigmoid", name="decoder", **same))
    halves = [keras.Sequential(half) for half in (encoder, decoder)]
    return tuple(randomize(half, seed + i) for i, half in enumerate(halves))


def as_groups(*models: keras.Model, nested: bool = False) -> list[tuple[str, list]]:
    """Return (layer, [(weight, array)]) as Keras 2 named and stored them.

    Flat, each layer has its group, and those without weights an empty one. Nested, each model is
    a layer of the whole and has one group.
    """
    groups, numbers = [("input_1", [])], {}
    for model in models:
        inside = []
        for layer in model.layers:
            kind = type(layer).__name__.lower()
            numbers[kind] = numbers.get(kind, 0) + 1
            name = layer.name if layer.name in ("bottleneck", "decoder") else kind
            name = f"{name}_{numbers[kind]}"
            weights = zip(("kernel:0", "bias:0"), layer.get_weights(), strict=False)
            inside.append((name, [(f"{name}/{what}", value) for what, value in weights]))
        if nested:
            together = [pair for _, weights in inside for pair in weights]
            groups.append((f"model_{len(groups)}", together))
        else:
            groups += inside
    return groups


def set_names(group: h5py.Group, attribute: str, names: list[str], form: str) -> None:
    """Write a list of names as bytes, as text, or as bytes cut into pieces."""
    if form == "text":
        group.attrs.create(attribute, names, dtype=h5py.string_dtype())
    elif form == "pieces" and names:
        for number, start in enumerate(range(0, len(names), 3)):
            group.attrs[f"{attribute}{number}"] = np.array(names[start : start + 3], "S")
    else:
        group.attrs[attribute] = np.array(names, "S") if names else np.zeros(0)


def write_weights(root: h5py.Group, groups, *, form: str = "bytes", backend="tensorflow") -> None:
    """Write what Keras 2.2.4 writes for `save_weights`."""
    set_names(root, "layer_names", [name for name, _ in groups], form)
    root.attrs["backend"] = np.bytes_(backend)
    root.attrs["keras_version"] = np.bytes_("2.2.4")
    for layer, weights in groups:
        group = root.create_group(layer)
        set_names(group, "weight_names", [name for name, _ in weights], form)
        for name, value in weights:
            group.create_dataset(name, data=value)


def description(*models: keras.Model, batch=(None, 90, 80, 1), change=lambda entries: None) -> str:
    """Return the network's description as Keras 2.2.4 wrote it, as far as it matters here."""
    entries = [
        {
            "name": "input_1",
            "class_name": "InputLayer",
            "config": {"batch_input_shape": batch, "dtype": "float32", "name": "input_1"},
            "inbound_nodes": [],
        }
    ]
    for model in models:
        for layer in model.layers:
            settings = {"trainable": True, **layer.get_config()}
            del settings["dtype"]
            settings = {key: value for key, value in settings.items() if "initializer" not in key}
            entries.append(
                {
                    "name": layer.name,
                    "class_name": type(layer).__name__,
                    "config": settings,
                    "inbound_nodes": [[[entries[-1]["name"], 0, 0, {}]]],
                }
            )
    change(entries)
    ends = {"input_layers": [["input_1", 0, 0]], "output_layers": [[entries[-1]["name"], 0, 0]]}
    config = {"name": "model_1", "layers": entries, **ends}
    return json.dumps({"class_name": "Model", "config": config})


def write_whole(path: Path, *models: keras.Model, described: str | None = None, **settings) -> Path:
    """Write what Keras 2.2.4 writes for `save`."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = np.bytes_("2.2.4")
        file.attrs["backend"] = np.bytes_("tensorflow")
        text = description(*models) if described is None else described
        file.attrs["model_config"] = np.bytes_(text)
        file.attrs["training_config"] = np.bytes_('{"loss": "categorical_crossentropy"}')
        write_weights(file.create_group("model_weights"), as_groups(*models), **settings)
        optimizer = file.create_group("optimizer_weights")
        optimizer.attrs["weight_names"] = np.array(["Adam/iterations:0"], "S")
        optimizer.create_dataset("Adam/iterations:0", data=np.int64(7))
    return path


def write_plain(path: Path, *models: keras.Model, nested: bool = False, **settings) -> Path:
    """Write what Keras 2.2.4 writes for `save_weights`."""
    with h5py.File(path, "w") as file:
        write_weights(file, as_groups(*models, nested=nested), **settings)
    return path


def features(count: int = 4) -> np.ndarray:
    """Return patches of 10 x 10 equal values; fine noise would all be the same to the networks."""
    coarse = np.random.default_rng(9).random((count, 9, 8, 1)).astype(np.float32)
    return coarse.repeat(10, axis=1).repeat(10, axis=2)


def run(model: keras.Model, inputs: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(inputs, training=False))


def assert_same(ours: keras.Model, theirs: keras.Model, inputs: np.ndarray) -> None:
    """Compare two networks, the second one of which must say different things of the inputs."""
    wanted = run(theirs, inputs)
    assert wanted.std(axis=0).mean() > 0.01  # otherwise agreement would prove nothing
    np.testing.assert_allclose(run(ours, inputs), wanted, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def classifier() -> keras.Model:
    return published_classifier()


@pytest.fixture(scope="module")
def halves() -> tuple[keras.Model, keras.Model]:
    return published_halves()


@pytest.fixture(scope="module")
def files(classifier, halves, tmp_path_factory) -> Path:
    """A folder with A.h5, B.h5, C.h5 and the words: not to be changed."""
    folder = tmp_path_factory.mktemp("keras2")
    write_whole(folder / "A.h5", classifier)
    write_plain(folder / "B.h5", *halves)
    write_whole(folder / "C.h5", published_classifier(seed=3))
    (folder / "words.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return folder


WRITERS = {
    "whole": lambda path, *models: write_whole(path, *models),
    "plain": lambda path, *models: write_plain(path, *models),
    "nested": lambda path, *models: write_plain(path, *models, nested=True),
    "text": lambda path, *models: write_whole(path, *models, form="text"),
    "pieces": lambda path, *models: write_plain(path, *models, form="pieces"),
    "nested-pieces": lambda path, *models: write_plain(path, *models, nested=True, form="pieces"),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_predictions_are_those_of_the_source(write, classifier, tmp_path):
    path = write(tmp_path / "A.h5", classifier)
    assert_same(read_classifier(path, WORDS), classifier, features())


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_encodings_and_decodings_are_those_of_the_source(write, halves, tmp_path):
    path = write(tmp_path / "B.h5", *halves)
    encoder, decoder = read_autoencoder(path)
    assert_same(encoder, halves[0], features())
    latents = np.random.default_rng(2).normal(size=(4, 256)).astype(np.float32)
    assert_same(decoder, halves[1], latents)


def test_files_of_todays_keras_in_the_old_format_are_read(classifier, halves, tmp_path):
    classifier.save(tmp_path / "A.h5")
    assert_same(read_classifier(tmp_path / "A.h5", WORDS), classifier, features())
    encoder, decoder = halves
    keras.Sequential([encoder, decoder]).save(tmp_path / "nested.h5")
    flat = keras.Input((90, 80, 1))
    x = flat
    for layer in encoder.layers + decoder.layers:
        x = layer(x)
    keras.Model(flat, x).save(tmp_path / "flat.h5")
    for name in ("nested.h5", "flat.h5"):
        ours = read_autoencoder(tmp_path / name)
        assert_same(ours[0], encoder, features())
        assert_same(ours[1], decoder, run(encoder, features()))


def convolve(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, *, same: bool) -> np.ndarray:
    """Convolve as TensorFlow does: of an odd margin, the larger part lies at the end."""
    size = len(kernel)
    if same:
        margin = ((size - 1) // 2, size // 2)
        x = np.pad(x, ((0, 0), margin, margin, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))
    return np.einsum("btmcij,ijcd->btmd", windows, kernel, optimize=True) + bias


def pool(x: np.ndarray, rows: int, columns: int) -> np.ndarray:
    batch, time, mels, channels = x.shape
    time, mels = time // rows, mels // columns
    x = x[:, : time * rows, : mels * columns]
    return x.reshape(batch, time, rows, mels, columns, channels).max(axis=(2, 4))


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def pairs(*models: keras.Model) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return kernels and biases in float64, in the order of layers."""
    arrays = [array.astype(float) for model in models for array in model.get_weights()]
    return list(zip(arrays[::2], arrays[1::2], strict=True))


def test_predictions_are_those_of_numpy(files, classifier):
    stored = pairs(classifier)
    x = features().astype(float)
    for kernel, bias in stored[:3]:
        x = pool(relu(convolve(x, kernel, bias, same=False)), 2, 2)
    x = x.reshape(len(x), -1)
    for kernel, bias in stored[3:6]:
        x = relu(x @ kernel + bias)
    x = np.exp(x @ stored[6][0] + stored[6][1])
    ours = run(read_classifier(files / "A.h5", WORDS), features())
    np.testing.assert_allclose(ours, x / x.sum(axis=1, keepdims=True), rtol=0, atol=1e-5)


def test_encodings_and_decodings_are_those_of_numpy(files, halves):
    stored = pairs(*halves)
    x = features().astype(float)
    for (kernel, bias), size in zip(stored[:3], ((3, 2), (3, 2), (2, 2)), strict=True):
        x = pool(relu(convolve(x, kernel, bias, same=True)), *size)
    x = relu(convolve(x, *stored[3], same=True))
    latents = x.reshape(len(x), -1) @ stored[4][0] + stored[4][1]
    encoder, decoder = read_autoencoder(files / "B.h5")
    np.testing.assert_allclose(run(encoder, features()), latents, rtol=0, atol=1e-5)
    x = (latents @ stored[5][0] + stored[5][1]).reshape(-1, 5, 10, 128)
    for (kernel, bias), (rows, columns) in zip(stored[6:9], ((2, 2), (3, 2), (3, 2)), strict=True):
        x = relu(convolve(x, kernel, bias, same=True)).repeat(rows, axis=1).repeat(columns, axis=2)
    decoded = 1 / (1 + np.exp(-convolve(x, *stored[9], same=True)))
    ours = run(decoder, latents.astype(np.float32))
    np.testing.assert_allclose(ours, decoded, rtol=0, atol=1e-5)


def test_the_bundle_has_all_parts_with_their_sources(files, classifier, halves, tmp_path):
    convert_keras2(
        files / "A.h5",
        tmp_path / "out",
        words=WORDS,
        referee=files / "C.h5",
        autoencoder_weights=files / "B.h5",
    )
    bundle = load_bundle(tmp_path / "out")
    assert bundle.words == WORDS
    assert bundle.spec == FeatureSpec()
    assert bundle.names() == ["ae", "classifier", "referee"]
    wanted = run(classifier, features())
    np.testing.assert_allclose(bundle.classifier.predict(features()), wanted, rtol=0, atol=1e-5)
    assert_same(bundle.referee.model, published_classifier(seed=3), features())
    assert np.abs(bundle.referee.predict(features()) - wanted).max() > 0.1
    component = bundle.component("ae")
    assert sorted(component.files) == ["decoder.keras", "encoder.keras"]
    assert_same(component.model("encoder"), halves[0], features())
    assert_same(component.model("decoder"), halves[1], run(halves[0], features()))
    for name, file in (("classifier", "A.h5"), ("referee", "C.h5"), ("ae", "B.h5")):
        about = bundle.component(name).about
        assert (about["kind"], about["provenance"]["file"]) == (name, file)


def test_what_is_not_given_is_not_in_the_bundle(files, tmp_path):
    (tmp_path / "out").mkdir()  # an empty one may be there
    bundle = convert_keras2(files / "A.h5", tmp_path / "out", words=WORDS)
    assert bundle.names() == ["classifier"]
    assert bundle.referee is None
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_folder_one_stands_in_is_filled(files, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    convert_keras2(files / "A.h5", ".", words=WORDS)
    assert load_bundle(tmp_path / "here").names() == ["classifier"]


def test_features_of_another_size(tmp_path):
    source = keras.Sequential([keras.Input((30, 40, 1))])
    for filters in (8, 16, 32):
        source.add(layers.Conv2D(filters, 2, activation="relu"))
        source.add(layers.MaxPooling2D(2))
    source.add(layers.Flatten())
    for units, activation in ((512, "relu"), (256, "relu"), (128, "relu"), (5, "softmax")):
        source.add(layers.Dense(units, activation=activation))
    path = write_plain(tmp_path / "A.h5", randomize(source, 0))
    inputs = np.random.default_rng(0).random((4, 30, 40, 1)).astype(np.float32)
    spec = FeatureSpec(frames=30, n_mels=40)
    assert_same(read_classifier(path, WORDS, spec), source, inputs)
    with pytest.raises(ModelError, match=r"\(256, 512\).*\(2880, 512\) there, as dense_1/kernel"):
        read_classifier(path, WORDS)


def reshape_tensor(path: Path, name: str, shape: tuple[int, ...]) -> None:
    """Give the tensor whose name ends in `name` another shape."""
    with h5py.File(path, "a") as file:
        found = []
        file.visit(lambda item: found.append(item) if item.endswith(name) else None)
        (place,) = found
        del file[place]
        file.create_dataset(place, data=np.zeros(shape, np.float32))


class TestRefusals:
    """Each is a ModelError of one line, and leaves nothing behind."""

    def refuse(self, tmp_path, path, match, *, words=WORDS, **others):
        with pytest.raises(ModelError, match=match) as caught:
            convert_keras2(path, tmp_path / "out", words=words, **others)
        assert "\n" not in str(caught.value)
        assert not list(tmp_path.glob("*out*"))

    def test_missing_file(self, files, tmp_path):
        self.refuse(tmp_path, tmp_path / "gone.h5", r"there is no file .*gone\.h5")
        for option in ("referee", "autoencoder_weights"):
            gone = {option: tmp_path / "gone.h5"}
            self.refuse(tmp_path, files / "A.h5", r"there is no file .*gone\.h5", **gone)

    def test_no_hdf5(self, tmp_path):
        (tmp_path / "A.h5").write_bytes(b"PK\x03\x04" * 100)
        self.refuse(tmp_path, tmp_path / "A.h5", r"A\.h5 is no HDF5 file.*expected what Keras 2")

    @pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
    def test_truncated_file(self, files, tmp_path, share):
        whole = (files / "A.h5").read_bytes()
        (tmp_path / "A.h5").write_bytes(whole[: int(share * len(whole))])
        self.refuse(tmp_path, tmp_path / "A.h5", r"A\.h5 is damaged or cut short \(.*truncated")

    def test_distorted_files_never_end_in_another_error(self, files, tmp_path):
        """Flipped bits are found, or they are in the values of weights."""
        whole = bytearray((files / "A.h5").read_bytes())
        draws = np.random.default_rng(0)
        refused = 0
        for place in draws.integers(0, 6000, 40):
            distorted = bytearray(whole)
            distorted[place] ^= 0xFF
            (tmp_path / "A.h5").write_bytes(distorted)
            try:
                read_classifier(tmp_path / "A.h5", WORDS)
            except ModelError:
                refused += 1
        assert refused > 5

    def test_no_weights_in_it(self, classifier, tmp_path):
        with h5py.File(tmp_path / "empty.h5", "w") as file:
            file["something"] = np.zeros(3)
        write_plain(tmp_path / "none.h5", keras.Sequential([keras.Input((3,)), layers.Flatten()]))
        classifier.save_weights(tmp_path / "new.weights.h5")  # Keras 3's own layout
        for name in ("empty.h5", "none.h5", "new.weights.h5"):
            self.refuse(tmp_path, tmp_path / name, r"has no weights in the layout of Keras 2.*save")

    def test_a_listed_layer_is_missing(self, files, tmp_path):
        shutil.copy(files / "A.h5", tmp_path)
        with h5py.File(tmp_path / "A.h5", "a") as file:
            del file["model_weights/dense_2"]
        self.refuse(tmp_path, tmp_path / "A.h5", r"is damaged or cut short \(.*dense_2")

    def test_the_first_wrong_shape_is_named(self, files, tmp_path):
        shutil.copy(files / "A.h5", tmp_path)
        for name in ("conv2d_2/kernel:0", "dense_3/bias:0"):
            reshape_tensor(tmp_path / "A.h5", name, (3, 3, 8, 16))
        message = (
            r"tensor conv2d_2/kernel:0 has the shape \(3, 3, 8, 16\); the published classifier has "
            r"\(2, 2, 8, 16\) there, as conv_2/kernel; give the file of that network"
        )
        self.refuse(tmp_path, tmp_path / "A.h5", message)

    def test_the_files_are_mixed_up(self, files, tmp_path):
        message = r"conv2d_1/kernel:0 has the shape \(2, 2, 1, 16\); the published classifier has "
        self.refuse(tmp_path, files / "B.h5", message)
        self.refuse(
            tmp_path,
            files / "A.h5",
            r"C\.h5 is not the published autoencoder: its layer 1 .*Conv2D, has padding 'valid'",
            autoencoder_weights=files / "C.h5",
        )

    def test_too_few_tensors(self, halves, tmp_path):
        short = keras.Sequential([keras.Input((90, 80, 1)), *published_classifier().layers[:-1]])
        write_plain(tmp_path / "A.h5", short)
        message = (
            r"too few tensors: the first that is missing is probabilities/kernel of shape "
            r"\(128, 5\); .*it has 12 tensors, the published classifier 14"
        )
        self.refuse(tmp_path, tmp_path / "A.h5", message)
        write_plain(tmp_path / "B.h5", halves[0])
        with pytest.raises(ModelError, match=r"missing is dense/kernel of shape \(256, 6400\)"):
            read_autoencoder(tmp_path / "B.h5")

    def test_too_many_tensors(self, halves, tmp_path):
        stack = [*published_classifier().layers, layers.Dense(4)]
        long = keras.Sequential([keras.Input((90, 80, 1)), *stack])
        write_plain(tmp_path / "A.h5", long)
        message = (
            r"too many tensors: the first that is left over is dense_5/kernel:0 of shape \(5, 4\); "
            r".*it has 16 tensors, the published classifier 14"
        )
        self.refuse(tmp_path, tmp_path / "A.h5", message)
        write_plain(tmp_path / "B.h5", *halves, long)
        with pytest.raises(ModelError, match=r"too many tensors.*the published autoencoder 20"):
            read_autoencoder(tmp_path / "B.h5")

    def test_words_that_do_not_fit(self, files, tmp_path):
        message = r"A\.h5 has 5 outputs, but there are 4 words; give one word for each output"
        self.refuse(tmp_path, files / "A.h5", message, words=WORDS[:4])
        other = write_whole(tmp_path / "C.h5", published_classifier(words=6))
        message = r"C\.h5 has 6 outputs, but there are 5 words"
        self.refuse(tmp_path, files / "A.h5", message, referee=other)
        same = (*WORDS[:4], WORDS[0])
        self.refuse(tmp_path, files / "A.h5", "the words are not all different", words=same)
        with pytest.raises(ParameterError, match=r"a classifier of 1 word\(s\) is none"):
            read_classifier(files / "A.h5", WORDS[:1])

    def test_mirrored_convolutions(self, classifier, tmp_path):
        write_plain(tmp_path / "A.h5", classifier, backend="theano")
        self.refuse(tmp_path, tmp_path / "A.h5", "saved by Keras on Theano.*mirrored")

    def test_tensors_that_are_no_numbers_or_elsewhere(self, files, tmp_path):
        def change(value) -> Path:
            path = shutil.copy(files / "A.h5", tmp_path / "A.h5")
            with h5py.File(path, "a") as file:
                group = file["model_weights/dense_1/dense_1"]
                del group["bias:0"]
                group["bias:0"] = value
            return path

        self.refuse(tmp_path, change(np.zeros(512, int)), "dense_1/bias:0 is of type int64")
        elsewhere = h5py.ExternalLink(str(files / "C.h5"), "/model_weights/dense_1/dense_1/bias:0")
        self.refuse(tmp_path, change(elsewhere), "dense_1/bias:0 lies in another file")

    def test_an_array_that_no_memory_holds_is_not_read(self, files, tmp_path):
        path = shutil.copy(files / "A.h5", tmp_path / "A.h5")
        with h5py.File(path, "a") as file:
            group = file["model_weights/dense_1/dense_1"]
            del group["kernel:0"]
            group.create_dataset("kernel:0", (2880, 1 << 50), np.float32, chunks=(1, 1024))
        self.refuse(tmp_path, path, r"has the shape \(2880, 1125899906842624\)")

    @pytest.mark.parametrize(
        ("position", "settings", "message"),
        [
            (
                1,
                {"activation": "tanh"},
                r"layer 1 .*Conv2D, has activation 'tanh', expected 'relu'",
            ),
            (2, {"strides": [1, 1]}, r"layer 2 .*MaxPooling2D, has strides \[1, 1\], expected \[2"),
            (10, {"data_format": "channels_first"}, r"Flatten, has data_format 'channels_first'"),
            (17, {"activation": "linear"}, r"layer 11 .*has activation 'linear'"),
        ],
    )
    def test_weights_that_are_used_in_another_way(
        self, classifier, tmp_path, position, settings, message
    ):
        described = description(
            classifier, change=lambda entries: entries[position]["config"].update(settings)
        )
        write_whole(tmp_path / "A.h5", classifier, described=described)
        self.refuse(tmp_path, tmp_path / "A.h5", message)

    def test_layers_that_are_surplus_missing_or_code(self, classifier, tmp_path):
        def refuse(change, message):
            described = description(classifier, change=change)
            write_whole(tmp_path / "A.h5", classifier, described=described)
            self.refuse(tmp_path, tmp_path / "A.h5", message)

        code = "import pathlib; pathlib.Path('touched').touch()"
        code = {"name": "code", "class_name": "Lambda", "config": {"function": [code, None, None]}}
        refuse(lambda entries: entries.insert(2, code), "layer 2 .* is Lambda, expected MaxPool")
        refuse(lambda entries: entries.append(code), "layer 12 .* is Lambda, expected no layer")
        refuse(lambda entries: entries.pop(), "layer 11 .* is no layer, expected Dense")
        assert not (tmp_path / "touched").exists()

    def test_mel_bands_first(self, classifier, tmp_path):
        """(80, 90, 1) would give tensors of the same shapes."""
        described = description(classifier, batch=[None, 80, 90, 1])
        write_whole(tmp_path / "A.h5", classifier, described=described)
        message = r"takes input of shape \[None, 80, 90, 1\], expected \[None, 90, 80, 1\]"
        self.refuse(tmp_path, tmp_path / "A.h5", message)

    @pytest.mark.parametrize("text", ["{", "[]", "{}", '{"config": 3}', '{"config": []}', "\xff"])
    def test_a_description_that_is_none(self, classifier, tmp_path, text):
        write_whole(tmp_path / "A.h5", classifier, described=text.encode("latin-1"))
        self.refuse(tmp_path, tmp_path / "A.h5", r"A\.h5 is damaged or cut short")


def test_a_folder_that_holds_something_is_left_alone(files, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept.txt").write_text("kept", encoding="utf-8")
    with pytest.raises(RunError, match=r"out is not empty; name another folder with --out"):
        convert_keras2(files / "A.h5", tmp_path / "out", words=WORDS)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["kept.txt"]


def test_a_full_disk_leaves_nothing(files, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("keras_listen.models.bundle.save_model", fail)
    with pytest.raises(RunError, match=r"cannot write .*No space left"):
        convert_keras2(files / "A.h5", tmp_path / "out", words=WORDS)
    assert list(tmp_path.iterdir()) == []


class TestCommand:
    def convert(self, call, files, *others, classifier="A.h5", words="words.txt"):
        words = words if Path(words).is_absolute() else files / words
        arguments = ["--classifier", files / classifier, "--words-file", words]
        return call("convert", "keras2", *arguments, *others, "--out", "out")

    def test_all_three_files(self, call, files, tmp_path, classifier):
        others = ["--referee", files / "C.h5", "--autoencoder-weights", files / "B.h5"]
        done = self.convert(call, files, *others)
        assert (done.status, done.err) == (0, "")
        lines = ["5 words: ae, classifier, referee", "bundle: out; use it with --bundle out"]
        assert done.out.splitlines() == lines
        predicted = load_bundle(tmp_path / "out").classifier.predict(features())
        np.testing.assert_allclose(predicted, run(classifier, features()), rtol=0, atol=1e-5)
        # A second time, the folder is taken.
        assert_one_line(self.convert(call, files), "the output folder out is not empty")

    def test_the_bundle_can_be_listened_to(self, call, files, tmp_path):
        self.convert(call, files, "--autoencoder-weights", files / "B.h5")
        arguments = ["--bundle", "out", "--prior", "ae", "--vocoder", "none", "--out", "heard"]
        done = call("run", *arguments, "--word", "up", "--samples", "1", "--steps", "1")
        assert done.status == 0, done.err
        assert (tmp_path / "heard" / "samples.csv").is_file()

    def test_errors_are_one_line(self, call, files, tmp_path):
        assert_one_line(self.convert(call, files, classifier="gone.h5"), r"no file .*gone\.h5")
        done = self.convert(call, files, words="gone.txt")
        assert_one_line(done, r"cannot read the words file .*gone\.txt")
        done = self.convert(call, files, classifier="words.txt")
        assert_one_line(done, r"words\.txt is no HDF5 file")
        (tmp_path / "four.txt").write_text("a\nb\nc\nd\n", encoding="utf-8")
        done = self.convert(call, files, words=tmp_path / "four.txt")
        assert_one_line(done, "has 5 outputs, but there are 4 words")
        done = self.convert(call, files, "--autoencoder-weights", files / "A.h5")
        assert_one_line(done, "is not the published autoencoder")
        assert [path.name for path in tmp_path.iterdir()] == ["four.txt"]

    def test_usage(self, call, tmp_path):
        done = call("convert", "keras2", "--classifier", "A.h5")
        assert done.status == 2
        assert "--words-file" in done.err
        text = call("convert", "--help").out
        assert "keras2" in text
        assert "wavenet" in text
        assert call("convert", "wavenet", "--help").status == 0
