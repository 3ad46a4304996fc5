"""keras-listen convert"""

from __future__ import annotations

import click


@click.command()
@click.argument("kind", type=click.Choice(["wavenet"]))
@click.argument("checkpoint", type=click.Path())
@click.argument("hparams", type=click.Path())
@click.argument("out", type=click.Path())
@click.option("--compact", is_flag=True, help="Store weights as float16: half the size.")
def convert(kind, checkpoint, hparams, out, compact) -> None:
    """Turn a published vocoder into a bundle: CHECKPOINT.pth and HPARAMS.json into folder OUT.

    For checkpoints of wavenet_vocoder's 2018 line. Needs torch. Use it with
    -o vocoder.wavenet.weights=OUT.
    """
    from ..backend import start_quietly

    start_quietly(engine=False)
    from ..wavenet_conversion import convert_wavenet

    bundle = convert_wavenet(checkpoint, hparams, out, compact=compact)
    click.echo(f"bundle: {bundle.root}; use it with -o vocoder.wavenet.weights={bundle.root}")
