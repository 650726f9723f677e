"""What must-charge cars get: first up to the floor, then towards the target, within each site's import room.

A site's room goes to the cars below their floor first, then to the earliest departure. Room is what
the house leaves of the import limit, whatever other cars export beside it: what is owed to a driver must
not hang on another driver's car.
"""

from dataclasses import replace

import numpy as np

from dispatch.split_cars import FloatArray, IntArray
from dispatch.split_fleet import Fleet
from dispatch.split_lp import Rooms, most_for
from dispatch.split_problem import MET_WITHIN_KWH
from dispatch.split_units import Units, import_bound

_FULL_KWH = 1e-9


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
            allowed = np.minimum(np.minimum(fleet.charge_kwh[cars, slot], room[fleet.site[cars], slot]), full)
            take = np.minimum(allowed, left)
            first[cars, slot] = take
            room[fleet.site[cars], slot] -= take
            left, full = np.maximum(0.0, left - take), full - take
    return first


def reach(fleet: Fleet, units: Units) -> FloatArray:
    """Return what each must-charge car gets over the event, at most what it owes, shape (cars,). [kWh]

    Only where a site's room stands between a car and full power is a program needed: there the earliest
    departure gets the most it can have, then the next.
    """
    total = np.where(fleet.must, np.minimum(fleet.owed_kwh, units.high_kwh.sum(axis=1)), 0.0)
    tight = import_bound(fleet, units)[fleet.site]
    for site in np.unique(fleet.site[fleet.must & tight]):
        cars = np.flatnonzero(fleet.must & (fleet.site == site))
        total[cars] = _share(fleet, units.at(cars), cars, total[cars])
    return total


def _share(fleet: Fleet, units: Units, cars: IntArray, wish_kwh: FloatArray) -> FloatArray:
    nobody_gives = np.zeros(len(fleet.import_room_kwh), bool)
    rooms = Rooms(fleet.import_room_kwh, fleet.export_room_kwh, nobody_gives)
    in_turn = np.argsort(fleet.rank[cars])
    sunny = (fleet.export_room_kwh[units.site] < 0).any()
    all_kwh = replace(units, total_low_kwh=wish_kwh)
    if not sunny and most_for(all_kwh, rooms, in_turn[0]) is not None:
        return wish_kwh
    got = np.zeros(cars.size)
    for row in in_turn[wish_kwh[in_turn] > MET_WITHIN_KWH]:
        most = most_for(replace(units, total_low_kwh=got), rooms, row)
        if most is None:
            raise RuntimeError(f"split: what car {cars[row]} was promised at its site can't be kept")
        got[row] = wish_kwh[row] if most >= wish_kwh[row] - _FULL_KWH else most
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
