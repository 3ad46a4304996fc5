"""keras-listen study analyse"""

from __future__ import annotations

import click

from ..common import table


@click.command()
@click.argument("ratings", nargs=-1, required=True, type=click.Path())
@click.option(
    "--study",
    type=click.Path(),
    help="Folder of the study; batch results need none.  [the one in RATINGS]",
)
@click.option(
    "--published-rule",
    is_flag=True,
    help="Show beside it what the published rule for raters, which selects on the outcome, finds.",
)
@click.option(
    "--coding",
    type=click.Choice(["auto", "0-4", "1-5"]),
    default="auto",
    show_default=True,
    help="Of numbers in batch results; labels need none.",
)
@click.option(
    "--rejected",
    is_flag=True,
    help="Count assignments in batch results that were rejected, too.",
)
@click.option(
    "--anchor-margin",
    type=float,
    default=1.5,
    show_default=True,
    help="Drop who rates clear anchors by less than this above unclear ones, on average.",
)
@click.option(
    "--repeat-tolerance",
    type=click.FloatRange(min=0),
    default=1.5,
    show_default=True,
    help="Drop whose second ratings differ by more than this, on average.",
)
@click.option(
    "--clear-heard",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Drop who hears a smaller share of the clear anchors' words.",
)
@click.option(
    "--resamples",
    type=click.IntRange(min=1),
    default=2000,
    show_default=True,
    help="Times that raters and recordings are drawn for an interval.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--out", type=click.Path(), default="analysis", show_default=True)
def analyse(**settings) -> None:
    """Say what raters found.

    RATINGS are the folder of a study that was served, files that it exports or the static page
    hands out, batch results of Mechanical Turk, and SQLite files or URLs of databases. Writes
    results.json, tables, figures and index.html.
    """
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
    """Return the table of all conditions."""
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
