"""Progress of long work, without printing.

Functions that take long accept `track`, which opens a stage of the work and gives a function that
counts finished items:

    with track(total=len(files), label="features", unit="utterance") as advance:
        for file in files:
            ...
            advance()

The command line passes `cli.bars.bar`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Advance(Protocol):
    """Counts `count` more items as finished; may raise KeyboardInterrupt."""

    def __call__(self, count: int = 1) -> None: ...


class Track(Protocol):
    """Opens a stage of `total` items; None where their number is not known."""

    def __call__(
        self, *, total: int | None, label: str, unit: str
    ) -> AbstractContextManager[Advance]: ...


@contextmanager
def quiet(*, total: int | None, label: str, unit: str) -> Iterator[Advance]:
    """Show nothing."""

    def advance(count: int = 1) -> None:
        pass

    yield advance
