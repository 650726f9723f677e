"""Measurements that may be corrected: each stored once, with when it was so and when we learnt it.

A table of measurements is keyed (thing, measured_at, received_at). What says the same as what was known
is a repeat and dropped; what says something else is a correction and becomes a further row. So any past
state of knowledge can be asked for, and asking again gives the same (P9).
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Insert,
    RowMapping,
    Table,
    bindparam,
    exists,
    insert,
    select,
)

from aggregator.model.time import Interval
from aggregator.store.engine import chunks

Row = dict[str, Any]
_Known = dict[tuple[str, datetime], list[tuple[datetime, tuple[Any, ...]]]]
_CHUNK = 500
_THINGS = 500


def add_versions(connection: Connection, table: Table, rows: Sequence[Row]) -> int:
    """Store the measurements that say something new; return how many did.

    Nearly all are of an instant that nothing was known of: these the driver inserts by itself. Only where
    it left some out is the rest compared, row by row, with what is known. Two that differ and were learnt
    at the same instant are both kept, the second 1 us later.
    """
    added = 0
    first_known = _insert_first_known(table).execution_options(preserve_rowcount=True)
    thing = table.primary_key.columns[0].name
    for chunk in chunks(sorted(rows, key=itemgetter(thing, "measured_at")), _CHUNK):
        added += (first := connection.execute(first_known, chunk).rowcount)
        if first < len(chunk):
            known = _known(connection, table, chunk)
            if new := [fresh for row in chunk if (fresh := _fresh(table, known, row)) is not None]:
                connection.execute(insert(table), new)
            added += len(new)
    return added


def newest(
    connection: Connection,
    table: Table,
    things: Sequence[str],
    interval: Interval,
    as_known_at: datetime | None,
) -> Iterator[Any]:
    """Yield rows measured in an interval, by thing and instant; of each instant the newest known."""
    thing, measured_at, received_at = table.primary_key.columns
    by_thing: dict[str, list[Any]] = {}
    for chunk in chunks(sorted(set(things)), _THINGS):
        query = select(table).where(
            thing.in_(chunk),
            measured_at >= interval.start,
            measured_at < interval.end,
            *known_by(received_at, as_known_at),
        )
        rows = connection.execute(query.order_by(thing, measured_at, received_at))
        for _, versions in groupby(rows, attrgetter(thing.name, "measured_at")):
            *_, last = versions
            by_thing.setdefault(getattr(last, thing.name), []).append(last)
    for name in sorted(by_thing):  # databases sort texts by rules of their own
        yield from by_thing[name]


def known_by(received_at: Column[Any], as_known_at: datetime | None) -> tuple[Any, ...]:
    """Return the conditions on what was learnt at or before ``as_known_at``; None means ever."""
    return () if as_known_at is None else (received_at <= as_known_at,)


def _insert_first_known(table: Table) -> Insert:
    """Return the statement that inserts a row if nothing is known of its thing and instant."""
    thing, measured_at, _ = table.primary_key.columns
    given = {column.name: bindparam(column.name, type_=column.type) for column in table.columns}
    known = exists().where(thing == given[thing.name], measured_at == given[measured_at.name])
    return insert(table).from_select(list(given), select(*given.values()).where(~known))


def _known(connection: Connection, table: Table, rows: Sequence[Row]) -> _Known:
    thing, measured_at, received_at = table.primary_key.columns
    known: _Known = {}
    for name, group in groupby(rows, itemgetter(thing.name)):
        instants = {row["measured_at"] for row in group}
        query = select(table).where(thing == name, measured_at.in_(instants)).order_by(received_at)
        for row in connection.execute(query).mappings():
            versions = known.setdefault((name, row["measured_at"]), [])
            versions.append((row["received_at"], _said(table, row)))
    return known


def _fresh(table: Table, known: _Known, row: Row) -> Row | None:
    thing = table.primary_key.columns[0].name
    versions = known.setdefault((row[thing], row["measured_at"]), [])
    said, received_at = _said(table, row), row["received_at"]
    while True:
        at = bisect_right(versions, received_at, key=lambda version: version[0])
        before = versions[max(at - 1, 0)] if versions else None
        if before is not None and before[1] == said:
            return None
        if before is None or before[0] != received_at:
            versions.insert(at, (received_at, said))
            return {**row, "received_at": received_at}
        received_at += timedelta(microseconds=1)


def _said(table: Table, row: Mapping[str, Any] | RowMapping) -> tuple[Any, ...]:
    return tuple(row[column.name] for column in table.columns if not column.primary_key)
