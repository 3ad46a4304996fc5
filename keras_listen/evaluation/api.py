"""Evaluate maximization: `keras_listen.evaluate`, which is `keras-listen evaluate`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from ..data.store import Store
from ..errors import ParameterError
from ..experiment.chosen_model import chosen_model
from ..experiment.component_options import options_among, parse_options, require_used
from ..experiment.experiment import frontend_of, resolve
from ..experiment.folder import require_same
from ..experiment.manifest import components_of, denoiser_of, manifest_of, measures_of
from ..experiment.options import open_models
from ..experiment.referees import checksums, open_referees
from ..experiment.settings import SharedKeywords, shares_settings
from ..models.backend import require_tensorflow
from ..models.bundle import Bundle
from ..output.files import Clock, csv_text, make_folder, require_empty, write_json, write_text
from ..output.progress import Track, in_notebooks
from ..plugins import Component, default_registry
from .cluster import computing, require_usable
from .grid import Cell, Grid, run_grid
from .page import write_published_report, write_report
from .published import NOTE as PUBLISHED_NOTE
from .published import SEPARATE, read_published, require_referee, write_published
from .results import (
    NOTE,
    count_grid,
    count_real_speech,
    note_of,
    published_rows,
    result_rows,
)
from .settings import EvaluationSettings

log = logging.getLogger("keras_listen")


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation.

    Attributes:
        root: its folder.
        rows: rates by prior, objective and word, see `evaluation.results.result_rows`.
        note: what explains them.
    """

    root: Path
    rows: list[dict[str, Any]]
    note: str = NOTE


@shares_settings
def evaluate(
    priors: Sequence[str] = (),
    objectives: Sequence[str] = (),
    *,
    samples: int | None = None,
    start: str | Path = "noise",
    speech: str | Path | None = None,
    vocoder: str = "none",
    cycle_samples: int = 10,
    referees: Sequence[str | Path] = (),
    npz: bool = False,
    out: str | Path = "evaluation",
    resume: bool = False,
    scheduler: str | None = None,
    workers: int | None = None,
    track: Track = in_notebooks,
    **shared: Unpack[SharedKeywords],
) -> Evaluation:
    """Maximize every word from many starts and count how often it is reached.

    Does what `keras-listen evaluate` does.

    Args:
        priors, objectives: names; every prior is combined with every objective. By default none
            and ae, with softmax; vae with the preset "transfer".
        samples: starts of each word, 1000 by default; 10000 with the preset "paper".
        start: "noise", or a store whose testing utterances are maximized to their own words.
        speech: a store for the figures of real speech and the distance to it; by default `start`
            where that is a store.
        vocoder: name, for the cycle rate; "none" leaves it out.
        cycle_samples: starts of each word that are synthesized.
        referees: further ones: folders of bundles, or `MODEL.keras:WORDS.txt`.
        **shared
        npz: write the scores as the published tooling does too, see `evaluation.published`.
        out: folder, new or empty.
        resume: continue the interrupted evaluation in `out`.
        scheduler: address of a dask scheduler, `tcp://HOST:PORT`, whose workers compute.
        workers: start so many workers on this machine instead, each with as many threads as this
            process has. Neither changes a byte, see `evaluation.cluster`.
        track: progress, see `keras_listen.output.progress`.

    Raises:
        ListenError: anything given cannot be used; nothing has been written then.
    """
    settings = EvaluationSettings.of(locals())
    require_tensorflow()
    where = {"scheduler": scheduler, "workers": workers}
    return _run_evaluation(settings, Path(out), npz=npz, resume=resume, track=track, **where)


def _run_evaluation(
    settings: EvaluationSettings,
    root: Path,
    *,
    npz: bool,
    resume: bool,
    scheduler: str | None,
    workers: int | None,
    track: Track,
) -> Evaluation:
    """Open the models and the folder, compute the chunks and write the results."""
    require_usable(scheduler, workers)
    grid, manifest = plan_evaluation(settings)
    if npz:
        require_referee(grid)
    if resume:
        require_same(root, manifest, "evaluation")
    else:
        require_empty(root, "give --resume to continue the evaluation in it, or ")
    with computing(grid, manifest, reopen, scheduler=scheduler, workers=workers) as compute:
        if not resume:
            make_folder(root)
            write_json(root / "manifest.json", manifest)
        for note in manifest["notes"]:
            log.warning("%s", note)
        clock = Clock(root, write_each=False)
        with clock.timed("seconds"):
            done = run_grid(grid, root, computing=compute, track=track)
        _write_timing(root, clock, done)
    return _conclude(grid, root, manifest, npz=npz)


def _conclude(grid: Grid, root: Path, manifest: Mapping[str, Any], *, npz: bool) -> Evaluation:
    """Count the chunks; write results, pictures and the page."""
    counted = count_grid(grid, root)
    speech = count_real_speech(grid) if grid.speech is not None else None
    lines = result_rows(grid, counted, speech)
    note = note_of(grid)
    write_json(root / "results.json", {"schema": 1, "note": note, "rows": lines})
    write_text(root / "results.csv", csv_text(lines))
    if npz:
        write_published(root, grid)
    write_report(root, grid, manifest, counted, lines, note)
    return Evaluation(root, lines, note)


