"""How long work tells how far it is, without printing.

Functions that take long accept `track`, called as `track(iterable, total=, label=, unit=)` and
returning an iterable over the same items. The command line passes one that draws a bar.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Track = Callable[..., Iterable[Any]]


def quiet(iterable: Iterable[Any], *, total: int, label: str, unit: str) -> Iterable[Any]:
    """Pass the items on and show nothing."""
    return iterable
