"""The durable inbox: every event version that a platform sent, as it came, with what we decided.

A row is there before the answer leaves. Its key is (platform, event, modification): a message that comes
twice is decided once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, select, tuple_
from sqlalchemy.exc import IntegrityError

from aggregator.model.errors import RuleViolation
from aggregator.model.market import EventKey, PeakWindow, Rehearsal
from aggregator.ports import CallKind, Content, Opt
from aggregator.store.codec import CONTENTS, from_text, names_from, names_to_text, to_text
from aggregator.store.engine import AnyRow, insert_if_new, reading, writing
from aggregator.store.tables import INBOX

_KEY = (INBOX.c.vtn_id, INBOX.c.event_id, INBOX.c.modification)


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """One event version and its decision.

    Attributes:
        key: Platform, event and modification.
        kind: What it is about.
        zones: The zones it targets.
        raw: The message it came in.
        received_at: When.
        decision: What we answer, or would if the platform wanted to know.
        reason: Why, in words, where it is not simply opted in.
        opportunity_id: The opportunity it bears on, if any.
        content: In our words; None where it can't be read or is over; of a test event only when it is played.
        cancelled: Whether it takes the event back.
    """

    key: EventKey
    kind: CallKind
    zones: tuple[str, ...]
    raw: bytes
    received_at: datetime
    decision: Opt
    reason: str | None = None
    opportunity_id: str | None = None
    content: Content | Rehearsal | None = None
    cancelled: bool = False


class Inbox:
    """Every event version ever received."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, key: EventKey) -> InboxEntry | None:
        """Return the entry of exactly this event version."""
        with reading(self._engine) as connection:
            return _get(connection, key)

    def place_of(self, vtn_id: str, event_id: str) -> str | None:
        """Return the opportunity that an event's last accepted modification bears on."""
        query = (
            select(INBOX.c.opportunity_id)
            .where(
                INBOX.c.vtn_id == vtn_id, INBOX.c.event_id == event_id, INBOX.c.opportunity_id.is_not(None)
            )
            .order_by(INBOX.c.modification.desc())
            .limit(1)
        )
        with reading(self._engine) as connection:
            return connection.scalar(query)

    def put(self, entry: InboxEntry) -> InboxEntry:
        """Store an event version that makes no fact; return what is stored under its key, the older wins.

        Raises:
            RuleViolation: If it names an opportunity that does not exist.
        """
        try:
            with writing(self._engine) as connection:
                if insert_if_new(connection, INBOX, _row(entry)):
                    return entry
                return _get(connection, entry.key) or entry
        except IntegrityError:
            raise RuleViolation(f"no opportunity {entry.opportunity_id} for {_text(entry.key)}") from None

    def all(self) -> list[InboxEntry]:
        """Return all entries, in the order received."""
        with reading(self._engine) as connection:
            return [
                _entry(row) for row in connection.execute(select(INBOX).order_by(INBOX.c.received_at, *_KEY))
            ]

    def peaks(self, zone: str, known_at: datetime | None = None) -> list[PeakWindow]:
        """Return the peak windows that hold for a zone: of each event the highest modification only.

        With ``known_at`` as they held by what was received until then.

        One that is cancelled, can't be read, or was answered optOut does not hold, and neither do the
        modifications that it replaced.
        """
        newest = select(*_KEY[:2], func.max(INBOX.c.modification)).group_by(*_KEY[:2])
        if known_at is not None:
            newest = newest.where(INBOX.c.received_at <= known_at)
        query = (
            select(INBOX)
            .where(INBOX.c.kind == CallKind.PEAK.value, tuple_(*_KEY).in_(newest))
            .order_by(INBOX.c.received_at, *_KEY)
        )
        with reading(self._engine) as connection:
            entries = [_entry(row) for row in connection.execute(query)]
        return _holding(entries, zone)

    def tests(self) -> list[InboxEntry]:
        """Return of each test event the newest version: no ``Rehearsal`` once the platform ended it."""
        names = select(*_KEY[:2]).where(INBOX.c.kind == CallKind.TEST.value)
        query = select(INBOX).where(tuple_(*_KEY[:2]).in_(names)).order_by(*_KEY)
        with reading(self._engine) as connection:
            entries = [_entry(row) for row in connection.execute(query)]
        return list({(entry.key.vtn_id, entry.key.event_id): entry for entry in entries}.values())


def decide_with(connection: Connection, entry: InboxEntry, opportunity_id: str) -> None:
    """Store an event version in the transaction of the facts that it led to.

    Raises:
        RuleViolation: If it was decided before, or names another opportunity.
    """
    if entry.opportunity_id not in {None, opportunity_id}:
        raise RuleViolation(f"{_text(entry.key)} is about {entry.opportunity_id}, not {opportunity_id}")
    if not insert_if_new(connection, INBOX, _row(replace(entry, opportunity_id=opportunity_id))):
        raise RuleViolation(f"{_text(entry.key)} was decided before")


def _holding(entries: Sequence[InboxEntry], zone: str) -> list[PeakWindow]:
    return [
        replace(entry.content, zone=zone)
        for entry in entries
        if isinstance(entry.content, PeakWindow)
        and (entry.content.zone == zone or zone in entry.zones)
        and not entry.cancelled
        and entry.decision is not Opt.OUT
    ]


def _text(key: EventKey) -> str:
    return f"event {key.event_id} modification {key.modification} of {key.vtn_id}"


def _get(connection: Connection, key: EventKey) -> InboxEntry | None:
    same = (INBOX.c.vtn_id == key.vtn_id, INBOX.c.event_id == key.event_id)
    query = select(INBOX).where(*same, INBOX.c.modification == key.modification)
    row = connection.execute(query).one_or_none()
    return None if row is None else _entry(row)


def _row(entry: InboxEntry) -> dict[str, Any]:
    return {
        "vtn_id": entry.key.vtn_id,
        "event_id": entry.key.event_id,
        "modification": entry.key.modification,
        "kind": entry.kind.value,
        "zones": names_to_text(entry.zones),
        "raw": entry.raw,
        "received_at": entry.received_at,
        "decision": entry.decision.value,
        "reason": entry.reason,
        "opportunity_id": entry.opportunity_id,
        "content": None if entry.content is None else to_text(entry.content),
        "cancelled": entry.cancelled,
    }


def _entry(row: AnyRow) -> InboxEntry:
    key = EventKey(row.vtn_id, row.event_id, row.modification)
    return InboxEntry(
        key=key,
        kind=CallKind(row.kind),
        zones=names_from(row.zones),
        raw=row.raw,
        received_at=row.received_at,
        decision=Opt(row.decision),
        reason=row.reason,
        opportunity_id=row.opportunity_id,
        content=None if row.content is None else from_text(CONTENTS, row.content, f"inbox: {_text(key)}"),
        cancelled=row.cancelled,
    )
