"""`keras_listen.analyse_study`: analyse the ratings of a listening test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from ... import __version__
from ...errors import ParameterError
from ...output.files import csv_text, make_folder, require_empty, sha256, write_json, write_text
from ...plugins import default_registry
from ..catalogue import Catalogue, read_catalogue
from ..collect.stored import Stored, database_of, is_database, read_stored
from .judgements import gather_judgements
from .mean_opinion import Draws
from .page import write_report
from .raters import Limits
from .results import compute_results

CODINGS = ("auto", "0-4", "1-5")


@dataclass(frozen=True)
class Analysis:
    """A finished analysis.

    Attributes:
        root: folder of its files.
        results: everything computed, as in results.json.
        page: path of the page.
    """

    root: Path
    results: dict[str, Any]
    page: Path


@dataclass(frozen=True)
class AnalysisSettings:
    """Arguments of `analyse_study`, checked; manifest.json has them under `command`."""

    ratings: list[str | Path]
    study: str | Path | None
    published_rule: bool
    coding: str
    rejected: bool
    anchor_margin: float
    repeat_tolerance: float
    clear_heard: float
    resamples: int
    seed: int

    def __post_init__(self):
        if not self.ratings:
            raise ParameterError("no ratings file was named; name at least one")
        if self.coding not in CODINGS:
            raise ParameterError(f"coding is {self.coding!r}; expected {', '.join(CODINGS)}")
        if self.resamples < 1:
            raise ParameterError(f"resamples is {self.resamples}; expected at least 1")


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
    """Analyse the ratings of a listening test without those of careless raters.

    Does what `keras-listen study analyse` does.

    Args:
        ratings: ratings files, batch results of Mechanical Turk, SQLite files or URLs of databases,
            and folders of listening tests that were served, for the database in them.
        study: folder of the listening test; by default the first folder in `ratings`. Not needed
            for batch results.
        published_rule: add the results under the published rule for dropping raters.
        coding: scale of numbers in batch results: "0-4", "1-5", or "auto" to infer it.
        rejected: include assignments in batch results that the requester rejected.
        anchor_margin, repeat_tolerance, clear_heard: limits for raters, see
            `keras_listen.listening_test.analyse.raters.Limits`.
        resamples: bootstrap resamples per confidence interval.
        seed: of all random numbers.
        out: new or empty folder for the results.

    Raises:
        ListenError: an argument or a file cannot be used; nothing has been written then.
    """
    settings = AnalysisSettings(
        ratings=list(ratings),
        study=_first_folder(ratings) if study is None else study,
        published_rule=published_rule,
        coding=coding,
        rejected=rejected,
        anchor_margin=anchor_margin,
        repeat_tolerance=repeat_tolerance,
        clear_heard=clear_heard,
        resamples=resamples,
        seed=seed,
    )
    root = require_empty(out)
    catalogue = None if settings.study is None else read_catalogue(settings.study)
    sources = [_open_source(source, catalogue) for source in settings.ratings]
    results = _compute(settings, sources, catalogue)
    return _write(root, results, _manifest(settings, sources, catalogue))


def _first_folder(ratings: Sequence[str | Path]) -> str | Path | None:
    return next((source for source in ratings if Path(source).is_dir()), None)


def _open_source(source: str | Path, catalogue: Catalogue | None) -> str | Path | Stored:
    """Read the ratings of a database; return the path of a file as it is."""
    if Path(source).is_dir():
        return read_stored(database_of(source), catalogue)
    return read_stored(source, catalogue) if is_database(source) else source


def _compute(
    settings: AnalysisSettings,
    sources: Sequence[str | Path | Stored],
    catalogue: Catalogue | None,
) -> dict[str, Any]:
    return compute_results(
        gather_judgements(sources, catalogue, coding=settings.coding, rejected=settings.rejected),
        Limits(settings.anchor_margin, settings.repeat_tolerance, settings.clear_heard),
        Draws(settings.seed, settings.resamples),
        with_published_rule=settings.published_rule,
    )


def _manifest(
    settings: AnalysisSettings,
    sources: Sequence[str | Path | Stored],
    catalogue: Catalogue | None,
) -> dict[str, Any]:
    """Return everything needed to repeat the analysis."""
    versions = {name: metadata.version(name) for name in ("numpy", "scipy", "matplotlib")}
    study = None if settings.study is None else str(settings.study)
    # An address may hold a password; the label of what was read from there does not.
    command = asdict(settings) | {"ratings": [str(source) for source in sources], "study": study}
    files = [*sources] if study is None else [*sources, Path(study) / "manifest.csv"]
    sums = [s.checksum if isinstance(s, Stored) else sha256(Path(s)) for s in files]
    return {
        "schema": 1,
        "command": command,
        "versions": {"keras-listen": __version__} | versions,
        "plugins": default_registry().versions(),
        "study": catalogue.study if catalogue else None,
        "files": {str(source): sum_ for source, sum_ in zip(files, sums, strict=True)},
    }


def _write(root: Path, results: dict[str, Any], manifest: dict[str, Any]) -> Analysis:
    make_folder(root)
    write_json(root / "manifest.json", manifest)
    write_json(root / "results.json", results)
    _write_tables(root, results)
    return Analysis(root, results, write_report(root, results, manifest))


def _write_tables(root: Path, results: Mapping[str, Any]) -> None:
    """Write the tables of the results as CSV files."""
    for mode in ("rating", "word"):
        for name in ("conditions", "words"):
            rows = (results[mode] or {}).get(name, [])
            _write_table(root / f"{name}-{mode}.csv", [_flat(row) for row in rows])
    _write_table(root / "recordings.csv", [_flat(row) for row in results["recordings"]])
    raters = [row | {"reasons": "; ".join(row["reasons"])} for row in results["raters"]]
    _write_table(root / "raters.csv", raters)


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row in which each value of a histogram or mapping has a column of its own."""
    flat = {}
    for key, value in row.items():
        if key == "histogram":
            flat |= {f"rated_{i}": count for i, count in enumerate(value, 1)}
        elif isinstance(value, Mapping):
            flat |= value
        else:
            flat[key] = value
    return flat


def _write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        columns = list(dict.fromkeys(name for row in rows for name in row))
        write_text(path, csv_text(rows, columns))
