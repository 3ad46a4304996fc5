"""Store raters, their presentations and their ratings in any database that SQLAlchemy supports.

A rating is stored once: the database itself refuses a second one for the same position in a rater's
order. Of tokens only the SHA-256 is stored; a rater is nothing but a number.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from ...errors import StudyError
from ..ratings import Rating
from .answers import Answer
from .connection import Connector
from .order import Design, Presentation
from .schema import presentations, raters, ratings, studies


@dataclass(frozen=True)
class CollectionSettings:
    """Settings with which a listening test was last served.

    Attributes:
        design: how recordings are presented to raters who join from now on.
        is_open: whether anybody with the link of the listening test may join.
        most_raters: greatest number of raters.
        url: address under which raters reach the server, without a slash at its end.
    """

    design: Design = field(default_factory=Design)
    is_open: bool = True
    most_raters: int = 1000
    url: str = ""


@dataclass(frozen=True)
class StoredRater:
    """A rater in the database.

    Attributes:
        key: primary key in the database.
        name: opaque id, as in ratings.
        headphones: result of the headphones check; empty before it.
    """

    key: int
    name: str
    headphones: str


class AlreadyRated(StudyError):
    """Another answer has been stored for this presentation."""


class Full(StudyError):
    """A listening test has its greatest number of raters; the message is for who runs it."""

    def __init__(self, there: int, most: int, wanted: int = 1):
        super().__init__(
            f"this listening test has {there} raters and takes {most}; for {wanted} more, serve it "
            f"with --most-raters {there + wanted} or more"
        )


class Ratings:
    """The part of a database that belongs to one listening test.

    Args:
        connector: the open database.
        study: id of the listening test.
    """

    def __init__(self, connector: Connector, study: str):
        self.connector, self.study = connector, study

    def settings(self) -> CollectionSettings | None:
        """Return the stored settings; None if the listening test is not in the database."""
        with self.connector.reading() as connection:
            stored = connection.scalar(select(studies.c.settings).where(self._own(studies.c.id)))
        if stored is None:
            return None
        values = json.loads(stored)
        return CollectionSettings(**values | {"design": Design(**values["design"])})

    def set(self, settings: CollectionSettings) -> None:
        """Store settings; add the listening test if it is not in the database."""
        values = {"settings": json.dumps(asdict(settings))}
        with self.connector.writing() as connection:
            found = connection.execute(
                update(studies).where(self._own(studies.c.id)).values(values)
            ).rowcount
            if not found:
                new = {"id": self.study, "code": secrets.token_urlsafe(12), "admin": ""}
                connection.execute(insert(studies).values(new | values))

    def code(self) -> str:
        """Return the code with which raters join."""
        with self.connector.reading() as connection:
            return connection.scalar(select(studies.c.code).where(self._own(studies.c.id)))

    def make_admin_token(self, *, replace: bool = False) -> str | None:
        """Create a token for administrators; None if there is one and it is not to be replaced."""
        token = secrets.token_urlsafe(24)
        condition = self._own(studies.c.id)
        if not replace:
            condition &= studies.c.admin == ""
        statement = update(studies).where(condition).values(admin=_digest(token))
        with self.connector.writing() as connection:
            return token if connection.execute(statement).rowcount else None

    def is_admin(self, token: str) -> bool:
        """Return whether `token` is that of the administrators."""
        with self.connector.reading() as connection:
            stored = connection.scalar(select(studies.c.admin).where(self._own(studies.c.id)))
        return bool(stored) and hmac.compare_digest(stored, _digest(token))

    def register(self, most: int, plan: Callable[[int], Sequence[Presentation]]) -> str:
        """Add a rater and return the token of their link.

        Args:
            most: greatest number of raters.
            plan: returns the presentations to the rater with a number, from 0.

        Raises:
            Full: there are that many already.
        """
        token = secrets.token_urlsafe(16)
        with self.connector.writing() as connection:
            number = self._next_number(connection)
            if number >= most:
                raise Full(number, most)
            row = {
                "study": self.study,
                "number": number,
                "name": f"r-{secrets.token_hex(5)}",
                "token": _digest(token),
                "headphones": "",
                "joined_at": now(),
            }
            key = connection.execute(insert(raters).values(row)).inserted_primary_key[0]
            order = [asdict(presentation) for presentation in plan(number)]
            rows = [p | {"rater": key, "sound": secrets.token_hex(8)} for p in order]
            connection.execute(insert(presentations), rows)
        return token

    def _next_number(self, connection: Connection) -> int:
        # Whoever registers at the same time waits here (SQLite lets one write at a time anyway).
        connection.execute(select(studies.c.id).where(self._own(studies.c.id)).with_for_update())
        own = self._own(raters.c.study)
        return connection.scalar(select(func.count()).select_from(raters).where(own))

    def rater(self, token: str) -> StoredRater | None:
        """Return the rater whose link has `token`, or None."""
        columns = (raters.c.key, raters.c.name, raters.c.headphones)
        query = select(*columns).where(self._own(raters.c.study), raters.c.token == _digest(token))
        with self.connector.reading() as connection:
            row = connection.execute(query).first()
        return StoredRater(*row) if row else None

    def order(self, rater: StoredRater) -> list[Row]:
        """Return a rater's presentations in order, each with `done`: whether it is rated."""
        query = (
            select(presentations, ratings.c.position.is_not(None).label("done"))
            .outerjoin(ratings)
            .where(presentations.c.rater == rater.key)
            .order_by(presentations.c.position)
        )
        with self.connector.reading() as connection:
            return list(connection.execute(query))

    def presentation(self, rater: StoredRater, **where: Any) -> Row | None:
        """Return a rater's presentation by its `position` or `sound`; None if there is none."""
        query = select(presentations).where(presentations.c.rater == rater.key).filter_by(**where)
        with self.connector.reading() as connection:
            return connection.execute(query).first()

    def rate(self, rater: StoredRater, position: int, answer: Answer) -> bool:
        """Store an answer; return whether it is new. The same answer may be sent again.

        Raises:
            AlreadyRated: another answer is stored.
        """
        row = {"rater": rater.key, "position": position, "rated_at": now()} | asdict(answer)
        try:
            with self.connector.writing() as connection:
                connection.execute(insert(ratings).values(row))
            return True
        except IntegrityError:
            stored = self._stored(rater, position)
        if stored is None:
            raise StudyError(f"there is no recording {position} in this rater's order")
        if (stored.rating, stored.heard) != (answer.rating, answer.heard):
            raise AlreadyRated("this recording has been rated already; the first rating stays")
        return False

    def _stored(self, rater: StoredRater, position: int) -> Row | None:
        query = select(ratings).filter_by(rater=rater.key, position=position)
        with self.connector.reading() as connection:
            return connection.execute(query).first()

    def set_headphones(self, rater: StoredRater, result: str) -> None:
        """Store the result of a rater's headphones check, in place of an earlier one."""
        statement = update(raters).where(raters.c.key == rater.key).values(headphones=result)
        with self.connector.writing() as connection:
            connection.execute(statement)

    def ratings(self) -> list[Rating]:
        """Return all ratings, rater by rater, each in the rater's order."""
        names = ("mode", "name", "repeat", "position")
        query = (
            select(
                raters.c.name.label("rater"),
                *(presentations.c[name] for name in names),
                *(ratings.c[name] for name in ("rating", "heard", "plays", "seconds", "rated_at")),
            )
            .join_from(ratings, presentations)
            .join(raters)
            .where(self._own(raters.c.study))
            .order_by(raters.c.number, presentations.c.position)
        )
        with self.connector.reading() as connection:
            rows = connection.execute(query).mappings()
            return [Rating(study=self.study, **row) for row in rows]

    def names(self) -> set[str]:
        """Return the names of all recordings in any rater's order."""
        query = select(presentations.c.name).join(raters).where(self._own(raters.c.study))
        with self.connector.reading() as connection:
            return set(connection.scalars(query.distinct()))

    def overview(self) -> list[dict[str, Any]]:
        """Return a row per rater: time of joining, progress, time of the last rating."""
        query = (
            select(
                raters.c.name.label("rater"),
                raters.c.joined_at,
                raters.c.headphones,
                func.count(presentations.c.position).label("recordings"),
                func.count(ratings.c.position).label("rated"),
                func.max(ratings.c.rated_at).label("last_at"),
            )
            .join_from(raters, presentations)
            .outerjoin(ratings)
            .where(self._own(raters.c.study))
            .group_by(raters.c.key)
            .order_by(raters.c.number)
        )
        with self.connector.reading() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def _own(self, column: Any) -> Any:
        return column == self.study


def existing(connector: Connector, study: str) -> tuple[Ratings, CollectionSettings]:
    """Return the ratings and settings of a listening test that has been served before.

    Raises:
        StudyError: the database has nothing of it.
    """
    ratings = Ratings(connector, study)
    if (settings := ratings.settings()) is None:
        raise StudyError(
            f"{connector.label} has nothing of listening test {study}; serve it first, or name "
            "another"
        )
    return ratings, settings


def now() -> str:
    """Return the current time in the format of ratings: ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _digest(token: str) -> str:
    # Tokens are random and long: a slow hash would protect nothing more.
    return hashlib.sha256(token.encode()).hexdigest()
