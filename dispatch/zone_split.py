"""One zone in one window: from its target and its cars to a set-point for every car in the running slot."""

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from aggregator.model.fleet import Site
from aggregator.model.market import Direction
from aggregator.model.time import HOUR
from aggregator.ports import ZoneTarget
from dispatch.fleet_view import CarView, fuse_shares
from dispatch.haste import missed_kwh
from dispatch.home_rooms import Room, cautious_room
from dispatch.plan_run import room_ahead_kw
from dispatch.split import Cars, Sites, SplitCar, SplitProblem, SplitSite, split
from dispatch.split_steady import steadied

SETTLED_KWH = 1e-9
SETTLED_KW = 1e-6
UNMEASURED: Mapping[str, Room] = {}
NOTHING_MEANT: Mapping[str, float] = {}


@dataclass(frozen=True, slots=True)
class ZoneSplit:
    """The running slot's set-points, those to come as it looks now, and what the whole window misses.

    Attributes:
        slots_kw: Per car id and slot, positive from car to grid; only the running one's is told. [kW]
        missing_kwh: Missing from the target, slot by slot until the window's end.
        short_of_target_kwh: Per car that will miss its driver's target: by how much. [kWh]
        must_charge: Cars that only charge, for floor or target; others may as far as more import is wanted.
    """

    slots_kw: Mapping[str, Sequence[float]]
    missing_kwh: Sequence[float]
    short_of_target_kwh: dict[str, float]
    must_charge: Set[str]

    @property
    def shortfall_kwh(self) -> float:
        """Missing from the target until the window's end. [kWh]"""
        return sum(self.missing_kwh)

    @property
    def export_kw(self) -> dict[str, float]:
        """Per car id what it is told in the running slot. [kW, positive from car to grid]"""
        return {name: levels[0] for name, levels in self.slots_kw.items()}


def split_zone(
    target: ZoneTarget,
    views: Sequence[CarView],
    now: datetime,
    guard_soc: float,
    rooms: Mapping[str, Room] = UNMEASURED,
    most_kw: Mapping[str, float] | None = None,
    meant_kw: Mapping[str, float] = NOTHING_MEANT,
) -> ZoneSplit:
    """Split a zone's target over its plugged, fresh, unboosted cars.

    What a car needs for its departure is kept with the guard on top, where the target is met all the same.
    Where it is not, only what is not known of the car's charge is kept on top: bids count on the rest (P11).
    Where the zone is to draw less than was nominated, but still to draw, cars charge as they meant to, as far
    as that: else an order for a little more export would end all charging of a cheap night.

    Args:
        target: Net export wanted per slot, from ``now`` on; boosted and stale cars must already be
            taken out of it by the caller.
        views: The cars that take part, all plugged in.
        now: Domain instant; the first slot starts here.
        guard_soc: Kept above the floor, and above what departure needs where it can be; a fraction.
        rooms: What the cars' homes leave to them in the running slot, by site; what nothing is known of
            goes by the cautious rule.
        most_kw: Most that a car is asked to give, for cars of which less is asked than they can. [kW]
        meant_kw: What cars would draw by their own plans now. [kW]
    """
    if not views:
        return ZoneSplit({}, _missing_kwh(target, [0.0] * len(target.slots)), {}, frozenset())
    found = _split(target, views, now, guard_soc, rooms, most_kw or {}, margin_soc=guard_soc)
    if found.shortfall_kwh > SETTLED_KWH:
        closer = _split(target, views, now, guard_soc, rooms, most_kw or {}, margin_soc=0.0)
        found = min(found, closer, key=lambda one: one.shortfall_kwh)
    drawn_too_little = sum(found.export_kw.values()) > target.export_kw[0] + SETTLED_KW
    if meant_kw and is_to_draw(target) and drawn_too_little:
        return _drawing(found, target, views, now, guard_soc, rooms, meant_kw)
    return found


def is_to_draw(target: ZoneTarget) -> bool:
    """Whether a zone is to draw on balance now, though it is more export that is asked for."""
    return target.direction is Direction.UP and target.export_kw[0] < 0


