"""Values by hand on linear classifiers, slopes, messages, and ascents in the embedded bundle."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import keras_listen_contrast as contrast
import numpy as np
import pytest
import tensorflow as tf

from keras_listen import Classifier, FeatureSpec, load_bundle, maximize
from keras_listen.errors import ModelError, ParameterError, SpecError
from keras_listen.plugins import default_registry
from keras_listen.testing import check_objective

SPEC = FeatureSpec(frames=3, n_mels=4)
WORDS = ("yes", "no", "up")
NAMES = ("margin", "minimise", "morph", "disagreement")
#: Options without which an objective cannot be made.
NEEDED = {"morph": {"to": "yes"}}


def linear(seed: int, words=WORDS, spec: FeatureSpec = SPEC, what: str = "it"):
    """Return a linear classifier and its kernel [shape=(values, words)]."""
    size = spec.frames * spec.n_mels
    kernel = np.random.default_rng(seed).normal(0, 1, (size, len(words))).astype(np.float32)
    inputs = keras.Input(spec.shape)
    dense = keras.layers.Dense(len(words), activation="softmax")
    outputs = dense(keras.layers.Flatten(data_format="channels_last")(inputs))
    dense.set_weights([kernel, np.zeros(len(words), np.float32)])
    return Classifier(keras.Model(inputs, outputs), words, spec, what=what), kernel


@pytest.fixture(scope="module")
def small():
    """A bundle of two linear classifiers, the referee's words in another order, and kernels."""
    classifier, kernel = linear(1)
    referee, other = linear(2, ("up", "yes", "no"), what="the referee")
    bundle = SimpleNamespace(classifier=classifier, referees={"referee": referee})
    return bundle, kernel, other[:, [1, 2, 0]]


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(3).normal(0, 1, (4, *SPEC.shape)).astype(np.float32)


TARGETS = np.array([2, 0, 1, 0])
ROWS = np.arange(4)


def probabilities(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def value(objective, bundle: SimpleNamespace, x: np.ndarray):
    return objective(bundle.classifier, x, TARGETS)


def test_margin_by_hand(small, x):
    bundle, kernel, _ = small
    logits = x.reshape(4, -1) @ kernel
    wanted = logits[ROWS, TARGETS]
    rivals = np.stack([np.delete(row, t) for row, t in zip(logits, TARGETS, strict=True)])
    found = value(contrast.margin(bundle), bundle, x)
    np.testing.assert_allclose(found, wanted - rivals.max(axis=1), rtol=1e-4)
    found = value(contrast.margin(bundle, weight=0.5), bundle, x)
    np.testing.assert_allclose(found, wanted - 0.5 * rivals.max(axis=1), rtol=1e-4)
    for softness in (0.5, 2.0):
        soft = softness * np.log(np.exp(rivals / softness).sum(axis=1))
        found = value(contrast.margin(bundle, softness=softness), bundle, x)
        np.testing.assert_allclose(found, wanted - soft, rtol=1e-4)


def test_margin_is_positive_where_the_target_is_heard(small, x):
    bundle, *_ = small
    heard = bundle.classifier.predict(x).argmax(axis=1) == TARGETS
    assert 0 < heard.sum() < 4
    np.testing.assert_array_equal(value(contrast.margin(bundle), bundle, x) > 0, heard)


def test_minimise_by_hand(small, x):
    bundle, kernel, _ = small
    wanted = -(x.reshape(4, -1) @ kernel)[ROWS, TARGETS]
    np.testing.assert_allclose(value(contrast.minimise(bundle), bundle, x), wanted, rtol=1e-4)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_morph_by_hand(small, x, share):
    bundle, kernel, _ = small
    likely = np.log(probabilities(x.reshape(4, -1) @ kernel))
    wanted = (1 - share) * likely[ROWS, TARGETS] + share * likely[:, 1]
    found = value(contrast.morph(bundle, to="no", share=share), bundle, x)
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_disagreement_by_hand(small, x):
    bundle, kernel, other = small
    heard, judged = (probabilities(x.reshape(4, -1) @ k)[ROWS, TARGETS] for k in (kernel, other))
    found = value(contrast.disagreement(bundle), bundle, x)
    np.testing.assert_allclose(found, np.log(heard * (1 - judged)), rtol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_slopes_reach_the_features_even_far_away(small, x, name):
    """Far away the softmax is 1 for another word, and its slope 0."""
    bundle, kernel, _ = small
    objective = getattr(contrast, name)(bundle, **NEEDED.get(name, {}))
    far = np.tile(9 * kernel[:, 1].reshape(SPEC.shape), (4, 1, 1, 1))
    for features, least in ((x, 1e-4), (far, 1e-1)):
        features = tf.constant(features)
        with tf.GradientTape() as tape:
            tape.watch(features)
            found = objective(bundle.classifier, features, np.array([2, 0, 2, 0]))
        assert np.isfinite(found).all()
        rms = np.sqrt(np.mean(np.square(tape.gradient(found, features)), axis=(1, 2, 3)))
        assert (rms > least).all()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("margin", {"weight": -1.0}, "weight is -1.0; expected 0 or more"),
        ("margin", {"softness": float("nan")}, "softness is nan; expected 0 or more"),
        ("margin", {"softness": "soft"}, "objective.margin.softness is 'soft'; expected float"),
        ("morph", {}, "morph needs the word to go to: -o objective.morph.to=WORD"),
        ("morph", {"to": "yess"}, "called 'yess'; did you mean 'yes'"),
        ("morph", {"to": "no", "share": 1.5}, "share is 1.5; expected 0 .* to 1"),
        ("morph", {"to": "no", "share": float("nan")}, "share is nan"),
        ("disagreement", {"referee": "refere"}, "called 'refere'; did you mean 'referee'"),
    ],
)
def test_bad_options_are_named_in_one_line(small, name, options, message):
    with pytest.raises(ParameterError, match=message) as caught:
        default_registry().create("objective", name, small[0], options)
    assert "\n" not in str(caught.value)


