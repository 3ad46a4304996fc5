"""The ascent against hand calculation, and the promise of identical bits."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import watched

from keras_listen import load_bundle
from keras_listen.errors import ParameterError
from keras_listen.features import FeatureSpec
from keras_listen.maximization import objectives, priors
from keras_listen.maximization.ascent import Ascent
from keras_listen.maximization.engine import STABILIZER, maximize
from keras_listen.models.classifier import Classifier
from keras_listen.seeds import derive

SPEC = FeatureSpec(frames=3, n_mels=4)
WORDS = ("a", "b", "c")
KERNEL = np.random.default_rng(1).normal(0, 1, (12, 3)).astype(np.float32)
BIAS = np.array([0.3, -0.2, 0.1], np.float32)


def linear_classifier() -> Classifier:
    """Return a classifier whose logits are KERNEL' x + BIAS."""
    inputs = keras.Input(SPEC.shape)
    dense = keras.layers.Dense(3)
    outputs = dense(keras.layers.Flatten(data_format="channels_last")(inputs))
    dense.set_weights([KERNEL, BIAS])
    return Classifier(keras.Model(inputs, outputs), WORDS, SPEC)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return linear_classifier()


@pytest.fixture(scope="module")
def logit(classifier):
    return objectives.logit(SimpleNamespace(classifier=classifier))


@pytest.fixture(scope="module")
def softmax(classifier):
    return objectives.softmax(SimpleNamespace(classifier=classifier))


@pytest.fixture
def prior() -> priors.Identity:
    return priors.Identity(SPEC)


@pytest.fixture(scope="module")
def z() -> np.ndarray:
    return np.random.default_rng(2).normal(0, 0.1, (5, *SPEC.shape)).astype(np.float32)


TARGETS = np.array([0, 1, 2, 0, 1])


def directions(targets: np.ndarray) -> np.ndarray:
    """Return the normalised gradients of the logits, which are columns of KERNEL."""
    gradient = KERNEL.T[targets]
    rms = np.sqrt((gradient**2).mean(axis=1, keepdims=True))
    return (gradient / (rms + 1e-5)).reshape(-1, *SPEC.shape)


def climb_by_hand(z: np.ndarray, target: int, steps: int, step_size: float) -> dict[str, list]:
    """Climb the softmax of the linear classifier with one sample, in float64."""
    x, kernel = z.astype(np.float64).ravel(), KERNEL.astype(np.float64)
    seen: dict[str, list] = {"z": [], "probabilities": [], "rms": []}
    for _ in range(steps + 1):
        exponentials = np.exp(x @ kernel + BIAS)
        p = exponentials / exponentials.sum()
        gradient = p[target] * (kernel[:, target] - kernel @ p)
        rms = np.sqrt((gradient**2).mean())
        seen["z"].append(x.reshape(z.shape))
        seen["probabilities"].append(p)
        seen["rms"].append(rms)
        x = x + step_size * gradient / (rms + 1e-5)
    return seen


def test_one_step_moves_by_step_size_times_the_normalised_gradient(classifier, logit, prior, z):
    found = maximize(classifier, logit, prior, z, TARGETS, Ascent(1, 0.25))
    np.testing.assert_allclose(found.z - z, 0.25 * directions(TARGETS), atol=1e-6)


def test_each_block_counts_its_steps(classifier, logit, prior, z):
    seen = []
    track = watched(lambda done, **about: seen.append((done, about)))
    maximize(classifier, logit, prior, z, TARGETS, Ascent(3, 0.25), block_size=3, track=track)
    about = {"total": 3, "label": "steps", "unit": "step"}
    assert seen == 2 * [(1, about), (2, about), (3, about)]


def test_step_size_is_the_priors_own_by_default(classifier, logit, prior, z):
    prior.step_size = 0.5
    found = maximize(classifier, logit, prior, z, TARGETS, Ascent(1))
    np.testing.assert_allclose(found.z - z, 0.5 * directions(TARGETS), atol=1e-6)


def test_ascent_of_a_softmax_follows_the_hand_calculation(classifier, softmax, prior, z):
    # Few small steps: near a probability of 1 single precision has no gradient left to compare.
    found = maximize(classifier, softmax, prior, z, TARGETS, Ascent(8, 0.03))
    for i, target in enumerate(TARGETS):
        hand = climb_by_hand(z[i], target, 8, 0.03)
        probabilities = np.array(hand["probabilities"])
        np.testing.assert_allclose(found.z[i], hand["z"][-1], atol=1e-5)
        np.testing.assert_allclose(found.features[i], hand["z"][-1], atol=1e-5)
        np.testing.assert_allclose(found.probabilities[:, i], probabilities, atol=1e-5)
        np.testing.assert_allclose(found.scores[:, i], probabilities[:, target], atol=1e-5)
        np.testing.assert_allclose(found.gradient_rms[:, i], hand["rms"][:-1], atol=1e-5)
        predicted = probabilities.argmax(axis=1) == target
        first = int(predicted.argmax()) if predicted.any() else -1
        assert found.first_step[i] == first
        np.testing.assert_allclose(found.first_z[i], hand["z"][max(first, 0)], atol=1e-5)
    assert len(set(found.first_step)) > 1, "the starts were to succeed at different steps"
    np.testing.assert_array_equal(found.start_features, z)


