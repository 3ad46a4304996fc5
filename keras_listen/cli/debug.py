"""keras-listen debug"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..models.backend import start_quietly
from .bars import bar
from .groups import Command
from .options import SPLIT, require_known, shared_options, words_option
from .text import table

if TYPE_CHECKING:
    from ..debugging.api import DebuggingRun


@click.command(
    cls=Command,
    examples=(
        "debug store --audio speech_commands",
        "debug store --word yes,no --tickets 20 --vocoder none",
    ),
)
@click.argument("store", type=click.Path())
@click.option(
    "--split",
    type=click.Choice(["training", "validation", "testing", "all"]),
    default="testing",
    show_default=True,
    help=SPLIT,
)
@click.option(
    "--prior", default="ae", show_default=True, help="Latent space to climb in: ae, vae …"
)
@click.option(
    "--objective", default="softmax", show_default=True, help="Output to maximize: softmax, logit …"
)
@click.option(
    "--vocoder",
    default="griffin-lim",
    show_default=True,
    help="Makes the sounds of tickets: griffin-lim is quick, as there may be many; wavenet sounds "
    "better; none makes no sound.",
)
@words_option("Only these, separated by commas or repeated.  [all]")
@words_option("Only these, separated by commas or repeated.  [all]", names="speaker")
@click.option(
    "--misclassified",
    type=click.Choice(["raw", "reconstruction"]),
    default="raw",
    show_default=True,
    help="Classify the utterance, or (as published) its reconstruction by the prior.",
)
@click.option(
    "--tickets",
    type=click.IntRange(min=0),
    help="Number of tickets, the most confident mistakes first.  [one for each mistake]",
)
@click.option(
    "--commands",
    type=click.IntRange(min=1),
    help="Number of words in the published figures.  [3; 2]",
)
@click.option(
    "--speakers-shown",
    type=click.IntRange(min=1),
    help="Number of speakers in these figures.  [80; 2]",
)
@shared_options
@click.option(
    "--audio",
    type=click.Path(),
    help="Corpus that the store was prepared from, for the sound of its recordings.",
)
@click.option("--reader", default="soundfile", show_default=True, help="Reads recordings.")
@click.option("--single-file", is_flag=True, help="Put sounds and pictures into the page.")
@click.option(
    "--out", type=click.Path(), default="debug", show_default=True, help="New or empty folder."
)
@click.option("--resume", is_flag=True, help="Finish the interrupted debugging run in the folder.")
def debug(**settings: Any) -> None:
    """Debug misclassified utterances by activation maximization to their own words.

    Maximizes the utterances of a prepared STORE to their own words. Writes a table, t-SNE maps of
    the latents before and after, measurements, and a ticket for each misclassified utterance.
    """
    require_known(settings)
    start_quietly()
    # Not earlier: TensorFlow starts without its notices first.
    from ..debugging import api

    done = api.debug(**settings, track=bar)
    click.echo(table(_overall(done)))
    for note in done.results["notes"]:
        click.echo(note)
    click.echo(f"page: {done.page}")


def _overall(done: DebuggingRun) -> list[list[str]]:
    """Return a table of the results over all utterances."""
    accuracy, rows = done.results["accuracy"], done.rows
    lines = [["utterances", "misclassified", "right", "right, reconstructed", "right, maximized"]]
    shares = [f"{100 * accuracy[name]:.1f} %" for name in ("raw", "reconstruction", "after")]
    lines.append([str(len(rows)), str(done.results["misclassified"]), *shares])
    return lines
