"""Little worlds for the backtest as the three files it reads: sessions, calls, prices."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

LONDON = ZoneInfo("Europe/London")
YEARS_BACK = timedelta(days=5 * 364)
SESSION_HEADER = (
    *("location", "user_id", "session_id", "plugin_time", "plugout_time"),
    *("connection_time", "energy_session"),
)
CALL_HEADER = (
    *("company_name", "fu_id", "zone", "product", "start_time_utc", "end_time_utc"),
    *("availability_mw_req", "utilisation_mw_req", "availability_price", "utilisation_price"),
)


@dataclass(frozen=True)
class Stay:
    """A stay as it falls in the market's days, London wall time."""

    user: str
    start: datetime
    end: datetime
    kwh: float = 0.0
    location: str = "HOUSE"


@dataclass(frozen=True)
class Call:
    """A call of the DNO, London wall time."""

    start: datetime
    end: datetime
    kw: float
    price: float
    zone: str = "Eastgate"
    availability: float = 0.0


@dataclass
class Files:
    """Where a world was written."""

    folder: Path
    stays: Sequence[Stay]
    calls: Sequence[Call]
    first: date
    days: int
    pence: float = 20.0
    dear_pence: dict[int, float] = field(default_factory=dict)

    def write(self) -> "Files":
        """Write all three files."""
        sessions = self.folder / "sessions"
        sessions.mkdir(parents=True, exist_ok=True)
        write_csv(
            sessions / "sessions.csv", SESSION_HEADER, (self._session(n, s) for n, s in enumerate(self.stays))
        )
        write_csv(self.folder / "calls.csv", CALL_HEADER, map(_call, self.calls))
        start = datetime.combine(self.first - timedelta(days=10), datetime.min.time(), LONDON)
        slots = (
            start.astimezone(ZoneInfo("UTC")) + n * timedelta(minutes=30)
            for n in range(48 * (self.days + 12))
        )
        write_csv(
            self.folder / "prices.csv",
            ("datetime_utc", "p_per_kwh_inc_vat"),
            ((slot.isoformat(sep=" "), self._pence(slot)) for slot in slots),
        )
        return self

    def arguments(self, out: Path, *more: str) -> list[str]:
        """Return the command's arguments."""
        return [
            *("backtest", "--sessions", str(self.folder / "sessions"), "--sessions-zone", "Europe/London"),
            *("--dispatches", str(self.folder / "calls.csv"), "--prices", str(self.folder / "prices.csv")),
            *("--out", str(out), "--zones", "1", "--jobs", "1"),
            *("--from", self.first.isoformat(), "--to", (self.first + timedelta(days=self.days)).isoformat()),
            *more,
        ]

    def _pence(self, slot: datetime) -> float:
        return self.dear_pence.get(slot.astimezone(LONDON).hour, self.pence)

    def _session(self, number: int, stay: Stay) -> tuple[object, ...]:
        start, end = (at - YEARS_BACK for at in (stay.start, stay.end))
        return stay.location, stay.user, f"s {number}", start, end, "", stay.kwh


def _call(call: Call) -> tuple[object, ...]:
    start, end = (at.replace(tzinfo=LONDON).isoformat() for at in (call.start, call.end))
    mw = call.kw / 1000
    return (
        "A",
        "unit 1",
        call.zone,
        "Day-Ahead",
        start,
        end,
        mw if call.availability else 0,
        mw,
        call.availability,
        call.price,
    )


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def evenings(user: str, first: date, days: int, *, skip: Iterable[date] = (), kwh: float = 0.0) -> list[Stay]:
    """Return a stay from 16:00 to 07:00 the next morning on each day."""
    left_out = set(skip)
    return [
        Stay(user, at(day, 16), at(day + timedelta(days=1), 7), kwh)
        for day in (first + timedelta(days=n) for n in range(days))
        if day not in left_out
    ]


def at(day: date, hour: int, minute: int = 0) -> datetime:
    """Return a wall time."""
    return datetime.combine(day, time(hour, minute))
