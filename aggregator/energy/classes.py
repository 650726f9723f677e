"""A fleet as a small table over runs of slots and whole times-to-go, whatever its size, nothing lost.

A car that moves up to E in the slots of its run, p D in each, can do min(E, p D k) in k of them: piecewise
linear in its time-to-go E/(p D) with kinks at whole numbers only, so splitting it linearly between the
whole times-to-go around its own loses nothing. A car that moves at full power first has less room in the
slot in which that ends: it is the sum of a car that has all of that slot and one that has none of it.
"""

from dataclasses import dataclass

import numpy as np

from aggregator.energy.cars import TINY_KWH, BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Cars that each move up to an energy in a run of slots, at up to a power.

    Attributes:
        start: First slot of the run, shape (cars,).
        stop: First slot after it, shape (cars,); a run may be empty.
        energy_kwh: Most in all, shape (cars,). [kWh AC]
        per_slot_kwh: Most in a slot, shape (cars,). [kWh AC]
    """

    start: IntArray
    stop: IntArray
    energy_kwh: FloatArray
    per_slot_kwh: FloatArray

    def at(self, rows: BoolArray | IntArray) -> "Runs":
        """Return the runs of the cars ``rows`` only."""
        return Runs(self.start[rows], self.stop[rows], self.energy_kwh[rows], self.per_slot_kwh[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Lead:
    """Cars that move at full power in the first slots of their run, until an amount is reached.

    Attributes:
        start: First slot of the run, shape (cars,).
        whole: First slot not wholly taken, shape (cars,).
        part: Share taken of that slot, in [0, 1), shape (cars,).
        per_slot_kwh: Full power, shape (cars,). [kWh AC]
    """

    start: IntArray
    whole: IntArray
    part: FloatArray
    per_slot_kwh: FloatArray

    @classmethod
    def of(cls, start: IntArray, amount_kwh: FloatArray, per_slot_kwh: FloatArray) -> "Lead":
        """Return the lead that moves ``amount_kwh``, shape (cars,), which must fit in the run. [kWh AC]"""
        taken = np.divide(amount_kwh, per_slot_kwh, out=np.zeros(len(start)), where=per_slot_kwh > 0.0)
        whole = np.floor(taken + TINY_KWH)
        part = np.where(taken - whole > TINY_KWH, taken - whole, 0.0)
        return cls(start, start + whole.astype(np.int64), part, per_slot_kwh)

    def per_slot(self, slots: int) -> FloatArray:
        """Return what each car moves in each slot, shape (cars, slots). [kWh AC]"""
        slot = np.arange(slots)
        share = (slot >= self.start[:, None]) & (slot < self.whole[:, None])
        share_then = share + (slot == self.whole[:, None]) * self.part[:, None]
        return np.asarray(share_then * self.per_slot_kwh[:, None])

    def total(self, slots: int) -> FloatArray:
        """Return what all cars move in each slot, shape (slots,). [kWh AC]"""
        begun = np.bincount(self.start, self.per_slot_kwh, slots + 1)
        ended = np.bincount(np.minimum(self.whole, slots), self.per_slot_kwh, slots + 1)
        part = np.bincount(np.minimum(self.whole, slots), self.part * self.per_slot_kwh, slots + 1)
        return np.asarray((np.cumsum(begun - ended) + part)[:slots])

    def then(self, stop: IntArray, energy_kwh: FloatArray) -> Runs:
        """Return what the cars can move beside it, as two runs a car: all first ones, then all second.

        Args:
            stop: First slot after each car's run.
            energy_kwh: Most beside the lead, at most what the run leaves. [kWh AC]
        """
        left = 1.0 - self.part
        full_kwh = self.per_slot_kwh
        to_go = np.divide(energy_kwh, full_kwh, out=np.zeros(len(stop)), where=full_kwh > 0.0)
        whole = np.floor(to_go)
        part = to_go - whole
        first_kwh = full_kwh * (left * whole + np.minimum(part, left))
        second_kwh = full_kwh * (self.part * whole + np.maximum(0.0, part - left))
        return Runs(
            np.concatenate([self.whole, np.minimum(self.whole + 1, np.maximum(stop, self.whole))]),
            np.concatenate([stop, stop]),
            np.concatenate([first_kwh, second_kwh]),
            np.concatenate([full_kwh * left, full_kwh * self.part]),
        )


def class_table(runs: Runs, slots: int) -> FloatArray:
    """Return the sum over cars of min(energy, per_slot k).

    Returns:
        By start and stop of the run and by k, each from 0 to ``slots``. [kWh AC]
    """
    start = np.minimum(runs.start, slots)
    length = np.maximum(0, runs.stop - start)
    usable = (runs.per_slot_kwh > 0.0) & (length > 0)
    to_go = np.divide(runs.energy_kwh, runs.per_slot_kwh, out=np.zeros(len(length)), where=usable)
    to_go = np.minimum(to_go, length)
    whole = np.minimum(to_go.astype(np.int64), slots - 1)
    part = to_go - whole
    side = slots + 1
    cell = (start * side + start + length) * side + whole
    weight_kwh = np.where(usable, runs.per_slot_kwh, 0.0)
    weights = np.bincount(cell, weight_kwh * (1.0 - part), side**3)
    weights += np.bincount(cell + 1, weight_kwh * part, side**3 + 1)[: side**3]
    count = np.arange(side)
    reach = np.minimum(count[:, None], count).astype(np.float64)
    return np.asarray(weights.reshape(side, side, side) @ reach, dtype=np.float64)


def mirrored(table: FloatArray) -> FloatArray:
    """Return the table of cars that must move all their energy, negative, by the slots asked of them.

    With k of a run's L slots asked, min(energy, per_slot (L - k)) still fits in the others: the rest is
    moved where it is not wanted.
    """
    count = np.arange(len(table))
    start, stop = count[:, None, None], count[:, None]
    others = np.maximum(0, stop - start - count)
    return np.asarray(table[start, stop, others] - table[start, stop, np.maximum(0, stop - start)])


def with_lead(table: FloatArray, lead_kwh: FloatArray) -> FloatArray:
    """Return the table with an amount more in each slot, shape (slots,). [kWh AC]"""
    slot = np.arange(len(lead_kwh))
    more = table.copy()
    more[slot, slot + 1, 1:] += lead_kwh[:, None]
    return more


def over_sets(table: FloatArray) -> FloatArray:
    """Return what all runs come to in every set of slots, shape (2**slots,). [kWh AC]"""
    slots = len(table) - 1
    sets, size = all_sets(slots)
    total = np.zeros(len(sets))
    for start in range(slots):
        for stop in range(start + 1, slots + 1):
            total += table[start, stop][size[sets & ((1 << stop) - (1 << start))]]
    return total


def run_over_sets(runs: Runs, slots: int) -> FloatArray:
    """Return min(energy, per_slot |S & run|) of each car, shape (cars, 2**slots). [kWh AC]"""
    sets, size = all_sets(slots)
    start = np.minimum(runs.start, slots)
    run = (1 << np.maximum(runs.stop, start)) - (1 << start)
    kinds, kind = np.unique(run, return_inverse=True)
    count = size[sets & kinds[:, None]].astype(np.float64)
    table = count[kind]
    table *= runs.per_slot_kwh[:, None]
    return np.asarray(np.minimum(table, runs.energy_kwh[:, None], out=table))


def run_over_counts(runs: Runs, slots: int) -> FloatArray:
    """Return min(energy, per_slot k) of each car in k slots of its run, shape (cars, slots + 1). [kWh AC]"""
    count = np.minimum(np.arange(slots + 1), np.maximum(0, runs.stop - runs.start)[:, None])
    return np.asarray(np.minimum(runs.energy_kwh[:, None], runs.per_slot_kwh[:, None] * count))


def forced_over_counts(runs: Runs, slots: int) -> FloatArray:
    """Return the same for cars that must move all their energy: see `mirrored`; one run a car, no lead.

    Args:
        runs: As `Lead.then` returns them: the second ones are empty.
        slots: Length of the window.
    """
    first = runs.at(np.arange(len(runs.start) // 2))
    able = run_over_counts(first, slots)
    others = np.maximum(0, (first.stop - first.start)[:, None] - np.arange(slots + 1))
    return np.asarray(np.take_along_axis(able, others, axis=1) - able[:, -1:])


def all_sets(slots: int) -> tuple[IntArray, IntArray]:
    """Return the numbers of all sets of slots, bit t for slot t, and how many slots each has."""
    sets = np.arange(1 << slots)
    return sets, ((sets[:, None] >> np.arange(slots)) & 1).sum(axis=1)
