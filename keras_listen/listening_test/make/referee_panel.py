"""Score sounds with a classifier and its referees, and read one referee's activations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from keras import ops

from ...experiment.hearing import predict_sounds
from ...experiment.referees import knows, predict_in_order
from ...models.blocks import in_blocks
from ...models.classifier import Classifier
from ...models.sound_classifier import SoundClassifier

#: The bundle's referee of the classifier's own architecture, which shares its blind spots.
_TWIN = "referee"


@dataclass(frozen=True, eq=False)
class PanelScores:
    """Scores of sounds.

    Attributes:
        own: probabilities by the classifier [shape=(sounds, words)].
        referees: by each referee [shape=(referees, sounds, words)], words as the classifier's.
        activations: see `RefereePanel` [shape=(sounds, units)]; no units without a referee.
    """

    own: np.ndarray
    referees: np.ndarray
    activations: np.ndarray


@dataclass(frozen=True, eq=False)
class RefereePanel:
    """A classifier, and its referees by name.

    Activations are what goes into the last layer of a referee of another architecture than the
    classifier, where there is one: features that fool the classifier fool it less.

    Attributes:
        classifier: whose words count.
        referees: of the same features; each knows some of the words at least.
        block_size: sounds computed together.
    """

    classifier: Classifier
    referees: Mapping[str, Classifier]
    block_size: int

    @cached_property
    def known(self) -> np.ndarray:
        """Whether classifier and referees know each word [shape=(1 + referees, words), bool]."""
        models = (self.classifier, *self.referees.values())
        return np.array([[knows(each, word) for word in self.classifier.words] for each in models])

    @property
    def eye(self) -> str | None:
        """Name of the referee whose activations are used; None without one."""
        names = list(self.referees)
        return next((name for name in names if name != _TWIN), names[0] if names else None)

    @cached_property
    def _activations(self) -> Callable[[np.ndarray], np.ndarray]:
        if self.eye is None:
            return lambda block: np.zeros((len(block), 0), np.float32)
        referee = self.referees[self.eye]
        model = referee.penultimate
        compute = referee.apart(lambda block: model(block, training=False))
        return lambda block: ops.convert_to_numpy(compute(block)).reshape(len(block), -1)

    def score(self, features: np.ndarray, sounds: np.ndarray | None = None) -> PanelScores:
        """Score sounds by their features.

        Args:
            features: of the sounds [shape=(sounds, frames, mels, 1)], at least one.
            sounds: themselves, at the rate of the features; a classifier behind a front end hears
                these where they are given [shape=(sounds, samples)].
        """
        if sounds is not None and isinstance(self.classifier, SoundClassifier):
            rate, size = self.classifier.spec.sample_rate, self.block_size
            own = predict_sounds(self.classifier, sounds, rate, block_size=size)
        else:
            own = self._probabilities(self.classifier, features)
        others = [self._probabilities(referee, features) for referee in self.referees.values()]
        referees = np.reshape(others, (len(others), *own.shape)).astype(np.float32)
        return PanelScores(own, referees, in_blocks(self._activations, features, self.block_size))

    def heard(self, scores: PanelScores) -> np.ndarray:
        """Return the positions of the words that classifier and referees predict from scores.

        Returns:
            [shape=(1 + referees, sounds)], the classifier's first; -1 where none is predicted.
        """
        models = (self.classifier, *self.referees.values())
        judged = zip(models, (scores.own, *scores.referees), strict=True)
        return np.stack([model.decide(probabilities) for model, probabilities in judged])

    def labels(self, features: np.ndarray) -> np.ndarray:
        """Return the positions of the words that classifier and first referee predict.

        Args:
            features: [shape=(sounds, frames, mels, 1)], perhaps none.

        Returns:
            [shape=(sounds, 2)]; -1 where no word is predicted, or there is no referee.
        """
        labels = np.full((len(features), 2), -1)
        models = (self.classifier, *self.referees.values())[:2]
        for column, model in enumerate(models if len(features) else ()):
            labels[:, column] = model.decide(self._probabilities(model, features))
        return labels

    def _probabilities(self, model: Classifier, features: np.ndarray) -> np.ndarray:
        """Return a model's probabilities of the classifier's words, in their order."""
        words = self.classifier.words
        return predict_in_order(model, words, features, block_size=self.block_size)
