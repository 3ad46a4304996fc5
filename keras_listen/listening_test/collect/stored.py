"""Read ratings from the database in which they were collected."""

from __future__ import annotations

import hashlib
import importlib
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import DatabaseError, ParameterError, Unavailable, install_command
from ..catalogue import Catalogue
from ..ratings import Rating
from .answers import ratings_text

#: Default database of `study serve`, in the folder of the listening test.
DATABASE = "ratings.sqlite"
_SQLITE = b"SQLite format 3\0"


@dataclass(frozen=True)
class Stored:
    """Ratings of a listening test, read from a database.

    Attributes:
        label: address of the database, without the password.
        ratings: all ratings, rater by rater.
    """

    label: str
    ratings: list[Rating]

    def __str__(self) -> str:
        return self.label

    @property
    def checksum(self) -> str:
        """SHA-256 of the ratings as a ratings file; a database holds more than ratings."""
        return hashlib.sha256(ratings_text(self.ratings, {}).encode()).hexdigest()


def is_database(source: str | Path) -> bool:
    """Return whether `source` is the URL of a database or a SQLite file."""
    if "://" in str(source):
        return True
    try:
        with open(source, "rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False


def read_stored(source: str | Path, study: Catalogue | None) -> Stored:
    """Read the ratings of a listening test from a database, which may be in use.

    Args:
        source: SQLAlchemy URL, or the path of a SQLite file.
        study: the listening test; a database may hold several.

    Raises:
        ParameterError: `study` is None.
        DatabaseError: the database cannot be read.
        StudyError: it has nothing of the listening test.
        Unavailable: a library is not installed.
    """
    require_libraries("reading a database of ratings", "sqlalchemy")
    # These import SQLAlchemy, which is an extra and may not be installed.
    from .connection import connect
    from .database import existing

    address = source if "://" in str(source) else Path(source)
    if study is None:
        raise ParameterError(
            "a database names recordings of a listening test, but not what they are; name its "
            "folder with --study"
        )
    with closing(connect(address)) as connector:
        found, _ = existing(connector, study.study)
        label = connector.label
        return Stored(label, [replace(r, where=_place(label, r)) for r in found.ratings()])


def _place(label: str, rating: Rating) -> str:
    return f"{label}, rater {rating.rater}, recording {rating.position}"


def database_of(folder: str | Path) -> Path:
    """Return the SQLite file in the folder of a listening test that was served.

    Raises:
        DatabaseError: there is no such file.
    """
    path = Path(folder) / DATABASE
    if not path.is_file():
        raise DatabaseError(
            f"{folder} has no {DATABASE}: it has not been served yet, or name the --database it "
            "was served with"
        )
    return path


def require_libraries(what: str, *names: str) -> None:
    """Raise Unavailable unless the libraries that `what` needs are installed."""
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise Unavailable(
                f"{what} needs the package {error.name}: {install_command('study')}"
            ) from error
