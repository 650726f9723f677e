"""A fleet as a table over (first slot, departure, time-to-go), and the thresholds that share a request on it.

A car's time-to-go is what it can still move, in hours at full power. Walking the slots backwards, each slot
is served by the cars with the longest time-to-go: all above a threshold z, a car with time-to-go x for
``clip(x - z, 0, slot)`` hours. Backwards in time departures are arrivals, and all cars share one end, so that
nothing a later slot takes is missed by an earlier one. A car that arrives in the event counts from then only,
so its time-to-go is measured from its arrival. The table's size does not depend on the fleet's; what a car
brings is split linearly between the two bins around it, exact wherever slots are whole numbers of bins.

Source: Evans, Tindemans, Angeli, IEEE TSG 2020 (arXiv 1805.09315), with departures and arrivals.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from dispatch.split_cars import FloatArray, IntArray, blocks_of, summed

BINS_PER_SLOT = 64
MOST_BINS = 1536
SETS_UP_TO = 12
"""Slots up to which the trimming of a request looks at every set of slots."""

_MET = 1 - 1e-9
_ROUNDED = 1 + 1e-11
"""Where a curve bends, sums in another order must not choose the other side."""
_LEAST_STEP_KWH = 1e-300


@dataclass(frozen=True, slots=True, eq=False)
class Movers:
    """Cars that may move energy one way, shape (cars,).

    Attributes:
        power_kw: Most each can move, 0 for those that do nothing. [kW AC]
        to_go_h: What it can move in the event, in hours at that power. [h]
        from_h: When it may begin, from the event's start; None where all may at once. [h]
        end: First slot in which it is gone.
    """

    power_kw: FloatArray
    to_go_h: FloatArray
    from_h: FloatArray | None
    end: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Power by first slot, last slot and time-to-go.

    Attributes:
        edges_h: Start of each slot, and the end of the last, from the event's start, shape (slots + 1,).
        bin_h: Width of a bin of time-to-go.
        first: First slot of each group of cars, rising, shape (groups,).
        power_kw: Shape (groups, slots, bins): by last slot, and by time-to-go in multiples of ``bin_h``.
        beside_kwh: Finds what the cars can move in every set of slots beyond what that says, shape
            (2**slots,); None where nothing more is known.
    """

    edges_h: FloatArray
    bin_h: float
    first: IntArray
    power_kw: FloatArray
    beside_kwh: Callable[[], FloatArray] | None = None

    def joined(self, other: "Table") -> "Table":
        """Return the table of both fleets over the same slots."""
        first = np.union1d(self.first, other.first)
        power = np.zeros((first.size, *self.power_kw.shape[1:]))
        for table in (self, other):
            power[np.searchsorted(first, table.first)] += table.power_kw
        beside = [table.beside_kwh for table in (self, other) if table.beside_kwh is not None]
        found = (lambda: np.sum([find() for find in beside], axis=0)) if beside else None
        return Table(self.edges_h, self.bin_h, first, power, found)

    def known_by_sets(self, able_kwh: Callable[[], FloatArray]) -> "Table":
        """Return the table of cars of which more is known: what they can move in every set of slots."""
        return replace(self, beside_kwh=lambda: able_kwh() - _over_sets(self))


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """How a request is shared, shape (slots,).

    Attributes:
        z_h: Threshold: cars with a longer time-to-go serve the slot. [h]
        served_kwh: What the table delivers.
        slope_kw: What an hour less of threshold would add.
    """

    z_h: FloatArray
    served_kwh: FloatArray
    slope_kw: FloatArray


def table_of(movers: Movers, hours: FloatArray) -> Table:
    """Return the table of a fleet over slots of these lengths."""
    edges = edges_of(hours)
    width = max(float(hours[-1]) / BINS_PER_SLOT, float(edges[-1]) / MOST_BINS)
    if width < hours[-1]:
        width = float(hours[-1]) / int(hours[-1] / width * (1 + 1e-9))
    bins = int(np.ceil(edges[-1] / width)) + 2
    first, group = np.zeros(1, np.intp), None
    if movers.from_h is not None:
        slot = np.minimum(np.searchsorted(edges, movers.from_h, side="right") - 1, hours.size - 1)
        first, group = np.unique(slot, return_inverse=True)
        group = group.reshape(-1)
    size = max(1, first.size) * hours.size * bins
    power, above_kw = np.zeros(size), np.zeros(size)
    for block in blocks_of(movers.end.size):
        at = movers.to_go_h[block] * (1 / width)
        below = np.minimum(at.astype(np.int32), bins - 2)
        cell = (np.maximum(movers.end[block], 1) - 1) * bins + below
        if group is not None:
            cell += group[block] * (hours.size * bins)
        above_kw += summed(cell, movers.power_kw[block] * (at - below), size)
        power += summed(cell, movers.power_kw[block], size)
    power -= above_kw
    power[1:] += above_kw[:-1]
    return Table(edges, width, first, power.reshape(-1, hours.size, bins)[: first.size])


