"""After an event: batteries are emptier than was planned, and all want to be filled at once.

A zone that was called draws no more afterwards than the most it nominated, as long as no driver needs it.
Each half-hour it is worked out what the later ones can still hold under that peak, if all cars charge by
their haste up to their departures: near full they take less, and so do cars behind a fuse they share. What is
too much for them is drawn now, by those that can wait least, though it be dearer; and of the cars that would
charge at once those wait, wholly or in part, that can wait longest. So they do not all come to charge at full
power shortly before their drivers come, because the hours before were not used.

Where no schedule keeps under that peak, the zone is held at the least one that brings all drivers to their
targets (P2), from then on and evenly, and the desk is told. Cars whose drivers have switched V2G off are at
full power whatever the zone draws: the others keep to what those leave.

45 cars that all leave at seven keep under every peak that is a fifth above the least that a linear programme
finds, knowing all; where less was nominated, they draw less than a fifth more than that least.

Cars that begin to charge right after the event do so one by one within ten minutes, each always at its own
moment, so that a zone's load does not jump; so do those that a later half-hour starts, until the zone has
refilled.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import inf

import numpy as np

from aggregator.model.time import HALF_HOUR, HOUR, floor_half_hour
from aggregator.ports import Rebound
from dispatch.fleet_view import CarView, fuse_shares
from dispatch.haste import Charging
from dispatch.plan_run import READY_BEFORE, SLOWER_THAN_STATED, PlanStep, aim_kwh, charges_from
from dispatch.ramp import FOLLOWS
from dispatch.split_cars import FloatArray

SPREAD = timedelta(seconds=600)
KEPT_ON = timedelta(hours=1)
"""A car that charges goes on before one that can wait so much less: each restart costs minutes."""

TOUCH_KW = 1e-6
NEAR = 0.005
"""How closely a peak is kept to, and looked for: idle chargers draw a little, too. [-]"""

MISSED_KWH = 0.01
SLOT_H = HALF_HOUR / HOUR


@dataclass(frozen=True, slots=True)
class Refill:
    """A half-hour's steps of a zone that refills.

    Attributes:
        steps: Per car.
        peak_kw: The least it will draw at most: what it nominated, where that brings all drivers to their
            targets. [kW]
    """

    steps: Mapping[str, PlanStep]
    peak_kw: float


def within_peak(
    steps: Mapping[str, PlanStep],
    views: Sequence[CarView],
    rebound: Rebound,
    others_kw: float,
    guard_soc: float,
    now: datetime,
) -> Refill:
    """Return a half-hour's steps with charging moved so that the zone stays under its nominated peak.

    Args:
        steps: Of the cars' own plans.
        views: The cars, at least one.
        rebound: What their zone keeps to.
        others_kw: Drawn in it by cars whose drivers have switched V2G off. [kW]
        guard_soc: Planned for above drivers' targets. [fraction of capacity]
        now: Domain instant.
    """
    due = {view.car.car_id: charges_from(view, now) for view in views}
    course = _course(views, max(0.0, rebound.import_kw * (1 - NEAR) - others_kw), guard_soc, due, now)
    peak_kw = max(rebound.import_kw, course.most_kw + others_kw)
    return Refill(_shared_out(steps, _least_patient(views, due, now), course), peak_kw)


@dataclass(frozen=True, slots=True)
class _Course:
    """What cars' needs ask of a zone in this half-hour. [all kW, at least 0]

    Attributes:
        most_kw: What it may draw at most: its peak, or the least that will do.
        now_kw: What it has to draw to stay under that later; 0 where it can wait.
        is_scarce: Whether drivers' targets take nearly all it may draw: not each minute then counts, but the
            half-hour's mean, as it is nominated.
        least_kw: What each car has to draw whatever the others do, by car.
        taken_kw: What each car's battery takes at most, by car.
        asks_kw: What each car can use of it, by car.
        takes_kw: What it then draws on average, as it slows down near full, by car.
        part: For which part of the half-hour each charges, by car. [-]
    """

    most_kw: float
    now_kw: float
    is_scarce: bool
    least_kw: Mapping[str, float]
    taken_kw: Mapping[str, float]
    asks_kw: Mapping[str, float]
    takes_kw: Mapping[str, float]
    part: Mapping[str, float]

    def mean_kw(self, name: str, told_kw: float) -> float:
        """Return what a car draws on average of the half-hour if it is told so much."""
        return min(told_kw, self.takes_kw[name]) * self.part[name]

    def counted_kw(self, name: str, told_kw: float) -> float:
        """Return how much of what the zone may draw is a car's if it is told so much."""
        return self.mean_kw(name, told_kw) if self.is_scarce else told_kw


