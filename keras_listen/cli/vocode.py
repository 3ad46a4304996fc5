"""keras-listen vocode"""

from __future__ import annotations

import click

from ..models.backend import start_quietly
from .bars import bar
from .groups import Command
from .options import component_options, require_known
from .text import table


@click.command(
    cls=Command,
    examples=(
        "vocode recordings --out heard",
        "vocode listen-001/yes-000.npy --vocoder griffin-lim --out heard",
    ),
)
@click.argument("inputs", nargs=-1, required=True, type=click.Path(), metavar="IN...")
@click.option(
    "--vocoder",
    default="wavenet",
    show_default=True,
    help="Makes the sound: wavenet sounds best, griffin-lim is quick.",
)
@click.option("--out", required=True, type=click.Path(), help="New or empty folder.")
@click.option("--bundle", type=click.Path(), help="Folder of a bundle.  [the embedded one]")
@component_options
@click.option("--reader", default="soundfile", show_default=True, help="Reads recordings.")
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Seed of everything random: the same one gives the same sounds.",
)
def vocode(
    inputs: tuple[str, ...],
    vocoder: str,
    out: str,
    bundle: str | None,
    options: tuple[str, ...],
    reader: str,
    seed: int,
) -> None:
    """Synthesize sound from IN: recordings (copy-synthesis), .npy features, or folders.

    Features are float arrays of shape (frames, mels), any number of frames. Writes NAME.wav for
    each, vocoded.csv with the distance between the mel bands of the input and of the sound and the
    share of voiced frames, and manifest.json.
    """
    about = {"vocoder": vocoder, "reader": reader, "bundle": bundle, "options": options}
    require_known(about)
    start_quietly(engine=False)
    # Not earlier: TensorFlow starts without its notices first.
    from ..experiment.vocode import vocode as vocode_files

    spoken = vocode_files(
        inputs,
        out,
        vocoder=vocoder,
        bundle=bundle,
        options=options,
        reader=reader,
        seed=seed,
        track=bar,
    )
    rows = [["file", "frames", "mel distance", "voiced"]]
    for one in spoken:
        figures = f"{one.mel_distance:.2f} dB", f"{100 * one.voiced_share:.0f} %"
        rows.append([one.path.name, str(one.frames), *figures])
    click.echo(table(rows))
    if invented := sum(one.pitch is not None and one.pitch.origin == "invented" for one in spoken):
        click.echo(f"the pitch of {invented} of {len(spoken)} sounds is invented")
