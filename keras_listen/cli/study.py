"""keras-listen study"""

from __future__ import annotations

import click

from .study_make import make


@click.group()
def study() -> None:
    """The listening test: make recordings, collect ratings, analyse them."""


study.add_command(make)
