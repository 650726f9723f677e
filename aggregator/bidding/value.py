"""What bids deliver and earn, read off what the fleet can do: no solver.

What a scenario can do is submodular, so serving the demands that are dearest to miss first is optimal
(Edmonds): demands x get ``min over S of x(outside S) + h(S)`` in all, and each gets what it adds to that.
Standing promises, nomination and commitments, come first; then the lines. All bids are taken to be called at
once: what one of them misses alone is never more.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aggregator.bidding.problem import KW_PER_MW, BoolArray, FloatArray, Problem
from aggregator.plan_value import cvar

NOISE_KW = 1e-9
SAME = 1e-9
FEASIBLE_KWH = 1e-6
ENOUGH = 0.95
"""A bid is kept if this part of it is delivered."""


@dataclass(frozen=True, slots=True, eq=False)
class Bids:
    """What is asked of the scenarios, both of shape (lines, slots); or many such, shape (..., lines, slots).

    Attributes:
        bid_kw: At the size before each line's factor. [kW]
        held_kw: Base discharge held back for each line. [kW]
    """

    bid_kw: FloatArray
    held_kw: FloatArray

    @classmethod
    def nothing(cls, problem: Problem) -> "Bids":
        """Return no bids."""
        return cls(np.zeros(problem.shape), np.zeros(problem.shape))

    @classmethod
    def together(cls, some: Sequence["Bids"]) -> "Bids":
        """Return many bids as one, to be valued at once, shape (bids, lines, slots)."""
        return cls(np.array([one.bid_kw for one in some]), np.array([one.held_kw for one in some]))


def missing_kw(problem: Problem, demand_kw: FloatArray) -> FloatArray:
    """Return what scenarios miss in all of a demand (..., slots), shape (..., scenarios). [kW, summed]"""
    most_kwh = problem.reach.most_kwh(problem.slot_hours * demand_kw[..., None, :])
    return np.asarray(np.maximum(0.0, demand_kw.sum(axis=-1)[..., None] - most_kwh / problem.slot_hours))


def unmet_kw(problem: Problem, bids: Bids) -> FloatArray:
    """Return u: what scenarios miss of each line, summed over slots, (..., scenarios, lines). [kW]"""
    demand_kw = problem.standing_kw(bids.held_kw.sum(axis=-2))
    before_kw = missing_kw(problem, demand_kw)
    unmet = np.zeros((*before_kw.shape, len(problem.lines)))
    for q in problem.order:
        if bids.bid_kw[..., q, :].any():
            demand_kw = demand_kw + bids.bid_kw[..., q, :]
            in_all_kw = missing_kw(problem, demand_kw)
            most_kw = bids.bid_kw[..., q, :].sum(axis=-1)[..., None]
            unmet[..., q] = np.clip(in_all_kw - before_kw, 0.0, most_kw)
            before_kw = in_all_kw
    scale = np.maximum(1.0, bids.bid_kw.sum(axis=(-2, -1)))[..., None, None]
    return np.where(unmet < NOISE_KW * scale, 0.0, unmet)


def delivered_kw(problem: Problem, bids: Bids) -> FloatArray:
    """Return what each scenario's cars are asked for slot by slot once it is cut to what they can do.

    Shape (scenarios, slots): nomination, commitments and bids, less the scenario's own shortfall (P11). [kW]
    """
    n = len(problem.slots)
    standing = problem.standing_kw(bids.held_kw.sum(axis=0))
    demand, served = np.full(n, -np.inf), np.zeros((len(problem.probability), n))
    before_kwh: FloatArray = np.zeros(len(problem.probability))
    for slot in range(n):
        demand[slot] = problem.slot_hours * standing[slot]
        most_kwh = problem.reach.most_kwh(demand)
        served[:, slot], before_kwh = (most_kwh - before_kwh) / problem.slot_hours, most_kwh
    for q in problem.order:
        for slot in np.flatnonzero(bids.bid_kw[q] > 0.0).tolist():
            demand[slot] += problem.slot_hours * bids.bid_kw[q, slot]
            most_kwh = problem.reach.most_kwh(demand)
            served[:, slot] += (most_kwh - before_kwh) / problem.slot_hours
            before_kwh = most_kwh
    return served


def holds(problem: Problem, bids: Bids) -> bool:
    """Whether every scenario's cars can be split to what is asked, less their own shortfall (P11)."""
    served_kwh = problem.slot_hours * delivered_kw(problem, bids)
    _, excess_kwh = problem.reach.tightest(served_kwh)
    most_kwh = problem.reach.energy_kwh(np.ones((1, len(problem.slots)), dtype=np.bool_))
    scale = max(1.0, float(np.abs(most_kwh).max(initial=0.0)))
    return bool((excess_kwh <= FEASIBLE_KWH * scale).all())


