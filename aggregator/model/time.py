"""Instants, intervals and the settlement calendar: aware in, UTC inside.

What is naive is refused, but for what people type: they mean London's clocks.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

LONDON = ZoneInfo("Europe/London")
MICROSECOND = timedelta(microseconds=1)
HALF_HOUR = timedelta(minutes=30)
HOUR = timedelta(hours=1)
_TYPED = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?")


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """A half-open span of time, ``[start, end)``, in UTC.

    Raises:
        ValueError: If a bound has no time zone, or the interval is empty.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            bound: datetime = getattr(self, name)
            if bound.tzinfo is None:
                raise ValueError(f"interval {name} has no time zone: {bound}")
            object.__setattr__(self, name, bound.astimezone(UTC))
        if self.start >= self.end:
            raise ValueError(f"interval must not be empty: {self.start}, {self.end}")

    @property
    def hours(self) -> float:
        """Length in hours: the only factor that turns kW into kWh."""
        return (self.end - self.start) / HOUR

    @property
    def microseconds(self) -> int:
        """Length as a whole number, for what must be exact."""
        return (self.end - self.start) // MICROSECOND

    def __contains__(self, instant: datetime) -> bool:
        return self.start <= instant < self.end

    def overlap(self, other: "Interval") -> "Interval | None":
        """Return the part shared with ``other``, or None."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Interval(start, end) if start < end else None

    def slots(self, length: timedelta) -> tuple["Interval", ...]:
        """Cut into equal slots.

        Raises:
            ValueError: If ``length`` does not divide the interval.
        """
        count, rest = divmod(self.end - self.start, length)
        if rest:
            raise ValueError(f"{length} does not divide {self.start} to {self.end}")
        return tuple(Interval(self.start + n * length, self.start + (n + 1) * length) for n in range(count))


def parse_instant(text: str) -> datetime:
    """Read an ISO 8601 instant with a zone, as UTC.

    Raises:
        ValueError: If the text is no instant, or names no zone.
    """
    instant = datetime.fromisoformat(text)
    _must_be_aware(instant)
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text} lies outside the years 1 to 9999 in UTC") from None


def parse_london(text: str) -> datetime:
    """Read an instant as people type it, as UTC; one without a zone is what London's clocks show.

    Raises:
        ValueError: If it is none, or clocks skip it or show it twice. The text says what is allowed.
    """
    try:
        read = datetime.fromisoformat(text) if _TYPED.fullmatch(text) else None
    except ValueError:
        read = None
    if read is None:
        raise ValueError("a date and time: 2025-01-09T07:30 as London's clocks show it, or with a zone")
    try:
        if read.tzinfo is not None:
            return read.astimezone(UTC)
        first, second = (read.replace(tzinfo=LONDON, fold=fold).astimezone(UTC) for fold in (0, 1))
    except OverflowError:
        raise ValueError("an instant within the years 1 to 9999") from None
    if first < second:
        raise ValueError(
            "a time that London's clocks show once: they go back that night and show this one twice;"
            f" say {read.isoformat()}+01:00 for the first or {read.isoformat()}+00:00 for the second"
        )
    if first > second:
        raise ValueError(
            "a time that London's clocks show: they go forward that night and skip this one;"
            " say an hour more, or a zone"
        )
    return first


def utc_text(instant: datetime) -> str:
    """Write an aware instant as ``2025-01-15T17:00:00Z``; fractions only where there are any."""
    _must_be_aware(instant)
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def utc_second(instant: datetime) -> str:
    """Write an aware instant without its fraction of a second, for people."""
    return utc_text(instant.replace(microsecond=0))


def floor_half_hour(instant: datetime) -> datetime:
    """Return the start of the UTC half-hour that holds ``instant``."""
    return instant.replace(minute=instant.minute // 30 * 30, second=0, microsecond=0)


def half_hours(interval: Interval) -> Iterator[Interval]:
    """Yield every whole UTC half-hour that the interval touches, in order."""
    start = floor_half_hour(interval.start)
    while start < interval.end:
        yield Interval(start, start + HALF_HOUR)
        start += HALF_HOUR


def local_day(day: date, zone: ZoneInfo = LONDON) -> Interval:
    """Return the calendar day of ``zone``: 23, 24 or 25 hours."""
    start = datetime.combine(day, time.min, zone)
    end = datetime.combine(day + timedelta(days=1), time.min, zone)
    return Interval(start, end)


def settlement_periods(
    day: date, zone: ZoneInfo = LONDON, length: timedelta = HALF_HOUR
) -> tuple[Interval, ...]:
    """Return the settlement periods of a local day: 46, 48 or 50 half-hours in London."""
    return local_day(day, zone).slots(length)


def settlement_period(instant: datetime, zone: ZoneInfo = LONDON) -> tuple[date, int]:
    """Return the local settlement date and the period number, from 1, that holds ``instant``."""
    _must_be_aware(instant)
    day = instant.astimezone(zone).date()
    since_midnight = instant.astimezone(UTC) - local_day(day, zone).start
    return day, since_midnight // HALF_HOUR + 1


def next_local(after: datetime, at: time, zone: ZoneInfo = LONDON) -> datetime:
    """Return the first instant strictly after ``after`` at which clocks in ``zone`` show ``at``.

    In autumn a time that comes twice counts twice; one that clocks skip in spring is met as long after
    the skip as it would have been after the hour skipped.
    """
    _must_be_aware(after)
    day = after.astimezone(zone).date()
    days = (day, day + timedelta(days=1))
    return min(instant for one in days for instant in shown_on(one, at, zone) if instant > after)


def shown_on(day: date, at: time, zone: ZoneInfo = LONDON) -> tuple[datetime, datetime]:
    """Return the first and last instant of a local day at which clocks show ``at``; mostly the same.

    Where clocks skip it both are as long after the skip as it would have been after the hour skipped.
    """
    first, last = (datetime.combine(day, at.replace(fold=fold), zone).astimezone(UTC) for fold in (0, 1))
    return first, max(first, last)


def said_at(instant: datetime) -> str:
    """Return an instant in words, with its day, by London's clocks: ``Wed 15 Jan 17:00``."""
    return f"{instant.astimezone(LONDON):%a %d %b %H:%M}"


def _must_be_aware(instant: datetime) -> None:
    if instant.tzinfo is None:
        raise ValueError(f"{instant} has no time zone")
