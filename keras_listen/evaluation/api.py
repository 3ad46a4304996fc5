"""`keras_listen.evaluate`: the objective study from settings to files."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import ParameterError
from ..experiment.api import as_text, option_texts
from ..models.backend import require_tensorflow
from ..models.blocks import BLOCK_SIZE
from ..output.files import csv_text, make_folder, read_timing, require_empty, write_json, write_text
from ..output.progress import Track, quiet
from ..plugins import OWN, Component, default_registry
from ..plugins.component import canonical

log = logging.getLogger("keras_listen")

_DEFAULTS: dict[str, Any] = {
    "priors": ("none", "ae"),
    "objectives": ("softmax",),
    "samples": 1000,
    "steps": 20,
    "step_size": None,
    "shift": 0,
    "gain": 0.0,
    "options": (),
}
#: Settings by preset, where they differ: "paper" is what was published, "transfer" what convinced a
#: network of another architecture most among the settings that were tried with the embedded bundle.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"samples": 10000},
    "transfer": {
        "priors": ("vae",),
        "steps": 150,
        "step_size": 0.04,
        "shift": 16,
        "options": ("prior.vae.pull=0.02",),
    },
}


class Evaluation:
    """A finished study.

    Attributes:
        root: its folder.
        rows: rates by prior, objective and word, see `keras_listen.tallies.rows`.
    """

    def __init__(self, root: Path, rows: list[dict[str, Any]]):
        self.root, self.rows = root, rows


def evaluate(
    priors: Sequence[str] = (),
    objectives: Sequence[str] = (),
    *,
    preset: str | None = None,
    samples: int | None = None,
    start: str | Path = "noise",
    speech: str | Path | None = None,
    vocoder: str = "none",
    cycle_samples: int = 10,
    referees: Sequence[str | Path] = (),
    steps: int | None = None,
    step_size: float | None = None,
    optimizer: str = "normalized",
    shift: int | None = None,
    gain: float | None = None,
    stop_at: float | None = None,
    keep_best: bool = False,
    seed: int = 0,
    bundle: str | Path | None = None,
    classifier: str | Path | None = None,
    words_file: str | Path | None = None,
    spec: str | Path | None = None,
    trust_model: bool = False,
    options: Iterable[str] | Mapping[str, Any] = (),
    block_size: int = BLOCK_SIZE,
    npz: bool = False,
    out: str | Path = "evaluation",
    resume: bool = False,
    scheduler: str | None = None,
    workers: int | None = None,
    track: Track = quiet,
) -> Evaluation:
    """Maximize every word from many starts and count how often it is reached.

    Does what `keras-listen evaluate` does.

    Args:
        priors, objectives: names; every prior is combined with every objective. By default none
            and ae, with softmax.
        preset: "paper" for the published settings, "transfer" for those that convince other
            classifiers most; what is given beside it wins.
        samples: starts of each word, 1000 by default.
        start: "noise", or a store whose testing utterances are maximized to their own words.
        speech: a store for the figures of real speech and the distance to it; by default `start`
            where that is a store.
        vocoder: what speaks for the cycle rate; "none" leaves it out.
        cycle_samples: starts of each word that are spoken.
        referees: further judges: folders of bundles, or `MODEL.keras:WORDS.txt`.
        steps, step_size, optimizer, shift, gain, stop_at, keep_best: of the ascent, as for
            `keras_listen.listen`.
        seed: of everything that is drawn.
        bundle, classifier, words_file, spec, trust_model, options: as for `keras_listen.listen`.
        block_size: samples computed together; results depend on it in their last bits.
        npz: write the scores as the published tooling does too, see `keras_listen.interchange`.
        out: folder, new or empty.
        resume: continue the interrupted study in `out`.
        scheduler: address of a dask scheduler, `tcp://HOST:PORT`, whose workers compute.
        workers: start so many workers on this machine instead, each with as many threads as this
            process has. Neither changes a byte, see `keras_listen.cluster`.
        track: progress, see `keras_listen.progress`.

    Raises:
        ListenError: anything given cannot be used; nothing has been written then.
    """
    require_tensorflow()
    from ..experiment.folder import require_same
    from ..experiment.options import ModelChoice
    from .cluster import computing, require_usable
    from .grid import carry_out
    from .page import write_report
    from .published import require_referee, write_published
    from .results import NOTE, count, real_speech, rows

    require_usable(scheduler, workers)
    models = ModelChoice(*map(as_text, (bundle, classifier, words_file, spec)), trust_model)
    given = {"priors": priors, "objectives": objectives, "samples": samples, "steps": steps}
    given |= {"step_size": step_size, "shift": shift, "gain": gain}
    chosen = _settings(preset, given)
    command = chosen | {
        "start": str(start),
        "speech": as_text(speech),
        "vocoder": vocoder,
        "cycle_samples": cycle_samples,
        "referees": [str(referee) for referee in referees],
        "optimizer": optimizer,
        "stop_at": stop_at,
        "keep_best": keep_best,
        "seed": seed,
        **models.settings(),
        "options": _combined(chosen["options"], option_texts(options)),
        "block_size": block_size,
    }
    grid = _grid(models, command)
    if npz:
        require_referee(grid)
    manifest = _manifest(grid, command)
    root = Path(out)
    if resume:
        require_same(root, manifest, "study")
    else:
        require_empty(root, "give --resume to continue the study in it, or ")
    with computing(grid, manifest, _reopen, scheduler=scheduler, workers=workers) as compute:
        if not resume:
            make_folder(root)
            write_json(root / "manifest.json", manifest)
        for note in manifest["notes"]:
            log.warning("%s", note)
        begin = time.perf_counter()
        done = carry_out(grid, root, computing=compute, track=track)
        _write_timing(root, done, time.perf_counter() - begin)
    counted = count(grid, root)
    heard = real_speech(grid) if grid.speech is not None else None
    lines = rows(grid, counted, heard)
    write_json(root / "results.json", {"schema": 1, "note": NOTE, "rows": lines})
    write_text(root / "results.csv", csv_text(lines))
    if npz:
        write_published(root, grid)
    write_report(root, grid, manifest, counted, lines)
    return Evaluation(root, lines)


def evaluate_published(folder: str | Path, out: str | Path = "evaluation") -> Evaluation:
    """Count and draw what is in published `10k_class_<word>.npz` files, whoever made them.

    Does what `keras-listen evaluate --from-npz` does.

    Args:
        folder: of the files.
        out: folder, new or empty.

    Raises:
        ListenError: a file cannot be used; nothing has been written then.
    """
    from . import published as interchange
    from .page import write_published_report
    from .results import published_rows

    root = require_empty(out)
    words, counted = interchange.read_published(folder)
    lines = published_rows(counted)
    make_folder(root)
    about = {"schema": 1, "note": interchange.NOTE, "words": list(words), "rows": lines}
    write_json(root / "results.json", about)
    write_text(root / "results.csv", csv_text(lines))
    write_published_report(root, words, counted, interchange.SEPARATE)
    return Evaluation(root, lines)


def _settings(preset: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    if preset is not None and preset not in PRESETS:
        raise ParameterError(f"no preset is called {preset!r}; known: {', '.join(sorted(PRESETS))}")
    chosen = _DEFAULTS | PRESETS.get(preset, {})
    chosen |= {k: v for k, v in given.items() if v is not None and v != () and v != []}
    for name in ("priors", "objectives"):
        chosen[name] = list(dict.fromkeys(chosen[name]))
    # A preset's options are of its own priors; others may have been given in their place.
    own = [prior.removeprefix(f"{OWN}:") for prior in chosen["priors"]]
    chosen["options"] = [o for o in chosen["options"] if o.split(".")[1] in own]
    return chosen


def _combined(preset: Sequence[str], given: Sequence[str]) -> list[str]:
    """Return a preset's options and those given, which stand above it by either of their names."""

    def path(option: str) -> str:
        kind, _, rest = option.partition("=")[0].partition(".")
        owner, _, name = rest.rpartition(":")
        return f"{kind}.{name if canonical(owner) == OWN else rest}"

    known = set(map(path, given))
    return [*(option for option in preset if path(option) not in known), *given]


