"""The loop of gradient ascent, for any classifier, objective and prior.

    z -> prior.decode -> features -> classifier -> objective -> gradient -> z

The gradient of each sample is divided by its root mean square (plus 1e-5, as published), so a step
moves every sample equally far, unless its gradient has vanished. Where it had vanished at the start
and the objective has another one, `steeper`, which grows with it, that one's is used as long.

References:
    Soomro et al., Interspeech 2019, section 3.3, and its code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ..errors import ParameterError
from ..models.blocks import BLOCK_SIZE, pad_block, spans
from ..models.classifier import Classifier
from ..models.rewrites import interruptible
from ..models.sound_classifier import SoundClassifier
from ..output.progress import Advance, Track, quiet
from ..plugins.proxy import is_foreign
from .ascent import OPTIMIZERS, Ascent, Slots
from .blame import Objective, blame_gradient, blame_values, require_gradient

#: Added to the root mean square of a gradient before dividing by it. A gradient smaller than this
#: is damped instead of normalised: the objective is saturated.
STABILIZER = 1e-5
#: Steps after which the phases are renewed that a SoundClassifier holds.
_HELD = 20


@dataclass(frozen=True)
class Maximization:
    """Results of an ascent, sample by sample.

    Attributes:
        start_z, z: latents before and after [shape=(samples, ...)].
        start_features, features: before and after [shape=(samples, frames, mels, 1)].
        scores: objective at each step and at the end [shape=(steps + 1, samples)].
        probabilities: of all words [shape=(steps + 1, samples, words)].
        gradient_rms: root mean square of the gradient at each step [shape=(steps, samples)].
        first_step: first step at which the target was predicted, -1 if never
            [shape=(samples,), int32].
        first_z: the latent at that step; the start where there was none [shape=(samples, ...)].
    """

    start_z: np.ndarray
    z: np.ndarray
    start_features: np.ndarray
    features: np.ndarray
    scores: np.ndarray
    probabilities: np.ndarray
    gradient_rms: np.ndarray
    first_step: np.ndarray
    first_z: np.ndarray


#: Axis of the samples in each array of a Maximization.
_SAMPLE_AXIS = {"scores": 1, "probabilities": 1, "gradient_rms": 1}


def maximize(
    classifier: Classifier,
    objective: Objective,
    prior: Any,
    z: np.ndarray,
    targets: np.ndarray,
    ascent: Ascent | None = None,
    *,
    seeds: np.ndarray | None = None,
    block_size: int = BLOCK_SIZE,
    track: Track = quiet,
) -> Maximization:
    """Maximize an objective from `z`, block by block.

    Args:
        classifier: the one whose output is maximized.
        objective: `objective(classifier, features, targets) -> (batch,)`.
        prior: has `decode`, `step_size` and perhaps `move`.
        z: starts [shape=(samples, ...)], at least one.
        targets: positions of the target words [shape=(samples,)]; -1 where there is none.
        ascent: settings of the loop; the published ones by default.
        seeds: for `move` and transforms [shape=(samples, 2), uint32]; zeros by default.
        block_size: samples computed together; results depend on it in their last bits.
        track: progress of each block, see `keras_listen.output.progress`.

    Raises:
        ParameterError: the objective does not depend on the latent, or gives values that are not
            finite, or shapes do not fit.
        PluginError: a component of a plugin is the reason.
    """
    ascent = ascent or Ascent()
    z, targets = np.asarray(z, np.float32), np.asarray(targets, np.int32)
    seeds = np.zeros((len(z), 2), np.uint32) if seeds is None else np.asarray(seeds, np.uint32)
    if len(z) == 0 or not len(z) == len(targets) == len(seeds):
        raise ParameterError(
            f"got {len(z)} starts, {len(targets)} targets and {len(seeds)} seeds; expected the "
            "same number of each, at least one"
        )
    if hasattr(prior, "for_steps"):
        prior = prior.for_steps(ascent.steps)
    classifier, prior = _rewritten(classifier), _rewritten(prior)
    climber = _climber(_Same(classifier), _Same(objective), _Same(prior), ascent)
    parts = []
    for span in spans(len(z), block_size):
        block = [pad_block(array[span], block_size) for array in (z, targets, seeds)]
        shown = track(total=ascent.steps, label="steps", unit="step")
        with interruptible(), shown as advance:
            parts.append((climber.climb(*block, advance), span.stop - span.start))
    return _join(parts)


def _join(parts: list[tuple[Maximization, int]]) -> Maximization:
    """Cut the padding off each block's results and put them together."""
    joined = {}
    for name in (field.name for field in fields(Maximization)):
        axis = _SAMPLE_AXIS.get(name, 0)
        arrays = [np.take(getattr(m, name), range(count), axis) for m, count in parts]
        joined[name] = np.concatenate(arrays, axis)
    return Maximization(**joined)