def margins_gbp(problem: Problem, bids: Bids, unmet: FloatArray | None = None) -> FloatArray:
    """Return what lines earn over bidding nothing in each scenario, shape (..., scenarios, lines). [GBP]

    ``D * sum_t [ a*(availability*B + (utilisation + spread)*B - missed*u) - held*k ]`` and the line's share
    of what cheaper tiers save; prices in GBP/MWh, powers in MW, D in hours; ``missed`` is what an
    undelivered MWh would have earned, and the penalty; ``held`` is `Problem.held_gbp_per_mwh`.
    """
    short_kw = unmet_kw(problem, bids) if unmet is None else unmet
    earned = np.zeros_like(short_kw)
    spread = problem.spread_gbp_per_mwh
    for q, line in enumerate(problem.lines):
        a, bid_kw = line.award_probability, bids.bid_kw[..., q, :]
        paid = line.availability_gbp_per_mw_h + line.utilisation_gbp_per_mwh + spread
        held = (problem.held_gbp_per_mwh(line) * bids.held_kw[..., q, :]).sum(axis=-1)
        earned[..., q] = (a * (paid * bid_kw).sum(axis=-1) - held)[..., None]
        earned[..., q] -= a * problem.unmet_gbp_per_mwh(line) * short_kw[..., q]
    if problem.tiers:
        given_kw = np.maximum(bids.bid_kw.sum(axis=-1)[..., None, :] - short_kw, 0.0) + NOISE_KW
        share = given_kw / given_kw.sum(axis=-1, keepdims=True)
        anything = np.asarray(bids.bid_kw.any(axis=(-2, -1)))[..., None, None]
        earned += anything * share * _saved_gbp_per_mwh_kw(problem, bids)[..., None]
    return np.asarray(problem.slot_hours / KW_PER_MW * earned)


def _saved_gbp_per_mwh_kw(problem: Problem, bids: Bids) -> FloatArray:
    """Return what cheaper energy saves over the dearest tier's price, (..., scenarios). [GBP/MWh x kW]"""
    called_kw = problem.giving_kw(bids.held_kw.sum(axis=-2)) + bids.bid_kw.sum(axis=-2)
    anyway_kw = problem.giving_kw(np.zeros(len(problem.slots)))
    saved = np.zeros((*called_kw.shape[:-1], len(problem.probability)))
    for tier in problem.tiers:
        more_kwh = tier.reach.most_kwh(problem.slot_hours * called_kw[..., None, :])
        more_kwh = more_kwh - tier.reach.most_kwh(problem.slot_hours * anyway_kw)
        saved += tier.saving_gbp_per_mwh * more_kwh / problem.slot_hours
    return np.asarray(called_probability(problem) * saved)


def called_probability(problem: Problem) -> float:
    """Return how likely it is that cheaper energy is used: the least likely line's, to be careful."""
    return min(line.award_probability for line in problem.lines)


def expected(problem: Problem, values: FloatArray) -> float:
    """Return the mean over scenarios of values, shape (scenarios,) or (scenarios, lines), summed."""
    return float((problem.probability @ values).sum())


def percentile(problem: Problem, values: FloatArray, part: float) -> float:
    """Return the smallest of values (scenarios,) with at least ``part`` of the probability at or below it."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(problem.probability[order]) >= part - 1e-12
    return float(values[order][int(reached.argmax())])


def missed(problem: Problem, bids: Bids, unmet: FloatArray) -> FloatArray:
    """Return the share of the scenarios that miss more than a twentieth of a bid, shape (..., lines). [-]"""
    allowed_kw = (1.0 - ENOUGH) * bids.bid_kw.sum(axis=-1) + NOISE_KW
    return np.asarray(problem.probability @ (unmet > allowed_kw[..., None, :]))


def keeps_limits(problem: Problem, bids: Bids, unmet: FloatArray) -> BoolArray:
    """Whether each line is missed no more often, and on its bad days by no more, than it may be: (...)."""
    most = np.array([line.most_missed for line in problem.lines])
    kept = np.asarray((missed(problem, bids, unmet) <= most + SAME).all(axis=-1))
    if problem.cvar is None:
        return kept
    worst_kw = cvar(np.swapaxes(unmet, -1, -2), problem.probability, problem.cvar.level)
    allowed_kw = problem.cvar.limit * bids.bid_kw.sum(axis=-1)
    return np.asarray(kept & (worst_kw <= allowed_kw + 1e-6).all(axis=-1))


def margin_gbp(problem: Problem, bids: Bids) -> float:
    """Return the expected margin of all lines, whatever the limits. [GBP]"""
    return expected(problem, margins_gbp(problem, bids))


def worth_gbp(problem: Problem, bids: Bids) -> FloatArray:
    """Return the expected margin of all lines, shape (...); minus infinity where a limit is broken. [GBP]"""
    unmet = unmet_kw(problem, bids)
    earned = (problem.probability @ margins_gbp(problem, bids, unmet)).sum(axis=-1)
    return np.where(keeps_limits(problem, bids, unmet), earned, -np.inf)
