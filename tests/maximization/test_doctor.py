"""What the doctor finds in models made for the purpose, finding by finding."""

from __future__ import annotations

import pickle
import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from keras import layers

from keras_listen.cli.doctor import doctor as command
from keras_listen.errors import ParameterError
from keras_listen.features import FeatureSpec
from keras_listen.maximization.doctor import examine
from keras_listen.maximization.engine import STABILIZER
from keras_listen.maximization.findings import Finding
from keras_listen.maximization.objectives import log_probability, logit
from keras_listen.models.classifier import Classifier
from keras_listen.models.problem import ModelFileError, Problem
from keras_listen.models.sound_classifier import SoundClassifier
from keras_listen.plugins import default_registry

SPEC = FeatureSpec()
SHAPE = (90, 80, 1)
WORDS = ("no", "stop", "yes")


def small(*tail, shape=SHAPE, head=()) -> keras.Model:
    """A model of a pooling, then `tail`: small enough to be made by the dozen."""
    keras.utils.set_random_seed(0)
    pooling = layers.AveragePooling2D(10, data_format="channels_last")
    return keras.Sequential([keras.Input(shape), *head, pooling, layers.Flatten(), *tail])


def linear(shape, outputs: int = 3) -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(outputs)])


def softmax(units: int = 3, **options) -> layers.Layer:
    return layers.Dense(units, activation="softmax", **options)


@pytest.fixture
def look(tmp_path):
    """Save a model, examine it and return its findings by name."""

    def save_and_examine(model: keras.Model, words=WORDS, **options) -> dict[str, Finding]:
        path = tmp_path / "model.keras"
        model.save(path)
        return by_name(examine(path, words, **options))

    return save_and_examine


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    found = {finding.name: finding for finding in findings}
    assert len(found) == len(findings)
    for finding in findings:
        assert "\n" not in finding.text + finding.remedy
        # Whoever reads of a problem is told what to do.
        assert finding.ok is True or finding.remedy
    return found


def problems(found: dict[str, Finding]) -> list[str]:
    return [name for name, finding in found.items() if finding.ok is False]


def test_a_model_that_fits(look):
    found = look(small(softmax()))
    assert all(finding.ok for finding in found.values())
    assert {name: finding.text for name, finding in found.items() if name != "file"} == {
        "input shape": "(None, 90, 80, 1)",
        "outputs": "3",
        "words": "3 words for 3 outputs",
        "head": "softmax",
        "values": found["values"].text,
        "gradient": found["gradient"].text,
    }


def test_the_gradient_is_that_of_the_softmax(look):
    # One weight w from the mean m of the features to one of two logits: p = 1 / (1 + exp(-w m)).
    # Each of n features moves p by p (1 - p) w / n, which is the root mean square too.
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.GlobalAveragePooling2D(data_format="channels_last"),
            layers.Dense(2, activation="softmax"),
        ]
    )
    weight = 1.7
    model.layers[-1].set_weights([np.array([[weight, 0.0]]), np.zeros(2)])
    starts = np.random.default_rng(0).normal(0.0, 0.1, (8, *SHAPE)).astype(np.float32)
    p = 1.0 / (1.0 + np.exp(-weight * starts.mean(axis=(1, 2, 3))))
    expected = np.median(p * (1 - p) * weight / 7200)
    assert expected > STABILIZER
    found = look(model, ("no", "yes"))
    assert found["gradient"] == Finding(
        "gradient", True, f"of every word's softmax at least {expected:.1e}"
    )


def test_a_saturated_softmax(look):
    model = small(softmax())
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel, bias + np.array([0.0, 200.0, 0.0])])
    found = look(model)
    assert problems(found) == ["gradient"]
    # exp(-200) is below the smallest float32: what is left of the chosen word is rounding.
    listed = found["gradient"].text.partition("for 3 of 3 words: ")[2].split(", ")
    sizes = {word: float(size) for word, size in (entry.split() for entry in listed)}
    assert (sizes["no"], sizes["yes"]) == (0.0, 0.0)
    assert 0.0 <= sizes["stop"] < 1e-9
    assert "--objective logit" in found["gradient"].remedy


def test_a_softmax_that_is_saturated_for_one_word(look):
    model = small(softmax())
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel, bias + np.array([0.0, 0.0, -14.0])])
    found = look(model)
    assert problems(found) == ["gradient"]
    assert "vanishes (below 1e-05) for 1 of 3 words: yes " in found["gradient"].text
    size = float(found["gradient"].text.rpartition(" ")[2])
    assert 0 < size < STABILIZER
    assert found["gradient"].remedy == (
        "the softmax is saturated: climb its logarithm with --objective log-probability, or its "
        "logits with --objective logit"
    )
    # As the remedy says.
    for objective in (log_probability, logit):
        assert gradient_of(objective, Classifier(model, WORDS), 2) > STABILIZER


