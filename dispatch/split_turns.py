"""What must-charge cars get of an import room that they share: their floors in turn, then a part each.

All go up to their floors as early as they can, the earlier departure first. From then on each has a part of
the room to itself, at least what it needs on average, so that it may choose when to charge without a look at
the others. Where the room does not stretch to that, all charge as early as they can, in turn.
"""

from dataclasses import dataclass, replace

import numpy as np

from aggregator.model.market import Direction
from dispatch.split_cars import FloatArray, IntArray, summed
from dispatch.split_duty import Duty
from dispatch.split_exact import split_exactly
from dispatch.split_problem import SplitProblem
from dispatch.split_table import edges_of

_NOTHING_KW = 1e-9
_SHORT_KWH = 1e-9
MOST_REPAIRED = 400
"""Cars at contested sites up to which the exact way decides who gets how much."""


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What some must-charge cars have of the rooms they share.

    Attributes:
        power_kw: Of each, 0 for those that can't have a part of their own.
        first_kwh: What each takes up to its floor, shape (slots, cars).
        duty: Of all cars: those begin when all floors of their home are reached, with what they then owe.
    """

    power_kw: FloatArray
    first_kwh: FloatArray
    duty: Duty


def parts_of(problem: SplitProblem, duty: Duty, rows: IntArray) -> Parts:
    """Return the parts of shared import rooms of cars that must charge.

    Where what they need on average is more than the room, or one's charger, nobody of the home has a part.
    """
    slots = len(problem.slot_hours)
    if not rows.size:
        return Parts(np.zeros(0), np.zeros((slots, 0)), duty)
    homes, home = np.unique(problem.cars.site[rows], return_inverse=True)
    gap_kwh = np.minimum(duty.gap_kwh[rows], duty.owed_kwh[rows])
    first = _taken_in_turn(problem, duty, rows, (gap_kwh,))
    begun = np.zeros(homes.size, np.intp)
    np.maximum.at(begun, home, (np.arange(1, slots + 1)[:, None] * (first > 0)).max(axis=0))
    start, owed, headroom = duty.start.copy(), duty.owed_kwh.copy(), duty.headroom_kwh.copy()
    start[rows] = np.maximum(start[rows], begun[home])
    owed[rows] -= first.sum(axis=0)
    headroom[rows] -= first.sum(axis=0)
    gap = duty.gap_kwh.copy()
    gap[rows] = 0.0
    later = replace(duty, start=start, owed_kwh=owed, headroom_kwh=headroom, gap_kwh=gap)
    reached = first.sum(axis=0) >= gap_kwh - _SHORT_KWH
    from_then = np.arange(slots) >= begun[:, None]
    lowest_kw = np.where(from_then, problem.import_room_kw(homes), np.inf).min(axis=1)
    return Parts(_parts_kw(problem, later, rows, (home, lowest_kw), reached), first, later)


def _parts_kw(
    problem: SplitProblem, duty: Duty, rows: IntArray, rooms: tuple[IntArray, FloatArray], able: np.ndarray
) -> FloatArray:
    """Return each car's part of its home's lowest room: what it needs on average, and a share of the rest."""
    home, room_kw = rooms
    edges, power = edges_of(np.asarray(problem.slot_hours)), problem.cars.charge_kw[rows]
    length = np.maximum(0.0, edges[duty.end[rows]] - edges[np.minimum(duty.start[rows], duty.end[rows])])
    owed = duty.owed_kwh[rows]
    fails = (owed > power * length + _SHORT_KWH) | ~able
    needs = np.minimum(power, owed / np.maximum(length, _SHORT_KWH))
    asked = summed(home, needs, room_kw.size)
    held = (summed(home, fails, room_kw.size) > 0) | (asked > room_kw)
    spare = np.where(np.isfinite(room_kw), room_kw, 0.0) - asked
    share = np.clip(spare / np.maximum(summed(home, power - needs, room_kw.size), _NOTHING_KW), 0.0, 1.0)
    return np.where(held[home] | (length <= 0), 0.0, needs + (power - needs) * share[home])


def taken_at_bound_sites(problem: SplitProblem, duty: Duty, rows: IntArray) -> FloatArray:
    """Return what must-charge cars at sites whose import binds take, shape (slots, rows). [kWh]

    All as early as they can: first up to their floors, then what they owe, the earlier departure first.
    Where that leaves a car short, and another could take its share at another time or is less urgent, the
    exact way decides.
    """
    hours, sites = np.asarray(problem.slot_hours)[:, None], problem.sites.count
    if not rows.size:
        return np.zeros((hours.size, 0))
    owed = duty.owed_kwh[rows]
    taken = _taken_in_turn(problem, duty, rows, (np.minimum(duty.gap_kwh[rows], owed), owed))
    site, most = problem.cars.site[rows], _most_kwh(problem, duty, rows)
    used = np.array([summed(site, kwh, sites) for kwh in taken])
    room = np.broadcast_to(problem.import_room_kw().T * hours, used.shape)
    alone = np.minimum(most, room[:, site]).sum(axis=0)
    short = taken.sum(axis=0) < np.minimum(owed, alone) - _SHORT_KWH
    shifts = (np.minimum(most - taken, (room - used)[:, site]) > _SHORT_KWH).any(axis=0) & ~short
    rank = np.empty(rows.size, np.intp)
    rank[_order(problem, rows)] = np.arange(rows.size)
    first_short = np.full(sites, rows.size)
    np.minimum.at(first_short, site[short], rank[short])
    shifts = (shifts | (rank > first_short[site])) & (taken > 0).any(axis=0)
    contested = np.flatnonzero(np.isin(site, site[short]) & np.isin(site, site[shifts]))
    if 0 < contested.size <= MOST_REPAIRED:
        quiet = replace(problem, request_kw=(0.0,) * hours.size, direction=Direction.UP)
        exact = split_exactly(replace(quiet, cars=problem.cars.at(rows[contested])))
        taken[:, contested] = -exact.export_kw.T * hours
    return taken


def _most_kwh(problem: SplitProblem, duty: Duty, rows: IntArray) -> FloatArray:
    """Return the most that each car can take in each slot by its own power, shape (slots, rows)."""
    hours = np.asarray(problem.slot_hours)[:, None]
    slots = np.arange(hours.size)[:, None]
    here = (duty.start[rows] <= slots) & (slots < duty.end[rows])
    return np.asarray(here * (problem.cars.charge_kw[rows] * hours))


def _taken_in_turn(
    problem: SplitProblem, duty: Duty, rows: IntArray, goals_kwh: tuple[FloatArray, ...]
) -> FloatArray:
    """Return what cars take as early as they can, to each goal in turn, the earlier departure first. [kWh]"""
    hours, cars = np.asarray(problem.slot_hours), problem.cars
    most = _most_kwh(problem, duty, rows)
    taken = np.zeros_like(most)
    homes, home = np.unique(cars.site[rows], return_inverse=True)
    left = np.broadcast_to(problem.import_room_kw(homes), (homes.size, hours.size)) * hours
    in_turn = _in_turn(home, _order(problem, rows))
    for goal in goals_kwh:
        for some in in_turn:
            for slot in range(hours.size):
                able = most[slot, some] - taken[slot, some]
                wish = np.clip(goal[some] - taken[:, some].sum(axis=0), 0.0, able)
                take = np.minimum(left[home[some], slot], wish)
                taken[slot, some] += take
                left[home[some], slot] -= take
    return taken


def _order(problem: SplitProblem, rows: IntArray) -> IntArray:
    """Return places of cars, the earlier departure first."""
    return np.lexsort((np.asarray(problem.cars.ids)[rows], problem.cars.depart_slot[rows]))


def _in_turn(site: IntArray, order: IntArray) -> list[IntArray]:
    """Return places in turns: in each at most one of a site, in the given order."""
    by_site = order[np.argsort(site[order], kind="stable")]
    begins = np.flatnonzero(np.diff(site[by_site], prepend=-1))
    turn = np.arange(site.size) - np.repeat(begins, np.diff(begins, append=site.size))
    return [by_site[turn == number] for number in range(int(turn.max()) + 1)]
