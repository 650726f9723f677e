"""Meter registers and car states as reported, each with when it was so and when we learnt it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Engine, Select, Table, Text, column, func, select, true, values

from aggregator.model.metering import CarReport, Reading
from aggregator.model.time import Interval
from aggregator.store.columns import UtcMicros, micros
from aggregator.store.engine import chunks, reading, writing
from aggregator.store.rolled import Pair, Rolled, Sides, instant_of, plain, versions_of
from aggregator.store.rolled_files import Row
from aggregator.store.tables import CAR_STATES, READINGS
from aggregator.store.versions import add_versions, every, known_by, learnt_after, newest, rows_at

END_OF_TIME = datetime.max.replace(tzinfo=UTC)
_CHARGERS = 500
_INSTANTS = 1000
_KEYS = 5000


@dataclass(frozen=True, slots=True)
class Around:
    """The readings nearest to an instant; both the same where one was taken just then.

    Attributes:
        before: The last at or before it, None where there is none.
        after: The first at or after it, None where there is none.
    """

    before: Reading | None
    after: Reading | None


@dataclass(frozen=True, slots=True)
class CarState:
    """What a car's charger reported besides its registers; fields as in ``CarReport``.

    Attributes:
        received_at: When we learnt it.
    """

    car_id: str
    measured_at: datetime
    received_at: datetime
    plugged: bool
    soc: float | None
    export_w: int
    boost: bool = False
    depart_at: datetime | None = None
    target_soc: float | None = None
    soc_at: datetime | None = None


class Readings:
    """The registers of one kind of meters: those of all chargers, or those at the boundaries of all homes.

    Args:
        engine: Of the database.
        table: Which kind; its first column says whose: of a home, its site's id stands as ``charger_id``.
    """

    def __init__(self, engine: Engine, table: Table = READINGS) -> None:
        self._engine = engine
        self._table = table

    def add(self, readings: Iterable[Reading]) -> int:
        """Store readings that say something new; return how many did.

        One that differs from what was known of its instant is a correction and kept beside it.
        """
        rows = [
            {
                self._table.columns[0].name: found.charger_id,
                "measured_at": found.measured_at,
                "received_at": found.received_at,
                "import_wh": found.import_wh,
                "export_wh": found.export_wh,
            }
            for found in readings
        ]
        with writing(self._engine) as connection:
            return add_versions(connection, self._table, rows)

    def between(
        self, charger_ids: Sequence[str], interval: Interval, as_known_at: datetime | None = None
    ) -> tuple[Reading, ...]:
        """Return readings measured in an interval, by charger and instant.

        Args:
            charger_ids: Whose.
            interval: From its start, inclusive, to its end, exclusive.
            as_known_at: Only what was learnt by then; None for all.
        """
        with reading(self._engine) as connection:
            rolled = Rolled(connection, self._table, as_known_at)
            if not rolled.reaches(interval.start):
                rows = newest(connection, self._table, charger_ids, interval, as_known_at)
                return tuple(Reading(*row) for row in rows)
            hot = every(connection, self._table, charger_ids, interval, as_known_at)
            found = [*map(plain, hot), *rolled.between(sorted(set(charger_ids)), interval)]
        return tuple(_newest(sorted(found)))

    def at_or_around(
        self, charger_ids: Sequence[str], instants: Sequence[datetime], as_known_at: datetime | None = None
    ) -> dict[tuple[str, datetime], Around]:
        """Return, for each charger and instant, the nearest readings on both sides.

        What lies between two boundaries is the difference of the registers there; what to make of
        boundaries without a reading of their own is the caller's rule.

        Args:
            charger_ids: Whose.
            instants: Such as the boundaries of settlement periods.
            as_known_at: Only what was learnt by then; None for all.

        Returns:
            An entry for every pair, by (charger id, instant).
        """
        found: dict[tuple[str, datetime], Around] = {}
        with reading(self._engine) as connection:
            rolled = Rolled(connection, self._table, as_known_at)
            for things in chunks(sorted(set(charger_ids)), _CHARGERS):
                for chunk in chunks(sorted(set(instants)), _INSTANTS):
                    found |= _around(connection, self._table, things, chunk, as_known_at, rolled)
        return found

    def last_before(
        self, charger_ids: Sequence[str], instant: datetime, as_known_at: datetime | None = None
    ) -> tuple[Reading, ...]:
        """Return the last reading at or before an instant of each charger that has one, by charger."""
        around = self.at_or_around(sorted(set(charger_ids)), [instant], as_known_at)
        return tuple(sides.before for sides in around.values() if sides.before is not None)

    def learnt_after(
        self, charger_ids: Sequence[str], interval: Interval, since: datetime
    ) -> dict[tuple[str, datetime], datetime]:
        """Return what was learnt late, by charger and half-hour: see ``versions.learnt_after``.

        What lies in files of rolled months is not looked at.
        """
        with reading(self._engine) as connection:
            return learnt_after(connection, self._table, charger_ids, interval, since)

    def first(self) -> datetime | None:
        """Return when the earliest reading was measured; None where there is none."""
        with reading(self._engine) as connection:
            hot: datetime | None = connection.scalar(select(func.min(self._table.c.measured_at)))
            rolled = Rolled(connection, self._table, None).first()
        return min((found for found in (hot, rolled) if found is not None), default=None)

    def newest_at(self, charger_ids: Sequence[str]) -> datetime | None:
        """Return when we learnt the newest of these chargers' last readings; None where there is none."""
        last = self.last_before(charger_ids, END_OF_TIME)
        return max((found.received_at for found in last), default=None)

    def count(self) -> int:
        """Return how many readings are stored, corrections included."""
        with reading(self._engine) as connection:
            hot = connection.scalar(select(func.count()).select_from(self._table)) or 0
            return hot + Rolled(connection, self._table, None).count()