def from_whole_slots(movers: Movers, hours: FloatArray) -> Movers:
    """Return movers that begin with a slot in place of some that begin within one: the same in every sum.

    What a car can move in a set of slots is linear in its time-to-go and its part of the first slot, but
    for kinks where either, or the two taken together, is whole: so a car is three that are all whole.
    """
    if movers.from_h is None:
        return movers
    edges, slot_h = edges_of(hours), float(hours[-1])
    first = np.clip(np.searchsorted(edges, movers.from_h, side="right") - 1, 0, hours.size - 1)
    part = np.clip((edges[first + 1] - movers.from_h) / hours[first], 0.0, 1.0)
    count, over = np.divmod(movers.to_go_h / slot_h, 1.0)
    both = np.minimum(part, over)
    shares = (both, np.abs(over - part), 1.0 - np.maximum(part, over))
    more = over >= part
    firsts = (first, first + more, first + 1)
    counts = (count + 1, count + more, count)
    return Movers(
        power_kw=np.concatenate([movers.power_kw * share for share in shares]),
        to_go_h=np.concatenate(counts) * slot_h,
        from_h=edges[np.concatenate(firsts)],
        end=np.tile(movers.end, len(shares)),
    )


def edges_of(hours: FloatArray) -> FloatArray:
    """Return the start of each slot and the end of the last. [h]"""
    return np.concatenate(([0.0], np.cumsum(hours)))


def thresholds(table: Table, wanted_kwh: FloatArray) -> Levels:
    """Return each slot's threshold, and what the table delivers by it.

    If not all can be had, what is missing is missing from the earliest slots: see ``now_first_kwh``.

    Args:
        table: The fleet.
        wanted_kwh: At least 0, shape (slots,).
    """
    slots, bins = table.power_kw.shape[1:]
    at_h = np.arange(bins) * table.bin_h
    start_h = table.edges_h[table.first][:, None]
    z_h, served, slope_kw = np.full(slots, at_h[-1]), np.zeros(slots), np.zeros(slots)
    power = np.zeros((table.first.size, bins))
    for slot in range(slots - 1, -1, -1):
        here = int(np.searchsorted(table.first, slot, side="right"))
        power = power[:here] + table.power_kw[:here, slot]
        if here == 0 or wanted_kwh[slot] <= 0:
            continue
        slot_h = float(table.edges_h[slot + 1] - table.edges_h[slot])
        curve = _served_at(power, start_h[:here, 0], slot_h, table.bin_h)
        z_h[slot], served[slot], slope_kw[slot] = _level(curve, wanted_kwh[slot], table.bin_h)
        left_h = np.minimum(at_h, np.maximum(z_h[slot] - start_h[:here], 0.0))
        power = _moved(power, np.maximum(at_h - slot_h, left_h), table.bin_h)
    return Levels(z_h, served, slope_kw)


def within_reach(table: Table, wanted_kwh: FloatArray) -> tuple[FloatArray, Levels]:
    """Return what can be met of a request, the present slot first, and the thresholds for it."""
    if float(wanted_kwh.sum()) <= _most_kwh(table):
        levels = thresholds(table, wanted_kwh)
        if float(levels.served_kwh.sum()) >= float(wanted_kwh.sum()) * _MET:
            return wanted_kwh, levels
    reach = now_first_kwh(table, wanted_kwh)
    if float(reach.sum()) >= float(wanted_kwh.sum()) * _MET:
        reach = wanted_kwh
    return reach, thresholds(table, reach)


def now_first_kwh(table: Table, wanted_kwh: FloatArray) -> FloatArray:
    """Trim a request to what can be met: the present slot in full first, the latest trimmed first.

    What the first k slots can have, taken alone, rises with k by what slot k adds: that is the greedy
    optimum of a polymatroid, so nothing is lost in total.
    """
    totals = _totals_by_sets(table, wanted_kwh) if wanted_kwh.size <= SETS_UP_TO else None
    if totals is None:
        totals = np.array([_total_of_first(table, wanted_kwh, slots) for slots in range(wanted_kwh.size + 1)])
    return np.clip(np.diff(totals), 0.0, wanted_kwh)


