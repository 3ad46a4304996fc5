"""Open a database of ratings, with one-line errors."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ... import __version__
from ...errors import DatabaseError, Unavailable, install_command
from .schema import SCHEMA, metadata, schema

#: Seconds to wait for a database that somebody else is writing to.
PATIENCE = 5
#: Connections of one server. More requests wait: there are no more threads than about these.
POOL = {"pool_size": 20, "max_overflow": 20}


class Connector:
    """An open database.

    Attributes:
        engine: SQLAlchemy's engine.
        label: its address without the password, for messages.
    """

    def __init__(self, engine: Engine):
        self.engine = engine
        self.label = engine.url.render_as_string(hide_password=True)
        # SQLite has one writer at a time, and lets those who wait try again at random moments:
        # of fifty some would never have their turn. Threads that wait for a lock do.
        self._turns = threading.Lock() if engine.dialect.name == "sqlite" else None

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a connection for reading.

        Raises:
            DatabaseError: the database cannot be reached, or is locked.
        """
        with self._plainly(), self.engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction for writing, committed at the end of the block.

        Raises:
            DatabaseError: the database cannot be reached, or is locked.
            sqlalchemy.exc.IntegrityError: a constraint of the schema was violated.
        """
        with self._turn(), self._plainly(), self.engine.connect() as connection:
            connection = connection.execution_options(listen_writes=True)
            with connection.begin():
                yield connection

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait until no other thread writes, if the database allows only one writer."""
        if self._turns is None:
            yield
        elif self._turns.acquire(timeout=3 * PATIENCE):
            try:
                yield
            finally:
                self._turns.release()
        else:
            raise DatabaseError(f"{self.label} is too busy; try again")

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextlib.contextmanager
    def _plainly(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except (DBAPIError, PoolTimeout) as error:
            raise DatabaseError(_explain(self.label, error)) from error


def connect(address: str | Path, *, create: bool = False) -> Connector:
    """Open a database.

    Args:
        address: SQLAlchemy URL, or the path of a SQLite file.
        create: create the tables if there are none.

    Raises:
        DatabaseError: it cannot be opened, has no tables, or tables of another version.
        Unavailable: the driver is not installed.
    """
    url = _url(address)
    if not create:
        _require_file(url)
    connector = Connector(_engine(url))
    try:
        with connector._plainly():
            _require_schema(connector, create)
    except BaseException:
        connector.close()
        raise
    return connector


def _url(address: str | Path) -> URL:
    if isinstance(address, Path):
        return URL.create("sqlite", database=str(address))
    try:
        url = make_url(address)
    except ArgumentError:
        raise DatabaseError(
            f"{address!r} is no address of a database; expected for instance "
            "sqlite:///ratings.sqlite or postgresql://user:password@host/name"
        ) from None
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    return url


def _require_file(url: URL) -> None:
    # SQLite would make an empty file of a misspelt name.
    name = url.database if url.get_backend_name() == "sqlite" else None
    if name and not name.startswith("file:") and not Path(name).is_file():
        raise DatabaseError(f"there is no database {name}; look at its name and folder")


def _engine(url: URL) -> Engine:
    is_sqlite = url.get_backend_name() == "sqlite"
    arguments: dict[str, Any] = {"timeout": PATIENCE} if is_sqlite else {}
    try:
        # A server may have closed connections that lay idle; a file has not.
        engine = create_engine(url, connect_args=arguments, pool_pre_ping=not is_sqlite, **POOL)
    except NoSuchModuleError as error:
        raise DatabaseError(f"{url.drivername!r} is no database that is known: {error}") from error
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"databases of {url.drivername!r} need the package {error.name}; for PostgreSQL: "
            f"{install_command('study')}"
        ) from error
    if is_sqlite:
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, record: Any) -> None:
    # Transactions are begun below, not by the driver, which would begin them too late.
    connection.isolation_level = None
    # Readers and the one writer do not wait for each other; what is committed survives a power cut.
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A writer asks for the lock at once: one that had begun to read could not wait for it.
    writes = connection.get_execution_options().get("listen_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _require_schema(connector: Connector, create: bool) -> None:
    names = set(inspect(connector.engine).get_table_names()) & set(metadata.tables)
    if not names and create:
        _create(connector)
        return
    if not names:
        raise DatabaseError(
            f"{connector.label} has no ratings; collect some with: keras-listen study serve OUT"
        )
    if schema.name in names:
        with connector.engine.connect() as connection:
            _require_version(connector.label, connection.scalar(select(schema.c.version)))
    if missing := set(metadata.tables) - names:
        raise DatabaseError(f"{connector.label} lacks the table {min(missing)}; bring a copy back")


def _create(connector: Connector) -> None:
    with connector.writing() as connection:
        metadata.create_all(connection)
        if connection.scalar(select(schema.c.version)) is None:
            connection.execute(insert(schema).values(version=SCHEMA))


def _require_version(label: str, found: int | None) -> None:
    if found == SCHEMA:
        return
    if found is not None and found > SCHEMA:
        raise DatabaseError(
            f"{label} has schema {found}, made by a newer keras-listen; this one, {__version__}, "
            f"knows {SCHEMA}: update it"
        )
    raise DatabaseError(
        f"{label} has schema {found}, made by an older keras-listen; this one needs {SCHEMA}: "
        "export the ratings with the version that made it, and give another --database"
    )


def _explain(label: str, error: Exception) -> str:
    if isinstance(error, PoolTimeout):
        return f"{label} is too busy: no connection became free in time; try again"
    text = str(getattr(error, "orig", None) or error)
    why = " ".join(text.split())[:200] or type(error).__name__
    if "locked" in why:
        return f"{label} is locked by another program; end it, or try again"
    if "not a database" in why or "malformed" in why:
        return f"{label} is no database, or a damaged one ({why}); bring a copy back"
    return f"{label} cannot be used: {why}"
