"""The set of slots that is asked furthest beyond what a fleet can do, for windows too long to try all sets.

``h(S) - asked(S)`` is submodular. Its least value is the sum of the negative entries of the shortest vector
y among all mixes of corners less what is asked; the slots with the smallest entries are the set. A corner
is what the slots get when they are served in some order. Wolfe's algorithm mixes a few corners at a time;
each step costs one order, a look into the class table for every run and slot. A mix bounds the least value
from below, each order's first slots bound it from above: it ends when the two meet.

Sources: Fujishige, Submodular Functions and Optimization, 2005, 7.1; Wolfe, Math. Programming 11, 1976.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from aggregator.energy.cars import BoolArray, FloatArray, IntArray

MEET_WITHIN = 1e-9
"""Bounds nearer than this share of all that moves are the same."""
NOTHING = 1e-12
"""Weights below this are none."""
MOST_ORDERS = 3_000
"""Thirty are usual; profiles on many edges at once take some hundreds."""


@dataclass(frozen=True, slots=True, eq=False)
class RunSteps:
    """What one more slot adds to each run of slots that has cars, as pairs of a slot and a run around it.

    Attributes:
        slots: Number of slots.
        steps_kwh: By run, and by how many of its slots are there already; flat. [kWh AC]
        slot: Of each pair.
        start: Where a table of (slots, slots + 1), flat, has the slot and the run's start, of each pair.
        stop: The same for the run's stop.
        run: Where ``steps_kwh`` has the run, of each pair.
    """

    slots: int
    steps_kwh: FloatArray
    slot: IntArray
    start: IntArray
    stop: IntArray
    run: IntArray

    @classmethod
    def of(cls, steps_kwh: FloatArray) -> "RunSteps":
        """Return the steps of a table (runs, slots), its runs in the order of ``np.triu_indices``."""
        slots = steps_kwh.shape[1]
        used = np.flatnonzero(steps_kwh.any(axis=1))
        start, stop = (bound[used] for bound in np.triu_indices(slots + 1, 1))
        every = np.arange(slots)[:, None]
        slot, run = np.nonzero((start <= every) & (every < stop))
        row = slot * (slots + 1)
        return cls(slots, steps_kwh[used].ravel(), slot, row + start[run], row + stop[run], run * slots)

    def corner_kwh(self, before: BoolArray) -> FloatArray:
        """Return what each slot adds to those that were served before it, shape (slots,). [kWh AC]

        Args:
            before: Which slots (columns) were served before each slot (rows), shape (slots, slots).
        """
        served = np.zeros((self.slots, self.slots + 1), dtype=np.int64)
        np.cumsum(before, axis=1, out=served[:, 1:])
        flat = served.ravel()
        taken_kwh = self.steps_kwh[self.run + flat[self.stop] - flat[self.start]]
        return np.bincount(self.slot, weights=taken_kwh, minlength=self.slots).astype(np.float64)


def most_beyond(steps: RunSteps, asked_kwh: FloatArray) -> tuple[BoolArray, float, float]:
    """Return the set that is asked furthest beyond h, by how much, and by how much at most any set is.

    A slot that asks for no more than it adds to all others is in no such set: it need not be looked at,
    and then neither need others.

    Args:
        steps: What one more slot adds to each run.
        asked_kwh: Shape (slots,); -inf for slots that are not to be in the set. [kWh AC]

    Returns:
        The members, shape (slots,), none where no set is; the set's excess; and what no set's exceeds, the
        same but for rounding. Both are at least 0. [kWh AC]
    """
    left = np.isfinite(asked_kwh)
    others = ~np.eye(len(left), dtype=bool)
    while left.any():
        last_kwh = steps.corner_kwh(left & others)
        keep = left & (asked_kwh > last_kwh)
        if (keep == left).all():
            break
        left = keep
    members = np.zeros(len(left), dtype=bool)
    if not left.any():
        return members, 0.0, 0.0
    rank = np.full(len(left), len(left))

    def corner(turns: IntArray) -> FloatArray:
        rank[left] = turns
        return steps.corner_kwh(rank < rank[:, None])[left]

    members[left], least, bound = least_set(corner, asked_kwh[left])
    return members, -least, -bound


def least_set(corner: Callable[[IntArray], FloatArray], asked: FloatArray) -> tuple[BoolArray, float, float]:
    """Return a set S with the least h(S) - asked(S), that value, and a bound below all such values.

    Args:
        corner: What the slots get by h when they are served in the order of their ranks, which it is given.
        asked: Shape (slots,).

    Returns:
        The members, shape (slots,), none where no value is below 0; the value, at most 0; and the bound,
        which is the value itself but for rounding, unless there were too many orders to try.
    """
    found, least = np.zeros(len(asked), dtype=bool), 0.0
    mix = _Mix.of(_corner(corner, -asked) - asked)
    enough = MEET_WITHIN * max(1.0, float(np.abs(asked).sum()), float(np.abs(mix.corners).sum()))
    for _ in range(MOST_ORDERS):
        point = mix.point
        order = np.argsort(point, kind="stable")
        new = _corner(corner, point) - asked
        values = np.cumsum(new[order])
        size = int(values.argmin())
        if values[size] < least:
            found, least = np.zeros_like(found), float(values[size])
            found[order[: size + 1]] = True
        bound = float(np.minimum(point, 0.0).sum())
        if least - bound <= enough:
            break
        mix = mix.with_corner(new)
    return found, least, min(bound, least)


def _corner(corner: Callable[[IntArray], FloatArray], point: FloatArray) -> FloatArray:
    """Return the corner in the direction against ``point``: its smallest entries are served first."""
    rank = np.empty(len(point), dtype=np.int64)
    rank[np.argsort(point, kind="stable")] = np.arange(len(point))
    return corner(rank)


@dataclass(frozen=True, slots=True, eq=False)
class _Mix:
    """Corners, shape (corners, slots), and their weights, at least 0, with sum 1."""

    corners: FloatArray
    weights: FloatArray

    @classmethod
    def of(cls, corner: FloatArray) -> "_Mix":
        return cls(corner[None], np.ones(1))

    @property
    def point(self) -> FloatArray:
        return np.asarray(self.weights @ self.corners)

    def with_corner(self, corner: FloatArray) -> "_Mix":
        """Return the shortest mix of these and ``corner``, without the corners that it does not need."""
        corners, weights = np.vstack([self.corners, corner]), np.append(self.weights, 0.0)
        while True:
            best = _shortest(corners)
            if (best >= -NOTHING).all():
                break
            falls = best < -NOTHING
            step = float((weights[falls] / (weights[falls] - best[falls])).min())
            weights = weights + step * (best - weights)
            keep = weights > NOTHING
            keep[np.flatnonzero(falls)[weights[falls].argmin()]] = False
            corners, weights = corners[keep], weights[keep] / weights[keep].sum()
        best = np.maximum(best, 0.0)
        return _Mix(corners, best / best.sum())


def _shortest(corners: FloatArray) -> FloatArray:
    """Return the weights, of any sign, with sum 1, of the shortest vector in the corners' affine hull.

    By QR of the ways from the first corner to the others: their products would lose half the digits.
    """
    ways = (corners[1:] - corners[0]).T
    q, r = np.linalg.qr(ways)
    try:
        others = np.linalg.solve(r, -q.T @ corners[0])
    except np.linalg.LinAlgError:
        others = np.linalg.lstsq(ways, -corners[0])[0]
    return np.concatenate([[1.0 - others.sum()], others])
