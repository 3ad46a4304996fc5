"""Analyse ratings: `keras_listen.analyse_study`, which is `keras-listen study analyse`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from ... import __version__
from ...errors import ParameterError
from ...experiment.settings import as_text
from ...output.files import csv_text, make_folder, require_empty, sha256, write_json, write_text
from ...plugins import default_registry
from ..catalogue import Catalogue, read_catalogue
from ..collect.stored import Stored, database_of, is_database, read_stored
from .judgements import gather
from .mean_opinion import Draws
from .page import write_report
from .raters import Limits
from .results import analyse

CODINGS = ("auto", "0-4", "1-5")


@dataclass(frozen=True)
class Analysis:
    """A finished analysis of ratings.

    Attributes:
        root: its folder.
        results: everything, as in results.json.
        page: path of the page.
    """

    root: Path
    results: dict[str, Any]
    page: Path


def analyse_study(
    ratings: Sequence[str | Path],
    *,
    study: str | Path | None = None,
    published_rule: bool = False,
    coding: str = "auto",
    rejected: bool = False,
    anchor_margin: float = 1.5,
    repeat_tolerance: float = 1.5,
    clear_heard: float = 0.5,
    resamples: int = 2000,
    seed: int = 0,
    out: str | Path = "analysis",
) -> Analysis:
    """Drop careless raters, and compute what the others' ratings say.

    Does what `keras-listen study analyse` does.

    Args:
        ratings: files of ratings, batch results of Mechanical Turk, SQLite files or URLs of
            databases, and folders of studies that were served, for the database in them.
        study: folder of the study; needed for all but batch results, or the folder in `ratings`.
        published_rule: add what the published rule for raters would find.
        coding: of numbers in batch results: "0-4", "1-5", or "auto" where the numbers tell.
        rejected: count assignments in batch results that the requester has rejected, too.
        anchor_margin, repeat_tolerance, clear_heard: what raters must keep to, see
            `listening_test.analyse.raters.Limits`.
        resamples: times that raters and recordings are drawn for an interval.
        seed: of everything that is drawn.
        out: folder, new or empty.

    Raises:
        ListenError: anything given cannot be used; nothing has been written then.
    """
    if study is None:
        study = next((source for source in ratings if Path(source).is_dir()), None)
    command = {
        "ratings": [str(source) for source in ratings],
        "study": as_text(study),
        "published_rule": published_rule,
        "coding": coding,
        "rejected": rejected,
        "anchor_margin": anchor_margin,
        "repeat_tolerance": repeat_tolerance,
        "clear_heard": clear_heard,
        "resamples": resamples,
        "seed": seed,
    }
    _require_sensible(command)
    return _analyse(command, require_empty(out))


def _analyse(command: Mapping[str, Any], root: Path) -> Analysis:
    """Read everything, compute, and write tables, figures and the page."""
    study, ratings = command["study"], command["ratings"]
    catalogue = read_catalogue(study) if study is not None else None
    sources = [_opened(source, catalogue) for source in ratings]
    coding, rejected = command["coding"], command["rejected"]
    gathered = gather(sources, catalogue, coding=coding, rejected=rejected)
    limits = Limits(*(command[n] for n in ("anchor_margin", "repeat_tolerance", "clear_heard")))
    draws = Draws(command["seed"], command["resamples"])
    rule = command["published_rule"]
    results = analyse(gathered, limits, draws, with_published_rule=rule)
    manifest = _manifest(command, sources, catalogue.study if catalogue else None)
    make_folder(root)
    write_json(root / "manifest.json", manifest)
    write_json(root / "results.json", results)
    _write_tables(root, results)
    return Analysis(root, results, write_report(root, results, manifest))


def _require_sensible(command: Mapping[str, Any]) -> None:
    """Refuse settings that can't be used."""
    if not command["ratings"]:
        raise ParameterError("no ratings file was named; name at least one")
    if command["coding"] not in CODINGS:
        raise ParameterError(f"coding is {command['coding']!r}; expected {', '.join(CODINGS)}")
    if command["resamples"] < 1:
        raise ParameterError(f"resamples is {command['resamples']}; expected at least 1")


def _opened(source: str, study: Catalogue | None) -> str | Stored:
    """Return what a database holds, or else the path of a file as it is."""
    if Path(source).is_dir():
        return read_stored(database_of(source), study)
    return read_stored(source, study) if is_database(source) else source


def _manifest(
    command: Mapping[str, Any], sources: Sequence[str | Stored], study: str | None
) -> dict[str, Any]:
    """Return everything from which the analysis can be repeated."""
    versions = {name: metadata.version(name) for name in ("numpy", "scipy", "matplotlib")}
    # An address may hold a password; the label of what was read from there does not.
    labels = [str(source) for source in sources]
    if command["study"] is not None:
        sources = [*sources, Path(command["study"]) / "manifest.csv"]
    sums = [s.checksum if isinstance(s, Stored) else sha256(Path(s)) for s in sources]
    return {
        "schema": 1,
        "command": command | {"ratings": labels},
        "versions": {"keras-listen": __version__} | versions,
        "plugins": default_registry().versions(),
        "study": study,
        "files": {str(source): sum_ for source, sum_ in zip(sources, sums, strict=True)},
    }


def _write_tables(root: Path, results: Mapping[str, Any]) -> None:
    """Write what a spreadsheet would like to have, too."""
    for mode in ("rating", "word"):
        for name in ("conditions", "words"):
            rows = (results[mode] or {}).get(name, [])
            _write(root / f"{name}-{mode}.csv", [_flat(row) for row in rows])
    _write(root / "recordings.csv", [_flat(row) for row in results["recordings"]])
    raters = [row | {"reasons": "; ".join(row["reasons"])} for row in results["raters"]]
    _write(root / "raters.csv", raters)


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with each value of a list or mapping in it in a cell of its own."""
    flat = {}
    for key, value in row.items():
        if key == "histogram":
            flat |= {f"rated_{i}": count for i, count in enumerate(value, 1)}
        elif isinstance(value, Mapping):
            flat |= value
        else:
            flat[key] = value
    return flat


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        columns = list(dict.fromkeys(name for row in rows for name in row))
        write_text(path, csv_text(rows, columns))