def gradient_of(objective, classifier, target: int) -> float:
    """Return the root mean square of an objective's gradient, its median over noise starts."""
    starts = tf.constant(np.random.default_rng(0).normal(0, 0.1, (3, *SHAPE)), tf.float32)
    function = objective(SimpleNamespace(classifier=classifier))
    with tf.GradientTape() as tape:
        tape.watch(starts)
        values = function(classifier, starts, tf.fill([3], target))
    found = tape.gradient(values, starts).numpy()
    return float(np.median(np.sqrt((found**2).mean(axis=(1, 2, 3)))))


def test_a_saturated_softmax_without_logits_has_a_logarithm(look):
    last = softmax()
    model = small(layers.Reshape((2, 36)), last, mean_over_time())
    kernel, bias = last.get_weights()
    last.set_weights([kernel, bias + np.array([0.0, 0.0, -14.0])])
    found = look(model)
    assert problems(found) == ["gradient"]
    assert found["gradient"].remedy == (
        "the softmax is saturated: climb its logarithm with --objective log-probability"
    )
    assert gradient_of(log_probability, Classifier(model, WORDS), 2) > STABILIZER


def test_behind_a_front_end_the_gradient_is_that_of_the_features(look):
    frontend = default_registry().create("frontend", "tf-simple-audio")
    model = keras.Sequential(
        [
            keras.Input((124, 129, 1)),
            layers.AveragePooling2D((31, 43), data_format="channels_last"),
            layers.Flatten(),
            softmax(),
        ]
    )
    classifier = SoundClassifier(
        Classifier(model, WORDS, shape=(None, 124, 129, 1)), frontend, SPEC
    )
    starts = np.random.default_rng(0).normal(0, 0.1, (3, *SHAPE)).astype(np.float32)
    sizes = []
    for word in range(3):
        features = tf.constant(starts)
        with tf.GradientTape() as tape:
            tape.watch(features)
            value = classifier.probabilities(features)[:, word]
        gradient = tape.gradient(value, features).numpy()
        sizes.append(np.median(np.sqrt((gradient**2).mean(axis=(1, 2, 3)))))
    found = look(model, frontend=frontend)["gradient"]
    assert found == Finding("gradient", True, f"of every word's softmax at least {min(sizes):.1e}")
    # Saturated on noise, it may not be on speech: a note, with the same bound as for features.
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel, bias + np.array([0.0, 0.0, -30.0])])
    found = look(model, frontend=frontend)["gradient"]
    assert (found.ok, "vanishes (below 1e-05) for 1 of 3 words: yes" in found.text) == (None, True)
    assert "--objective log-probability" in found.remedy


def test_a_saturated_model_without_words_names_outputs(look):
    model = small(softmax())
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel, bias + np.array([200.0, 0.0, 0.0])])
    assert look(model, None)["gradient"].text.endswith("output 1 0.0e+00, output 2 0.0e+00")


def test_a_gradient_that_is_cut_off(look):
    # Whatever goes in, a dead relu sends nothing on: the logits are constant as well.
    dead = layers.Dense(4, activation="relu", bias_initializer=keras.initializers.Constant(-1e6))
    found = look(small(dead, softmax()))
    assert problems(found) == ["gradient"]
    assert "for 3 of 3 words" in found["gradient"].text
    assert "dead relu" in found["gradient"].remedy


def test_outputs_that_are_not_numbers(look):
    model = small(softmax())
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel, bias * np.nan])
    found = look(model)
    assert problems(found) == ["values"]
    assert found["values"].text == "24 of 24 outputs on noise are not finite numbers"
    assert "gradient" not in found


def mean_over_time() -> layers.Layer:
    return layers.GlobalAveragePooling1D(data_format="channels_last")