def test_a_start_that_never_succeeds_has_first_step_minus_one(classifier, softmax, prior, z):
    beaten = int((z[0].ravel() @ KERNEL + BIAS).argmin())
    found = maximize(classifier, softmax, prior, z[:1], np.array([beaten]), Ascent(1, 1e-6))
    assert found.first_step.tolist() == [-1]
    np.testing.assert_array_equal(found.first_z, z[:1])


def test_no_target_is_never_reached(classifier, prior, z):
    def brightness(classifier, features, targets):
        return tf.reduce_mean(features, axis=(1, 2, 3))

    found = maximize(classifier, brightness, prior, z, np.full(5, -1), Ascent(2, 0.1, stop_at=0.01))
    assert (found.first_step == -1).all()
    # All of the latent rises alike: the gradient of a mean is the same everywhere.
    normalised = (1 / 12) / (1 / 12 + STABILIZER)
    np.testing.assert_allclose(found.z - z, 0.2 * normalised, atol=1e-6)


def test_gradients_are_normalised_sample_by_sample(classifier, prior, z):
    def scaled(factors):
        def objective(classifier, features, targets):
            scores = tf.gather(classifier.logits(features), targets, batch_dims=1)
            # A block has more rows than samples; the rest repeat the last.
            rows = scores.shape[0] - len(factors)
            return tf.constant(factors + factors[-1:] * rows, tf.float32) * scores

        return objective

    def climb(factors):
        return maximize(
            classifier, scaled(factors), prior, z, TARGETS, Ascent(1, 0.1), block_size=5
        )

    plain, other = climb([1] * 5), climb([1, 1e6, 1, 1e-3, 1])
    for i in (0, 2, 4):
        np.testing.assert_array_equal(other.z[i], plain.z[i])
    np.testing.assert_allclose(other.z[1], plain.z[1], atol=1e-5)
    # A gradient near the stabilizer is damped: what saturation looks like.
    gradient = 1e-3 * KERNEL[:, TARGETS[3]].reshape(SPEC.shape)
    rms = np.sqrt((gradient**2).mean())
    np.testing.assert_allclose(other.z[3] - z[3], 0.1 * gradient / (rms + 1e-5), rtol=1e-3)
    np.testing.assert_allclose(other.gradient_rms[0, 3], rms, rtol=1e-5)


def test_a_start_where_the_softmax_is_saturated_climbs_its_logarithm(prior, classifier):
    """Also among others, which do not change by a byte for it."""
    # Far on the side of word 1, where the probability of word 0 has no gradient.
    far = 40 * (KERNEL[:, 1] - KERNEL[:, 0]).reshape(SPEC.shape)
    near = np.zeros(SPEC.shape)
    z = np.stack([near, far]).astype(np.float32)
    made = objectives.softmax(SimpleNamespace(classifier=classifier))

    def published(*arguments):
        return made(*arguments)

    ascent = Ascent(40, 2.0)
    found = maximize(classifier, made, prior, z, [0, 0], ascent, block_size=2)
    before = maximize(classifier, published, prior, z, [0, 0], ascent, block_size=2)
    assert found.gradient_rms[0, 1] < STABILIZER < found.gradient_rms[0, 0]
    np.testing.assert_array_equal(found.z[0], before.z[0])
    np.testing.assert_array_equal(before.z[1], z[1])
    assert found.probabilities[-1, 1, 0] > 0.9 > 1e-6 > found.probabilities[0, 1, 0]
    np.testing.assert_array_equal(found.scores, found.probabilities[..., 0])


def test_momentum_builds_up(classifier, logit, prior, z):
    first = maximize(classifier, logit, prior, z, TARGETS, Ascent(1, 0.1, "momentum"))
    second = maximize(classifier, logit, prior, z, TARGETS, Ascent(2, 0.1, "momentum"))
    step = 0.1 * directions(TARGETS)
    np.testing.assert_allclose(first.z - z, 0.1 * step, atol=1e-6)
    np.testing.assert_allclose(second.z - z, (0.1 + 0.19) * step, atol=1e-6)


