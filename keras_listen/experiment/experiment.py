"""Resolve components, maximize samples in blocks, synthesize and classify the sounds again.

Shared by `run` and all other commands that maximize many samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import ListenError, Unavailable
from ..features import LENGTH_FIELDS, FeatureSpec, extract_fitted
from ..maximization.ascent import Ascent
from ..maximization.blame import require_usable
from ..maximization.engine import STABILIZER, Maximization, maximize
from ..maximization.settings import AscentSettings
from ..models.blocks import BLOCK_SIZE, in_blocks
from ..models.bundle import Bundle
from ..models.classifier import Classifier
from ..models.sound_classifier import SoundClassifier
from ..models.speech import SpeechPrototypes, find_speech
from ..output.progress import Track, quiet
from ..plugins import Component, Registry, default_registry
from ..plugins.presets import OPTIONS
from ..plugins.proxy import fault
from ..seeds import derive
from ..vocoders.pitch import Pitch, control_of
from ..vocoders.synthesis import synthesize
from ..vocoders.voicing import voiced_share
from .chosen_model import ChosenModel, chosen_model
from .component_options import Options, options_in_use
from .hearing import predict_sounds
from .options import open_models
from .presets import entry_of, silent_preset
from .samples import Sample, slug, unique_samples
from .settings import ModelChoice

#: Tolerance by which a bounded prior's features may exceed [0, 1].
_ROUNDING = 1e-4


@dataclass(frozen=True)
class Block:
    """Results of one block of samples, in their order.

    Attributes:
        samples: those of the block.
        maximization: results of the ascent.
        referee: probabilities [shape=(samples, words)], or None without a referee.
        clipped: features in [0, 1], as they went to the vocoder [shape=(samples, frames, mels)].
        clipped_probabilities: of the classifier on them [shape=(samples, words)].
        sounds: float32, scaled to at most 1 [shape=(samples, length)], or None without a vocoder.
        gains: factors applied to the sounds [shape=(samples,)], or None.
        cycle: probabilities of the sounds' own features [shape=(samples, words)], or None.
        referee_cycle: of the referee on the features of the sounds, where the classifier hears
            through a front end; else None.
        pitch: that the vocoder gave each sound, or None where it does nothing about it.
        voiced: share of voiced frames of each sound [shape=(samples,)], or None.
        judged: by name of a judge: its probabilities of the features [shape=(samples, its words)].
    """

    samples: tuple[Sample, ...]
    maximization: Maximization
    referee: np.ndarray | None
    clipped: np.ndarray
    clipped_probabilities: np.ndarray
    sounds: np.ndarray | None = None
    gains: np.ndarray | None = None
    cycle: np.ndarray | None = None
    referee_cycle: np.ndarray | None = None
    pitch: tuple[Pitch, ...] | None = None
    voiced: np.ndarray | None = None
    judged: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """Resolved components, ready to maximize samples.

    Attributes:
        bundle: of the models.
        classifier: the one whose output is maximized.
        referee: separately trained classifier, or None.
        prior, objective, vocoder: see hookspecs; the vocoder may be None.
        ascent: settings of the engine's loop.
        seed: of the run.
        block_size: samples computed together.
        components: the registered components in use, by kind.
        notes: fallbacks and the like, for manifest and user.
        speech: real speech of the words, or None.
        speech_note: why there is none, for the user.
        judges: further classifiers that say which words they hear, by name.
    """

    bundle: Bundle
    classifier: Classifier
    referee: Classifier | None
    prior: Any
    objective: Any
    vocoder: Any
    ascent: Ascent
    seed: int = 0
    block_size: int = BLOCK_SIZE
    components: Mapping[str, Component] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    speech: SpeechPrototypes | None = None
    speech_note: str | None = None
    judges: Mapping[str, Classifier] = field(default_factory=dict)

    @property
    def uses_targets(self) -> bool:
        """Whether samples have a target word."""
        return getattr(self.objective, "uses_targets", True)

    def noise_samples(self, words: Sequence[str], count: int) -> list[Sample]:
        """Plan `count` noise starts for each word, or for the objective's own label."""
        names = list(words) if self.uses_targets else [self.objective.label]
        return unique_samples(
            Sample(f"{slug(name)}-{k:03d}", name if self.uses_targets else "", "noise", k)
            for name in names
            for k in range(count)
        )

    def compute(
        self,
        samples: Sequence[Sample],
        starts: np.ndarray | None = None,
        *,
        track: Track = quiet,
    ) -> Block:
        """Maximize one block of samples.

        Args:
            samples: at most `block_size` of them.
            starts: features to start from [shape=(samples, frames, mels)]; noise where None.
            track: progress of ascent and vocoder, see `keras_listen.output.progress`.
        """
        targets = np.array(
            [self.classifier.label(s.word) if s.word else -1 for s in samples], np.int32
        )
        seeds = self._seeds(samples)
        if starts is None:
            z = self.prior.start(targets, seeds)
        else:
            z = self.in_blocks(self.prior.encode, starts[..., None])
        result = maximize(
            self.classifier,
            self.objective,
            self.prior,
            z,
            targets,
            self.ascent,
            seeds=seeds,
            block_size=self.block_size,
            track=track,
        )
        clipped = np.clip(result.features[..., 0], 0.0, 1.0)
        # Clipping does not change the features of a bounded prior.
        probabilities = result.probabilities[-1]
        if self.prior.bounded:
            _require_bounded(self.prior, result.features)
        else:
            probabilities = self._predict(self.classifier, clipped[..., None])
        block = {
            "referee": self.referee and self._predict(self.referee, result.features),
            "clipped": clipped,
            "clipped_probabilities": probabilities,
            "judged": {n: self._predict(c, result.features) for n, c in self.judges.items()},
        }
        if self.vocoder is not None:
            block |= self.speak(samples, clipped, track=track)
        return Block(tuple(samples), result, **block)

    def measure_distances(self, words: Sequence[str], features: np.ndarray) -> np.ndarray:
        """Return distances to real speech of the words, in dB, NaN where it is not known.

        Not a part of `compute`, since few commands tell them.

        Args:
            words: of the samples.
            features: [shape=(samples, frames, mels), in [0, 1]].
        """
        if self.speech is None:
            return np.full(len(features), np.nan, np.float32)
        return self.speech.distances(features, words)

    def _seeds(self, samples: Sequence[Sample]) -> np.ndarray:
        return np.stack([derive(self.seed, s.word, s.k) for s in samples])

    def _predict(self, classifier: Classifier, features: np.ndarray) -> np.ndarray:
        return classifier.predict(features, block_size=self.block_size)

    def in_blocks(self, function: Callable[[np.ndarray], Any], array: np.ndarray) -> np.ndarray:
        """Compute a function of the prior's, such as `encode`, block by block."""
        return in_blocks(lambda block: np.asarray(function(block)), array, self.block_size)

    def speak(
        self, samples: Sequence[Sample], clipped: np.ndarray, *, track: Track = quiet
    ) -> dict[str, Any]:
        """Synthesize features, scale down loud sounds, and classify the sounds' own features.

        Args:
            samples: those of the features.
            clipped: features [shape=(samples, frames, mels), in [0, 1]].
            track: progress, see `keras_listen.output.progress`.

        Returns:
            sounds, gains, voiced, cycle and perhaps pitch and referee_cycle, as in `Block`.
        """
        seeds = self._seeds(samples)
        sounds, gains = synthesize(self.vocoder, clipped, seeds, track)
        again = np.stack([extract_fitted(sound, self.classifier.spec) for sound in sounds])
        heard: dict[str, Any] = {"sounds": sounds, "gains": gains}
        rate = self.classifier.spec.sample_rate
        heard["voiced"] = np.array([voiced_share(sound, rate) for sound in sounds])
        if control := control_of(self.vocoder):
            heard["pitch"] = tuple(control.find(each) for each in clipped)
        if not isinstance(self.classifier, SoundClassifier):
            return heard | {"cycle": self._predict(self.classifier, again[..., None])}
        size = self.block_size
        heard["cycle"] = predict_sounds(self.classifier, sounds, rate, seeds=seeds, block_size=size)
        if self.referee is not None:
            heard["referee_cycle"] = self._predict(self.referee, again[..., None])
        return heard


