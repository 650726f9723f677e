"""What a car's reported states say over time: when it was plugged in, and since when its driver says so."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import BigInteger, ColumnElement, Connection, Engine, func, or_, select, type_coerce

from aggregator.model.drivers import SILENT, ChargerWord
from aggregator.model.metering import Presence
from aggregator.model.time import Interval
from aggregator.store.engine import AnyRow, reading
from aggregator.store.tables import CAR_STATES, MICROSECOND, UtcMicros
from aggregator.store.versions import known_by


class CarHistory:
    """The reported states of all cars, looked at as a whole."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def charger_words(self, car_ids: Iterable[str]) -> dict[str, ChargerWord]:
        """Return what each car's charger passed on last, and since when it says so without a break."""
        with reading(self._engine) as connection:
            return {car_id: _word(connection, car_id) for car_id in car_ids}

    def presence(
        self, car_id: str, during: Interval, longest: timedelta, as_known_at: datetime | None = None
    ) -> Presence:
        """Return when a car was plugged in, by what it reported in an interval.

        Args:
            car_id: Which car.
            during: From its start, inclusive, to its end, exclusive.
            longest: Without a report for longer than this the link counts as lost.
            as_known_at: Only what was learnt by then; None for all.
        """
        columns = CAR_STATES.c
        newest = func.row_number().over(partition_by=columns.measured_at, order_by=columns.received_at.desc())
        told = (
            select(columns.measured_at, columns.plugged, newest.label("place"))
            .where(columns.car_id == car_id, *known_by(columns.received_at, as_known_at))
            .where(columns.measured_at >= during.start, columns.measured_at < during.end)
            .subquery()
        )
        in_order = (
            select(
                told.c.measured_at,
                told.c.plugged,
                func.lag(told.c.plugged).over(order_by=told.c.measured_at).label("before"),
                func.lead(told.c.plugged).over(order_by=told.c.measured_at).label("after"),
                func.lag(told.c.measured_at, type_=UtcMicros)
                .over(order_by=told.c.measured_at)
                .label("before_at"),
            )
            .where(told.c.place == 1)
            .subquery()
        )
        rows = in_order.c
        apart = type_coerce(rows.measured_at, BigInteger) - type_coerce(rows.before_at, BigInteger)
        turned = (rows.before.is_(None), rows.after.is_(None), rows.plugged != rows.before)
        turns = (
            select(rows.measured_at, rows.plugged, rows.before_at)
            .where(or_(*turned, apart > longest // MICROSECOND))
            .order_by(rows.measured_at)
        )
        with reading(self._engine) as connection:
            return _presence(connection.execute(turns), longest)


def _presence(turns: Iterable[AnyRow], longest: timedelta) -> Presence:
    """Return what reports say, from those that say something else than the one before or end a silence."""
    stays: list[Interval] = []
    silences: list[Interval] = []
    begun: datetime | None = None
    first: datetime | None = None
    last: datetime | None = None
    for measured_at, plugged, before_at in turns:
        first, last = first or measured_at, measured_at
        lost = before_at is not None and measured_at - before_at > longest
        if lost:
            silences.append(Interval(before_at, measured_at))
        if plugged:
            begun = begun or measured_at
        elif begun is not None:
            end = before_at if lost else measured_at
            stays += [Interval(begun, end)] if end > begun else []
            begun = None
    if begun is not None and last is not None and last > begun:
        stays.append(Interval(begun, last))
    heard = Interval(first, last) if first is not None and last is not None and last > first else None
    return Presence(tuple(stays), tuple(silences), heard)


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
