"""Measurements that may be corrected: each stored once, with when it was so and when we learnt it.

A table of measurements is keyed (thing, measured_at, received_at). What says the same as what was known
is a repeat and dropped; what says something else is a correction and becomes a further row. So any past
state of knowledge can be asked for, and asking again gives the same (P9).

What is known of many is asked for in one statement, their keys given as one JSON text, and what is new is
inserted in another. Row by row both take many times as long.
"""

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Connection, Float, Table, func, select, type_coerce

from aggregator.model.time import HALF_HOUR, MICROSECOND, Interval, floor_half_hour
from aggregator.store.columns import EPOCH, micros
from aggregator.store.engine import POSTGRESQL, chunks

Row = Mapping[str, Any]
_Plain = tuple[Any, ...]
_Known = dict[tuple[str, int], list[tuple[int, _Plain]]]
_GIVEN = "json_array_elements(%(rows)s::json) AS given (value)"
_CHUNK = 5000
_THINGS = 500
_HALF_HOUR_MICROS = HALF_HOUR // MICROSECOND


def add_versions(connection: Connection, table: Table, rows: Sequence[Row]) -> int:
    """Store the measurements that say something new; return how many did.

    Two that differ and were learnt at the same instant are both kept, the second 1 us later.

    Args:
        connection: Within a write transaction: nobody else adds any meanwhile.
        table: Its first column says of what, then come ``measured_at`` and ``received_at``.
        rows: By column; instants with a zone.

    Raises:
        ValueError: If an instant has no zone. Nothing is stored then.
    """
    names = [column.name for column in table.columns]
    plain = [tuple(map(_plain, map(row.__getitem__, names))) for row in rows]
    added = 0
    for chunk in chunks(sorted(plain, key=itemgetter(0, 1)), _CHUNK):
        known = _known(connection, table, chunk)
        new = [fresh for row in chunk if (fresh := _fresh(known, row)) is not None]
        if new:
            _insert(connection, table, new)
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
    thing = table.columns[0].name
    by_thing: dict[str, list[Any]] = {}
    rows = every(connection, table, things, interval, as_known_at)
    for _, versions in groupby(rows, attrgetter(thing, "measured_at")):
        *_, last = versions
        by_thing.setdefault(getattr(last, thing), []).append(last)
    for name in sorted(by_thing):
        yield from by_thing[name]


def every(
    connection: Connection,
    table: Table,
    things: Sequence[str],
    interval: Interval,
    as_known_at: datetime | None,
) -> Iterator[Any]:
    """Yield rows measured in an interval, every version; those of an instant together, older ones first."""
    thing, measured_at, received_at = table.primary_key.columns
    for chunk in chunks(sorted(set(things)), _THINGS):
        query = select(table).where(
            thing.in_(chunk),
            measured_at >= interval.start,
            measured_at < interval.end,
            *known_by(received_at, as_known_at),
        )
        yield from connection.execute(query.order_by(thing, measured_at, received_at))


