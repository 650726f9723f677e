"""What thresholds miss where cars share a room, made up for: see ``split_repair`` for how.

Who must charge joins in. Up, what such a car does not take of its full power is energy that it moves: it may
do so in other slots, if it takes as much in all, its floor first, and its home's import carries it. Down, it
moves what it takes. A home with a car that can't reach its target is left alone: there all that is allowed
is taken in every slot.
"""

import numpy as np

from dispatch.split_cars import BoolArray, FloatArray, IntArray, summed
from dispatch.split_flows import Least
from dispatch.split_parts import Charging, LargeFleet, Moves
from dispatch.split_problem import MET_WITHIN_KWH
from dispatch.split_repair import repair


def mend(fleet: LargeFleet, charging: Charging, moves: Moves, wanted_kwh: FloatArray) -> None:
    """Serve more of what is wanted of the free cars; the moves are changed in place."""
    flows, way = fleet.flows(moves), fleet.problem.way
    some = _may_shift(fleet, charging, moves)
    if not some.size:
        repair(flows, wanted_kwh)
        return
    first, full = (kwh[:, some] for kwh in _bounds_kwh(fleet, charging))
    rows, taken = moves.takers[some], moves.taken[:, some]
    first = np.minimum(first, taken)
    before = np.maximum(0.0, full - taken if way > 0 else taken - first)
    flows.moved[:, rows], flows.most[:, rows] = before, full - first
    if way < 0:
        flows.left[rows] = np.maximum(0.0, fleet.energy_kwh[rows] - taken.sum(axis=0))
    flows.site[rows] = home = 1 + _place_of(fleet)[fleet.problem.cars.site[rows]]
    flows.room[:] += [summed(home, kwh, flows.room.shape[1]) for kwh in before]
    if way > 0 and (some >= charging.alone).any():
        flows.least = _least(fleet, rows[some >= charging.alone], full[:, some >= charging.alone])
    repair(flows, wanted_kwh + before.sum(axis=1))
    moves.taken[:, some] = np.clip(taken - way * (flows.moved[:, rows] - before), first, full)
    flows.moved[:, rows] = 0.0


def shifting_kwh(fleet: LargeFleet, charging: Charging, moves: Moves, short: BoolArray) -> float:
    """Return a bound on what must-charge cars could leave to some slots, and take in others. [kWh]"""
    some = _may_shift(fleet, charging, moves)
    if not some.size:
        return 0.0
    first, full = (kwh[:, some] for kwh in _bounds_kwh(fleet, charging))
    taken = moves.taken[:, some]
    less = np.maximum(0.0, taken - first)
    more = np.maximum(0.0, full - taken)
    gained, lost = (less, more) if fleet.problem.way > 0 else (more, less)
    had = lost[~short].sum(axis=0)
    if fleet.problem.way < 0:
        rows = moves.takers[some]
        had += np.maximum(0.0, fleet.energy_kwh[rows] - taken.sum(axis=0))
    return float(np.minimum(gained[short].sum(axis=0), had).sum())


def _may_shift(fleet: LargeFleet, charging: Charging, moves: Moves) -> IntArray:
    """Return the places among the takers of those that share a room and reach their targets."""
    duty, site, bound = fleet.duty, fleet.problem.cars.site, moves.takers[charging.alone :]
    crowded = _place_of(fleet)[site[moves.takers[: charging.alone]]] >= 0
    if fleet.problem.way < 0:
        return np.flatnonzero(crowded)
    misses = moves.taken[:, charging.alone :].sum(axis=0) < duty.owed_kwh[bound] - MET_WITHIN_KWH
    return np.flatnonzero(np.concatenate((crowded, ~np.isin(site[bound], site[bound[misses]]))))


def _bounds_kwh(fleet: LargeFleet, charging: Charging) -> tuple[FloatArray, FloatArray]:
    """Return the least and the most that each must-charge car takes in each slot, shape (slots, cars)."""
    alone = slice(charging.alone)
    bound = charging.rows[charging.alone :]
    most = fleet.most_kwh(bound) if fleet.problem.way < 0 else _charge_kwh(fleet, bound)
    return (
        np.concatenate((charging.takers.first_kwh[:, alone], charging.first_kwh), axis=1),
        np.concatenate((charging.takers.full_kwh[:, alone], most), axis=1),
    )


def _charge_kwh(fleet: LargeFleet, rows: IntArray) -> FloatArray:
    slots = np.arange(fleet.hours.size)[:, None]
    here = (fleet.duty.start[rows] <= slots) & (slots < fleet.duty.end[rows])
    return np.asarray(here * (fleet.problem.cars.charge_kw[rows] * fleet.hours[:, None]))


def _place_of(fleet: LargeFleet) -> IntArray:
    """Return each site's place among the rooms that are shared, -1 for none."""
    places = np.full(fleet.problem.sites.count, -1)
    places[fleet.crowd.homes] = np.arange(fleet.crowd.homes.size)
    return places


def _least(fleet: LargeFleet, rows: IntArray, full_kwh: FloatArray) -> Least:
    """Return what must-charge cars must leave of full power, for their home's import to carry the rest."""
    homes, home = np.unique(fleet.problem.cars.site[rows], return_inverse=True)
    room = fleet.problem.import_room_kw(homes).T * fleet.hours[:, None]
    asked = np.array([summed(home, kwh, homes.size) for kwh in full_kwh])
    return Least(rows, home, asked - room)
