"""keras-listen run"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..models.backend import start_quietly
from .bars import bar
from .options import shared_options
from .text import table

if TYPE_CHECKING:
    from ..experiment.folder import Run


@click.command()
@click.option(
    "--prior", default="ae", show_default=True, help="Latent space to climb in: none, ae, vae …"
)
@click.option(
    "--objective",
    default="softmax",
    show_default=True,
    help="Output to maximize: softmax, logit, neuron …",
)
@click.option(
    "--vocoder", default="wavenet", show_default=True, help="Synthesizes the sound, or none."
)
@click.option("--word", "words", multiple=True, help="Target word; may be repeated.  [all]")
@click.option("--samples", type=click.IntRange(min=1), help="Starts for each word.  [1]")
@click.option(
    "--start",
    default="noise",
    show_default=True,
    help="noise, one recording, or a folder with one folder of recordings a word.",
)
@shared_options
@click.option("--reader", default="soundfile", show_default=True, help="Reads recordings.")
@click.option("--out", type=click.Path(), help="New or empty folder.  [listen-NNN]")
@click.option("--resume", is_flag=True, help="Finish the interrupted run in the folder.")
def run(words: tuple[str, ...], **settings: Any) -> None:
    """Maximize a classifier's words by gradient ascent, and synthesize them.

    Writes samples.csv, manifest.json, features (npy), sound (wav) and picture (png) of each sample,
    and index.html, a page with all of them.
    """
    start_quietly()
    # Not earlier: TensorFlow starts without its notices first.
    from ..experiment.api import listen
    from ..experiment.verdict import describe_saturated

    done = listen(words=words, track=bar, **settings)
    click.echo(table([["", *_columns(done.summary)], *_rows(done)]))
    for sentence in done.verdict:
        click.echo(sentence)
    if saturated := describe_saturated(done.rows, done.manifest):
        click.echo(saturated)
    click.echo(f"page: {done.root / 'index.html'}")


def _columns(summary: dict) -> list[str]:
    return [name for name in summary if name != "saturated"]


def _rows(done: Run) -> list[list[str]]:
    """Return a row of rates for each word, and one for all."""
    lines = {**done.by_word, "all": done.summary}
    return [[name, *_values(summary)] for name, summary in lines.items()]


def _values(summary: dict) -> list[str]:
    shown = []
    for name in _columns(summary):
        value = summary[name]
        if value is None:
            shown.append("-")
        elif name == "speech distance":
            shown.append(f"{value:.1f} dB")
        else:
            shown.append(str(value) if isinstance(value, int) else f"{100 * value:.1f} %")
    return shown
