"""keras-listen convert"""

from __future__ import annotations

import click


@click.group()
def convert() -> None:
    """Turn published networks into a bundle."""


@convert.command()
@click.argument("checkpoint", type=click.Path())
@click.argument("hparams", type=click.Path())
@click.argument("out", type=click.Path())
@click.option("--compact", is_flag=True, help="Store weights as float16: half the size.")
def wavenet(checkpoint, hparams, out, compact) -> None:
    """Turn a published vocoder into a bundle: CHECKPOINT.pth and HPARAMS.json into folder OUT.

    For checkpoints of wavenet_vocoder's 2018 line. Needs torch. Use it with
    -o vocoder.wavenet.weights=OUT.
    """
    from ..models.backend import start_quietly

    start_quietly(engine=False)
    from ..vocoders.wavenet.convert import convert_wavenet

    bundle = convert_wavenet(checkpoint, hparams, out, compact=compact)
    click.echo(f"bundle: {bundle.root}; use it with -o vocoder.wavenet.weights={bundle.root}")


@convert.command()
@click.option("--classifier", required=True, type=click.Path(), help="HDF5 file to listen to.")
@click.option("--referee", type=click.Path(), help="HDF5 file of one trained apart.")
@click.option("--autoencoder-weights", type=click.Path(), help="HDF5 file of the autoencoder.")
@click.option("--words-file", required=True, type=click.Path(), help="Words, one a line.")
@click.option("--out", required=True, type=click.Path(), help="Folder of the bundle, new or empty.")
def keras2(classifier, words_file, out, **others) -> None:
    """Turn networks that the published tooling trained with Keras 2 into a bundle.

    The words are in the order of the classifier's outputs. The autoencoder becomes the prior ae.
    """
    from ..models.backend import start_quietly

    start_quietly(engine=False)
    from ..models.classifier import read_words
    from ..models.formats.keras2 import convert_keras2

    bundle = convert_keras2(classifier, out, words=read_words(words_file), **others)
    click.echo(f"{len(bundle.words)} words: {', '.join(bundle.names())}")
    click.echo(f"bundle: {bundle.root}; use it with --bundle {bundle.root}")