def test_a_referee_that_cannot_judge_is_refused_with_the_reason(small):
    classifier = small[0].classifier

    def made(**referees):
        bundle = SimpleNamespace(classifier=classifier, referees=referees)
        return contrast.disagreement(bundle)

    with pytest.raises(ParameterError, match="no referee to disagree with; train one"):
        made()
    with pytest.raises(ParameterError, match="no word of the referee is called 'up'"):
        made(referee=linear(4, ("yes", "no", "down"), what="the referee")[0])
    with pytest.raises(SpecError, match="the referee was made for other features: frames 5"):
        made(referee=linear(4, spec=FeatureSpec(frames=5, n_mels=4), what="the referee")[0])


@pytest.mark.parametrize("name", NAMES)
def test_a_classifier_without_logits_is_refused(name):
    inputs = keras.Input(SPEC.shape)
    flat = keras.layers.Flatten(data_format="channels_last")(inputs)
    heads = [keras.layers.Dense(3, activation="softmax")(flat) for _ in range(2)]
    model = keras.Model(inputs, keras.layers.Average()(heads))
    bundle = SimpleNamespace(classifier=Classifier(model, WORDS, SPEC), referees={})
    with pytest.raises(ModelError, match="has no logits"):
        getattr(contrast, name)(bundle, **NEEDED.get(name, {}))


@pytest.fixture(scope="module")
def bundle():
    return load_bundle()


@pytest.mark.parametrize("name", NAMES)
def test_the_contract_is_kept(bundle, name):
    check_objective(name, bundle, **NEEDED.get(name, {}))


def climbed(bundle, name: str, **options) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Maximize every word but yes from noise; return targets, probabilities and features."""
    registry = default_registry()
    prior = registry.create("prior", "ae", bundle)
    objective = registry.create("objective", name, bundle, options)
    yes = bundle.classifier.label("yes")
    targets = np.array([i for i in range(len(bundle.words)) if i != yes])
    seeds = np.stack([targets, targets], axis=1).astype(np.uint32)
    start = prior.start(targets, seeds)
    found = maximize(bundle.classifier, objective, prior, start, targets, seeds=seeds)
    return targets, found.probabilities[-1], found.features


def test_the_embedded_bundle_hears_the_margin_and_not_what_was_minimised(bundle):
    targets, heard, _ = climbed(bundle, "margin")
    assert (heard.argmax(axis=1) == targets).mean() > 0.8
    targets, heard, _ = climbed(bundle, "minimise")
    assert (heard.argmax(axis=1) == targets).sum() == 0


def test_the_embedded_bundle_goes_all_the_way_to_the_other_word(bundle):
    _, heard, _ = climbed(bundle, "morph", to="yes", share=1.0)
    assert (heard.argmax(axis=1) == bundle.classifier.label("yes")).mean() > 0.8


@pytest.mark.parametrize("referee", ["referee", "residual"])
def test_the_embedded_bundle_disagrees_with_its_referees(bundle, referee):
    targets, heard, features = climbed(bundle, "disagreement", referee=referee)
    judged = bundle.referees[referee].predict(features)
    assert (heard.argmax(axis=1) == targets).mean() > 0.8
    assert (judged.argmax(axis=1) == targets).mean() < 0.1
