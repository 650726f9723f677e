"""What a bid delivers and earns, read off the capability tables: no solver.

The table of a scenario is submodular (a sum of polymatroid ranks, less must-charge terms that are convex in
the slots left over), so serving the dearest demand first is optimal (Edmonds): the most that demands x can
get in all is ``min over S of x(outside S) + h(S)/D``, and each demand gets what it adds to that.
"""

import numpy as np

from aggregator.bidding_types import KW_PER_MW, BoolArray, FloatArray, Problem, Shortfall
from aggregator.plan_value import cvar

FEASIBLE_KWH = 1e-6
NOISE_KW = 1e-9


def subsets(n_slots: int) -> BoolArray:
    """Return which slots each column of the table holds, shape (2**slots, slots)."""
    return (np.arange(2**n_slots)[:, None] >> np.arange(n_slots) & 1).astype(bool)


def shortfall(problem: Problem, offered_kw: FloatArray, held_kw: FloatArray) -> Shortfall:
    """Return the least that each scenario misses: the nomination is served first, then the dearest slots.

    Args:
        problem: The problem.
        offered_kw: Shape (slots,). [kW]
        held_kw: Base discharge held back, shape (slots,). [kW]
    """
    n = len(problem.slots)
    nominated_kw = problem.nominated_kw(held_kw)
    got_kw = np.zeros((len(problem.probability), n + 1))
    for slot in range(n):
        got_kw[:, slot + 1] = _most_kw(problem, nominated_kw, first=slot + 1)
    nomination_kw = np.maximum(0.0, nominated_kw - np.diff(got_kw, axis=1))
    unmet_kw, before_kw, demand_kw = np.zeros_like(nomination_kw), got_kw[:, -1], nominated_kw
    for slot in np.argsort(-problem.unmet_gbp_per_mwh, kind="stable").tolist():
        if offered_kw[slot] > 0.0:
            demand_kw = demand_kw + offered_kw * (np.arange(n) == slot)
            most_kw = _most_kw(problem, demand_kw, first=n)
            unmet_kw[:, slot] = np.clip(offered_kw[slot] - (most_kw - before_kw), 0.0, offered_kw[slot])
            before_kw = most_kw
    return Shortfall(_tidy(unmet_kw), _tidy(nomination_kw))


def _most_kw(problem: Problem, demand_kw: FloatArray, *, first: int) -> FloatArray:
    """Return the most that the ``first`` slots' demands get in all, shape (scenarios,). [kW]"""
    outside_kw = ~subsets(first) @ demand_kw[:first]
    reach_kw = problem.capability_kwh[:, : 2**first] / problem.slot_hours
    reach_kw[:, 0] = 0.0
    return np.asarray((outside_kw + reach_kw).min(axis=1))


def _tidy(short_kw: FloatArray) -> FloatArray:
    return np.where(short_kw < NOISE_KW, 0.0, short_kw)


def excess_kwh(problem: Problem, offered_kw: FloatArray, held_kw: FloatArray, short: Shortfall) -> FloatArray:
    """Return how far each set of slots is asked beyond its table, shape (scenarios, 2**slots). [kWh]"""
    asked_kw = problem.nominated_kw(held_kw) + offered_kw - short.unmet_kw - short.nomination_kw
    sums_kwh = problem.slot_hours * asked_kw @ subsets(len(problem.slots)).T.astype(np.float64)
    excess = np.asarray(sums_kwh - problem.capability_kwh)
    excess[:, 0] = 0.0
    return excess


def holds(problem: Problem, offered_kw: FloatArray, kept_kw: FloatArray, short: Shortfall) -> bool:
    """Whether every scenario's cars can be split to nominated + bid - that scenario's own shortfall (P11).

    Args:
        problem: The problem.
        offered_kw: Shape (slots,). [kW]
        kept_kw: b: base discharge that stays, shape (slots,). [kW]
        short: Each scenario's own.
    """
    held_kw = problem.base_kw - kept_kw
    scale = max(1.0, float(np.abs(problem.capability_kwh).max(initial=0.0)))
    in_range = bool((short.unmet_kw <= offered_kw + NOISE_KW).all() and (short.unmet_kw >= 0.0).all())
    return in_range and float(excess_kwh(problem, offered_kw, held_kw, short).max()) <= FEASIBLE_KWH * scale


def margins_gbp(
    problem: Problem, offered_kw: FloatArray, held_kw: FloatArray, short: Shortfall
) -> FloatArray:
    """Return what each scenario earns over bidding nothing, shape (scenarios,). [GBP]

    ``D * sum_t [ -spread*k + a*(availability*B + (utilisation + spread)*(B - u) - penalty*u - spread*k)
    - nomination*(v - v0) ]``, prices in GBP/MWh, powers in MW, D in hours; v0 is what the nomination misses
    without any bid. Spread is net of recharge with losses and of wear.
    """
    a, spread = problem.award_probability, problem.spread_gbp_per_mwh
    held = (spread * held_kw).sum()
    available = problem.availability_gbp_per_mw_h * offered_kw.sum()
    delivered = ((problem.utilisation_gbp_per_mwh + spread) * (offered_kw - short.unmet_kw)).sum(axis=1)
    penalty = problem.penalty_gbp_per_mwh * short.unmet_kw.sum(axis=1)
    nothing = np.zeros_like(offered_kw)
    unavoidable_kw = shortfall(problem, nothing, nothing).nomination_kw
    nomination = problem.nomination_gbp_per_mwh * (short.nomination_kw - unavoidable_kw).sum(axis=1)
    called = a * (available + delivered - penalty - held)
    return np.asarray(problem.slot_hours / KW_PER_MW * (called - held - nomination))


def expected(problem: Problem, values: FloatArray) -> float:
    """Return the mean over scenarios."""
    return float(values @ problem.probability)


def tenth_percentile(problem: Problem, values: FloatArray) -> float:
    """Return the smallest value with at least a tenth of the probability at or below it."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(problem.probability[order]) >= 0.1 - 1e-12
    return float(values[order][int(reached.argmax())])


def keeps_cvar(problem: Problem, offered_kw: FloatArray, short: Shortfall) -> bool:
    """Whether the unmet energy of the bad scenarios stays within the limit, if there is one."""
    if problem.cvar is None:
        return True
    worst_kw = cvar(short.unmet_kw.sum(axis=1)[None], problem.probability, problem.cvar.level)[0]
    return bool(worst_kw <= problem.cvar.limit * offered_kw.sum() + 1e-6)