def _grid(models, command: Mapping[str, Any]):
    """Open the models and make every cell of the study."""
    from ..data.store import Store
    from ..experiment.experiment import resolve
    from ..experiment.options import options_among, parse_options, require_used
    from ..experiment.referees import open_judges
    from .grid import Cell, Grid

    if command["block_size"] < 1:
        raise ParameterError(f"the block size is {command['block_size']}; expected at least 1")
    options = parse_options(command["options"])
    found = _find(command)
    used = [component for mine in found.values() for component in mine.values()]
    require_used(options, used, "no cell of the study")
    pairs = [(p, o) for p in found["prior"] for o in found["objective"]]
    opened = models.open()
    cells = []
    for prior, objective in pairs:
        names = {"prior": prior, "objective": objective, "vocoder": command["vocoder"]}
        used = [found[kind][name] for kind, name in names.items() if name in found[kind]]
        speaker = resolve(
            opened,
            **names,
            ascent=command,
            options=options_among(options, used),
            seed=command["seed"],
            block_size=command["block_size"],
        )
        # Judges are the grid's; a sound is made of some samples only.
        silent = replace(speaker, referee=None, vocoder=None)
        cells.append(Cell(prior, objective, silent, speaker if speaker.vocoder else None))
    spoken = command["cycle_samples"] if cells[0].speaker else 0
    starts = None if command["start"] == "noise" else Store.open(command["start"])
    speech = Store.open(command["speech"]) if command["speech"] else starts
    referees = open_judges(opened, command["referees"], trust=command["trust_model"])
    grid = Grid(tuple(cells), referees, command["samples"], spoken, starts, speech)
    for cell in grid.cells:
        for word in cell.words:
            _require_starts(grid, cell, word)
    return grid


