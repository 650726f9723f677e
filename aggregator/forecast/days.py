"""Which past days a delivery day may go like: the latest of its kind, on or off work.

A forecast's horizon runs from local noon to local noon, so that an evening and the night after it are one
piece. Off work are weekends, public holidays and the days from Christmas Eve to New Year's Eve, on both
sides: a bank holiday is forecast from weekends, and no Wednesday in January from Boxing Day.

Measured on 589 days and three groups of homes of the sessions of Sorensen et al. (2024), forecast at 13:30
the day before from at most 20 days: plugged-in kW per half-hour lies above the P10 on 93% and below the P90
on 91%, energy for export from 16:00 to 19:00 on 91% and 90%. The mean is 1 to 2% under what came, the mean
pinball loss of P10, P50 and P90 10% of it. Same weekdays first, from 8 weeks, is no better; from 12 weeks, or
with the next day of the same kind, too, it is worse by up to 6%: what is recent tells more than what is of
the same name. Not foreseen are school holidays and seasons: 14 to 25% too much in February and at Easter, 12
to 16% too little in October and November. Each day was forecast from what was known before it; the six weeks
here and the three in ``history`` were chosen on the same days.
"""

from collections.abc import Container
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache

from aggregator.model.time import HALF_HOUR, LONDON, Interval

NOON = time(12)
ONE_DAY = timedelta(days=1)
SATURDAY = 5
CHRISTMAS = ((12, 24), (12, 31))
WEEKENDS_ONLY = "none"
OLDEST = timedelta(weeks=6)
"""Older days tell of another season: weekends from twice as long ago are no better, but 4% too low."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """Which days are off work: weekends, and the public holidays of one country or part of it.

    Attributes:
        code: As ISO 3166 has it, ``GB-ENG`` or ``NO``; ``none`` where only weekends are off. Looked up when
            first needed; ``named`` looks it up at once.
    """

    code: str

    @classmethod
    def named(cls, code: str) -> "Calendar":
        """Return a calendar whose holidays are known.

        Raises:
            ValueError: If they are not; the text says what is allowed.
        """
        _holidays(code)
        return cls(code)

    def is_off(self, day: date) -> bool:
        """Return whether most people need not go to work on a day."""
        first, last = CHRISTMAS
        return (
            day.weekday() >= SATURDAY
            or day in _holidays(self.code)
            or (self.code != WEEKENDS_ONLY and first <= (day.month, day.day) <= last)
        )


@cache
def _holidays(code: str) -> Container[date]:
    country, *division = code.split("-", 1)
    if code == WEEKENDS_ONLY:
        return ()
    import holidays  # noqa: PLC0415 - all countries take half a second, and most commands need none

    try:
        return holidays.country_holidays(country, subdiv=division[0] or code if division else None)
    except NotImplementedError:
        allowed = f"a country, or a part of one, of ISO 3166, NO or GB-ENG, or {WEEKENDS_ONLY}"
        raise ValueError(allowed) from None


ENGLAND = Calendar("GB-ENG")


def like_days(calendar: Calendar, delivery_day: date, known: Interval, count: int) -> list[date]:
    """Return the latest days within ``known`` that the delivery day may go like, latest first."""
    first = known.start.astimezone(LONDON)
    days: list[date] = []
    day = min(known.end.astimezone(LONDON).date(), delivery_day) - ONE_DAY
    earliest = max(first.date() - (ONE_DAY if first.time() < NOON else timedelta(0)), day - OLDEST)
    while day >= earliest and len(days) < count:
        if calendar.is_off(day) == calendar.is_off(delivery_day) and horizon(day).end <= known.end:
            days.append(day)
        day -= ONE_DAY
    return days


@cache
def horizon(delivery_day: date) -> Interval:
    """Return local noon of the day to local noon of the next: 23, 24 or 25 hours."""
    return Interval(
        datetime.combine(delivery_day, NOON, LONDON), datetime.combine(delivery_day + ONE_DAY, NOON, LONDON)
    )


def horizon_slots(delivery_day: date) -> tuple[Interval, ...]:
    """Return the horizon's half-hours: 46, 48 or 50."""
    return horizon(delivery_day).slots(HALF_HOUR)
