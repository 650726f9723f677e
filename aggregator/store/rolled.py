"""Readings of closed settlement days that were moved to files, and what the database keeps of them.

Of each day there are the file, its digest and how many readings it holds; of each meter in it, between which
instants it told and when we first learnt anything. So who looks for the nearest reading opens the one file
that has it, and no file at all for what lies after the last rolled day.

A reading that comes for a day already rolled stays in the table of readings, and is merged on reading: a
correction is the newer version, a repeat of what the file says is left aside. Instants and rows are read in
the transaction that reads the table, so that a day is in one of the two places, never in both or in neither.

There are no partitions of hot days. Readings are looked for by meter and then by instant, often the nearest
one however far away, which would visit every partition. And a rolled day is deleted meter by meter along the
primary key, whose cost depends on the day and not on the table: a day of 135 chargers, 194,400 rows, takes a
tenth of a second on SQLite, a quarter on PostgreSQL, out of two days as of eight (`tests/bench/rolling.py`).
SQLite has no partitions anyway, and uses the freed pages for the days to come.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Engine, Table, Text, func, select

from aggregator.model.time import LONDON, Interval
from aggregator.store import rolled_files
from aggregator.store.columns import EPOCH, MICROSECOND, LocalDate, UtcMicros, micros
from aggregator.store.engine import POSTGRESQL
from aggregator.store.rolled_files import Day, Row
from aggregator.store.tables import METADATA

ROLLED_DAYS = Table(
    "rolled_days",
    METADATA,
    Column("readings", Text, primary_key=True),
    Column("settlement_date", LocalDate, primary_key=True),
    Column("ends_at", UtcMicros, nullable=False),
    Column("file", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
)

ROLLED_METERS = Table(
    "rolled_meters",
    METADATA,
    Column("readings", Text, primary_key=True),
    Column("meter_id", Text, primary_key=True),
    Column("first_at", UtcMicros, primary_key=True, autoincrement=False),
    Column("last_at", UtcMicros, nullable=False),
    Column("known_from", UtcMicros, nullable=False),
    sqlite_with_rowid=False,
)

EVER = datetime.max.replace(tzinfo=UTC)
_ASKED = {
    "sqlite": (
        "SELECT json_extract(value, '$[0]') AS meter_id, json_extract(value, '$[1]') AS instant"
        " FROM json_each(?)",
        "?",
    ),
    POSTGRESQL: (
        "SELECT value ->> 0 AS meter_id, (value ->> 1)::bigint AS instant FROM json_array_elements(%s::json)",
        "%s",
    ),
}
"""How meters and instants are given, as one JSON text, and the mark of a parameter."""

Pair = tuple[str, datetime]
Sides = tuple[datetime | None, datetime | None]


@dataclass(frozen=True, slots=True)
class RolledDay:
    """A settlement day that was moved to a file.

    Attributes:
        readings: Of which table.
        settlement_date: London date.
        path: The file.
        sha256: Its digest.
        rows: How many readings it holds, corrections included.
    """

    readings: str
    settlement_date: date
    path: Path
    sha256: str
    rows: int


class Rolled:
    """What was rolled of one table, as one transaction sees it and as known at a time."""

    def __init__(self, connection: Connection, table: Table, as_known_at: datetime | None) -> None:
        self._connection, self._table = connection, table
        self._known_by = EVER if as_known_at is None else as_known_at
        self._known_at = micros(self._known_by)
        query = select(ROLLED_DAYS).where(ROLLED_DAYS.c.readings == table.name)
        self._days = {row.settlement_date: row for row in connection.execute(query)}
        self._read: dict[date, tuple[frozenset[str], Day]] = {}

    def __bool__(self) -> bool:
        return bool(self._days)

    def reaches(self, instant: datetime) -> bool:
        """Whether a rolled day ends after an instant."""
        return any(row.ends_at > instant for row in self._days.values())

    def first(self) -> datetime | None:
        """Return when the earliest rolled reading was measured; None where there is none."""
        mine = ROLLED_METERS.c.readings == self._table.name
        query = select(func.min(ROLLED_METERS.c.first_at)).where(mine)
        found: datetime | None = self._connection.scalar(query)

        return found

    def count(self) -> int:
        """Return how many readings are rolled, corrections included."""
        return sum(row.rows for row in self._days.values())

    def between(self, meters: Sequence[str], interval: Interval) -> Iterator[Row]:
        """Yield the readings measured in an interval, every version of each."""
        low, high = micros(interval.start), micros(interval.end)
        for day in sorted(self._days):
            ends_at = self._days[day].ends_at
            if interval.start < ends_at and day <= interval.end.astimezone(LONDON).date():
                read = self._day(day, meters)
                for meter in meters:
                    yield from read.rows(meter, low, high, self._known_at)

    def at(self, meters: Mapping[str, Iterable[datetime]]) -> Iterator[Row]:
        """Yield the readings measured at given instants, every version of each."""
        by_day: dict[date, list[Pair]] = {}
        for meter, instants in meters.items():
            for instant in instants:
                by_day.setdefault(_day_of(instant), []).append((meter, instant))
        for day in sorted(by_day.keys() & self._days.keys()):
            read = self._day(day, [meter for meter, _ in by_day[day]])
            for meter, instant in by_day[day]:
                yield from read.rows(meter, micros(instant), micros(instant) + 1, self._known_at)

    def sides(self, pairs: Iterable[Pair]) -> dict[Pair, Sides]:
        """Return when the nearest readings on both sides of each meter's instant were measured."""
        wanted = sorted(set(pairs))
        before = self._nearest(wanted, backwards=True)
        after = self._nearest(wanted, backwards=False)
        return {pair: (before.get(pair), after.get(pair)) for pair in wanted}

    def _nearest(self, pairs: Sequence[Pair], *, backwards: bool) -> dict[Pair, datetime]:
        """Look into the nearest day that may tell; where it was not known then, into the next nearest."""
        found: dict[Pair, datetime] = {}
        looking = [(pair, pair[1]) for pair in pairs]
        while looking:
            told = self._spans([(meter, edge) for (meter, _), edge in looking], backwards=backwards)
            by_day: dict[date, list[tuple[Pair, datetime]]] = {}
            for pair, edge in looking:
                span = told.get((pair[0], edge))
                if span is not None:
                    by_day.setdefault(_day_of(span), []).append((pair, span))
            looking = []
            for day, theirs in sorted(by_day.items()):
                read = self._day(day, [meter for (meter, _), _ in theirs])
                for pair, span in theirs:
                    at = read.nearest(pair[0], micros(pair[1]), self._known_at)[0 if backwards else 1]
                    if at is not None:
                        found[pair] = instant_of(at)
                    else:
                        looking.append((pair, span - MICROSECOND if backwards else span + MICROSECOND))
        return found

    def _spans(self, edges: Sequence[Pair], *, backwards: bool) -> dict[Pair, datetime]:
        """Return, for each meter and instant, the first (last) reading of the nearest day that may tell."""
        nearest, beside = ("max(first_at)", "first_at <=") if backwards else ("min(last_at)", "last_at >=")
        asked, mark = _ASKED[self._connection.dialect.name]
        span = (
            f"SELECT {nearest} FROM rolled_meters WHERE readings = {mark} AND known_from <= {mark}"
            f" AND rolled_meters.meter_id = asked.meter_id AND {beside} asked.instant"
        )
        query = f"WITH asked AS ({asked}) SELECT meter_id, instant, ({span}) FROM asked"
        given = json.dumps([(meter, micros(instant)) for meter, instant in sorted(set(edges))])
        rows = self._connection.exec_driver_sql(query, (given, self._table.name, self._known_at))
        return {(meter, instant_of(at)): instant_of(found) for meter, at, found in rows if found is not None}

    def _day(self, day: date, meters: Iterable[str]) -> Day:
        known, read = self._read.get(day, (frozenset(), None))
        wanted = known.union(meters)
        if read is None or wanted != known:
            row = self._days[day]
            path = path_of(self._connection.engine, row.file)
            read = rolled_files.read(path, row.sha256, sorted(wanted))
            self._read[day] = wanted, read
        return read


