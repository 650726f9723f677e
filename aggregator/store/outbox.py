"""The outbox: reports that must reach a platform, kept until it has acknowledged them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, delete, func, or_, select, update

from aggregator.model.errors import RuleViolation
from aggregator.ports import Report
from aggregator.store.codec import REPORTS, from_text, to_text
from aggregator.store.engine import AnyRow, insert_if_new, reading, writing
from aggregator.store.tables import OUTBOX


class SendState(StrEnum):
    """What became of a report: still to be sent, acknowledged, or given up."""

    PENDING = "pending"
    SENT = "sent"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A report and what became of it.

    Attributes:
        report: What is sent, the same each time.
        state: Whether it is done with.
        attempts: How often sending failed.
        attempted_at: When it last failed.
        last_error: Why, or why it was given up.
        sent_at: When the platform had acknowledged it.
    """

    report: Report
    state: SendState
    attempts: int
    attempted_at: datetime | None
    last_error: str | None
    sent_at: datetime | None


class Outbox:
    """All reports, sent or not."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, report: Report) -> None:
        """Queue a report; the same one again changes nothing.

        Raises:
            RuleViolation: If another report has its id.
        """
        with writing(self._engine) as connection:
            put_report(connection, report)

    def get(self, report_id: str) -> OutboxEntry | None:
        """Return a report and what became of it."""
        with reading(self._engine) as connection:
            row = connection.execute(select(OUTBOX).where(OUTBOX.c.report_id == report_id)).one_or_none()
        return None if row is None else _entry(row)

    def pending(self, vtn_id: str) -> list[OutboxEntry]:
        """Return what a platform has not acknowledged yet, oldest first."""
        return self._select(OUTBOX.c.vtn_id == vtn_id, OUTBOX.c.state == SendState.PENDING.value)

    def waiting(self, vtn_id: str) -> int:
        """Return how many reports a platform has not acknowledged yet."""
        return self.counts(vtn_id)[SendState.PENDING]

    def counts(self, vtn_id: str) -> dict[SendState, int]:
        """Return how many of a platform's reports there are, by what became of them."""
        query = select(OUTBOX.c.state, func.count()).where(OUTBOX.c.vtn_id == vtn_id).group_by(OUTBOX.c.state)
        with reading(self._engine) as connection:
            found = {SendState(state): count for state, count in connection.execute(query)}
        return {state: found.get(state, 0) for state in SendState}

    def waiting_since(self, vtn_id: str) -> datetime | None:
        """Return when the oldest report was made that a platform has not acknowledged yet."""
        mine = (OUTBOX.c.vtn_id == vtn_id, OUTBOX.c.state == SendState.PENDING.value)
        with reading(self._engine) as connection:
            found: datetime | None = connection.scalar(select(func.min(OUTBOX.c.created_at)).where(*mine))
        return found

    def prune(self, specifiers: Sequence[str], before: datetime) -> int:
        """Delete acknowledged reports of some kinds that were sent before an instant; return how many."""
        kinds = [OUTBOX.c.report_id.startswith(f"{name}:") for name in specifiers]
        sent = (OUTBOX.c.state == SendState.SENT.value, OUTBOX.c.sent_at < before)
        with writing(self._engine) as connection:
            return connection.execute(delete(OUTBOX).where(or_(*kinds), *sent)).rowcount

    def attempts(self, report_id: str) -> int:
        """Return how often sending a report has failed; 0 for one that was never queued."""
        entry = self.get(report_id)
        return 0 if entry is None else entry.attempts

    def all(self) -> list[OutboxEntry]:
        """Return every report, oldest first."""
        return self._select()

    def mark_sent(self, report_id: str, at: datetime) -> None:
        """Note that the platform has acknowledged a report; a second time changes nothing.

        Raises:
            RuleViolation: If there is no such report, or it was given up.
        """
        self._mark(report_id, SendState.SENT, {"state": SendState.SENT.value, "sent_at": at})

    def mark_attempt(self, report_id: str, at: datetime, error: str) -> None:
        """Note that sending failed; the report stays pending.

        Raises:
            RuleViolation: If there is no such report, or it is no longer pending.
        """
        counted = {"attempts": OUTBOX.c.attempts + 1, "attempted_at": at, "last_error": error}
        self._mark(report_id, None, counted)

    def mark_dead(self, report_id: str, reason: str) -> None:
        """Give a report up; a second time changes nothing.

        Raises:
            RuleViolation: If there is no such report, or it was acknowledged.
        """
        self._mark(report_id, SendState.DEAD, {"state": SendState.DEAD.value, "last_error": reason})

    def _select(self, *conditions: ColumnElement[bool]) -> list[OutboxEntry]:
        query = select(OUTBOX).where(*conditions).order_by(OUTBOX.c.created_at, OUTBOX.c.report_id)
        with reading(self._engine) as connection:
            return [_entry(row) for row in connection.execute(query)]

    def _mark(self, report_id: str, wanted: SendState | None, values: dict[str, Any]) -> None:
        """Change a pending report; ``wanted`` is the state in which nothing is left to do."""
        pending = (OUTBOX.c.report_id == report_id, OUTBOX.c.state == SendState.PENDING.value)
        with writing(self._engine) as connection:
            if connection.execute(update(OUTBOX).where(*pending).values(values)).rowcount == 1:
                return
            state = connection.scalar(select(OUTBOX.c.state).where(OUTBOX.c.report_id == report_id))
        if state is None or state != wanted:
            raise RuleViolation(f"report {report_id} is {state or 'unknown'}, not pending")


def put_report(connection: Connection, report: Report) -> None:
    """Queue a report within a transaction; as ``Outbox.put``."""
    body = to_text(report)
    row = {
        "report_id": report.report_id,
        "vtn_id": report.vtn_id,
        "created_at": report.created_at,
        "body": body,
        "state": SendState.PENDING.value,
        "attempts": 0,
    }
    if insert_if_new(connection, OUTBOX, row):
        return
    if connection.scalar(select(OUTBOX.c.body).where(OUTBOX.c.report_id == report.report_id)) != body:
        raise RuleViolation(f"another report was already queued as {report.report_id}")


def _entry(row: AnyRow) -> OutboxEntry:
    return OutboxEntry(
        report=from_text(REPORTS, row.body, f"outbox: {row.report_id}"),
        state=SendState(row.state),
        attempts=row.attempts,
        attempted_at=row.attempted_at,
        last_error=row.last_error,
        sent_at=row.sent_at,
    )
