"""The exact split: a request on a zone becomes a set-point for every car and slot.

Pure: the same problem gives the same answer, no clock, no state. Cars that must charge (they store less
than floor or target need) only charge; all others only discharge (direction up) or charge (down). Over
all such splits the answer delivers the most; among those it moves the least energy, and then serves the
earliest slots first, so that the present slot is met in full and the latest is trimmed.

Where no car must charge, none arrives later and no site binds, ``level_backwards`` is exact and takes a
few passes over the fleet. Else a linear program decides (``split_lp``), semi-continuous for chargers that
can't hold exports below ``min_kw``. Cars that no site binds enter it as a few pools,
so its size does not grow with the fleet.

For a control loop: call ``split`` every cycle, and at once after an unplug, a boost or an amendment. Let
``slot_hours[0]`` be what is left of the present slot, apply the first column of ``export_kw`` and throw the
rest away. Leave boosted cars out and add their power to their site's base load, and to the request what
they import. Raise ``guard_kwh``, not the floor, to keep a margin that must not make a car charge.

Ties between cars: equal time-to-go gets equal shares. HiGHS is called directly: scipy would add 180 MB.
"""

from dataclasses import replace

import numpy as np

from aggregator.model.market import Direction
from dispatch.split_fleet import Fleet, fleet_of, is_up, shortages_kwh, stored_after
from dispatch.split_level import level_backwards, now_first
from dispatch.split_lp import best_flows
from dispatch.split_pool import Pool, poolable, pooled_units, pools_of
from dispatch.split_problem import (
    MET_WITHIN_KWH,
    FloatArray,
    IntArray,
    Split,
    SplitCar,
    SplitProblem,
    SplitSite,
)
from dispatch.split_sites import charge_first, reach
from dispatch.split_units import Units, unbound, units_of

__all__ = ["Direction", "Split", "SplitCar", "SplitProblem", "SplitSite", "level_backwards", "split"]

_NOTHING_KWH = 1e-11


def split(problem: SplitProblem) -> Split:
    """Return the best set-points for a request, and what they miss of it.

    A request that can't be met, a target that can't be reached or a site that generates more than it
    may export is part of the answer. Precedence: site limits, floor, departure, request. A car below its
    floor takes all its power and its site allow until it is there; a car that can't reach its target
    gets the most its site's room can give, the earlier departure first.

    Args:
        problem: Checked before: see ``aggregator.files.split`` for what a file may say.

    Returns:
        Set-points (positive exports) that keep every rule within 1e-9, delivering within 1e-6 kWh of
        the optimum.
    """
    up = is_up(problem)
    fleet = fleet_of(problem)
    wanted_kwh = np.asarray(problem.request_kw) * fleet.hours * (1.0 if up else -1.0)
    units = units_of(fleet, charge_first(fleet), up=up)
    units = _with_targets(units, fleet, up=up)
    pooled = poolable(units, unbound(fleet, units), fleet.hours)
    pools = pools_of(units, np.flatnonzero(pooled), fleet.hours)
    moves = (units.high_kwh > 0).any(axis=1) & (units.total_high_kwh > 0)
    if np.array_equal(pooled & moves, moves) and not fleet.must.any() and all(p.start == 0 for p in pools):
        method = "levelled"
        moved = _levelled(pools, fleet, wanted_kwh)
    else:
        single = np.flatnonzero(moves & ~pooled)
        method = "milp" if (units.least_kwh[single] > 0).any() else "lp"
        moved = _solved(units, pools, single, fleet, wanted_kwh, up=up)
    return _answer(problem, fleet, _tidy(moved, units) * units.sign[:, None], method)


def _with_targets(units: Units, fleet: Fleet, *, up: bool) -> Units:
    """Return the units with what must-charge cars have to take.

    Taking more can only serve where it soaks up generation above a limit, makes room for what another
    charger can't give less of, or is what is asked for; elsewhere the total is fixed. A car that can't
    have all it owes takes what its site's room allows in every slot, no more in one for less in another.
    """
    total = reach(fleet, units)
    short = fleet.must & (total < fleet.owed_kwh - MET_WITHIN_KWH)
    room = np.where(short[:, None], fleet.import_room_kwh[fleet.site], np.inf)
    units = replace(units, high_kwh=np.minimum(units.high_kwh, room))
    if not up or (units.least_kwh > 0).any():
        return replace(units, total_low_kwh=total)
    exact = fleet.must & ~np.any(fleet.export_room_kwh < 0, axis=1)[fleet.site]
    return replace(units, total_low_kwh=total, total_high_kwh=np.where(exact, total, units.total_high_kwh))


