"""Bids on a grid of blocks and minimum, by moves that raise what a plan earns; and where to start.

The value is exact (`aggregator.plan_value`), so a found profile is never worth less than said. How far it may
be from the best is known from the linear programme's bound, not from here.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from aggregator.plan_value import FloatArray, Terms, revenue_gbp

_ROUNDS_PER_SIZE = 200
_PAIR_BUDGET = 20_000_000
_HALVINGS = 9
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Grid:
    """What a slot's bid may be: 0, or from ``least_kw`` to ``most_kw``, in whole blocks if there are blocks.

    Attributes:
        block_kw: None where any power will do. [kW]
        least_kw: Smallest bid that is not nothing; a whole number of blocks. [kW]
        most_kw: Largest bid; a whole number of blocks. [kW]
    """

    block_kw: float | None
    least_kw: float
    most_kw: float

    @property
    def is_open(self) -> bool:
        """Whether any power from 0 to the most will do."""
        return self.block_kw is None and self.least_kw <= 0.0

    def snap(self, bid_kw: FloatArray) -> FloatArray:
        """Round down to the grid; below the minimum is 0. Any shape. [kW]"""
        snapped = np.clip(bid_kw, 0.0, self.most_kw)
        if self.block_kw is not None:
            snapped = np.floor(snapped / self.block_kw + _ROUNDING) * self.block_kw
        return np.where(snapped < self.least_kw - _ROUNDING, 0.0, snapped)


def climb(terms: Terms, grid: Grid, start_kw: FloatArray) -> FloatArray:
    """Follow the best single move, of ever smaller size, until none helps.

    Args:
        terms: The plan.
        grid: Allowed bids.
        start_kw: Shape (slots,); rounded down to the grid, and 0 where that breaks the risk limit. [kW]

    Returns:
        Shape (slots,), on the grid, worth at least 0. [kW]
    """
    bid_kw = grid.snap(start_kw)
    value = float(revenue_gbp(terms, bid_kw[None])[0])
    if value < 0.0:
        bid_kw, value = np.zeros(terms.n_slots), 0.0
    for size in _sizes(grid):
        for _ in range(_ROUNDS_PER_SIZE):
            moves = grid.snap(_moves(terms, grid, bid_kw, size))
            values = revenue_gbp(terms, moves)
            best = int(values.argmax())
            if not values[best] > value + 1e-12 * max(1.0, abs(value)):
                break
            bid_kw, value = moves[best], float(values[best])
    return bid_kw


def starts(terms: Terms, grid: Grid, relaxed_kw: FloatArray) -> tuple[FloatArray, ...]:
    """Return profiles worth climbing from: the relaxed optimum rounded both ways, and the best flat ones."""
    unit_kw = grid.block_kw or grid.least_kw
    up = np.ceil(relaxed_kw / unit_kw - _ROUNDING) * unit_kw
    on = np.where(relaxed_kw > _ROUNDING, np.maximum(relaxed_kw, grid.least_kw), 0.0)
    liking = terms.hold_gbp_per_kw + terms.activation * terms.slot_hours * terms.gain_gbp_per_kwh
    rank = np.lexsort((-liking, -relaxed_kw)).argsort()
    heights = np.linspace(max(grid.least_kw, unit_kw), grid.most_kw, 24)
    few = [np.where(rank < count, height, 0.0) for count in range(1, terms.n_slots + 1) for height in heights]
    flat = grid.snap(np.stack(few))
    order = np.argsort(-revenue_gbp(terms, flat), kind="stable")[:2]
    return (relaxed_kw, up, on, *flat[order])


def _sizes(grid: Grid) -> list[float]:
    if grid.block_kw is None:
        return [grid.most_kw / 2.0**k for k in range(1, _HALVINGS + 1)]
    steps = max(1, round(grid.most_kw / grid.block_kw))
    return [grid.block_kw * 2.0**k for k in reversed(range(steps.bit_length()))]


def _moves(terms: Terms, grid: Grid, bid_kw: FloatArray, size_kw: float) -> FloatArray:
    """Return every profile one move away: a slot up, down, off or at the minimum; power passed to another."""
    one = np.eye(terms.n_slots)
    off = bid_kw * (1.0 - one)
    singles = [bid_kw + size_kw * one, bid_kw - size_kw * one, off]
    if grid.least_kw > 0.0:
        singles.append(off + grid.least_kw * one)
    n, work = terms.n_slots, terms.n_slots * len(terms.probability) * max(1, len(terms.levels)) // 2
    if grid.is_open or 2 * n * (n - 1) * work > _PAIR_BUDGET:
        return np.concatenate(singles)
    pairs = list(itertools.permutations(range(n), 2))
    passed = [bid_kw - size_kw * one[a] + size_kw * one[b] for a, b in pairs]
    given = [off[a] + bid_kw[a] * one[b] for a, b in pairs]
    return np.concatenate([*singles, np.array(passed + given).reshape(-1, n)])
