"""From thresholds to set-points: each car by itself, from its state and one number per slot.

Whatever the thresholds are, stale or plain wrong, no car moves more than it can, may or must: the state
alone bounds it, and a wrong number costs kW.
"""

from typing import Protocol

import numpy as np

from dispatch.split_cars import BoolArray, FloatArray, blocks_of
from dispatch.split_table import Levels, Movers, edges_of

AIM = 1e-5
"""Thresholds aim at this share more than is wanted; what is too much is taken from all alike."""
_MOST_STEPS = 12


class Part(Protocol):
    """Some cars of a fleet, walked backwards through the slots.

    Attributes:
        lowest_h: A threshold at which all move all they can.
    """

    lowest_h: float

    def begin(self, slot: int) -> None:
        """Go to a slot."""

    def offer_kwh(self, z_h: float) -> float:
        """Return what the cars move in the slot at a threshold. [kWh]"""

    def keep(self, share: float) -> None:
        """Move that share of the last offer."""

    def skip(self) -> None:
        """Move nothing in the slot."""

    def beyond_kwh(self, short: BoolArray) -> float:
        """Return a bound on what the cars could move more in some slots, and less in others. [kWh]"""


class Plain:
    """Cars that nothing but their own power, energy and window bounds.

    Attributes:
        left_h: What each car can still move, in hours at its power, shape (cars,).
        moved_kwh: Shape (slots, cars), the array given.
    """

    def __init__(self, movers: Movers, hours: FloatArray, moved_kwh: FloatArray) -> None:
        self._movers, self._edges = movers, edges_of(hours)
        self._blocks = blocks_of(movers.end.size)
        self._leave = int(movers.end.min(initial=hours.size))
        self.moved_kwh = moved_kwh
        self.left_h = movers.to_go_h.copy()
        self.lowest_h = 0.0
        self._slot = hours.size

    def begin(self, slot: int) -> None:
        """Go to a slot."""
        self._slot = slot

    def offer_kwh(self, z_h: float) -> float:
        """Return what the cars move in the slot at a threshold. [kWh]"""
        slot, movers, total = self._slot, self._movers, 0.0
        end_h = self._edges[slot + 1]
        slot_h = end_h - self._edges[slot]
        for block in self._blocks:
            offer, left = self.moved_kwh[slot, block], self.left_h[block]
            if movers.from_h is None:
                np.subtract(left, max(0.0, z_h), out=offer)
                np.clip(offer, 0.0, slot_h, out=offer)
            else:
                from_h = movers.from_h[block]
                np.clip(left + from_h - z_h, 0.0, np.minimum(left, slot_h), out=offer)
                np.minimum(offer, np.maximum(0.0, end_h - from_h), out=offer)
            if slot >= self._leave:
                offer *= movers.end[block] > slot
            total += _sum_of_products(offer, movers.power_kw[block])
        return total

    def beyond_kwh(self, short: BoolArray) -> float:
        """Return a bound on what the cars could move more in some slots, and less in others. [kWh]"""
        total, hours = 0.0, np.diff(self._edges)
        stays_h = np.concatenate(([0.0], np.cumsum(hours * short)))
        for block in self._blocks:
            power, end = self._movers.power_kw[block], self._movers.end[block]
            moved = self.moved_kwh[:, block]
            had = self.left_h[block] * power + moved[~short].sum(axis=0)
            own = np.minimum(stays_h[end] * power - moved[short].sum(axis=0), had)
            total += float(np.maximum(0.0, own).sum())
        return total

    def keep(self, share: float) -> None:
        """Move that share of the last offer."""
        for block in self._blocks:
            offer, left = self.moved_kwh[self._slot, block], self.left_h[block]
            if share < 1:
                offer *= share
            left -= offer
            offer *= self._movers.power_kw[block]

    def skip(self) -> None:
        """Move nothing."""
        self.moved_kwh[self._slot] = 0.0


def _sum_of_products(first: FloatArray, second: FloatArray) -> float:
    """Return the dot product, without the threads that BLAS would start for it."""
    return float(np.einsum("i,i->", first, second))


def walk(part: Part, z_h: FloatArray) -> None:
    """Move what the thresholds say, slot after slot."""
    for slot in range(z_h.size - 1, -1, -1):
        part.begin(slot)
        part.offer_kwh(float(z_h[slot]))
        part.keep(1.0)


def serve(parts: list[Part], levels: Levels, wanted_kwh: FloatArray) -> FloatArray:
    """Walk the parts backwards through the slots; return what each slot gets of what it wants. [kWh]

    A threshold that does not fit, as the table rounds and knows no site, is corrected on the cars
    themselves: only ever towards what is wanted.
    """
    served = np.zeros(wanted_kwh.size)
    for slot in range(wanted_kwh.size - 1, -1, -1):
        for part in parts:
            part.begin(slot)
        if wanted_kwh[slot] <= 0:
            for part in parts:
                part.skip()
            continue
        z_h, slope_kw = float(levels.z_h[slot]), float(levels.slope_kw[slot])
        offered = _settle(parts, z_h, slope_kw, float(wanted_kwh[slot]))
        share = min(1.0, wanted_kwh[slot] / offered) if offered > 0 else 1.0
        for part in parts:
            part.keep(share)
        served[slot] = offered * share
    return served


def _settle(parts: list[Part], z_h: float, slope_kw: float, wanted_kwh: float) -> float:
    """Leave the parts at an offer of what is wanted, or at their most; return it. [kWh]"""
    lowest_h = min(part.lowest_h for part in parts)
    low_h, high_h = lowest_h, np.inf
    if slope_kw > 0:
        z_h = max(lowest_h, z_h - AIM * wanted_kwh / slope_kw)
    offered = _offered(parts, z_h)
    for _ in range(_MOST_STEPS):
        if wanted_kwh <= offered <= wanted_kwh * (1 + 2 * AIM) or (offered < wanted_kwh and z_h <= lowest_h):
            return offered
        if offered < wanted_kwh:
            high_h = z_h
        else:
            low_h = z_h
        before, last_h = offered, z_h
        aim_kwh = wanted_kwh * (1 + AIM)
        z_h += (offered - aim_kwh) / slope_kw if slope_kw > 0 else offered - aim_kwh
        if z_h >= high_h or z_h <= low_h:
            z_h = low_h if low_h == lowest_h else (low_h + min(high_h, 2 * abs(low_h) + 1.0)) / 2
        offered = _offered(parts, z_h)
        slope_kw = (before - offered) / (z_h - last_h) if z_h != last_h else 0.0
    return _offered(parts, low_h)


def _offered(parts: list[Part], z_h: float) -> float:
    return sum(part.offer_kwh(z_h) for part in parts)
