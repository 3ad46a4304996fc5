"""keras-listen run"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..maximization.presets import NATURAL
from ..models.backend import start_quietly
from .bars import bar
from .groups import Command
from .options import require_known, shared_options, split_words, words_option
from .text import table

if TYPE_CHECKING:
    from ..experiment.folder import Run


@click.command(
    cls=Command, examples=("run", "run --word yes,no --samples 5 --vocoder griffin-lim --seed 1")
)
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
    "--vocoder",
    default="wavenet",
    show_default=True,
    help="Makes the sound: wavenet sounds best, griffin-lim is quick, none makes no sound.",
)
@words_option("Target words, separated by commas or repeated.  [all]", split=False)
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
    """Maximize a classifier's words (activation maximization), and turn them into sound.

    Writes samples.csv, manifest.json, features (npy), sound (wav) and picture (png) of each sample,
    and index.html, a page with all of them.
    """
    if any("," in word for word in words):
        # Words of a bundle may have commas of their own. Not earlier: it imports NumPy.
        from ..models.bundle import load_bundle

        words = tuple(split_words(words, load_bundle(settings["bundle"]).words))
    require_known({**settings, "words": words}, preset=NATURAL)
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
