"""Cars whose plans overload a site's connection: what each does so that all stay within its room (P4).

What is urgent, charging to the floor, shares the room first. The rest is the joint optimum (`joint`), some
dozens of cars at a time, which costs least. Each car then plans alone within what it was granted: that keeps
its cost, and brings the rules that a linear programme does not know (full power throughout for who comes too
late, even discharge). Where charging slows down near full, it keeps to the very slots of the programme: more
room in others is no more power there.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from aggregator.energy.alone import Bounds, Scene, Trades, alone, due, full_power, until_floor
from aggregator.energy.cars import BoolArray, IntArray
from aggregator.energy.joint import least_cost
from aggregator.energy.rooms import share_room

TOGETHER = 40
"""Cars solved together, or one site's where it has more."""
SAME_KWH = 1e-6


def together(scene: Scene) -> Trades:
    """Return the trades of all cars of crowded sites, within the room of their sites.

    Cars that sold what they could not buy back in time, as they slow down near full, do not sell.
    """
    trades = _together(scene)
    late = _take_less(scene, trades)
    homes = np.bincount(scene.cars.site, late, len(scene.cars.import_room_kw)) > 0.0
    rows = np.flatnonzero(homes[scene.cars.site])
    if rows.size:
        part = scene.at(rows)
        unsold = replace(part, cars=replace(part.cars, discharge_kw=np.zeros(rows.size)))
        own = _together(unsold)
        _take_less(unsold, own)
        trades.put(rows, own)
    return trades


def _together(scene: Scene) -> Trades:
    full = full_power(scene)
    site, hours = scene.cars.site, scene.slot_hours
    import_kwh, export_kwh = scene.cars.import_room_kw * hours, scene.cars.export_room_kw * hours
    urgent_kwh = share_room([until_floor(scene, full)], site, import_kwh)
    drawn_kwh, given_kwh = np.zeros_like(urgent_kwh), np.zeros_like(urgent_kwh)
    for rows in whole_sites(site, TOGETHER):
        drawn_kwh[rows], given_kwh[rows] = least_cost(scene.at(rows), urgent_kwh[rows])
    best_kwh, most_kwh = urgent_kwh + drawn_kwh, full.charge_kwh
    if scene.cars.tapers is not None:
        most_kwh = np.where(drawn_kwh.any(axis=1, keepdims=True), best_kwh, most_kwh)
    granted = Bounds(
        share_room([urgent_kwh, best_kwh, most_kwh], site, import_kwh),
        share_room([given_kwh, full.discharge_kwh], site, export_kwh),
    )
    return alone(scene, granted)


def _take_less(scene: Scene, trades: Trades) -> BoolArray:
    """Take off, in place, what batteries don't take even at full power; return whose it is, shape (cars,)."""
    cars, end_kwh = scene.cars, scene.stay.energy_kwh
    if cars.tapers is None:
        return np.zeros(cars.count, dtype=np.bool_)
    full_kw = np.minimum(cars.charge_kw, cars.import_room_kw[cars.site])
    effort_kwh = cars.eta_charge * full_kw * scene.slot_hours
    lost_kwh = np.zeros(cars.count)
    for slot in range(scene.tariff.slots):
        left_kwh = end_kwh - trades.given_kwh[:, slot] / cars.eta_discharge
        most_kwh = cars.tapers.energy_kwh(cars.tapers.effort_kwh(left_kwh) + effort_kwh) - left_kwh
        asked_kwh = cars.eta_charge * trades.drawn_kwh[:, slot]
        taken_kwh = np.minimum(asked_kwh, np.maximum(0.0, most_kwh))
        trades.drawn_kwh[:, slot] = taken_kwh / cars.eta_charge
        lost_kwh += asked_kwh - taken_kwh
        end_kwh = left_kwh + taken_kwh
    less = lost_kwh > SAME_KWH
    trades.short_kwh[less] = np.maximum(0.0, due(scene)[0] - end_kwh)[less]
    return np.asarray(less)


def whole_sites(site: IntArray, size: int) -> Iterator[IntArray]:
    """Yield the cars of some sites at a time, about ``size`` of them, none of its sites in parts."""
    order = np.argsort(site, kind="stable")
    ends = np.flatnonzero(np.diff(site[order], append=-1))  # last car of each site
    start = 0
    while start < len(order):
        end = ends[min(int(np.searchsorted(ends, start + size - 1)), len(ends) - 1)] + 1
        yield order[start:end]
        start = end
