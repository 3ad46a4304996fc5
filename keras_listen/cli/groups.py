"""Groups of commands whose modules are imported when called, and commands with examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


class Command(click.Command):
    """A command whose help ends in examples.

    Args:
        examples: command lines, without the program's name.
    """

    def __init__(self, *arguments: Any, examples: Sequence[str] = (), **settings: Any):
        super().__init__(*arguments, **settings)
        self.examples = tuple(examples)

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(context, formatter)
        with formatter.section("Examples"):
            for example in self.examples:
                # As it is: a line that is wrapped cannot be copied.
                formatter.write(f"{'':>{formatter.current_indent}}keras-listen {example}\n")
