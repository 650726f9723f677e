"""Cars that no site binds, pooled by window: the program stays small and stays exact.

What a car can move in k of its slots, min(energy, power x hours), is linear between whole numbers of
slots. So a car is the same as two cars that share its power, one of which lasts a whole number of
slots and the other one more; cars that last equally long in one window add up to one unit. A pool's
share is then levelled over its own cars.
"""

from dataclasses import dataclass

import numpy as np

from dispatch.split_cars import BoolArray, FloatArray, IntArray
from dispatch.split_level import level_backwards
from dispatch.split_units import FREE, Units

_SAME = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Cars with one sign and one window, levelled together.

    Attributes:
        cars: Rows of the cars.
        start: First slot of the window.
        end: First slot after it.
        power_kw: Of each car, shape (cars,).
        energy_kwh: What each car moves at most, shape (cars,).
    """

    cars: IntArray
    start: int
    end: int
    power_kw: FloatArray
    energy_kwh: FloatArray

    def shared(self, wanted_kwh: FloatArray, hours: FloatArray) -> FloatArray:
        """Return each car's part of what the pool moves, shape (cars, slots). [kWh]"""
        moved = np.zeros((self.cars.size, hours.size))
        inside = slice(self.start, self.end)
        gone = np.full(self.cars.size, self.end - self.start)
        moved[:, inside] = level_backwards(
            self.energy_kwh, self.power_kw, gone, hours[inside], wanted_kwh[inside]
        )
        return moved


def poolable(units: Units, loose: BoolArray, hours: FloatArray) -> BoolArray:
    """Return the units that may be pooled: one power in one window, any power held, nothing else asked.

    Units that take are pooled only when what they take is fixed in total.
    """
    power = units.high_kwh / hours
    top = power.max(axis=1, keepdims=True, initial=0.0)
    even = (np.abs(power - top) <= _SAME * top) | (power == 0)
    fixed = (units.sign > 0) & (units.total_low_kwh == 0)
    fixed |= units.total_low_kwh == units.total_high_kwh
    plain = (units.least_kwh == 0).all(axis=1) & (units.low_kwh == 0).all(axis=1)
    found: BoolArray = loose & even.all(axis=1) & _unbroken(power > 0) & fixed & plain & (top[:, 0] > 0)
    return found & _lasts_whole_slots(hours)


def pools_of(units: Units, cars: IntArray, hours: FloatArray) -> list[Pool]:
    """Return the pools of the chosen units, in the order of sign and window."""
    inside = units.high_kwh[cars] > 0
    start = inside.argmax(axis=1)
    end = start + inside.sum(axis=1)
    power = (units.high_kwh[cars] / hours).max(axis=1)
    energy = np.minimum(units.total_high_kwh[cars], units.high_kwh[cars].sum(axis=1))
    keys = np.stack((units.sign[cars] > 0, start, end), axis=1)
    kinds, kind = np.unique(keys, axis=0, return_inverse=True)
    pools = []
    for number, (_, first, last) in enumerate(kinds.tolist()):
        own = np.flatnonzero(kind.reshape(-1) == number)
        pools.append(Pool(cars[own], first, last, power[own], energy[own]))
    return pools


def pooled_units(pool: Pool, sign: float, hours: FloatArray) -> Units:
    """Return the few units that stand for all cars of a pool; those that take do so in full."""
    lasts_h = _lasting(hours[pool.start : pool.end])
    to_go_h = np.minimum(pool.energy_kwh / pool.power_kw, lasts_h[-1])
    below = np.clip(np.searchsorted(lasts_h, to_go_h, side="right") - 1, 0, lasts_h.size - 2)
    above_part = (to_go_h - lasts_h[below]) / (lasts_h[below + 1] - lasts_h[below])
    power = np.bincount(below, pool.power_kw * (1 - above_part), minlength=lasts_h.size)
    power += np.bincount(below + 1, pool.power_kw * above_part, minlength=lasts_h.size)
    used = np.flatnonzero((power > 0) & (lasts_h > 0))
    high = np.zeros((used.size, hours.size))
    high[:, pool.start : pool.end] = power[used, None] * hours[pool.start : pool.end]
    total = power[used] * lasts_h[used]
    return Units(
        sign=np.full(used.size, sign),
        site=np.full(used.size, FREE, dtype=np.intp),
        low_kwh=np.zeros_like(high),
        high_kwh=high,
        least_kwh=np.zeros_like(high),
        total_low_kwh=total if sign < 0 else np.zeros_like(total),
        total_high_kwh=total,
    )


def _lasting(hours: FloatArray) -> FloatArray:
    """Return every length that some of these slots add up to, from 0: the first may differ from the rest."""
    rest = np.arange(hours.size) * hours[-1]
    found = np.unique(np.concatenate((rest, hours[0] + rest)))
    lengths: FloatArray = found[np.concatenate(([True], np.diff(found) > 1e-9 * hours[-1]))]
    return lengths


def _lasts_whole_slots(hours: FloatArray) -> bool:
    return bool(np.ptp(hours[1:]) <= _SAME) if hours.size > 1 else True


def _unbroken(inside: BoolArray) -> BoolArray:
    """Return the rows whose true entries lie next to each other."""
    starts: BoolArray = (np.diff(inside, axis=1, prepend=False) & inside).sum(axis=1) <= 1
    return starts
