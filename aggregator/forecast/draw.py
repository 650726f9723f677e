"""Drawing scenarios: a main stay and maybe another one per car for each past day.

Decisions:
    A car's main stay from noon to noon is the one covering most of 16:00 to 19:00 local, else the longest.
    Its other one is the longest beside it, or what the main one lasts beyond the time always said by
    default: there a car is as full as promised, and promised again for the day after. Without it, late
    mornings were forecast a tenth of the cars that were there. Cars that share a home have the main one
    only, as do those whose driver has said when the car is next needed, and all in a horizon of two days.
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
    In a horizon of two days a car has a stay for each, one after the other. One that goes on until after the
    next begins, as the driver has said so or leaves in the afternoon, leaves no place for it. A car that was
    due in the morning and stayed is there again from then on, with what was promised for then at most: what
    it had beyond that may have been given.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import cache

import numpy as np
from numpy.typing import NDArray

from aggregator.energy import BoolArray, FloatArray, IntArray, Stay
from aggregator.forecast.days import ENGLAND, Calendar, Horizon, like_days
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


Stated = tuple[Sequence[Car], Mapping[str, StatedIntent] | None]
"""Cars as their drivers want them on a day, and what they said of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Scenario:
    """One way the delivery day may go.

    Attributes:
        label: ISO date of the past day it is drawn from; of two, of the second.
        stay: The main stay of each car and day of the horizon: those of all cars, in the order asked for, for
            the first day, then for the next.
        other: Another one of each car, apart from the main one; absent where there is none.
    """

    label: str
    stay: Stay
    other: Stay

    @property
    def both(self) -> Stay:
        """The main stays, then the others: ``Horizon.rows`` for each car."""
        return _joined([self.stay, self.other])

    @property
    def rows(self) -> int:
        """How many of them each car has."""
        return 1 + len(self.stay.energy_kwh) // max(1, len(self.other.energy_kwh))


def scenarios(
    history: History,
    cars: Sequence[Car],
    horizon: Horizon,
    known_until: datetime,
    count: int,
    intents: Mapping[str, StatedIntent] | None = None,
    calendar: Calendar = ENGLAND,
    stated: Sequence[Stated] = (),
) -> tuple[Scenario, ...]:
    """Return up to ``count`` equally likely scenarios of a horizon, the latest past day first.

    Args:
        history: Past sessions; those not yet begun at ``known_until`` are not looked at.
        cars: The fleet, in the order of the stays' arrays.
        horizon: What is forecast.
        known_until: The instant of the forecast: a past day counts once it is over, from noon to noon.
        count: Most scenarios.
        intents: What drivers have said so far, by car, where they say when they leave; None where they
            do not.
        calendar: Which days are off work, in the past and now.
        stated: For each day of the horizon, the cars as drivers want them then, and intents; in place of
            ``cars`` and ``intents``.

    Returns:
        Fewer where there are fewer like days; none where there is no history at all.
    """
    if not history.sessions or history.begins_at >= known_until:
        return ()
    days = like_days(calendar, horizon, Interval(history.begins_at, known_until), count)
    told = stated or [(cars, intents)] * horizon.days
    draws = [
        _Draw.of(history, own, part.day, known_until, said)
        for part, (own, said) in zip(horizon.parts, told, strict=True)
    ]
    return tuple(Scenario(day.isoformat(), *_stays(draws, day - horizon.day)) for day in days)


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """The stays of all cars on one day of a horizon; arrays are of shape (cars,).

    Attributes:
        row: Of each stay in the history, ``ABSENT`` where there is none.
        stay: In slots of the horizon.
        slot_kwh: Most that each car stores in a slot. [kWh]
    """

    row: IntArray
    stay: Stay
    slot_kwh: FloatArray

    def after(self, before: "_Drawn") -> "_Drawn":
        """Return the stays that those of an earlier day leave place for."""
        stay, earlier = self.stay, before.stay
        stayed = stay.present & earlier.present & (self.row == before.row)
        begins = np.where(stayed, earlier.depart_slot, stay.arrive_slot)
        reached_kwh = earlier.energy_kwh + self.slot_kwh * (earlier.depart_slot - earlier.arrive_slot)
        most_kwh = np.where(stayed, np.minimum(earlier.target_kwh, reached_kwh), np.inf)
        taken = earlier.present & (earlier.depart_slot > begins)
        found = _where(
            (stay.depart_slot > begins) & ~taken,
            replace(stay, arrive_slot=begins, energy_kwh=np.minimum(stay.energy_kwh, most_kwh)),
        )
        return replace(self, stay=found)


