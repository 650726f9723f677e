"""Large fleets at homes whose connection binds: who has a part of its room to itself, and who must share it.

Cars of one home that are there in the same slots, under a room that is always the same, lose nothing by fixed
parts of it: by energy, nobody above its own power. Then those with less than their power have one time-to-go
and the others a longer one, so that together they serve any set of slots as well as the home can (the sums
of ``min(energy, power * hours)`` are the same): each is split as a car alone, with less power.
"""

from dataclasses import dataclass

import numpy as np

from dispatch.split_cars import FloatArray, IntArray, summed
from dispatch.split_duty import Duty
from dispatch.split_problem import SplitProblem

_SAME_KW = 1e-12
_NOTHING_KW = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Sharing:
    """Who moves by itself, and who shares a room with others or has one that changes.

    Attributes:
        free_kw: Power of the free cars that others can't disturb, 0 for all others, shape (cars,).
        must_kw: Power of the must-charge cars that others can't disturb, 0 for all others, shape (cars,).
        bound_free: Rows of the other free cars.
        bound_must: Rows of the other must-charge cars.
    """

    free_kw: FloatArray
    must_kw: FloatArray
    bound_free: IntArray
    bound_must: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class _Wish:
    """What cars would move if nobody else were there, shape (cars,).

    Attributes:
        site: Of each.
        power_kw: 0 for those that it is not about.
        energy_kwh: Above 0 where the power is.
        alike: The same for cars that may have parts of one room.
    """

    site: IntArray
    power_kw: FloatArray
    energy_kwh: FloatArray
    alike: IntArray


def sharing_of(problem: SplitProblem, duty: Duty) -> Sharing:
    """Return which cars' sites bind, whatever the others do.

    Cars that must charge go by departure, fleets with least powers by turns: they have no parts here.
    """
    cars, up = problem.cars, problem.way > 0
    here = duty.end > duty.start
    energy = duty.exportable_kwh if up else duty.headroom_kwh
    least_kwh = cars.min_kw * min(problem.slot_hours) if up else 0.0
    gives = here & ~duty.must & (energy > 0) & (energy >= least_kwh)
    rated_kw = cars.discharge_kw if up else cars.charge_kw
    free_kw = rated_kw * (gives & (rated_kw > _NOTHING_KW))
    beside_kw = np.zeros(problem.sites.count)
    must_kw = takes_kw = np.zeros(cars.count)
    few = np.flatnonzero(duty.must & (cars.charge_kw > _NOTHING_KW))
    takes_kw[few] = cars.charge_kw[few]
    bound_must = np.zeros(0, np.intp)
    import_kw = problem.import_room_kw() if not up or duty.must.any() else beside_kw[:, None]
    if duty.must.any():
        owed = _Wish(cars.site, takes_kw, duty.owed_kwh, np.arange(cars.count))
        must_kw, bound_must = _parted(owed, import_kw, beside_kw, takes_kw)
        beside_kw = summed(cars.site, takes_kw, problem.sites.count)
    room_kw = np.maximum(0.0, problem.export_room_kw()) if up else import_kw
    asked_kw = free_kw if up else free_kw + takes_kw
    window = duty.start * (len(problem.slot_hours) + 1) + duty.end
    by_turns = up and bool(cars.min_kw.any())
    wish = _Wish(cars.site, free_kw, energy, np.arange(cars.count) if by_turns else window)
    free_kw, bound_free = _parted(wish, room_kw, beside_kw, asked_kw)
    return Sharing(free_kw, must_kw, bound_free, bound_must)


def _parted(
    wish: _Wish, room_kw: FloatArray, beside_kw: FloatArray, asked_kw: FloatArray
) -> tuple[FloatArray, IntArray]:
    """Return the power of each car that others can't disturb, and the rows of the rest.

    Args:
        wish: The cars.
        room_kw: Of each site, shape (sites, slots) or (sites, 1).
        beside_kw: What cars that it is not about draw at each site.
        asked_kw: What counts against the room, of each car.
    """
    sites, power_kw = len(beside_kw), wish.power_kw
    same = room_kw.shape[1] == 1
    lowest_kw = room_kw[:, 0] if same else room_kw.min(axis=1)
    tight = summed(wish.site, asked_kw, sites) > lowest_kw + _SAME_KW
    if not tight.any():
        return power_kw, np.zeros(0, np.intp)
    rows = np.flatnonzero(tight[wish.site] & (power_kw > 0))
    site, alike, one = wish.site[rows], wish.alike[rows], np.zeros(sites, np.intp)
    one[site] = alike
    even = (beside_kw == 0) & (same or room_kw.max(axis=1) <= lowest_kw + _SAME_KW)
    even[site[one[site] != alike]] = False
    power_kw = power_kw.copy()
    if not even.all():
        has = even[site]
        rows, site, bound = rows[has], site[has], rows[~has]
        power_kw[bound] = 0.0
    else:
        bound = rows[:0]
    power_kw[rows] = _parts_kw(site, power_kw[rows], wish.energy_kwh[rows], lowest_kw)
    return power_kw, bound


def _parts_kw(
    site: IntArray, power_kw: FloatArray, energy_kwh: FloatArray, room_kw: FloatArray
) -> FloatArray:
    """Return each car's part of its site's room, which is less than they all have power for. [kW]"""
    per_kwh = room_kw / np.maximum(summed(site, energy_kwh, room_kw.size), _NOTHING_KW)
    part = energy_kwh * per_kwh[site]
    full = part >= power_kw
    if not full.any():
        return part
    part[full] = power_kw[full]
    again = np.zeros(room_kw.size, np.bool_)
    again[site[full]] = True
    rest = np.flatnonzero(again[site] & ~full)
    left_kw = room_kw - summed(site[full], part[full], room_kw.size)
    part[rest] = _parts_kw(site[rest], power_kw[rest], energy_kwh[rest], left_kw)
    return part
