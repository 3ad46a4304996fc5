"""keras-listen study analyse"""

from __future__ import annotations

from typing import Any

import click

from ..groups import Command
from ..text import table


@click.command(
    cls=Command,
    examples=(
        "study analyse study --out analysis",
        "study analyse ratings.csv --study study --seed 1",
    ),
)
@click.argument("ratings", nargs=-1, required=True, type=click.Path())
@click.option(
    "--study",
    type=click.Path(),
    help="Folder of the listening test; not needed for batch results.  [the one in RATINGS]",
)
@click.option(
    "--published-rule",
    is_flag=True,
    help="Add results under the published rule for raters, which selects on the outcome.",
)
@click.option(
    "--coding",
    type=click.Choice(["auto", "0-4", "1-5"]),
    default="auto",
    show_default=True,
    help="Scale of numbers in batch results; labels need none.",
)
@click.option(
    "--rejected",
    is_flag=True,
    help="Include rejected assignments in batch results.",
)
@click.option(
    "--anchor-margin",
    type=float,
    default=1.5,
    show_default=True,
    help="Drop raters whose mean rating of clear anchors is less than this above unclear ones.",
)
@click.option(
    "--repeat-tolerance",
    type=click.FloatRange(min=0),
    default=1.5,
    show_default=True,
    help="Drop raters whose second ratings differ by more than this, on average.",
)
@click.option(
    "--clear-heard",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Drop raters who recognize a smaller share of the clear anchors.",
)
@click.option(
    "--resamples",
    type=click.IntRange(min=1),
    default=2000,
    show_default=True,
    help="Bootstrap resamples per confidence interval.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Seed of the resampling, on which the last digits of intervals depend.",
)
@click.option(
    "--out", type=click.Path(), default="analysis", show_default=True, help="New or empty folder."
)
def analyse(**settings: Any) -> None:
    """Analyse the ratings of a listening test.

    RATINGS are the folder of a listening test that was served, ratings files exported from a server
    or saved from the static page, batch results of Mechanical Turk, and SQLite files or URLs of
    databases. Writes results.json, tables, figures and index.html.
    """
    # Imports NumPy and more, which would slow down --help.
    from ...listening_test.analyse.api import analyse_study

    done = analyse_study(**settings)
    for mode in ("rating", "word"):
        if done.results[mode]:
            click.echo(table(_means(done.results[mode]["conditions"], mode)))
    if published := done.results["published_rule"]:
        click.echo("\nby the published rule, which selects on the outcome:")
        rows = published["conditions"]
        click.echo((table(_means(rows, "rating")) if rows else "no rater is left") + "\n")
    for rater in done.results["raters"]:
        if rater["reasons"]:
            click.echo(f"dropped {rater['name']}: {'; '.join(rater['reasons'])}")
    for note in done.results["notes"]:
        click.echo(note)
    click.echo(f"page: {done.page}")


def _means(rows: list[dict], mode: str) -> list[list[str]]:
    """Return the rows of the table of conditions."""
    what = "mean rating" if mode == "rating" else "heard rightly"
    lines = [["condition", what, "95 % interval", "judgements", "raters"]]
    for row in rows:
        low, high = (_shown(row[name], mode) for name in ("low", "high"))
        given = [str(row[name]) for name in ("judgements", "raters")]
        lines.append([row["condition"], _shown(row["mean"], mode), f"{low} to {high}", *given])
    return lines


def _shown(value: float | None, mode: str) -> str:
    if value is None:
        return "?"
    return f"{value:.2f}" if mode == "rating" else f"{100 * value:.1f} %"