def learnt_after(
    connection: Connection, table: Table, things: Sequence[str], interval: Interval, since: datetime
) -> dict[tuple[str, datetime], datetime]:
    """Return when the newest was learnt of what was measured in an interval and learnt after an instant.

    Both ends of the interval count, and what was measured at a half-hour's end is of that half-hour.

    Returns:
        By thing and half-hour's start; nothing where nothing new was learnt.
    """
    thing, measured_at, received_at = table.primary_key.columns
    before = type_coerce(measured_at, BigInteger) - 1
    half_hour = (before // _HALF_HOUR_MICROS).label("half_hour")
    found: dict[tuple[str, datetime], datetime] = {}
    for chunk in chunks(sorted(set(things)), _THINGS):
        query = select(thing, half_hour, func.max(received_at, type_=received_at.type)).where(
            thing.in_(chunk),
            measured_at >= interval.start,
            measured_at <= interval.end,
            received_at > since,
        )
        for name, number, at in connection.execute(query.group_by(thing, half_hour)):
            key = name, max(EPOCH + number * HALF_HOUR, floor_half_hour(interval.start))
            found[key] = max(at, found.get(key, at))
    return found


def known_by(received_at: Column[Any], as_known_at: datetime | None) -> tuple[Any, ...]:
    """Return the conditions on what was learnt at or before ``as_known_at``; None means ever."""
    return () if as_known_at is None else (received_at <= as_known_at,)


def _plain(value: object) -> object:
    """Return a value as both databases store it."""
    return micros(value) if isinstance(value, datetime) else value


def _known(connection: Connection, table: Table, rows: Sequence[_Plain]) -> _Known:
    """Return what is known of the things and instants of some rows, in the order learnt."""
    keys = list(dict.fromkeys(row[:2] for row in rows))
    known: _Known = {}
    for thing, measured_at, received_at, *said in rows_at(connection, table, keys):
        known.setdefault((thing, measured_at), []).append((received_at, tuple(said)))
    for versions in known.values():
        versions.sort(key=itemgetter(0))
    return known


def rows_at(connection: Connection, table: Table, keys: Sequence[tuple[str, int]]) -> Iterator[Sequence[Any]]:
    """Yield every version of some things' rows at given instants, in no order.

    Args:
        connection: Within a transaction.
        table: As in ``add_versions``.
        keys: Thing and whole microseconds since 1970, some thousands at most: they go as one text.

    Yields:
        The columns as stored, instants in whole microseconds.
    """
    thing, names = table.columns[0].name, ", ".join(f"found.{column.name}" for column in table.columns)
    theirs = f"found.{thing} = wanted.thing AND found.measured_at = wanted.at"
    if connection.dialect.name == POSTGRESQL:
        # one look into the index for each, whatever the server thinks of the table's size
        found = f"(SELECT * FROM {table.name} AS found WHERE {theirs} OFFSET 0) AS found"
        key = f"SELECT value ->> 0 AS thing, (value ->> 1)::bigint AS at FROM {_GIVEN}"
        query = f"SELECT {names} FROM ({key}) AS wanted CROSS JOIN LATERAL {found}"
        yield from connection.exec_driver_sql(query, {"rows": _as_json(keys)})
        return
    key = "SELECT json_extract(value, '$[0]') AS thing, json_extract(value, '$[1]') AS at FROM json_each(?)"
    query = f"WITH wanted AS ({key}) SELECT {names} FROM wanted CROSS JOIN {table.name} AS found ON {theirs}"
    yield from connection.exec_driver_sql(query, (_as_json(keys),))


def _fresh(known: _Known, row: _Plain) -> _Plain | None:
    """Return the row to store, None where it says the same as what was known when it was learnt."""
    versions = known.setdefault(row[:2], [])
    received_at, said = row[2], row[3:]
    while True:
        at = bisect_right(versions, received_at, key=itemgetter(0))
        before = versions[max(at - 1, 0)] if versions else None
        if before is not None and before[1] == said:
            return None
        if before is None or before[0] != received_at:
            versions.insert(at, (received_at, said))
            return (*row[:2], received_at, *said)
        received_at += 1


def _insert(connection: Connection, table: Table, rows: Sequence[_Plain]) -> None:
    into = f"INSERT INTO {table.name} ({', '.join(column.name for column in table.columns)})"
    if connection.dialect.name == POSTGRESQL:
        values = ", ".join(
            f"(value ->> {n})::{_type_on_postgresql(column)}" for n, column in enumerate(table.columns)
        )
        connection.exec_driver_sql(f"{into} SELECT {values} FROM {_GIVEN}", {"rows": _as_json(rows)})
    else:
        connection.exec_driver_sql(f"{into} VALUES ({', '.join('?' * len(table.columns))})", list(rows))


def _as_json(rows: Sequence[_Plain]) -> str:
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":"))


def _type_on_postgresql(column: Column[Any]) -> str:
    kind = getattr(column.type, "impl", column.type)
    types = {BigInteger: "bigint", Boolean: "boolean", Float: "double precision"}
    return next((name for known, name in types.items() if isinstance(kind, known)), "text")
