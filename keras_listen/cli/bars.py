"""Progress bars, and Ctrl-C while one is drawn."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from ..output.progress import Advance

_interrupted = threading.Event()


#: Progress bars that are being drawn, the outermost first.
_shown: list[Any] = []


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
