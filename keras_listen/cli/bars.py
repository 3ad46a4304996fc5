"""Progress on standard error: bars in a terminal, lines elsewhere; and Ctrl-C meanwhile."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from ..output.progress import Advance
from .text import duration

_interrupted = threading.Event()

#: Stages that are open, the outermost first.
_open: list[Any] = []

#: Seconds from one line to the next where nobody watches, and the share that is done meanwhile.
_PAUSE, _SHARE = 10.0, 0.01
#: Seconds and share of the work after which the time left means something. They count from the
#: first items on, since these wait for what is read, traced and compiled once.
_SOON, _BEGUN = 2.0, 0.02

_BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"


@contextlib.contextmanager
def bar(*, total: int | None, label: str, unit: str) -> Iterator[Advance]:
    """Show progress on standard error: a bar in a terminal, else a line now and then.

    A bar inside another one goes away when it is done; see `output.progress`.
    """
    watched = sys.stderr.isatty()
    shown = (_Bar if watched else _Lines)(total, label, unit, inner=bool(_open))

    def advance(count: int = 1) -> None:
        shown.advance(count)
        if _interrupted.is_set():
            raise KeyboardInterrupt

    _open.append(shown)
    try:
        yield advance
        shown.finish()
    finally:
        _open.remove(shown)
        shown.close()


class TimeLeft:
    """Estimates the time that a stage still takes.

    Args:
        total: its items; None where their number is not known.
    """

    def __init__(self, total: int | None):
        self._total, self._done = total, 0
        self._first: tuple[float, int] | None = None

    def count(self, count: int) -> None:
        """Count items that are done."""
        self._done += count
        if self._first is None and self._done:
            self._first = time.monotonic(), self._done

    @property
    def text(self) -> str:
        """Text such as "2 min 5 s left"; empty before it means something, and at the end."""
        if self._total is None or self._first is None:
            return ""
        since, before = self._first
        spent, done = time.monotonic() - since, self._done - before
        left = self._total - self._done
        if left <= 0 or spent < _SOON or done < max(1, _BEGUN * self._total):
            return ""
        return f"{duration(left * spent / done)} left"


class _Bar:
    """A bar of tqdm's, without a time left before it means something."""

    def __init__(self, total: int | None, label: str, unit: str, *, inner: bool):
        from tqdm import tqdm

        form = {} if total is None else {"bar_format": _BAR}
        self._left = TimeLeft(total)
        self._bar = tqdm(
            total=total, desc=label, unit=f" {unit}", mininterval=0.2, leave=not inner, **form
        )

    def advance(self, count: int) -> None:
        self._left.count(count)
        self._bar.set_postfix_str(self._left.text, refresh=False)
        self._bar.update(count)

    def finish(self) -> None:
        """Do nothing: a bar shows its end."""

    def close(self) -> None:
        self._bar.close()


class _Lines:
    """A line every now and then, for log files: no bar, no return of the cursor.

    A stage inside another one says nothing unless it takes long.
    """

    def __init__(self, total: int | None, label: str, unit: str, *, inner: bool):
        self._total, self._label, self._inner = total, label, inner
        self._units = unit if unit.endswith("s") or unit == "MiB" else f"{unit}s"
        self._unit = unit
        self._left = TimeLeft(total)
        self._done = self._said = 0
        self._began = self._spoke = time.monotonic()

    def advance(self, count: int) -> None:
        self._left.count(count)
        self._done += count
        now = time.monotonic()
        news = (self._done - self._said) >= _SHARE * (self._total or 0)
        if now - self._spoke < _PAUSE or not news or self._done == self._total:
            return
        self._spoke, self._said = now, self._done
        if not self._total:
            self._say(f"{self._done} {self._units}")
            return
        share = f"{100 * self._done / self._total:.0f} %"
        left = self._left.text
        text = f"{self._done} of {self._total} {self._units} ({share})"
        self._say(f"{text}, {left}" if left else text)

    def finish(self) -> None:
        """Say what was done in which time."""
        if self._done and not self._inner:
            units = self._unit if self._done == 1 else self._units
            spent = duration(time.monotonic() - self._began)
            self._say(f"{self._done} {units} in {spent}")

    def close(self) -> None:
        """Do nothing: a stage that was interrupted has no last line."""

    def _say(self, text: str) -> None:
        print(f"{self._label}: {text}", file=sys.stderr, flush=True)


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
