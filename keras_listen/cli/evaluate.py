"""keras-listen evaluate"""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from ..models.backend import start_quietly
from .bars import bar
from .groups import Command
from .options import require_known, shared_options
from .text import table

#: Letters in a line of the tables, as many as most terminals show.
_WIDTH = 100


@click.command(
    cls=Command,
    examples=(
        "evaluate --samples 100",
        "evaluate --prior ae --prior vae --objective logit --start store --vocoder griffin-lim",
    ),
)
@click.option(
    "--prior",
    "priors",
    multiple=True,
    help="Prior; may be repeated.  [none, ae; preset transfer: vae]",
)
@click.option(
    "--objective", "objectives", multiple=True, help="Objective; may be repeated.  [softmax]"
)
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    help="Starts of each word.  [1000; preset paper: 10000]",
)
@click.option(
    "--start",
    default="noise",
    show_default=True,
    help="noise, or a store whose testing utterances are maximized to their own words.",
)
@click.option("--speech", type=click.Path(), help="A store, to add the figures of real speech.")
@click.option(
    "--vocoder",
    default="none",
    show_default=True,
    help="Makes sounds for the cycle rate: none leaves it out, as sounds of so many starts take "
    "long; griffin-lim is quick, wavenet sounds better.",
)
@click.option(
    "--cycle-samples",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="Starts of each word that are synthesized.",
)
@click.option(
    "--referee",
    "referees",
    multiple=True,
    metavar="BUNDLE|MODEL.keras:WORDS.txt",
    help="A further referee; may be repeated.",
)
@shared_options
@click.option(
    "--out",
    type=click.Path(),
    default="evaluation",
    show_default=True,
    help="New or empty folder.",
)
@click.option("--resume", is_flag=True, help="Finish the interrupted evaluation in the folder.")
@click.option("--scheduler", metavar="tcp://HOST:PORT", help="Compute on a dask cluster.")
@click.option(
    "--workers", type=click.IntRange(min=1), help="Compute in this many dask workers, started here."
)
@click.option("--npz", is_flag=True, help="Also write 10k_class_<word>.npz as published.")
@click.option(
    "--from-npz",
    type=click.Path(),
    metavar="DIR",
    help="Only count and draw such files, from any source.",
)
@click.pass_context
def evaluate(context: click.Context, from_npz: str | None, **settings: Any) -> None:
    """Evaluate activation maximization: success rates, transfer to referees, diversity.

    Combines every prior with every objective. Writes results.json, results.csv, heatmaps,
    pictures, and index.html.
    """
    if from_npz is not None:
        _require_alone(context)
    else:
        require_known(settings)
    start_quietly(engine=from_npz is None)
    if from_npz is not None:
        _show_published(from_npz, settings["out"])
        return
    # Not earlier: TensorFlow starts without its notices first.
    from ..evaluation import api

    done = api.evaluate(**settings, track=bar)
    click.echo(_overall(done.rows))
    click.echo(done.note)
    click.echo(f"page: {done.root / 'index.html'}")


def _require_alone(context: click.Context) -> None:
    """Refuse options that do not apply to files that are only counted."""
    others = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in ("from_npz", "out")
        and context.get_parameter_source(parameter.name) is not ParameterSource.DEFAULT
    ]
    if others:
        raise click.UsageError(
            "--from-npz counts files as they are, and only --out goes with it: drop "
            f"{', '.join(others)}"
        )


def _show_published(folder: str, out: str) -> None:
    # Not earlier: see `evaluate`.
    from ..evaluation.api import evaluate_published

    done = evaluate_published(folder, out)
    click.echo(_overall(done.rows))
    click.echo(done.note)
    click.echo(f"heatmap: {done.root / 'heatmap.png'}")


def _overall(rows: list[dict]) -> str:
    """Return tables of the rows over all words, a column each, of lines up to `_WIDTH`."""
    # Not earlier: see `evaluate`.
    from ..evaluation.results import ALL

    rates = [name.removesuffix(" low") for name in rows[0] if name.endswith(" low")]
    heads = ["prior", "objective", "samples", *rates, *_FURTHER]
    columns = []
    for row in (row for row in rows if row["word"] == ALL):
        shown = [row["prior"], row["objective"], str(row["samples"])]
        shown += [_rate(row, name) for name in rates]
        columns.append(shown + [show(row[name]) for name, show in _FURTHER.items()])
    tables: list[list[list[str]]] = [[heads]]
    for column in columns:
        wider = [*tables[-1], column]
        if len(tables[-1]) > 1 and sum(2 + max(map(len, one)) for one in wider) > _WIDTH + 2:
            wider = [heads, column]
            tables.append(wider)
        tables[-1] = wider
    return "\n\n".join(table(list(map(list, zip(*one, strict=True)))) for one in tables)


def _rate(row: dict, name: str) -> str:
    if row[name] is None:
        return "-"
    value, low, high = (100 * row[key] for key in (name, f"{name} low", f"{name} high"))
    return f"{value:.1f} % ({low:.1f}-{high:.1f})"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _decibel(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} dB"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


#: What is shown of each row beside the rates, and how.
_FURTHER = {
    "diversity": _number,
    "nearest": _number,
    "voiced": _share,
    "speech distance": _decibel,
}
