"""The best bids on a lattice, by trying them all: another arithmetic than the model's, for tiny problems.

What a scenario misses of a demand is the largest ``demand(S) - h(S)`` over all sets of slots, set by set.
Energy that is short goes to the nomination first, then to the line that is dearest to miss.
"""

import itertools

import numpy as np

from aggregator.bidding import Problem
from aggregator.bidding.problem import FloatArray
from aggregator.model.market import BidShape


def best_margin_gbp(problem: Problem, table: FloatArray, hold_steps: int = 4) -> float:
    """Return the highest expected margin of any bid in whole ticks and hold-back in ``hold_steps`` steps."""
    best = 0.0
    bids = _joint_bids(problem)
    for held in _holds(problem, hold_steps):
        best = max(best, float(_margins(problem, table, bids, held).max()))
    return best


def margin_gbp(problem: Problem, table: FloatArray, bid_kw: FloatArray, held_kw: FloatArray) -> float:
    """Return the expected margin of one bid (lines, slots) with its hold-back (lines, slots)."""
    return float(_margins(problem, table, bid_kw[None], held_kw)[0])


def _joint_bids(problem: Problem) -> FloatArray:
    per_line = [_line_bids(problem, q) for q in range(len(problem.lines))]
    joint = [np.array(rows) for rows in itertools.product(*per_line)]
    return np.array([rows for rows in joint if ((rows > 0.0).sum(axis=0) <= 1).all()])


def _line_bids(problem: Problem, q: int) -> list[FloatArray]:
    line = problem.lines[q]
    ticks = np.arange(0, int(line.needed_kw.max() / line.tick_kw) + 1) * line.tick_kw
    if line.bid_shape is BidShape.FLAT:
        most = line.needed_kw[line.bid_slots].min()
        levels = [kw for kw in ticks if kw == 0.0 or line.min_kw <= kw <= most]
        return [np.where(line.bid_slots, kw, 0.0) for kw in levels]
    choices = [
        [kw for kw in ticks if kw == 0.0 or line.min_kw <= kw <= line.needed_kw[t]] if on else [0.0]
        for t, on in enumerate(line.bid_slots)
    ]
    return [np.array(levels) for levels in itertools.product(*choices)]


def _holds(problem: Problem, steps: int) -> list[FloatArray]:
    places = [
        (q, t)
        for q, line in enumerate(problem.lines)
        for t in range(len(problem.slots))
        if line.hold_back and line.bid_slots[t] and problem.base_kw[t] > 0.0
    ]
    found = []
    for parts in itertools.product(np.linspace(0.0, 1.0, steps + 1), repeat=len(places)):
        held = np.zeros((len(problem.lines), len(problem.slots)))
        for (q, t), part in zip(places, parts, strict=True):
            held[q, t] = part * problem.base_kw[t]
        if (held.sum(axis=0) <= problem.base_kw + 1e-9).all():
            found.append(held)
    return found


def _margins(problem: Problem, table: FloatArray, bids: FloatArray, held: FloatArray) -> FloatArray:
    """Return the expected margin of each joint bid (bids, lines, slots); minus infinity beyond CVaR."""
    hours, scenarios = problem.slot_hours, len(problem.probability)
    factors = np.array([line.factor for line in problem.lines])
    asked = bids / factors[:, None]
    base = problem.base_kw - held.sum(axis=0) - problem.charge_kw + problem.committed_kw
    demand = np.tile(base, (len(bids), 1))
    before = _missed(table, demand, hours)
    unmet = np.zeros((len(bids), len(problem.lines), scenarios))
    weights = [
        line.award_probability
        * (
            line.utilisation_gbp_per_mwh
            + line.penalty_gbp_per_mwh
            + problem.spread_gbp_per_mwh[line.bid_slots].max(initial=0.0)
        )
        for line in problem.lines
    ]
    for q in np.argsort(-np.array(weights), kind="stable"):
        demand = demand + asked[:, q]
        after = _missed(table, demand, hours)
        unmet[:, q] = np.maximum(after - before, 0.0)
        before = after
    earned = np.zeros(len(bids))
    for q, line in enumerate(problem.lines):
        price = line.availability_gbp_per_mw_h + line.utilisation_gbp_per_mwh + problem.spread_gbp_per_mwh
        earned += line.award_probability * (asked[:, q] @ price) - weights[q] * (
            unmet[:, q] @ problem.probability
        )
        spread = np.maximum(problem.spread_gbp_per_mwh, 0.0)
        earned -= (1.0 + line.award_probability) * float(spread @ held[q])
        if problem.cvar is not None:
            over = _cvar(unmet[:, q], problem.probability, problem.cvar.level)
            earned = np.where(over > problem.cvar.limit * asked[:, q].sum(axis=1) + 1e-6, -np.inf, earned)
    return hours / 1000.0 * earned


def _missed(table: FloatArray, demand: FloatArray, hours: float) -> FloatArray:
    """Return the largest demand(S) - h(S), shape (bids, scenarios). [kW, summed]"""
    slots = demand.shape[1]
    members = (np.arange(2**slots)[:, None] >> np.arange(slots) & 1).astype(float)
    rest = (demand @ members.T)[:, None, :] - table[None] / hours
    rest[:, :, 0] = 0.0
    return rest.max(axis=2)


def _cvar(loss: FloatArray, probability: FloatArray, level: float) -> FloatArray:
    """Return the smallest ``alpha + E[(loss - alpha)+] / (1 - level)`` over alpha, a loss or 0."""
    alphas = np.concatenate([np.zeros((len(loss), 1)), loss], axis=1)
    beyond = np.maximum(loss[:, None, :] - alphas[:, :, None], 0.0) @ probability
    return (alphas + beyond / (1.0 - level)).min(axis=1)
