"""keras-listen study"""

from __future__ import annotations

import click

from .study_analyse import analyse


@click.group()
def study() -> None:
    """Let people listen: make recordings, collect ratings, analyse them."""


study.add_command(analyse)
