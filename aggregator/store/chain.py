"""The hash chain over what people did: each row's SHA-256 covers its content and the row before it.

A row that is changed, taken out, put in between or moved does not fit any more, and is the first that does
not. The hash has no key: who can write to the database could make all of it anew from some row on, and rows
cut off its end leave a chain that fits. Both show against a head kept elsewhere: each export carries it, the
page of the audit shows it, and ``flexloop desk trail --verify --head HASH`` tells whether it is still there.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import BigInteger, Connection, Engine, select, type_coerce

from aggregator.store.engine import reading
from aggregator.store.tables import DESK_ACTIONS

GENESIS = "0" * 64
"""What stands before the first row."""

COVERED = (
    "action_id",
    "at",
    "user_name",
    "action",
    "subject",
    "draft",
    "status",
    "said",
    "key",
    "asked",
    "via",
)
"""The columns that a row's hash covers, in their order; the instant as microseconds since 1970."""

AT_ONCE = 1000
_as_json = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Verified:
    """What a walk along the chain found.

    Attributes:
        rows: How many there are.
        head: The last one's hash; ``GENESIS`` where there is none.
        misfit: The number of the first row that does not fit; None where all do.
        has_head: Whether the head that was asked for is in it, before any misfit; None where none was.
        last: The last row's number; 0 where there is none.
    """

    rows: int
    head: str
    misfit: int | None
    has_head: bool | None
    last: int

    @property
    def holds(self) -> bool:
        """Whether all rows fit, and the head asked for is among them."""
        return self.misfit is None and self.has_head is not False


def link(before: str, values: Iterable[object]) -> str:
    """Return a row's hash from that of the row before it and its own values, in the order of ``COVERED``."""
    return hashlib.sha256(_as_json([before, *values]).encode()).hexdigest()


def last_of(connection: Connection) -> tuple[int, str]:
    """Return number and hash of the last row, within a transaction that holds the writers' lock."""
    columns = DESK_ACTIONS.c
    query = select(columns.action_id, columns.digest).order_by(columns.action_id.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return (0, GENESIS) if row is None else (row.action_id, row.digest)


def verify(engine: Engine, head: str | None = None) -> Verified:
    """Walk along the whole chain, in one state of the database.

    Args:
        engine: Whose.
        head: A head that was kept elsewhere, to look for.
    """
    rows, number, before, misfit, seen = 0, 0, GENESIS, None, head == GENESIS
    columns = DESK_ACTIONS.c
    plain = [type_coerce(columns[name], BigInteger) if name == "at" else columns[name] for name in COVERED]
    query = select(*plain, columns.digest).order_by(columns.action_id)
    with reading(engine) as connection:
        for number, *values, digest in connection.execution_options(yield_per=AT_ONCE).execute(query):
            rows += 1
            if misfit is None and digest != link(before, [number, *values]):
                misfit = number
            seen = seen or (misfit is None and digest == head)
            before = digest
    return Verified(rows, before, misfit, None if head is None else seen, number)