def _rewritten(component: Any) -> Any:
    """Return the faster equivalent of a component, where it offers one."""
    component = getattr(component, "rewritten", component)
    if refresh := getattr(component, "refresh", None):
        refresh()
    return component


class _Seen:
    """A classifier that computes each output for a tensor once while a step is traced."""

    def __init__(self, classifier: Classifier):
        self._classifier = classifier
        self._outputs: dict[Any, Any] = {}

    def _once(self, name: str, features: tf.Tensor, *rest: Any) -> tf.Tensor:
        key = (name, id(features), *rest)
        if key not in self._outputs:
            # The tensor is kept as well, so that its id cannot be given to another.
            result = getattr(self._classifier, name)(features, *rest)
            self._outputs[key] = (result, features)
        return self._outputs[key][0]

    def logits(self, features: tf.Tensor) -> tf.Tensor:
        return self._once("logits", features)

    def probabilities(self, features: tf.Tensor) -> tf.Tensor:
        if not self._classifier.has_logits:
            return self._once("probabilities", features)
        key = ("activate", id(features))
        if key not in self._outputs:
            self._outputs[key] = (self._classifier.activate(self.logits(features)), features)
        return self._outputs[key][0]

    def activations(self, features: tf.Tensor, layer: str) -> tf.Tensor:
        return self._once("activations", features, layer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._classifier, name)


class _Same:
    """An object as the key of a cache, compared by identity whatever its own `__eq__`."""

    def __init__(self, value: Any):
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value


class _AscentState(NamedTuple):
    """State that an ascent carries from step to step, beside the latents.

    Attributes:
        slots: memory of the optimizer.
        best: largest values so far and the latents that had them.
        first: first step at which the target was predicted, -1 before, and the latents there.
        saturated: samples whose gradient had vanished at the start.
    """

    slots: Slots
    best: tuple[tf.Tensor, tf.Tensor]
    first: tuple[tf.Tensor, tf.Tensor]
    saturated: tf.Tensor


@lru_cache(maxsize=16)
def _climber(classifier: _Same, objective: _Same, prior: _Same, ascent: Ascent) -> _Climber:
    """Return the climber of these components; its graphs are traced once and kept."""
    return _Climber(classifier.value, objective.value, prior.value, ascent)


