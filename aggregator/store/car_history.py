"""What a car's reported states say over time: when it was plugged in, and since when its driver says so."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Engine, func, or_, select

from aggregator.model.drivers import SILENT, ChargerWord
from aggregator.model.time import Interval
from aggregator.store.engine import AnyRow, reading
from aggregator.store.tables import CAR_STATES


class CarHistory:
    """The reported states of all cars, looked at as a whole."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def charger_words(self, car_ids: Iterable[str]) -> dict[str, ChargerWord]:
        """Return what each car's charger passed on last, and since when it says so without a break."""
        with reading(self._engine) as connection:
            return {car_id: _word(connection, car_id) for car_id in car_ids}

    def stays(self, car_id: str, during: Interval) -> tuple[Interval, ...]:
        """Return when a car was plugged in, by what it reported in an interval, oldest first.

        From the first report that says so to the first that says otherwise, else to the last there is.
        """
        columns = CAR_STATES.c
        newest = func.row_number().over(partition_by=columns.measured_at, order_by=columns.received_at.desc())
        told = (
            select(columns.measured_at, columns.plugged, newest.label("place"))
            .where(columns.car_id == car_id)
            .where(columns.measured_at >= during.start, columns.measured_at < during.end)
            .subquery()
        )
        before, after = (
            side(told.c.plugged).over(order_by=told.c.measured_at) for side in (func.lag, func.lead)
        )
        rows = (
            select(told.c.measured_at, told.c.plugged, before.label("before"), after.label("after"))
            .where(told.c.place == 1)
            .subquery()
        )
        turns = (
            select(rows.c.measured_at, rows.c.plugged)
            .where(or_(rows.c.before.is_(None), rows.c.after.is_(None), rows.c.plugged != rows.c.before))
            .order_by(rows.c.measured_at)
        )
        with reading(self._engine) as connection:
            return tuple(_stays(connection.execute(turns)))


def _stays(turns: Iterable[AnyRow]) -> Iterable[Interval]:
    begun: datetime | None = None
    last: datetime | None = None
    for measured_at, plugged in turns:
        if plugged and begun is None:
            begun = measured_at
        elif not plugged and begun is not None:
            yield Interval(begun, measured_at)
            begun = None
        last = measured_at
    if begun is not None and last is not None and last > begun:
        yield Interval(begun, last)


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
