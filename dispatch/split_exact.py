"""The exact split: a linear program, or levelling where that gives the same.

Where no car must charge, none arrives later and no site binds, ``level_backwards`` is exact and takes a
few passes over the fleet. Else a linear program decides (``split_lp``), semi-continuous for chargers that
can't hold exports below ``min_kw``. Cars that no site binds enter it as a few pools,
so its size does not grow with the fleet. HiGHS is called directly: scipy would add 180 MB.
"""

from dataclasses import replace

import numpy as np

from dispatch.split_cars import FloatArray, IntArray
from dispatch.split_duty import stored_after
from dispatch.split_fleet import Fleet, fleet_of
from dispatch.split_level import level_backwards, now_first
from dispatch.split_lp import Rooms, best_flows
from dispatch.split_pool import Pool, poolable, pooled_units, pools_of
from dispatch.split_problem import MET_WITHIN_KWH, Split, SplitProblem, named
from dispatch.split_sites import charge_first, reach
from dispatch.split_units import Units, unbound, units_of

_NOTHING_KWH = 1e-11


def split_exactly(
    problem: SplitProblem,
    present_kw: FloatArray | None = None,
    *,
    relieved: bool = True,
    most_nodes: int | None = None,
) -> Split:
    """Return the best set-points: every rule is kept within 1e-9, the optimum delivered within 1e-6 kWh.

    Args:
        problem: What is asked.
        present_kw: What each car does now, in whose favour ties are broken; None where that is all the same.
        relieved: Whether what some cars of a home export may make room for what others of it must charge.
        most_nodes: After which a search among least powers is content with what it has found.
    """
    up = problem.way > 0
    fleet = fleet_of(problem)
    wanted_kwh = np.asarray(problem.request_kw) * fleet.hours * problem.way
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
        short = fleet.must & (units.total_low_kwh < fleet.owed_kwh - MET_WITHIN_KWH)
        unrelieved = np.bincount(fleet.site, short | (not relieved), len(fleet.import_room_kwh)) > 0
        rooms = Rooms(fleet.import_room_kwh, fleet.export_room_kwh, unrelieved)
        present = _present(units, fleet, present_kw)
        moved = _solved(units, pools, single, rooms, fleet, wanted_kwh, present, up=up, most_nodes=most_nodes)
    return _answer(problem, fleet, _tidy(moved, units) * units.sign[:, None], method)


def _present(units: Units, fleet: Fleet, present_kw: FloatArray | None) -> FloatArray:
    """Return what part of its most each unit moves now; a half where that is not known, or not its choice."""
    half = np.full(units.sign.size, 0.5)
    if present_kw is None:
        return half
    most_kwh = np.where(units.high_kwh[:, 0] > 0, units.high_kwh[:, 0], 1.0)
    share = np.clip(units.sign * present_kw * fleet.hours[0] / most_kwh, 0.0, 1.0)
    return np.where(fleet.must, half, share)


def _with_targets(units: Units, fleet: Fleet, *, up: bool) -> Units:
    """Return the units with what must-charge cars have to take.

    Taking more can only serve where it soaks up generation above a limit, makes room for what another
    charger can't give less of, or is what is asked for; elsewhere the total is fixed. A car that can't
    have all it owes takes what its site's room allows in every slot, no more in one for less in another:
    there no export relieves what must-charge cars share.
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
    units: Units,
    pools: list[Pool],
    single: IntArray,
    rooms: Rooms,
    fleet: Fleet,
    wanted_kwh: FloatArray,
    present: FloatArray,
    *,
    up: bool,
    most_nodes: int | None,
) -> FloatArray:
    """Return what each car moves by the program over single cars and pools."""
    few = units.at(single)
    bounds = [single.size]
    for pool in pools:
        few = few.joined(pooled_units(pool, float(units.sign[pool.cars[0]]), fleet.hours))
        bounds.append(few.sign.size)
    others = np.full(few.sign.size - single.size, 0.5)
    known = np.concatenate([present[single], others])
    flows = best_flows(few, rooms, wanted_kwh, known, up=up, most_nodes=most_nodes)
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
    wanted = problem.way * np.asarray(problem.request_kw) * fleet.hours
    served = np.minimum(wanted, problem.way * export_kwh.sum(axis=0))
    missing = float((wanted - served).sum())
    stored = stored_after(problem, export_kwh)
    short = fleet.due_kwh - stored[:, -1]
    return Split(
        car_ids=problem.cars.ids,
        export_kw=export_kw,
        delivered_kwh=float(served.sum()),
        shortfall_kwh=missing,
        feasible=missing <= MET_WITHIN_KWH and _keeps_rules(problem, fleet, export_kwh, stored),
        short_of_target_kwh=named(problem.cars.ids, short),
        method=method,
    )


def _keeps_rules(problem: SplitProblem, fleet: Fleet, export_kwh: FloatArray, stored: FloatArray) -> bool:
    """Return whether no site exports above its limit by itself and no car rests above its maximum."""
    net = np.zeros_like(fleet.export_room_kwh)
    np.add.at(net, fleet.site, export_kwh)
    over = (stored > problem.cars.max_kwh[:, None] + MET_WITHIN_KWH) & fleet.plugged
    return not over.any() and bool((net <= fleet.export_room_kwh + MET_WITHIN_KWH).all())
