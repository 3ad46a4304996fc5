"""keras-listen train"""

from __future__ import annotations

import time

import click

from .common import duration, split_list


@click.command()
@click.argument("store", type=click.Path())
@click.argument("bundle", type=click.Path())
@click.option(
    "--only",
    default="classifier,referee,ae,vae",
    show_default=True,
    callback=split_list,
    help="Components to train.",
)
@click.option("--epochs", type=int, help="Passes over the training split, for each component.")
@click.option("--augment/--no-augment", default=True, help="Change features on the fly.  [augment]")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--beta", type=float, help="Weight of the VAE's divergence.  [1]")
@click.option("--compact", is_flag=True, help="Store weights as float16: half the size.")
def train(store, bundle, only, epochs, augment, seed, beta, compact) -> None:
    """Train classifiers and priors on STORE and put them into BUNDLE.

    A call that was interrupted goes on after its last finished epoch when it is given again;
    components that BUNDLE already has are kept.
    """
    from ..backend import start_quietly
    from ..store import Store

    opened = Store.open(store)
    counts = ", ".join(f"{count} {split}" for split, count in opened.counts().items())
    click.echo(f"{len(opened.words)} words: {counts}")
    start_quietly(engine=False)
    from ..report.training import draw_training
    from ..training import train as train_components

    result = train_components(
        opened,
        bundle,
        only=only,
        epochs=epochs,
        augment=augment,
        seed=seed,
        beta=beta,
        compact=compact,
        announce=_Announcer(),
    )
    for name in result.names():
        figures = result.component(name).figures
        words = [f"{key.replace('_', ' ')} {_short(value)}" for key, value in figures.items()]
        click.echo(f"{name}: " + ", ".join(word for word in words if word))
    pictures = draw_training(result)
    click.echo(f"bundle: {result.root}; curves and confusion: {pictures}")


def _short(value) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return "in component.json" if isinstance(value, list) else str(value)


class _Announcer:
    """Prints a line an epoch, with the time left for the component."""

    def __init__(self) -> None:
        self.last, self.name = time.monotonic(), ""
        self.spent: list[float] = []

    def __call__(self, name: str, row: dict[str, float]) -> None:
        now = time.monotonic()
        if name != self.name:
            self.name, self.spent = name, []
        self.spent.append(now - self.last)
        self.last = now
        left = (row["epochs"] - row["epoch"]) * sum(self.spent) / len(self.spent)
        figures = "  ".join(f"{k} {v:.4f}" for k, v in row.items() if k not in ("epoch", "epochs"))
        click.echo(f"{name} epoch {row['epoch']}/{row['epochs']}  {figures}  {duration(left)} left")