def test_adam_takes_the_sign_of_a_constant_gradient(classifier, logit, prior, z):
    found = maximize(classifier, logit, prior, z, TARGETS, Ascent(3, 0.1, "adam"))
    np.testing.assert_allclose(found.z - z, 0.3 * np.sign(directions(TARGETS)), atol=1e-5)


def test_stop_at_freezes_a_sample_where_it_is(classifier, softmax, prior, z):
    target, goal = 1, 0.6
    hand = climb_by_hand(z[0], target, 20, 0.05)
    reached = [p[target] >= goal for p in hand["probabilities"]].index(True)
    assert 0 < reached < 20
    ascent = Ascent(20, 0.05, stop_at=goal)
    found = maximize(classifier, softmax, prior, z[:1], np.array([target]), ascent)
    np.testing.assert_allclose(found.z[0], hand["z"][reached], atol=1e-5)


def closeness(classifier, features, targets):
    """Score a latent by how close it is to zero."""
    return -tf.reduce_sum(tf.square(features), axis=(1, 2, 3))


def test_keep_best_returns_the_best_of_all_steps(classifier, prior):
    # From 0.05 in steps of 0.04: 0.01, then past the top to -0.03.
    z = np.full((1, *SPEC.shape), 0.05, np.float32)
    last = maximize(classifier, closeness, prior, z, [0], Ascent(2, 0.04))
    best = maximize(classifier, closeness, prior, z, [0], Ascent(2, 0.04, keep_best=True))
    np.testing.assert_allclose(last.z, -0.03, atol=1e-4)
    np.testing.assert_allclose(best.z, 0.01, atol=1e-4)
    np.testing.assert_allclose(best.features, best.z)
    np.testing.assert_allclose(best.scores[-1], -12 * best.z.max() ** 2, rtol=1e-5)


def test_transforms_see_features_step_and_seeds(classifier, logit, prior, z):
    def shift(features, step, seeds):
        amount = tf.cast(step, tf.float32) + tf.cast(seeds[:, 0], tf.float32)
        return features + amount[:, None, None, None]

    seeds = np.array([[7, 0], [0, 0], [3, 0], [1, 0], [2, 0]], np.uint32)
    ascent = Ascent(3, 0.1, transforms=(shift, shift))
    found = maximize(classifier, logit, prior, z, TARGETS, ascent, seeds=seeds)
    step = 0.1 * directions(TARGETS)
    for number in range(4):
        at = z + number * step
        if number < 3:  # what is returned at the end is not transformed
            at = at + 2 * (number + seeds[:, 0])[:, None, None, None]
        logits = at.reshape(5, -1) @ KERNEL + BIAS
        np.testing.assert_allclose(found.scores[number], logits[np.arange(5), TARGETS], rtol=1e-4)
    np.testing.assert_allclose(found.features, z + 3 * step, atol=1e-5)


def test_move_of_the_prior_is_added_after_each_step(classifier, logit, z):
    class Drifting(priors.Identity):
        def move(self, z, *, step, seeds):
            amount = tf.cast(step, tf.float32) + tf.cast(seeds[:, 1], tf.float32)
            return tf.ones_like(z) * amount[:, None, None, None]

    seeds = np.array([[0, i] for i in range(5)], np.uint32)
    ascent = Ascent(2, 0.1)
    found = maximize(classifier, logit, Drifting(SPEC), z, TARGETS, ascent, seeds=seeds)
    drift = (1 + 2 * np.arange(5))[:, None, None, None]
    np.testing.assert_allclose(found.z - z, 0.2 * directions(TARGETS) + drift, rtol=1e-4, atol=1e-4)


def test_no_steps_only_look(classifier, softmax, prior, z):
    found = maximize(classifier, softmax, prior, z, TARGETS, Ascent(0))
    np.testing.assert_array_equal(found.z, z)
    assert found.scores.shape == (1, 5)
    assert found.gradient_rms.shape == (0, 5)


def test_objective_that_ignores_the_features_is_refused(classifier, prior, z):
    def constant(classifier, features, targets):
        return tf.ones(tf.shape(features)[0])

    with pytest.raises(ParameterError, match="does not depend on the latent"):
        maximize(classifier, constant, prior, z, TARGETS)


def test_values_that_are_not_finite_are_refused(classifier, prior, z):
    def explosive(classifier, features, targets):
        return tf.math.log(-1.0 - tf.reduce_sum(tf.square(features), axis=(1, 2, 3)))

    with pytest.raises(ParameterError, match="not finite"):
        maximize(classifier, explosive, prior, z, TARGETS, Ascent(2))


