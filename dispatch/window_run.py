"""A zone in a window: what each of its cars is told so that together they do what the zone owes.

The target is the zone's net export. Cars at full power for their drivers are taken out of it, and so is what
cars move that do not follow: the cars that do follow make up for both. One that does not follow is still told
what it must charge, and else asked for a little, on what the others leave of its home's room, to find out
whether it follows again. Where the zone is to draw on balance it is told what it meant to draw.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from aggregator.model.fleet import Car
from aggregator.model.market import Direction
from aggregator.model.metering import Purpose, SetPoint
from aggregator.ports import ZoneTarget
from dispatch.fleet_view import CarView
from dispatch.home_rooms import Room
from dispatch.zone_split import ZoneSplit, is_to_draw, split_zone

W_PER_KW = 1000.0
PROBE_KW = 1.0
"""What a car that did not follow is asked for, or the least its charger can hold."""

AS_HELD = 3
"""Splits of a zone in which it is looked for what chargers hold as well."""

ROUNDED_W = 1e-3
"""By so much a split may miss a charger's least power. [W]"""


@dataclass(frozen=True, slots=True)
class WindowStep:
    """One zone's set-points of one cycle.

    Attributes:
        points: One per car.
        short_of_target_kwh: Per car that will miss its driver's target: by how much. [kWh]
        missing_kwh: What cannot be had of the target, slot by slot until the window's end.
    """

    points: tuple[SetPoint, ...]
    short_of_target_kwh: Mapping[str, float]
    missing_kwh: Sequence[float]


@dataclass(frozen=True, slots=True)
class Limits:
    """What every set-point of a cycle keeps to.

    Attributes:
        rooms: Of the cars' homes now, by id.
        guard_soc: Kept above floor and need, as a fraction of capacity.
        most: Most that a set-point holds.
        meant_kw: What each car would draw by its own plan, where the zone is to draw on balance. [kW]
    """

    rooms: Mapping[str, Room]
    guard_soc: float
    most: timedelta
    meant_kw: Mapping[str, float]


def window_step(
    target: ZoneTarget,
    following: Sequence[CarView],
    others: Sequence[CarView],
    others_kw: float,
    now: datetime,
    limits: Limits,
) -> WindowStep:
    """Return what each car of a zone is told.

    Args:
        target: Net export wanted of all these cars, slot by slot from ``now`` on.
        following: The cars that are counted on.
        others: Those that do not do what they are told.
        others_kw: What those move, by their meters. [kW, export positive]
        now: Domain instant.
        limits: Of homes, cars and set-points.
    """
    guard_soc, rooms = limits.guard_soc, limits.rooms
    rest = replace(target, export_kw=tuple(kw - others_kw for kw in target.export_kw))
    served = _split_as_held(rest, following, now, limits)
    probe_kw = {view.car.car_id: max(PROBE_KW, view.car.charger.min_kw) for view in others}
    probe, asked_kw = target, target.direction.sign * sum(probe_kw.values())
    if is_to_draw(target):
        probe = replace(target, direction=Direction.DOWN)
        asked_kw = -sum(limits.meant_kw.get(name, 0.0) for name in probe_kw)
    probe = replace(probe, export_kw=(asked_kw,) * len(target.slots))
    served_kw = served.export_kw
    left = _left(rooms, served_kw, following)
    probed = split_zone(probe, others, now, guard_soc, left, probe_kw)
    serving = target.opportunity_ids[0]
    expires = gives_until = now + limits.most
    if serving is not None:  # what is only nominated, or charged, runs on until the next cycle says otherwise
        gives_until = min(expires, _ordered_until(target))
    views = {view.car.car_id: view for view in (*following, *others)}
    must, points = served.must_charge | probed.must_charge, []
    for car_id, kw in (served_kw | probed.export_kw).items():
        presses = kw < 0 and car_id in must
        purpose = Purpose.MUST_CHARGE if presses else Purpose.INSTRUCTION if serving else Purpose.PLAN
        watts = _told_watts(kw, views[car_id], now, rooms)
        until, serves = (gives_until, serving) if watts > 0 else (expires, None)
        points.append(SetPoint(car_id, watts, now, until, purpose, serves))
    short_kwh = served.short_of_target_kwh | probed.short_of_target_kwh
    return WindowStep(tuple(points), short_kwh, served.missing_kwh)


