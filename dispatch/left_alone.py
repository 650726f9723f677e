"""What chargers do by themselves once no set-point holds, told to them while somebody still can.

A charger left alone waits for the latest start that still brings its driver's target; a boost starts at once.
Nobody then shares a home's fuse out, so that each keeps to a fixed part of it: an equal one, but no more than
it can draw, of what the house leaves, as measured last or at most as stated. All of a home's chargers then
keep its fuse together, whatever drivers do (P4 before P3 and P2).

While a set-point gives one of them more than its part, the others draw nothing by themselves until it has run
out. That is why such a set-point is as short as one that discharges, and why chargers hear of it first. A
charger that is silent may be at its part at any time: that is kept free for it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from aggregator.model.fleet import WATT_DIGITS, Car, Fleet
from aggregator.model.metering import Purpose, SafeDefault, SetPoint
from dispatch.fleet_view import CarView
from dispatch.home_rooms import Room
from dispatch.plan_run import charges_from

W_PER_KW = 1000.0
TOLD_AGAIN = timedelta(minutes=5)
"""A charger is told anew of a start that differs by so much."""

LEAST_SHARE = 0.01
"""Of full power: a charger with no part of its fuse still has a start, in case it gets one."""


class LeftAlone:
    """Keeps each charger's part of its home's fuse, and what it was told.

    Args:
        fleet: The cars and their homes.
        holds: Most that a set-point above a charger's part lasts.
    """

    def __init__(self, fleet: Fleet, holds: timedelta) -> None:
        self._holds = holds
        self._homes: dict[str, list[Car]] = defaultdict(list)
        for car in fleet.cars:
            self._homes[car.site.site_id].append(car)
        self._home_of = {car.car_id: car.site.site_id for car in fleet.cars}
        self._part_w: dict[str, int] = {}
        for cars in self._homes.values():
            self._part_w |= fuse_parts_w(cars, 0.0)
        shared = [cars for cars in self._homes.values() if len(cars) > 1]
        self._neighbours = {car.car_id: None for cars in shared for car in cars}
        self._told: dict[str, SafeDefault] = {}

    def share(self, rooms: Mapping[str, Room]) -> None:
        """Take in what the houses draw now: chargers' parts are of what is left."""
        for site_id, room in rooms.items():
            self._part_w |= fuse_parts_w(self._homes[site_id], room.house_kw or 0.0)

    def shortened(self, points: Sequence[SetPoint], now: datetime) -> list[SetPoint]:
        """Return the set-points with those short that give a charger more than its part."""
        latest = now + self._holds
        return [
            replace(one, expires_at=min(one.expires_at, latest)) if self._is_above(one) else one
            for one in points
        ]

    def reserved(self, silent: Iterable[CarView], now: datetime) -> list[SetPoint]:
        """Return what silent cars may draw by themselves beyond what they were told, as set-points."""
        beyond_w = {
            view.car.car_id: self._part_w[view.car.car_id] + min(0, round(view.moving_kw(now) * W_PER_KW))
            for view in silent
        }
        return [
            SetPoint(car_id, -watts, now, now + self._holds, Purpose.PLAN)
            for car_id, watts in beyond_w.items()
            if watts > 0
        ]

    def starts_at(self, view: CarView, now: datetime) -> datetime:
        """Return when a charger left alone begins, on its part of the fuse."""
        share = self._part_w[view.car.car_id] / W_PER_KW / view.full_kw if view.full_kw else 1.0
        return charges_from(view, now, min(1.0, max(LEAST_SHARE, share)))

    def changed(
        self, views: Iterable[CarView], points: Iterable[SetPoint], now: datetime
    ) -> dict[str, SafeDefault]:
        """Return what chargers must be told now, and take it as told.

        Args:
            views: The cars that are heard.
            points: The set-points in force, and those to come.
            now: Domain instant.
        """
        waits = self._waits(points)
        starts = {view.car.car_id: self.starts_at(view, now) for view in views}
        changed = {}
        for car_id in {**starts, **self._neighbours}:
            default = SafeDefault(self._part_w[car_id], starts.get(car_id), waits.get(car_id))
            if _is_news(default, self._told.get(car_id), now):
                changed[car_id] = self._told[car_id] = default
            elif default.charge_from is None:  # with its car, a charger forgets when to begin
                self._told[car_id] = replace(self._told[car_id], charge_from=None)
        return changed

    def _waits(self, points: Iterable[SetPoint]) -> dict[str, datetime]:
        """Return until when chargers wait for neighbours that may draw more than their parts."""
        waits: dict[str, datetime] = {}
        for point in (one for one in points if self._is_above(one)):
            for car in self._homes[self._home_of[point.car_id]]:
                if car.car_id != point.car_id:
                    waits[car.car_id] = max(point.expires_at, waits.get(car.car_id, point.expires_at))
        return waits

    def _is_above(self, point: SetPoint) -> bool:
        return -point.export_w > self._part_w[point.car_id]


def _is_news(default: SafeDefault, told: SafeDefault | None, now: datetime) -> bool:
    if told is None or told.most_w != default.most_w:
        return True
    if max(now, default.waits_until or now) > max(now, told.waits_until or now):
        return True
    if default.charge_from is None:
        return False
    return told.charge_from is None or abs(told.charge_from - default.charge_from) >= TOLD_AGAIN


def fuse_parts_w(cars: Sequence[Car], house_kw: float) -> dict[str, int]:
    """Return each charger's part of its home's fuse, rounded down. [W]

    A part below what a charger can hold is no use to it, and left to the others.

    Args:
        cars: All of a home's.
        house_kw: What the house is measured to draw; at least what is stated counts.
    """
    site = cars[0].site
    left_kw = max(0.0, site.import_limit_kw - max(house_kw, site.most_house_kw))
    parts_w = {}
    for n, car in enumerate(sorted(cars, key=lambda one: (one.charger.charge_kw, one.car_id))):
        part_kw = min(car.charger.charge_kw, left_kw / (len(cars) - n))
        part_w = int(round(part_kw * W_PER_KW, WATT_DIGITS))
        parts_w[car.car_id] = part_w if part_kw >= car.charger.min_kw else 0
        left_kw -= parts_w[car.car_id] / W_PER_KW
    return parts_w
