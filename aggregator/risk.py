"""How bold a bid may be: as bold as the record of past bids allows, so that nine in ten are kept.

A bid is kept if at least 95% of what was awarded is delivered. The model's own scenarios say how likely that
is; whether they are to be believed shows in the record. So the share of scenarios that may miss a bid starts
half-way between none and the most, and moves with every settled bid: a little up with one that was kept,
thirteen times as much down with one that was not; below 0 it is a debt, and only what every scenario keeps is
bid. Whatever the cars do, as long as such bids are kept, T bids have at most AIMED_MISS * T + 3.43 misses
(adaptive conformal inference: Gibbs and Candes, NeurIPS 2021, arXiv 2106.00170). Bids that a need
keeps small count, too: they leave room to be bolder where it pays. Below that bound the expected margin
alone decides.
"""

from collections.abc import Iterable

import numpy as np

from aggregator.bidding import Bids, Problem
from aggregator.bidding.value import unmet_kw

ENOUGH = 0.95
"""A bid is kept if this part of it is delivered."""
AIMED_MISS = 0.07
"""Share of bids that may be missed: one in ten is allowed, the rest is left to chance."""
STEP = 0.1
MOST_RISK = 0.5
"""Never bid what is likelier missed than kept."""
FIRST_RISK = MOST_RISK / 2


def risk_after(ratios: Iterable[float]) -> float:
    """Return the share of scenarios that may miss the next bid.

    Args:
        ratios: Delivered over committed of settled bids, in the order in which they were settled.
    """
    risk = FIRST_RISK
    for ratio in ratios:
        missed = 1.0 if ratio < ENOUGH else 0.0
        risk = min(MOST_RISK, risk + STEP * (AIMED_MISS - missed))
    return max(0.0, risk)


def most_kept_kw(problem: Problem, risk: float) -> float:
    """Return the highest flat bid that at most a share ``risk`` of the scenarios misses, in whole ticks. [kW]

    It is bounded by the largest need of the problem's one line; base discharge stays as planned.
    """
    line = problem.lines[0]
    low, high = 0, int(float(line.needed_kw.max(initial=0.0)) / line.tick_kw + 1e-9)
    while low < high:
        middle = (low + high + 1) // 2
        if _missed(problem, middle * line.tick_kw) <= risk + 1e-9:
            low = middle
        else:
            high = middle - 1
    return low * line.tick_kw


def _missed(problem: Problem, level_kw: float) -> float:
    """Return the probability of the scenarios that deliver less than enough of a flat bid."""
    bid_kw = np.where(problem.lines[0].bid_slots, level_kw, 0.0)[None]
    unmet = unmet_kw(problem, Bids(bid_kw, np.zeros_like(bid_kw)))[:, 0]
    return float(problem.probability @ (unmet > (1.0 - ENOUGH) * bid_kw.sum() + 1e-9))
