"""Say when numba compiles a loop: it does so once on a machine, and that takes up to a minute."""

from __future__ import annotations

import logging
from functools import lru_cache

from numba.core import event

log = logging.getLogger("keras_listen")


class _Teller(event.Listener):
    """Logs the first compilation of this process; loops that were compiled before are no event."""

    def __init__(self) -> None:
        self._told = False

    def on_start(self, event: event.Event) -> None:
        if not self._told:
            self._told = True
            log.info("compiling fast loops, once on this machine; this takes up to a minute")

    def on_end(self, event: event.Event) -> None:
        """Do nothing."""


@lru_cache(maxsize=1)
def tell_compiling() -> None:
    """Log a line once this process begins to compile; called by modules with compiled loops."""
    event.register("numba:compile", _Teller())