@pytest.mark.parametrize(
    ("tail", "ok", "said"),
    [
        ((softmax(),), True, "softmax"),
        ((softmax(), layers.Dropout(0.5)), True, "softmax"),
        ((layers.Dense(3), layers.Softmax()), True, "softmax"),
        ((layers.Dense(3), layers.Activation("softmax")), True, "softmax"),
        ((layers.Dense(3),), True, "logits"),
        ((layers.Dense(3, activation="sigmoid"),), True, "a sigmoid for each word"),
        ((layers.Dense(3), layers.Activation("sigmoid")), True, "a sigmoid for each word"),
        ((layers.Dense(3), layers.Activation("log_softmax")), True, "log probabilities"),
        ((keras.Sequential([layers.Dense(3), layers.Softmax()]),), True, "softmax"),
        ((layers.Reshape((2, 36)), softmax(), mean_over_time()), None, "no logits"),
        ((layers.Dense(3, "relu"),), None, "unsure: its outputs are never negative"),
    ],
)
def test_heads(look, tail, ok, said):
    # Layers are shared between cases of this list, so each case works on copies of its own.
    copies = [type(layer).from_config(layer.get_config()) for layer in tail]
    found = look(small(*copies))
    assert found["head"].ok is ok
    assert said in found["head"].text
    assert "head" not in problems(found)


@pytest.mark.parametrize(
    ("activation", "said"),
    [("sigmoid", "one sigmoid: the probability of the second word"), (None, "unsure: its one out")],
)
def test_one_output_for_two_words(look, activation, said):
    found = look(small(layers.Dense(1, activation)), ("no", "yes"))
    assert problems(found) == []
    assert found["words"].text == "2 words for 1 output"
    assert said in found["head"].text
    assert look(small(layers.Dense(1, activation)), None)["words"].remedy == (
        "give a words file of 2 lines: the word of 0, then that of 1"
    )


def test_a_softmax_over_one_output(look):
    found = look(small(softmax(1)), ("no", "yes"))
    assert problems(found) == ["head"]
    assert "always 1" in found["head"].text


def test_a_sigmoid_that_is_saturated(look):
    model = small(layers.Dense(3, "sigmoid"))
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel, bias + np.array([0.0, 200.0, 0.0])])
    found = look(model)
    assert problems(found) == ["gradient"]
    assert "of the sigmoid with respect to noise vanishes (below 1e-05) for 1 of 3 words: stop" in (
        found["gradient"].text
    )
    assert found["gradient"].remedy == (
        "the sigmoid is saturated: climb its logits with --objective logit"
    )


def test_a_head_that_the_user_names(look):
    assert look(small(layers.Dense(3)), head="sigmoid")["head"].text.startswith("a sigmoid for eac")
    with pytest.raises(ParameterError, match="no head is called 'sigmoids'; did you mean 'sigmoid"):
        look(small(layers.Dense(3)), head="sigmoids")


def test_a_head_that_cannot_be(look):
    found = look(small(softmax()), head="logits")
    assert problems(found) == ["head"]
    assert found["head"].text.startswith("its head was given as logits, but its outputs lie")
    assert problems(look(small(softmax()), head="softmax")) == []


def test_a_hidden_softmax_that_is_saturated_cannot_use_logits(look):
    last = softmax()
    model = small(layers.Reshape((2, 36)), last, mean_over_time())
    kernel, bias = last.get_weights()
    last.set_weights([kernel, bias + np.array([200.0, 0.0, 0.0])])
    found = look(model)
    assert problems(found) == ["gradient"]
    assert found["gradient"].remedy.startswith("let it end in")


def test_a_softmax_along_another_axis(look):
    # Twelve outputs, a softmax over each of three groups of four: no probabilities of words.
    model = small(layers.Dense(12), layers.Reshape((3, 4)), layers.Softmax(), layers.Flatten())
    found = look(model, tuple("abcdefghijkl"))
    assert problems(found) == ["values"]
    assert "not the softmax" in found["values"].text


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((80, 90, 1), "its axes differ: give --frontend features"),
        ((90, 13, 1), "name its front end with --frontend NAME"),
        ((90, 40, 1), "with other settings, give these with a --spec file"),
        ((16000, 1), "it takes a waveform: name its front end, --frontend waveform"),
        ((16000,), "it takes a waveform: name its front end, --frontend waveform"),
        ((90, 80), "its axes differ: give --frontend features"),
        ((90, 80, 3), "name its front end with --frontend NAME"),
        ((98, 80, 1), "--spec file"),
    ],
)
def test_input_shapes_that_do_not_fit(look, shape, said):
    found = look(linear(shape))
    assert problems(found) == ["input shape"]
    assert f"{(None, *shape)}, expected (None, 90, 80, 1)" in found["input shape"].text
    assert said in found["input shape"].remedy
    # What can be told without features is told all the same.
    assert found["words"].ok
    assert found["head"].text.startswith("logits")


def test_the_spec_decides_which_shape_fits(look):
    assert problems(look(linear((98, 40, 1)), spec=FeatureSpec(frames=98, n_mels=40))) == []


