"""Objectives that set words, or classifiers, against each other.

`margin` raises the target above its strongest rival, `minimise` makes it unlikely, `morph` goes a
share of the way to another word, and `disagreement` looks for sounds that one classifier recognizes
and another does not. All are computed from logits, so their gradient does not vanish where a
probability is almost 0.
"""

from __future__ import annotations

import math
from typing import Annotated

from keras_listen import hookimpl
from keras_listen.errors import ParameterError, unknown


def margin(
    bundle,
    *,
    weight: Annotated[float, "weight of the rival; at 0 only the target's logit counts"] = 1.0,
    softness: Annotated[float, "0: the strongest rival; above, all rivals, softly"] = 0.0,
):
    """The target's logit minus that of its strongest rival."""
    import tensorflow as tf

    bundle.classifier.require_logits()
    _require(math.isfinite(weight) and weight >= 0, f"weight is {weight}; expected 0 or more")
    fits = math.isfinite(softness) and softness >= 0
    _require(fits, f"softness is {softness}; expected 0 or more, such as 1.0")

    def objective(classifier, features, targets):
        logits = classifier.logits(features)
        rivals = _without(logits, targets)
        if softness:
            strongest = softness * tf.reduce_logsumexp(rivals / softness, axis=1)
        else:
            strongest = tf.reduce_max(rivals, axis=1)
        return tf.gather(logits, targets, batch_dims=1) - weight * strongest

    return objective


def minimise(bundle):
    """Minus the target's logit: makes the classifier no longer recognize the word."""
    import tensorflow as tf

    bundle.classifier.require_logits()

    def objective(classifier, features, targets):
        return -tf.gather(classifier.logits(features), targets, batch_dims=1)

    return objective


def morph(
    bundle,
    *,
    to: Annotated[str, "the other word; needed"] = "",
    share: Annotated[float, "how far to go to it, 0 to 1; at 0.5 both are equal"] = 0.5,
):
    """A sound between the target and another word, with `share` of the probability for that one.

    The expected log-probability, largest where the target has the probability 1 - share, the other
    word `share`, and all others none.
    """
    import tensorflow as tf

    bundle.classifier.require_logits()
    _require(to, "morph needs the word to go to: -o objective.morph.to=WORD")
    other = bundle.classifier.label(to)
    _require(0 <= share <= 1, f"share is {share}; expected 0 (the target) to 1 (the word {to})")

    def objective(classifier, features, targets):
        likely = tf.nn.log_softmax(classifier.logits(features))
        return (1 - share) * tf.gather(likely, targets, batch_dims=1) + share * likely[:, other]

    return objective


def disagreement(
    bundle,
    *,
    referee: Annotated[str, "name of the referee that must not recognize the word"] = "referee",
):
    """The log-probability that the classifier recognizes the target and a referee does not.

    Both logits' difference would not do: it also grows for sounds that neither of them recognizes.
    """
    import tensorflow as tf

    bundle.classifier.require_logits()
    other = _opponent(bundle, referee)
    places = tf.constant([_place(other, word) for word in bundle.classifier.words])

    def objective(classifier, features, targets):
        own = tf.nn.log_softmax(classifier.logits(features))
        logits = other.logits(features)
        rivals = _without(logits, tf.gather(places, targets))
        refused = tf.reduce_logsumexp(rivals, axis=1) - tf.reduce_logsumexp(logits, axis=1)
        return tf.gather(own, targets, batch_dims=1) + refused

    return objective


def _without(logits, targets):
    """Return logits with the target's at the lowest value [shape=(batch, words)]."""
    import tensorflow as tf

    return tf.where(tf.one_hot(targets, logits.shape[1]) > 0, logits.dtype.min, logits)


def _opponent(bundle, name: str):
    """Return a referee that has logits and takes the same features as the classifier."""
    referees = bundle.referees
    _require(
        referees,
        "the bundle has no referee to disagree with; train one, or name a bundle that has one",
    )
    _require(name in referees, unknown("referee of this bundle", name, referees))
    other = referees[name]
    bundle.classifier.spec.require(other.spec, other.what)
    other.require_logits()
    return other


def _place(referee, word: str) -> int:
    """Return the position of a word in a referee's words, which may have another order."""
    _require(word in referee.words, unknown(f"word of {referee.what}", word, referee.words))
    return referee.words.index(word)


def _require(fits, message: str) -> None:
    if not fits:
        raise ParameterError(message)


@hookimpl
def register_objectives(register) -> None:
    register("margin", margin)
    register("minimise", minimise)
    register("morph", morph)
    register("disagreement", disagreement)
