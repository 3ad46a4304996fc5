"""keras-listen study"""

from __future__ import annotations

import click

from .common import LazyGroup

_HOMES = {
    "make": "study_make",
    "serve": "study_collect",
    "invite": "study_collect",
    "export": "study_collect",
    "page": "study_collect",
    "mturk": "study_collect",
    "analyse": "study_analyse",
}


@click.group(cls=LazyGroup, homes=_HOMES)
def study() -> None:
    """Let people listen: make recordings, collect ratings, analyse them."""
