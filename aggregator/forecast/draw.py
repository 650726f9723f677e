"""Drawing scenarios: up to two stays per car for each past day.

Decisions:
    A car's main stay in a horizon is the one covering most of 16:00 to 19:00 local, else the longest. Its
    other one is the longest beside it, or what the main one lasts beyond the time always said by default:
    there a car is as full as promised, and promised again for the day after. Without it, forecasts of late
    mornings had a tenth of the cars that were there. Cars that share a home have the main one only, as do
    those whose driver has said when the car is next needed.
    Past times are moved to the delivery day by what clocks showed. Where a clock change makes that doubtful
    the car comes at the later and leaves at the earlier of the two instants.
    A driver's word holds: a car that comes is plugged until the time its driver states now, to be as full as
    said by then. One who says nothing leaves at the past day's own departure or at the time always said by
    default, whichever is earlier. Where drivers say when they leave, the target is due then. Where they say
    nothing, nobody knows of it before: the target is due at the default time, and a car that is gone earlier
    is owed what full power from then on would have lacked of it. To take every early leaver for announced
    made cars of the evening must-charge that nobody charges: 10 to 20 kW of a zone of 45 that never came.
    A car plugged in since before the horizon has gained what its session took, at full power.
    A car that has not been plugged in for three weeks is away in every scenario, until it comes again.
    A car whose history begins later than a past day borrows that day from another car that was about then,
    drawn by a hash of its id and the day: a new driver is like any of the fleet, and another one each day,
    so that no single donor makes all scenarios alike (pinball loss 4% less than with one donor for good).
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime, time, timedelta
from functools import cache

import numpy as np
from numpy.typing import NDArray

from aggregator.energy import BoolArray, FloatArray, IntArray, Stay
from aggregator.forecast.days import ENGLAND, Calendar, horizon, like_days
from aggregator.forecast.history import ABSENT, LONGEST_STAY_S, History
from aggregator.forecast.walltime import DAY_S, HALF_HOUR_S, WallTime, seconds
from aggregator.model.fleet import Car
from aggregator.model.time import HOUR, Interval

HOUR_S = HOUR // timedelta(seconds=1)
LotArray = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class StatedIntent:
    """What a driver said: when the car is next needed, and how full, as a fraction."""

    depart_at: datetime
    target_soc: float


@dataclass(frozen=True, slots=True, eq=False)
class Scenario:
    """One way the delivery day may go.

    Attributes:
        label: ISO date of the past day it is drawn from.
        stay: The main stay of each car, in the order of the cars asked for.
        other: Another one of each, apart from the main one; absent where there is none.
    """

    label: str
    stay: Stay
    other: Stay

    @property
    def both(self) -> Stay:
        """The main stays, then the others: two rows a car, as ``CarArrays.twice`` has them."""
        pairs = [(getattr(self.stay, one.name), getattr(self.other, one.name)) for one in fields(Stay)]
        return Stay(*map(np.concatenate, pairs))


def scenarios(
    history: History,
    cars: Sequence[Car],
    delivery_day: date,
    known_until: datetime,
    count: int,
    intents: Mapping[str, StatedIntent] | None = None,
    calendar: Calendar = ENGLAND,
) -> tuple[Scenario, ...]:
    """Return up to ``count`` equally likely scenarios of the delivery day, the latest past day first.

    Args:
        history: Past sessions; those not yet begun at ``known_until`` are not looked at.
        cars: The fleet, in the order of the stays' arrays.
        delivery_day: The local day whose noon starts the horizon.
        known_until: The instant of the forecast: a past day counts once its whole horizon is over.
        count: Most scenarios.
        intents: What drivers have said so far, by car, where they say when they leave; None where they
            do not.
        calendar: Which days are off work, in the past and now.

    Returns:
        Fewer where there are fewer like days; none where there is no history at all.
    """
    if not history.sessions or history.begins_at >= known_until:
        return ()
    days = like_days(calendar, delivery_day, Interval(history.begins_at, known_until), count)
    draw = _Draw.of(history, cars, delivery_day, known_until, intents)
    return tuple(Scenario(day.isoformat(), *draw.stays(day)) for day in days)


@dataclass(frozen=True, slots=True, eq=False)
class _Draw:
    """What stays are drawn from; arrays are of shape (cars,), times in seconds since 1970.

    Attributes:
        history: Past sessions.
        delivery_day: The day forecast.
        known_s: What is later is not known.
        clock: London's, around the delivery day.
        known_as: Index of each car in the history, ``ABSENT`` where it is not in it.
        lot: A number of each car that never changes.
        away: Which cars were about once, and no more.
        capacity_kwh: Usable capacity. [kWh]
        charge_kw: Most drawn. [kW AC]
        eta_charge: One-way efficiency from AC to battery.
        by_default: When each driver leaves by default, after local midnight, and how full, as a fraction.
        stated: When each driver has said to leave, 0 without a word, and how full, as a fraction.
        drivers_say: Whether drivers say when they leave as they plug in.
        alone: Which cars share their home with no other.
    """

    history: History
    delivery_day: date
    known_s: int
    clock: WallTime
    known_as: IntArray
    lot: LotArray
    capacity_kwh: FloatArray
    charge_kw: FloatArray
    eta_charge: FloatArray
    away: BoolArray
    by_default: tuple[IntArray, FloatArray]
    stated: tuple[IntArray, FloatArray]
    drivers_say: bool
    alone: BoolArray

    @classmethod
    def of(
        cls,
        history: History,
        cars: Sequence[Car],
        delivery_day: date,
        known_until: datetime,
        intents: Mapping[str, StatedIntent] | None,
    ) -> "_Draw":
        """Return what all the scenarios of one forecast share."""
        span, margin = horizon(delivery_day), timedelta(seconds=LONGEST_STAY_S)
        default = [car.default_intent for car in cars]
        said = [(intents or {}).get(car.car_id) for car in cars]
        known_as = np.array([history.cars.get(car.car_id, ABSENT) for car in cars], dtype=np.int64)
        homes = Counter(car.site.site_id for car in cars)
        was_about = (known_as != ABSENT) & (history.first_s[known_as] < seconds(known_until))
        return cls(
            history=history,
            delivery_day=delivery_day,
            known_s=seconds(known_until),
            clock=WallTime.over(Interval(span.start - margin, span.end + margin)),
            known_as=known_as,
            away=was_about & ~history.about(known_until)[known_as],
            lot=np.array([_lot(car.car_id) for car in cars], dtype=np.uint64),
            capacity_kwh=np.array([car.capacity_kwh for car in cars], dtype=np.float64),
            charge_kw=np.array([car.charger.charge_kw for car in cars], dtype=np.float64),
            eta_charge=np.array([car.charger.eta_charge for car in cars], dtype=np.float64),
            by_default=(
                np.array([_second_of_day(one.depart_local) for one in default], dtype=np.int64),
                np.array([one.target_soc for one in default], dtype=np.float64),
            ),
            stated=(
                np.array([seconds(one.depart_at) if one else 0 for one in said], dtype=np.int64),
                np.array([one.target_soc if one else 0.0 for one in said], dtype=np.float64),
            ),
            drivers_say=intents is not None,
            alone=np.array([homes[car.site.site_id] == 1 for car in cars], dtype=np.bool_),
        )

    def stays(self, past_day: date) -> tuple[Stay, Stay]:
        """Return main and other stays if the delivery day goes like ``past_day``; one absent is all zero."""
        whose = self._whose(past_day)
        row = np.where(whose == ABSENT, ABSENT, self.history.main_stay(past_day)[whose])
        main = self._stay(row, past_day)
        may = self.alone & (whose != ABSENT)
        other_row = np.where(may, self.history.other_stay(past_day)[whose], ABSENT)
        other, stays_on = self._stay(other_row, past_day), self._beyond(row, main, past_day)
        longer = _slots(stays_on) > _slots(other)
        said = self.stated[0] > seconds(horizon(self.delivery_day).start)
        apart = (other.arrive_slot >= main.depart_slot) | (other.depart_slot <= main.arrive_slot)
        keep = ~said & (longer | apart)
        parts = [
            np.where(keep, np.where(longer, getattr(stays_on, one.name), getattr(other, one.name)), 0)
            for one in fields(Stay)
        ]
        return main, Stay(*parts)

    def _stay(self, row: IntArray, past_day: date) -> Stay:
        comes_s, leaves_s = self._moved(row, past_day)
        start_s = seconds(horizon(self.delivery_day).start)
        depart_s, target_soc, early_s = self._intent(np.maximum(comes_s, start_s), leaves_s)
        later_kwh = self.eta_charge * self.charge_kw * early_s / HOUR_S
        arrive = np.maximum(0, -((start_s - comes_s) // HALF_HOUR_S))
        depart = (depart_s - start_s) // HALF_HOUR_S
        there = (row != ABSENT) & ~self.away & (depart > arrive)
        return Stay(
            arrive_slot=np.where(there, arrive, 0),
            depart_slot=np.where(there, depart, 0),
            energy_kwh=np.where(there, self._energy_kwh(row, past_day), 0.0),
            target_kwh=np.where(there, np.maximum(0.0, target_soc * self.capacity_kwh - later_kwh), 0.0),
        )

    def _beyond(self, row: IntArray, main: Stay, past_day: date) -> Stay:
        """Return what main stays last beyond the time they are due, as full by then as they could be."""
        _, leaves_s = self._moved(row, past_day)
        start_s = seconds(horizon(self.delivery_day).start)
        default_s, default_soc = self.by_default
        due_s = start_s + main.depart_slot * HALF_HOUR_S
        next_s = _next_shown(self.clock, _next_shown(self.clock, due_s - 1, default_s), default_s)
        arrive = main.depart_slot + 1  # the default time may lie within a half-hour
        depart = (np.minimum(leaves_s, next_s) - start_s) // HALF_HOUR_S
        there = main.present & self.alone & (depart > arrive)
        hours = (main.depart_slot - main.arrive_slot) * HALF_HOUR_S / HOUR_S
        most_kwh = np.minimum(self.capacity_kwh, main.energy_kwh + self.eta_charge * self.charge_kw * hours)
        return Stay(
            arrive_slot=np.where(there, arrive, 0),
            depart_slot=np.where(there, depart, 0),
            energy_kwh=np.where(there, np.minimum(most_kwh, main.target_kwh), 0.0),
            target_kwh=np.where(there, default_soc * self.capacity_kwh, 0.0),
        )

    def _whose(self, past_day: date) -> IntArray:
        """Return whose day counts: the car's own or, before its history begins, a donor's."""
        end = horizon(past_day).end
        begun = (self.known_as != ABSENT) & (self.history.first_s[self.known_as] < seconds(end))
        donors = np.flatnonzero(self.history.about(end))
        if not donors.size:
            return np.where(begun, self.known_as, ABSENT)
        drawn = donors[(_mixed(self.lot, past_day.toordinal()) % np.uint64(donors.size)).astype(np.int64)]
        return np.where(begun, self.known_as, drawn)

    def _moved(self, row: IntArray, past_day: date) -> tuple[IntArray, IntArray]:
        """Return when each stay begins and ends on the delivery day; an open one ends as far as known."""
        shift_s = (self.delivery_day - past_day).days * DAY_S
        begins_s, ends_s = (shown_s[row] for shown_s in self.history.shown_s)
        known_s = self.clock.shown(np.array([self.known_s]))
        begins_s, ends_s = begins_s + shift_s, np.minimum(ends_s, known_s) + shift_s
        return (
            np.maximum(self.clock.instants(begins_s, 0), self.clock.instants(begins_s, 1)),
            np.minimum(self.clock.instants(ends_s, 0), self.clock.instants(ends_s, 1)),
        )

    def _intent(self, after_s: IntArray, leaves_s: IntArray) -> tuple[IntArray, FloatArray, IntArray]:
        """Return until when a car there at ``after_s`` stays, how full it is wanted, how long before due."""
        stated_s, stated_soc = self.stated
        default_s, default_soc = self.by_default
        has_said = stated_s > after_s
        ready_s = _next_shown(self.clock, after_s, default_s)
        early_s = np.where(has_said | self.drivers_say, 0, np.maximum(0, ready_s - leaves_s))
        return (
            np.where(has_said, stated_s, np.minimum(leaves_s, ready_s)),
            np.where(has_said, stated_soc, default_soc),
            early_s,
        )

    def _energy_kwh(self, row: IntArray, past_day: date) -> FloatArray:
        """Return what is stored on arrival, or at the horizon's start where plugged in before it. [kWh]"""
        stays = self.history.stays
        hours = np.maximum(0, seconds(horizon(past_day).start) - stays.start_s[row]) / HOUR_S
        drawn_kwh = np.where(stays.end_s[row] > self.known_s, 0.0, np.maximum(0.0, stays.energy_kwh[row]))
        gained_kwh = np.minimum(drawn_kwh, self.charge_kw * hours) * self.eta_charge
        return np.minimum(self.capacity_kwh, stays.arrival_soc[row] * self.capacity_kwh + gained_kwh)