def _manifest(grid, command: Mapping[str, Any]) -> dict[str, Any]:
    from ..experiment.manifest import components_of, manifest_of
    from ..experiment.referees import checksums

    manifest = manifest_of(grid.cells[0].speaker or grid.cells[0].experiment, command)
    experiments = [cell.speaker or cell.experiment for cell in grid.cells]
    manifest["components"] = components_of(experiments)
    manifest["referees"] = {name: checksums(name) for name in command["referees"]}
    stores = {"start": grid.starts, "speech": grid.speech}
    manifest["stores"] = {role: store.identity() for role, store in stores.items() if store}
    return manifest


def _reopen(command: Mapping[str, Any]):
    """Make the grid and the manifest of a study from its settings, as a worker does."""
    from ..experiment.options import ModelChoice

    names = ("bundle", "classifier", "words_file", "spec", "trust_model")
    grid = _grid(ModelChoice(*(command[name] for name in names)), command)
    return grid, _manifest(grid, command)


def _require_starts(grid, cell, word: str) -> None:
    if grid.count(word):
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


def _find(command: Mapping[str, Any]) -> dict[str, dict[str, Component]]:
    """Return the components of the study by kind and by the name that was given.

    One that was given by both its names is there once, as if it had been given twice by the same.
    """
    registry, vocoder = default_registry(), command["vocoder"]
    named = {
        "prior": command["priors"],
        "objective": command["objectives"],
        "vocoder": [] if vocoder == "none" else [vocoder],
    }
    found: dict[str, dict[str, Component]] = {kind: {} for kind in named}
    for kind, names in named.items():
        for name in names:
            component = registry.find(kind, name)
            if component not in found[kind].values():
                found[kind][name] = component
    return found


def _write_timing(root: Path, samples: int, seconds: float) -> None:
    """Add the time of this call to those of earlier ones."""
    before = {"samples": 0, "seconds": 0.0} | read_timing(root)
    samples += before["samples"]
    seconds += before["seconds"]
    rate = samples / seconds if seconds else 0.0
    about = {"samples": samples, "seconds": round(seconds, 3), "samples a second": round(rate, 2)}
    write_json(root / "timing.json", about)
