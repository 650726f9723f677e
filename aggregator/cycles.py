"""Powerloop's cycles: nights plugged in, and the months in which they earn the driver a credit.

A cycle is a local night connected without a break from strictly before 18:00 to at least 05:00; a stay of
three nights earns three. It belongs to its evening's month; 12 in a calendar month earn GBP 30,
fewer nothing.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise

from aggregator.model.metering import Presence
from aggregator.model.time import LONDON, Interval, local_day

EVENING, MORNING = time(18), time(5)
NIGHTS_PER_CREDIT = 12
CREDIT_GBP = 30
ONE_DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
LONGEST_SILENCE = timedelta(hours=1)
"""Who hears nothing of a charger for longer can't say whether the car was there; chargers without a car may
report every half-hour only. In a shorter silence the driver has the benefit of the doubt."""


@dataclass(frozen=True, slots=True)
class Night:
    """One local night of one car.

    Attributes:
        evening: The day it begins on.
        counts: Whether it is a cycle.
        why: In words, with London's times.
    """

    evening: date
    counts: bool
    why: str


def nights(plugged: Interval) -> Iterable[date]:
    """Yield the evenings of the nights that a stay covers."""
    day = plugged.start.astimezone(LONDON).date()
    last = plugged.end.astimezone(LONDON).date()
    while day <= last:
        night = night_of(day)
        if plugged.start < night.start and plugged.end >= night.end:
            yield day
        day += ONE_DAY


def night_of(evening: date) -> Interval:
    """Return a night from 18:00 to 05:00 by London's clocks: 10, 11 or 12 hours."""
    return Interval(
        datetime.combine(evening, EVENING, LONDON), datetime.combine(evening + ONE_DAY, MORNING, LONDON)
    )


def credit_gbp(cycles: int) -> Decimal:
    """Return what a calendar month's cycles earn."""
    return Decimal(CREDIT_GBP if cycles >= NIGHTS_PER_CREDIT else 0).quantize(Decimal("0.01"))


def days_of(month: date) -> tuple[date, ...]:
    """Return the days of a calendar month, given by its first."""
    following = first_after(month)
    return tuple(month + n * ONE_DAY for n in range((following - month).days))


def first_after(month: date) -> date:
    """Return the first day of the month after the one whose first day is given."""
    return (month.replace(day=28) + timedelta(days=4)).replace(day=1)


def span_of(month: date) -> Interval:
    """Return a calendar month by London's clocks, given by its first day."""
    return Interval(local_day(month).start, local_day(first_after(month)).start)


def month_around(month: date) -> Interval:
    """Return the span in which a month's nights lie: from the day before its first to the day after."""
    return Interval(local_day(month - ONE_DAY).start, local_day(first_after(month) + ONE_DAY).start)


def cycles(stays: Iterable[tuple[str, Interval]], days: Sequence[date]) -> dict[str, int]:
    """Return cycles, driver-months with any, months that earn the credit, and the credits. [GBP]

    Args:
        stays: Car and stay, none overlapping another of its car.
        days: Local days whose evenings count, in order.
    """
    first, last = days[0], days[-1]
    months = Counter(
        (car_id, night.year, night.month)
        for car_id, plugged in stays
        for night in nights(plugged)
        if first <= night <= last
    )
    earning = sum(count >= NIGHTS_PER_CREDIT for count in months.values())
    return {
        "cycles": sum(months.values()),
        "driver_months": len(months),
        "months_earning": earning,
        "credit_gbp": CREDIT_GBP * earning,
    }


def judged(evening: date, presence: Presence, known_at: datetime | None = None) -> Night:
    """Return whether a night counts, and why or why not.

    Args:
        evening: The night's.
        presence: When the car was plugged in and when nothing was heard of it, around the night.
        known_at: As known when; a night that was not over then does not count yet. None for one long over.
    """
    night = night_of(evening)
    if known_at is not None and known_at < night.end:
        return Night(evening, counts=False, why="the night is not over")
    for stay in presence.stays:
        if stay.start < night.start and stay.end >= night.end:
            return Night(evening, counts=True, why="; ".join(_present(stay, presence, night)))
    return Night(evening, counts=False, why="; ".join(_missing(presence, night)))


def _present(stay: Interval, presence: Presence, night: Interval) -> Iterator[str]:
    yield f"plugged in from {_shown(stay.start, night)} to {_shown(stay.end, night)}"
    for silence in presence.silences:
        if silence.overlap(night) is not None:
            yield f"link lost {_from_to(silence, night)}, plugged in before and after"


def _missing(presence: Presence, night: Interval) -> Iterator[str]:
    """Yield what a night lacks to be a cycle."""
    here = [stay for stay in presence.stays if stay.end > night.start and stay.start < night.end]
    if presence.heard is None or presence.heard.overlap(night) is None:
        yield "nothing heard from the charger"
    elif not here:
        lost = [one for one in presence.silences if one.start <= night.start and one.end >= night.end]
        yield f"link lost {_from_to(lost[0], night)}" if lost else "not plugged in"
    else:
        yield from _incomplete(here, presence, night)


def _incomplete(here: Sequence[Interval], presence: Presence, night: Interval) -> Iterator[str]:
    back_at = {one.end: one for one in presence.silences}
    lost_at = {one.start: one for one in presence.silences}
    first, last = here[0], here[-1]
    if first.start >= night.start:
        lost = back_at.get(first.start)
        at = _shown(first.start, night)
        known = presence.heard is not None and presence.heard.start < first.start
        if lost is not None:
            yield f"link lost {_from_to(lost, night)}, plugged in when it was back"
        else:
            yield f"arrived {at}" if known else f"nothing heard before {at}, plugged in then"
    for before, after in pairwise(here):
        gap = Interval(before.end, after.start)
        lost = lost_at.get(before.end) or back_at.get(after.start)
        yield f"{'unplugged' if lost is None else 'link lost, unplugged'} {_from_to(gap, night)}"
    if last.end < night.end:
        lost = lost_at.get(last.end)
        if lost is not None:
            yield f"link lost {_from_to(lost, night)}, not plugged in when it was back"
        elif presence.heard is not None and presence.heard.end == last.end:
            yield f"link lost from {_shown(last.end, night)} on"
        else:
            yield f"left {_shown(last.end, night)}"


def _from_to(span: Interval, night: Interval) -> str:
    return f"from {_shown(span.start, night)} to {_shown(span.end, night)}"


def _shown(at: datetime, night: Interval) -> str:
    """Return London's time, with seconds where these decide.

    With the day where it is neither the evening's nor the morning's, and the zone's name on a night on which
    clocks change.
    """
    local = at.astimezone(LONDON)
    close = any(abs(at - bound) < MINUTE for bound in (night.start, night.end))
    text = f"{local:%H:%M:%S}" if close and local.second else f"{local:%H:%M}"
    first, last = (bound.astimezone(LONDON) for bound in (night.start, night.end))
    if first.utcoffset() != last.utcoffset():
        text = f"{text} {local.tzname()}"
    return text if first.date() <= local.date() <= last.date() else f"{text} on {local.day} {local:%B}"