def _course(
    views: Sequence[CarView], peak_kw: float, guard_soc: float, due: Mapping[str, datetime], now: datetime
) -> _Course:
    """Return what the cars' needs come to if all charge by their haste, who can wait least first.

    What drivers were promised is what the peak may be exceeded for. To keep under it, what the plans aim at
    counts, and that chargers may be slower than stated.
    """
    shares = fuse_shares(views)
    share = np.array([shares[view.car.site.site_id] for view in views])
    cars = Charging.of(views, now)
    cars = replace(cars, full_kw=cars.full_kw * share)
    left_h = np.array([_half_hours_left(view, now) for view in views]) * SLOT_H
    later_h = left_h - SLOT_H
    most_kw = _least_peak_kw(cars, left_h, peak_kw)
    missed_kwh = cars.missed_kwh(later_h, float(cars.full_kw.sum()), HALF_HOUR)
    aimed = replace(cars, target_kwh=np.array([aim_kwh(view, guard_soc) for view in views]))
    now_kw = _due_now_kw(aimed, left_h, most_kw, SLOWER_THAN_STATED)
    needed_kw = _due_now_kw(cars, left_h, most_kw)
    is_scarce = needed_kw > most_kw * (1 - SPREAD / 2 / HALF_HOUR)  # what is lost where all begin
    needs_kw = np.maximum(0.0, aimed.target_kwh - aimed.energy_kwh) / (cars.eta * SLOT_H)
    taken_kw = np.array([view.taken_kw(now) for view in views])
    asks_kw = np.minimum(needs_kw, share * taken_kw)
    least_kw = np.minimum(missed_kwh / (cars.eta * SLOT_H), asks_kw)
    takes_kw = np.minimum(asks_kw, aimed.gained_kwh(SLOT_H) / (cars.eta * SLOT_H))
    part = np.array([_part_of_half_hour(view, due[view.car.car_id], now) for view in views])
    names = [view.car.car_id for view in views]
    by_car = [
        dict(zip(names, each.tolist(), strict=True)) for each in (least_kw, taken_kw, asks_kw, takes_kw, part)
    ]
    return _Course(most_kw, now_kw, is_scarce, *by_car)


def _due_now_kw(cars: Charging, left_h: FloatArray, most_kw: float, slower: float = 1.0) -> float:
    """Return what has to be drawn now or is missed, but not what is missed in any case. [kW]"""
    later_kwh = cars.missed_kwh(left_h - SLOT_H, most_kw, HALF_HOUR, slower)
    ever_kwh = cars.missed_kwh(left_h, most_kw, HALF_HOUR, slower)
    return float((np.maximum(0.0, later_kwh - ever_kwh) / cars.eta).sum()) * slower / SLOT_H


