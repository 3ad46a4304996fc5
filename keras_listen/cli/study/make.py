"""keras-listen study make"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ...models.backend import start_quietly
from ..bars import bar
from ..groups import Command
from ..options import SPLIT, require_known, shared_options, words_option
from ..text import table

if TYPE_CHECKING:
    from ...listening_test.make.api import MadeStudy


@click.command(
    cls=Command,
    examples=(
        "study make store study",
        "study make store study --word yes,no --per-word 5 --vocoder griffin-lim --seed 2",
    ),
)
@click.argument("store", type=click.Path())
@click.argument("out", type=click.Path())
@click.option(
    "--split",
    type=click.Choice(["training", "validation", "testing", "all"]),
    default="testing",
    show_default=True,
    help=SPLIT,
)
@click.option(
    "--per-word",
    type=int,
    default=3,
    show_default=True,
    help="Recordings of each word in each condition.",
)
@words_option("Only these, separated by commas or repeated.  [all]")
@click.option("--prior", default="ae", show_default=True, help="Prior of experiments 3 and 4.")
@click.option(
    "--objective", default="softmax", show_default=True, help="Output to maximize: softmax, logit."
)
@click.option(
    "--vocoder",
    default="wavenet",
    show_default=True,
    help="Makes the recordings: wavenet sounds best, griffin-lim is quick.",
)
@click.option("--real", is_flag=True, help="Add real utterances, synthesized by the vocoder.")
@click.option(
    "--with",
    "combinations",
    multiple=True,
    metavar="KEY=VALUE,...",
    help="Add conditions, such as prior=vae,prior.pull=0.02,steps=150 or vocoder=griffin-lim; may "
    "be repeated. Keys: prior, objective, vocoder, KIND.OPTION, start (noise or class), label, and "
    "those of the ascent.",
)
@click.option(
    "--anchors",
    type=int,
    default=4,
    show_default=True,
    help="Number of clear anchors (real speech), and of unclear ones (noise).",
)
@click.option(
    "--tries",
    type=int,
    default=100,
    show_default=True,
    help="Starts after which a word is given up.",
)
@click.option(
    "--referee",
    "referees",
    multiple=True,
    metavar="BUNDLE|MODEL.keras:WORDS.txt",
    help="A further referee that scores the sounds; may be repeated.",
)
@shared_options
@click.option("--resume", is_flag=True, help="Finish the interrupted listening test in the folder.")
def make(store: str, out: str, **settings: Any) -> None:
    """Make the recordings of a listening test of activation maximization.

    Maximizes words from noise and from the utterances of a prepared STORE, without a prior and with
    one, and synthesizes samples that reached their word, before and after: the paper's four
    experiments. Writes manifest.csv, audio/, unreached.csv and conditions.csv into the folder OUT.
    """
    require_known(settings)
    start_quietly()
    # Not earlier: TensorFlow starts without its notices first.
    from ...listening_test.make.api import make_study

    done = make_study(store, out, **settings, track=bar)
    click.echo(table(_conditions(done)))
    for note in [*_unreached(done), *done.notes]:
        click.echo(note)
    click.echo(f"study {done.id}: {len(done.items)} recordings in {done.root / 'manifest.csv'}")


def _conditions(done: MadeStudy) -> list[list[str]]:
    """Return a table of recordings and objective measures by condition."""
    lines = [["experiment", "", "recordings", "cycle", "flatness", "frechet", "real ones"]]
    for row in done.conditions:
        name = f"{row['experiment']} {row['condition']}"
        numbers = [row[key] for key in ("spectral_flatness", "frechet", "frechet_floor")]
        shown = ["-" if value != value else f"{value:.3g}" for value in numbers]
        cycle = "-" if row["cycle"] is None else f"{100 * row['cycle']:.1f} %"
        lines.append([name, row["stage"], str(row["recordings"]), cycle, *shown])
    return lines


def _unreached(done: MadeStudy) -> list[str]:
    """Return a line on missing recordings for each condition and reason."""
    groups: dict[tuple, list[str]] = {}
    for row in done.unreached:
        words = groups.setdefault((row["experiment"], row["condition"], row["reason"]), [])
        words.append(f"{row['word']} ({row['found']} of {row['wanted']})")
    return [
        f"experiment {number}, {label}: fewer recordings of {', '.join(words)}: {reason}"
        for (number, label, reason), words in groups.items()
    ]
