"""When the must-charge cars of a large fleet charge: from thresholds, yet all they owe whatever those are."""

import numpy as np

from dispatch.split_cars import FloatArray, IntArray
from dispatch.split_duty import Duty
from dispatch.split_pass import Plain
from dispatch.split_problem import SplitProblem
from dispatch.split_table import Movers, Table, edges_of, from_whole_slots, table_of, within_reach


def charged(
    problem: SplitProblem,
    duty: Duty,
    rows: IntArray,
    power_kw: FloatArray,
    free: Table,
    wanted_kwh: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Return what each must-charge car takes, and the request as far as it can be met.

    Args:
        problem: The cars.
        duty: Of all cars.
        rows: The must-charge cars.
        power_kw: Most that each of those takes.
        free: The other cars.
        wanted_kwh: Wanted of all, in the direction asked for, shape (slots,).

    Returns:
        Energies of shape (slots, rows), and the request as far as it can be met, the latest slots trimmed.
    """
    if problem.way > 0:
        return _instead_of_exports(duty, rows, power_kw, free, wanted_kwh, np.asarray(problem.slot_hours))
    return _as_asked(duty, rows, power_kw, free, wanted_kwh, np.asarray(problem.slot_hours))


def _instead_of_exports(
    duty: Duty,
    rows: IntArray,
    power_kw: FloatArray,
    free: Table,
    wanted_kwh: FloatArray,
    hours: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Not to charge is to export: it may be spread like any energy, but is used up in full."""
    edges, slots = edges_of(hours), np.arange(hours.size)[:, None]
    start, end = duty.start[rows], duty.end[rows]
    floor_h = np.minimum(edges[start] + duty.gap_kwh[rows] / power_kw, edges[end])
    rest_h = np.maximum(0.0, duty.owed_kwh[rows] - duty.gap_kwh[rows]) / power_kw
    movers = Movers(power_kw, np.maximum(0.0, edges[end] - floor_h - rest_h), _or_none(floor_h), end)
    full_kwh = ((start <= slots) & (slots < end)) * hours[:, None] * power_kw
    table = free.joined(table_of(from_whole_slots(movers, hours), hours))
    drawn = full_kwh.sum(axis=1)
    wanted, levels = within_reach(table, np.maximum(0.0, wanted_kwh + drawn))
    plain = Plain(movers, hours, np.empty((hours.size, rows.size)))
    plain.walk(levels.z_h)
    left = movers.to_go_h * power_kw - plain.moved_kwh.sum(axis=0)
    spared = plain.moved_kwh
    for slot in range(hours.size - 1, -1, -1):
        most = np.clip(edges[slot + 1] - floor_h, 0.0, hours[slot]) * power_kw * (end > slot)
        more = np.clip(left, 0.0, most - spared[slot])
        spared[slot] += more
        left -= more
    return np.maximum(0.0, full_kwh - spared), np.minimum(wanted_kwh, wanted - drawn)


def _as_asked(
    duty: Duty,
    rows: IntArray,
    power_kw: FloatArray,
    free: Table,
    wanted_kwh: FloatArray,
    hours: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """All take; what is owed beyond what is asked for is taken as early as can be."""
    edges, slots = edges_of(hours), np.arange(hours.size)[:, None]
    start, end = duty.start[rows], duty.end[rows]
    floor_h = np.minimum(edges[start] + duty.gap_kwh[rows] / power_kw, edges[end])
    first_h = np.clip(floor_h - edges[:-1, None], 0.0, hours[:, None]) * (start <= slots)
    room_h = np.maximum(0.0, duty.headroom_kwh[rows] - duty.gap_kwh[rows]) / power_kw
    movers = Movers(power_kw, np.minimum(room_h, edges[end] - floor_h), _or_none(floor_h), end)
    table = free.joined(table_of(from_whole_slots(movers, hours), hours))
    taken = first_h * power_kw
    asked = np.maximum(0.0, wanted_kwh - taken.sum(axis=1))
    reach, levels = within_reach(table, asked)
    plain = Plain(movers, hours, np.empty((hours.size, rows.size)))
    plain.walk(levels.z_h)
    taken += plain.moved_kwh
    left = np.maximum(0.0, duty.owed_kwh[rows] - taken.sum(axis=0))
    for slot in range(hours.size):
        most = np.where((start <= slot) & (slot < end), power_kw * hours[slot], 0.0)
        more = np.clip(left, 0.0, most - taken[slot])
        taken[slot] += more
        left -= more
    return taken, np.minimum(wanted_kwh, wanted_kwh - asked + reach)


def _or_none(from_h: FloatArray) -> FloatArray | None:
    return from_h if from_h.any() else None
