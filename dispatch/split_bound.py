"""Large fleets at homes whose connection binds: which cars, and what must-charge cars get there."""

from dataclasses import dataclass, replace

import numpy as np

from aggregator.model.market import Direction
from dispatch.split_cars import FloatArray, IntArray, summed
from dispatch.split_duty import Duty
from dispatch.split_exact import split_exactly
from dispatch.split_problem import SplitProblem

_SAME_KW = 1e-12
_NOTHING_KW = 1e-9
_SHORT_KWH = 1e-9
MOST_REPAIRED = 200
"""Cars at contested sites up to which the exact way decides who gets how much."""


@dataclass(frozen=True, slots=True, eq=False)
class Sharing:
    """Who moves by itself, and who shares a room with others or has one that changes.

    Attributes:
        free_kw: Power of the free cars that nothing else bounds, 0 for all others, shape (cars,).
        must_kw: Power of the must-charge cars that nothing else bounds, 0 for all others, shape (cars,).
        bound_free: Rows of the other free cars.
        bound_must: Rows of the other must-charge cars.
    """

    free_kw: FloatArray
    must_kw: FloatArray
    bound_free: IntArray
    bound_must: IntArray


def sharing_of(problem: SplitProblem, duty: Duty) -> Sharing:
    """Return which cars' sites bind, whatever the others do.

    A car that is alone where the room is the same in all slots just has less power.
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
        must_kw, bound_must = _alone(cars.site, takes_kw, import_kw, beside_kw, takes_kw)
        beside_kw = summed(cars.site, takes_kw, problem.sites.count)
    room_kw = np.maximum(0.0, problem.export_room_kw()) if up else import_kw
    asked_kw = free_kw if up else free_kw + takes_kw
    free_kw, bound_free = _alone(cars.site, free_kw, room_kw, beside_kw, asked_kw)
    return Sharing(free_kw, must_kw, bound_free, bound_must)


def _alone(
    site: IntArray, power_kw: FloatArray, room_kw: FloatArray, beside_kw: FloatArray, asked_kw: FloatArray
) -> tuple[FloatArray, IntArray]:
    """Return the power of each car that others can't disturb, and the rows of the rest.

    Args:
        site: Of each car.
        power_kw: Of each car, 0 for those that it is not about.
        room_kw: Of each site, shape (sites, slots) or (sites, 1).
        beside_kw: What cars that it is not about draw at each site.
        asked_kw: What counts against the room, of each car.
    """
    sites = len(beside_kw)
    tight = np.any(summed(site, asked_kw, sites)[:, None] > room_kw + _SAME_KW, axis=1)
    if not tight.any():
        return power_kw, np.zeros(0, np.intp)
    rows = np.flatnonzero(tight[site] & (power_kw > 0))
    single = (np.bincount(site[rows], minlength=sites) == 1) & (beside_kw == 0)
    single &= np.ptp(room_kw, axis=1) <= _SAME_KW
    power_kw = power_kw.copy()
    alone, bound = rows[single[site[rows]]], rows[~single[site[rows]]]
    power_kw[alone] = np.minimum(power_kw[alone], room_kw[site[alone], 0])
    power_kw[bound] = 0.0
    return power_kw, bound


def charged_at_bound_sites(problem: SplitProblem, duty: Duty, rows: IntArray) -> FloatArray:
    """Return what must-charge cars at sites whose import binds take, shape (slots, rows). [kWh]

    All as early as they can: first up to their floors, then what they owe, the earlier departure first.
    Where that leaves a car short that might have had more, the exact way decides.
    """
    hours, cars = np.asarray(problem.slot_hours), problem.cars
    taken = np.zeros((hours.size, rows.size))
    if not rows.size:
        return taken
    places, site = np.unique(cars.site[rows], return_inverse=True)
    site = site.reshape(-1)
    room = np.broadcast_to(problem.import_room_kw(places), (places.size, hours.size)) * hours
    slots = np.arange(hours.size)
    here = (duty.start[rows, None] <= slots) & (slots < duty.end[rows, None])
    most = here * cars.charge_kw[rows, None] * hours
    alone = np.minimum(most, room[site]).sum(axis=1)
    in_turn = _in_turn(site, np.lexsort((np.asarray(cars.ids)[rows], cars.depart_slot[rows])))
    left = room.copy()
    for goal in (np.minimum(duty.gap_kwh[rows], duty.owed_kwh[rows]), duty.owed_kwh[rows]):
        for some in in_turn:
            for slot in range(hours.size):
                able = most[some, slot] - taken[slot, some]
                wish = np.clip(goal[some] - taken[:, some].sum(axis=0), 0.0, able)
                take = np.minimum(left[site[some], slot], wish)
                taken[slot, some] += take
                left[site[some], slot] -= take
    short = taken.sum(axis=0) < np.minimum(duty.owed_kwh[rows], alone) - _SHORT_KWH
    contested = np.flatnonzero(np.isin(site, site[short]))
    if 0 < contested.size <= MOST_REPAIRED:
        quiet = replace(problem, request_kw=(0.0,) * hours.size, direction=Direction.UP)
        exact = split_exactly(replace(quiet, cars=cars.at(rows[contested])))
        taken[:, contested] = -exact.export_kw.T * hours[:, None]
    return taken


def _in_turn(site: IntArray, order: IntArray) -> list[IntArray]:
    """Return places in turns: in each at most one of a site, in the given order."""
    by_site = order[np.argsort(site[order], kind="stable")]
    begins = np.flatnonzero(np.diff(site[by_site], prepend=-1))
    turn = np.arange(site.size) - np.repeat(begins, np.diff(begins, append=site.size))
    return [by_site[turn == number] for number in range(int(turn.max()) + 1)]
