"""Referees: the bundle's own, and further classifiers that are named by path."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelError, SpecError
from ..features import FeatureSpec
from ..models.blocks import BLOCK_SIZE
from ..models.bundle import REFEREES, Bundle, load_bundle
from ..models.classifier import Classifier, load_classifier, read_words
from ..models.sound_classifier import SoundClassifier
from ..output.files import sha256
from .samples import slug

log = logging.getLogger("keras_listen")


def open_referees(
    bundle: Bundle, paths: Iterable[str], *, trust: bool = False
) -> dict[str, Classifier]:
    """Open a bundle's referees that fit its classifier, and further ones, by name.

    Args:
        bundle: of the classifier.
        paths: folders of bundles, or `MODEL.keras:WORDS.txt`; such a model is taken to have the
            features of the classifier.
        trust: open model files even if they hold Python code.

    Raises:
        ListenError: a path names no usable classifier.
    """
    referees = _fitting(bundle)
    for path in paths:
        referees[_name_of(path, referees)] = _open(path, bundle.classifier.spec, trust)
    return {name: matched(bundle.classifier, one) for name, one in referees.items()}


def open_judges(bundle: Bundle) -> dict[str, Classifier]:
    """Open a bundle's other referees than the first that know one of its classifier's words.

    Those of other features are left out.
    """
    classifier = bundle.classifier
    return {
        name: judge
        for name, judge in bundle.referees.items()
        if name != REFEREES[0]
        and not classifier.spec.differing(judge.spec)
        and set(judge.words) & set(classifier.words)
    }


class MatchedReferee:
    """A referee with words of its own, as one of a classifier's words.

    Args:
        referee: knows some of the words, and perhaps others.
        words: of the classifier.
    """

    def __init__(self, referee: Classifier, words: Sequence[str]):
        self.referee, self.words = referee, tuple(words)
        self.known = frozenset(words) & frozenset(referee.words)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "referee":
            raise AttributeError(name)
        return getattr(self.referee, name)

    def predict(self, features: np.ndarray, *, block_size: int = BLOCK_SIZE) -> np.ndarray:
        """Return probabilities of the classifier's words [shape=(samples, words)].

        Of words that the referee does not know, and of samples in which it hears a word that the
        classifier does not know, they are 0.
        """
        found = self.referee.predict(features, block_size=block_size)
        decided = self.referee.decide(found)
        matched = np.zeros((len(found), len(self.words)), np.float32)
        for column, word in enumerate(self.words):
            if word in self.known:
                matched[:, column] = found[:, self.referee.words.index(word)]
        heard = [i >= 0 and self.referee.words[i] in self.known for i in decided]
        return matched * np.array(heard, np.float32)[:, None]

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the position of the predicted word, -1 where it is none of the classifier's."""
        largest = probabilities.max(axis=-1)
        return np.where(largest > 0, probabilities.argmax(axis=-1), -1)


def matched(
    classifier: Classifier | SoundClassifier, referee: Classifier
) -> Classifier | MatchedReferee:
    """Return a referee that gives the words of a classifier that a user brings.

    A classifier of the project's own features takes referees of the same words only.
    """
    same = set(referee.words) == set(classifier.words)
    if same or not isinstance(classifier, SoundClassifier):
        return referee
    return MatchedReferee(referee, classifier.words)


def knows(referee: Classifier | MatchedReferee, word: str) -> bool:
    """Return whether a referee knows a word of the classifier."""
    return word in getattr(referee, "known", referee.words)


def require_fitting(classifier: Classifier, referees: Mapping[str, Classifier]) -> None:
    """Make sure that referees have the words and features of a classifier.

    Raises:
        SpecError: one does not.
    """
    for name, referee in referees.items():
        if isinstance(referee, MatchedReferee) and not referee.known:
            raise SpecError(
                f"the referee {name} knows none of the classifier's words "
                f"({_shortened(classifier.words)}); give one that knows some"
            )
        if set(referee.words) != set(classifier.words):
            raise SpecError(
                f"the referee {name} knows other words ({_shortened(referee.words)}) than the "
                f"classifier ({_shortened(classifier.words)}); give one of the same words"
            )
        classifier.spec.require(referee.spec, f"the referee {name}")


def _shortened(words: Sequence[str]) -> str:
    return ", ".join(words[:5]) + (" …" if len(words) > 5 else "")


def predict_in_order(
    classifier: Classifier,
    words: Sequence[str],
    features: np.ndarray,
    *,
    block_size: int = BLOCK_SIZE,
) -> np.ndarray:
    """Return a classifier's probabilities, its columns in the order of `words`.

    Args:
        classifier: usually a referee, whose outputs may stand in another order.
        words: of the classifier.
        features: [shape=(samples, frames, mels, 1)].
        block_size: samples computed together.

    Returns:
        probabilities [shape=(samples, words)].
    """
    order = [classifier.words.index(word) for word in words]
    return classifier.predict(features, block_size=block_size)[:, order]


def checksums(path: str) -> list[str]:
    """Return the checksums that identify a referee given by path."""
    if Path(path).is_dir():
        return [sha256(Path(path) / "classifier" / "component.json")]
    return [sha256(file) for file in _parts(path)]


def _fitting(bundle: Bundle) -> dict[str, Classifier]:
    """Return the bundle's own referees, without those that don't fit the user's classifier."""
    classifier, fitting = bundle.classifier, {}
    for name, referee in bundle.referees.items():
        shared = set(referee.words) & set(classifier.words)
        enough = (
            shared
            if isinstance(classifier, SoundClassifier)
            else shared == {*referee.words, *classifier.words}
        )
        if enough and not classifier.spec.differing(referee.spec):
            fitting[name] = referee
            if unknown_words := [word for word in classifier.words if word not in shared]:
                listed = ", ".join(unknown_words)
                log.warning(
                    "%s of the bundle does not know %s, and counts nothing there", name, listed
                )
        else:
            log.warning("%s of the bundle has other words or features and is not used", name)
    return fitting


def _name_of(path: str, taken: Mapping[str, Classifier]) -> str:
    """Name a referee after its file or folder, with a number where that name is taken."""
    stem = slug(Path(path if Path(path).is_dir() else _parts(path)[0]).stem)
    names = [stem, *(f"{stem}-{number}" for number in range(2, len(taken) + 2))]
    return next(name for name in names if name not in taken)


def _open(path: str, spec: FeatureSpec, trust: bool) -> Classifier:
    """Open a referee: a bundle's classifier, or a model file with its words."""
    if Path(path).is_dir():
        return load_bundle(path).classifier
    model, *words = _parts(path)
    if not Path(model).exists():
        raise ModelError(
            f"the referee {model} does not exist; name a bundle or MODEL.keras:WORDS.txt"
        )
    if not words:
        raise ModelError(
            f"the referee {model} is no folder of a bundle; for a model file name its words as "
            f"well, one a line in a file: {model}:WORDS.txt"
        )
    return load_classifier(model, read_words(*words), spec, trust=trust)


def _parts(path: str) -> Sequence[str]:
    """Cut a path at the colon between model and words; either may have colons of its own.

    It is cut where both files exist; or else where the model exists, with words or without; or else
    at the first colon.
    """
    path = path.removesuffix(":")
    ways = [(path[:i], path[i + 1 :]) for i, letter in enumerate(path) if letter == ":"]
    both = [way for way in ways if all(Path(part).is_file() for part in way)]
    models = [way for way in [(path,), *ways] if Path(way[0]).is_file()]
    return [*both, *models, *ways, (path,)][0]
