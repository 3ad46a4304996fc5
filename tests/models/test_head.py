"""Heads of every kind: logits and probabilities against NumPy, and what is told when unsure."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from keras_listen.errors import ModelError, ParameterError
from keras_listen.features import FeatureSpec
from keras_listen.models.bundle import load_bundle
from keras_listen.models.classifier import Classifier, check_shapes, load_classifier
from keras_listen.models.head import KINDS, Head, find_head

SHAPE = (10, 8, 1)
SPEC = FeatureSpec(frames=10, n_mels=8)
WORDS = ("no", "stop", "yes")


@pytest.fixture(autouse=True)
def _same_weights_every_time():
    keras.utils.set_random_seed(0)


def chain(*tail, shape=SHAPE) -> keras.Model:
    x = inputs = keras.Input(shape)
    for layer in (layers.Flatten(), *tail):
        x = layer(x)
    return keras.Model(inputs, x)


def dense(units: int = 3, activation=None) -> layers.Layer:
    return layers.Dense(units, activation, kernel_initializer="normal", bias_initializer="normal")


def nested(*tail, sequential: bool = True) -> keras.Model:
    """Return a model whose last layer is a model that ends in `tail`."""
    if sequential:
        return chain(keras.Sequential([keras.Input((80,)), *tail]))
    x = inner = keras.Input((80,))
    for layer in tail:
        x = layer(x)
    return chain(keras.Model(inner, x))


def by_time(activation) -> keras.Model:
    """Return a model that ends in a layer applied to each of one steps."""
    return chain(layers.Reshape((1, 80)), layers.TimeDistributed(dense(3, activation)), flat())


def flat() -> layers.Layer:
    return layers.Flatten()


def features(count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 3, (count, *SHAPE)).astype(np.float32)


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def dense_of(model: keras.Model) -> layers.Dense:
    """Return the last Dense layer, at any depth."""
    for layer in reversed(model.layers):
        if isinstance(layer, layers.Dense):
            return layer
        if isinstance(layer, keras.Model):
            return dense_of(layer)
        if isinstance(layer, layers.TimeDistributed):
            return layer.layer
    raise AssertionError


def linear(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """Return what goes into the last activation, computed by NumPy in double precision."""
    kernel, bias = dense_of(model).get_weights()
    return x.reshape(len(x), -1).astype(np.float64) @ kernel + bias


def hard(x: np.ndarray) -> np.ndarray:
    return np.clip(x / 6 + 0.5, 0, 1)


def old_hard_sigmoid(x):
    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)


SIGMOIDS = {
    "dense": lambda: chain(dense(3, "sigmoid")),
    "activation": lambda: chain(dense(), layers.Activation("sigmoid")),
    "function": lambda: chain(dense(3, keras.activations.sigmoid)),
    "operation as activation": lambda: chain(dense(3, ops.sigmoid)),
    "tensorflow's": lambda: chain(dense(3, tf.nn.sigmoid)),
    "operation": lambda: chain(dense(), ops.sigmoid),
    "keras.activations in the graph": lambda: chain(dense(), keras.activations.sigmoid),
    "dropout behind": lambda: chain(dense(3, "sigmoid"), layers.Dropout(0.5)),
    "sequential inside": lambda: nested(dense(3, "sigmoid")),
    "functional inside": lambda: nested(dense(), layers.Activation("sigmoid"), sequential=False),
    "time distributed": lambda: by_time("sigmoid"),
}


@pytest.mark.parametrize("name", SIGMOIDS)
def test_sigmoids_for_several_words(name):
    model, x = SIGMOIDS[name](), features()
    head = find_head(model)
    assert (head.kind, head.sure, head.problem) == ("sigmoid", True, None)
    expected = linear(model, x)
    np.testing.assert_allclose(np.asarray(head.logits(x)), expected, atol=1e-4)
    np.testing.assert_allclose(np.asarray(head.probabilities(x)), sigmoid(expected), atol=1e-5)
    np.testing.assert_allclose(np.asarray(model(x)), sigmoid(expected), atol=1e-5)


SOFTMAXES = {
    "operation": lambda: chain(dense(), ops.softmax),
    "keras.activations in the graph": lambda: chain(dense(), keras.activations.softmax),
    "operation as activation": lambda: chain(dense(3, ops.softmax)),
    "tensorflow's": lambda: chain(dense(3, tf.nn.softmax)),
    "operation, squeezed": lambda: chain(
        dense(), layers.Reshape((1, 3)), ops.softmax, lambda x: ops.squeeze(x, 1)
    ),
    "sequential inside": lambda: nested(dense(), layers.Softmax()),
    "functional inside": lambda: nested(dense(3, "softmax"), sequential=False),
    "two models deep": lambda: chain(
        keras.Sequential(
            [keras.Input((80,)), keras.Sequential([keras.Input((80,)), dense(3, "softmax")])]
        )
    ),
    "time distributed": lambda: by_time("softmax"),
}


@pytest.mark.parametrize("name", SOFTMAXES)
def test_softmaxes_are_bypassed_wherever_they_are(name):
    model, x = SOFTMAXES[name](), features()
    head = find_head(model)
    assert (head.kind, head.sure, head.problem) == ("softmax", True, None)
    expected = linear(model, x)
    np.testing.assert_allclose(np.asarray(head.logits(x)), expected, atol=1e-4)
    np.testing.assert_allclose(np.asarray(head.probabilities(x)), softmax(expected), atol=1e-5)


@pytest.mark.parametrize("activation", ["hard_sigmoid", old_hard_sigmoid])
def test_a_hard_sigmoid_keeps_its_own_formula(activation):
    model, x = chain(dense(3, activation)), features()
    head, expected = find_head(model), linear(model, x)
    assert head.kind == "sigmoid"
    np.testing.assert_allclose(np.asarray(head.logits(x)), expected, atol=1e-4)
    wanted = hard(expected) if activation == "hard_sigmoid" else np.clip(expected / 5 + 0.5, 0, 1)
    np.testing.assert_allclose(np.asarray(head.probabilities(x)), wanted, atol=1e-5)


@pytest.mark.parametrize("tail", ["activation", "operation", "opaque"])
def test_log_probabilities_are_logits(tail):
    tails = {
        "activation": [dense(3, "log_softmax")],
        "operation": [dense(), ops.log_softmax],
        "opaque": [dense(), layers.Lambda(ops.log_softmax)],
    }
    model, x = chain(*tails[tail]), features()
    head, outputs = find_head(model), np.asarray(model(x))
    assert (head.kind, head.sure) == ("log-softmax", True)
    np.testing.assert_array_equal(np.asarray(head.logits(x)), outputs)
    np.testing.assert_allclose(np.asarray(head.probabilities(x)), np.exp(outputs), atol=1e-6)
    np.testing.assert_allclose(np.exp(outputs), softmax(linear(model, x)), atol=1e-5)


@pytest.mark.parametrize(("activation", "formula"), [("sigmoid", sigmoid), ("hard_sigmoid", hard)])
def test_one_sigmoid_stands_for_two_words(activation, formula):
    model, x = chain(dense(1, activation)), features(20)
    classifier, value = Classifier(model, ("no", "yes"), SPEC), linear(model, x)
    assert classifier.head.kind == "single sigmoid"
    assert classifier.head.sure
    p = formula(value)
    np.testing.assert_allclose(
        np.asarray(classifier.logits(x)), np.hstack([-value / 2, value / 2]), atol=1e-4
    )
    np.testing.assert_allclose(classifier.predict(x), np.hstack([1 - p, p]), atol=1e-5)
    if activation == "sigmoid":
        np.testing.assert_allclose(
            softmax(np.asarray(classifier.logits(x))), classifier.predict(x), atol=1e-5
        )
    np.testing.assert_array_equal(classifier.decide(classifier.predict(x)), p[:, 0] > 0.5)
    assert 0 < (p > 0.5).mean() < 1


def test_one_output_without_an_activation_is_a_logit_and_a_note_says_so():
    model, x = chain(dense(1)), features()
    classifier = Classifier(model, ("no", "yes"), SPEC)
    p = sigmoid(linear(model, x))
    np.testing.assert_allclose(classifier.predict(x), np.hstack([1 - p, p]), atol=1e-5)
    (note,) = classifier.notes
    assert note == (
        "the classifier: its one output is taken as the logit of the second word; if that is "
        "wrong, name its head"
    )


def test_a_softmax_over_one_output_is_refused():
    message = "its softmax is over one output, whose probability is always 1; let it end in a sigm"
    with pytest.raises(ModelError, match=message):
        Classifier(chain(dense(1, "softmax")), ("no", "yes"), SPEC)
    Classifier(chain(dense(1, "sigmoid")), ("no", "yes"), SPEC)


def test_one_output_needs_two_words():
    with pytest.raises(ModelError, match="the model has 1 outputs, but there are 3 words"):
        Classifier(chain(dense(1, "sigmoid")), WORDS, SPEC)


OPAQUE = {
    "softmax": (ops.softmax, "hidden softmax", softmax),
    "sigmoid": (ops.sigmoid, "sigmoid", sigmoid),
    "logits": (lambda x: x * 1.0, "logits", softmax),
}


@pytest.mark.parametrize("name", OPAQUE)
def test_opaque_ends_are_probed(name):
    function, kind, formula = OPAQUE[name]
    model, x = chain(dense(), layers.Lambda(function)), features()
    head = find_head(model)
    assert (head.kind, head.sure) == (kind, True)
    assert (head.logits is None) == (name != "logits")
    if head.logits is None:
        assert str(head.problem).endswith("objective log-probability or softmax, which need none")
    np.testing.assert_allclose(
        np.asarray(head.probabilities(x)), formula(linear(model, x)), atol=1e-5
    )


def test_an_opaque_single_sigmoid_has_probabilities_only():
    model, x = chain(dense(1), layers.Lambda(ops.sigmoid)), features()
    head, p = find_head(model), sigmoid(linear(model, x))
    assert (head.kind, head.logits) == ("single sigmoid", None)
    np.testing.assert_allclose(np.asarray(head.probabilities(x)), np.hstack([1 - p, p]), atol=1e-5)


def test_a_mean_of_probabilities_has_no_logits():
    model = chain(layers.Reshape((4, 20)), dense(3, "softmax"), layers.GlobalAveragePooling1D())
    head = find_head(model)
    assert (head.kind, head.logits) == ("hidden softmax", None)
    x = features()
    np.testing.assert_array_equal(np.asarray(head.probabilities(x)), np.asarray(model(x)))


@pytest.mark.parametrize(
    ("tail", "kind", "said"),
    [
        ((dense(3, "relu"),), "logits", "never negative, but no probabilities; they are taken as"),
        ((dense(3, "tanh"),), "logits", "lie within -1 and 1; they are taken as logits"),
        ((dense(), layers.Rescaling(0.0, 0.4)), "sigmoid", "the same for all inputs"),
        (
            (dense(3, "tanh"), layers.Rescaling(0.05, 0.5)),
            "sigmoid",
            "within 0 and 1, but hardly differ",
        ),
        ((dense(), layers.Rescaling(np.nan)), "logits", "no finite numbers"),
    ],
)
def test_an_unsure_head_says_why(tail, kind, said):
    copies = [type(layer).from_config(layer.get_config()) for layer in tail]
    head = find_head(chain(*copies))
    assert head.kind == kind
    assert not head.sure
    assert said in head.note


def test_a_users_word_counts():
    x = features()
    # Trained with a sigmoid in the loss: the outputs are logits of one word each.
    model = chain(dense())
    classifier = Classifier(model, WORDS, SPEC, head="sigmoid")
    np.testing.assert_allclose(classifier.predict(x), sigmoid(linear(model, x)), atol=1e-5)
    np.testing.assert_allclose(np.asarray(classifier.logits(x)), linear(model, x), atol=1e-4)
    # What looks like log probabilities is called logits, and the other way round.
    assert find_head(chain(dense(3, "log_softmax")), kind="logits").kind == "logits"
    relu = find_head(chain(dense(3, "relu")), kind="logits")
    assert (relu.kind, relu.sure) == ("logits", True)
    # A softmax that the graph shows keeps its way around; probabilities that it doesn't, have none.
    assert find_head(chain(dense(3, "softmax")), kind="softmax").logits is not None
    told = find_head(chain(dense(3, "sigmoid")), kind="softmax")
    assert (told.kind, told.logits, told.note) == (
        "hidden softmax",
        None,
        "its outputs do not sum to 1",
    )


def test_an_unknown_head_is_refused_with_the_known_ones(tmp_path):
    model = chain(dense(3, "softmax"))
    message = (
        "no head is called 'sigmoids'; did you mean 'sigmoid'\\? "
        "known: log-softmax, logits, sigmoid, softmax"
    )
    with pytest.raises(ParameterError, match=message):
        Classifier(model, WORDS, SPEC, head="sigmoids")
    for kind in KINDS:
        find_head(model, kind=kind)
    model.save(tmp_path / "model.keras")
    opened = load_classifier(tmp_path / "model.keras", WORDS, SPEC, head="softmax")
    assert opened.head.kind == "softmax"


SUM = "lie within 0 and 1, with the sum 1; leave the head out, or give softmax"
CONTRADICTIONS = {
    "softmax": {"logits": SUM, "sigmoid": SUM, "log-softmax": "from 0 to 1, .*, or give softmax"},
    "log_softmax": {
        "softmax": "reach from -.* to .*; leave the head out, or give log-softmax",
        "sigmoid": "are logarithms of probabilities with the sum 1; .* give log-softmax",
    },
    "sigmoid": {"log-softmax": "their exponentials do not sum to 1; .*, or give sigmoid"},
    None: {
        "softmax": "reach from -.* to .*; leave the head out, or give logits",
        "log-softmax": "their exponentials do not sum to 1; leave the head out, or give logits",
    },
}


@pytest.mark.parametrize("opaque", [False, True])
@pytest.mark.parametrize(
    ("activation", "given"), [(a, kind) for a, kinds in CONTRADICTIONS.items() for kind in kinds]
)
def test_a_head_that_cannot_be_is_refused_and_its_remedy_works(activation, given, opaque):
    function = keras.activations.get(activation)
    model = chain(dense(), layers.Lambda(function)) if opaque else chain(dense(3, activation))
    said = f"its head was given as {given}, but its outputs .*{CONTRADICTIONS[activation][given]}"
    with pytest.raises(ModelError, match=f"the classifier: {said}") as caught:
        Classifier(model, WORDS, SPEC, head=given)
    right, out = str(caught.value).rpartition("or give ")[2], find_head(model)
    x = features()
    for head in (find_head(model, kind=right), out):
        assert head.problem is None or head.kind in ("hidden softmax", "sigmoid")
        np.testing.assert_array_equal(head.probabilities(x), out.probabilities(x))


@pytest.mark.parametrize("kind", ["softmax", "log-softmax"])
@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_one_output_is_no_softmax(activation, kind):
    message = f"its head was given as {kind}, but its outputs are one value; .*, or give sigmoid"
    with pytest.raises(ModelError, match=message):
        Classifier(chain(dense(1, activation)), ("no", "yes"), SPEC, head=kind)


def test_a_head_that_may_be_is_noted():
    classifier = Classifier(chain(dense(3, "sigmoid")), WORDS, SPEC, head="logits")
    assert classifier.notes == (
        "the classifier: its outputs lie within 0 and 1, as probabilities do, and are taken as "
        "logits; if that is wrong, leave its head out",
    )
    # Sigmoids of two words may sum to 1, and what is the same for all inputs shows nothing.
    pair = chain(dense(1), lambda x: ops.concatenate([ops.sigmoid(x), ops.sigmoid(-x)], -1))
    assert find_head(pair, kind="sigmoid").kind == "sigmoid"
    still = chain(dense(2), layers.Rescaling(0.0, 0.5))
    assert find_head(still, kind="logits").problem is None


@pytest.mark.parametrize("function", [ops.softmax, ops.sigmoid])
def test_without_logits_the_objective_log_probability_remains(function):
    model = chain(dense(), layers.Lambda(function))
    problem = find_head(model).problem
    assert problem.remedy.endswith("use the objective log-probability or softmax, which need none")
    with pytest.raises(ModelError, match=r"has no logits: .* use the objective log-probability"):
        Classifier(model, WORDS, SPEC).require_logits()


def test_decisions():
    several, one = Head("sigmoid"), Head("softmax")
    table = np.array([[0.9, 0.2, 0.8], [0.5, 0.4, 0.3], [0.1, 0.2, 0.51]], np.float32)
    for head, expected in ((several, [0, -1, 2]), (one, [0, 0, 2])):
        np.testing.assert_array_equal(head.decide(table), expected)
        found = head.decide(tf.constant(table))
        assert found.dtype == tf.int32
        np.testing.assert_array_equal(found.numpy(), expected)
        # Of one sample, and of any number of axes.
        assert int(head.decide(table[1])) == expected[1]
        np.testing.assert_array_equal(head.decide(np.stack([table, table]))[1], expected)


def test_a_bundles_classifier_decides_by_the_largest():
    bundle = load_bundle()
    probabilities = np.random.default_rng(0).dirichlet(np.ones(len(bundle.words)), 50)
    decided = bundle.classifier.decide(probabilities)
    np.testing.assert_array_equal(decided, probabilities.argmax(axis=1))


def of_input(*shape: int | None) -> keras.Model:
    inputs = keras.Input(shape)
    x = inputs
    while len(x.shape) > 2:
        x = ops.mean(x, axis=1)
    return keras.Model(inputs, ops.tile(ops.mean(x, axis=-1, keepdims=True), (1, 3)))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((16000,), (None, 16000)),
        ((None,), (None, 16000)),
        ((16000, 1), (None, 16000, 1)),
        ((49, 10), (None, 49, 10)),
        ((49, 40, 1), (None, 49, 40, 1)),
        ((None, 40), (None, None, 40)),
        ((30, 1, 40), (None, 30, 1, 40)),
        ((1960,), (None, 1960)),
        ((40,), (None, 40)),  # a front end that gives so few values is taken at its word
    ],
)
def test_the_shape_that_a_front_end_gives_is_taken(shape, expected):
    assert check_shapes(of_input(*shape), WORDS, expected) == []


@pytest.mark.parametrize(
    ("shape", "expected", "remedy"),
    [
        ((49, 10), (None, 10, 49), "the axes stand in another order: set the front end's layout"),
        ((49, 10), (None, 49, 10, 1), "only the channel axis differs: set the front end's layout"),
        ((490,), (None, 49, 10), "one of them is flattened"),
        ((49, 10), (None, 98, 13), "set the front end's frames and bands"),
        ((16000,), (None, 49, 10), "choose another front end: the model takes a waveform"),
        ((49, 10), (None, 16000), "choose another front end: it gives a waveform"),
        ((16000,), (None, 22050), "set the front end's length of sound"),
    ],
)
def test_another_shape_than_the_front_ends(shape, expected, remedy):
    (problem,) = check_shapes(of_input(*shape), WORDS, expected)
    assert problem.text == (f"the model takes input of shape {(None, *shape)}, expected {expected}")
    assert problem.remedy.startswith(remedy)


@pytest.mark.parametrize("shape", [(40,), (128,), (40, 1), (1, 40), (180, 1, 1), (255,)])
def test_averages_over_time_are_refused(shape):
    for expected in (FeatureSpec(), (None, 49, 10)):
        (problem,) = check_shapes(of_input(*shape), WORDS, expected)
        assert f"{(None, *shape)}: averages over time" in problem.text
        assert "there is no time left to listen to" in problem.text
        assert problem.remedy == "use a model on frames over time, or on the waveform"
    with pytest.raises(ModelError, match=r"the classifier: .* there is no time left to listen to"):
        Classifier(of_input(*shape), WORDS)


@pytest.mark.parametrize("shape", [(16000,), (16000, 1), (1960,), (None,), (None, 1), (49, 10)])
def test_what_may_have_time_is_no_average(shape):
    (problem,) = check_shapes(of_input(*shape), WORDS, FeatureSpec())
    assert "averages" not in problem.text
