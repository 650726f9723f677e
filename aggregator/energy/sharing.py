"""Sites whose room binds: exact by one table a site, or as fixed shares of the room for each car.

Shares are levelled: all cars of a slot get the same time-to-go, but for those whose own power is less. That
loses nothing where all cars of a site are there for the same slots, and is on the safe side elsewhere, as
no slot's shares exceed the room.
"""

from collections.abc import Iterator

import numpy as np

from aggregator.energy.cars import TINY_KWH, BoolArray, FloatArray, IntArray
from aggregator.energy.classes import Runs
from aggregator.energy.rooms import by_slot

CELLS = 1 << 20
"""Numbers held at once where cars are looked at one by one."""
ROUNDS = 4
"""Times that room is shared."""


def bound_by_site(site: IntArray, present: BoolArray, power_kw: FloatArray, room_kw: FloatArray) -> BoolArray:
    """Return the present cars that would overload their site with others there, shape (cars,)."""
    asked_kw = np.bincount(site, np.where(present, power_kw, 0.0), len(room_kw))
    there = np.bincount(site[present], minlength=len(room_kw))
    return np.asarray(present & ((asked_kw > room_kw + TINY_KWH) & (there > 1))[site])


def together(start: IntArray, stop: IntArray, site: IntArray, sites: int) -> BoolArray:
    """Return whether all cars of a car's site have the same run, shape (cars,)."""
    same = np.ones(sites, dtype=bool)
    for bound in (start, stop):
        any_bound = np.zeros(sites, dtype=np.int64)
        any_bound[site] = bound
        np.logical_and.at(same, site, bound == any_bound[site])
    return np.asarray(same[site])


