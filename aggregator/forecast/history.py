"""Past stays, and which of a car's stays stands for a past day."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import cached_property

import numpy as np

from aggregator.energy import BoolArray, FloatArray, IntArray
from aggregator.forecast.days import Horizon
from aggregator.forecast.walltime import DAY_S, WallTime, seconds
from aggregator.model.time import LONDON, Interval

PEAK_FROM, PEAK_UNTIL = time(16), time(19)
LONGEST_STAY_S = 31 * DAY_S
AWAY_AFTER_S = 21 * DAY_S
ABSENT = -1


@dataclass(frozen=True, slots=True)
class Session:
    """One past stay of a car on its charger.

    Attributes:
        car_id: Which car.
        plugged: From plugging in to unplugging.
        energy_kwh: Drawn from the grid, net, over the session. [kWh AC]
        arrival_soc: State of charge on plugging in, as a fraction.
    """

    car_id: str
    plugged: Interval
    energy_kwh: float
    arrival_soc: float


@dataclass(frozen=True, slots=True, eq=False)
class Stays:
    """Sessions as arrays, in order of plugging in, all of shape (sessions,).

    Attributes:
        car: Index into the history's cars.
        start_s: When plugged in. [s since 1970]
        end_s: When unplugged. [s since 1970]
        energy_kwh: Drawn from the grid, net. [kWh AC]
        arrival_soc: State of charge on plugging in, as a fraction.
    """

    car: IntArray
    start_s: IntArray
    end_s: IntArray
    energy_kwh: FloatArray
    arrival_soc: FloatArray


@dataclass(frozen=True)
class History:
    """All sessions there are; what a forecast may know of them is said by the instant it is made at."""

    sessions: tuple[Session, ...]

    @classmethod
    def of(cls, sessions: Iterable[Session]) -> "History":
        """Return the history made of ``sessions``."""
        return cls(tuple(sessions))

    @cached_property
    def cars(self) -> dict[str, int]:
        """Index of each car that ever plugged in, by id."""
        return {name: index for index, name in enumerate(sorted({one.car_id for one in self.sessions}))}

    @cached_property
    def stays(self) -> Stays:
        """The sessions as arrays."""
        car = np.array([self.cars[one.car_id] for one in self.sessions], dtype=np.int64)
        start_s = np.array([seconds(one.plugged.start) for one in self.sessions], dtype=np.int64)
        end_s = np.array([seconds(one.plugged.end) for one in self.sessions], dtype=np.int64)
        energy_kwh = np.array([one.energy_kwh for one in self.sessions], dtype=np.float64)
        arrival_soc = np.array([one.arrival_soc for one in self.sessions], dtype=np.float64)
        order = np.lexsort((car, end_s, start_s))
        return Stays(car[order], start_s[order], end_s[order], energy_kwh[order], arrival_soc[order])

    @cached_property
    def begins_at(self) -> datetime:
        """When the first session began; there must be one."""
        return min(one.plugged.start for one in self.sessions)

    @cached_property
    def first_s(self) -> IntArray:
        """When each car first plugged in, shape (cars,). [s since 1970]"""
        first_s = np.full(len(self.cars), np.iinfo(np.int64).max)
        np.minimum.at(first_s, self.stays.car, self.stays.start_s)
        return first_s

    @cached_property
    def shown_s(self) -> tuple[IntArray, IntArray]:
        """What London's clocks showed at the start and end of each stay, both of shape (sessions,). [s]"""
        last = max(one.plugged.end for one in self.sessions)
        clock = WallTime.over(Interval(self.begins_at, last))
        return clock.shown(self.stays.start_s), clock.shown(self.stays.end_s)

    def main_stay(self, day: date) -> IntArray:
        """Return the stay that stands for a day that is over, by car: row in ``stays``, or ``ABSENT``.

        It is the one covering most of 16:00 to 19:00 local, else most of the horizon, else the latest.
        """
        found = self._main_stays.get(day)
        if found is None:
            found = self._main_stays[day] = self._main_stay(day)
        return found

    def other_stay(self, day: date) -> IntArray:
        """Return the longest other stay of each car in a day's horizon: row in ``stays``, or ``ABSENT``."""
        found = self._other_stays.get(day)
        if found is None:
            found = self._other_stays[day] = self._other_stay(day)
        return found

    def about(self, at: datetime) -> BoolArray:
        """Return which cars were plugged in at some time in the three weeks before ``at``, shape (cars,)."""
        at_s = seconds(at)
        stays, about = self.stays, np.zeros(len(self.cars), dtype=np.bool_)
        low, high = np.searchsorted(stays.start_s, (at_s - AWAY_AFTER_S - LONGEST_STAY_S, at_s))
        rows = low + np.flatnonzero(stays.end_s[low:high] > at_s - AWAY_AFTER_S)
        about[stays.car[rows]] = True
        return about

    @cached_property
    def _main_stays(self) -> dict[date, IntArray]:
        return {}

    @cached_property
    def _other_stays(self) -> dict[date, IntArray]:
        return {}

    def _within(self, start_s: int, end_s: int) -> IntArray:
        """Return the rows of the stays that touch a span."""
        low, high = np.searchsorted(self.stays.start_s, (start_s - LONGEST_STAY_S, end_s))
        rows: IntArray = low + np.flatnonzero(self.stays.end_s[low:high] > start_s)
        return rows

    def _other_stay(self, day: date) -> IntArray:
        stays, span, main = self.stays, Horizon(day).interval, self.main_stay(day)
        start_s, end_s = seconds(span.start), seconds(span.end)
        rows = self._within(start_s, end_s)
        rows = rows[main[stays.car[rows]] != rows]
        order = np.lexsort((-rows, _shared_s(stays, rows, start_s, end_s)))
        other = np.full(len(self.cars), ABSENT)
        other[stays.car[rows[order]]] = rows[order]
        return other

    def _main_stay(self, day: date) -> IntArray:
        stays, span = self.stays, Horizon(day).interval
        start_s, end_s = seconds(span.start), seconds(span.end)
        rows = self._within(start_s, end_s)
        peak = (seconds(datetime.combine(day, at, LONDON)) for at in (PEAK_FROM, PEAK_UNTIL))
        order = np.lexsort(
            (
                -rows,
                stays.start_s[rows],
                _shared_s(stays, rows, start_s, end_s),
                _shared_s(stays, rows, *peak),
            )
        )
        main = np.full(len(self.cars), ABSENT)
        main[stays.car[rows[order]]] = rows[order]  # of a car's stays the last written one wins
        return main


def _shared_s(stays: Stays, rows: IntArray, start_s: int, end_s: int) -> IntArray:
    """Return how long each stay lies within a span. [s]"""
    last_s, first_s = np.minimum(stays.end_s[rows], end_s), np.maximum(stays.start_s[rows], start_s)
    shared_s: IntArray = np.maximum(last_s - first_s, 0)
    return shared_s
