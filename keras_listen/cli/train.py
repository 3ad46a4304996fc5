"""keras-listen train"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ..data.store import Store
from ..models.backend import start_quietly
from ..training.figures import draw_training, write_heard
from .bars import bar
from .groups import Command
from .options import split_list
from .text import duration


@click.command(
    cls=Command,
    examples=(
        "train store bundle",
        "train store bundle --only classifier,referee --epochs 20 --seed 1",
    ),
)
@click.argument("folders", nargs=-1, required=True, type=click.Path(), metavar="[STORE] BUNDLE")
@click.option(
    "--only",
    default="classifier,referee,ae,ae-denoiser,vae,vae-denoiser,conv-ae,diffusion,residual,separable"
    ",speech",
    show_default=True,
    callback=split_list,
    help="Components to train. wavenet is another one; it needs --audio and no STORE.",
)
@click.option(
    "--epochs", type=int, help="Passes over the training split, for each component.  [the recipe's]"
)
@click.option(
    "--augment/--no-augment", default=True, help="Augment features on the fly.  [augment]"
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Seed of first weights, order and augmentation: another one gives another network.",
)
@click.option("--beta", type=float, help="Weight of the VAE's divergence.  [1]")
@click.option(
    "--audio",
    multiple=True,
    type=click.Path(),
    help="Folder of recordings for the wavenet; may be repeated.",
)
@click.option(
    "--predict",
    type=click.Choice(["frames", "samples"]),
    default="frames",
    show_default=True,
    help="What the wavenet predicts: magnitudes of frames, all at once, or samples one by one.",
)
@click.option(
    "--steps",
    type=int,
    help="Updates of the wavenet's weights: more take longer.  [frames: 6000; samples: 50000]",
)
@click.option("--hparams", type=click.Path(), help="JSON file with the settings of the wavenet.")
@click.option(
    "--compact",
    is_flag=True,
    help="Store weights as float16 with 8 significant bits: two fifths of the size.",
)
def train(
    folders: tuple[str, ...],
    only: list[str],
    audio: tuple[str, ...],
    predict: str,
    steps: int | None,
    hparams: str | None,
    seed: int,
    compact: bool,
    **settings: Any,
) -> None:
    """Train classifiers and priors on STORE, or a vocoder on recordings, and add them to BUNDLE.

    A denoiser, for the learned pull of a prior, is fitted to the latents of its autoencoder. speech
    is what distances of features to real speech are measured from; it takes seconds.
    An interrupted call continues after its last finished epoch (or checkpoint) when it is repeated;
    components that BUNDLE already has are kept.
    """
    vocoder, others = "wavenet" in only, [name for name in only if name != "wavenet"]
    wanted = 2 if others else 1
    if len(folders) != wanted:
        raise click.UsageError(
            f"expected {'STORE and BUNDLE' if others else 'BUNDLE alone'} for --only "
            f"{','.join(only)}, got {len(folders)} folder(s)"
        )
    if vocoder != bool(audio):
        raise click.UsageError(
            "--only wavenet needs recordings: add --audio DIR"
            if vocoder
            else "--audio is for --only wavenet"
        )
    if others:
        _train_on_store(*folders, only=others, seed=seed, compact=compact, **settings)
    if vocoder:
        _train_vocoder(predict, audio, folders[-1], steps, hparams, seed=seed, compact=compact)


def _train_on_store(store: str, bundle: str, **settings) -> None:
    opened = Store.open(store)
    counts = ", ".join(f"{count} {split}" for split, count in opened.counts().items())
    click.echo(f"{len(opened.words)} words: {counts}")
    start_quietly()
    # Imports Keras, whose notices start_quietly mutes.
    from ..training.api import planned_epochs
    from ..training.api import train as train_components

    plan = planned_epochs(bundle, settings["only"], settings["epochs"])
    result = train_components(opened, bundle, **settings, announce=Announcer("epoch", plan))
    for name in result.names():
        figures = result.component(name).figures
        words = [f"{key.replace('_', ' ')} {_short(value)}" for key, value in figures.items()]
        click.echo(f"{name}: " + ", ".join(word for word in words if word))
    pictures = draw_training(result)
    click.echo(f"bundle: {result.root}; curves and confusion: {pictures}")


def _train_vocoder(
    predict: str,
    audio: tuple[str, ...],
    bundle: str,
    steps: int | None,
    hparams: str | None,
    **settings: Any,
) -> None:
    start_quietly()
    # They import Keras, whose notices start_quietly mutes.
    if predict == "frames":
        from ..training.train_frames import RECIPE, train_frames
        from ..training.vocoder_training import read_settings

        train, recipe, own = train_frames, RECIPE, {"changes": read_settings(hparams)}
    else:
        from ..training.train_wavenet import read_config, train_wavenet
        from ..training.vocoder_training import VocoderRecipe

        train, recipe, own = train_wavenet, VocoderRecipe(), {"config": read_config(hparams)}
    announcer = Announcer("step")
    result = train(
        audio,
        bundle,
        recipe=recipe if steps is None else dataclasses.replace(recipe, steps=steps),
        announce=lambda row: announcer("wavenet", row),
        heard=lambda *what: write_heard(Path(bundle) / "heard", *what),
        track=bar,
        **own,
        **settings,
    )
    draw_training(result)
    click.echo(f"bundle: {result.root}; sounds of each checkpoint: {result.root / 'heard'}")


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return "in component.json" if isinstance(value, list) else str(value)


class Announcer:
    """Prints a line for each epoch or checkpoint, with the time left.

    Args:
        unit: "epoch" or "step"; rows hold the current number and, in the plural, the last one.
        plan: epochs of each component to train, in their order. The time left for all of them
            takes those that did not begin to be as quick as those before.
    """

    def __init__(self, unit: str, plan: Mapping[str, int] | None = None) -> None:
        self.plan, self.all_spent, self.all_done = dict(plan or {}), 0.0, 0
        self.unit, self.units = unit, f"{unit}s"
        self.name, self.reached, self.time = "", 0, time.monotonic()
        self.spent = self.done = 0.0

    def __call__(self, name: str, row: dict[str, float]) -> None:
        now, reached = time.monotonic(), row[self.unit]
        if name != self.name:
            self.name, self.spent, self.done, self.reached = name, 0.0, 0.0, None
        # The progress of a resumed training is known only after its first row.
        step = 1 if self.reached is None and self.unit == "epoch" else 0
        if self.reached is not None:
            step = reached - self.reached
        self.spent += (now - self.time) * bool(step)
        self.done += step
        self.all_spent += (now - self.time) * bool(step)
        self.all_done += step
        self.time, self.reached = now, reached
        figures = "  ".join(
            f"{k} {v:.4f}" for k, v in row.items() if k not in (self.unit, self.units)
        )
        left = ""
        if self.done:
            seconds = (row[self.units] - reached) * self.spent / self.done
            left = f"  {duration(seconds)} left{self._for_all(name, seconds)}"
        click.echo(f"{name} {self.unit} {reached}/{row[self.units]}  {figures}{left}")

    def _for_all(self, name: str, seconds: float) -> str:
        """Return text on the time for all components; empty where this is the last one."""
        names = list(self.plan)
        later = names[names.index(name) + 1 :] if name in names else []
        if not later:
            return ""
        pace = self.all_spent / self.all_done
        seconds += pace * sum(self.plan[other] for other in later)
        return f", about {duration(seconds)} for all {len(names)} components"