def bunches(site: IntArray, cells: int) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield the cars in bunches of whole sites, each with where its sites begin.

    A bunch is as large as memory for ``cells`` numbers a car allows, but never less than a site.
    """
    rows = np.argsort(site, kind="stable")
    if not rows.size:
        return
    begins = np.flatnonzero(np.diff(site[rows], prepend=-1))
    bunch = begins // max(1, CELLS // cells)
    first = begins[np.flatnonzero(np.diff(bunch, prepend=-1))]
    for start, stop in zip(first, np.append(first[1:], len(rows)), strict=True):
        yield rows[start:stop], begins[(begins >= start) & (begins < stop)] - start


def cut_to_room(per_car: FloatArray, begins: IntArray, room_kwh: FloatArray) -> FloatArray:
    """Return the sum over sites of h cut to the site's room, shape (2**slots,). [kWh AC]

    The least over S' in S of h(S') + room |S without S'|: each slot in turn is kept or paid for with room.

    Args:
        per_car: What each car can do in every set of slots, shape (cars, 2**slots). [kWh AC]
        begins: First car of each site.
        room_kwh: Room of each site in a slot, shape (sites,) or (sites, slots). [kWh AC]
    """
    table = np.ascontiguousarray(np.add.reduceat(per_car, begins, axis=0).T)
    slots = len(table).bit_length() - 1
    cut(table, np.broadcast_to(by_slot(room_kwh), (len(begins), slots)).T)
    return np.asarray(table.sum(axis=1))


def cut(table: FloatArray, room_kwh: FloatArray) -> None:
    """Cut what sites can do to their rooms, in place.

    Args:
        table: In every set of slots, shape (2**slots, sites). [kWh AC]
        room_kwh: Shape (slots, sites). [kWh AC]
    """
    for slot, room in enumerate(room_kwh):
        pairs = table.reshape(-1, 2, 1 << slot, table.shape[1])
        np.minimum(pairs[:, 1], pairs[:, 0] + room, out=pairs[:, 1])


def by_shares(runs: Runs, site: IntArray, room_kwh: FloatArray, slots: int) -> Runs:
    """Return cars that do no more together than the room of their sites, each of them a part of one.

    The room is shared over the cars' whole runs first, then what is left over the longest run of slots of
    each car that still have some, and so on. A car's energy is split as its shares are.

    Args:
        runs: The cars.
        site: Index of each car's site.
        room_kwh: Room of each site in a slot, shape (sites,) or (sites, slots). [kWh AC]
        slots: Length of the window.
    """
    found = [runs.at(np.arange(0)), *_in_rounds(runs, site, room_kwh, slots)]
    return Runs(*(np.concatenate([getattr(part, name) for part in found]) for name in Runs.__slots__))


def _in_rounds(runs: Runs, site: IntArray, room_kwh: FloatArray, slots: int) -> Iterator[Runs]:
    slot = np.arange(slots)
    for rows, begins in bunches(site, slots):
        cars = runs.at(rows)
        number = np.repeat(np.arange(len(begins)), np.diff(begins, append=len(rows)))
        there = (cars.start[:, None] <= slot) & (slot < cars.stop[:, None])
        left = np.broadcast_to(by_slot(room_kwh)[site[rows[begins]]], (len(begins), slots)).copy()
        moved = np.zeros(there.shape)
        parts = []
        for _ in range(ROUNDS):
            start, stop = _longest(there & (left > TINY_KWH)[number])
            part = (start[:, None] <= slot) & (slot < stop[:, None])
            free = np.where(cars.energy_kwh > 0.0, cars.per_slot_kwh - (part * moved).max(axis=1), 0.0)
            more = part * _levelled(free, cars.energy_kwh, part, begins, left)[:, None]
            moved += more
            left = np.maximum(0.0, left - np.add.reduceat(more, begins, axis=0))
            parts.append((start, stop, more))
        total = np.maximum(moved.sum(axis=1), TINY_KWH)
        for start, stop, more in parts:
            yield Runs(start, stop, cars.energy_kwh * more.sum(axis=1) / total, more.max(axis=1))


def _longest(there: BoolArray) -> tuple[IntArray, IntArray]:
    """Return the start and stop of the longest run of true entries of each row, the first of equal ones."""
    rows, slots = there.shape
    length = np.zeros((rows, slots + 1), dtype=np.int64)
    for slot in range(slots):
        length[:, slot + 1] = (length[:, slot] + 1) * there[:, slot]
    stop = length.argmax(axis=1)
    return stop - length[np.arange(rows), stop], stop


def _levelled(
    power: FloatArray, energy: FloatArray, there: BoolArray, begins: IntArray, room: FloatArray
) -> FloatArray:
    """Return min(power, z energy) with the largest z that no slot's room, (sites, slots), forbids a car.

    A slot's z solves ``sum of min(power, z energy) = room``. With the cars in the order in which they meet
    their own power it is the largest of ``(room - power of the first k) / energy of the others``.
    """
    sizes = np.diff(begins, append=len(power))
    number = np.repeat(np.arange(len(begins)), sizes)
    meets = np.divide(power, energy, out=np.zeros_like(power), where=energy > 0.0)
    order = np.lexsort((meets, number))
    powers = _sums_before(power[order, None] * there[order], begins, sizes)
    energies = _sums_before(energy[order, None] * there[order], begins, sizes)
    total_power = np.add.reduceat(power[:, None] * there, begins, axis=0)
    total_energy = np.add.reduceat(energy[:, None] * there, begins, axis=0)
    others = total_energy[number] - energies
    level = np.divide(room[number] - powers, others, out=np.full_like(powers, -np.inf), where=others > 0.0)
    most = np.maximum(0.0, np.maximum.reduceat(level, begins, axis=0))
    most = np.where(total_power <= room, np.inf, most)
    least = np.where(there, most[number], np.inf).min(axis=1)
    return np.asarray(np.minimum(power, np.where(energy > 0.0, least, 0.0) * np.maximum(energy, TINY_KWH)))


def _sums_before(values: FloatArray, begins: IntArray, sizes: IntArray) -> FloatArray:
    """Return what the earlier cars of each site come to, slot by slot, shape (cars, slots)."""
    sums = np.cumsum(values, axis=0) - values
    return np.asarray(sums - np.repeat(sums[begins], sizes, axis=0))
