"""`flexloop plan FILE.json`: one bidding problem, solved to the optimum.

All cars that come are there for the whole window, so a scenario's capability depends on how many slots are
asked, not on which. Without blocks and minimum the answer is the linear programme's optimum. With them it is
the best profile found by moves on the grid and, up to 16 slots, by integer programming; the gap to a proven
bound is said.
"""

import math
from dataclasses import replace
from typing import TypedDict

import numpy as np

from aggregator.bidding_plan import Solution, relax, whole
from aggregator.files.plan import PlanProblem
from aggregator.plan_search import Grid, climb, starts
from aggregator.plan_value import FloatArray, Risk, Terms, revenue_gbp
from aggregator.solver import SolverChoice, SolverRun

MAX_INTEGERS = 16

_GOOD_ENOUGH = 1e-3
_MILP_GAP = 1e-4
_MILP_TIME_S = 5.0
_PROVEN = 1e-6
_DIGITS = 9


class SolverReport(TypedDict):
    """How the solve ended."""

    name: str
    status: str
    gap: float | None


class PlanAnswer(TypedDict):
    """The answer as printed: bids per slot [kW], expected revenue [GBP]."""

    bid_kw: list[float]
    expected_revenue: float
    solver: SolverReport


def solve_plan(problem: PlanProblem, choice: SolverChoice | None = None) -> PlanAnswer:
    """Find the bids with the highest expected revenue.

    Args:
        problem: As read.
        choice: Which solver; GLPK without one.

    Returns:
        Bids, revenue, and how sure it is: the gap is relative to a proven bound, None when there is no bound.

    Raises:
        BadMessage: If the solver is not installed.
    """
    choice = choice or SolverChoice()
    terms, grid = terms_of(problem), grid_of(problem)
    if grid.most_kw <= 0.0 or grid.least_kw > grid.most_kw:
        return _answer(np.zeros(problem.n_slots), 0.0, SolverRun(choice.name, "optimal", 0.0))
    open_grid = Grid(None, 0.0, terms.top_kw)
    start_kw = climb(terms, open_grid, np.zeros(problem.n_slots))
    free = np.zeros(problem.n_slots)
    relaxed = relax(terms, choice, start_kw, low_kw=free, high_kw=free + terms.top_kw)
    if grid.is_open:
        return _finish(terms, choice, relaxed.bid_kw, relaxed.bound_gbp, relaxed.run)
    return _on_grid(terms, grid, choice, relaxed)


def terms_of(problem: PlanProblem) -> Terms:
    """Return the problem as the search sees it; alike scenarios are one, impossible ones are left out."""
    power = np.array([car.discharge_kw for car in problem.cars], dtype=np.float64)
    energy = np.array([car.exportable_kwh for car in problem.cars], dtype=np.float64)
    presence = np.array(problem.presence, dtype=np.float64).reshape(len(problem.presence), len(power))
    hours = problem.slot_hours * np.arange(problem.n_slots + 1)
    reach_kw = presence @ np.minimum(energy[:, None], power[:, None] * hours) / problem.slot_hours
    probability = np.array(problem.probability, dtype=np.float64)
    reach_kw, kind = np.unique(reach_kw[probability > 0.0], axis=0, return_inverse=True)
    merged = np.bincount(kind.reshape(-1), weights=probability[probability > 0.0])
    called = problem.activation_probability
    availability = np.array(problem.availability_price_per_kwh, dtype=np.float64)
    utilisation = np.array(problem.utilisation_price_per_kwh, dtype=np.float64)
    return Terms(
        slot_hours=problem.slot_hours,
        top_kw=float(power.sum()),
        hold_gbp_per_kw=problem.slot_hours * (availability - called * problem.penalty_per_kwh_short),
        gain_gbp_per_kwh=utilisation - problem.energy_cost_per_kwh + problem.penalty_per_kwh_short,
        activation=called,
        probability=np.asarray(merged, dtype=np.float64),
        reach_kw=reach_kw,
        risk=Risk(problem.cvar.level, problem.cvar.limit) if problem.cvar else None,
    )


