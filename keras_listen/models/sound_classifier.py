"""A classifier whose input is not the priors' features: it hears them as sound.

It takes the place of a `Classifier` everywhere, and takes the same features.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ..features import FeatureSpec
from .blocks import BLOCK_SIZE, in_blocks
from .classifier import Classifier
from .formats.keras_file import open_model
from .frontends.sound import fit
from .rewrites import interruptible
from .sound_path import Held, SoundPath

#: Iterations of Griffin-Lim: for the first phases, when they are renewed, and for the last ones.
#: More change neither success nor agreement of referees, see docs/decisions.md.
_FIRST, _RENEWED, _LAST = 4, 1, 4


class SoundClassifier:
    """A classifier behind a front end, as a function of a prior's features.

    Its methods are those of `Classifier`, so that objectives and the engine need not know. Called
    outside of an ascent, they estimate the phases of their sounds anew.

    Args:
        network: takes what the front end gives.
        frontend: from sound to the network's input, see `keras_listen.hookspecs`.
        spec: of the priors' features.
        place: where sounds stand in a longer window, see `sound_path.PLACES`.

    Attributes:
        words, what, origin: as in `Classifier`.
        path: from features to the network's input.
    """

    def __init__(
        self, network: Classifier, frontend: Any, spec: FeatureSpec, place: str = "middle"
    ):
        self.network, self.frontend, self.spec = network, frontend, spec
        self.words, self.what, self.origin = network.words, network.what, network.origin
        self.path = SoundPath(spec, frontend, place)

    def __getattr__(self, name: str) -> Any:
        # What does not depend on features: labels, head, layers.
        if name.startswith("_") or name == "network":
            raise AttributeError(name)
        return getattr(self.network, name)

    def __repr__(self) -> str:
        return f"{repr(self.network)[:-1]} behind a front end>"

    def hold(self, features: tf.Tensor, seeds: tf.Tensor | None = None) -> Held:
        """Return phases for features [shape=(batch, frames, mels, 1)], from nothing, and places.

        Args:
            features: of the samples.
            seeds: of the samples [shape=(batch, 2), uint32], on which their places may depend.
        """
        return self.path.begin(features, _FIRST, seeds)

    def renew(self, features: tf.Tensor, held: Held, *, last: bool = False) -> Held:
        """Return phases for features that have moved; better ones for the last features."""
        return self.path.refresh(features, held, _LAST if last else _RENEWED)

    def holding(self, held: Held) -> Holding:
        """Return the classifier whose sounds have these phases and places."""
        return Holding(self, held)

    def logits(self, features: tf.Tensor) -> tf.Tensor:
        """Return logits [shape=(batch, words)]; see `Classifier.logits`."""
        return self.holding(self.hold(features)).logits(features)

    def probabilities(self, features: tf.Tensor) -> tf.Tensor:
        """Return probabilities of the words [shape=(batch, words)]."""
        return self.holding(self.hold(features)).probabilities(features)

    def activations(self, features: tf.Tensor, layer: str) -> tf.Tensor:
        """Return the output of the layer called `layer`."""
        return self.holding(self.hold(features)).activations(features, layer)

    def before_activation(self, features: tf.Tensor, layer: str) -> tf.Tensor:
        """Return the input of `rectifier(layer)`; see `Classifier.before_activation`."""
        return self.holding(self.hold(features)).before_activation(features, layer)

    @cached_property
    def rewritten(self) -> SoundClassifier:
        """The same classifier, its network computed by the faster operations of rewrites."""
        other = copy.copy(self)
        other.network = self.network.rewritten
        other.__dict__["rewritten"] = other  # takes the place of the cached property
        return other

    def predict(self, features: np.ndarray, *, block_size: int = BLOCK_SIZE) -> np.ndarray:
        """Return probabilities of features as NumPy [shape=(samples, words)]."""
        return self._predict(self._of_features, np.asarray(features, np.float32), block_size)

    def predict_sounds(
        self,
        sounds: Sequence[np.ndarray],
        *,
        seeds: np.ndarray | None = None,
        block_size: int = BLOCK_SIZE,
    ) -> np.ndarray:
        """Return probabilities of recordings or synthesized sounds, through the front end alone.

        Args:
            sounds: at the front end's sample rate [shape=(any,)], at least one.
            seeds: of synthesized sounds [shape=(sounds, 2), uint32], which are heard at their
                places in a longer window; None for recordings, which the front end brings to its
                length.
            block_size: sounds computed together.

        Returns:
            [shape=(sounds, words)].
        """
        if seeds is not None:
            before = self.path.before(np.asarray(seeds, np.uint32)).numpy()
            sounds = [self._placed(sound, n) for sound, n in zip(sounds, before, strict=True)]
        fitted = np.stack([self.fit(sound) for sound in sounds])
        return self._predict(self._of_sounds, fitted, block_size)

    def fit(self, sound: np.ndarray) -> np.ndarray:
        """Bring a recording at the front end's sample rate to the length that it takes.

        Args:
            sound: [shape=(any,)].

        Returns:
            float32 [shape=(samples,)].
        """
        if (own := getattr(self.frontend, "fit", None)) and self.frontend.samples:
            return own(np.asarray(sound, np.float32))
        return fit(sound, self.path.samples)

    def _placed(self, sound: np.ndarray, before: int) -> np.ndarray:
        """Put a sound that is shorter than the window behind so many samples of silence."""
        after = self.path.samples - before - len(sound)
        return np.pad(sound, (before, after)) if after >= 0 else sound

    def _predict(self, function: Callable, array: np.ndarray, block_size: int) -> np.ndarray:
        self.network.rewritten.refresh()
        with interruptible():
            return in_blocks(function, array, block_size)

    @cached_property
    def _of_features(self) -> Callable:
        return tf.function(self.rewritten.probabilities, reduce_retracing=True, autograph=False)

    @cached_property
    def _of_sounds(self) -> Callable:
        network = self.network.rewritten

        def compute(sounds: tf.Tensor) -> tf.Tensor:
            return network.probabilities(self.frontend(sounds))

        return tf.function(compute, reduce_retracing=True, autograph=False)


def input_given(frontend: Any, spec: FeatureSpec) -> tuple[int | None, ...]:
    """Return the shape of what a front end makes of features' sounds, with None for the batch."""
    samples = SoundPath(spec, frontend).samples
    return (None, *frontend(tf.zeros((1, samples))).shape[1:])


