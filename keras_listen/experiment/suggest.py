"""Find the front end of a model by trying many on recordings: `doctor --suggest`.

Candidates of many kinds that fit the model's input hear a few recordings of each word. The best are
changed in one respect after the other, as long as they hear more; then the best of all hear more
recordings.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ..errors import ListenError, ModelError, ParameterError
from ..models.blocks import BLOCK_SIZE
from ..models.classifier import Classifier, average_problem
from ..models.formats.keras_file import open_model
from ..models.frontends.front_end import FrontEnd
from ..models.frontends.sound import fit
from ..output.progress import Track, quiet
from ..plugins import default_registry
from .candidates import Candidate, Form, dimensions_of, forms_of, seeds_of
from .check import checked_table
from .chosen_model import ChosenModel
from .doctor import PER_WORD, described_model
from .hearing import Hearing, counted, read_sounds, sorted_recordings, spaced
from .listen_file import require_new, write_listen_file
from .options import averages_first
from .settings import ModelChoice

#: Recordings of each word for the search, candidates that are improved, and those heard at the end.
_FEW, _IMPROVED, _FINAL = 4, 3, 6
#: Accuracy with which no further candidate is improved.
_ENOUGH = 0.8
#: Standard errors by which a change must help, as many are tried; and those of a test at 5 %.
_HELPS, _POINT = 2.5, 1.96
#: Recordings for the search at most, of all words.
_MOST = 64
#: Times that each respect of the best candidate is changed.
_ROUNDS = 2
#: Settings on which a spectrum depends.
_OF_SPECTRUM = (
    *("sample_rate", "length", "align", "level", "gain", "remove_mean", "pre_emphasis"),
    *("frame", "step", "transform", "window", "place", "padding", "pad_mode", "frame_mean"),
    *("frame_emphasis", "power", "scaling", "dft", "one_sided"),
)
#: Spectra kept for other candidates.
_KEPT = 12


@dataclass(frozen=True)
class Trial:
    """How well a model hears recordings through a candidate.

    Attributes:
        candidate: the front end.
        right: whether each recording was heard correctly [shape=(recordings,), bool].
        heard: see `Hearing`.
        logs: logarithm of each right word's probability [shape=(recordings,)], at least ln 0.001.
    """

    candidate: Candidate
    right: np.ndarray
    heard: Hearing
    logs: np.ndarray

    @property
    def name(self) -> str:
        """Name of the front end."""
        return self.candidate.name

    @property
    def accuracy(self) -> float:
        """Mean over the words of the share that is heard correctly, 0 to 1."""
        return self.heard.accuracy

    @property
    def changed_text(self) -> str:
        """The settings that are changed, as on a command line."""
        return " ".join(f"{k}={_shown(v)}" for k, v in self.candidate.changed) or "as they are"

    @property
    def merit(self) -> tuple[float, float]:
        """What trials are ranked by."""
        return self.accuracy, float(self.logs.mean())

    def gain(self, other: Trial) -> float:
        """Return by how much this trial is surer than another of the same recordings.

        Returns:
            the mean difference of the logarithms, in its standard errors.
        """
        differences = self.logs - other.logs
        error = differences.std() / math.sqrt(differences.size)
        return float(differences.mean() / max(error, 1e-6))

    def ties(self, other: Trial) -> bool:
        """Return whether this trial may be worse than another by chance only, at 5 %.

        By McNemar's test, of recordings that only one of the two hears, and where fewer are heard
        by `gain`, too.
        """
        mine, theirs = (
            int((self.right & ~other.right).sum()),
            int((other.right & ~self.right).sum()),
        )
        by_chance = theirs - mine <= _POINT * math.sqrt(mine + theirs)
        as_sure = self.accuracy >= other.accuracy or other.gain(self) <= _POINT
        return by_chance and as_sure


@dataclass(frozen=True)
class Suggestion:
    """The result of `suggest`.

    Attributes:
        ranked: the best trials, by accuracy.
        best: the one that was chosen; None where none hears the words.
        notes: what should be known of the choice, a line each.
        written: the `listen.toml`; None where none hears the words.
    """

    ranked: list[Trial]
    best: Trial | None
    notes: tuple[str, ...]
    written: Path | None


def suggest(
    choice: ModelChoice,
    *,
    audio: Sequence[str | Path],
    options: Iterable[str] | Mapping[str, Any] = (),
    per_word: int = PER_WORD,
    reader: str = "soundfile",
    write: str | Path | None = None,
    track: Track = quiet,
) -> Suggestion:
    """Try front ends for a model on recordings, and write a `listen.toml` with the best one.

    Args:
        choice: of the user, with a classifier; its front end, if it has one, is tried too.
        audio: recordings, see `hearing.recordings_by_word`.
        options: see `doctor.described_model`.
        per_word: so many recordings of each word at most.
        reader: name of the reader of recordings.
        write: the new file; `listen.toml` where None.
        track: progress, see `keras_listen.output.progress`.

    Raises:
        ListenError: an argument cannot be used, the model cannot be opened, or there are no
            recordings of two of its words.
    """
    target = Path(write or "listen.toml")
    require_new(target)
    model = described_model(choice, options=options)
    with averages_first(model, trust=choice.trust_model):
        if not audio:
            raise ParameterError("--suggest tries front ends on recordings; give some with --audio")
        network = _open(model, trust=choice.trust_model)
        recordings, _ = sorted_recordings(audio, network.words, most=per_word)
    # Of many front ends one is right by luck: others recordings than those that it was chosen by
    # tell whether it was.
    kept = {word: paths[1::2] for word, paths in recordings.items() if len(paths) > 1}
    if len(kept) < 2:
        raise ParameterError(
            "--suggest needs two recordings of two words at least: it chooses by half of them and "
            "checks with the others; give more recordings"
        )
    search = Search(network, {word: paths[::2] for word, paths in recordings.items()}, reader)
    ranked = search.run(model, track)
    best, notes = _chosen(ranked)
    if best is None:
        return Suggestion(ranked, None, notes, None)
    heard = search.check(best, kept)
    if not (heard.is_heard and heard.is_no_luck):
        note = (
            f"no front end hears the words: {best.name} is the best on the recordings it was "
            f"chosen by ({100 * best.accuracy:.1f} %), but of others {heard}, which may be luck; "
            "the words or their order are wrong, the recordings too few, or the model has a front "
            "end that was not tried: set it with --frontend"
        )
        return Suggestion(ranked, None, (note,), None)
    notes = (*notes, f"checked: {heard}, none of which it was chosen by")
    notes += _never_heard(best.heard, heard)
    # The project's own features need no front end: priors decode them directly.
    own = best.candidate == Candidate("features")
    found = dataclasses.replace(
        model,
        spec=None,
        frontend=None if own else best.name,
        settings=best.candidate.settings,
    )
    write_listen_file(target, found, checked_table(found, heard))
    return Suggestion(ranked, best, notes, target)


def _open(model: ChosenModel, *, trust: bool) -> Classifier:
    """Open a model as a classifier on whatever input it has."""
    network = open_model(model.path, trust=trust, builder=model.builder, imports=model.imports)
    shape, outputs = getattr(network, "input_shape", None), network.output_shape
    if isinstance(shape, tuple) and (problem := average_problem(shape)):
        raise ModelError(f"the model {model.path}: {problem}")
    if model.words is None and isinstance(outputs, tuple) and len(outputs) == 2:
        lines = max(2, outputs[1])
        raise ModelError(
            f"the model {model.path} has {outputs[1]} outputs, but no words were given; give a "
            f"words file of {lines} lines with --words-file, one word a line, in the order of the "
            "outputs"
        )
    words, what = model.require_words(), f"the model {model.path}"
    return Classifier(network, words, shape=shape, what=what, head=model.head)


class Search:
    """Trials of one model on the same recordings.

    Args:
        network: the model.
        recordings: by word.
        reader: name of the reader of recordings.
    """

    def __init__(self, network: Classifier, recordings: Mapping[str, Sequence[Path]], reader: str):
        self.network, self._reader = network, reader
        few = max(2, min(_FEW, _MOST // len(recordings)))
        self._few = Heard({word: spaced(paths, few) for word, paths in recordings.items()}, reader)
        self._all = Heard(recordings, reader)
        self._spectra: OrderedDict[tuple, tf.Tensor] = OrderedDict()
        self._trials: dict[Candidate, Trial | None] = {}

    @cached_property
    def forms(self) -> list[Form]:
        """The ways to read the model's input.

        Raises:
            ModelError: there is none.
        """
        shape = self.network.model.input_shape
        if forms := forms_of(shape[1:]):
            return forms
        raise ModelError(
            f"{self.network.what} takes input of shape {tuple(shape)}, which no front end gives; "
            "use a model on frames over time, or on the waveform"
        )

    def run(self, model: ChosenModel, track: Track) -> list[Trial]:
        """Try candidates, and return the best by their accuracy on all recordings.

        Raises:
            CorpusError: recordings of fewer than two words can be read.

        Args:
            model: whose front end is tried too.
            track: progress.
        """
        # Fails here where nothing can be read, and not in every trial.
        self._few.sounds(16000, 1, "start")
        origin: dict[Candidate, Form] = {}
        for form in self.forms:
            for seed in seeds_of(form):
                origin.setdefault(seed, form)
        seeds = [*origin, *self._others(model)]
        with track(total=len(seeds), label="front ends", unit="front ends") as advance:
            for seed in seeds:
                self.attempt(seed)
                advance()
        best = self._best(seeds, _IMPROVED)
        with track(total=len(best), label="settings", unit="front ends") as advance:
            for trial in best:
                form = origin.get(trial.candidate)
                heard = self._best(self._trials, 1)[0].accuracy
                if form and (trial is best[0] or heard < _ENOUGH):
                    self._improve(trial, form)
                advance()
        if not (final := self._best(self._trials, _FINAL)):
            raise ModelError(
                f"{self.network.what} takes input of shape {self.network.model.input_shape}, which "
                "no front end that is tried gives; set one with --frontend"
            )
        # A preset that was merely not the best of a few recordings may be the plainest.
        plain = [self._trials[c] for c in self._trials if not c.changed and self._trials[c]]
        hopeful = [trial for trial in plain if trial.ties(final[0]) and trial not in final]
        ranked = [self._hear(trial.candidate, self._all) for trial in [*final, *hopeful]]
        return sorted(filter(None, ranked), key=lambda trial: trial.merit, reverse=True)

    def check(self, trial: Trial, recordings: Mapping[str, Sequence[Path]]) -> Hearing:
        """Return what is heard of other recordings through the front end of a trial."""
        self._spectra.clear()
        return self._hear(trial.candidate, Heard(recordings, self._reader)).heard

    def attempt(self, candidate: Candidate) -> Trial | None:
        """Try a candidate on a few recordings; None if it does not fit. It is tried once."""
        if candidate not in self._trials:
            self._trials[candidate] = self._hear(candidate, self._few)
        return self._trials[candidate]

    def _others(self, model: ChosenModel) -> list[Candidate]:
        """Return candidates that are not made of settings, and the one that the user has set."""
        known = default_registry().components
        names = [each.name for each in known if each.kind == "frontend"]
        others = [Candidate(name) for name in names if Candidate(name).kind is None]
        if model.frontend:
            others.append(Candidate(model.frontend, tuple(sorted(model.settings.items()))))
        return others

    def _best(self, candidates: Iterable[Candidate], count: int) -> list[Trial]:
        """Return the best trials, each of different answers."""
        tried = [trial for each in candidates if (trial := self.attempt(each))]
        best: list[Trial] = []
        # The sort keeps the order of equals: that of the seeds, the plainest first.
        for trial in sorted(tried, key=lambda trial: trial.merit, reverse=True):
            if not any(np.array_equal(trial.logs, other.logs) for other in best):
                best.append(trial)
        return best[:count]

    def _improve(self, trial: Trial, form: Form) -> None:
        """Change a candidate in one respect after the other, as long as that helps."""
        for _ in range(_ROUNDS):
            before, respects = trial, dimensions_of(trial.candidate, form)
            for number in range(len(respects)):
                better = self._surest(trial, respects[number])
                if better is not trial:
                    trial, respects = better, dimensions_of(better.candidate, form)
            trial = self._surest(trial, self._with_statistics(trial.candidate))
            if trial is before:
                return

    def _surest(self, trial: Trial, candidates: Sequence[Candidate]) -> Trial:
        """Return the trial of a change that helps most, or the trial as it is."""
        others = [other for each in candidates if (other := self.attempt(each))]
        helpful = [other for other in others if other.gain(trial) > _HELPS]
        return max(helpful, key=lambda other: other.logs.mean(), default=trial)

    def _with_statistics(self, candidate: Candidate) -> list[Candidate]:
        """Return a candidate with mean and deviation of all recordings, and of each band."""
        if candidate.kind is None:
            return []
        plain = {"normalize": "none", "mean": 0.0, "deviation": 1.0, "layout": "time,bands"}
        if "deltas" in candidate.settings or not hasattr(candidate.whole(), "frame"):
            return []
        plain |= {"flat": False}
        values = self._input(candidate.but(**plain), self._few)
        found = []
        for axes in ((0, 1, 2), (0, 1)):
            mean, deviation = values.mean(axes), np.maximum(values.std(axes), 1e-6)
            texts = {"mean": _joined(mean), "deviation": _joined(deviation)}
            found.append(candidate.but(normalize="none", **texts))
        return found

    def _hear(self, candidate: Candidate, recordings: Heard) -> Trial | None:
        """Let the model hear recordings through a candidate; None if it does not fit."""
        try:
            inputs = self._input(candidate, recordings)
        except (ListenError, tf.errors.InvalidArgumentError):
            return None
        shape = self.network.model.input_shape[1:]
        sizes = zip(shape, inputs.shape[1:], strict=False)
        if len(shape) != inputs.ndim - 1 or any(have not in (None, give) for have, give in sizes):
            return None
        if not np.isfinite(inputs).all():
            return None
        # Few recordings in a block of many would mostly be padding.
        found = self.network.predict(inputs, block_size=min(len(inputs), BLOCK_SIZE))
        decided, labels = self.network.decide(found), recordings.labels(self.network)
        names = ["" if answer < 0 else self.network.words[answer] for answer in decided]
        heard = counted(recordings.spoken, names, recordings.failed)
        right = np.take_along_axis(found, labels[:, None], axis=1)[:, 0]
        return Trial(candidate, decided == labels, heard, np.log(np.clip(right, 1e-3, 1.0)))

    def _input(self, candidate: Candidate, recordings: Heard) -> np.ndarray:
        """Return a candidate's output for recordings.

        Raises:
            ListenError: the candidate's settings do not fit together.
        """
        if candidate.kind is None:
            component = default_registry().find("frontend", candidate.name)
            frontend = component.create(None, candidate.settings)
            samples = frontend.samples or frontend.sample_rate
            sounds = recordings.sounds(frontend.sample_rate, samples, "start")
            return np.asarray(frontend(sounds))
        settings = candidate.whole()
        length = settings.length or settings.sample_rate
        frontend = FrontEnd(settings)
        key = (id(recordings), *(getattr(settings, name, None) for name in _OF_SPECTRUM))
        if key not in self._spectra:
            sounds = recordings.sounds(settings.sample_rate, length, settings.align)
            self._spectra[key] = frontend.spectrum(sounds)
            if len(self._spectra) > _KEPT:
                self._spectra.popitem(last=False)
        return np.asarray(frontend.after_spectrum(self._spectra[key]))


class Heard:
    """Recordings of known words, read once for each sample rate.

    Args:
        recordings: by word.
        reader: name of the reader.

    Attributes:
        spoken: word of each recording that can be read.
        failed: errors of the others.
    """

    def __init__(self, recordings: Mapping[str, Sequence[Path]], reader: str):
        self._labelled = [(word, path) for word, paths in recordings.items() for path in paths]
        self._reader, self._read = reader, {}
        self.spoken: list[str] = []
        self.failed: list = []

    def sounds(self, sample_rate: int, samples: int, align: str) -> np.ndarray:
        """Return the recordings [shape=(recordings, samples)], cut and padded."""
        if sample_rate not in self._read:
            paths = [path for _, path in self._labelled]
            sounds, kept, self.failed = read_sounds(paths, sample_rate, reader=self._reader)
            self.spoken = [self._labelled[i][0] for i in kept]
            counted(self.spoken, self.spoken, self.failed)
            self._read[sample_rate] = sounds
        return np.stack([fit(sound, samples, align) for sound in self._read[sample_rate]])

    def labels(self, classifier: Classifier) -> np.ndarray:
        """Return the position of each recording's word [shape=(recordings,)]."""
        return np.array([classifier.label(word) for word in self.spoken])


