"""One gateway a store: two would tell the same cars different things, and answer the same events.

A SQLite store is held by an operating system's lock on a file beside the database. The kernel lets go when
the process dies, however it dies: after a ``kill -9`` the next gateway starts at once. The file itself stays
and means nothing; the database's own file is left alone, as SQLite has its locks there. A PostgreSQL store is
not held yet: an advisory lock of the gateway's session is to do the same.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL

from aggregator.model.errors import RuleViolation
from aggregator.store.engine import name_of

SUFFIX = ".lock"


@contextmanager
def held(url: URL) -> Iterator[None]:
    """Hold a store for this process alone, never waiting for another one.

    Raises:
        RuleViolation: If another process holds it.
        OSError: If the file beside the database cannot be written.
    """
    if url.get_backend_name() != "sqlite":
        yield
        return
    database = Path(str(url.database)).resolve()  # by whatever name it is opened
    with database.with_name(database.name + SUFFIX).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuleViolation(f"{name_of(url)} is held by a running gateway", "stop it first") from None
        yield
