"""Debug misclassifications: `keras_listen.debug`, which is `keras-listen debug`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from ..data.store import Store
from ..errors import ParameterError
from ..experiment.chunks import here, run_chunks
from ..experiment.component_options import parse_options
from ..experiment.experiment import resolve
from ..experiment.folder import open_folder
from ..experiment.manifest import manifest_of
from ..experiment.samples import Sample
from ..experiment.settings import SharedKeywords, shares_settings
from ..features import PART_FIELDS
from ..models.backend import require_tensorflow
from ..models.sound_classifier import SoundClassifier
from ..output.files import Clock, csv_text, write_json, write_text
from ..output.progress import Track, in_notebooks
from .debug_set import (
    DebugSet,
    Points,
    compute_debug_chunk,
    gather_points,
    select_utterances,
    write_latents,
)
from .figures import draw_figures
from .movement import NEIGHBOURS, measure_movement, trustworthiness
from .neighbours import gather_pool, write_neighbour_sounds
from .page import write_page
from .recordings import copy_recordings, find_recordings
from .results import COLUMNS, count_results, debugging_rows, find_misclassified, list_remarks
from .settings import DebugSettings
from .ticket_pictures import Artist
from .tickets import choose_tickets, make_tickets, summarize_tickets, write_tickets
from .tsne import Map, fit_map

log = logging.getLogger("keras_listen")

#: Bytes of a page from which on browsers take seconds to open it.
LARGE = 100 * 2**20


@dataclass(frozen=True)
class DebuggingRun:
    """A finished debugging run.

    Attributes:
        root: its folder.
        rows: one for each utterance, see `debugging.results.debugging_rows`.
        results: counts and measurements, as in results.json.
        page: path of the page.
    """

    root: Path
    rows: list[dict[str, Any]]
    results: dict[str, Any]
    page: Path


@shares_settings
def debug(
    store: str | Path,
    *,
    split: str = "testing",
    prior: str = "ae",
    objective: str = "softmax",
    vocoder: str = "griffin-lim",
    words: Sequence[str] = (),
    speakers: Sequence[str] = (),
    misclassified: str = "raw",
    tickets: int | None = None,
    commands: int | None = None,
    speakers_shown: int | None = None,
    audio: str | Path | None = None,
    reader: str = "soundfile",
    single_file: bool = False,
    out: str | Path = "debug",
    resume: bool = False,
    track: Track = in_notebooks,
    **shared: Unpack[SharedKeywords],
) -> DebuggingRun:
    """Maximize a store's utterances to their own words, and report on the misclassified ones.

    Does what `keras-listen debug` does.

    Args:
        store: folder of a store.
        split: "training", "validation", "testing" or "all".
        prior, objective, vocoder: names; vocoder "none" makes no sound.
        words, speakers: whose utterances; by default all words that the classifier knows, by all
            speakers.
        misclassified: features whose prediction decides: "raw", the utterance's own, or
            "reconstruction", its decoded encoding, as in the published code.
        tickets: how many, the most confident mistakes first; one for each mistake by default.
        commands, speakers_shown: how many the published figures show; by default as published.
        **shared
        audio: the corpus that the store was prepared from, for its recordings; without it
            utterances are synthesized from their features.
        reader: name of the reader of recordings.
        single_file: put sounds and pictures into the page instead of beside it.
        out: folder, new or empty.
        resume: continue the interrupted debugging run in `out`.
        track: progress, see `keras_listen.output.progress`.

    Raises:
        ListenError: anything given cannot be used; nothing has been written then.
    """
    settings = DebugSettings.of(locals())
    require_tensorflow()
    return _run_debugging(settings, Path(out), single_file=single_file, resume=resume, track=track)


def _run_debugging(
    settings: DebugSettings, root: Path, *, single_file: bool, resume: bool, track: Track
) -> DebuggingRun:
    """Open the models and the folder, compute, and write tickets, tables, figures and the page."""
    plan = _plan(settings)
    open_folder(root, plan.manifest(), resume, "debugging run")
    for note in plan.notes:
        log.warning("%s", note)
    clock = Clock(root)
    notes = _compute(plan, root, clock, track)
    found = _read_results(plan, root)
    notes += _write_tickets(plan, found, root, clock, track)
    with clock.timed("map"):
        places = fit_map(found.points.before, found.points.after, settings.shared.seed)
    rows = debugging_rows(plan.debug_set, found.points, places, found.wrong, found.ticketed)
    results = _results(plan, found, places, rows, root, clock)
    results["notes"] = [
        *plan.notes,
        *notes,
        *list_remarks(plan.debug_set, found.points, places, results),
    ]
    _draw(plan, found, results, root, clock)
    write_text(root / "points.csv", csv_text(rows, COLUMNS))
    write_json(root / "results.json", results)
    with clock.timed("page"):
        page = write_page(root, single_file=single_file)
    _warn_of_size(page)
    return DebuggingRun(root, rows, results, page)


@dataclass(frozen=True)
class _DebugPlan:
    """The utterances, models and notes of a debugging run before it is computed.

    Attributes:
        settings: of the run.
        debug_set: utterances and models.
        recorded: samples whose recordings are in the corpus.
        notes: of the components, and of utterances and recordings that are left out.
    """

    settings: DebugSettings
    debug_set: DebugSet
    recorded: list[Sample]
    notes: list[str]

    def manifest(self) -> dict[str, Any]:
        """Return everything from which the debugging run can be repeated."""
        experiment = replace(self.debug_set.experiment, vocoder=self.debug_set.vocoder)
        stores = {"stores": {"store": self.debug_set.store.identity()}}
        return manifest_of(experiment, self.settings.command()) | stores


def _plan(settings: DebugSettings) -> _DebugPlan:
    """Open the models and the store, and choose the utterances.

    Raises:
        ListenError: a setting cannot be used.
    """
    shared = settings.shared
    experiment = resolve(
        shared.models,
        prior=settings.prior,
        objective=settings.objective,
        vocoder=settings.vocoder,
        ascent=shared.ascent,
        preset=shared.preset,
        options=parse_options(shared.options),
        seed=shared.seed,
        block_size=shared.block_size,
    )
    if not experiment.uses_targets:
        raise ParameterError(
            f"the objective {settings.objective} has no words, so no utterance can be maximized "
            "to its own; take softmax or logit"
        )
    store = Store.open(settings.store)
    experiment.classifier.spec.require(store.spec, f"the store {store.root}", ignore=PART_FIELDS)
    wanted = settings.words, settings.speakers
    known = experiment.classifier.words
    positions, notes = select_utterances(store, settings.split, known, *wanted)
    silent = replace(experiment, vocoder=None, referee=None)
    corpus = settings.audio, settings.reader
    debug_set = DebugSet.of(silent, store, positions, experiment.vocoder, *corpus)
    recorded, missing = find_recordings(debug_set, settings.audio) if settings.audio else ([], [])
    if isinstance(experiment.classifier, SoundClassifier):
        debug_set, missing = _heard(debug_set, recorded)
    if cut := store.describe_longer():
        notes = [*notes, cut]
    return _DebugPlan(settings, debug_set, recorded, [*experiment.notes, *notes, *missing])


def _heard(debug_set: DebugSet, recorded: Sequence[Sample]) -> tuple[DebugSet, list[str]]:
    """Return the debug set of those utterances that have a recording, and a note of the others.

    Raises:
        ParameterError: no folder of recordings was given.
    """
    if debug_set.corpus is None:
        raise ParameterError(
            f"{debug_set.experiment.classifier.what} hears recordings through a front end, and a "
            "store has only features; give --audio with the corpus that it was prepared from"
        )
    there = {sample.start for sample in recorded}
    kept = np.array([sample.start in there for sample in debug_set.samples])
    if kept.all():
        return debug_set, []
    note = f"{(~kept).sum()} of {len(kept)} recordings are not under {debug_set.corpus}; left out"
    return debug_set.with_positions(debug_set.positions[kept]), [note]


def _compute(plan: _DebugPlan, root: Path, clock: Clock, track: Track) -> list[str]:
    """Compute the chunks and copy recordings; return notes on recordings that failed."""
    with clock.timed("maximize and vocode"):
        work = partial(compute_debug_chunk, plan.debug_set, root)
        run_chunks(plan.debug_set.chunks(), root, here(work), label="maximize", track=track)
    write_latents(plan.debug_set, root)
    if not plan.settings.audio:
        return []
    with clock.timed("recordings"):
        return copy_recordings(
            plan.recorded,
            plan.settings.audio,
            root,
            plan.debug_set.store.spec,
            reader=plan.settings.reader,
            track=track,
        )


@dataclass(frozen=True)
class _Found:
    """Results of all utterances.

    Attributes:
        points: probabilities, steps and latents.
        wrong, ticketed: masks of misclassified points, and of those with a ticket
            [shape=(points,), bool].
        ids: of the tickets.
    """

    points: Points
    wrong: np.ndarray
    ticketed: np.ndarray
    ids: list[str]


def _read_results(plan: _DebugPlan, root: Path) -> _Found:
    """Read the chunks, and choose the misclassified points that get a ticket."""
    basis = plan.settings.misclassified
    points = gather_points(plan.debug_set, root)
    wrong = find_misclassified(plan.debug_set, points, basis)
    ticketed = choose_tickets(points.probabilities_on(basis), wrong, plan.settings.tickets)
    ids = [plan.debug_set.samples[i].id for i in np.flatnonzero(ticketed)]
    return _Found(points, wrong, ticketed, ids)


def _write_tickets(
    plan: _DebugPlan, found: _Found, root: Path, clock: Clock, track: Track
) -> list[str]:
    """Write the missing tickets; return notes on recordings of neighbours that failed."""
    settings, debug_set = plan.settings, plan.debug_set
    left = sum(not (root / "tickets" / name / "ticket.json").is_file() for name in found.ids)
    with clock.timed("tickets"):
        pool = gather_pool(
            debug_set,
            found.points,
            found.ticketed,
            split=settings.split,
            basis=settings.misclassified,
            track=track,
        )
        with track(total=left, label="tickets", unit="ticket") as advance:
            artist = Artist(debug_set.experiment.classifier.spec)
            for block in make_tickets(debug_set, found.points, root, found.ticketed, pool):
                write_tickets(debug_set, root, block, artist.draw)
                advance(len(block))
        return write_neighbour_sounds(
            pool, root, found.ids, settings.audio, reader=settings.reader, track=track
        )


def _results(
    plan: _DebugPlan,
    found: _Found,
    places: Map,
    rows: Sequence[Mapping[str, Any]],
    root: Path,
    clock: Clock,
) -> dict[str, Any]:
    """Return all counts and measurements, as in results.json."""
    counted = count_results(plan.debug_set, found.points, plan.settings.misclassified)
    results = {"schema": 1} | counted
    with clock.timed("numbers"):
        results["movement"], results["map"] = _measure(plan, found, places)
    results["changes"] = summarize_tickets(root, found.ids)
    results["mended"] = sum(row["mended"] for row in rows)
    return results


def _measure(plan: _DebugPlan, found: _Found, places: Map) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the numbers of the movement in latent space, and those of the map."""
    points, words = found.points, [sample.word for sample in plan.debug_set.samples]
    numbers = measure_movement(
        points.before,
        points.after,
        points.distance,
        words,
        plan.debug_set.speakers,
        found.wrong,
        plan.settings.shared.seed,
    )
    latents = np.concatenate([points.before, points.after])
    drawn = np.concatenate([places.before, places.after])
    kept = trustworthiness(latents, drawn) if len(latents) > 3 * NEIGHBOURS else None
    about = {"perplexity": places.perplexity, "points": len(latents), "trustworthiness": kept}
    return numbers, about | {"neighbours": NEIGHBOURS}


def _draw(
    plan: _DebugPlan, found: _Found, results: Mapping[str, Any], root: Path, clock: Clock
) -> None:
    """Draw the published figures and the confusion matrix."""
    settings = plan.settings
    with clock.timed("figures"):
        draw_figures(
            root,
            plan.debug_set,
            found.points,
            found.wrong,
            results["confusion"],
            commands=settings.commands,
            speakers_shown=settings.speakers_shown,
            seed=settings.shared.seed,
        )


def _warn_of_size(page: Path) -> None:
    """Warn of a page that is too large for browsers to open at once."""
    if page.stat().st_size > LARGE:
        log.warning(
            "the page has %d MB, which browsers take seconds to open; without --single-file its "
            "sounds and pictures lie beside it",
            page.stat().st_size // 2**20,
        )
