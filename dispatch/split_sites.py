"""What must-charge cars get: first up to the floor, then towards the target, within each site's import room.

A site's room goes to the cars below their floor first, then to the earliest departure. Room is what
the house leaves of the import limit; towards the target (not the floor) a car that exports beside it
makes more, because reaching a target outranks any request.
"""

from dataclasses import replace

import numpy as np

from dispatch.split_fleet import Fleet
from dispatch.split_lp import most_for
from dispatch.split_problem import BoolArray, FloatArray, IntArray
from dispatch.split_units import Units, import_bound

_FULL_KWH = 1e-9
_SEARCHED_KWH = 1e-9
"""What a search over least powers may be wrong by: promises that rest on one leave as much."""


def charge_first(fleet: Fleet) -> FloatArray:
    """Return what each car below its floor takes in each slot until it is there, shape (cars, slots). [kWh]

    Every such car takes all that its own power and its site allow in each slot; in the slot in which it
    reaches the floor, what is missing. The earlier departure goes first at a shared site.
    """
    first = np.zeros_like(fleet.charge_kwh)
    room = fleet.import_room_kwh.copy()
    for cars in _turns(fleet):
        left, full = fleet.gap_kwh[cars].copy(), fleet.headroom_kwh[cars].copy()
        for slot in range(fleet.hours.size):
            least = fleet.least_kwh[cars, slot]
            allowed = np.minimum(np.minimum(fleet.charge_kwh[cars, slot], room[fleet.site[cars], slot]), full)
            take = np.where(left > 0, np.minimum(allowed, np.maximum(left, least)), 0.0)
            take = np.where(take < least, 0.0, take)
            first[cars, slot] = take
            room[fleet.site[cars], slot] -= take
            left, full = np.maximum(0.0, left - take), full - take
    return first


def reach(fleet: Fleet, units: Units) -> FloatArray:
    """Return what each must-charge car gets over the event, at most what it owes, shape (cars,). [kWh]

    Only where a site's room or a charger's least power stands between a car and full power is a
    program needed: there the earliest departure gets the most it can have, then the next.
    """
    total = np.where(fleet.must, np.minimum(fleet.owed_kwh, units.high_kwh.sum(axis=1)), 0.0)
    hard = import_bound(fleet, units)[fleet.site] | ~_any_total(units, total)
    for site in np.unique(fleet.site[fleet.must & hard]):
        cars = np.flatnonzero(fleet.site == site)
        total[cars] = _share(fleet, units.at(cars), cars, total[cars])
    return total


def _any_total(units: Units, wish_kwh: FloatArray) -> BoolArray:
    """Return the units whose least power surely leaves room for the total they owe."""
    none = (units.least_kwh == 0).all(axis=1)
    wide = ((units.high_kwh >= 2 * units.least_kwh) | (units.high_kwh == 0)).all(axis=1)
    from_0 = (units.low_kwh == 0).all(axis=1) & (wish_kwh >= units.least_kwh.max(axis=1))
    sure: BoolArray = none | (wide & from_0)
    return sure


def _share(fleet: Fleet, units: Units, cars: IntArray, wish_kwh: FloatArray) -> FloatArray:
    rooms = (fleet.import_room_kwh, fleet.export_room_kwh)
    musts = [row for row in np.argsort(fleet.rank[cars]) if fleet.must[cars[row]]]
    sunny = (rooms[1][units.site] < 0).any()
    all_kwh = replace(units, total_low_kwh=wish_kwh)
    if not sunny and most_for(all_kwh, rooms, musts[0]) is not None:
        return wish_kwh
    got = np.zeros(cars.size)
    spare_kwh = _SEARCHED_KWH if (units.least_kwh > 0).any() else 0.0
    for row in musts:
        most = most_for(replace(units, total_low_kwh=got), rooms, row)
        if most is None:
            raise RuntimeError(f"split: what car {cars[row]} was promised at its site can't be kept")
        reached = most >= wish_kwh[row] - _FULL_KWH
        got[row] = max(0.0, (wish_kwh[row] if reached else most) - spare_kwh)
    return got


def _turns(fleet: Fleet) -> list[IntArray]:
    """Return the cars below their floor in turns: in each turn at most one car of a site."""
    below = np.flatnonzero(fleet.gap_kwh > 0)
    below = below[np.argsort(fleet.rank[below])]
    turns: list[list[int]] = []
    seen: dict[int, int] = {}
    for car in below:
        turn = seen.get(int(fleet.site[car]), 0)
        seen[int(fleet.site[car])] = turn + 1
        if turn == len(turns):
            turns.append([])
        turns[turn].append(int(car))
    return [np.array(turn, dtype=np.intp) for turn in turns]
