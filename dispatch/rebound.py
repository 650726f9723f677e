"""After an event: batteries are emptier than was planned, and all want to be filled at once.

A zone that was called draws no more afterwards than the most it nominated, as long as no driver needs it: of
the cars that would charge in a half-hour, those go first that can wait least. A car that can't wait another
half-hour goes whatever the zone draws (P2). So that they do not all come to that together shortly before they
leave, what the hours up to a departure can't hold under that peak is drawn before, by those that can wait
least, though it be dearer then; and where even that is too much, evenly, at the least peak that will do.

Cars that begin to charge right after the event do so one by one within ten minutes, each always at its own
moment, so that a zone's load does not jump; so do those that a later half-hour starts, until the zone has
refilled.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from aggregator.model.time import HALF_HOUR, HOUR, floor_half_hour
from aggregator.ports import Rebound
from dispatch.fleet_view import CarView
from dispatch.plan_run import READY_BEFORE, PlanStep, charges_from

SPREAD = timedelta(seconds=600)
TOUCH_KW = 1e-6
MARGIN = 1.25
SLOT_H = HALF_HOUR / HOUR


def within_peak(
    steps: Mapping[str, PlanStep], views: Sequence[CarView], rebound: Rebound | None, now: datetime
) -> Mapping[str, PlanStep]:
    """Return a half-hour's steps with charging moved so that the zone stays under its nominated peak.

    Args:
        steps: Of the cars' own plans.
        views: The cars.
        rebound: Of their zone; None where nothing was called lately.
        now: Domain instant.
    """
    if rebound is None:
        return steps
    course = _course(views, rebound.import_kw, now)
    most_kw = max(rebound.import_kw, course.least_peak_kw)
    return _brought_forward(_held_back(steps, views, most_kw, now), views, course.now_kw, most_kw, now)


@dataclass(frozen=True, slots=True)
class _Course:
    """What all cars' needs ask of a zone.

    Attributes:
        least_peak_kw: The least it can draw at most, if it draws evenly from now on. [kW]
        now_kw: What it has to draw in this half-hour to stay under its peak later; 0 where it can wait. [kW]
    """

    least_peak_kw: float
    now_kw: float


def _course(views: Sequence[CarView], peak_kw: float, now: datetime) -> _Course:
    """Return what all needs up to each departure, taken together, ask for (earliest deadline first)."""
    due = sorted(((_ready_at(view, now) - now) / HOUR, _need_kwh(view, now)) for view in views)
    ahead_kwh = least_peak_kw = now_kw = 0.0
    for left_h, need_kwh in due:
        ahead_kwh += need_kwh
        later_h = max(0.0, left_h - SLOT_H)
        least_peak_kw = max(least_peak_kw, ahead_kwh / (later_h + SLOT_H))
        now_kw = max(now_kw, (ahead_kwh - peak_kw * later_h) / SLOT_H)
    return _Course(least_peak_kw, now_kw)


def _ready_at(view: CarView, now: datetime) -> datetime:
    return view.departs_at(now) - READY_BEFORE


def _need_kwh(view: CarView, now: datetime) -> float:
    """Return what it still has to draw, with a margin: cars come in whole, and take less near full. [kWh]"""
    return view.charging_hours(now) * MARGIN * view.full_kw


def _held_back(
    steps: Mapping[str, PlanStep], views: Sequence[CarView], most_kw: float, now: datetime
) -> dict[str, PlanStep]:
    """Return steps of which those wait that would lift the zone above what it may draw, and can."""
    eased = dict(steps)
    room_kw = most_kw + sum(max(0.0, step.export_kw) for step in steps.values())
    charging = [view for view in views if steps[view.car.car_id].export_kw < -TOUCH_KW]
    for view in _least_patient(charging, now):
        step = steps[view.car.car_id]
        room_kw += step.export_kw
        can_wait = not step.must_charge and charges_from(view, now) - now > HALF_HOUR
        if room_kw < -TOUCH_KW and can_wait:
            room_kw -= step.export_kw
            eased[view.car.car_id] = replace(step, export_kw=0.0)
    return eased


def _brought_forward(
    steps: Mapping[str, PlanStep], views: Sequence[CarView], now_kw: float, most_kw: float, now: datetime
) -> Mapping[str, PlanStep]:
    """Return steps of which as many begin to charge as it takes to draw so much now, and the most allows."""
    begun = dict(steps)
    drawn_kw = -sum(step.export_kw for step in steps.values())
    idle = [
        view
        for view in views
        if abs(steps[view.car.car_id].export_kw) < TOUCH_KW and view.charging_hours(now) > 0
    ]
    for view in _least_patient(idle, now):
        if drawn_kw > now_kw - TOUCH_KW:
            break
        if drawn_kw + view.full_kw > most_kw + TOUCH_KW:
            continue
        drawn_kw += view.full_kw
        begun[view.car.car_id] = replace(steps[view.car.car_id], export_kw=-view.full_kw)
    return begun


def _least_patient(views: Sequence[CarView], now: datetime) -> list[CarView]:
    return sorted(views, key=lambda one: (charges_from(one, now), one.car.car_id))


def waits(view: CarView, rebound: Rebound | None, now: datetime) -> bool:
    """Whether a car that would begin to charge waits for its own moment, after the event or in the half-hour.

    A plan starts many cars in the same half-hour; while a zone refills they do not start in the same minute.
    """
    if rebound is None:
        return False
    share = int.from_bytes(hashlib.sha256(view.car.car_id.encode()).digest()[:4], "big") / 2**32
    begun = view.moving_kw(now) < -TOUCH_KW
    from_when = max(rebound.ended_at, floor_half_hour(now))
    return not begun and now < from_when + share * SPREAD and charges_from(view, now) > now + SPREAD
