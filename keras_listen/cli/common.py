"""What several commands share: options, progress, lists."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any

import click


def split_list(context: click.Context, parameter: click.Parameter, value: str | None) -> list[str]:
    """Turn "a,b,c" into its parts; nothing into an empty list."""
    return [part.strip() for part in (value or "").split(",") if part.strip()]


def bar(iterable: Iterable[Any], *, total: int, label: str, unit: str) -> Iterable[Any]:
    """Draw a progress bar with rate and time left on standard error.

    A bar inside another one goes away when it is done.
    """
    from tqdm import tqdm

    # Where nobody watches, a line every ten seconds is enough, and none of what takes less.
    watched, inner = sys.stderr.isatty(), bool(_shown)
    settings = {"mininterval": 0.2 if watched else 10.0, "leave": not inner}
    if inner and not watched:
        settings["delay"] = 10.0
    with tqdm(iterable, total=total, desc=label, unit=f" {unit}", **settings) as shown:
        _shown.append(shown)
        try:
            for item in shown:
                if _interrupted.is_set():
                    raise KeyboardInterrupt
                yield item
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

    def __init__(self, *arguments, homes: Mapping[str, str], **settings):
        super().__init__(*arguments, **settings)
        self.homes = homes

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.homes)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self.homes:
            return None
        return getattr(import_module(f".{self.homes[name]}", __package__), name)


def model_options(command):
    """Add the options that name models; every command that listens has the same."""
    return _with(_MODEL_OPTIONS, command)


def ascent_options(command):
    """Add the options that say how to climb."""
    return _with(_ASCENT_OPTIONS, command)


def _with(options, command):
    """Add options, which help shows in their order."""
    for option in reversed(options):
        command = option(command)
    return command


component_options = click.option(
    "-o",
    "options",
    multiple=True,
    metavar="KIND.NAME.KEY=VALUE",
    help="Option of a component; keras-listen plugins lists them.",
)

_MODEL_OPTIONS = (
    click.option("--bundle", type=click.Path(), help="Folder of a bundle.  [the embedded one]"),
    click.option("--classifier", type=click.Path(), help="A .keras file to listen to instead."),
    click.option("--words-file", type=click.Path(), help="Its words, one a line."),
    click.option("--spec", type=click.Path(), help="TOML file with its FeatureSpec.  [default]"),
    click.option("--trust-model", is_flag=True, help="Open it even if it holds Python code."),
)

_ASCENT_OPTIONS = (
    click.option("--step-size", type=float, help="Size of a step.  [the prior's]"),
    click.option(
        "--optimizer",
        type=click.Choice(["normalized", "momentum", "adam"]),
        default="normalized",
        show_default=True,
        help="What makes a step of a gradient.",
    ),
    click.option(
        "--shift",
        type=click.IntRange(min=0),
        help="While climbing, move features by up to so many frames.  [0]",
    ),
    click.option(
        "--gain",
        type=click.FloatRange(min=0),
        help="While climbing, make features louder or softer by up to so many dB.  [0]",
    ),
    click.option("--stop-at", type=float, help="Leave a sample where its target is so probable."),
    click.option("--keep-best", is_flag=True, help="Keep each sample's best step, not its last."),
)
