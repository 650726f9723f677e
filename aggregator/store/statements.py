"""Statements, byte for byte as made. What changes is a new version with its reason, never an edit (P9)."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, select

from aggregator.model.errors import RuleViolation
from aggregator.store.engine import AnyRow, insert_if_new, reading, writing
from aggregator.store.tables import STATEMENTS

OF_DRIVERS = "driver "
"""What the names of drivers' monthly statements begin with; the others are those of opportunities."""


@dataclass(frozen=True, slots=True)
class StoredStatement:
    """One version of a statement.

    Attributes:
        name: Which statement, e.g. of which opportunity.
        version: From 1 up.
        reason: Why this version was made.
        digest: SHA-256 that is the same if and only if the statement is.
        body: Its bytes.
    """

    name: str
    version: int
    reason: str
    digest: str
    body: bytes


class Statements:
    """All versions of all statements."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, name: str, *, version: int, reason: str, digest: str, body: bytes) -> StoredStatement:
        """Store the version that follows the last one; if the last one has this digest, return that one.

        Raises:
            RuleViolation: If the version does not follow the last one, or the last one has this digest
                and other bytes. Nothing is changed then.
        """
        with writing(self._engine) as connection:
            return put_statement(connection, StoredStatement(name, version, reason, digest, body))

    def latest(self, name: str) -> StoredStatement | None:
        """Return the last version of a statement."""
        with reading(self._engine) as connection:
            return _latest(connection, name)

    def all(self, name: str | None = None) -> list[StoredStatement]:
        """Return every version of every statement, or of one, by name and version."""
        query = select(STATEMENTS) if name is None else select(STATEMENTS).where(STATEMENTS.c.name == name)
        with reading(self._engine) as connection:
            found = [_statement(row) for row in connection.execute(query)]
        return sorted(found, key=lambda one: (one.name, one.version))

    def starting(self, start: str) -> list[StoredStatement]:
        """Return every version of the statements whose name starts so, by name and version."""
        name = STATEMENTS.c.name
        beyond = start[:-1] + chr(ord(start[-1]) + 1)
        with reading(self._engine) as connection:
            rows = connection.execute(select(STATEMENTS).where(name >= start, name < beyond))
            return sorted(map(_statement, rows), key=lambda one: (one.name, one.version))


def put_statement(connection: Connection, new: StoredStatement) -> StoredStatement:
    """Store a statement within a transaction; as ``Statements.put``."""
    last = _latest(connection, new.name)
    if last is not None and last.digest == new.digest:
        if last.body != new.body:
            raise RuleViolation(
                f"statement {new.name}: the digest says version {last.version}, the bytes do not"
            )
        return last
    known = 0 if last is None else last.version
    if new.version != known + 1 or not insert_if_new(connection, STATEMENTS, _row(new)):
        raise RuleViolation(f"statement {new.name}: version {new.version} does not follow version {known}")
    return new


def _latest(connection: Connection, name: str) -> StoredStatement | None:
    query = select(STATEMENTS).where(STATEMENTS.c.name == name).order_by(STATEMENTS.c.version.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else _statement(row)


def _row(statement: StoredStatement) -> dict[str, Any]:
    return {
        "name": statement.name,
        "version": statement.version,
        "reason": statement.reason,
        "digest": statement.digest,
        "body": statement.body,
    }


def _statement(row: AnyRow) -> StoredStatement:
    return StoredStatement(row.name, row.version, row.reason, row.digest, row.body)
