"""One gateway a store: two would tell the same cars different things, and answer the same events.

A SQLite store is held by an operating system's lock on a file beside the database. The kernel lets go when
the process dies, however it dies: after a ``kill -9`` the next gateway starts at once. The file itself stays
and means nothing; the database's own file is left alone, as SQLite has its locks there.

A PostgreSQL store is held by an advisory lock of a session that is kept for nothing else; the server lets go
when that session ends. It ends with our process, but also with the server or with the line to it. So whoever
holds a store asks now and then whether it still does (``Hold.keep``), and takes it again where nobody else
has meanwhile. A pooler in between must give each session a connection of its own, or the lock is its own.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import SQLAlchemyError

from aggregator.model.errors import RuleViolation
from aggregator.store.engine import GATEWAYS_LOCK, name_of, open_engine, told_apart

SUFFIX = ".lock"
_TAKE = text(f"SELECT pg_try_advisory_lock({GATEWAYS_LOCK})")
_GIVE_BACK = text(f"SELECT pg_advisory_unlock({GATEWAYS_LOCK})")


class Hold:
    """A store that is held: by a file's lock, which lasts as long as the process."""

    def keep(self) -> bool:
        """Make sure that the store is still held; return whether it had been let go of, and was taken again.

        Raises:
            RuleViolation: If another process has taken it meanwhile.
            Unavailable: If the database does not answer: nobody knows who holds it.
        """
        return False


BY_PROCESS = Hold()


class SessionHold(Hold):
    """A store that is held by a session's advisory lock.

    Args:
        url: Whose database.

    Raises:
        RuleViolation: If another process holds it.
        Unavailable: If the database does not answer.
    """

    def __init__(self, url: URL) -> None:
        self._url = url
        self._engine = open_engine(url).execution_options(isolation_level="AUTOCOMMIT")
        self._session: Connection | None = None
        try:
            self._take()
        except BaseException:
            self.close()
            raise

    def keep(self) -> bool:
        """Do as ``Hold.keep`` says."""
        try:
            with told_apart():
                if self._session is not None:
                    self._session.exec_driver_sql("SELECT 1")
                    return False
        except BaseException:
            self._let_go()
            raise
        self._take()
        return True

    def close(self) -> None:
        """Let go: at once, not only when the server has seen that the session ended."""
        if self._session is not None:
            with suppress(SQLAlchemyError):
                self._session.execute(_GIVE_BACK)
        self._let_go()
        self._engine.dispose()

    def _take(self) -> None:
        with told_apart():
            self._session = self._engine.connect()
            taken = self._session.scalar(_TAKE)
        if not taken:
            self._let_go()
            raise _held(self._url)

    def _let_go(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.invalidate()  # not back into the pool: the lock is the connection's
            session.close()


@contextmanager
def held(url: URL) -> Iterator[Hold]:
    """Hold a store for this process alone, never waiting for another one.

    Raises:
        RuleViolation: If another process holds it.
        OSError: If the file beside the database cannot be written.
        Unavailable: If a database server does not answer.
    """
    if url.get_backend_name() != "sqlite":
        hold = SessionHold(url)
        try:
            yield hold
        finally:
            hold.close()
        return
    database = Path(str(url.database)).resolve()  # by whatever name it is opened
    with database.with_name(database.name + SUFFIX).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _held(url) from None
        yield BY_PROCESS


def _held(url: URL) -> RuleViolation:
    return RuleViolation(f"{name_of(url)} is held by a running gateway", "stop it first")