def test_counts_must_agree(classifier, softmax, prior, z):
    with pytest.raises(ParameterError, match="5 starts, 2 targets and 5 seeds"):
        maximize(classifier, softmax, prior, z, TARGETS[:2])
    with pytest.raises(ParameterError, match="3 seeds"):
        maximize(classifier, softmax, prior, z, TARGETS, seeds=np.zeros((3, 2), np.uint32))
    with pytest.raises(ParameterError, match="at least one"):
        maximize(classifier, softmax, prior, z[:0], TARGETS[:0])
    with pytest.raises(ParameterError, match="block size is 0"):
        maximize(classifier, softmax, prior, z, TARGETS, block_size=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": -1}, "steps is -1"),
        ({"step_size": 0}, "step_size is 0"),
        ({"step_size": -0.1}, "step_size is -0.1"),
        ({"step_size": float("nan")}, "step_size is nan"),
        ({"step_size": float("inf")}, "step_size is inf"),
        ({"optimizer": "sgd"}, "optimizer is 'sgd'; expected one of normalized, momentum, adam"),
        ({"stop_at": 0}, "stop_at is 0"),
        ({"stop_at": 1.5}, "stop_at is 1.5"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ParameterError, match=message):
        Ascent(**settings)


def test_a_second_call_does_not_trace_again(classifier, softmax, z):
    class Counting(priors.Identity):
        traces = 0

        def decode(self, z):
            Counting.traces += 1
            return z

    prior = Counting(SPEC)
    maximize(classifier, softmax, prior, z, TARGETS, Ascent(3, 0.05), block_size=4)
    traces = Counting.traces
    assert 0 < traces <= 4, "once for looking and once for a step, however many steps and blocks"
    # An equal Ascent is the same Ascent; fewer samples fill the same block.
    maximize(classifier, softmax, prior, z[:3], TARGETS[:3], Ascent(3, 0.05), block_size=4)
    assert Counting.traces == traces


@pytest.fixture(scope="module")
def embedded():
    bundle = load_bundle()
    made = {"ae": priors.ae(bundle), "none": priors.none(bundle)}
    return SimpleNamespace(
        classifier=bundle.classifier, softmax=objectives.softmax(bundle), priors=made
    )


@pytest.mark.parametrize("size", [64, 72])
@pytest.mark.parametrize("name", ["none", "ae"])
def test_a_sample_has_the_same_bits_wherever_it_stands(embedded, name, size):
    words = len(embedded.classifier.words)
    targets = np.arange(size) % words
    seeds = np.stack([derive(0, f"word {i % words}", i // words) for i in range(size)])
    starts = embedded.priors[name].start(targets, seeds)

    def climb(rows):
        rows = np.asarray(rows)
        return maximize(
            embedded.classifier,
            embedded.softmax,
            embedded.priors[name],
            starts[rows],
            targets[rows],
            Ascent(2),
            block_size=size,
        )

    whole = climb(range(size))
    assert np.ptp(whole.scores[-1]) > 0
    shuffled = np.random.default_rng(3).permutation(size)
    for rows in (shuffled, range(30), range(3), [40]):
        found = climb(rows)
        at = list(rows)
        np.testing.assert_array_equal(found.z, whole.z[at])
        np.testing.assert_array_equal(found.features, whole.features[at])
        np.testing.assert_array_equal(found.scores, whole.scores[:, at])
        np.testing.assert_array_equal(found.probabilities, whole.probabilities[:, at])
        np.testing.assert_array_equal(found.first_z, whole.first_z[at])


@pytest.mark.parametrize("name", ["none", "ae"])
def test_blocks_agree_with_the_published_loop_one_at_a_time(embedded, name):
    """The published loop: one sample, softmax of the model itself, no graph, NumPy update."""
    model, prior = embedded.classifier.model, embedded.priors[name]
    targets = np.array([2, 5])
    seeds = np.stack([derive(4, "any", k) for k in range(2)])
    starts = prior.start(targets, seeds)
    ascent = Ascent(4)
    found = maximize(embedded.classifier, embedded.softmax, prior, starts, targets, ascent)
    for i, target in enumerate(targets):
        z = starts[i : i + 1].astype(np.float64)
        for _ in range(4):
            with tf.GradientTape() as tape:
                x = tf.constant(z, tf.float32)
                tape.watch(x)
                score = model(prior.decode(x), training=False)[0, target]
            gradient = tape.gradient(score, x).numpy().astype(np.float64)
            z = z + prior.step_size * gradient / (np.sqrt((gradient**2).mean()) + 1e-5)
        moved = np.abs(z[0] - starts[i]).max()
        assert moved > 0.01
        # Rounding grows from step to step where a maximum or relu changes sides.
        np.testing.assert_allclose(found.z[i], z[0], atol=0.05 * moved)
        assert np.abs(found.z[i] - z[0]).mean() < 1e-3 * moved
