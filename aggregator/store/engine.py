"""The database behind a URL, and the two ways to use it: ``reading`` and ``writing``.

SQLite runs with a write-ahead log and ``synchronous=FULL``: what was committed survives ``kill -9`` and
power loss. Every write transaction begins with ``BEGIN IMMEDIATE``, so that it waits for its turn at the
start, never half way through after having read. Readers are not kept waiting.

PostgreSQL keeps the same promises: a session waits for its commits, whatever the server's default (but for
what its own URL says), and every write transaction first takes an advisory lock that ends with it. That is
``BEGIN IMMEDIATE`` over again: what a writer has read stays so until it is done, nobody deadlocks, and no
write has to be tried again, as with ``SERIALIZABLE`` it would. One database then takes one write at a time,
each of a millisecond or two. Keys make sure of it all the same, as (opportunity_id, version) does.

The store is synchronous on purpose: a commit takes a millisecond, SQLite's driver blocks anyway, and plain
calls are easier to reason about than a connection shared between tasks. Workers on an event loop call it
through ``asyncio.to_thread``; every method may be called from any thread. So PostgreSQL's driver is psycopg,
not asyncpg, which knows coroutines only; it has ``COPY``, too.
"""

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, Insert, Row, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionLeft

from aggregator.model.errors import BadMessage, Damaged, Fault, Unavailable

T = TypeVar("T")
AnyRow = Row[*tuple[Any, ...]]

POSTGRESQL = "postgresql"
DRIVER = "postgresql+psycopg"
FORMS = "sqlite:///FILE or postgresql://USER@HOST/DATABASE"
BUSY_TIMEOUT_MS = 5000
MOST_CONNECTIONS = 32
"""As many as Python has threads for blocking calls at most."""

_PRAGMAS = (f"busy_timeout={BUSY_TIMEOUT_MS}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")
_WRITES = "flexloop_writes"
_PASSWORD = re.compile(r"(//[^/@:]*:)[^@]*@")
_JOINED: ContextVar[tuple[Engine, Connection] | None] = ContextVar("joined", default=None)
_STEADY: ContextVar[tuple[Engine, Connection] | None] = ContextVar("steady", default=None)
WRITERS_LOCK = 0x666C65780001
GATEWAYS_LOCK = 0x666C65780002
"""The advisory locks of a PostgreSQL store: a writer's until it commits, a gateway's as long as it runs."""

_SESSION = {
    "synchronous_commit": "on",
    "lock_timeout": str(BUSY_TIMEOUT_MS),
    "tcp_keepalives_idle": "10",  # the server lets go of a session whose machine has died
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_TRANSPORT = {
    "connect_timeout": 3,
    "keepalives_idle": 10,  # and we of a server that has
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "application_name": "flexloop",
}
_ANSWERS_NOT = ("08", "25006", "40", "42501", "53", "55", "57", "58")
"""SQLSTATEs, or their classes, of no fault of ours: lost, read-only, overtaken, forbidden, full, locked."""

_GONE = ("42P01", "42703")
"""SQLSTATEs of a table or column that is not there."""


def parse_url(url: str) -> URL:
    """Read a database URL; a PostgreSQL one names our driver afterwards.

    Raises:
        BadMessage: If it is no URL of a SQLite file or a PostgreSQL database.
    """
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError):
        raise BadMessage(Fault("database", _PASSWORD.sub(r"\1***@", url), FORMS)) from None
    if backend not in {"sqlite", POSTGRESQL} or (
        backend == POSTGRESQL and parsed.drivername not in {POSTGRESQL, DRIVER}
    ):
        raise BadMessage(Fault("database", shown(parsed), FORMS))
    if backend == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise BadMessage(Fault("database", url, f"{FORMS}; a database in memory is no durable record"))
    return parsed.set(drivername=DRIVER) if backend == POSTGRESQL else parsed


def shown(url: URL) -> str:
    """Return a URL without its password."""
    return url.render_as_string(hide_password=True)


def name_of(url: URL) -> str:
    """Return what people call a database: its file, or its URL without the password."""
    return str(url.database) if url.get_backend_name() == "sqlite" else shown(url)


def open_engine(url: URL) -> Engine:
    """Return an engine that begins and ends transactions as the module says; it connects later.

    A connection that the server has closed meanwhile is noticed before it is used, and made anew.
    """
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url)
        event.listen(engine, "connect", _set_up)
        event.listen(engine, "begin", _begin)
        return engine
    engine = create_engine(
        url,
        pool_pre_ping=True,
        max_overflow=MOST_CONNECTIONS - 5,
        connect_args=_connect_args(url.query),
    )
    event.listen(engine, "begin", _take_turn)
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Give a connection that sees one state of the database throughout.

    Raises:
        Unavailable: If the database does not answer.
    """
    steady = _STEADY.get()
    if steady is not None and steady[0] is engine:
        yield steady[1]
        return
    options = {} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
    with told_apart(), engine.execution_options(**options).connect() as connection:
        yield connection


@contextmanager
def standing_still(engine: Engine) -> Iterator[None]:
    """Let all that this thread reads within see one state of the database, whatever is written meanwhile.

    Raises:
        Unavailable: As ``reading``.
    """
    with reading(engine) as connection:
        token = _STEADY.set((engine, connection))
        try:
            yield
        finally:
            _STEADY.reset(token)


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Give a connection whose changes are durable on leaving, or undone if anything was raised.

    Raises:
        Unavailable: If the database does not answer, is locked for too long, or its disk is full. Where it
            stops answering while it commits, nobody knows whether it did.
    """
    joined = _JOINED.get()
    if joined is not None and joined[0] is engine:
        yield joined[1]
        return
    with told_apart(), engine.execution_options(**{_WRITES: True}).begin() as connection:
        yield connection


@contextmanager
def at_once(engine: Engine) -> Iterator[None]:
    """Make one transaction of all that this thread writes within; what it reads is of before.

    Raises:
        Unavailable: As ``writing``.
    """
    with writing(engine) as connection:
        token = _JOINED.set((engine, connection))
        try:
            yield
        finally:
            _JOINED.reset(token)


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
    insert = postgresql.insert if connection.dialect.name == POSTGRESQL else sqlite.insert
    return insert(table).on_conflict_do_nothing()


def _connect_args(query: Mapping[str, object]) -> dict[str, object]:
    """Return what the URL does not say of a connection; its own ``options`` win over ours."""
    options = " ".join(f"-c {name}={value}" for name, value in _SESSION.items())
    said = {name: value for name, value in _TRANSPORT.items() if name not in query}
    return {**said, "options": f"{options} {query.get('options', '')}".strip()}


def _set_up(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver must not begin transactions of its own
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _take_turn(connection: Connection) -> None:
    if connection.get_execution_options().get(_WRITES, False):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITERS_LOCK})")


@contextmanager
def told_apart() -> Iterator[None]:
    """Tell a database that does not answer from a bug."""
    try:
        yield
    except NoConnectionLeft as error:
        raise Unavailable(f"the database does not answer: {error}") from error
    except DBAPIError as error:
        state = str(getattr(error.orig, "sqlstate", None) or "")
        if state in _GONE or getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
            raise Damaged(f"the database is not as it was: {one_line(error)}") from error
        if (
            isinstance(error, OperationalError)
            or error.connection_invalidated
            or state.startswith(_ANSWERS_NOT)
        ):
            raise Unavailable(f"the database does not answer: {one_line(error)}") from error
        raise


def one_line(error: DBAPIError) -> str:
    """Return what the driver says, on one line: servers use several."""
    return " ".join(str(error.orig).split())