@pytest.mark.parametrize(
    ("words", "ok", "said"),
    [
        (("no", "yes"), False, "2 words for 3 outputs"),
        (("no", "yes", "yes"), False, "given more than once: yes"),
        (None, None, "not given"),
    ],
)
def test_words(look, words, ok, said):
    found = look(small(softmax()), words)
    assert found["words"].ok is ok
    assert found["words"].text == said
    assert found["words"].remedy.startswith("give a words file of 3 lines")
    assert problems(found) == (["words"] if ok is False else [])


def test_outputs_that_are_no_words(look):
    per_frame = keras.Sequential([keras.Input(SHAPE), layers.Reshape((90, 80)), layers.Dense(3)])
    found = look(per_frame)
    assert problems(found) == ["outputs"]
    assert found["outputs"].text == "shape (None, 90, 3), expected (None, words)"
    assert problems(look(small(layers.Dense(1)))) == ["outputs"]


def test_several_problems_are_all_told(look):
    found = look(linear((80, 90, 1), 5))
    assert problems(found) == ["input shape", "words"]


def test_a_model_with_lambda_is_refused_unless_trusted(look):
    model = small(softmax(), head=[layers.Lambda(lambda x: x * 2.0)])
    refused = look(model)
    assert list(refused) == ["file"]
    assert "Python code" in refused["file"].text
    assert "--trust-model" in refused["file"].remedy
    assert problems(look(model, trust=True)) == []


def test_missing_custom_classes_are_named(tmp_path):
    # Saved by another process: here nobody has registered its classes.
    path = tmp_path / "model.keras"
    code = """
import sys, keras
from keras import layers
@keras.saving.register_keras_serializable("mine")
class Odd(layers.Layer):
    def call(self, x):
        return x
class Even(Odd):
    pass
def bend(x):
    return x
keras.Sequential(
    [keras.Input((90, 80, 1)), Odd(), Even(), layers.Flatten(), layers.Dense(3, activation=bend)]
).save(sys.argv[1])
"""
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True)
    found = by_name(examine(path))
    assert problems(found) == ["file"]
    assert found["file"].text.endswith("that are not there: Even, bend, mine>Odd")
    assert "register_keras_serializable" in found["file"].remedy


def test_files_that_do_not_open(tmp_path):
    whole = tmp_path / "whole.keras"
    small(softmax()).save(whole)
    data = whole.read_bytes()
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 0xFF
    (tmp_path / "short.keras").write_bytes(data[: len(data) // 2])
    (tmp_path / "flipped.keras").write_bytes(flipped)
    (tmp_path / "empty.keras").write_bytes(b"")
    (tmp_path / "old.h5").write_bytes(b"\x89HDF")
    (tmp_path / "folder.keras").mkdir()
    for name, said in {
        "short.keras": "damaged",
        "flipped.keras": "cannot open",
        "empty.keras": "damaged",
        "old.h5": "no HDF5 file",
        "missing.keras": "there is no model file",
        "folder.keras": "a folder without saved_model.pb",
    }.items():
        found = by_name(examine(tmp_path / name))
        assert problems(found) == ["file"], name
        assert list(found) == ["file"]
        assert said in found["file"].text
        assert name in found["file"].text
    assert by_name(examine(tmp_path / "missing.keras"))["file"].remedy == "check the path"


def test_a_remedy_is_not_cut_out_of_a_path(tmp_path):
    path = tmp_path / "mine; old.keras"
    (finding,) = examine(path)
    assert finding.text == f"there is no model file {path}"
    assert finding.remedy == "check the path"


def test_errors_of_model_files_keep_their_parts_between_processes():
    error = pickle.loads(pickle.dumps(ModelFileError(Problem("it is damaged", "save it again"))))
    assert str(error) == "it is damaged; save it again"
    assert (error.problem.text, error.problem.remedy) == ("it is damaged", "save it again")


def several_inputs() -> keras.Model:
    first, second = keras.Input(SHAPE), keras.Input(SHAPE)
    flat = layers.Flatten()(layers.Add()([first, second]))
    return keras.Model([first, second], layers.Dense(3)(flat))


def several_outputs() -> keras.Model:
    inputs = keras.Input(SHAPE)
    flat = layers.Flatten()(inputs)
    return keras.Model(inputs, {"a": layers.Dense(3)(flat), "b": layers.Dense(2)(flat)})


def named_input() -> keras.Model:
    inputs = keras.Input(SHAPE, name="features")
    return keras.Model({"features": inputs}, layers.Dense(3)(layers.Flatten()(inputs)))


def fixed_batch() -> keras.Model:
    inputs = keras.Input(batch_shape=(2, *SHAPE))
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(inputs)))


