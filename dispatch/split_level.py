"""Levelling backwards: the exact split where cars move one way and leave, but none arrives.

Walking the slots backwards, cars only appear and all share one end; serving each slot from the cars
with the longest time-to-go keeps the most for the slots before it. Cars with equal time-to-go get equal
shares, which is also what is fair among equals: no order of the list favours anyone.
Source: Evans, Tindemans, Angeli, IEEE TSG 2020 (arXiv 1805.09315), with departures.
"""

import numpy as np

from dispatch.split_cars import FloatArray, IntArray


def level_backwards(
    energy_kwh: FloatArray, power_kw: FloatArray, depart: IntArray, hours: FloatArray, wanted_kwh: FloatArray
) -> FloatArray:
    """Share every slot's energy among the cars plugged from slot 0 until ``depart``.

    The sum over slots is the most that can be had of ``wanted_kwh``; if not all can, what is missing is
    missing from the earliest slots, unless ``wanted_kwh`` was trimmed by ``now_first`` before.

    Args:
        energy_kwh: What each car can move in all, at least 0, shape (cars,).
        power_kw: Most each car can move, at least 0, shape (cars,).
        depart: First slot in which a car is gone, shape (cars,).
        hours: Length of each slot, shape (slots,).
        wanted_kwh: Energy wanted in each slot, at least 0, shape (slots,).

    Returns:
        Energy of each car in each slot, shape (cars, slots). [kWh]
    """
    to_go_h = np.divide(energy_kwh, power_kw, out=np.zeros_like(energy_kwh), where=power_kw > 0)
    moved = np.zeros((energy_kwh.size, hours.size))
    for slot in range(hours.size - 1, -1, -1):
        present = np.flatnonzero((depart > slot) & (to_go_h > 0))
        if present.size == 0 or wanted_kwh[slot] <= 0:
            continue
        left_h, power = to_go_h[present], power_kw[present]
        threshold = _threshold(wanted_kwh[slot], left_h, power, hours[slot])
        spent_h = np.clip(left_h - threshold, 0.0, hours[slot])
        to_go_h[present] = left_h - spent_h
        moved[present, slot] = power * spent_h
    return moved


def now_first(
    energy_kwh: FloatArray, power_kw: FloatArray, depart: IntArray, hours: FloatArray, wanted_kwh: FloatArray
) -> FloatArray:
    """Trim a request to what can be met: the present slot in full first, the latest trimmed first.

    What the first k slots can have, taken alone, rises with k by what slot k adds: that is the greedy
    optimum of a polymatroid, so nothing is lost in total.

    Returns:
        What ``level_backwards`` can meet in full, shape (slots,). [kWh]
    """
    wanted = np.maximum(wanted_kwh, 0.0)
    whole = level_backwards(energy_kwh, power_kw, depart, hours, wanted).sum()
    if whole >= wanted.sum() * (1 - 1e-12):
        return wanted
    totals = np.zeros(hours.size + 1)
    for slots in range(1, hours.size + 1):
        first = slice(0, slots)
        part = level_backwards(energy_kwh, power_kw, np.minimum(depart, slots), hours[first], wanted[first])
        totals[slots] = part.sum()
    return np.clip(np.diff(totals), 0.0, wanted)


def _threshold(wanted_kwh: float, left_h: FloatArray, power_kw: FloatArray, slot_h: float) -> float:
    """Return z with ``sum power * clip(left - z, 0, slot) = wanted``, or 0 if there is not so much."""
    at_h = np.concatenate((left_h, left_h - slot_h))
    order = np.argsort(-at_h, kind="stable")
    at_h = at_h[order]
    slope_kw = np.cumsum(np.concatenate((power_kw, -power_kw))[order])
    reached = np.concatenate(([0.0], np.cumsum(slope_kw[:-1] * -np.diff(at_h))))
    reached = np.maximum.accumulate(reached)
    place = int(np.searchsorted(reached, wanted_kwh, side="left"))
    if place == 0:
        return float(at_h[0])
    if place == reached.size:
        return max(0.0, float(at_h[-1]))
    step_kwh = reached[place] - reached[place - 1]
    share = (wanted_kwh - reached[place - 1]) / step_kwh
    return max(0.0, float(at_h[place - 1] + share * (at_h[place] - at_h[place - 1])))
