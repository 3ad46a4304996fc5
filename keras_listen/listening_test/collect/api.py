"""Collecting ratings of a study with a server: to serve it, to invite raters, to export ratings."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import StudyError
from ...output.files import write_text
from ..folder import StudyFolder, open_study
from ..items import read_manifest
from .offline import TITLE
from .order import plan
from .stored import DATABASE, database_of, require_libraries

if TYPE_CHECKING:
    from .connection import Connector
    from .database import CollectionSettings, Ratings

log = logging.getLogger("keras_listen")

PORT = 8765


@dataclass(frozen=True)
class Serving:
    """A server that is about to answer.

    Attributes:
        url: its address, without a slash at the end.
        study_link: makes whoever opens it a rater; None where raters must be invited.
        links: of raters who were invited by this call.
        admin_token: a new one, or None where an earlier one holds.
        presentations: that a rater goes through.
        recordings: of the study.
        database: its address, without the password.
    """

    url: str
    study_link: str | None
    links: list[str]
    admin_token: str | None
    presentations: int
    recordings: int
    database: str


def serve(
    root: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    database: str | None = None,
    url: str | None = None,
    proxy: str = "127.0.0.1",
    title: str = TITLE,
    raters: int = 0,
    most_raters: int | None = None,
    new_admin_token: bool = False,
    announce: Callable[[Serving], None] = lambda serving: None,
    **given: Any,
) -> None:
    """Serve a study until the process is told to stop.

    Args:
        root: the study's folder.
        port: 0 for any that is free.
        database: SQLAlchemy URL; by default a SQLite file in the folder.
        url: address under which raters reach the server, if that is another one.
        proxy: addresses of proxies whose word for a client's address is taken, with commas.
        raters: links are made until there are so many.
        most_raters: so many may join; None leaves what was set before, at first 1000.
        announce: is told once, when connections are taken.
        given: `is_open` and the fields of `Design`; None leaves what was set before.

    Raises:
        RunError: the folder is no study, or a recording is missing or damaged.
        StudyError: the database cannot be used, or the address is taken.
        Unavailable: a library is not installed.
    """
    _require_libraries()
    from .serve import run

    study = open_study(root)
    with (
        _listening(host, port) as sock,
        closing(_connect(database, study.root, create=True)) as connector,
    ):
        address = (url or _address(host, sock.getsockname()[1])).rstrip("/")
        ratings, settings = _set_up(connector, study, url=address, most_raters=most_raters, **given)
        serving = Serving(
            url=address,
            study_link=f"{address}/#join={ratings.code()}" if settings.is_open else None,
            links=_invite(ratings, study, settings, raters - len(ratings.overview())),
            admin_token=ratings.make_admin_token(replace=new_admin_token),
            presentations=len(plan(study, 0, settings.design)),
            recordings=len(study.rows),
            database=connector.label,
        )
        application = _application(study, ratings, title)
        run(application, sock, proxy=proxy, started=lambda: announce(serving))


def _application(study: StudyFolder, ratings: Ratings, title: str) -> Any:
    from .pages import admin_page, served_page
    from .server import Application, Page

    pages = {"/": Page(*served_page(title)), "/admin": Page(*admin_page(f"{title}: ratings"))}
    return Application(study, ratings, pages).asgi()


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        why = (error.strerror or str(error)).partition(" (while")[0]
        raise StudyError(
            f"cannot listen on {host}:{port} ({why}); give another --port, or --port 0 for any "
            "that is free"
        ) from error


def _address(host: str, port: int) -> str:
    """Return the address that people on this or another machine can open."""
    if host in ("0.0.0.0", "::", ""):
        host = socket.gethostname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def invite(
    root: str | Path, raters: int, *, database: str | None = None, url: str | None = None
) -> list[str]:
    """Add raters to a study that has been served before, and return their links.

    Raises:
        StudyError: it has not, or has all its raters.
    """
    _require_libraries()
    from .database import existing

    study = open_study(root)
    with closing(_connect(database, study.root)) as connector:
        ratings, settings = existing(connector, study.id)
        if url:
            settings = replace(settings, url=url.rstrip("/"))
        return _invite(ratings, study, settings, raters)


def export(root: str | Path, out: str | Path, *, database: str | None = None) -> int:
    """Write a study's ratings as CSV and return how many there are.

    Recordings are not needed for it.

    Raises:
        RunError: the folder is no study, or `out` cannot be written.
        StudyError: the database cannot be used.
    """
    _require_libraries()
    from .answers import ratings_text
    from .database import existing

    id_ = read_manifest(root)["study"]
    with closing(_connect(database, Path(root))) as connector:
        ratings, _ = existing(connector, id_)
        rows = ratings.ratings()
        headphones = {row["rater"]: row["headphones"] for row in ratings.overview()}
    write_text(out, ratings_text(rows, headphones))
    return len(rows)


def _set_up(
    connector: Connector,
    study: StudyFolder,
    *,
    url: str,
    is_open: bool | None = None,
    most_raters: int | None = None,
    **given: Any,
) -> tuple[Ratings, CollectionSettings]:
    """Store what a study is set to: what is given, else as before, else the defaults."""
    from .database import CollectionSettings, Ratings

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


def _invite(
    ratings: Ratings, study: StudyFolder, settings: CollectionSettings, count: int
) -> list[str]:
    """Return as many new links, or make none; fewer only where others join meanwhile."""
    from .database import Full

    there = len(ratings.overview())
    if count > 0 and there + count > settings.most_raters:
        raise Full(there, settings.most_raters, count)

    def order(number: int):
        return plan(study, number, settings.design)

    tokens: list[str] = []
    try:
        for _ in range(count):
            tokens.append(ratings.register(settings.most_raters, order))
    except Full as error:
        if not tokens:
            raise
        # These are good, and nobody else could tell them.
        log.warning("%s", error)
    return [f"{settings.url}/#{token}" for token in tokens]


def _connect(database: str | None, root: Path, *, create: bool = False) -> Connector:
    from .connection import connect

    if database is None:
        return connect(root / DATABASE if create else database_of(root), create=create)
    return connect(database, create=create)


def _require_libraries() -> None:
    what = "collecting ratings with a server"
    require_libraries(what, "sqlalchemy", "starlette", "uvicorn")
