"""When the must-charge cars of a large fleet charge: from thresholds, yet all they owe whatever those are.

Up, not to charge is to export: what a car need not take of its full power may be spread over the slots like
any energy, but is used up in full. Down, they take as the others do; what they owe beyond that they
take as early as they can.
"""

from dataclasses import dataclass

import numpy as np

from dispatch.split_cars import FloatArray, IntArray
from dispatch.split_duty import Duty
from dispatch.split_pass import Plain, walk
from dispatch.split_problem import SplitProblem
from dispatch.split_table import Levels, Movers, Table, edges_of, from_whole_slots, table_of, within_reach


@dataclass(frozen=True, slots=True, eq=False)
class Takers:
    """Must-charge cars that nothing but their own power bounds; energies in kWh, shape (slots, cars).

    Attributes:
        up: Whether export is wanted.
        hours: Length of each slot.
        power_kw: Of each, shape (cars,).
        floor_h: When each reaches its floor at full power, from the event's start, shape (cars,).
        owed_kwh: What each has to take, shape (cars,).
        end: First slot in which each is gone, shape (cars,).
        full_kwh: What full power takes.
        first_kwh: What full power takes up to the floor.
        movers: What each may still choose: up, where not to charge, down, where to.
    """

    up: bool
    hours: FloatArray
    power_kw: FloatArray
    floor_h: FloatArray
    owed_kwh: FloatArray
    end: IntArray
    full_kwh: FloatArray
    first_kwh: FloatArray
    movers: Movers


def takers_of(problem: SplitProblem, duty: Duty, rows: IntArray, power_kw: FloatArray) -> Takers:
    """Return some must-charge cars, each with a power above 0."""
    up, hours = problem.way > 0, np.asarray(problem.slot_hours)
    edges, slots = edges_of(hours), np.arange(hours.size)[:, None]
    start, end = duty.start[rows], duty.end[rows]
    floor_h = np.minimum(edges[start] + duty.gap_kwh[rows] / power_kw, edges[end])
    first_h = np.clip(floor_h - edges[:-1, None], 0.0, hours[:, None]) * (start <= slots)
    goal = duty.owed_kwh[rows] if up else duty.headroom_kwh[rows]
    rest_h = np.maximum(0.0, goal - duty.gap_kwh[rows]) / power_kw
    length = edges[end] - floor_h
    to_go = np.maximum(0.0, length - rest_h) if up else np.minimum(length, rest_h)
    return Takers(
        up=up,
        hours=hours,
        power_kw=power_kw,
        floor_h=floor_h,
        owed_kwh=duty.owed_kwh[rows],
        end=end,
        full_kwh=((start <= slots) & (slots < end)) * hours[:, None] * power_kw,
        first_kwh=first_h * power_kw,
        movers=Movers(power_kw, to_go, floor_h if floor_h.any() else None, end),
    )


def charging_levels(takers: Takers, free: Table, wanted_kwh: FloatArray) -> tuple[FloatArray, Levels]:
    """Return the request as far as it can be met, the latest slots trimmed, and when to charge for it.

    Args:
        takers: The must-charge cars.
        free: The other cars.
        wanted_kwh: Wanted of all, in the direction asked for, shape (slots,).
    """
    table = free.joined(table_of(from_whole_slots(takers.movers, takers.hours), takers.hours))
    drawn = takers.full_kwh.sum(axis=1) if takers.up else -takers.first_kwh.sum(axis=1)
    reach, levels = within_reach(table, np.maximum(0.0, wanted_kwh + drawn))
    return np.minimum(wanted_kwh, reach - drawn), levels


def taken_kwh(takers: Takers, z_h: FloatArray) -> FloatArray:
    """Return what each takes, shape (slots, cars): all it owes, or full power, whatever the thresholds."""
    plain = Plain(takers.movers, takers.hours, np.empty_like(takers.full_kwh))
    walk(plain, z_h)
    if takers.up:
        return _without(takers, plain.moved_kwh)
    taken = takers.first_kwh + plain.moved_kwh
    left = np.maximum(0.0, takers.owed_kwh - taken.sum(axis=0))
    for slot in range(takers.hours.size):
        more = np.clip(left, 0.0, np.maximum(0.0, takers.full_kwh[slot] - taken[slot]))
        taken[slot] += more
        left -= more
    return taken


def _without(takers: Takers, spared: FloatArray) -> FloatArray:
    """Return what is taken where some is spared; what is not yet spared of it is, in the latest slots."""
    edges = edges_of(takers.hours)
    left = takers.movers.to_go_h * takers.power_kw - spared.sum(axis=0)
    for slot in range(takers.hours.size - 1, -1, -1):
        length = np.clip(edges[slot + 1] - takers.floor_h, 0.0, takers.hours[slot]) * (takers.end > slot)
        more = np.clip(left, 0.0, np.maximum(0.0, length * takers.power_kw - spared[slot]))
        spared[slot] += more
        left -= more
    return np.maximum(0.0, takers.full_kwh - spared)
