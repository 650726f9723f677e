"""Recorded home charging sessions, as stays of cars that the backtest can move in time.

Stamps without an offset are local times of one stated zone; with one they are instants. A stay is what the
record says or nothing: one that never ended, ends before it begins, overlaps another of the same user or
stands twice is left out and told.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from aggregator.backtest.tables import LeftOut, Row, Unusable, rows, usable
from aggregator.model.errors import BadMessage, Fault

SESSIONS = "sessions.csv"
USERS = "users_predicted.csv"
COLUMNS = ("location", "user_id", "session_id", "plugin_time", "plugout_time", "energy_session")
USER_COLUMNS = ("user_id", "battery_capacity")
LARGEST_KWH = 1000.0
OLDEST_YEAR, LATEST_YEAR = 1990, 2100


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded session.

    Attributes:
        location: The site, a building with many chargers.
        user: Whose car.
        start: Plugged in, local wall time of the record's zone, without a zone.
        end: Plugged out, likewise.
        energy_kwh: Drawn at the meter. [kWh AC]
    """

    location: str
    user: str
    start: datetime
    end: datetime
    energy_kwh: float


@dataclass(frozen=True, slots=True)
class Record:
    """All that a folder of sessions tells.

    Attributes:
        sessions: By user and start, none overlapping another of its user.
        capacity_kwh: Predicted battery by user, where there is a prediction. [kWh]
        left_out: Rows that were not usable, by file.
    """

    sessions: tuple[Recorded, ...]
    capacity_kwh: Mapping[str, float]
    left_out: tuple[LeftOut, ...]


def sessions_file(place: Path) -> Path:
    """Return the sessions' file in a folder; a file is itself."""
    return place if place.is_file() else place / SESSIONS


def users_file(place: Path) -> Path:
    """Return the users' file beside the sessions, which need not be there."""
    return sessions_file(place).parent / USERS


def read_record(folder: Path, zone: ZoneInfo) -> Record:
    """Read ``sessions.csv`` and, if it is there, ``users_predicted.csv``.

    Args:
        folder: Where they are; or the sessions' file, the users' beside it.
        zone: Of stamps that name none.

    Raises:
        BadMessage: If the sessions lack a column or hold no usable row.
    """
    left_out = LeftOut(SESSIONS)
    seen: set[tuple[str, str]] = set()

    def read(row: Row) -> tuple[int, Recorded]:
        name = row.text("user_id"), row.text("session_id")
        if name in seen:
            raise Unusable("session_id", name[1], "one row a session of a user; the first one counts")
        seen.add(name)
        return row.line, _session(row, zone)

    found = list(usable(rows(sessions_file(folder), COLUMNS, left_out), read, left_out))
    sessions = tuple(_apart(found, left_out))
    if not sessions:
        raise BadMessage(Fault(SESSIONS, "no usable row", "at least one session"))
    users_left_out = LeftOut(USERS)
    capacity_kwh = _capacities(users_file(folder), users_left_out)
    return Record(sessions, capacity_kwh, (left_out, users_left_out))


def _session(row: Row, zone: ZoneInfo) -> Recorded:
    start, end = _local(row, "plugin_time", zone), _local(row, "plugout_time", zone)
    if not start < end:
        raise Unusable("plugout_time", row.cells["plugout_time"], "a time after plugin_time")
    return Recorded(
        location=row.text("location"),
        user=row.text("user_id"),
        start=start,
        end=end,
        energy_kwh=row.number("energy_session", 0, LARGEST_KWH),
    )


def _local(row: Row, column: str, zone: ZoneInfo) -> datetime:
    """Return a wall time of ``zone`` that clocks there have shown, from one, or from an instant."""
    value = row.text(column)
    try:
        stamp = datetime.fromisoformat(value)
    except ValueError:
        raise Unusable(column, value, "a time YYYY-MM-DD hh:mm:ss") from None
    if not OLDEST_YEAR <= stamp.year <= LATEST_YEAR:
        raise Unusable(column, value, f"a time of the years {OLDEST_YEAR} to {LATEST_YEAR}")
    if stamp.tzinfo is not None:
        return stamp.astimezone(zone).replace(tzinfo=None)
    shown = stamp.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None)
    if shown != stamp:
        raise Unusable(column, value, f"a time that clocks in {zone.key} have shown")
    return stamp


def _apart(found: Iterable[tuple[int, Recorded]], left_out: LeftOut) -> Iterator[Recorded]:
    """Yield the sessions that do not begin while another of the same user runs."""
    by_user: dict[str, list[tuple[int, Recorded]]] = defaultdict(list)
    for line, session in found:
        by_user[session.user].append((line, session))
    for _, own in sorted(by_user.items()):
        free_from = datetime.min  # noqa: DTZ901 - wall times of the record
        for line, session in sorted(own, key=lambda one: (one[1].start, one[1].end)):
            if session.start < free_from:
                began = session.start.isoformat(" ")
                left_out.add(line, Unusable("plugin_time", began, "a start after the user's session before"))
                continue
            free_from = session.end
            yield session


def _capacities(path: Path, left_out: LeftOut) -> dict[str, float]:
    if not path.exists():
        return {}

    seen: set[str] = set()

    def read(row: Row) -> tuple[str, float]:
        user = row.text("user_id")
        if user in seen:
            raise Unusable("user_id", user, "one row a user; the first one counts")
        seen.add(user)
        return user, row.number("battery_capacity", 0, LARGEST_KWH)

    return dict(usable(rows(path, USER_COLUMNS, left_out), read, left_out))
