"""From a problem to a proposal: the optimum, made smaller by what is known of it, then checked once more.

Order: programme; times the conformal factor; down to the tick; 0 or at least the minimum; then u, v and the
money are worked out anew for the bid as it stands, and P11 is checked on it. Rounding down is always safe: of
what can be split, every part can.
"""

from dataclasses import replace

import numpy as np

from aggregator.bidding_lp import Optimum, optimise
from aggregator.bidding_table import (
    excess_kwh,
    expected,
    holds,
    keeps_cvar,
    margins_gbp,
    shortfall,
    subsets,
    tenth_percentile,
)
from aggregator.bidding_types import (
    BadScenario,
    BoolArray,
    Cvar,
    FloatArray,
    Infeasible,
    Problem,
    Proposal,
    Shortfall,
)
from aggregator.model.errors import Unavailable
from aggregator.model.market import BidShape

__all__ = ["MAX_SLOTS", "BadScenario", "Cvar", "Infeasible", "Problem", "Proposal", "holds", "propose"]

MAX_SLOTS = 12

_MAX_WORDS = 8
_MISSING_KWH = 1e-3
_ROUNDING = 1e-6


def propose(problem: Problem) -> Proposal | Infeasible:
    """Find the bid with the highest expected margin that every scenario can split.

    A bid of zero is a proposal like any other. The same problem always gives the same answer.

    Raises:
        BadMessage: If the solver is not installed.
        Unavailable: If it found no answer, though there always is one: it failed, or its time ran out.
    """
    reason = _why_not(problem)
    if reason is not None:
        return Infeasible(reason)
    optimum = optimise(problem)
    if not optimum.run.solved:
        raise Unavailable(f"the solver {optimum.run.name} found no bid: {optimum.run.status}")
    offered_kw = _within_cvar(problem, _with_minimum(problem, optimum), optimum.held_kw)
    held_kw = _held_for(problem, offered_kw, optimum)
    short = _shortfall(problem, offered_kw, held_kw)
    if not holds(problem, offered_kw, problem.base_kw - held_kw, short):
        return Infeasible(
            "the bid could not be split in every scenario: the capability table is inconsistent"
        )
    return _proposal(problem, optimum, offered_kw, held_kw, short)


def _why_not(problem: Problem) -> str | None:
    """Return what makes the problem unfit for the programme, None if nothing does."""
    n, scenarios = len(problem.slots), len(problem.probability)
    if not 1 <= n <= MAX_SLOTS:
        return f"the window has {n} slots; 1 to {MAX_SLOTS} can be bid at once"
    if len({slot.hours for slot in problem.slots}) != 1:
        return "the window's slots are not equally long"
    per_slot = (problem.bid_slots, problem.needed_kw, problem.base_kw, problem.charge_kw)
    if any(values.shape != (n,) for values in (*per_slot, problem.spread_gbp_per_mwh)):
        return f"not every series has one figure for each of the {n} slots"
    if problem.capability_kwh.shape != (scenarios, 2**n) or len(problem.scenario_labels) != scenarios:
        return f"the capability table does not have {scenarios} scenarios by {2**n} sets of slots"
    return _why_not_figures(problem)


def _why_not_figures(problem: Problem) -> str | None:
    arrays = (problem.needed_kw, problem.base_kw, problem.charge_kw, problem.probability)
    if any(not np.isfinite(values).all() or (values < 0.0).any() for values in arrays):
        return "needs, base plan and probabilities must be finite and at least 0"
    if not np.isfinite(problem.capability_kwh).all():
        return "the capability table must be finite"
    if abs(float(problem.probability.sum()) - 1.0) > _ROUNDING:
        return f"the scenarios' probabilities sum to {float(problem.probability.sum()):g}, not to 1"
    if problem.tick_kw <= 0.0 or problem.min_kw < 0.0 or not 0.0 < problem.factor <= 1.0:
        return "the tick must be above 0, the minimum at least 0, the factor above 0 and at most 1"
    at_stake = problem.award_probability * problem.penalty_gbp_per_mwh
    if problem.cvar is None and at_stake <= problem.availability_gbp_per_mw_h:
        return (
            f"the penalty is too low: {at_stake:g} GBP/MWh expected for not delivering does not exceed "
            f"{problem.availability_gbp_per_mw_h:g} GBP/MW/h for holding, so that bidding more than there is "
            "would pay; raise penalty_gbp_per_mwh or set a CVaR limit"
        )
    return None


def _floor(problem: Problem, kw: FloatArray) -> FloatArray:
    return np.floor(np.maximum(kw, 0.0) / problem.tick_kw + _ROUNDING) * problem.tick_kw


def _minimum_kw(problem: Problem) -> float:
    """The least bid that is not nothing, in whole ticks."""
    return float(np.ceil(problem.min_kw / problem.tick_kw - _ROUNDING) * problem.tick_kw)


def _with_minimum(problem: Problem, optimum: Optimum) -> FloatArray:
    """Return the bids in whole ticks, each 0 or at least the minimum: the best of a few ways to get there."""
    least_kw = _minimum_kw(problem)
    floored_kw = _floor(problem, problem.factor * optimum.bid_kw)
    small = (floored_kw > 0.0) & (floored_kw < least_kw)
    dropped_kw = np.where(small, 0.0, floored_kw)
    # A flat bid below the minimum is none: raising the whole window would promise what was not found there.
    if not small.any() or problem.bid_shape is BidShape.FLAT:
        return dropped_kw
    candidates = [dropped_kw, _raised(problem, dropped_kw, small, least_kw)]
    whole = optimise(problem, least_kw=least_kw / problem.factor)
    if whole.run.solved:
        again_kw = _floor(problem, problem.factor * whole.bid_kw)
        candidates.append(np.where(again_kw < least_kw, 0.0, again_kw))
    return max(candidates, key=lambda kw: _worth(problem, kw))


