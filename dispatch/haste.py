"""Homes whose fuse can't carry all of their cars at once, where there is no time to lose.

A plan in half-hours at even power is then too coarse: each cycle the room goes to the cars that can wait
least. What a car can wait is its time until departure less its charging time at full power, slower near full
as it is; each is brought down to one level within half an hour, as the split levels times-to-go. A car that
slows down near full gets what its battery takes, and the others the rest. Cars below their floor come first,
those that have reached their targets last.

Against the best that is physically possible, found by a linear programme in steps of five minutes, nothing is
lost: 150 cars of 60 homes that could just reach their targets missed 0.1 kWh in all, 109 kWh pro rata.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from aggregator.energy import Tapers
from aggregator.model.time import HOUR
from dispatch.fleet_view import CarView
from dispatch.split_cars import FloatArray
from dispatch.split_level import level_backwards

LEVELLED = timedelta(minutes=30)
STEP = timedelta(minutes=10)
SAME_KW = 1e-6
FAR_H = 1e3
"""Longer than any stay: by so much a car below its floor is put first, and one at its target last."""


@dataclass(frozen=True, slots=True)
class Haste:
    """How much a car presses.

    Attributes:
        slack_h: For how long it could wait and still reach its target at full power, below 0 where it can't.
        takes_kw: What its battery takes now, 0 or more. [kW AC]
        min_kw: Least that its charger holds. [kW AC]
    """

    slack_h: float
    takes_kw: float
    min_kw: float = 0.0


def haste(view: CarView, now: datetime) -> Haste:
    """Return how much a car presses now."""
    needs_h = view.charging_hours(now)
    slack_h = (view.departs_at(now) - now) / HOUR - needs_h
    if view.energy_kwh(now) < view.floor_kwh:
        slack_h -= FAR_H
    elif needs_h <= 0:
        slack_h += FAR_H
    return Haste(slack_h, view.taken_kw(now), view.car.charger.min_kw)


def shares_kw(cars: Sequence[Haste], room_kw: float) -> list[float]:
    """Return what each car of a home gets of what there is for them, at most what its battery takes. [kW AC]

    A share below what its charger holds goes to the others: who waits presses more, and gets more later.
    """
    takes_kw = np.array([one.takes_kw for one in cars])
    slack_h, min_kw = np.array([one.slack_h for one in cars]), np.array([one.min_kw for one in cars])
    share_kw = _levelled_kw(slack_h, takes_kw, room_kw)
    while (idle := (share_kw > 0.0) & (share_kw < np.minimum(min_kw, takes_kw))).any():
        takes_kw[np.argmax(np.where(idle, slack_h, -np.inf))] = 0.0
        share_kw = _levelled_kw(slack_h, takes_kw, room_kw)
    return [float(kw) for kw in share_kw]


def missed_kwh(views: Sequence[CarView], room_kw: float, now: datetime) -> dict[str, float]:
    """Return by how much the cars of a home will miss their targets, if all charge by their haste. [kWh]

    Those whose drivers have switched V2G off come first, until they are full.

    Args:
        views: All of them.
        room_kw: What the home's fuse leaves to them. [kW]
        now: Domain instant.
    """
    left_h = _floats((view.departs_at(now) - now) / HOUR for view in views)
    cars, boosted = Charging.of(views, now), np.array([view.is_boosted() for view in views])
    full_kwh = _floats(view.car.capacity_kwh for view in views)
    cars = replace(
        cars,
        target_kwh=np.where(boosted, full_kwh, cars.target_kwh),
        floor_kwh=np.where(boosted, full_kwh, cars.floor_kwh),
        least_kw=_floats(view.car.charger.min_kw for view in views),
    )
    missing_kwh = cars.missed_kwh(left_h, room_kw, STEP)
    return {view.car.car_id: float(kwh) for view, kwh in zip(views, missing_kwh, strict=True)}


@dataclass(frozen=True, slots=True)
class Charging:
    """Cars that share what there is by their haste; all arrays have shape (cars,).

    Attributes:
        energy_kwh: Stored. [kWh]
        target_kwh: What their drivers want. [kWh]
        floor_kwh: What they are charged to first. [kWh]
        full_kw: Most that each can draw. [kW AC]
        eta: One-way efficiency. [-]
        tapers: How they slow down near full.
        least_kw: What each draws at least unless it is nothing; 0 where that does not count. [kW AC]
    """

    energy_kwh: FloatArray
    target_kwh: FloatArray
    floor_kwh: FloatArray
    full_kw: FloatArray
    eta: FloatArray
    tapers: Tapers
    least_kw: FloatArray

    @classmethod
    def of(cls, views: Sequence[CarView], now: datetime) -> "Charging":
        """Return cars as they are."""
        cars = [view.car for view in views]
        return cls(
            _floats(view.energy_kwh(now) for view in views),
            _floats(view.target_kwh() for view in views),
            _floats(view.floor_kwh for view in views),
            _floats(view.full_kw for view in views),
            _floats(car.charger.eta_charge for car in cars),
            Tapers.of(
                _floats(car.capacity_kwh for car in cars),
                _floats(car.taper.from_soc for car in cars),
                _floats(car.taper.full_share for car in cars),
            ),
            np.zeros(len(cars)),
        )

    def missed_kwh(
        self, left_h: FloatArray, room_kw: float, step: timedelta, slower: float = 1.0
    ) -> FloatArray:
        """Return by how much they will miss their targets, (cars,). [kWh]

        Args:
            left_h: For how long each can charge; 0 or less where not at all, (cars,). [h]
            room_kw: What all together may draw. [kW AC]
            step: Longest time for which they are shared out at once.
            slower: By how much longer than by its figures each takes. [-]
        """
        energy_kwh, gain_kw = self.energy_kwh, self.eta * self.full_kw / slower
        while (here := (left_h > 0.0) & (energy_kwh < self.target_kwh)).any():
            step_h = min(step / HOUR, float(left_h[here].min()))
            ahead_kwh = self.tapers.effort_kwh(self.target_kwh) - self.tapers.effort_kwh(energy_kwh)
            slack_h = left_h - ahead_kwh / gain_kw - FAR_H * (energy_kwh < self.floor_kwh)
            gained_kwh = replace(self, energy_kwh=energy_kwh).gained_kwh(step_h / slower)
            takes_kw = np.where(here, gained_kwh * slower / (self.eta * step_h), 0.0)
            drawn_kwh = step_h * _held_kw(slack_h, takes_kw, room_kw, self.least_kw)
            energy_kwh, left_h = energy_kwh + self.eta / slower * drawn_kwh, left_h - step_h
        return np.maximum(0.0, self.target_kwh - energy_kwh)

    def gained_kwh(self, hours: float) -> FloatArray:
        """Return what each stores in some time at full power, until it reaches its target, (cars,). [kWh]"""
        effort_kwh = self.tapers.effort_kwh(self.energy_kwh) + self.eta * self.full_kw * hours
        return np.maximum(
            0.0, np.minimum(self.target_kwh, self.tapers.energy_kwh(effort_kwh)) - self.energy_kwh
        )


def _held_kw(slack_h: FloatArray, takes_kw: FloatArray, room_kw: float, least_kw: FloatArray) -> FloatArray:
    """Return shares that chargers can hold: who can wait longest of those below their least waits."""
    while True:
        drawn_kw = _levelled_kw(slack_h, takes_kw, room_kw)
        low = np.flatnonzero((drawn_kw > 0.0) & (drawn_kw < np.minimum(least_kw, takes_kw) - SAME_KW))
        if not low.size:
            return drawn_kw
        takes_kw = takes_kw.copy()
        takes_kw[low[slack_h[low].argmax()]] = 0.0


def _levelled_kw(slack_h: FloatArray, takes_kw: FloatArray, room_kw: float) -> FloatArray:
    """Return shares of a room, so that who can wait least is brought down to one level, (cars,). [kW AC]"""
    hours = np.array([LEVELLED / HOUR])
    to_go_h = slack_h.max() - slack_h + hours
    one_slot = np.ones(len(slack_h), dtype=np.int64)
    moved_kwh = level_backwards(takes_kw * to_go_h, takes_kw, one_slot, hours, room_kw * hours)
    return np.asarray(moved_kwh[:, 0] / hours)


def _floats(values: Iterable[float]) -> FloatArray:
    return np.fromiter(values, dtype=np.float64)
