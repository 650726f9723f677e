"""What became of registers that did not just count on, as first seen."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Engine, select

from aggregator.registers import EventKind, RegisterEvent
from aggregator.store.engine import insert_if_new, reading, writing
from aggregator.store.tables import REGISTER_EVENTS


class RegisterEvents:
    """Every restart, roll-over and jump of a register that was ever seen."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, events: Iterable[RegisterEvent], known_at: datetime) -> tuple[RegisterEvent, ...]:
        """Store events; return those that were not known."""
        rows = [(event, asdict(event) | {"kind": event.kind.value, "known_at": known_at}) for event in events]
        if not rows:
            return ()
        with writing(self._engine) as connection:
            return tuple(event for event, row in rows if insert_if_new(connection, REGISTER_EVENTS, row))

    def all(self) -> list[RegisterEvent]:
        """Return all of them, by instant, meter and register."""
        columns = REGISTER_EVENTS.c
        query = select(REGISTER_EVENTS).order_by(columns.at, columns.meter_id, columns.register)
        with reading(self._engine) as connection:
            return [
                RegisterEvent(
                    meter_id=row.meter_id,
                    register=row.register,
                    kind=EventKind(row.kind),
                    since=row.since,
                    at=row.at,
                    before_wh=row.before_wh,
                    after_wh=row.after_wh,
                )
                for row in connection.execute(query)
            ]