def _drawing(
    found: ZoneSplit,
    target: ZoneTarget,
    views: Sequence[CarView],
    now: datetime,
    guard_soc: float,
    rooms: Mapping[str, Room],
    meant_kw: Mapping[str, float],
) -> ZoneSplit:
    """Return a split by which cars draw in the running slot what they meant to, as far as the target."""
    running = replace(
        target,
        slots=target.slots[:1],
        export_kw=target.export_kw[:1],
        opportunity_ids=target.opportunity_ids[:1],
        direction=Direction.DOWN,
    )
    now_kw = _split(running, views, now, guard_soc, rooms, {}, meant_kw, margin_soc=0.0).export_kw
    slots_kw = {name: (now_kw[name], *levels[1:]) for name, levels in found.slots_kw.items()}
    return replace(found, slots_kw=slots_kw)


def _split(
    target: ZoneTarget,
    views: Sequence[CarView],
    now: datetime,
    guard_soc: float,
    rooms: Mapping[str, Room],
    most_kw: Mapping[str, float],
    meant_kw: Mapping[str, float] = NOTHING_MEANT,
    *,
    margin_soc: float,
) -> ZoneSplit:
    rows = {view.car.site.site_id: view.car.site for view in views}
    now_kw = {name: rooms.get(name) or cautious_room(site, target.slots[0]) for name, site in rows.items()}
    share = fuse_shares(views)
    cars = [
        _split_car(
            view,
            target,
            now,
            guard_soc,
            most_kw.get(view.car.car_id),
            margin_soc,
            share[view.car.site.site_id],
        )
        for view in views
    ]
    must = {car.id for car in cars if car.energy_kwh < max(car.floor_kwh, car.target_kwh) - SETTLED_KWH}
    if meant_kw:
        cars = [car if car.id in must else replace(car, charge_kw=meant_kw.get(car.id, 0.0)) for car in cars]
    drawing = {car.site for car in cars if car.id in must}
    homes = {
        name: _split_site(site, target, now_kw[name], draws=name in drawing) for name, site in rows.items()
    }
    sites = Sites.of(homes, len(target.slots))
    problem = SplitProblem(
        id=target.zone,
        slot_hours=tuple(slot.hours for slot in target.slots),
        eta_charge=min(view.car.charger.eta_charge for view in views),
        eta_discharge=min(view.car.charger.eta_discharge for view in views),
        cars=Cars.of(_without_netting(cars, must, homes), sites),
        sites=sites,
        request_kw=target.export_kw,
        direction=target.direction,
    )
    present_kw = np.array([view.present_kw(now) for view in views])
    result = split(problem, present_kw)
    steady_kw = steadied(problem, result.export_kw, present_kw)
    slots_kw = dict(zip(result.car_ids, steady_kw.tolist(), strict=True))
    missed = _missed_kwh(result.short_of_target_kwh, views, now_kw, now)
    missing_kwh = _missing_kwh(target, result.export_kw.sum(axis=0).tolist())
    return ZoneSplit(slots_kw, missing_kwh, missed, must)


def _missing_kwh(target: ZoneTarget, export_kw: Sequence[float]) -> list[float]:
    """Return what is missing from a target where so much is exported, slot by slot. [kWh]"""
    rows = zip(target.slots, target.export_kw, export_kw, strict=True)
    return [max(0.0, target.direction.sign * (asked - kw)) * slot.hours for slot, asked, kw in rows]


def _missed_kwh(
    short_kwh: Mapping[str, float], views: Sequence[CarView], rooms: Mapping[str, Room], now: datetime
) -> dict[str, float]:
    """Return what will be missed of drivers' targets, of what a window leaves cars short of.

    A floor that is not reached within the window is no target missed, nor is what its home's cars can still
    make up for.
    """
    homes: dict[str, list[CarView]] = defaultdict(list)
    for view in views if short_kwh else ():
        homes[view.car.site.site_id].append(view)
    missed: dict[str, float] = {}
    for site_id, together in homes.items():
        if any(view.car.car_id in short_kwh for view in together):
            until = max(view.departs_at(now) for view in together)
            room_kw = room_ahead_kw(together[0].car.site, rooms[site_id], now, until)
            missed |= missed_kwh(together, room_kw, now)
    found = {name: min(kwh, missed[name]) for name, kwh in short_kwh.items()}
    return {name: kwh for name, kwh in found.items() if kwh > 0}


