"""Progress of long work, without printing.

Functions that take long accept `track`, which opens a stage of the work and gives a function that
counts finished items:

    with track(total=len(files), label="features", unit="utterance") as advance:
        for file in files:
            ...
            advance()

The command line passes `cli.bars.bar`; functions that people call default to `in_notebooks`.
"""

from __future__ import annotations

import sys
import warnings
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


def is_notebook() -> bool:
    """Return whether this process computes the cells of a Jupyter notebook."""
    find = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)
    return hasattr(find(), "kernel")


@contextmanager
def in_notebooks(*, total: int | None, label: str, unit: str) -> Iterator[Advance]:
    """Show a bar in a Jupyter notebook, and nothing elsewhere."""
    if not is_notebook():
        with quiet(total=total, label=label, unit=unit) as advance:
            yield advance
        return
    with warnings.catch_warnings():
        # Without ipywidgets it warns, and draws bars as text.
        warnings.simplefilter("ignore")
        # Slow to import, and only notebooks need it.
        from tqdm.auto import tqdm

        bar = tqdm(total=total, desc=label, unit=f" {unit}", leave=False)
    with bar:

        def advance(count: int = 1) -> None:
            bar.update(count)

        yield advance


@contextmanager
def quiet(*, total: int | None, label: str, unit: str) -> Iterator[Advance]:
    """Show nothing."""

    def advance(count: int = 1) -> None:
        pass

    yield advance