def _stays(draws: Sequence["_Draw"], shift: timedelta) -> tuple[Stay, Stay]:
    """Return main and other stays of a horizon, each day like the one that lies ``shift`` after it."""
    days: list[_Drawn] = []
    first_slot = 0
    for draw in draws:
        drawn = draw.drawn(draw.delivery_day + shift, first_slot)
        for before in days:
            drawn = drawn.after(before)
        days.append(drawn)
        first_slot += len(Horizon(draw.delivery_day).slots)
    main, last = days[-1], draws[-1]
    other = last.other(last.delivery_day + shift, main)
    if len(days) > 1:
        other = _where(np.zeros(len(main.row), dtype=np.bool_), other)
    return _joined([day.stay for day in days]), other


def _joined(stays: Sequence[Stay]) -> Stay:
    return Stay(*(np.concatenate([getattr(stay, name) for stay in stays]) for name in Stay.__slots__))


def _where(there: BoolArray, stay: Stay) -> Stay:
    """Return the stays of the cars that are there; one absent is all zero."""
    return Stay(*(np.where(there, getattr(stay, name), 0) for name in Stay.__slots__))


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
        span, margin = Horizon(delivery_day).interval, timedelta(seconds=LONGEST_STAY_S)
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

    def drawn(self, past_day: date, first_slot: int) -> _Drawn:
        """Return the main stays of all cars if the delivery day goes like ``past_day``.

        Args:
            past_day: Which.
            first_slot: The delivery day's first half-hour in the horizon.
        """
        whose = self._whose(past_day)
        row = np.where(whose == ABSENT, ABSENT, self.history.main_stay(past_day)[whose])
        slot_kwh = self.eta_charge * self.charge_kw * HALF_HOUR_S / HOUR_S
        return _Drawn(row, self._stay(row, past_day, first_slot), slot_kwh)

    def other(self, past_day: date, main: _Drawn) -> Stay:
        """Return another stay of each car, apart from the main one, in a horizon of this one day."""
        whose = self._whose(past_day)
        may = self.alone & (whose != ABSENT)
        row = np.where(may, self.history.other_stay(past_day)[whose], ABSENT)
        other, stays_on = self._stay(row, past_day, 0), self._beyond(main, past_day)
        longer = _slots(stays_on) > _slots(other)
        said = self.stated[0] > seconds(Horizon(self.delivery_day).interval.start)
        apart = (other.arrive_slot >= main.stay.depart_slot) | (other.depart_slot <= main.stay.arrive_slot)
        found = Stay(
            *(np.where(longer, getattr(stays_on, name), getattr(other, name)) for name in Stay.__slots__)
        )
        return _where(~said & (longer | apart), found)

    def _stay(self, row: IntArray, past_day: date, first_slot: int) -> Stay:
        comes_s, leaves_s = self._moved(row, past_day)
        start_s = seconds(Horizon(self.delivery_day).interval.start)
        depart_s, target_soc, early_s = self._intent(np.maximum(comes_s, start_s), leaves_s)
        later_kwh = self.eta_charge * self.charge_kw * early_s / HOUR_S
        arrive = np.maximum(0, -((start_s - comes_s) // HALF_HOUR_S))
        depart = (depart_s - start_s) // HALF_HOUR_S
        stay = Stay(
            arrive_slot=first_slot + arrive,
            depart_slot=first_slot + depart,
            energy_kwh=self._energy_kwh(row, past_day),
            target_kwh=np.maximum(0.0, target_soc * self.capacity_kwh - later_kwh),
        )
        return _where((row != ABSENT) & ~self.away & (depart > arrive), stay)

    def _beyond(self, main: _Drawn, past_day: date) -> Stay:
        """Return what main stays last beyond the time they are due, as full by then as they could be."""
        stay = main.stay
        _, leaves_s = self._moved(main.row, past_day)
        start_s = seconds(Horizon(self.delivery_day).interval.start)
        default_s, default_soc = self.by_default
        due_s = start_s + stay.depart_slot * HALF_HOUR_S
        next_s = _next_shown(self.clock, _next_shown(self.clock, due_s - 1, default_s), default_s)
        arrive = stay.depart_slot + 1  # the default time may lie within a half-hour
        depart = (np.minimum(leaves_s, next_s) - start_s) // HALF_HOUR_S
        reached_kwh = stay.energy_kwh + main.slot_kwh * (stay.depart_slot - stay.arrive_slot)
        most_kwh = np.minimum(self.capacity_kwh, reached_kwh)
        found = Stay(arrive, depart, np.minimum(most_kwh, stay.target_kwh), default_soc * self.capacity_kwh)
        return _where(stay.present & self.alone & (depart > arrive), found)

    def _whose(self, past_day: date) -> IntArray:
        """Return whose day counts: the car's own or, before its history begins, a donor's."""
        end = Horizon(past_day).interval.end
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
        hours = np.maximum(0, seconds(Horizon(past_day).interval.start) - stays.start_s[row]) / HOUR_S
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
