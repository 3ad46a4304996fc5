"""Maximize words: `keras_listen.listen`, which is `keras-listen run`."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, Unpack

from ..data.load import load_features
from ..errors import ParameterError
from ..maximization.presets import NATURAL
from ..models.backend import require_tensorflow
from ..output.progress import Track, in_notebooks
from ..plugins import default_registry
from .component_options import parse_options
from .experiment import Experiment, resolve
from .folder import Run, run_samples
from .manifest import manifest_of, measures_of
from .page import write_page
from .pictures import draw_sample
from .presets import recorded, under_preset
from .referees import open_judges
from .results import summarize
from .samples import Sample, start_errors, unaimed_samples, utterance_samples
from .settings import CommandSettings, SharedKeywords, shares_settings, unique
from .verdict import describe_hearing, describe_measures

log = logging.getLogger("keras_listen")


@dataclass(frozen=True)
class RunSettings(CommandSettings):
    """Settings of `run`; see `listen` for the fields."""

    prior: str
    objective: str
    vocoder: str
    words: tuple[str, ...]
    samples: int | None
    start: str
    reader: str

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Gather the parameters of `listen`, put on top of the preset.

        Raises:
            ListenError: a name is unknown, or a setting is out of its range.
        """
        return under_preset(super().of(given), NATURAL)

    def __post_init__(self) -> None:
        for name, value in (("samples", self.samples), ("the block size", self.shared.block_size)):
            if value is not None and value < 1:
                raise ParameterError(f"{name} is {value}; expected at least 1")
        default_registry().find("reader", self.reader)

    def command(self) -> dict[str, Any]:
        """Return the settings as the manifest keeps them."""
        return {
            **recorded(self.shared.preset),
            "prior": self.prior,
            "objective": self.objective,
            "vocoder": self.vocoder,
            "words": list(self.words),
            "samples": self.samples,
            "start": self.start,
            **self.shared.ascent.recorded(),
            "seed": self.shared.seed,
            **self.shared.models.settings(),
            "options": list(self.shared.options),
            "reader": self.reader,
            "block_size": self.shared.block_size,
        }

    def resolve(self) -> Experiment:
        """Open the models and make the components.

        Raises:
            ListenError: one cannot be used.
        """
        experiment = resolve(
            self.shared.models,
            prior=self.prior,
            objective=self.objective,
            vocoder=self.vocoder,
            ascent=self.shared.ascent,
            preset=self.shared.preset,
            options=parse_options(self.shared.options),
            seed=self.shared.seed,
            block_size=self.shared.block_size,
        )
        return replace(experiment, judges=open_judges(experiment.bundle))

    def plan(self, experiment: Experiment) -> list[Sample]:
        """Return all samples of the run.

        Raises:
            ListenError: a word is unknown, or the start cannot be used.
        """
        known = experiment.classifier.words
        for word in self.words:
            experiment.classifier.label(word)
        if self.words and not experiment.uses_targets:
            raise ParameterError(
                f"the objective {self.objective} has no words; leave out the word {self.words[0]}, "
                "or choose the objective softmax or logit"
            )
        if self.start == "noise":
            return experiment.noise_samples(unique(self.words) or known, self.samples or 1)
        count, errors_of = self.samples, start_errors(experiment.classifier.spec, self.reader)
        if experiment.uses_targets:
            plan = utterance_samples(self.start, self.words, known, count, errors_of)
        else:
            plan = unaimed_samples(self.start, experiment.objective.label, count, errors_of)
        if Path(self.start).is_file():
            # A bad recording is refused before anything is written; in a folder it is left out.
            load_features(self.start, experiment.classifier.spec, self.reader)
        return plan


@shares_settings
def listen(
    prior: str = "ae",
    objective: str = "softmax",
    vocoder: str = "wavenet",
    *,
    words: Sequence[str] = (),
    samples: int | None = None,
    start: str | Path = "noise",
    reader: str = "soundfile",
    out: str | Path | None = None,
    resume: bool = False,
    track: Track = in_notebooks,
    **shared: Unpack[SharedKeywords],
) -> Run:
    """Maximize a classifier's words and write features, sounds, pictures and a page.

    Does what `keras-listen run` does.

    Args:
        prior, objective, vocoder: names, see `keras-listen plugins`; vocoder "none" makes no sound.
        words: target words; all of the classifier's by default.
        samples: starts for each word; by default one of noise, or all recordings of a folder.
        start: "noise", one recording, or a folder with one folder a word (class-to-class).
        **shared
        reader: name of the reader of recordings.
        out: folder, new or empty; the next `listen-NNN` by default.
        resume: continue the interrupted run in `out` (by default the newest `listen-NNN`).
        track: progress, see `keras_listen.output.progress`.

    Returns:
        Run, with `root`, `rows`, the rates `summary` and `by_word`, and `verdict`, which says who
        hears the words.

    Raises:
        ListenError: an argument cannot be used, and nothing has been written.
    """
    settings = RunSettings.of(locals())
    require_tensorflow()
    experiment = settings.resolve()
    plan = settings.plan(experiment)
    manifest = manifest_of(experiment, settings.command()) | measures_of(experiment)
    run = (Run.resume if resume else Run.create)(out, manifest)
    for note in experiment.notes:
        log.warning("%s", note)
    try:
        run_samples(experiment, plan, run, reader=reader, draw=draw_sample, track=track)
    except BaseException:
        # Finished samples get their page even if the run is interrupted.
        with contextlib.suppress(Exception):
            _conclude(run, experiment)
        raise
    _conclude(run, experiment)
    return run


def _conclude(run: Run, experiment: Experiment) -> None:
    """Count the rates of a run and write its page."""
    known = experiment.referee.words if experiment.referee else ()
    run.summary = summarize(run.rows, known)
    run.by_word = {
        word: summarize([row for row in run.rows if row["word"] == word], known)
        for word in unique([row["word"] for row in run.rows if row["word"]])
    }
    run.verdict = describe_hearing(run.rows, run.manifest) + describe_measures(
        run.summary, run.manifest
    )
    with run.clock.timed("page"):
        write_page(run, run.summary)
    run.clock.write()
