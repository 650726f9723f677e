"""What a car's reported states say over time: when it was plugged in, and since when its driver says so."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    and_,
    exists,
    func,
    or_,
    select,
    type_coerce,
)

from aggregator.model.drivers import SILENT, ChargerWord
from aggregator.model.metering import Presence
from aggregator.model.time import Interval
from aggregator.store.columns import MICROSECOND
from aggregator.store.engine import reading
from aggregator.store.readings import CarState
from aggregator.store.tables import CAR_STATES, DRIVER_WORDS
from aggregator.store.versions import known_by

SAID = ("plugged", "soc", "boost", "depart_at", "target_soc")
"""What reports are looked at for; power is told by registers."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A report, and when the one before it was measured; None for the first."""

    state: CarState
    before_at: datetime | None


class CarHistory:
    """The reported states of all cars, looked at as a whole."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def charger_words(self, car_ids: Iterable[str]) -> dict[str, ChargerWord]:
        """Return what each car's charger passed on last, and since when it says so without a break."""
        with reading(self._engine) as connection:
            return {car_id: _word(connection, car_id) for car_id in car_ids}

    def heard(
        self, car_id: str, during: Interval, every: timedelta, as_known_at: datetime | None = None
    ) -> tuple[Heard, ...]:
        """Return the reports of a car in an interval that say anything new, in order.

        These are the first and the last, those that say something else than the one before, the first of each
        stretch of ``every``, and those before which the driver said something at the door.

        Args:
            car_id: Which car.
            during: From its start, inclusive, to its end, exclusive.
            every: No stretch of this length with reports is passed over.
            as_known_at: Only what was learnt by then; None for all.
        """
        columns = CAR_STATES.c
        newest = func.row_number().over(partition_by=columns.measured_at, order_by=columns.received_at.desc())
        told = (
            select(CAR_STATES, newest.label("place"))
            .where(columns.car_id == car_id, *known_by(columns.received_at, as_known_at))
            .where(columns.measured_at >= during.start, columns.measured_at < during.end)
            .subquery()
        )
        at = told.c.measured_at
        sides = [
            func.lag(told.c[name], type_=told.c[name].type).over(order_by=at).label(f"{name}_before")
            for name in ("measured_at", *SAID)
        ]
        after = func.lead(told.c.plugged).over(order_by=at).label("after")
        rows = select(told, *sides, after).where(told.c.place == 1).subquery().c
        new = [rows[name].is_distinct_from(rows[f"{name}_before"]) for name in SAID]
        stretches = [
            type_coerce(instant, BigInteger) // (every // MICROSECOND)
            for instant in (rows.measured_at, rows.measured_at_before)
        ]
        query = (
            select(*(rows[column.name] for column in columns), rows.measured_at_before)
            .where(
                or_(
                    rows.measured_at_before.is_(None),
                    rows.after.is_(None),
                    stretches[0] != stretches[1],
                    *new,
                    _said_between(car_id, rows.measured_at_before, rows.measured_at),
                )
            )
            .order_by(rows.measured_at)
        )
        with reading(self._engine) as connection:
            found = connection.execute(query)
            return tuple(Heard(CarState(*state), before_at) for *state, before_at in found)

    def presence(
        self, car_id: str, during: Interval, longest: timedelta, as_known_at: datetime | None = None
    ) -> Presence:
        """Return when a car was plugged in, by what it reported in an interval; as ``heard`` has it.

        Without a report for longer than ``longest`` the link counts as lost.
        """
        return presence_of(self.heard(car_id, during, longest, as_known_at), longest)


def _said_between(car_id: str, after: ColumnElement[Any], until: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return whether a car's driver said something at the door, or that ran out, between two instants."""
    words = DRIVER_WORDS.c
    instants = [and_(at > after, at <= until) for at in (words.told_at, words.until)]
    return exists().where(words.car_id == car_id, or_(*instants))


def presence_of(heard: Sequence[Heard], longest: timedelta) -> Presence:
    """Return when a car was plugged in, by its reports that say anything new.

    Args:
        heard: As ``CarHistory.heard`` returns them, for stretches of ``longest`` at most.
        longest: Without a report for longer than this the link counts as lost.
    """
    stays: list[Interval] = []
    silences: list[Interval] = []
    begun: datetime | None = None
    for one in heard:
        at, before_at = one.state.measured_at, one.before_at
        lost = Interval(before_at, at) if before_at is not None and at - before_at > longest else None
        silences += [lost] if lost is not None else []
        if one.state.plugged:
            begun = begun or at
        elif begun is not None:
            end = at if lost is None else lost.start
            stays += [Interval(begun, end)] if end > begun else []
            begun = None
    first, last = (heard[0].state.measured_at, heard[-1].state.measured_at) if heard else (None, None)
    if begun is not None and last is not None and last > begun:
        stays.append(Interval(begun, last))
    whole = Interval(first, last) if first is not None and last is not None and last > first else None
    return Presence(tuple(stays), tuple(silences), whole)


def _word(connection: Connection, car_id: str) -> ChargerWord:
    columns = CAR_STATES.c
    mine = columns.car_id == car_id
    last = connection.execute(
        select(CAR_STATES)
        .where(mine)
        .order_by(columns.measured_at.desc(), columns.received_at.desc())
        .limit(1)
    ).first()
    if last is None:
        return SILENT

    def since(*others: ColumnElement[bool]) -> datetime | None:
        broken = select(func.max(columns.measured_at)).where(mine, or_(*others)).scalar_subquery()
        first = select(func.min(columns.measured_at)).where(mine)
        found: datetime | None = connection.scalar(
            first.where(func.coalesce(columns.measured_at > broken, True))
        )
        return found

    boost_since = since(columns.boost != last.boost)
    silent = last.depart_at is None and last.target_soc is None
    other = (
        columns.depart_at.is_distinct_from(last.depart_at),
        columns.target_soc.is_distinct_from(last.target_soc),
    )
    never = select(columns.boost).where(mine, columns.boost).limit(1)
    return ChargerWord(
        boost=last.boost,
        boost_since=boost_since if last.boost or connection.scalar(never) else None,
        depart_at=last.depart_at,
        target_soc=last.target_soc,
        intent_since=None if silent else since(*other),
    )
