"""The linear programme of a bid, in Pyomo: rows of the capability table are added when they are broken.

Variables, all in kW and at least 0: B(t) the bid (one level for a flat product), k(t) base discharge held
back, and per scenario w: u_w(t) <= B(t) unmet bid, v_w(t) unmet nomination. For every scenario and set S

    D * sum_{t in S} (nom(t) + B(t) - u_w(t) - v_w(t)) <= h_w(S),    nom = +-(b0 - k - c)

and the objective is the expectation of `aggregator.bidding_table.margins_gbp`. A minimum bid adds one binary
a slot. Cars are not in it: it does not grow with the fleet.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyomo.environ as pyo

from aggregator.bidding_table import excess_kwh, subsets
from aggregator.bidding_types import FloatArray, Problem, Shortfall
from aggregator.model.market import BidShape, Direction
from aggregator.solver import SolverRun, solve

# A bid that earns nothing is not made, and base discharge is not moved for nothing: P13's ties.
TIE_GBP_PER_MWH = 1e-3

_MAX_ROUNDS = 60
_BROKEN = 1e-7
_MILP_GAP = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Optimum:
    """What the programme found; meaningless unless ``run.solved``.

    Attributes:
        bid_kw: B, shape (slots,). [kW]
        held_kw: k, shape (slots,). [kW]
        short: u and v.
        run: How it ended.
    """

    bid_kw: FloatArray
    held_kw: FloatArray
    short: Shortfall
    run: SolverRun


def optimise(
    problem: Problem, *, fixed_kw: FloatArray | None = None, least_kw: float | None = None
) -> Optimum:
    """Solve, adding broken rows until there are none.

    Args:
        problem: The problem.
        fixed_kw: Bids that are already decided, shape (slots,): then only k, u and v are found. [kW]
        least_kw: Bids are 0 or at least this, by integer programming; None for any bid. [kW]
    """
    model = _model(problem)
    if fixed_kw is not None:
        for slot, kw in enumerate(fixed_kw.tolist()):
            model.bid[slot].fix(kw)
    if least_kw is not None:
        _add_minimum(problem, model, least_kw)
    members = subsets(len(problem.slots))
    rows = _first_rows(problem)
    _add_rows(problem, model, rows)
    for _ in range(_MAX_ROUNDS):
        run = solve(model, problem.solver, relative_gap=_MILP_GAP if least_kw is not None else 0.0)
        if not run.solved:
            break
        found = _read(problem, model, run)
        new = set(_broken(problem, found, members.sum(axis=1))) - rows
        if not new:
            return found
        rows |= new
        _add_rows(problem, model, new)
    else:
        run = replace(run, status="failed")
    nothing = np.zeros((len(problem.probability), len(problem.slots)))
    return Optimum(nothing[0], nothing[0], Shortfall(nothing, nothing), run)


def _model(problem: Problem) -> pyo.ConcreteModel:
    """Build the model without table rows."""
    slots, scenarios = range(len(problem.slots)), range(len(problem.probability))
    may_hold = problem.hold_back and problem.direction is Direction.UP
    most_kw = np.where(problem.bid_slots, problem.needed_kw, 0.0).tolist()
    held_kw = np.where(problem.bid_slots & may_hold, problem.base_kw, 0.0).tolist()
    model = pyo.ConcreteModel()
    model.bid = pyo.Var(slots, bounds=lambda _, t: (0.0, most_kw[t]))
    model.held = pyo.Var(slots, bounds=lambda _, t: (0.0, held_kw[t]))
    model.unmet = pyo.Var(scenarios, slots, domain=pyo.NonNegativeReals)
    model.broken = pyo.Var(scenarios, slots, domain=pyo.NonNegativeReals)
    model.earned = pyo.Objective(expr=_objective(problem, model), sense=pyo.maximize)
    model.part = pyo.Constraint(scenarios, slots, rule=lambda m, w, t: m.unmet[w, t] <= m.bid[t])
    if problem.bid_shape is BidShape.FLAT:
        model.level = pyo.Var(domain=pyo.NonNegativeReals)
        wanted = np.flatnonzero(problem.bid_slots).tolist()
        model.flat = pyo.Constraint(wanted, rule=lambda m, t: m.bid[t] == m.level)
    if problem.cvar is not None:
        _add_cvar(problem, model)
    model.rows = pyo.ConstraintList()
    return model


def _objective(problem: Problem, model: pyo.ConcreteModel) -> object:
    """Return the expected margin in GBP/MWh times kW: the hours and thousands are a common factor."""
    a, spread = problem.award_probability, problem.spread_gbp_per_mwh
    bid = a * (problem.availability_gbp_per_mw_h + problem.utilisation_gbp_per_mwh + spread) - TIE_GBP_PER_MWH
    # Where base discharge loses money, holding it back is still only done to serve a bid.
    held = (1.0 + a) * np.maximum(spread, 0.0) + TIE_GBP_PER_MWH
    unmet = np.outer(problem.probability, a * problem.unmet_gbp_per_mwh)
    broken = problem.probability * problem.nomination_gbp_per_mwh
    return pyo.quicksum(
        float(bid[t]) * model.bid[t] - float(held[t]) * model.held[t] for t in range(len(bid))
    ) - pyo.quicksum(
        float(unmet[w, t]) * model.unmet[w, t] + float(broken[w]) * model.broken[w, t]
        for w in range(len(broken))
        for t in range(len(bid))
    )


def _add_cvar(problem: Problem, model: pyo.ConcreteModel) -> None:
    limits = problem.cvar
    if limits is None:
        return
    slots, scenarios = range(len(problem.slots)), range(len(problem.probability))
    model.alpha = pyo.Var(domain=pyo.NonNegativeReals)
    model.beyond = pyo.Var(scenarios, domain=pyo.NonNegativeReals)
    model.tail = pyo.Constraint(
        scenarios,
        rule=lambda m, w: m.beyond[w] >= pyo.quicksum(m.unmet[w, t] for t in slots) - m.alpha,
    )
    mean = pyo.quicksum(float(problem.probability[w]) * model.beyond[w] for w in scenarios)
    allowed = limits.limit * pyo.quicksum(model.bid[t] for t in slots)
    model.risk = pyo.Constraint(expr=(1.0 - limits.level) * (model.alpha - allowed) + mean <= 0.0)


def _add_minimum(problem: Problem, model: pyo.ConcreteModel, least_kw: float) -> None:
    slots = range(len(problem.slots))
    most_kw = np.where(problem.bid_slots, problem.needed_kw, 0.0).tolist()
    model.on = pyo.Var(slots, domain=pyo.Binary)
    model.at_least = pyo.Constraint(slots, rule=lambda m, t: m.bid[t] >= least_kw * m.on[t])
    model.at_most = pyo.Constraint(slots, rule=lambda m, t: m.bid[t] <= most_kw[t] * m.on[t])


def _first_rows(problem: Problem) -> set[tuple[int, int]]:
    """Return (scenario, set) for the whole window, the bid slots, and every single slot."""
    n = len(problem.slots)
    wanted = int((problem.bid_slots * 2 ** np.arange(n)).sum())
    sets = {2**n - 1, wanted, *(2**t for t in range(n))} - {0}
    return {(w, number) for w in range(len(problem.probability)) for number in sets}


def _add_rows(problem: Problem, model: pyo.ConcreteModel, rows: set[tuple[int, int]]) -> None:
    n, sign = len(problem.slots), problem.direction.sign
    base_kw = problem.nominated_kw(np.zeros(n))
    for w, number in sorted(rows):
        inside = [t for t in range(n) if number >> t & 1]
        asked = pyo.quicksum(
            model.bid[t] - sign * model.held[t] - model.unmet[w, t] - model.broken[w, t] for t in inside
        )
        room_kw = float(problem.capability_kwh[w, number]) / problem.slot_hours - float(base_kw[inside].sum())
        model.rows.add(asked <= room_kw)


def _broken(problem: Problem, found: Optimum, sizes: FloatArray) -> Iterator[tuple[int, int]]:
    """Yield, per scenario and size of set, the row that is broken most."""
    excess = excess_kwh(problem, found.bid_kw, found.held_kw, found.short)
    scale = max(1.0, float(np.abs(problem.capability_kwh).max(initial=0.0)))
    for size in range(1, len(problem.slots) + 1):
        columns = np.flatnonzero(sizes == size)
        worst = columns[excess[:, columns].argmax(axis=1)]
        for w, number in enumerate(worst.tolist()):
            if excess[w, number] > _BROKEN * scale:
                yield w, number


def _read(problem: Problem, model: pyo.ConcreteModel, run: SolverRun) -> Optimum:
    slots, scenarios = range(len(problem.slots)), range(len(problem.probability))
    bid_kw = np.array([_value(model.bid[t]) for t in slots])
    held_kw = np.array([_value(model.held[t]) for t in slots])
    unmet_kw = np.array([[_value(model.unmet[w, t]) for t in slots] for w in scenarios])
    broken_kw = np.array([[_value(model.broken[w, t]) for t in slots] for w in scenarios])
    return Optimum(bid_kw, held_kw, Shortfall(unmet_kw, broken_kw), run)


def _value(variable: pyo.Var) -> float:
    return max(0.0, float(variable.value))