def _levelled(pools: list[Pool], fleet: Fleet, wanted_kwh: FloatArray) -> FloatArray:
    """Return what each car moves where all are there from the start and move one way."""
    moved = np.zeros_like(fleet.charge_kwh)
    if not pools:
        return moved
    few = [pooled_units(pool, 1.0, fleet.hours) for pool in pools]
    table = few[0]
    for more in few[1:]:
        table = table.joined(more)
    leaves = (table.high_kwh > 0).sum(axis=1)
    power = (table.high_kwh / fleet.hours).max(axis=1)
    wanted = now_first(table.total_high_kwh, power, leaves, fleet.hours, wanted_kwh)
    cars = np.concatenate([pool.cars for pool in pools])
    energy = np.concatenate([pool.energy_kwh for pool in pools])
    power = np.concatenate([pool.power_kw for pool in pools])
    ends = np.concatenate([np.full(pool.cars.size, pool.end) for pool in pools])
    moved[cars] = level_backwards(energy, power, ends, fleet.hours, wanted)
    return moved


def _solved(
    units: Units, pools: list[Pool], single: IntArray, fleet: Fleet, wanted_kwh: FloatArray, *, up: bool
) -> FloatArray:
    """Return what each car moves by the program over single cars and pools."""
    few = units.at(single)
    bounds = [single.size]
    for pool in pools:
        few = few.joined(pooled_units(pool, float(units.sign[pool.cars[0]]), fleet.hours))
        bounds.append(few.sign.size)
    flows = best_flows(few, (fleet.import_room_kwh, fleet.export_room_kwh), wanted_kwh, up=up)
    moved = np.zeros_like(units.high_kwh)
    moved[single] = flows[: single.size]
    for pool, first, last in zip(pools, bounds, bounds[1:], strict=False):
        moved[pool.cars] = pool.shared(flows[first:last].sum(axis=0), fleet.hours)
    return moved


def _tidy(moved: FloatArray, units: Units) -> FloatArray:
    """Return the energies with the solver's rounding taken out of every car's own limits."""
    kept = np.clip(np.where(moved < _NOTHING_KWH, 0.0, moved), units.low_kwh, units.high_kwh)
    total = kept.sum(axis=1)
    excess = total > units.total_high_kwh
    scale = np.divide(units.total_high_kwh, total, out=np.ones_like(total), where=excess)
    tidied: FloatArray = kept * scale[:, None]
    return tidied


def _answer(problem: SplitProblem, fleet: Fleet, export_kwh: FloatArray, method: str) -> Split:
    export_kw = export_kwh / fleet.hours + 0.0
    way = 1.0 if is_up(problem) else -1.0
    wanted = way * np.asarray(problem.request_kw) * fleet.hours
    served = np.minimum(wanted, way * export_kwh.sum(axis=0))
    missing = float((wanted - served).sum())
    short = shortages_kwh(problem, export_kwh)
    return Split(
        car_ids=tuple(car.id for car in problem.cars),
        export_kw=export_kw,
        delivered_kwh=float(served.sum()),
        shortfall_kwh=missing,
        feasible=missing <= MET_WITHIN_KWH and _keeps_rules(problem, fleet, export_kwh),
        short_of_target_kwh={
            car.id: float(kwh) for car, kwh in zip(problem.cars, short, strict=True) if kwh > MET_WITHIN_KWH
        },
        method=method,
    )


def _keeps_rules(problem: SplitProblem, fleet: Fleet, export_kwh: FloatArray) -> bool:
    """Return whether no site exports above its limit by itself and no car rests above its maximum."""
    net = np.zeros_like(fleet.export_room_kwh)
    np.add.at(net, fleet.site, export_kwh)
    limits = np.array([car.max_kwh for car in problem.cars])[:, None]
    over = (stored_after(problem, export_kwh) > limits + MET_WITHIN_KWH) & fleet.plugged
    return not over.any() and bool((net <= fleet.export_room_kwh + MET_WITHIN_KWH).all())