def _half_hours_left(view: CarView, now: datetime) -> int:
    """Return for how many half-hours it can charge, as its own plan counts them."""
    return max(1, (view.departs_at(now) - READY_BEFORE - now) // HALF_HOUR)


def _least_peak_kw(cars: Charging, left_h: FloatArray, peak_kw: float) -> float:
    """Return the peak, or the least above it by which no car misses more than it would alone. [kW]"""
    lowest_kw, highest_kw = peak_kw, float(cars.full_kw.sum())
    missed_kwh = cars.missed_kwh(left_h, highest_kw, HALF_HOUR).sum() + MISSED_KWH
    if cars.missed_kwh(left_h, peak_kw, HALF_HOUR).sum() <= missed_kwh:
        return peak_kw
    while highest_kw > lowest_kw * (1 + NEAR) + TOUCH_KW:
        between_kw = (lowest_kw + highest_kw) / 2
        if cars.missed_kwh(left_h, between_kw, HALF_HOUR).sum() <= missed_kwh:
            highest_kw = between_kw
        else:
            lowest_kw = between_kw
    return highest_kw


def _shared_out(
    steps: Mapping[str, PlanStep], ordered: Sequence[CarView], course: _Course
) -> Mapping[str, PlanStep]:
    """Return steps by which the zone draws as much as it has to now, and no more than it may.

    First comes what each car has to draw, then what their plans ask for, then what has to be drawn now.
    """
    planned_kw = {
        (name := view.car.car_id): _held_kw(view, min(-steps[name].export_kw, course.taken_kw[name]))
        for view in ordered
    }
    asked_kw = {(name := view.car.car_id): _held_kw(view, course.asks_kw[name]) for view in ordered}
    drawn_kw = {
        (name := view.car.car_id): planned_kw[name]
        if steps[name].must_charge
        else _held_kw(view, course.least_kw[name])
        for view in ordered
    }
    given_kw = sum(max(0.0, step.export_kw) for step in steps.values())
    room_kw = course.most_kw + given_kw - sum(course.counted_kw(*one) for one in drawn_kw.items())
    missing_kw = course.now_kw - sum(course.mean_kw(*one) for one in drawn_kw.items())
    for wanted_kw, until_kw in ((planned_kw, -inf), (asked_kw, TOUCH_KW)):
        for view in ordered:
            name = view.car.car_id
            before_kw = drawn_kw[name]
            most_kw = before_kw + room_kw / (course.part[name] if course.is_scarce else 1.0)
            kw = min(wanted_kw[name], most_kw)
            idle = kw < max(before_kw + TOUCH_KW, view.car.charger.min_kw)
            if idle or missing_kw < until_kw or steps[name].export_kw > 0:
                continue
            drawn_kw[name] = kw
            room_kw -= course.counted_kw(name, kw) - course.counted_kw(name, before_kw)
            missing_kw -= course.mean_kw(name, kw) - course.mean_kw(name, before_kw)
    changed = {name for name, kw in drawn_kw.items() if abs(kw - planned_kw[name]) > TOUCH_KW}
    return {
        name: replace(step, export_kw=-drawn_kw[name]) if name in changed else step
        for name, step in steps.items()
    }


def _held_kw(view: CarView, kw: float) -> float:
    """Return what its charger makes of a power: at least what it can hold, unless it is nothing. [kW]"""
    return max(kw, min(view.car.charger.min_kw, view.full_kw)) if kw > TOUCH_KW else 0.0


def _least_patient(views: Sequence[CarView], due: Mapping[str, datetime], now: datetime) -> list[CarView]:
    def patience(view: CarView) -> tuple[datetime, str]:
        kept_on = KEPT_ON if _charges(view, now) else timedelta(0)
        return due[view.car.car_id] - kept_on, view.car.car_id

    return sorted(views, key=patience)


def _charges(view: CarView, now: datetime) -> bool:
    """Whether it charges, or did until just now: a set-point that ended with its order is no pause."""
    return view.moving_kw(now - FOLLOWS) < -TOUCH_KW


def _part_of_half_hour(view: CarView, due_at: datetime, now: datetime) -> float:
    """Return for which part of the half-hour it charges: one that begins, and can, waits for its moment."""
    at_once = _charges(view, now) or due_at <= now + SPREAD
    return 1.0 if at_once else 1.0 - _moment(view) * (SPREAD / HALF_HOUR)


def _moment(view: CarView) -> float:
    """Return a car's own place in the time in which cars begin, from 0 to 1."""
    return int.from_bytes(hashlib.sha256(view.car.car_id.encode()).digest()[:4], "big") / 2**32


def waits(view: CarView, rebound: Rebound | None, now: datetime) -> bool:
    """Whether a car that would begin to charge waits for its own moment, after the event or in the half-hour.

    A plan starts many cars in the same half-hour; while a zone refills they do not start in the same minute.
    """
    if rebound is None:
        return False
    from_when = max(rebound.ended_at, floor_half_hour(now))
    due_at = from_when + _moment(view) * SPREAD
    return not _charges(view, now) and now < due_at and charges_from(view, now) > now + SPREAD
