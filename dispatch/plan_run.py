"""Cars that no window holds follow their own base plan: what each does in the running half-hour.

The plan is made anew whenever a car comes, leaves or changes its driver's will, and at each half-hour, from
what the cars report: charging in the cheapest half-hours that meet floor and target, none in red ones when
avoidable, discharge in the peak where it pays.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from aggregator.energy import BasePlan, CarArrays, Stay, Tariff, base_plan
from aggregator.model.fleet import Site
from aggregator.model.time import HALF_HOUR, HOUR, Interval, floor_half_hour, half_hours
from dispatch.fleet_view import CarView
from dispatch.haste import missed_kwh
from dispatch.home_rooms import Room

HORIZON = timedelta(hours=30)

READY_BEFORE = timedelta(minutes=15)
"""Cars are planned to be ready this long before their drivers come, and then give nothing more."""

MISSED_KWH = 0.01
"""What a car may miss before it has no time to lose. [kWh]"""

SLOWER_THAN_STATED = 1.1
"""A charger left alone starts earlier by this factor: capacity and efficiency are not quite known."""

MOMENTS = timedelta(minutes=2)
"""So late may a half-hour's cycle be, and its slots still have that half-hour's price."""

Prices = Callable[[str, Sequence[Interval]], Tariff]


@dataclass(frozen=True, slots=True)
class PlanStep:
    """What a car does until the running half-hour ends.

    Attributes:
        export_kw: Positive from car to grid. [kW]
        short_kwh: By how much it will miss its target even so. [kWh]
        must_charge: Whether it has no time to lose, for its target or its floor: the bound on power moved
            does not hold it.
    """

    export_kw: float
    short_kwh: float
    must_charge: bool = False


def slots_from(now: datetime) -> tuple[Interval, ...]:
    """Return the slots of a plan, which counts from now in half-hours."""
    return tuple(
        Interval(now + n * HALF_HOUR, now + (n + 1) * HALF_HOUR) for n in range(HORIZON // HALF_HOUR)
    )


def priced(slots: Sequence[Interval]) -> tuple[Interval, ...]:
    """Return what of slots their prices are for.

    Of the first that is what is left of its half-hour, as all is planned anew when that ends; of the others
    not the moments by which a late cycle's reach beyond.
    """
    first, *rest = slots
    ends = [(one.end, floor_half_hour(one.end)) for one in rest]
    return (
        Interval(first.start, floor_half_hour(first.start) + HALF_HOUR),
        *(
            Interval(one.start, half_hour if end - half_hour < MOMENTS else end)
            for one, (end, half_hour) in zip(rest, ends, strict=True)
        ),
    )


def plan_zone(
    views: Sequence[CarView],
    slots: Sequence[Interval],
    tariff: Tariff,
    guard_soc: float,
    rooms: Mapping[str, Room],
    boosted: Sequence[CarView] = (),
) -> dict[str, PlanStep]:
    """Return the running half-hour's step of each car's base plan.

    Args:
        views: Plugged cars of a zone.
        slots: As from ``slots_from``, at least one.
        tariff: Of the zone and the slots.
        guard_soc: Planned for above the driver's target, as reports are coarse; a fraction of capacity.
        rooms: What the cars' homes leave to them now, by site.
        boosted: Cars of the same homes whose drivers have switched V2G off: the fuse is theirs first.
    """
    now = slots[0].start
    plan = planned(views, slots, tariff, guard_soc, [view.energy_kwh(now) for view in views])
    steps, homes, late = {}, defaultdict(list), set()
    for n, view in enumerate(views):
        export_kw = float(plan.discharge_kw[n, 0] - plan.charge_kw[n, 0])
        over_kwh = aim_kwh(view, guard_soc) - view.target_kwh()
        short_kwh = float(plan.short_of_target_kwh[n]) - over_kwh
        below_floor = view.energy_kwh(now) < view.floor_kwh
        if below_floor:
            export_kw = -view.full_kw
        elif view.resting or view.departs_at(now) - now <= READY_BEFORE:
            export_kw = min(export_kw, 0.0)
        steps[view.car.car_id] = PlanStep(
            export_kw=export_kw,
            short_kwh=min(short_kwh, view.short_kwh(now)),  # to the minute, not slot
            must_charge=short_kwh > MISSED_KWH or below_floor,
        )
        if short_kwh > MISSED_KWH:
            late.add(view.car.site.site_id)
        homes[view.car.site.site_id].append(view)
    mates: dict[str, list[CarView]] = defaultdict(list)
    for view in boosted:
        mates[view.car.site.site_id].append(view)
    for site_id, here in homes.items():
        together = [*here, *mates[site_id]]
        until = max(view.departs_at(now) for view in together)
        room_kw = room_ahead_kw(here[0].car.site, rooms[site_id], now, until)
        if len(together) > 1 and sum(view.full_kw for view in together) > room_kw:
            asks = site_id in late or mates[site_id]
            missed = missed_kwh(together, room_kw, now) if asks else {}
            if site_id in late or any(missed.get(view.car.car_id, 0.0) > MISSED_KWH for view in here):
                steps |= _pressing(here, missed, now, guard_soc)
    return steps


def room_ahead_kw(site: Site, room: Room, now: datetime, until: datetime) -> float:
    """Return what a home's fuse leaves to its cars on the way to an instant, on average. [kW]

    As it is now, where nobody stated otherwise: a house that cooks does not do so all night.
    """
    if not site.boundary_meter or not site.house_load_kw:
        return room.import_kw
    ahead = [site.planned_import_kw(one) for one in half_hours(Interval(now, max(until, now + HALF_HOUR)))]
    return sum(ahead) / len(ahead)


def _pressing(
    views: Sequence[CarView], missed_kwh: Mapping[str, float], now: datetime, guard_soc: float
) -> dict[str, PlanStep]:
    """Return the steps of a home that has no time to lose: all that are not full share its fuse by haste."""
    return {
        view.car.car_id: PlanStep(-view.full_kw, missed_kwh[view.car.car_id], must_charge=True)
        for view in views
        if view.energy_kwh(now) < aim_kwh(view, guard_soc)
    }


def planned(
    views: Sequence[CarView],
    slots: Sequence[Interval],
    tariff: Tariff,
    guard_soc: float,
    energy_kwh: Sequence[float],
) -> BasePlan:
    """Return the base plan of plugged cars.

    Args:
        views: The cars.
        slots: Half-hours; the first begins it.
        tariff: Of the slots.
        guard_soc: As in ``plan_zone``.
        energy_kwh: Stored in each car as the first slot begins. [kWh]
    """
    begins_at = slots[0].start
    departs = [view.departs_at(begins_at) for view in views]
    stay = Stay(
        np.zeros(len(views), dtype=np.int64),
        np.array([max(1, (at - READY_BEFORE - begins_at) // HALF_HOUR) for at in departs], dtype=np.int64),
        np.array([min(kwh, view.car.capacity_kwh) for kwh, view in zip(energy_kwh, views, strict=True)]),
        np.array([aim_kwh(view, guard_soc) for view in views]),
    )
    cars = CarArrays.of([view.planned_car for view in views], *(slot.start for slot in slots), slots[-1].end)
    return base_plan(cars, stay, tariff, HALF_HOUR / HOUR)


def charges_from(view: CarView, now: datetime, share: float = 1.0) -> datetime:
    """Return when a charger left alone from now on must begin to charge to reach its driver's target.

    One that its driver boosts begins at once: it may be the door that was told, not the charger.

    Args:
        view: Its car.
        now: Domain instant.
        share: Of full power, at which it charges by itself; above 0.
    """
    if view.is_boosted():
        return now
    hours = view.charging_hours(now) * SLOWER_THAN_STATED / share
    return view.departs_at(now) - READY_BEFORE - hours * HOUR


def aim_kwh(view: CarView, guard_soc: float) -> float:
    """Return what a plan charges a car to: its target, and the guard on top of it. [kWh]"""
    return min(view.car.capacity_kwh, view.target_kwh() + guard_soc * view.car.capacity_kwh)
