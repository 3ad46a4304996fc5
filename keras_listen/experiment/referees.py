"""Referees: the bundle's own, and further classifiers that are named by path."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..errors import ModelError, SpecError
from ..features import FeatureSpec
from ..models.blocks import BLOCK_SIZE
from ..models.bundle import Bundle, load_bundle
from ..models.classifier import Classifier, load_classifier, read_words
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
    return referees


def require_fitting(classifier: Classifier, referees: Mapping[str, Classifier]) -> None:
    """Make sure that referees have the words and features of a classifier.

    Raises:
        SpecError: one does not.
    """
    for name, referee in referees.items():
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
        if set(referee.words) == set(classifier.words) and not classifier.spec.differing(
            referee.spec
        ):
            fitting[name] = referee
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