def _split_as_held(target: ZoneTarget, views: Sequence[CarView], now: datetime, limits: Limits) -> ZoneSplit:
    """Return the split by which cars do together what is wanted as their chargers hold it.

    One that must charge, but less than its charger can hold, draws more than its part, and one below its
    floor all it can: the others make up.
    """
    cars, found = {view.car.car_id: view for view in views}, []
    wanted_kw, asked_kw = target.export_kw[0], target.export_kw[0]
    for _ in range(AS_HELD):
        asked = replace(target, export_kw=(asked_kw, *target.export_kw[1:]))
        served = split_zone(asked, views, now, limits.guard_soc, limits.rooms, meant_kw=limits.meant_kw)
        told_kw = sum(served.export_kw.values())
        held_w = [_told_watts(kw, cars[name], now, limits.rooms) for name, kw in served.export_kw.items()]
        held_kw = sum(held_w) / W_PER_KW
        found.append((abs(held_kw - wanted_kw), served))
        before_kw, asked_kw = asked_kw, wanted_kw + told_kw - held_kw
        if abs(asked_kw - before_kw) <= len(cars) / W_PER_KW:
            break
    return min(found, key=lambda one: one[0])[1]


def _ordered_until(target: ZoneTarget) -> datetime:
    """Return when the running order ends, and those that follow on it at once: cars go on for these."""
    slots = zip(target.slots, target.opportunity_ids, strict=True)
    ordered = itertools.takewhile(lambda one: one[1] is not None, slots)
    return max(slot.end for slot, _ in ordered)


def less(target: ZoneTarget, drawn_kw: float) -> ZoneTarget:
    """Ask the others for what cars at full power draw as well: the target is the zone's net export."""
    return replace(target, export_kw=tuple(kw + drawn_kw for kw in target.export_kw))


def _told_watts(kw: float, view: CarView, now: datetime, rooms: Mapping[str, Room]) -> int:
    """Return what a car is told: below its floor all that it and its home may draw, not a slot's average."""
    if kw < 0 and view.energy_kwh(now) < view.floor_kwh:
        return -int(min(view.full_kw, rooms[view.car.site.site_id].import_kw) * W_PER_KW)
    return held_watts(kw, view.car)


def held_watts(kw: float, car: Car) -> int:
    """Return whole watts, towards nothing: a set-point never asks for more than was split.

    Charging less than its charger can hold would be no charging at all, and its driver's loss: such a car
    charges a little faster and is done a little sooner. One that would give less gives nothing.
    """
    watts, least_w = int(abs(kw) * W_PER_KW), car.charger.min_w
    if kw < 0:
        return -max(watts, min(least_w, int(car.charger.charge_kw * W_PER_KW)))
    if watts + 1 == least_w and kw * W_PER_KW > least_w - ROUNDED_W:
        return least_w
    return watts if watts >= least_w else 0


def _left(
    rooms: Mapping[str, Room], export_kw: Mapping[str, float], views: Sequence[CarView]
) -> Mapping[str, Room]:
    """Return what cars leave of their homes' rooms: neither way does one relieve another."""
    left = dict(rooms)
    for view in views:
        kw, room = export_kw[view.car.car_id], left[view.car.site.site_id]
        left[view.car.site.site_id] = replace(
            room,
            export_kw=max(0.0, room.export_kw - max(0.0, kw)),
            import_kw=max(0.0, room.import_kw - max(0.0, -kw)),
        )
    return left