def load_sound_classifier(
    path: str | Path,
    words: Sequence[str],
    frontend: Any,
    spec: FeatureSpec,
    *,
    place: str = "middle",
    trust: bool = False,
    head: str | None = None,
    builder: str | None = None,
    imports: Sequence[str] = (),
) -> SoundClassifier:
    """Open a model file as a classifier behind a front end.

    Args:
        path: of the file or folder.
        words: in the order of the model's outputs.
        frontend: from sound to its input.
        spec: of the priors' features.
        place: where sounds stand in a longer window, see `sound_path.PLACES`.
        trust, builder, imports: see `open_model`.
        head: kind of its head; found out where None.

    Raises:
        ModelError: the file cannot be opened, or model, words and front end do not fit together.
    """
    model = open_model(path, trust=trust, builder=builder, imports=imports)
    given, what = input_given(frontend, spec), f"the model {path}"
    network = Classifier(model, words, shape=given, what=what, head=head)
    return SoundClassifier(network, frontend, spec, place)


class Holding:
    """A SoundClassifier whose sounds have given phases and places, for one step of an ascent."""

    def __init__(self, classifier: SoundClassifier, held: Held):
        self._classifier, self._held = classifier, held
        self._input: tuple[tf.Tensor, tf.Tensor] | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._classifier, name)

    def logits(self, features: tf.Tensor) -> tf.Tensor:
        return self._classifier.network.logits(self._heard(features))

    def probabilities(self, features: tf.Tensor) -> tf.Tensor:
        return self._classifier.network.probabilities(self._heard(features))

    def activations(self, features: tf.Tensor, layer: str) -> tf.Tensor:
        return self._classifier.network.activations(self._heard(features), layer)

    def before_activation(self, features: tf.Tensor, layer: str) -> tf.Tensor:
        return self._classifier.network.before_activation(self._heard(features), layer)

    def _heard(self, features: tf.Tensor) -> tf.Tensor:
        """Return the network's input; it is computed once for the same features."""
        if self._input is None or self._input[0] is not features:
            self._input = features, self._classifier.path(features, self._held)
        return self._input[1]