def _served_at(power: FloatArray, start_h: FloatArray, slot_h: float, bin_h: float) -> FloatArray:
    """Return what all groups serve in a slot at thresholds of 0, 1, 2, ... bins, falling. [kWh]"""
    above = np.cumsum(power[:, ::-1], axis=1)[:, ::-1]
    beyond = np.zeros_like(power)
    beyond[:, :-1] = bin_h * np.cumsum(above[:, :0:-1], axis=1)[:, ::-1]
    bins, whole = power.shape[1], int(slot_h / bin_h + 1e-9)
    part = max(0.0, slot_h / bin_h - whole)
    later = np.concatenate((beyond, np.zeros((power.shape[0], whole + 2))), axis=1)[:, whole:]
    curve = beyond - (1 - part) * later[:, :bins] - part * later[:, 1 : bins + 1]
    total = np.zeros(bins)
    for own, start in zip(curve, start_h, strict=True):
        total += own if start == 0 else np.interp(np.arange(bins) - start / bin_h, np.arange(bins), own)
    return total


def _level(curve: FloatArray, wanted_kwh: float, bin_h: float) -> tuple[float, float, float]:
    """Return the threshold at which a falling curve is what is wanted, what it then is, and how it falls."""
    rounded = wanted_kwh * _ROUNDED
    if curve[0] <= rounded:
        return 0.0, float(curve[0]), 0.0
    place = min(curve.size - int(np.searchsorted(curve[::-1], rounded, side="right")), curve.size - 1)
    step = max(float(curve[place - 1] - curve[place]), _LEAST_STEP_KWH)
    return (place - (wanted_kwh - float(curve[place])) / step) * bin_h, wanted_kwh, step / bin_h


def _moved(power: FloatArray, to_h: FloatArray, bin_h: float) -> FloatArray:
    """Return the power by time-to-go once each bin has gone to a new time-to-go, split between two bins."""
    groups, bins = power.shape
    at = np.minimum(to_h / bin_h, bins - 1.0)
    below = np.minimum(at.astype(np.intp), bins - 2)
    cell = (below + np.arange(groups)[:, None] * bins).reshape(-1)
    above = (power * (at - below)).reshape(-1)
    result = summed(cell, power.reshape(-1) - above, groups * bins)
    result += summed(cell + 1, above, groups * bins)
    return result.reshape(groups, bins)


def _totals_by_sets(table: Table, wanted_kwh: FloatArray) -> FloatArray:
    """Return the most that the first 0, 1, 2, ... slots can have, from what every set of slots can."""
    slots = wanted_kwh.size
    most = _over_sets(table) - _sets_of(slots) @ wanted_kwh
    least = np.minimum.accumulate(most)[(1 << np.arange(slots + 1)) - 1]
    return np.asarray(least + np.concatenate(([0.0], np.cumsum(wanted_kwh))))


def _over_sets(table: Table) -> FloatArray:
    """Return what the cars can move in every set of slots, shape (2**slots,). [kWh]"""
    slots, bins = table.power_kw.shape[1:]
    inside = np.zeros((1 << slots, slots + 1))
    inside[:, 1:] = np.cumsum(_sets_of(slots) * np.diff(table.edges_h), axis=1)
    above = np.cumsum(table.power_kw[..., ::-1], axis=2)[..., ::-1]
    within = np.zeros_like(table.power_kw)
    within[..., 1:] = table.bin_h * np.cumsum(above[..., 1:], axis=2)
    most = np.zeros(1 << slots) if table.beside_kwh is None else table.beside_kwh()
    for group, first in enumerate(table.first.tolist()):
        for last in range(first, slots):
            if above[group, last, 0] > 0:
                length = (inside[:, last + 1] - inside[:, first]) / table.bin_h
                most += np.interp(length, np.arange(bins), within[group, last])
    return most


def _sets_of(slots: int) -> IntArray:
    """Return whether a slot is in a set, for every set, bit t for slot t, shape (2**slots, slots)."""
    return np.asarray((np.arange(1 << slots)[:, None] >> np.arange(slots)) & 1)


def _most_kwh(table: Table) -> float:
    """Return a bound on what the cars can move in all slots together."""
    at_h = np.arange(table.power_kw.shape[2]) * table.bin_h
    stays_h = table.edges_h[1:] - table.edges_h[table.first][:, None]
    return float((table.power_kw * np.minimum(at_h, np.maximum(0.0, stays_h)[..., None])).sum())


def _total_of_first(table: Table, wanted_kwh: FloatArray, slots: int) -> float:
    """Return the most that the first slots can have, the others wanting nothing."""
    if slots == 0:
        return 0.0
    power = table.power_kw[:, :slots].copy()
    power[:, -1] += table.power_kw[:, slots:].sum(axis=1)
    here = int(np.searchsorted(table.first, slots))
    part = Table(table.edges_h[: slots + 1], table.bin_h, table.first[:here], power[:here])
    return float(thresholds(part, wanted_kwh[:slots]).served_kwh.sum())