class _Climber:
    """The ascent of one block at a time, as compiled functions.

    AutoGraph is off, so that our errors leave the graphs as they were raised.
    """

    def __init__(self, classifier: Classifier, objective: Objective, prior: Any, ascent: Ascent):
        self._classifier, self._objective, self._prior = classifier, objective, prior
        self._ascent = ascent
        self._step_size = prior.step_size if ascent.step_size is None else ascent.step_size
        self._slots_of, self._direction = OPTIMIZERS[ascent.optimizer]
        self._foreign = is_foreign(objective) or is_foreign(prior)
        self._decode = tf.function(lambda z: prior.decode(z), autograph=False)
        self._look = tf.function(self._look_once, autograph=False)
        self._step = tf.function(self._step_once, autograph=False)
        self._hold = tf.function(
            lambda z, seeds: classifier.hold(prior.decode(z), seeds), autograph=False
        )
        self._renew = tf.function(
            lambda z, held, last: classifier.renew(prior.decode(z), held, last=last),
            autograph=False,
        )

    def climb(
        self, z: np.ndarray, targets: np.ndarray, seeds: np.ndarray, advance: Advance
    ) -> Maximization:
        """Climb a padded block, and blame the component whose values are not finite.

        Raises:
            ParameterError, PluginError: values are not finite, or a plugin failed inside a graph.
        """
        block = tf.constant(z), tf.constant(targets), tf.constant(seeds)
        try:
            found = self._ascend(*block, advance)
        except tf.errors.OpError as error:
            # Code of a plugin may run within TensorFlow, whose errors do not name plugins.
            ours = not self._foreign or "KeyboardInterrupt" in str(error)
            if not ours and (blamed := self._blame(*block)):
                raise blamed from None
            raise
        # Scores may be finite where features are not: after a rectifier, for instance.
        if not all(np.isfinite(a).all() for a in (found.scores, found.z, found.features)):
            raise self._blame(*block) or ParameterError(
                "the objective gave values that are not finite; check the classifier with "
                "keras-listen doctor, or take smaller steps"
            )
        if self._foreign and self._ascent.steps and not found.gradient_rms.any():
            require_gradient(self._classifier, self._objective, self._prior, *block[:2])
        return found

    def _ascend(
        self, z: tf.Tensor, targets: tf.Tensor, seeds: tf.Tensor, advance: Advance
    ) -> Maximization:
        """Take all steps of a block and compute its values at the end."""
        ascent, start_features = self._ascent, self._decode(z)
        start_z, state, curve = z, self._begin(z), []
        held = self._held(z, None, seeds)
        for number in range(ascent.steps):
            if number and number % _HELD == 0:
                held = self._held(z, held, seeds)
            z, *seen, state = self._step(z, targets, seeds, tf.constant(number), state, held)
            curve.append(seen)
            advance()
        held = self._held(z, held, seeds, last=True)
        features, values, probabilities = self._look(z, targets, held)
        reached = self._are_reached(probabilities, targets)
        first = _first_reached(state.first, reached, z, tf.constant(ascent.steps))
        if ascent.keep_best:
            _, z = _better(state.best, values, z)
            held = self._held(z, held, seeds, last=True)
            features, values, probabilities = self._look(z, targets, held)
        return Maximization(
            start_z.numpy(),
            z.numpy(),
            start_features.numpy(),
            features.numpy(),
            _stack([c[0] for c in curve] + [values]),
            _stack([c[1] for c in curve] + [probabilities]),
            _stack([c[2] for c in curve]) if curve else np.zeros((0, len(targets)), np.float32),
            first[0].numpy(),
            first[1].numpy(),
        )

    def _begin(self, z: tf.Tensor) -> _AscentState:
        """Return the state before the first step."""
        count = z.shape[0]
        best = tf.fill([count], -np.inf), z
        first = tf.fill([count], -1), z
        return _AscentState(self._slots_of(z), best, first, tf.fill([count], False))

    def _held(self, z: tf.Tensor, held: Any, seeds: tf.Tensor, *, last: bool = False) -> Any:
        """Return what the classifier holds constant from here on: phases and places, or nothing."""
        if not isinstance(self._classifier, SoundClassifier):
            return ()
        return self._hold(z, seeds) if held is None else self._renew(z, held, last)

    def _moved(self, held: Any, number: tf.Tensor, seeds: tf.Tensor) -> Any:
        """Return what is held as the transforms of a step move it, along with the features."""
        for transform in self._ascent.transforms if held else ():
            if hasattr(transform, "move_phases"):
                held = held._replace(phase=transform.move_phases(held.phase, number, seeds))
        return held

    def _listener(self, held: Any) -> Any:
        """Return the classifier as the objective sees it in one step."""
        return _Seen(self._classifier.holding(held) if held else self._classifier)

    def _look_once(
        self, z: tf.Tensor, targets: tf.Tensor, held: Any
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return features, values of the objective, and probabilities at `z`."""
        seen = self._listener(held)
        features = self._prior.decode(z)
        return features, self._objective(seen, features, targets), seen.probabilities(features)

    def _step_once(
        self,
        z: tf.Tensor,
        targets: tf.Tensor,
        seeds: tf.Tensor,
        number: tf.Tensor,
        state: _AscentState,
        held: Any = (),
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, _AscentState]:
        """Take one step.

        Returns:
            the latents after it; values, probabilities, and root mean square of the gradient at
            those before it; the state.
        """
        ascent, prior = self._ascent, self._prior
        seen = self._listener(self._moved(held, number, seeds))

        def decoded(z: tf.Tensor) -> tf.Tensor:
            features = prior.decode(z)
            for transform in ascent.transforms:
                features = transform(features, number, seeds)
            return features

        with tf.GradientTape() as tape:
            tape.watch(z)
            features = decoded(z)
            values = self._objective(seen, features, targets)
        gradient = tape.gradient(values, z)
        if gradient is None:
            raise blame_gradient(self._classifier, self._objective, prior, features, targets)
        probabilities = seen.probabilities(features)
        rms, gradient = _normalise(gradient)
        saturated = tf.where(number == 0, tf.reshape(rms < STABILIZER, [-1]), state.saturated)
        if hasattr(self._objective, "steeper"):
            stuck = saturated & tf.reshape(rms < STABILIZER, [-1]) & (values < 0.5)
            # Traced apart, so nothing that `seen` has computed may be used.
            again = self._listener(self._moved(held, number, seeds))
            gradient = self._steepened(
                gradient, stuck, z, lambda z: self._objective.steeper(again, decoded(z), targets)
            )
        change, slots = self._direction(gradient, state.slots, number)
        change *= self._step_size
        move = prior.move(z, step=number, seeds=seeds) if hasattr(prior, "move") else None
        # A way of a fixed number of steps is gone to its end, or noise would stay.
        to_end = hasattr(prior, "for_steps")
        if move is not None and not to_end:
            change += move
        if ascent.stop_at is not None:
            change *= _column(_of_target(probabilities, targets) < ascent.stop_at, z)
        if move is not None and to_end:
            change += move
        best = _better(state.best, values, z) if ascent.keep_best else state.best
        reached = self._are_reached(probabilities, targets)
        first = _first_reached(state.first, reached, z, number)
        state = _AscentState(slots, best, first, saturated)
        return z + change, values, probabilities, tf.reshape(rms, [-1]), state

    def _steepened(
        self, gradient: tf.Tensor, stuck: tf.Tensor, z: tf.Tensor, steeper: Callable
    ) -> tf.Tensor:
        """Replace the normalised gradients of samples that are stuck by those of `steeper(z)`."""

        def replaced() -> tf.Tensor:
            with tf.GradientTape() as tape:
                tape.watch(z)
                values = steeper(z)
            other = _normalise(tape.gradient(values, z))[1]
            return tf.where(_column(stuck, z) > 0, other, gradient)

        # Most blocks have none, and a second gradient would take as long as the first.
        return tf.cond(tf.reduce_any(stuck), replaced, lambda: gradient)

    def _are_reached(self, probabilities: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Return which targets are predicted [shape=(batch,), bool]; where there is none, none."""
        # Of a model with a sigmoid for each word, -1 also stands for no predicted word.
        return (self._classifier.decide(probabilities) == targets) & (targets >= 0)

    def _blame(self, z: tf.Tensor, targets: tf.Tensor, seeds: tf.Tensor) -> Exception | None:
        """Return the error for the component that fails or gives values that are not finite."""
        state = self._begin(z)

        def advance(z: tf.Tensor, number: int) -> tf.Tensor:
            nonlocal state
            z, _, _, _, state = self._step(z, targets, seeds, tf.constant(number), state)
            return z

        known = self._classifier, self._objective, self._prior
        return blame_values(*known, advance, z, targets, seeds, self._ascent.steps)


def _stack(tensors: list[tf.Tensor]) -> np.ndarray:
    return np.stack([tensor.numpy() for tensor in tensors])


def _inner_axes(z: tf.Tensor) -> list[int]:
    return list(range(1, len(z.shape)))


def _normalise(gradient: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return each sample's root mean square, and the gradient divided by it, or damped."""
    rms = tf.sqrt(tf.reduce_mean(tf.square(gradient), _inner_axes(gradient), keepdims=True))
    return rms, gradient / (rms + STABILIZER)


def _column(mask: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
    """Shape a mask of samples so that it multiplies latents."""
    return tf.reshape(tf.cast(mask, z.dtype), [-1] + [1] * len(_inner_axes(z)))


def _of_target(probabilities: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Return the target's probability, 0 where there is no target."""
    found = tf.gather(probabilities, tf.maximum(targets, 0), batch_dims=1)
    return tf.where(targets < 0, 0.0, found)


def _better(
    best: tuple[tf.Tensor, tf.Tensor], values: tf.Tensor, z: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Keep, for each sample, the z with the largest value so far."""
    best_values, best_z = best
    improved = _column(values > best_values, z)
    return tf.maximum(values, best_values), tf.where(improved > 0, z, best_z)


def _first_reached(
    first: tuple[tf.Tensor, tf.Tensor], reached: tf.Tensor, z: tf.Tensor, number: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Keep, for each sample, the first step and z at which the target is predicted."""
    first_step, first_z = first
    now = reached & (first_step < 0)

    def keep() -> tf.Tensor:
        return tf.where(_column(now, z) > 0, z, first_z)

    # Latents are large, and at most steps no sample succeeds for the first time.
    return tf.where(now, number, first_step), tf.cond(tf.reduce_any(now), keep, lambda: first_z)
