"""What a fleet can deliver in a window: one number for every set of its slots, exact, losses included.

A profile can be split into what single cars can do exactly if for every set S of slots its energy in S is
at most h(S): the sums of such sets of profiles ("polymatroids") add up, and so do their numbers. A car's
own number is min(E, p D k) with k the plugged slots of S, piecewise linear in its time-to-go E/(p D) with
kinks at whole numbers only. Splitting each car linearly between the whole times-to-go around its own loses
nothing, so the fleet is a small table over (arrival, departure, time-to-go), whatever its size. Cars that
must charge are the same in mirror image. A site's limit cuts the table in one pass per slot.

Sources: Evans, Tindemans, Angeli, IEEE TSG 2020 (arXiv 1805.09315); Edmonds 1970 on sums of polymatroids.
"""

from dataclasses import dataclass

import numpy as np

from aggregator.energy.cars import TINY_KWH, BoolArray, FloatArray, IntArray
from aggregator.energy.window import FleetWindow

MOST_SLOTS = 12
"""Above this a table of 2^n numbers is the wrong tool."""
CELLS = 1 << 22
"""Numbers held at once where cars are looked at one by one."""


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Cars that each move up to an energy in a run of slots, at up to a power.

    Attributes:
        start: First slot of the run, shape (cars,).
        stop: First slot after it, shape (cars,).
        energy_kwh: Most in all, shape (cars,). [kWh AC]
        per_slot_kwh: Most in a slot, shape (cars,). [kWh AC]
    """

    start: IntArray
    stop: IntArray
    energy_kwh: FloatArray
    per_slot_kwh: FloatArray


def capability_kwh(window: FleetWindow, slot_hours: float) -> FloatArray:
    """Return h(S): most net export of the fleet in every set S of the window's slots.

    Args:
        window: The cars; must-charge cars only charge, all others only discharge.
        slot_hours: Length of a slot. [h]

    Returns:
        Shape (2**slots,): bit t of the index stands for slot t. Export positive; below 0 where must-charge
        cars draw more than the others give. The entry of the empty set is 0 or less. [kWh AC]

    Raises:
        ValueError: If the window has more than 12 slots, or ``slot_hours`` is not the window's.
    """
    _check(window, slot_hours)
    giving_kw = np.where(window.exportable_kwh > 0.0, window.discharge_kw, 0.0)
    shared = _bound_by_site(window, giving_kw, window.export_room_kw)
    alone = ~shared & window.present
    table = _runs_table(_giving(window, alone & ~window.must_charge), window.slots)
    table -= _must_charge_table(window, alone & window.must_charge)
    for rows, groups in _groups(window, shared):
        must = window.must_charge[rows]
        per_car = _per_car(_giving(window, rows), window.slots) - np.where(
            must[:, None], _must_charge_per_car(window, rows), 0.0
        )
        table += _cut_sites(per_car, window.site[rows], groups, window.export_room_kw * slot_hours)
    return table


def turn_down_kwh(window: FleetWindow, slot_hours: float) -> FloatArray:
    """Return the mirror of `capability_kwh` for down products: most import in every set of slots.

    Args:
        window: The cars; all count with what fits into them.
        slot_hours: Length of a slot. [h]

    Returns:
        Shape (2**slots,), at least 0. [kWh AC]

    Raises:
        ValueError: If the window has more than 12 slots, or ``slot_hours`` is not the window's.
    """
    _check(window, slot_hours)
    shared = _bound_by_site(window, window.charge_kw, window.import_room_kw)
    table = _runs_table(_taking(window, ~shared & window.present), window.slots)
    for rows, groups in _groups(window, shared):
        per_car = _per_car(_taking(window, rows), window.slots)
        table += _cut_sites(per_car, window.site[rows], groups, window.import_room_kw * slot_hours)
    return table


def _check(window: FleetWindow, slot_hours: float) -> None:
    if window.slots > MOST_SLOTS:
        raise ValueError(f"a window of {window.slots} slots has no table; at most {MOST_SLOTS}")
    if slot_hours != window.slot_hours:
        raise ValueError(f"the window was made for slots of {window.slot_hours} h, not {slot_hours} h")


def _bound_by_site(window: FleetWindow, power_kw: FloatArray, room_kw: FloatArray) -> BoolArray:
    """Return the cars on sites that several come to and whose room may bind, shape (cars,)."""
    asked_kw = np.bincount(window.site, np.where(window.present, power_kw, 0.0), len(room_kw))
    return np.asarray(window.present & ~window.alone & (asked_kw > room_kw + TINY_KWH)[window.site])


def _giving(window: FleetWindow, rows: BoolArray | IntArray) -> Runs:
    return Runs(
        window.arrive[rows],
        window.depart[rows],
        window.exportable_kwh[rows],
        window.discharge_kw[rows] * window.slot_hours,
    )


def _taking(window: FleetWindow, rows: BoolArray | IntArray) -> Runs:
    return Runs(
        window.arrive[rows],
        window.depart[rows],
        window.fillable_kwh[rows],
        window.charge_kw[rows] * window.slot_hours,
    )


def _sets(slots: int) -> tuple[IntArray, IntArray]:
    """Return all sets of slots, and how many slots each has."""
    sets = np.arange(1 << slots)
    return sets, ((sets[:, None] >> np.arange(slots)) & 1).sum(axis=1)


def _mask(start: IntArray, stop: IntArray) -> IntArray:
    """Return the set of the slots from ``start`` to before ``stop``; empty where there is none."""
    return np.asarray((1 << np.maximum(stop, start)) - (1 << start))


def _class_table(runs: Runs, slots: int) -> FloatArray:
    """Return sum of min(energy, per_slot k) over (start, stop, k), each from 0 to slots. [kWh AC]"""
    length = np.maximum(0, runs.stop - runs.start)
    usable = (runs.per_slot_kwh > 0.0) & (length > 0)
    to_go = np.divide(runs.energy_kwh, runs.per_slot_kwh, out=np.zeros(len(length)), where=usable)
    to_go = np.minimum(to_go, length)
    whole = np.minimum(to_go.astype(np.int64), slots - 1)
    part = to_go - whole
    side = slots + 1
    cell = (runs.start * side + np.maximum(runs.stop, runs.start)) * side + whole
    weight_kwh = np.where(usable, runs.per_slot_kwh, 0.0)
    weights = np.bincount(cell, weight_kwh * (1.0 - part), side**3)
    weights += np.bincount(cell + 1, weight_kwh * part, side**3 + 1)[: side**3]
    count = np.arange(side)
    reach = np.minimum(count[:, None], count).astype(np.float64)
    return np.asarray(weights.reshape(side, side, side) @ reach, dtype=np.float64)


def _runs_table(runs: Runs, slots: int) -> FloatArray:
    """Return sum over cars of min(energy, per_slot |S & run|) for every S, shape (2**slots,). [kWh AC]"""
    by_class = _class_table(runs, slots)
    sets, size = _sets(slots)
    table = np.zeros(len(sets))
    for start in range(slots):
        for stop in range(start + 1, slots + 1):
            run = (1 << stop) - (1 << start)
            table += by_class[start, stop][size[sets & run]]
    return table


def _tails(window: FleetWindow, rows: BoolArray | IntArray) -> tuple[IntArray, FloatArray, FloatArray, Runs]:
    """Return how must-charge cars can take their rest: in a first slot with less room, then in equal ones.

    Returns:
        The first slot with room, the room in it, the rest, and the run of equal slots after it.
    """
    room_kwh, rest_kwh = window.rest_room_kwh[rows], window.rest_kwh[rows]
    first = np.minimum(np.argmax(room_kwh > 0.0, axis=1), window.slots - 1) if len(room_kwh) else _NONE
    in_first_kwh = np.take_along_axis(room_kwh, first[:, None], axis=1)[:, 0]
    stop = np.maximum(window.depart[rows], first + 1)
    return first, in_first_kwh, rest_kwh, Runs(first + 1, stop, rest_kwh, room_kwh.max(axis=1, initial=0.0))


_NONE = np.zeros(0, dtype=np.int64)


def _must_charge_table(window: FleetWindow, rows: BoolArray) -> FloatArray:
    """Return sum over cars of fix(S) + max(0, rest - room outside S), shape (2**slots,). [kWh AC]

    Outside S the room is that of the first slot, if S leaves it, and of k equal slots: what must then be
    taken in S is again piecewise linear in k with kinks at whole numbers, once with and once without it.
    """
    slots = window.slots
    sets, size = _sets(slots)
    member = ((sets[:, None] >> np.arange(slots)) & 1).astype(np.float64)
    table: FloatArray = member @ window.fix_kwh[rows].sum(axis=0)
    first, in_first_kwh, rest_kwh, tail = _tails(window, rows)
    left_kwh = np.maximum(0.0, rest_kwh - in_first_kwh)
    for inside, amount_kwh in ((True, rest_kwh), (False, left_kwh)):
        by_class = _class_table(Runs(tail.start, tail.stop, amount_kwh, tail.per_slot_kwh), slots)
        sums = np.bincount(first * (slots + 1) + tail.stop, amount_kwh, slots * (slots + 1) + slots + 1)
        for start in range(slots):
            chosen = ((sets >> start) & 1).astype(bool) == inside
            for stop in range(start + 1, slots + 1):
                outside = size[((1 << stop) - (1 << (start + 1))) & ~sets]
                forced = sums[start * (slots + 1) + stop] - by_class[start + 1, stop][outside]
                table += np.where(chosen, forced, 0.0)
    return table


def _per_car(runs: Runs, slots: int) -> FloatArray:
    """Return min(energy, per_slot |S & run|) of each car, shape (cars, 2**slots). [kWh AC]"""
    sets, size = _sets(slots)
    count = size[sets & _mask(runs.start, runs.stop)[:, None]]
    return np.asarray(np.minimum(runs.energy_kwh[:, None], runs.per_slot_kwh[:, None] * count))


def _must_charge_per_car(window: FleetWindow, rows: IntArray) -> FloatArray:
    """Return fix(S) + max(0, rest - room outside S) of each car, shape (cars, 2**slots). [kWh AC]"""
    sets, _ = _sets(window.slots)
    member = ((sets >> np.arange(window.slots)[:, None]) & 1).astype(np.float64)
    outside_kwh = window.rest_room_kwh[rows] @ (1.0 - member)
    left_kwh: FloatArray = np.maximum(0.0, window.rest_kwh[rows][:, None] - outside_kwh)
    return np.asarray(window.fix_kwh[rows] @ member + left_kwh)


def _groups(window: FleetWindow, shared: BoolArray) -> list[tuple[IntArray, IntArray]]:
    """Return the cars of shared sites in bunches of whole sites, each with where its sites begin.

    A bunch is as large as memory for its cars' tables allows, but never less than a site.
    """
    rows = np.flatnonzero(shared)
    rows = rows[np.argsort(window.site[rows], kind="stable")]
    if not rows.size:
        return []
    begins = np.flatnonzero(np.diff(window.site[rows], prepend=-1))
    bunch = begins // max(1, CELLS >> window.slots)
    first = begins[np.flatnonzero(np.diff(bunch, prepend=-1))]
    stops = np.append(first[1:], len(rows))
    return [
        (rows[start:stop], begins[(begins >= start) & (begins < stop)] - start)
        for start, stop in zip(first, stops, strict=True)
    ]


def _cut_sites(per_car: FloatArray, site: IntArray, begins: IntArray, room_kwh: FloatArray) -> FloatArray:
    """Return the sum over sites of h cut to the site's room, shape (2**slots,). [kWh AC]

    The least over S' in S of h(S') + room |S without S'|: each slot in turn is kept or paid for with room.
    """
    table = np.add.reduceat(per_car, begins, axis=0)
    room = room_kwh[site[begins]][:, None, None]
    half = 1
    while half < table.shape[1]:
        pairs = table.reshape(len(table), -1, 2, half)
        np.minimum(pairs[:, :, 1], pairs[:, :, 0] + room, out=pairs[:, :, 1])
        half *= 2
    return np.asarray(table.sum(axis=0))