def _require_bounded(prior: Any, features: np.ndarray) -> None:
    """Make sure that the features of a bounded prior lie in [0, 1], but for rounding."""
    low, high = features.min(), features.max()
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise fault(
            prior,
            "the prior",
            f"decoded features from {low:.3g} to {high:.3g}, and says that they are bounded; make "
            "them lie in [0, 1], or let `bounded` be False",
        )


def resolve(
    models: ModelChoice | Bundle,
    *,
    prior: str = "ae",
    objective: str = "softmax",
    vocoder: str = "wavenet",
    ascent: AscentSettings | None = None,
    preset: str | None = None,
    options: Options | None = None,
    seed: int = 0,
    block_size: int = BLOCK_SIZE,
    registry: Registry | None = None,
) -> Experiment:
    """Open the models, unless they are open, and make the components.

    Args:
        models: to open, or an open bundle.
        prior, objective, vocoder: names; the vocoder may be "none".
        ascent: settings of the ascent; the published ones by default.
        preset: that `ascent` and `options` were made with, see `experiment.presets.with_preset`;
            here it only matters for a fallback, and for a note where it says nothing of the prior.
        options: of the components, see `experiment.component_options.parse_options`.
        seed: of everything random.
        block_size: samples computed together.
        registry: where names are looked up; that of all plugins by default.

    Raises:
        ListenError: a name is unknown, a model does not fit, or two components were made for
            different features.
    """
    registry = registry or default_registry()
    names = {"prior": prior, "objective": objective, "vocoder": vocoder}
    found = {k: registry.find(k, n) for k, n in names.items() if (k, n) != ("vocoder", "none")}
    chosen = chosen_model(models) if isinstance(models, ModelChoice) else None
    given, front = options or {}, frontend_of(models if isinstance(models, Bundle) else chosen)
    options = options_in_use(given, found | front)
    for kind, component in found.items():
        component.convert_options(options.get(kind, {}))
    bundle = models if isinstance(models, Bundle) else open_models(models, given, chosen)
    notes: list[str] = []
    made: dict[str, Any] = {"vocoder": None}
    if why := silent_preset(preset, found["prior"]):
        notes.append(why)
    for kind in tuple(found):
        made[kind], found[kind] = _make(registry, found[kind], bundle, options, notes, preset)
    notes += getattr(made["prior"], "notes", ())
    classifier: Classifier | SoundClassifier = bundle.classifier
    notes += classifier.notes
    if classifier.origin and classifier.origin.note:
        notes.append(classifier.origin.note)
    require_usable(classifier, gradient=getattr(made["objective"], "uses_targets", True))
    _require_spec("prior", made["prior"])
    classifier.spec.require(made["prior"].spec, f"the {found['prior'].described}")
    if made["vocoder"] is not None:
        _require_spec("vocoder", made["vocoder"])
        what = f"the {found['vocoder'].described}"
        classifier.spec.require(made["vocoder"].spec, what, ignore=LENGTH_FIELDS)
    speech, speech_note = find_speech(bundle, classifier.spec)
    return Experiment(
        bundle=bundle,
        classifier=classifier,
        referee=_fitting_referee(bundle, classifier, notes),
        **made,
        ascent=Ascent.from_settings(ascent or AscentSettings(), classifier.spec),
        seed=seed,
        block_size=block_size,
        components=found | front,
        notes=tuple(notes),
        speech=speech,
        speech_note=speech_note,
    )