def _slots(stay: Stay) -> IntArray:
    return np.asarray(np.maximum(0, stay.depart_slot - stay.arrive_slot), dtype=np.int64)


def _next_shown(clock: WallTime, after_s: IntArray, second_of_day: IntArray) -> IntArray:
    """Return the first instant after each at which clocks show a time of day, as ``next_local`` does."""
    today_s = clock.shown(after_s) // DAY_S * DAY_S + second_of_day
    best_s = np.full_like(after_s, np.iinfo(np.int64).max)
    for shown_s in (today_s, today_s + DAY_S):
        first_s, second_s = clock.instants(shown_s, 0), clock.instants(shown_s, 1)
        for instant_s in (first_s, np.maximum(first_s, second_s)):
            best_s = np.where(instant_s > after_s, np.minimum(best_s, instant_s), best_s)
    return best_s


@cache
def _lot(car_id: str) -> int:
    return int.from_bytes(hashlib.sha256(car_id.encode()).digest()[:8], "big")


def _mixed(lot: LotArray, day: int) -> LotArray:
    """Return numbers that a car's lot and a day decide, all bits alike (SplitMix64)."""
    mixed = lot + np.full_like(lot, day) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    drawn: LotArray = mixed ^ (mixed >> np.uint64(31))
    return drawn


def _second_of_day(at: time) -> int:
    return (at.hour * 60 + at.minute) * 60 + at.second
