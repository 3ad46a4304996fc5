"""keras-listen convert"""

from __future__ import annotations

import click

from ..models.backend import start_quietly
from .groups import Command


@click.group()
def convert() -> None:
    """Convert published networks to a bundle."""


@convert.command(
    cls=Command,
    examples=(
        "convert wavenet checkpoint.pth hparams.json mol",
        "convert wavenet checkpoint.pth hparams.json mol --compact",
    ),
)
@click.argument("checkpoint", type=click.Path())
@click.argument("hparams", type=click.Path())
@click.argument("out", type=click.Path())
@click.option(
    "--compact",
    is_flag=True,
    help="Store weights as float16 with 8 significant bits: two fifths of the size.",
)
def wavenet(checkpoint: str, hparams: str, out: str, compact: bool) -> None:
    """Convert a published vocoder: CHECKPOINT.pth and HPARAMS.json to a bundle in folder OUT.

    Reads checkpoints of wavenet_vocoder's 2018 line and needs torch. Use the result with
    -o vocoder.wavenet.weights=OUT.
    """
    start_quietly(engine=False)
    # Imports Keras, whose notices start_quietly mutes.
    from ..vocoders.wavenet.convert import convert_wavenet

    bundle = convert_wavenet(checkpoint, hparams, out, compact=compact)
    click.echo(f"bundle: {bundle.root}; use it with -o vocoder.wavenet.weights={bundle.root}")


@convert.command(
    cls=Command,
    examples=(
        "convert keras2 --classifier model.h5 --words-file words.txt --out bundle",
        "convert keras2 --classifier model.h5 --referee other.h5 --words-file words.txt --out new",
    ),
)
@click.option("--classifier", required=True, type=click.Path(), help="HDF5 file of the classifier.")
@click.option("--referee", type=click.Path(), help="HDF5 file of a separately trained classifier.")
@click.option("--autoencoder-weights", type=click.Path(), help="HDF5 file of the autoencoder.")
@click.option("--words-file", required=True, type=click.Path(), help="Words, one a line.")
@click.option("--out", required=True, type=click.Path(), help="Folder of the bundle, new or empty.")
def keras2(classifier: str, words_file: str, out: str, **others: str | None) -> None:
    """Convert networks that the published tooling trained with Keras 2 to a bundle.

    Words are in the order of the classifier's outputs. The autoencoder becomes the prior ae.
    """
    start_quietly(engine=False)
    # They import Keras, whose notices start_quietly mutes.
    from ..models.classifier import read_words
    from ..models.formats.keras2 import convert_keras2

    bundle = convert_keras2(classifier, out, words=read_words(words_file), **others)
    click.echo(f"{len(bundle.words)} words: {', '.join(bundle.names())}")
    click.echo(f"bundle: {bundle.root}; use it with --bundle {bundle.root}")