def grid_of(problem: PlanProblem) -> Grid:
    """Return what a slot's bid may be; the minimum rounded up, the most rounded down, to whole blocks."""
    most_kw = sum(car.discharge_kw for car in problem.cars)
    block_kw = problem.block_kw
    if block_kw is None:
        return Grid(None, problem.min_bid_kw, most_kw)
    least = math.ceil(problem.min_bid_kw / block_kw - 1e-9)
    most = math.floor(most_kw / block_kw + 1e-9)
    return Grid(block_kw, least * block_kw, most * block_kw)


def _on_grid(terms: Terms, grid: Grid, choice: SolverChoice, relaxed: Solution) -> PlanAnswer:
    candidates = [climb(terms, grid, start) for start in starts(terms, grid, relaxed.bid_kw)]
    best_kw = _polished(terms, grid, choice, _best(terms, choice, candidates))
    value, bound_gbp, run = _worth(terms, choice, best_kw), relaxed.bound_gbp, relaxed.run
    if _gap(value, bound_gbp) > _GOOD_ENOUGH and terms.n_slots <= MAX_INTEGERS:
        brief = replace(choice, time_limit_s=min(choice.time_limit_s, _MILP_TIME_S))
        exact = whole(terms, grid, brief, relaxed.cuts, relative_gap=_MILP_GAP)
        exact_kw = _polished(terms, grid, choice, exact.bid_kw)
        candidates = [best_kw, exact_kw, climb(terms, grid, exact_kw)]
        best_kw = _polished(terms, grid, choice, _best(terms, choice, candidates))
        bound_gbp, run = min(bound_gbp, exact.bound_gbp), exact.run
    return _finish(terms, choice, best_kw, bound_gbp, run)


def _polished(terms: Terms, grid: Grid, choice: SolverChoice, bid_kw: FloatArray) -> FloatArray:
    """With a minimum but no blocks: the best powers for the slots that were chosen."""
    if grid.block_kw is not None or not bid_kw.any():
        return bid_kw
    on = bid_kw > 0.0
    low_kw, high_kw = np.where(on, grid.least_kw, 0.0), np.where(on, grid.most_kw, 0.0)
    finer = relax(terms, choice, bid_kw, low_kw=low_kw, high_kw=high_kw)
    finer_kw = grid.snap(finer.bid_kw + 1e-12)
    # where the risk limit binds, the closed form cannot judge a profile that stands just beyond it
    return finer_kw if terms.is_torn and finer.run.solved else _best(terms, choice, [bid_kw, finer_kw])


def _best(terms: Terms, choice: SolverChoice, candidates: list[FloatArray]) -> FloatArray:
    return max(candidates, key=lambda bid_kw: _worth(terms, choice, bid_kw))


def _worth(terms: Terms, choice: SolverChoice, bid_kw: FloatArray) -> float:
    value = float(revenue_gbp(terms, bid_kw[None])[0])
    if not terms.is_torn:
        return value
    fixed = relax(terms, choice, bid_kw, low_kw=bid_kw, high_kw=bid_kw)
    return max(value, fixed.bound_gbp) if math.isfinite(fixed.bound_gbp) else value


def _finish(
    terms: Terms, choice: SolverChoice, bid_kw: FloatArray, bound_gbp: float, run: SolverRun
) -> PlanAnswer:
    value = _worth(terms, choice, bid_kw)
    gap = _gap(value, bound_gbp)
    if run.solved:
        run = replace(run, status="optimal" if gap <= _PROVEN else "feasible")
    return _answer(bid_kw, value, replace(run, gap=gap))


def _gap(value_gbp: float, bound_gbp: float) -> float:
    """Return how far the value may be below the best, relative to the bound; 0 at or above it."""
    if not math.isfinite(bound_gbp):
        return math.inf
    return max(0.0, bound_gbp - value_gbp) / max(abs(bound_gbp), abs(value_gbp), 1e-9)


def _answer(bid_kw: FloatArray, value_gbp: float, run: SolverRun) -> PlanAnswer:
    gap = run.gap if math.isfinite(run.gap) else None
    return PlanAnswer(
        bid_kw=[round(float(kw), _DIGITS) + 0.0 for kw in bid_kw],
        expected_revenue=round(value_gbp, _DIGITS) + 0.0,
        solver=SolverReport(name=run.name, status=run.status, gap=gap),
    )
