"""The command keras-listen-ppgn."""

from __future__ import annotations

import os
import sys

import click

from keras_listen import ListenError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def keras_listen_ppgn() -> None:
    """A learned pull towards the latents of real speech, for keras-listen."""


@keras_listen_ppgn.command()
@click.argument("store")
@click.argument("bundle", required=False)
@click.option("--weights", default="ae", show_default=True, help="Component with the autoencoder.")
@click.option("--out", help="Folder that gets the denoiser.  [the bundle]")
@click.option("--epochs", type=int, default=60, show_default=True)
@click.option("--hidden", type=int, default=384, show_default=True, help="Units of a hidden layer.")
@click.option("--seed", type=int, default=0, show_default=True)
def fit(store, bundle, **settings) -> None:
    """Fit a denoiser to the latents of STORE's training utterances.

    It becomes a component of BUNDLE, and `keras-listen run --prior ppgn --bundle BUNDLE` uses it.
    Without BUNDLE the embedded one is meant, which is not written to: then --out is needed.
    """
    if bundle is None and settings["out"] is None:
        raise click.UsageError("name a BUNDLE to add to, or --out FOLDER")
    # As keras-listen has it; TensorFlow reads these when it is first imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    from keras_listen import load_bundle

    from .fitting import fit as carry_out

    component = carry_out(load_bundle(bundle), store, **settings, report=_show)
    click.echo(f"denoiser: {component.root}")


def _show(row: dict[str, float]) -> None:
    if row["epoch"] % 10 == 0:
        click.echo(
            "epoch {epoch}: noise left {training:.3f}, validation {validation:.3f}".format(**row)
        )


def main() -> None:
    """Run the command line; a mendable error becomes one line and exit status 1."""
    try:
        keras_listen_ppgn(prog_name="keras-listen-ppgn")
    except ListenError as error:
        click.echo(f"keras-listen-ppgn: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
