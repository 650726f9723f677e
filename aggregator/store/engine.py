"""The database behind a URL, and the two ways to use it: ``reading`` and ``writing``.

SQLite runs with a write-ahead log and ``synchronous=FULL``: what was committed survives ``kill -9`` and
power loss. Every write transaction begins with ``BEGIN IMMEDIATE``, so that it waits for its turn at the
start, never half way through after having read. Readers are not kept waiting.

The store is synchronous on purpose: a commit takes a millisecond, SQLite's driver blocks anyway, and plain
calls are easier to reason about than a connection shared between tasks. Workers on an event loop call it
through ``asyncio.to_thread``; every method may be called from any thread.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, Insert, Row, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, OperationalError

from aggregator.model.errors import BadMessage, Fault, Unavailable

T = TypeVar("T")
AnyRow = Row[*tuple[Any, ...]]

BUSY_TIMEOUT_MS = 5000
_PRAGMAS = (f"busy_timeout={BUSY_TIMEOUT_MS}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")
_WRITES = "flexloop_writes"


def parse_url(url: str) -> URL:
    """Read a database URL.

    Raises:
        BadMessage: If it is no URL of a SQLite file or a PostgreSQL database.
    """
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except ArgumentError:
        backend = ""
    allowed = "sqlite:///FILE or postgresql+DRIVER://..."
    if backend not in {"sqlite", "postgresql"}:
        raise BadMessage(Fault("database", url, allowed))
    if backend == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise BadMessage(Fault("database", url, f"{allowed}; a database in memory is no durable record"))
    return parsed


def name_of(url: URL) -> str:
    """Return what people call a database: its file, or its URL without the password."""
    return (
        str(url.database) if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)
    )


def open_engine(url: URL) -> Engine:
    """Return an engine that begins and ends transactions as the module says; it connects later."""
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up)
        event.listen(engine, "begin", _begin)
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Give a connection that sees one state of the database throughout.

    Raises:
        Unavailable: If the database does not answer.
    """
    steady = {} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
    with _told_apart(), engine.execution_options(**steady).connect() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Give a connection whose changes are durable on leaving, or undone if anything was raised.

    Raises:
        Unavailable: If the database does not answer, is locked for too long, or its disk is full.
    """
    with _told_apart(), engine.execution_options(**{_WRITES: True}).begin() as connection:
        yield connection


def insert_if_new(connection: Connection, table: Table, row: dict[str, Any]) -> bool:
    """Insert a row unless its key is taken; return whether it was inserted."""
    inserted = _insert_new(connection, table).returning(
        *table.primary_key.columns
    )  # row counts differ by driver
    return connection.execute(inserted, row).first() is not None


def insert_all_new(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert those of many rows whose key is not taken."""
    if rows:
        connection.execute(_insert_new(connection, table), rows)


def chunks(values: Sequence[T], size: int) -> Iterator[list[T]]:
    """Cut a sequence into lists of at most ``size``, in order: databases limit parameters per statement."""
    rest = iter(values)
    while chunk := list(islice(rest, size)):
        yield chunk


def _insert_new(connection: Connection, table: Table) -> Insert:
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    return insert(table).on_conflict_do_nothing()


def _set_up(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver must not begin transactions of its own
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _told_apart() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        raise Unavailable(f"the database does not answer: {error.orig}") from error
    except sqlite3.OperationalError as error:  # from setting up a connection, which SQLAlchemy does not wrap
        raise Unavailable(f"the database does not answer: {error}") from error
