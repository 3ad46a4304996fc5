"""Set up a listening test in its database, and invite raters to it."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import StudyError
from ..folder import StudyFolder
from .connection import Connector, connect
from .database import CollectionSettings, Full, Ratings
from .order import Presentation, plan
from .stored import DATABASE, database_of

log = logging.getLogger("keras_listen")


def open_database(database: str | None, root: Path, *, create: bool = False) -> Connector:
    """Open the database at a URL, or by default the SQLite file in the folder `root`.

    Args:
        create: make file and tables if there are none.

    Raises:
        DatabaseError: the database cannot be opened, or has not been served yet.
    """
    if database is None:
        return connect(root / DATABASE if create else database_of(root), create=create)
    return connect(database, create=create)


def set_up(
    connector: Connector,
    study: StudyFolder,
    *,
    url: str,
    is_open: bool | None = None,
    most_raters: int | None = None,
    **given: Any,
) -> tuple[Ratings, CollectionSettings]:
    """Store the settings of a listening test: given values, else stored ones, else defaults.

    Raises:
        StudyError: raters were given recordings that are no longer in the folder.
    """
    ratings = Ratings(connector, study.id)
    if unknown := ratings.names() - set(study.by_name):
        raise StudyError(
            f"{connector.label} has the recording {min(unknown)} in a rater's order, which "
            f"{study.root / 'manifest.csv'} does not know; bring back the one that was served"
        )
    before = ratings.settings() or CollectionSettings()
    design = {name: value for name, value in given.items() if value is not None}
    settings = replace(
        before,
        design=replace(before.design, **design),
        is_open=before.is_open if is_open is None else is_open,
        most_raters=most_raters or before.most_raters,
        url=url,
    )
    ratings.set(settings)
    return ratings, settings


def invite_raters(
    ratings: Ratings, study: StudyFolder, settings: CollectionSettings, count: int
) -> list[str]:
    """Add `count` raters and return their links; fewer only if others join meanwhile.

    Raises:
        Full: there is no room for so many raters.
    """
    there = len(ratings.overview())
    if count > 0 and there + count > settings.most_raters:
        raise Full(there, settings.most_raters, count)

    def order(number: int) -> list[Presentation]:
        return plan(study, number, settings.design)

    tokens: list[str] = []
    try:
        for _ in range(count):
            tokens.append(ratings.register(settings.most_raters, order))
    except Full as error:
        if not tokens:
            raise
        # The links made so far are valid, and cannot be shown again.
        log.warning("%s", error)
    return [f"{settings.url}/#{token}" for token in tokens]