class States:
    """The reported states of all cars."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, reports: Iterable[CarReport], received_at: datetime) -> int:
        """Store reported states that say something new; return how many did. Registers are left out."""
        rows = [_state_row(report, received_at) for report in reports]
        with writing(self._engine) as connection:
            return add_versions(connection, CAR_STATES, rows)

    def between(
        self, car_ids: Sequence[str], interval: Interval, as_known_at: datetime | None = None
    ) -> tuple[CarState, ...]:
        """Return states measured in an interval, by car and instant; of each instant the newest known."""
        with reading(self._engine) as connection:
            return tuple(
                CarState(*row) for row in newest(connection, CAR_STATES, car_ids, interval, as_known_at)
            )


def _state_row(report: CarReport, received_at: datetime) -> dict[str, object]:
    return {
        "car_id": report.car_id,
        "measured_at": report.measured_at,
        "received_at": received_at,
        "plugged": report.plugged,
        "soc": report.soc,
        "export_w": report.export_w,
        "boost": report.boost,
        "depart_at": report.depart_at,
        "target_soc": report.target_soc,
        "soc_at": report.soc_at,
    }


def _around(
    connection: Connection,
    table: Table,
    charger_ids: Sequence[str],
    instants: Sequence[datetime],
    as_known_at: datetime | None,
    rolled: Rolled,
) -> dict[tuple[str, datetime], Around]:
    hot = connection.execute(_sides(table, charger_ids, instants, as_known_at))
    sides = _with_rolled({(row[0], row[1]): (row[2], row[3]) for row in hot}, rolled)
    wanted: dict[str, set[datetime]] = {}
    for (charger_id, _), found in sides.items():
        wanted.setdefault(charger_id, set()).update(at for at in found if at is not None)
    keys = [(charger_id, micros(at)) for charger_id, measured in wanted.items() for at in measured]
    learnt_by = micros(as_known_at or END_OF_TIME)
    rows = (row for some in chunks(keys, _KEYS) for row in rows_at(connection, table, some))
    versions = [tuple(row) for row in rows if row[2] <= learnt_by]
    versions += rolled.at(wanted)
    there: dict[tuple[str, datetime | None], Reading] = {
        (one.charger_id, one.measured_at): one for one in _newest(sorted(versions))
    }
    return {
        (charger_id, instant): Around(there.get((charger_id, before)), there.get((charger_id, after)))
        for (charger_id, instant), (before, after) in sides.items()
    }


def _with_rolled(hot: dict[Pair, Sides], rolled: Rolled) -> dict[Pair, Sides]:
    """Return the nearest instants of both places; what lies after the last rolled day asks no file."""
    asked = [
        (pair, (before, after))
        for pair, (before, after) in hot.items()
        if rolled and (before is None or rolled.reaches(before) or rolled.reaches(pair[1]))
    ]
    found = rolled.sides(pair for pair, _ in asked)
    for pair, (before, after) in asked:
        earlier, later = found[pair]
        hot[pair] = (
            max((at for at in (before, earlier) if at is not None), default=None),
            min((at for at in (after, later) if at is not None), default=None),
        )
    return hot


def _newest(rows: Sequence[Row]) -> Iterator[Reading]:
    """Yield the newest version of each reading, by charger and instant."""
    for (charger_id, at), versions in groupby(rows, itemgetter(0, 1)):
        _, _, learnt, import_wh, export_wh = versions_of(versions)[-1]
        yield Reading(charger_id, instant_of(at), instant_of(learnt), import_wh, export_wh)


def _sides(
    table: Table, charger_ids: Sequence[str], instants: Sequence[datetime], as_known_at: datetime | None
) -> Select[Any]:
    """Return the query for the instants of the readings on both sides of each: two index seeks a pair."""
    whose, measured_at, received_at = table.primary_key.columns
    who = (
        values(column("charger_id", Text), name="who_values").data([(one,) for one in charger_ids]).cte("who")
    )
    when = (
        values(column("instant", UtcMicros), name="when_values").data([(at,) for at in instants]).cte("when_")
    )
    theirs = (whose == who.c.charger_id, *known_by(received_at, as_known_at))
    before = select(func.max(measured_at)).where(*theirs, measured_at <= when.c.instant)
    after = select(func.min(measured_at)).where(*theirs, measured_at >= when.c.instant)
    pairs = select(who.c.charger_id, when.c.instant, before.scalar_subquery(), after.scalar_subquery())
    return pairs.select_from(who.join(when, true()))