def versions_of(rows: Iterable[Row]) -> list[Row]:
    """Return the versions of one reading in the order learnt; one that repeats the version before is none."""
    versions: list[Row] = []
    for row in sorted(rows, key=itemgetter(2)):
        if not versions or row[3:] != versions[-1][3:]:
            versions.append(row)
    return versions


def file_of(engine: Engine, path: Path) -> str:
    """Return how a file is named in the database: from a SQLite file's own folder, else in full."""
    beside = Path(str(engine.url.database)).resolve().parent
    full = path.resolve()
    is_beside = engine.dialect.name == "sqlite" and full.is_relative_to(beside)
    return str(full.relative_to(beside)) if is_beside else str(full)


def path_of(engine: Engine, file: str) -> Path:
    """Return where a file named in the database is."""
    if engine.dialect.name != "sqlite":
        return Path(file)
    return Path(str(engine.url.database)).parent / file


def plain(row: Any) -> Row:  # noqa: ANN401 - a database's row
    """Return a reading's row with its instants in microseconds."""
    return row[0], micros(row[1]), micros(row[2]), row[3], row[4]


def instant_of(at: int) -> datetime:
    """Return the instant of whole microseconds since 1970."""
    return EPOCH + at * MICROSECOND


def _day_of(instant: datetime) -> date:
    return instant.astimezone(LONDON).date()
