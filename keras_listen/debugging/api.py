"""`keras_listen.debug`: why were these utterances misclassified?"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ParameterError, unknown
from ..experiment.api import as_text, option_texts, require_least
from ..models.backend import require_tensorflow
from ..models.blocks import BLOCK_SIZE
from ..output.files import Clock, csv_text, write_json, write_text
from ..output.progress import Track, quiet
from ..plugins import default_registry

log = logging.getLogger("keras_listen")

#: Bytes of a page from which on browsers take seconds to open it.
LARGE = 100 * 2**20


class Diagnosis:
    """What was found.

    Attributes:
        root: its folder.
        rows: one for each utterance, see `keras_listen.findings.rows`.
        results: what was counted and measured, as in results.json.
        page: path of the page.
    """

    def __init__(self, root: Path, rows: list[dict], results: dict[str, Any], page: Path):
        self.root, self.rows, self.results, self.page = root, rows, results, page


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
    steps: int = 20,
    step_size: float | None = None,
    seed: int = 0,
    bundle: str | Path | None = None,
    classifier: str | Path | None = None,
    words_file: str | Path | None = None,
    spec: str | Path | None = None,
    trust_model: bool = False,
    options: Iterable[str] | Mapping[str, Any] = (),
    audio: str | Path | None = None,
    reader: str = "soundfile",
    block_size: int = BLOCK_SIZE,
    single_file: bool = False,
    out: str | Path = "debug",
    resume: bool = False,
    track: Track = quiet,
) -> Diagnosis:
    """Maximize a store's utterances to their own words, and look into those that were misheard.

    Does what `keras-listen debug` does.

    Args:
        store: folder of a store.
        split: "training", "validation", "testing" or "all".
        prior, objective, vocoder: names; vocoder "none" makes no sound.
        words, speakers: those that are looked into; by default all that the classifier knows, and
            everybody.
        misclassified: what decides: "raw", the utterance's own features, or "reconstruction", its
            decoded encoding, as in the published code.
        tickets: so many, the most confident mistakes first; one for each mistake by default.
        commands, speakers_shown: how many of them the published figures show; as published by
            default.
        steps, step_size: of the ascent; the prior's step size by default.
        seed: of everything that is drawn.
        bundle, classifier, words_file, spec, trust_model, options: as for `keras_listen.listen`.
        audio: the corpus that the store was prepared from, to hear its recordings; without it
            utterances are spoken from their features.
        reader: name of what reads them.
        block_size: samples computed together; results depend on it in their last bits.
        single_file: put sounds and pictures into the page instead of beside it.
        out: folder, new or empty.
        resume: continue the interrupted inquiry in `out`.
        track: progress, see `keras_listen.progress`.

    Raises:
        ListenError: anything given cannot be used; nothing has been written then.
    """
    require_tensorflow()
    from ..experiment.chunks import carry_out, here
    from ..experiment.folder import open_folder
    from ..experiment.options import ModelChoice
    from . import (
        inquiry as debugging,
    )
    from . import (
        neighbours as examples,
    )
    from . import (
        recordings as originals,
    )
    from . import (
        results as findings,
    )
    from .figures import draw_figures
    from .page import write_page
    from .projection import embed
    from .tickets import choose, summarize

    models = ModelChoice(*map(as_text, (bundle, classifier, words_file, spec)), trust_model)
    command = {
        "store": str(store),
        "split": split,
        "prior": prior,
        "objective": objective,
        "vocoder": vocoder,
        "words": list(words),
        "speakers": list(speakers),
        "misclassified": misclassified,
        "tickets": tickets,
        "commands": commands,
        "speakers_shown": speakers_shown,
        "steps": steps,
        "step_size": step_size,
        "seed": seed,
        **models.settings(),
        "options": option_texts(options),
        "audio": as_text(audio),
        "reader": reader,
        "block_size": block_size,
    }
    _require_sensible(command)
    inquiry, notes = _inquiry(models, command)
    recorded, missing = originals.find(inquiry, audio) if audio else ([], [])
    notes += missing
    root, spoken = Path(out), inquiry.experiment.notes
    open_folder(root, _manifest(inquiry, command), resume, "inquiry")
    for note in (*spoken, *notes):
        log.warning("%s", note)
    clock = Clock(root)
    with clock.timed("maximize and vocode"):
        work = partial(debugging.compute, inquiry, root)
        carry_out(inquiry.chunks(), root, here(work), label="maximize", track=track)
    if audio:
        with clock.timed("recordings"):
            heard = inquiry.store.spec
            notes += originals.copy(recorded, audio, root, heard, reader=reader, track=track)
    points = debugging.gather(inquiry, root)
    debugging.write_latents(inquiry, root)
    wrong = findings.wrong(points, inquiry.labels, misclassified)
    ticketed = choose(points.judged(misclassified), wrong, tickets)
    ids = [inquiry.samples[i].id for i in np.flatnonzero(ticketed)]
    with clock.timed("tickets"):
        pool = examples.gather_pool(
            inquiry, points, ticketed, split=split, by=misclassified, track=track
        )
        _write_tickets(root, inquiry, points, ticketed, pool, track)
        notes += examples.sound(pool, root, ids, audio, reader=reader, track=track)
    with clock.timed("map"):
        places = embed(points.before, points.after, seed)
    rows = findings.rows(inquiry, points, places, wrong, ticketed)
    results = {"schema": 1} | findings.count(inquiry, points, misclassified)
    with clock.timed("numbers"):
        results["movement"], results["map"] = _measure(inquiry, points, places, wrong, seed)
    results["changes"] = summarize(root, ids)
    results["mended"] = sum(r["mended"] for r in rows)
    results["notes"] = [*spoken, *notes, *findings.remarks(inquiry, places, results)]
    with clock.timed("figures"):
        asked = {"commands": commands, "speakers_shown": speakers_shown, "seed": seed}
        draw_figures(root, inquiry, points, wrong, results["confusion"], **asked)
    write_text(root / "points.csv", csv_text(rows, findings.COLUMNS))
    write_json(root / "results.json", results)
    with clock.timed("page"):
        page = write_page(root, single_file=single_file)
    if page.stat().st_size > LARGE:
        log.warning(
            "the page has %d MB, which browsers take seconds to open; without --single-file its "
            "sounds and pictures lie beside it",
            page.stat().st_size // 2**20,
        )
    return Diagnosis(root, rows, results, page)


def _manifest(inquiry, command: Mapping[str, Any]) -> dict[str, Any]:
    from ..experiment.manifest import manifest_of

    experiment = replace(inquiry.experiment, vocoder=inquiry.vocoder)
    return manifest_of(experiment, command) | {"stores": {"store": inquiry.store.identity()}}


def _require_sensible(command: Mapping[str, Any]) -> None:
    """Refuse numbers and choices that mean nothing."""
    from .results import JUDGED

    require_least(command, {"block_size": 1, "tickets": 0, "commands": 1, "speakers_shown": 1})
    if command["misclassified"] not in JUDGED:
        raise ParameterError(unknown("way to judge", command["misclassified"], JUDGED))
    default_registry().find("reader", command["reader"])


def _inquiry(models, command: Mapping[str, Any]):
    """Open the models and the store; return the inquiry and what was left out of it."""
    from ..data.store import Store
    from ..experiment.experiment import resolve
    from ..experiment.options import parse_options
    from .inquiry import Inquiry, select

    kinds = ("prior", "objective", "vocoder")
    climbing = {"optimizer": "normalized", "shift": 0, "gain": 0.0}
    climbing |= {"stop_at": None, "keep_best": False}
    experiment = resolve(
        models,
        **{kind: command[kind] for kind in kinds},
        ascent=climbing | {name: command[name] for name in ("steps", "step_size")},
        options=parse_options(command["options"]),
        seed=command["seed"],
        block_size=command["block_size"],
    )
    if not experiment.uses_targets:
        raise ParameterError(
            f"the objective {command['objective']} has no words, so no utterance can be maximized "
            "to its own; take softmax or logit"
        )
    store = Store.open(command["store"])
    experiment.classifier.spec.require(store.spec, f"the store {store.root}")
    wanted = command["words"], command["speakers"]
    positions, notes = select(store, command["split"], experiment.classifier.words, *wanted)
    silent = replace(experiment, vocoder=None, referee=None)
    return Inquiry.of(silent, store, positions, experiment.vocoder), notes


def _write_tickets(root: Path, inquiry, points, chosen, pool, track: Track) -> None:
    """Write the tickets that are not there yet."""
    from . import tickets
    from .ticket_pictures import Artist

    def work() -> Iterator[None]:
        artist = Artist(inquiry.experiment.classifier.spec)
        for block in tickets.make(inquiry, points, root, chosen, pool):
            tickets.write(inquiry, root, block, artist.draw)
            yield from [None] * len(block)

    ids = [inquiry.samples[i].id for i in np.flatnonzero(chosen)]
    left = sum(not (root / "tickets" / name / "ticket.json").is_file() for name in ids)
    for _ in track(work(), total=left, label="tickets", unit="ticket"):
        pass


def _measure(inquiry, points, places, wrong: np.ndarray, seed: int) -> tuple[dict, dict]:
    """Return the numbers of the movement, and those of the map."""
    from . import movement

    words = [sample.word for sample in inquiry.samples]
    found = movement.measure(
        points.before, points.after, points.distance, words, inquiry.speakers, wrong, seed
    )
    latents = np.concatenate([points.before, points.after])
    drawn = np.concatenate([places.before, places.after])
    kept = None
    if len(latents) > 3 * movement.NEIGHBOURS:
        kept = movement.trustworthiness(latents, drawn)
    about = {"perplexity": places.perplexity, "points": len(latents), "trustworthiness": kept}
    return found, about | {"neighbours": movement.NEIGHBOURS}
