"""keras-listen study"""

from __future__ import annotations

import click

from ..common import LazyGroup

_HOMES = {
    "make": "make",
    "serve": "collect",
    "invite": "collect",
    "export": "collect",
    "page": "collect",
    "mturk": "collect",
    "analyse": "analyse",
}


@click.group(cls=LazyGroup, homes=_HOMES, package=__name__)
def study() -> None:
    """Run a listening test: make recordings, collect ratings, analyse them."""