def _split_car(
    view: CarView,
    target: ZoneTarget,
    now: datetime,
    guard_soc: float,
    most_kw: float | None,
    margin_soc: float,
    share: float,
) -> SplitCar:
    """Return the car with its need at the window's end in place of its target at departure.

    So that the slots after the window need no common length: a car that leaves later only has to hold
    what its share of full power can still turn into its target, pro rata where all of its home's cars
    together are more than the fuse carries.
    """
    car = view.car
    charger = car.charger
    end = target.slots[-1].end
    departs_at = view.departs_at(now)
    stays = max(1, sum(1 for slot in target.slots if slot.end <= departs_at))
    hours_after = max(0.0, (departs_at - end) / HOUR)
    energy = min(view.energy_kwh(now), car.capacity_kwh)
    floor = view.floor_kwh
    need = max(floor, view.least_kwh(hours_after, share))
    guard = max(guard_soc, view.doubt_soc) * car.capacity_kwh
    can_export = not view.resting and not view.is_late(now)
    # the margin over the need is never a reason to charge
    most = max(margin_soc, view.doubt_soc) * car.capacity_kwh
    margin = max(0.0, min(most, energy - need)) if energy - need > SETTLED_KWH else 0.0
    discharge_kw = charger.discharge_kw if can_export else 0.0
    if most_kw is not None and target.direction is Direction.UP:
        discharge_kw = min(discharge_kw, most_kw)
    return SplitCar(
        id=car.car_id,
        site=car.site.site_id,
        capacity_kwh=car.capacity_kwh,
        floor_kwh=floor,
        max_kwh=car.capacity_kwh,
        energy_kwh=energy,
        charge_kw=charger.charge_kw,
        discharge_kw=discharge_kw,
        depart_slot=stays,
        target_kwh=min(car.capacity_kwh, need + margin),
        min_kw=charger.min_kw,
        guard_kwh=guard,
    )


def _split_site(site: Site, target: ZoneTarget, room: Room, *, draws: bool) -> SplitSite:
    """Return the home's limits: as it is in the running slot, by what plans count on in the later ones.

    What the house is to draw later counts where some car must charge: there it is a base load below that of
    the slot with the least room, which alone is the limit.
    """
    export_kw = [room.export_kw, *(site.planned_room_kw(slot) for slot in target.slots[1:])]
    import_kw = [room.import_kw, *(site.planned_import_kw(slot) for slot in target.slots[1:])]
    lowest_kw = min(import_kw)
    if not draws or lowest_kw >= room.import_kw:
        return SplitSite(room.export_kw, room.import_kw, export_limits_kw=tuple(export_kw))
    base_kw = [lowest_kw - kw for kw in import_kw]
    limits_kw = [kw - base for kw, base in zip(export_kw, base_kw, strict=True)]
    return SplitSite(limits_kw[0], lowest_kw, tuple(base_kw), tuple(limits_kw))


def _without_netting(
    cars: Sequence[SplitCar], must: Set[str], homes: Mapping[str, SplitSite]
) -> list[SplitCar]:
    """Return the cars so that those of a home keep within its room even if one that charges there stops.

    Pro rata, and only where a car must charge: the split itself would let one car feed the other (P4).
    """
    charging = {car.site for car in cars if car.id in must}
    asked: dict[str, float] = defaultdict(float)
    for car in cars:
        asked[car.site] += 0.0 if car.id in must else car.discharge_kw
    room_kw = {site: homes[site].export_limit_kw + sum(homes[site].base_load_kw[:1]) for site in charging}
    over = {site for site in charging if asked[site] > room_kw[site]}
    share = {site: room_kw[site] / asked[site] for site in over}
    return [replace(car, discharge_kw=car.discharge_kw * share.get(car.site, 1.0)) for car in cars]
