"""Large fleets at homes whose connection binds: which cars are concerned."""

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
