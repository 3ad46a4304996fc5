"""Groups of commands whose modules are imported when they are called."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


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
