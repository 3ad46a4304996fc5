"""Shared parts of commands: options, progress bars, tables."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, fields
from importlib import import_module
from typing import Any, TypeVar

import click

from ..experiment.settings import ModelChoice, SharedSettings
from ..maximization.settings import AscentSettings
from ..output.progress import Advance

Command = TypeVar("Command", bound=Callable[..., Any])


def split_list(context: click.Context, parameter: click.Parameter, value: str | None) -> list[str]:
    """Turn "a,b,c" into its parts; nothing into an empty list."""
    return [part.strip() for part in (value or "").split(",") if part.strip()]


@contextlib.contextmanager
def bar(*, total: int | None, label: str, unit: str) -> Iterator[Advance]:
    """Draw a progress bar with rate and time left on standard error; see `output.progress`.

    A bar inside another one goes away when it is done.
    """
    from tqdm import tqdm

    # Where nobody watches, a line every ten seconds is enough, and none of what takes less.
    watched, inner = sys.stderr.isatty(), bool(_shown)
    settings = {"mininterval": 0.2 if watched else 10.0, "leave": not inner}
    if inner and not watched:
        settings["delay"] = 10.0
    with tqdm(total=total, desc=label, unit=f" {unit}", **settings) as shown:

        def advance(count: int = 1) -> None:
            shown.update(count)
            if _interrupted.is_set():
                raise KeyboardInterrupt

        _shown.append(shown)
        try:
            yield advance
        finally:
            _shown.remove(shown)


_interrupted = threading.Event()
#: Progress bars that are being drawn, the outermost first.
_shown: list[Any] = []


@contextlib.contextmanager
def remembering_interrupts() -> Iterator[None]:
    """Remember Ctrl-C beside raising KeyboardInterrupt.

    Where the exception is raised inside a finalizer, Python drops it; then the next step of a
    progress bar raises it again.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # somebody else takes care of it, or nobody shall
        return

    def handle(number: int, frame: Any) -> None:
        _interrupted.set()
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _interrupted.clear()


def table(rows: list[list[str]]) -> str:
    """Lay out rows of text in columns, a line each; the first row is the heading."""
    rows = [[_visible(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows]
    return "\n".join(lines)


def _visible(text: str) -> str:
    """Write what cannot be printed, such as a new line, as Python does in a string."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def duration(seconds: float) -> str:
    """Write a duration the way people say it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class LazyGroup(click.Group):
    """Commands whose modules are imported only when they are called.

    Args:
        homes: module in `keras_listen.cli` of each command, in the order of help.
    """

    def __init__(self, *arguments: Any, homes: Mapping[str, str], **settings: Any):
        super().__init__(*arguments, **settings)
        self.homes = homes

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.homes)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self.homes:
            return None
        return getattr(import_module(f".{self.homes[name]}", __package__), name)


def settings_options(*classes: type) -> Callable[[Command], Command]:
    """Return a decorator that adds an option for each field of settings classes.

    Nothing is a default here: what isn't given has the default of the field, or of a preset.
    """
    options = [_option(one) for some in classes for one in fields(some) if "help" in one.metadata]

    def add(command: Command) -> Command:
        # Click shows options in reverse order of their decorators.
        for option in reversed(options):
            command = option(command)
        return command

    return add


def _option(one: Field) -> Callable[[Command], Command]:
    """Make an option of a field; see `maximization.settings.setting`."""
    about, default = one.metadata, one.default
    name = "--" + one.name.replace("_", "-")
    if isinstance(default, tuple):
        return click.option(
            "-o", one.name, multiple=True, metavar=about["metavar"], help=about["help"]
        )
    if isinstance(default, bool):
        return click.option(name, is_flag=True, default=None, help=about["help"])
    text = about["help"]
    if default is not None:
        text += f"  [{default:g}]" if isinstance(default, float) else f"  [{default}]"
    return click.option(name, type=_type(one), help=text)


def _type(one: Field) -> click.ParamType:
    """Return click's type of a field."""
    about, default = one.metadata, one.default
    if "choices" in about:
        return click.Choice(about["choices"])
    if about.get("path"):
        return click.Path()
    if isinstance(default, int):
        return click.IntRange(min=about["minimum"]) if "minimum" in about else click.INT
    return click.FloatRange(min=about["minimum"]) if "minimum" in about else click.FLOAT


#: The options that `run`, `evaluate`, `debug` and `study make` share.
shared_options = settings_options(AscentSettings, SharedSettings, ModelChoice)

component_options = click.option(
    "-o",
    "options",
    multiple=True,
    metavar="KIND.NAME.KEY=VALUE",
    help="Option of a component; keras-listen plugins lists them.",
)
