"""Moving the readings of closed settlement days to files, and back.

A day's file is written and synced first, read back, and only then, in one transaction, told to the database
and its readings deleted. Killed before that, a day is where it was, beside a file that nobody asks for and
that the next run writes again; killed after it, the day is rolled. Readings are only ever added: where
there are as many as were written they are those; where some came meanwhile the day is written anew.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from sqlalchemy import Connection, Engine, Table, delete, func, insert, select

from aggregator.model.errors import MISSING, BadMessage, Fault, Unavailable
from aggregator.model.time import LONDON, Interval, local_day
from aggregator.store import rolled_files
from aggregator.store.columns import micros
from aggregator.store.engine import chunks, insert_all_new, insert_if_new, reading, writing
from aggregator.store.rolled import (
    EVER,
    ROLLED_DAYS,
    ROLLED_METERS,
    RolledDay,
    file_of,
    instant_of,
    path_of,
    plain,
    versions_of,
)
from aggregator.store.rolled_files import Row
from aggregator.store.versions import every

ATTEMPTS = 3
_METERS = 500
_ROWS = 10_000


class Rolling:
    """What moves the readings of one or several tables."""

    def __init__(self, engine: Engine, tables: Sequence[Table]) -> None:
        self._engine, self._tables = engine, tables

    def folder(self, said: Path | None) -> Path:
        """Return the folder that files go to: beside a SQLite file unless said otherwise.

        Raises:
            BadMessage: If the store is on a server, and nothing was said.
        """
        if said is not None:
            return said
        if self._engine.dialect.name != "sqlite":
            allowed = "a folder that whoever uses the store can read"
            raise BadMessage(Fault("readings: --out", MISSING, allowed))

        return Path(f"{self._engine.url.database}.rolled")

    def roll(self, before: date, folder: Path) -> Iterator[RolledDay]:
        """Move every settlement day before a date that has not been moved; yield each once it is.

        Raises:
            BadMessage: If pyarrow is not installed.
            Unavailable: If the database does not answer, or readings of a day keep coming.
        """
        rolled_files.must_have_parquet("readings roll")
        for table in self._tables:
            for day in self._hot_days(table, before):
                done = self._roll_day(table, day, folder)
                if done is not None:
                    yield done

    def unroll(self, since: date) -> Iterator[RolledDay]:
        """Bring every day from a date on back into the database, latest first; yield each once it is.

        The files stay; nothing asks for them any more.

        Raises:
            BadMessage: If a file is missing or not as it was written, or pyarrow is not installed.
        """
        for table in self._tables:
            mine = (ROLLED_DAYS.c.readings == table.name, ROLLED_DAYS.c.settlement_date >= since)
            query = select(ROLLED_DAYS).where(*mine).order_by(ROLLED_DAYS.c.settlement_date.desc())
            with reading(self._engine) as connection:
                days = connection.execute(query).all()
            for row in days:
                path = path_of(self._engine, row.file)
                day = RolledDay(table.name, row.settlement_date, path, row.sha256, row.rows)
                self._unroll_day(table, day)
                yield day

    def _hot_days(self, table: Table, before: date) -> Iterator[date]:
        """Yield the days before a date that have readings and have not been moved."""
        with reading(self._engine) as connection:
            mine = ROLLED_DAYS.c.readings == table.name
            moved = set(connection.scalars(select(ROLLED_DAYS.c.settlement_date).where(mine)))
            first = _next_at(connection, table, None)
        while first is not None and first < local_day(before).start:
            day = first.astimezone(LONDON).date()
            if day not in moved:
                yield day
            with reading(self._engine) as connection:
                first = _next_at(connection, table, local_day(day).end)

    def _roll_day(self, table: Table, day: date, folder: Path) -> RolledDay | None:
        span = local_day(day)
        for _ in range(ATTEMPTS):
            with reading(self._engine) as connection:
                found = every(connection, table, _meters(connection, table), span, None)
                rows = sorted(plain(row) for row in found)

            data = rolled_files.to_bytes(rows)
            sha256 = rolled_files.digest_of(data)
            path = rolled_files.write(folder, f"{table.name}-{day}", data)
            rolled_files.checked(path, sha256)
            done = RolledDay(table.name, day, path, sha256, len(rows))
            with writing(self._engine) as connection:
                if _count(connection, table, span) == len(rows):
                    return done if _told(connection, table, done, rows) else None
            path.unlink()
        raise Unavailable(f"{table.name} of {day} keep coming")

    def _unroll_day(self, table: Table, day: RolledDay) -> None:
        mine = ROLLED_DAYS.c.readings == table.name, ROLLED_DAYS.c.settlement_date == day.settlement_date
        span = local_day(day.settlement_date)
        names = [column.name for column in table.columns]
        with writing(self._engine) as connection:
            meters = ROLLED_METERS.c.readings == table.name, ROLLED_METERS.c.first_at >= span.start
            theirs = (*meters, ROLLED_METERS.c.first_at < span.end)
            ids = list(connection.scalars(select(ROLLED_METERS.c.meter_id).where(*theirs)))
            read = rolled_files.read(day.path, day.sha256, ids)
            within = micros(span.start), micros(span.end), micros(EVER)
            rows = [row for one in ids for row in read.rows(one, *within)]
            hot = [plain(row) for row in every(connection, table, ids, span, None)]
            _delete_repeats(connection, table, rows, hot)
            for chunk in chunks(rows, _ROWS):
                insert_all_new(connection, table, [_as_row(names, row) for row in chunk])
            connection.execute(delete(ROLLED_METERS).where(*theirs))
            connection.execute(delete(ROLLED_DAYS).where(*mine))


def _told(connection: Connection, table: Table, done: RolledDay, rows: Sequence[Row]) -> bool:
    """Say in the database that a day was moved, and delete it there; False where another run did."""
    span = local_day(done.settlement_date)
    row = {
        "readings": table.name,
        "settlement_date": done.settlement_date,
        "ends_at": span.end,
        "file": file_of(connection.engine, done.path),
        "sha256": done.sha256,
        "rows": done.rows,
    }
    if not insert_if_new(connection, ROLLED_DAYS, row):
        return False
    meters = [
        {
            "readings": table.name,
            "meter_id": meter,
            "first_at": instant_of(theirs[0][1]),
            "last_at": instant_of(theirs[-1][1]),
            "known_from": instant_of(min(one[2] for one in theirs)),
        }
        for meter, group in groupby(rows, itemgetter(0))
        for theirs in (list(group),)
    ]
    connection.execute(insert(ROLLED_METERS), meters)
    whose, measured_at, _ = table.primary_key.columns
    for chunk in chunks([one["meter_id"] for one in meters], _METERS):
        theirs = (whose.in_(chunk), measured_at >= span.start, measured_at < span.end)
        connection.execute(delete(table).where(*theirs))
    return True


def _delete_repeats(connection: Connection, table: Table, rows: Sequence[Row], hot: Sequence[Row]) -> None:
    """Delete what was told again of a rolled day: beside what its file says it says nothing."""
    meter, measured_at, received_at = table.primary_key.columns
    told_again = {row[:2] for row in hot}
    both = sorted([*hot, *(row for row in rows if row[:2] in told_again)])
    kept = {row for _, group in groupby(both, itemgetter(0, 1)) for row in versions_of(group)}
    for row in set(hot) - kept:
        key = (meter == row[0], measured_at == instant_of(row[1]), received_at == instant_of(row[2]))
        connection.execute(delete(table).where(*key))


def _as_row(names: Sequence[str], row: Row) -> dict[str, object]:
    meter, at, learnt, *wh = row
    return dict(zip(names, (meter, instant_of(at), instant_of(learnt), *wh), strict=True))


def _meters(connection: Connection, table: Table) -> list[str]:
    """Return whose readings there are: a look at the key for each, not at every row."""
    whose = table.primary_key.columns[0]
    found: list[str] = []
    following = connection.scalar(select(func.min(whose)))
    while following is not None:
        found.append(following)
        following = connection.scalar(select(func.min(whose)).where(whose > following))
    return found


def _next_at(connection: Connection, table: Table, since: datetime | None) -> datetime | None:
    """Return when the first reading from an instant on was measured; None where there is none."""
    whose, measured_at, _ = table.primary_key.columns
    firsts = []
    for meter in _meters(connection, table):
        query = select(func.min(measured_at)).where(whose == meter)
        firsts.append(connection.scalar(query if since is None else query.where(measured_at >= since)))
    return min((at for at in firsts if at is not None), default=None)


def _count(connection: Connection, table: Table, span: Interval) -> int:
    whose, measured_at, _ = table.primary_key.columns
    within = (measured_at >= span.start, measured_at < span.end)
    return sum(
        connection.scalar(select(func.count()).select_from(table).where(whose.in_(chunk), *within)) or 0
        for chunk in chunks(_meters(connection, table), _METERS)
    )