def whole_numbers() -> keras.Model:
    inputs = keras.Input(SHAPE, dtype="int32")
    flat = layers.Flatten()(layers.Embedding(5, 2)(inputs))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(flat))


def tokens() -> keras.Model:
    layer = [layers.Embedding(50, 4), layers.Flatten(), layers.Dense(3, activation="softmax")]
    return keras.Sequential([keras.Input((20,)), *layer])


def scalar_input() -> keras.Model:
    inputs = keras.Input(())
    return keras.Model(inputs, layers.Dense(3)(layers.Reshape((1,))(inputs)))


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (several_inputs, ["input shape"]),
        (several_outputs, ["input shape"]),
        (named_input, []),
        (fixed_batch, ["batch"]),
        (whole_numbers, ["input type"]),
        (tokens, ["input shape"]),
        (scalar_input, ["input shape"]),
        (lambda: keras.Sequential([layers.Flatten(), layers.Dense(3)]), ["input shape"]),
        (lambda: keras.Sequential([keras.Input(SHAPE)]), ["input shape"]),
    ],
    ids=[
        "several inputs",
        "several outputs",
        "named input",
        "fixed batch",
        "whole numbers",
        "tokens",
        "scalar",
        "not built",
        "no layers",
    ],
)
def test_unusual_models_are_told_and_never_crash(look, build, expected):
    found = look(build())
    assert problems(found) == expected
    assert "the model fails here" not in " ".join(finding.text for finding in found.values())


def test_a_model_for_any_number_of_frames_is_told(look):
    inputs = keras.Input((None, 80, 1))
    pooled = layers.GlobalAveragePooling2D(data_format="channels_last")(inputs)
    found = look(keras.Model(inputs, softmax()(pooled)))
    assert found["input shape"] == Finding("input shape", True, "(None, None, 80, 1)")
    assert found["head"].text == "softmax"


@keras.saving.register_keras_serializable("test_doctor")
class Subclassed(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.flatten, self.dense = layers.Flatten(), layers.Dense(3)

    def call(self, features):
        return self.dense(self.flatten(features))


@keras.saving.register_keras_serializable("test_doctor")
class Failing(layers.Layer):
    """Cannot be called on anything but symbols."""

    def call(self, x):
        if hasattr(x, "numpy"):
            raise RuntimeError("out of\norder")
        return x


def test_a_subclassed_model(look):
    model = Subclassed()
    model(np.zeros((1, *SHAPE), np.float32))
    found = look(model)
    assert problems(found) == []
    assert found["input shape"].text == str((None, *SHAPE))


def test_a_subclassed_model_that_was_never_called(look):
    found = look(Subclassed())
    assert problems(found) == ["input shape"]
    assert "keras.Model(x, model(x))" in found["input shape"].remedy


def test_a_model_that_raises_is_a_finding(look):
    found = look(small(softmax(), head=[Failing()]))
    assert problems(found) == ["values"]
    assert "RuntimeError" in found["values"].text
    assert "out of order" in found["values"].text


def test_models_in_half_precision(look):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = small(softmax())
    finally:
        keras.config.set_dtype_policy("float32")
    assert problems(look(model)) == []


def test_command_line_says_ok(tmp_path):
    path, words = tmp_path / "model.keras", tmp_path / "words.txt"
    small(softmax()).save(path)
    words.write_text("no\nstop\nyes\n")
    result = CliRunner().invoke(command, [str(path), "--words-file", str(words)])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert sorted(line[:8] for line in lines) == ["note    "] + ["ok      "] * 7
    assert "ok      input shape  (None, 90, 80, 1)" in lines
    [note] = [line for line in lines if line.startswith("note")]
    assert "trained" in note


def test_command_line_says_problem(tmp_path):
    path, spec = tmp_path / "model.keras", tmp_path / "spec.toml"
    small(softmax()).save(path)
    spec.write_text("frames = 98\n")
    result = CliRunner().invoke(command, [str(path), "--spec", str(spec)])
    assert result.exit_code == 1
    marks = {line[8:].partition("  ")[0]: line[:7] for line in result.stdout.splitlines()}
    assert marks["input shape"] == "PROBLEM"
    assert marks["words"] == "note   "
    assert "give a words file of 3 lines" in result.stdout


def test_the_program_exits_with_1(tmp_path):
    program = [sys.executable, "-m", "keras_listen", "doctor", str(tmp_path / "no.keras")]
    result = subprocess.run(program, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stdout == f"PROBLEM file  there is no model file {program[-1]}; check the path\n"
