"""Emergency stops: one person stops, two people start again."""

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Engine, insert, select, update

from aggregator.model.errors import RuleViolation
from aggregator.store.engine import AnyRow, reading, writing
from aggregator.store.tables import HALTS


@dataclass(frozen=True, slots=True)
class Halt:
    """An emergency stop, of a zone or of all.

    Attributes:
        zone: Which; None for all.
        at: Since when.
        by: Who stopped.
        reason: Why.
        halt_id: Given when it is stored; 0 before.
        first_restart_by: Who was the first to say that it may start again.
        first_restart_at: When.
        restarted_by: Who was the second, which ended it.
        restarted_at: When.
    """

    zone: str | None
    at: datetime
    by: str
    reason: str
    halt_id: int = 0
    first_restart_by: str | None = None
    first_restart_at: datetime | None = None
    restarted_by: str | None = None
    restarted_at: datetime | None = None


class Halts:
    """Every emergency stop there ever was."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def stop(self, halt: Halt) -> Halt:
        """Store a stop, durably, before returning.

        Where one of the same extent stands, that one holds; who would have restarted it is overruled.
        """
        row = {"zone": halt.zone, "at": halt.at, "by": halt.by, "reason": halt.reason}
        standing = select(HALTS).where(
            HALTS.c.restarted_at.is_(None), HALTS.c.zone.is_not_distinct_from(halt.zone)
        )
        with writing(self._engine) as connection:
            found = connection.execute(standing).first()
            if found is not None:
                overruled = {"first_restart_by": None, "first_restart_at": None}
                connection.execute(update(HALTS).where(HALTS.c.halt_id == found.halt_id).values(overruled))
                return replace(_halt(found), first_restart_by=None, first_restart_at=None)
            halt_id = connection.scalar(insert(HALTS).returning(HALTS.c.halt_id), row)
        return replace(halt, halt_id=halt_id or 0)

    def restart(self, halt_id: int, by: str, at: datetime) -> Halt:
        """Note that somebody says it may start again; the second one, who must be another, ends it.

        Raises:
            RuleViolation: If no such stop stands, or the same person says it twice.
        """
        same = HALTS.c.halt_id == halt_id
        with writing(self._engine) as connection:
            found = connection.execute(select(HALTS).where(same, HALTS.c.restarted_at.is_(None))).first()
            if found is None:
                raise RuleViolation(f"stop {halt_id} does not stand any more")
            halt = _halt(found)
            if halt.first_restart_by is None:
                halt = replace(halt, first_restart_by=by, first_restart_at=at)
            elif halt.first_restart_by == by:
                raise RuleViolation(f"{by} has said so already: a second person must")
            else:
                halt = replace(halt, restarted_by=by, restarted_at=at)
            names = ("first_restart_by", "first_restart_at", "restarted_by", "restarted_at")
            connection.execute(
                update(HALTS).where(same).values({name: getattr(halt, name) for name in names})
            )
        return halt

    def standing(self) -> tuple[Halt, ...]:
        """Return the stops that stand, oldest first."""
        return self._select(standing=True)

    def all(self) -> tuple[Halt, ...]:
        """Return every stop, oldest first."""
        return self._select(standing=False)

    def _select(self, *, standing: bool) -> tuple[Halt, ...]:
        query = select(HALTS).order_by(HALTS.c.halt_id)
        with reading(self._engine) as connection:
            rows = connection.execute(query.where(HALTS.c.restarted_at.is_(None)) if standing else query)
            return tuple(_halt(row) for row in rows)


def _halt(row: AnyRow) -> Halt:
    return Halt(
        row.zone,
        row.at,
        row.by,
        row.reason,
        row.halt_id,
        row.first_restart_by,
        row.first_restart_at,
        row.restarted_by,
        row.restarted_at,
    )