def frontend_of(models: ChosenModel | Bundle | None) -> dict[str, Component]:
    """Return the front end of a classifier, by its kind, if it has one.

    Args:
        models: the classifier's description, None for a bundle's own; or an open bundle.
    """
    component = None
    if isinstance(models, ChosenModel):
        component = models.frontend_component()
    elif models is not None and isinstance(models.classifier, SoundClassifier):
        component = models.classifier.frontend.watched_component
    return {} if component is None else {"frontend": component}


def make_vocoder(
    bundle: Bundle, name: str, options: Options, registry: Registry | None = None
) -> tuple[Any, list[str]]:
    """Make a vocoder, or its fallback, and return it with notes for the user.

    Args:
        bundle: of its weights.
        name: of the vocoder.
        options: of the vocoder.
        registry: where the name is looked up; that of all plugins by default.

    Raises:
        ListenError: the name or an option is unknown, or the bundle is damaged.
    """
    registry = registry or default_registry()
    component = registry.find("vocoder", name)
    mine = options_in_use(options, {"vocoder": component})
    component.convert_options(mine.get("vocoder", {}))
    notes: list[str] = []
    made, _ = _make(registry, component, bundle, mine, notes)
    _require_spec("vocoder", made)
    return made, notes


def _require_spec(kind: str, made: Any) -> None:
    """Make sure that a component has the FeatureSpec it was made for."""
    if not isinstance(made.spec, FeatureSpec):
        text = f"has the spec {made.spec!r}; expected a FeatureSpec, such as bundle.spec"
        raise fault(made, f"the {kind}", text)


def _make(
    registry: Registry,
    component: Component,
    bundle: Bundle,
    options: Mapping,
    notes: list[str],
    preset: str | None = None,
) -> tuple[Any, Component]:
    """Create a component, or its fallback with a note and with the preset's options for it.

    Raises:
        Unavailable: neither can be made.
    """
    try:
        return component.create(bundle, options.get(component.kind)), component
    except Unavailable as error:
        if error.fallback is None:
            raise
        note = f"{error}; falling back to {error.fallback}"
        notes.append(note)
        try:
            fallback = registry.find(component.kind, error.fallback)
            theirs = (entry_of(preset, fallback) or {}) if preset else {}
            return fallback.create(bundle, theirs.get(OPTIONS)), fallback
        except ListenError as other:
            raise Unavailable(f"{note} failed: {other}") from other


def _fitting_referee(bundle: Bundle, classifier: Classifier, notes: list[str]) -> Classifier | None:
    """Return the bundle's referee if it has the classifier's features and one of its words."""
    referee = bundle.referee
    if referee is None:
        return None
    if not classifier.spec.differing(referee.spec):
        shared = set(classifier.words) & set(referee.words)
        if unshared := sorted(set(classifier.words) - shared):
            notes.append(
                f"the bundle's referee does not know {', '.join(unshared)}; samples of "
                f"{'it' if len(unshared) == 1 else 'them'} count for no transfer"
            )
        return referee if shared else None
    notes.append("the bundle's referee was made for other features and does not judge")
    return None


def saturated(maximization: Maximization) -> np.ndarray:
    """Return the mask of samples whose gradient had vanished at the start [shape=(samples,), bool].

    Below the engine's stabilizer a gradient is damped instead of normalised, and the sample hardly
    moves.
    """
    if not len(maximization.gradient_rms):
        return np.zeros(maximization.scores.shape[1], bool)
    return maximization.gradient_rms[0] < STABILIZER
