"""keras-listen study: listening tests"""

from __future__ import annotations

import click

from ..groups import LazyGroup

_HOMES = {
    "make": "study.make",
    "serve": "study.collect",
    "invite": "study.collect",
    "export": "study.collect",
    "page": "study.collect",
    "mturk": "study.collect",
    "analyse": "study.analyse",
}


@click.group(cls=LazyGroup, homes=_HOMES)
def study() -> None:
    """Run a listening test: make recordings, collect ratings, analyse them."""