def _raised(problem: Problem, start_kw: FloatArray, small: BoolArray, least_kw: float) -> FloatArray:
    """Put slots that fell below the minimum at it, where need allows and it pays."""
    best_kw = start_kw
    for slot in np.flatnonzero(small & (problem.needed_kw >= least_kw)).tolist():
        candidate_kw = np.where(np.arange(len(start_kw)) == slot, least_kw, best_kw)
        if _worth(problem, candidate_kw) > _worth(problem, best_kw):
            best_kw = candidate_kw
    return best_kw


def _worth(problem: Problem, offered_kw: FloatArray) -> float:
    """Return what a bid earns without hold-back, at the size it has before the factor. [GBP]"""
    nothing, bid_kw = np.zeros_like(offered_kw), offered_kw / problem.factor
    short = shortfall(problem, bid_kw, nothing)
    if not keeps_cvar(problem, bid_kw, short):
        return -float("inf")
    return expected(problem, margins_gbp(problem, bid_kw, nothing, short))


def _within_cvar(problem: Problem, offered_kw: FloatArray, held_kw: FloatArray) -> FloatArray:
    """Take ticks off where most is missed until the limit, which rounding may have broken, holds again."""
    while offered_kw.any():
        short = shortfall(problem, offered_kw, held_kw)
        if keeps_cvar(problem, offered_kw, short):
            break
        missed = problem.probability @ short.unmet_kw
        lower = problem.bid_slots if problem.bid_shape is BidShape.FLAT else missed == missed.max()
        less_kw = _floor(problem, offered_kw - problem.tick_kw * lower)
        offered_kw = np.where(less_kw < _minimum_kw(problem), 0.0, less_kw)
    return offered_kw


def _held_for(problem: Problem, offered_kw: FloatArray, optimum: Optimum) -> FloatArray:
    """Return the hold-back that the bid as it stands still needs: none for a bid of zero."""
    if not optimum.held_kw.any() or not offered_kw.any():
        return np.zeros_like(offered_kw)
    again = optimise(problem, fixed_kw=offered_kw)
    held_kw = again.held_kw if again.run.solved else optimum.held_kw
    return np.where(held_kw < _ROUNDING, 0.0, held_kw)


def _shortfall(problem: Problem, offered_kw: FloatArray, held_kw: FloatArray) -> Shortfall:
    """Return u and v in closed form; by the programme where the table is not quite submodular."""
    short = shortfall(problem, offered_kw, held_kw)
    if holds(problem, offered_kw, problem.base_kw - held_kw, short):
        return short
    kept = replace(problem, base_kw=problem.base_kw - held_kw, hold_back=False)
    again = optimise(kept, fixed_kw=offered_kw)
    return again.short if again.run.solved else short


def _proposal(
    problem: Problem, optimum: Optimum, offered_kw: FloatArray, held_kw: FloatArray, short: Shortfall
) -> Proposal:
    margins = margins_gbp(problem, offered_kw, held_kw, short)
    spread_lost = problem.spread_gbp_per_mwh[held_kw > 0.0].max(initial=0.0)
    return Proposal(
        offered_kw=offered_kw,
        kept_kw=problem.base_kw - held_kw,
        held_back_kwh=problem.slot_hours * float(held_kw.sum()),
        expected_margin_gbp=expected(problem, margins),
        margin_p10_gbp=tenth_percentile(problem, margins),
        marginal_cost_gbp_per_mwh=problem.energy_cost_gbp_per_mwh + float(spread_lost),
        binding=_binding(problem, optimum),
        bad_scenarios=_bad_scenarios(problem, short),
        shortfall=short,
        factor=problem.factor,
        cars=problem.cars,
        run=optimum.run,
        inputs_digest=problem.inputs_digest,
    )


def _binding(problem: Problem, optimum: Optimum) -> tuple[str, ...]:
    """Say which sets of slots stop the programme's bid, the smallest per scenario, the likeliest first."""
    members = subsets(len(problem.slots))
    excess = excess_kwh(problem, optimum.bid_kw, optimum.held_kw, optimum.short)
    scale = max(1.0, float(np.abs(problem.capability_kwh).max(initial=0.0)))
    bids = (members & (optimum.bid_kw > 0.0)).any(axis=1)
    words: list[str] = []
    for w in np.argsort(-problem.probability, kind="stable").tolist():
        tight = np.flatnonzero(bids & (excess[w] > -1e-6 * scale))
        if len(tight):
            smallest = tight[members[tight].sum(axis=1).argmin()]
            words.append(f"{problem.words(members[smallest])} on {problem.scenario_labels[w]}")
    return tuple(words[:_MAX_WORDS])


def _bad_scenarios(problem: Problem, short: Shortfall) -> tuple[BadScenario, ...]:
    missing_kwh = problem.slot_hours * short.unmet_kw.sum(axis=1)
    order = np.argsort(-missing_kwh, kind="stable").tolist()
    return tuple(
        BadScenario(problem.scenario_labels[w], float(missing_kwh[w]))
        for w in order
        if missing_kwh[w] > _MISSING_KWH
    )