def evaluate_published(folder: str | Path, out: str | Path = "evaluation") -> Evaluation:
    """Count and draw published `10k_class_<word>.npz` files, of this project or any other.

    Does what `keras-listen evaluate --from-npz` does.

    Args:
        folder: holds the files.
        out: folder, new or empty.

    Raises:
        ListenError: a file cannot be used; nothing has been written then.
    """
    root = require_empty(out)
    words, counted = read_published(folder)
    lines = published_rows(counted)
    make_folder(root)
    about = {"schema": 1, "note": PUBLISHED_NOTE, "words": list(words), "rows": lines}
    write_json(root / "results.json", about)
    write_text(root / "results.csv", csv_text(lines))
    write_published_report(root, words, counted, SEPARATE)
    return Evaluation(root, lines, PUBLISHED_NOTE)


def plan_evaluation(settings: EvaluationSettings) -> tuple[Grid, dict[str, Any]]:
    """Open the models, make every cell, and return the grid with its manifest.

    Raises:
        ListenError: a setting cannot be used.
    """
    options = parse_options(settings.shared.options)
    found = _components(settings)
    used = [c for mine in found.values() for c in mine.values()]
    chosen = chosen_model(settings.shared.models)
    used += frontend_of(chosen).values()
    require_used(options, used, "no cell of the evaluation")
    opened = open_models(settings.shared.models, options, chosen)
    cells = _cells(settings, opened, found, options)
    spoken = settings.cycle_samples if cells[0].speaker else 0
    starts = None if settings.start == "noise" else Store.open(settings.start)
    speech = Store.open(settings.speech) if settings.speech else starts
    trust = settings.shared.models.trust_model
    referees = open_referees(opened, settings.referees, trust=trust)
    # Without sounds, voicing is estimated; that takes time, so it is of few samples, too.
    voiced = 0 if spoken else settings.cycle_samples
    grid = Grid(cells, referees, settings.samples, spoken, starts, speech, voiced)
    for cell in grid.cells:
        for word in cell.words:
            _require_starts(grid, cell, word)
    return grid, _manifest(grid, settings)


def reopen(command: Mapping[str, Any]) -> tuple[Grid, dict[str, Any]]:
    """Open the grid of a manifest's command again, as the workers of a cluster do."""
    return plan_evaluation(EvaluationSettings.from_command(command))


def _cells(
    settings: EvaluationSettings,
    opened: Bundle,
    found: Mapping[str, Mapping[str, Component]],
    options: Mapping[tuple[str, str], Mapping[str, Any]],
) -> tuple[Cell, ...]:
    """Combine every prior with every objective."""
    cells = []
    for prior, objective in [(p, o) for p in found["prior"] for o in found["objective"]]:
        names = {"prior": prior, "objective": objective, "vocoder": settings.vocoder}
        used = [found[kind][name] for kind, name in names.items() if name in found[kind]]
        speaker = resolve(
            opened,
            **names,
            ascent=settings.ascent_of(prior),
            preset=settings.shared.preset,
            options=options_among(options, used),
            seed=settings.shared.seed,
            block_size=settings.shared.block_size,
        )
        # The grid has the referees, and only some samples are synthesized.
        silent = replace(speaker, referee=None, vocoder=None)
        cells.append(Cell(prior, objective, silent, speaker if speaker.vocoder else None))
    return tuple(cells)


def _components(settings: EvaluationSettings) -> dict[str, dict[str, Component]]:
    """Return the components in use by kind and by the name that was given.

    A component that was given by both its names is there once.
    """
    registry, vocoder = default_registry(), settings.vocoder
    named = {
        "prior": settings.priors,
        "objective": settings.objectives,
        "vocoder": () if vocoder == "none" else (vocoder,),
    }
    found: dict[str, dict[str, Component]] = {kind: {} for kind in named}
    for kind, names in named.items():
        for name in names:
            component = registry.find(kind, name)
            if component not in found[kind].values():
                found[kind][name] = component
    return found


def _manifest(grid: Grid, settings: EvaluationSettings) -> dict[str, Any]:
    """Return everything from which the evaluation can be repeated."""
    experiments = [cell.speaker or cell.experiment for cell in grid.cells]
    manifest = manifest_of(experiments[0], settings.command()) | measures_of(experiments[0])
    manifest["components"] = components_of(experiments)
    manifest["notes"] = list(dict.fromkeys(note for e in experiments for note in e.notes))
    for experiment in experiments:
        manifest["models"] |= denoiser_of(experiment)
    manifest["referees"] = {name: checksums(name) for name in settings.referees}
    stores = {"start": grid.starts, "speech": grid.speech}
    manifest["stores"] = {role: store.identity() for role, store in stores.items() if store}
    return manifest


def _require_starts(grid: Grid, cell: Cell, word: str) -> None:
    """Refuse a store without utterances of a word to start from."""
    if grid.count_starts(word):
        return
    if not cell.experiment.uses_targets:
        raise ParameterError(
            f"the objective {cell.objective} has no words, so a store cannot be its start; leave "
            "--start out"
        )
    raise ParameterError(
        f"the store {grid.starts.root} has no testing utterance of {word!r} to start from; prepare "
        "more files, or start from noise"
    )


def _write_timing(root: Path, clock: Clock, done: int) -> None:
    """Write the time of all calls, and the samples that they computed, `done` in this one."""
    samples, seconds = clock.seconds["samples"] + done, clock.seconds["seconds"]
    rate = samples / seconds if seconds else 0.0
    about = {"samples": samples, "seconds": round(seconds, 3), "samples a second": round(rate, 2)}
    write_json(root / "timing.json", about)
