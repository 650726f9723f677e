"""Which past days a delivery day may go like: the latest of its kind, on or off work.

A forecast's days run from local noon to local noon, so that an evening and the night after it are one piece.
Where a window crosses noon its horizon is the two days around it: plans and nominations are of the same days
whatever is bid on, and what the cars charge in the night before the window is planned, not guessed.

Off work are weekends, public holidays and the days from Christmas Eve to New Year's Eve, on both sides: a
bank holiday is forecast from weekends, and no Wednesday in January from Boxing Day.

Measured on 589 days and three groups of homes of the sessions of Sorensen et al. (2024), forecast at 13:30
the day before from at most 20 days: plugged-in kW per half-hour lies above the P10 on 93% and below the P90
on 91%, energy for export from 16:00 to 19:00 on 91% and 90%. The mean is 1 to 2% under what came, the mean
pinball loss of P10, P50 and P90 10% of it. Same weekdays first, from 8 weeks, is no better; from 12 weeks, or
with the next day of the same kind, too, it is worse by up to 6%: what is recent tells more than what is of
the same name. Not foreseen are school holidays and seasons: 14 to 25% too much in February and at Easter, 12
to 16% too little in October and November. Each day was forecast from what was known before it; the six weeks
here and the three in ``history`` were chosen on the same days.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache

from aggregator.model.time import HALF_HOUR, LONDON, Interval
from aggregator.working_days import WEEKENDS_ONLY, is_working_day, public_holidays

NOON = time(12)
ONE_DAY = timedelta(days=1)
CHRISTMAS = ((12, 24), (12, 31))
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
        public_holidays(code)
        return cls(code)

    def is_off(self, day: date) -> bool:
        """Return whether most people need not go to work on a day."""
        first, last = CHRISTMAS
        return not is_working_day(day, self.code) or (
            self.code != WEEKENDS_ONLY and first <= (day.month, day.day) <= last
        )


ENGLAND = Calendar("GB-ENG")


@dataclass(frozen=True, slots=True, order=True)
class Horizon:
    """Whole days from local noon to local noon, one after the other.

    Attributes:
        day: The local day whose noon begins the last of them.
        days: How many there are: one, or the two around the noon of ``day``; more only for a window of 24
            hours over the spring change.
    """

    day: date
    days: int = 1

    @classmethod
    def over(cls, window: Interval, others: Iterable[Interval] = ()) -> "Horizon":
        """Return the horizon that a window is planned in.

        Args:
            window: What it must hold. One that crosses noon has the days around it.
            others: Windows that may be planned together with it. One that crosses the noon of the local day
                in which the middle of ``window`` lies makes the horizon the two days around that noon.
        """
        first, last = _noon_day(window.start), _noon_day(window.end - timedelta.resolution)
        days = (last - first).days + 1
        middle = window.start + (window.end - window.start) / 2
        day = middle.astimezone(LONDON).date()
        if days == 1 and any(one.start < _noon(day) < one.end for one in others):
            return cls(day, 2)
        return cls(last, days)

    @property
    def parts(self) -> tuple["Horizon", ...]:
        """Its days, each by itself."""
        return tuple(Horizon(self.day - n * ONE_DAY) for n in reversed(range(self.days)))

    @property
    def rows(self) -> int:
        """How many stays of a car a scenario of it has room for: one a day, and one more."""
        return self.days + 1

    @property
    def interval(self) -> Interval:
        """From its first noon to its last: 23, 24 or 25 hours a day."""
        return _between_noons(self.day - (self.days - 1) * ONE_DAY, self.day + ONE_DAY)

    @property
    def slots(self) -> tuple[Interval, ...]:
        """Its half-hours: 46, 48 or 50 a day."""
        return self.interval.slots(HALF_HOUR)


def like_days(calendar: Calendar, horizon: Horizon, known: Interval, count: int) -> list[date]:
    """Return the latest days that a horizon's last day may go like, with those before it, latest first.

    Args:
        calendar: Which days are off work; of a horizon of two days the second one's kind counts.
        horizon: What is forecast.
        known: All of the past days' hours must lie within.
        count: Most days.
    """
    first = known.start.astimezone(LONDON)
    days: list[date] = []
    day = min(known.end.astimezone(LONDON).date(), horizon.day) - ONE_DAY
    begun = first.date() - (ONE_DAY if first.time() < NOON else timedelta(0))
    earliest = max(begun + (horizon.days - 1) * ONE_DAY, day - OLDEST)
    while day >= earliest and len(days) < count:
        if calendar.is_off(day) == calendar.is_off(horizon.day) and Horizon(day).interval.end <= known.end:
            days.append(day)
        day -= ONE_DAY
    return days


@cache
def _between_noons(first: date, last: date) -> Interval:
    return Interval(_noon(first), _noon(last))


def _noon(day: date) -> datetime:
    return datetime.combine(day, NOON, LONDON)


def _noon_day(instant: datetime) -> date:
    """Return the local day whose noon was the last one."""
    local = instant.astimezone(LONDON)
    return local.date() - (ONE_DAY if local.time() < NOON else timedelta(0))