def _chosen(ranked: Sequence[Trial]) -> tuple[Trial | None, tuple[str, ...]]:
    """Return the trial to suggest, and what should be known of it.

    Of trials that tie with the best one, that with the fewest changed settings.
    """
    top = ranked[0]
    heard = top.heard
    chance = f"chance {100 * heard.chance:.1f} %"
    if not heard.is_heard:
        return None, (
            f"no front end hears the words: the best reaches {100 * top.accuracy:.1f} % of "
            f"{sum(heard.recordings)} recordings ({chance}, needed {100 * heard.bound:.1f} %); the "
            "words or their order are wrong, or the model has a front end that was not tried: set "
            "it with --frontend",
        )
    ties = [trial for trial in ranked if trial.ties(top) and trial.heard.is_heard]
    best = min(ties, key=lambda trial: len(trial.candidate.changed))
    notes = [f"chosen: {best.name}, {best.heard}"]
    if len(ties) > 1:
        notes.append(
            f"{len(ties)} of these may differ by chance only; chosen is the one with the fewest "
            "changed settings, and more recordings (--per-word) would tell them apart"
        )
    return best, tuple(notes)


def _never_heard(*hearings: Hearing) -> tuple[str, ...]:
    """Return a note of the words that were spoken and never heard, if there are any."""
    spoken, hits = Counter(), Counter()
    for heard in hearings:
        spoken.update(dict(zip(heard.words, heard.recordings, strict=True)))
        hits.update(dict(zip(heard.words, heard.hits, strict=True)))
    if not (never := [f"{word} (0 of {spoken[word]})" for word in spoken if not hits[word]]):
        return ()
    return (
        f"never heard: {', '.join(never)}; their recordings, or their places among the words, may "
        "be wrong",
    )


def _joined(values: np.ndarray) -> float | str:
    """Return statistics as a setting: a number, or one for each band with commas."""
    if values.ndim == 0:
        return float(f"{values:.5g}")
    return ",".join(f"{value:.5g}" for value in values)


def _shown(value: Any) -> str:
    """Return a setting as on a command line, long ones shortened."""
    text = str(value).lower() if isinstance(value, bool) or value is None else str(value)
    return text if len(text) <= 30 else f"{text[:27]}..."
