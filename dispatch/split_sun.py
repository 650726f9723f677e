"""Down, homes that generate more than they may export: what cars must take of it, whatever is asked (P4).

What a home generates above its limit is a room that its cars share, and want to fill in every slot. What they
did beside that they still do, as far as batteries and rooms allow; the other cars move the rest of what is
wanted. Cars that must charge only add to what they take: when they take what they owe was chosen before.
"""

from dataclasses import replace

import numpy as np

from dispatch.split_cars import FloatArray, IntArray, summed
from dispatch.split_flows import Flows
from dispatch.split_parts import LargeFleet, Moves
from dispatch.split_pass import walk
from dispatch.split_problem import MET_WITHIN_KWH
from dispatch.split_repair import repair
from dispatch.split_shared import Shared

_NOTHING_KWH = 1e-12


def soak(fleet: LargeFleet, moves: Moves) -> None:
    """Take what is generated above limits, where batteries still can; the moves are changed in place."""
    flows, held = _with_held(fleet, moves)
    problem = fleet.problem
    wanted = problem.way * np.asarray(problem.request_kw) * fleet.hours - moves.taken.sum(axis=1)
    rest = np.maximum(0.0, wanted - held.sum(axis=1))
    moved = flows.moved.sum(axis=1)
    kept = np.minimum(1.0, rest / np.maximum(moved, _NOTHING_KWH))[:, None]
    flows.left += (flows.moved * (1.0 - kept)).sum(axis=0)
    flows.moved *= kept
    repair(flows, rest)
    moves.free[:] = flows.moved + held


def soak_alone(fleet: LargeFleet, moves: Moves) -> None:
    """The same where nobody looks at the request: no other car moves less for it."""
    flows, held = _with_held(fleet, moves)
    moves.free[:] = flows.moved + held


def _with_held(fleet: LargeFleet, moves: Moves) -> tuple[Flows, FloatArray]:
    """Return what cars move beyond what they must take of their homes' generation, and that. [kWh]"""
    flows = fleet.flows(moves)
    _let_must_charge_take_more(fleet, moves, flows)
    total = flows.left + flows.moved.sum(axis=0)
    held = _held_kwh(fleet, moves, flows, total)
    beyond = np.maximum(0.0, flows.moved - held)
    budget = np.maximum(0.0, total - held.sum(axis=0))
    beyond *= np.minimum(1.0, budget / np.maximum(beyond.sum(axis=0), _NOTHING_KWH))
    homes = flows.room.shape[1]
    room = np.maximum(0.0, flows.room - [summed(flows.site, row, homes) for row in held])
    asked = np.array([summed(flows.site, row, homes) for row in beyond])
    beyond *= np.minimum(1.0, room / np.maximum(asked, _NOTHING_KWH))[:, flows.site]
    left = np.maximum(0.0, budget - beyond.sum(axis=0))
    return replace(flows, moved=beyond, left=left, most=np.maximum(0.0, flows.most - held), room=room), held


def _let_must_charge_take_more(fleet: LargeFleet, moves: Moves, flows: Flows) -> None:
    """Count cars that must charge at such homes with what they could take beyond what they do."""
    sunny = np.any(_over_kwh(fleet) > 0, axis=0)
    here = np.flatnonzero(sunny[fleet.problem.cars.site[moves.takers]])
    rows, taken = moves.takers[here], moves.taken[:, here]
    more = np.maximum(0.0, fleet.most_kwh(rows) - taken)
    flows.most[:, rows] = np.maximum(flows.most[:, rows], more)
    left = fleet.energy_kwh[rows] - taken.sum(axis=0) - flows.moved[:, rows].sum(axis=0)
    flows.left[rows] = np.maximum(0.0, left)


def _held_kwh(fleet: LargeFleet, moves: Moves, flows: Flows, total_kwh: FloatArray) -> FloatArray:
    """Return what each car must take of its home's generation in each slot, shape (slots, cars). [kWh]

    Where batteries can't take all of it, they do it where they charge anyhow.
    """
    cars, over = fleet.problem.cars, _over_kwh(fleet)
    takers = cars.site[moves.takers]
    over = np.maximum(0.0, over - [summed(takers, row, over.shape[1]) for row in moves.taken])
    rows = np.flatnonzero(np.any(over > 0, axis=0)[cars.site] & (total_kwh > 0))
    homes, home = np.unique(cars.site[rows], return_inverse=True)
    over, most, moved = over[:, homes], flows.most[:, rows], flows.moved[:, rows]
    most_kwh = _filled_kwh(most, total_kwh[rows], home, over, fleet.hours)
    already = np.array([summed(home, row, homes.size) for row in moved])
    moved = moved * np.minimum(1.0, over / np.maximum(already, _NOTHING_KWH))[:, home]
    room, left = np.maximum(0.0, over - already), np.maximum(0.0, total_kwh[rows] - moved.sum(axis=0))
    found = moved + _filled_kwh(np.maximum(0.0, most - moved), left, home, room, fleet.hours)
    lacks = summed(home, (most_kwh - found).sum(axis=0), homes.size) > MET_WITHIN_KWH
    held = np.zeros_like(flows.moved)
    held[:, rows] = np.where(lacks[home], most_kwh, found)
    return held


def _filled_kwh(
    most_kwh: FloatArray, energy_kwh: FloatArray, home: IntArray, room_kwh: FloatArray, hours: FloatArray
) -> FloatArray:
    """Return what cars take that fill their homes' rooms as far as they can, shape (slots, cars). [kWh]"""
    shared = Shared(most_kwh, energy_kwh, home, room_kwh, hours)
    walk(shared, np.full(hours.size, -np.inf))
    return shared.moved_kwh


def _over_kwh(fleet: LargeFleet) -> FloatArray:
    """Return what each home generates above what it may export, shape (slots, sites). [kWh]"""
    over = np.maximum(0.0, -fleet.problem.export_room_kw()).T * fleet.hours[:, None]
    return np.asarray(np.broadcast_to(over, (fleet.hours.size, fleet.problem.sites.count)))
