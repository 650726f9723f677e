"""How bold a bid may be: as bold as the record of past bids allows, so that nine in ten are kept.

A bid is kept if at least 95% of what was awarded is delivered. The model's own scenarios say how likely that
is; whether they are to be believed shows in the record. So the share of scenarios that may miss a bid starts
at what is aimed for, and moves with every settled bid: a little up with one that was kept, eleven times as
much down with one that was not. Whatever the cars do, in the long run no larger share of bids is missed than
is aimed for (adaptive conformal inference: Gibbs and Candes, NeurIPS 2021, arXiv 2106.00170; after T bids it
is off by about 1 / (STEP * T)). Bids that the operator's need keeps small count, too: they leave room to be
bolder where it pays. Below that bound the expected margin alone decides.
"""

from collections.abc import Iterable

import numpy as np

from aggregator.bidding_table import shortfall
from aggregator.bidding_types import FloatArray, Problem

ENOUGH = 0.95
"""A bid is kept if this part of it is delivered."""
AIMED_MISS = 0.08
"""Share of bids that may be missed: one in ten is allowed, a fifth of that is left to chance."""
STEP = 0.1
MOST_RISK = 0.5
"""Never bid what is likelier missed than kept."""


def risk_after(ratios: Iterable[float]) -> float:
    """Return the share of scenarios that may miss the next bid.

    Args:
        ratios: Delivered over committed of settled bids, in the order in which they were settled.
    """
    risk = AIMED_MISS
    for ratio in ratios:
        missed = 1.0 if ratio < ENOUGH else 0.0
        risk = min(MOST_RISK, max(0.0, risk + STEP * (AIMED_MISS - missed)))
    return risk


def most_kept_kw(problem: Problem, risk: float) -> float:
    """Return the highest flat bid that at most a share ``risk`` of the scenarios misses, in whole ticks. [kW]

    It is bounded by the largest need; base discharge stays as planned.
    """
    most = int(float(problem.needed_kw.max(initial=0.0)) / problem.tick_kw + 1e-9)
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if _missed(problem, middle * problem.tick_kw) <= risk + 1e-9:
            low = middle
        else:
            high = middle - 1
    return low * problem.tick_kw


def _missed(problem: Problem, level_kw: float) -> float:
    """Return the probability of the scenarios that deliver less than enough of a flat bid."""
    bid_kw: FloatArray = np.where(problem.bid_slots, level_kw, 0.0)
    unmet_kw = shortfall(problem, bid_kw, np.zeros_like(bid_kw)).unmet_kw.sum(axis=1)
    missed = unmet_kw > (1.0 - ENOUGH) * bid_kw.sum() + 1e-9
    return float(problem.probability @ missed)
