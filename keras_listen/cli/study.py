"""keras-listen study"""

from __future__ import annotations

import click

_HOMES = {
    "make": "study_make",
    "serve": "study_collect",
    "invite": "study_collect",
    "export": "study_collect",
    "page": "study_collect",
    "mturk": "study_collect",
    "analyse": "study_analyse",
}


class _Steps(click.Group):
    """Steps whose modules are imported only when they are called."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(_HOMES)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in _HOMES:
            return None
        from importlib import import_module

        return getattr(import_module(f".{_HOMES[name]}", __package__), name)


@click.group(cls=_Steps)
def study() -> None:
    """Let people listen: make recordings, collect ratings, analyse them."""
