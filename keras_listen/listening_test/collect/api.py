"""Collect ratings with a server: serve a listening test, invite raters, export their ratings."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import StudyError
from ...output.files import write_text
from ..folder import open_study
from ..items import read_manifest
from .answers import ratings_text
from .offline import TITLE
from .order import plan
from .stored import require_libraries

PORT = 8765


@dataclass(frozen=True)
class Serving:
    """A server that is ready to answer.

    Attributes:
        url: its address, without a slash at the end.
        study_link: link that makes whoever opens it a rater; None if raters must be invited.
        links: links of the raters invited by this call.
        admin_token: new token for administrators; None if an earlier one remains valid.
        presentations: number of presentations to a rater.
        recordings: number of recordings in the listening test.
        database: address of the database, without the password.
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
    """Serve a listening test until the process gets SIGINT or SIGTERM.

    Args:
        root: folder of the listening test.
        host, port: address to listen on; port 0 for any free one.
        database: SQLAlchemy URL; by default a SQLite file in the folder.
        url: address under which raters reach the server, if that is another one.
        proxy: addresses of trusted proxies, separated by commas.
        title: title of the pages.
        raters: invite raters until there are this many.
        most_raters: greatest number of raters; None keeps the stored one, at first 1000.
        new_admin_token: replace the token for administrators.
        announce: called once, when the server accepts connections.
        given: `is_open` and the fields of `Design`; None keeps the stored value.

    Raises:
        RunError: the folder holds no listening test, or a recording is missing or damaged.
        StudyError: the database cannot be used, or the address is in use.
        Unavailable: a library is not installed.
    """
    _require_libraries()
    # These import libraries of the extra `study`, which may not be installed.
    from .enrolment import invite_raters, open_database, set_up
    from .server import create_application, run

    study = open_study(root)
    with (
        _listening(host, port) as sock,
        closing(open_database(database, study.root, create=True)) as connector,
    ):
        address = (url or _address(host, sock.getsockname()[1])).rstrip("/")
        ratings, settings = set_up(connector, study, url=address, most_raters=most_raters, **given)
        serving = Serving(
            url=address,
            study_link=f"{address}/#join={ratings.code()}" if settings.is_open else None,
            links=invite_raters(ratings, study, settings, raters - len(ratings.overview())),
            admin_token=ratings.make_admin_token(replace=new_admin_token),
            presentations=len(plan(study, 0, settings.design)),
            recordings=len(study.rows),
            database=connector.label,
        )
        application = create_application(study, ratings, title)
        run(application, sock, proxy=proxy, started=lambda: announce(serving))


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
    """Return an address that a browser on this or another machine can open."""
    if host in ("0.0.0.0", "::", ""):
        host = socket.gethostname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def invite(
    root: str | Path, raters: int, *, database: str | None = None, url: str | None = None
) -> list[str]:
    """Add raters to a listening test that has been served before, and return their links.

    Args:
        root: folder of the listening test.
        raters: number of raters to add.
        database: SQLAlchemy URL; by default the SQLite file in the folder.
        url: address that links begin with; by default that of the last server.

    Raises:
        StudyError: it has not been served, or has no room for so many raters.
    """
    _require_libraries()
    # These import libraries of the extra `study`, which may not be installed.
    from .database import existing
    from .enrolment import invite_raters, open_database

    study = open_study(root)
    with closing(open_database(database, study.root)) as connector:
        ratings, settings = existing(connector, study.id)
        if url:
            settings = replace(settings, url=url.rstrip("/"))
        return invite_raters(ratings, study, settings, raters)


def export(root: str | Path, out: str | Path, *, database: str | None = None) -> int:
    """Write the ratings of a listening test as CSV and return how many there are.

    Recordings need not be there.

    Args:
        root: folder of the listening test.
        out: path of the CSV file.
        database: SQLAlchemy URL; by default the SQLite file in the folder.

    Raises:
        RunError: the folder holds no listening test, or `out` cannot be written.
        StudyError: the database cannot be used.
    """
    _require_libraries()
    # These import libraries of the extra `study`, which may not be installed.
    from .database import existing
    from .enrolment import open_database

    id_ = read_manifest(root)["study"]
    with closing(open_database(database, Path(root))) as connector:
        ratings, _ = existing(connector, id_)
        rows = ratings.ratings()
        headphones = {row["rater"]: row["headphones"] for row in ratings.overview()}
    write_text(out, ratings_text(rows, headphones))
    return len(rows)


def _require_libraries() -> None:
    what = "collecting ratings with a server"
    require_libraries(what, "sqlalchemy", "starlette", "uvicorn")
