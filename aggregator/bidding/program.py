"""The linear programme of a window's bids, in Pyomo; rows are added as solutions break them.

Variables, all in kW and at least 0: B_q(t) the bid of line q (one level for a flat product), k_q(t) base
discharge held back for it, and per scenario w and line u_wq, what is missed of it in all. Rows: see
`aggregator.bidding.cuts`. The objective is the expectation of `aggregator.bidding.value.margins_gbp`. Neither
cars nor slots of scenarios are in it: it does not grow with the fleet, and hardly with the window.

What cheaper energy saves is the mean over scenarios of what each takes of it, one variable a tier, bounded by
``mean_w [ demand(outside S_w) + h_w(S_w) ]`` for the sets S_w that bind at the last solution: one row a
round.

Where standing promises cannot be kept in full in every scenario and base discharge may be held back, what
they miss depends on how much is held back, and not in a way that a linear programme can say: it is replaced
by a bound that is exact near a given hold-back (`Tangent`), from two ends, and then at what was found.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyomo.environ as pyo

from aggregator.bidding.cuts import Cut, Tangent, broken_cuts, first_cuts
from aggregator.bidding.problem import KW_PER_MW, FloatArray, Line, Problem
from aggregator.bidding.value import Bids, called_probability, expected, margin_gbp, unmet_kw
from aggregator.energy.capability import MOST_SLOTS
from aggregator.model.market import BidShape, Direction
from aggregator.solver import SolverRun, solve

# A bid that earns nothing is not made, base discharge is not moved for nothing (P13's ties), and of equally
# good slots the earlier is bid on: so every solver finds the same bids.
TIE_GBP_PER_MWH = 1e-3

_MAX_ROUNDS = 40
_MAX_TANGENTS = 3
_CLOSE = 1e-6
_SMALL = 2e-5
"""In a long window the search ends when more rows would lower the value by no more than this part."""
_MILP_GAP = 1e-3
_GBP_NOISE = 1e-9
_SAME_KW = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Optimum:
    """What the programme found; meaningless unless ``run.solved``.

    Attributes:
        bids: Bids and hold-back, at the size before the factor.
        run: How it ended.
        cuts: The rows it took, to begin another search with.
    """

    bids: Bids
    run: SolverRun
    cuts: frozenset[Cut]

    @property
    def finished(self) -> bool:
        """Whether it is what the same problem always gives: the solver ended by itself, not by the clock."""
        return self.run.solved and self.run.gap <= _MILP_GAP + _GBP_NOISE


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """What is asked of the programme beside the problem itself.

    Attributes:
        fixed_kw: Bids that are decided, shape (lines, slots): only k and u are found; None for free ones.
            [kW]
        whole: Bids in whole ticks of what is offered, 0 or at least the minimum, by integer programming.
        exclusive: At most one line bids in a slot, by integer programming.
        cuts: Rows known from a search before.
    """

    fixed_kw: FloatArray | None = None
    whole: bool = False
    exclusive: bool = False
    cuts: frozenset[Cut] = field(default_factory=frozenset)


def can_hold_kw(problem: Problem) -> FloatArray:
    """Return most that may be held back for each line, shape (lines, slots). [kW]"""
    up = problem.direction is Direction.UP
    return np.array(
        [
            problem.base_kw * line.bid_slots if up and line.hold_back else np.zeros_like(problem.base_kw)
            for line in problem.lines
        ]
    )


def must_hold_kw(problem: Problem) -> FloatArray:
    """Return what is held back at least for each line that bids, shape (lines, slots). [kW]"""
    return np.asarray(can_hold_kw(problem) * np.array([[line.least_held] for line in problem.lines]))


def is_torn(problem: Problem) -> bool:
    """Whether what standing promises miss depends on what is held back: the optimum may then be elsewhere."""
    if not can_hold_kw(problem).any():
        return False
    return Tangent.of(problem, must_hold_kw(problem).sum(axis=0)).matters


def optimise(problem: Problem, search: Search | None = None) -> Optimum:
    """Find the best bids; where it depends on where one starts, the best of a few starts."""
    asked = search or Search()
    least_held = must_hold_kw(problem).sum(axis=0)
    best = _solve_at(problem, asked, least_held)
    if not best.finished or not is_torn(problem):
        return best
    all_held = np.minimum(problem.base_kw, can_hold_kw(problem).sum(axis=0))
    other = _solve_at(problem, replace(asked, cuts=best.cuts), all_held)
    ends = (_followed(problem, asked, best, least_held), _followed(problem, asked, other, all_held))
    return max(ends, key=lambda one: _value(problem, one))


def _followed(problem: Problem, asked: Search, start: Optimum, at_kw: FloatArray) -> Optimum:
    """Follow the programme from what it found to what it finds there, while that earns more."""
    best = start
    for _ in range(_MAX_TANGENTS):
        held_kw = best.bids.held_kw.sum(axis=0)
        if not best.finished or np.abs(held_kw - at_kw).max() <= _SAME_KW:
            return best
        at_kw = held_kw
        again = _solve_at(problem, replace(asked, cuts=best.cuts), at_kw)
        if _value(problem, again) <= _value(problem, best) + _GBP_NOISE:
            return best
        best = again
    return best


def _value(problem: Problem, found: Optimum) -> float:
    if not found.run.solved:
        return -np.inf
    return margin_gbp(problem, found.bids)


def _solve_at(problem: Problem, asked: Search, held_kw: FloatArray) -> Optimum:
    """Solve with what standing promises miss as it is near a hold-back, adding broken rows until none is."""
    tangent = Tangent.of(problem, held_kw)
    program = _Program(problem, asked, tangent)
    cuts = set(asked.cuts) or first_cuts(problem, held_kw)
    program.add(cuts)
    program.bound_savings(Bids(np.zeros(problem.shape), np.zeros(problem.shape)))
    best = program.solve()
    for _ in range(_MAX_ROUNDS):
        if not best.finished:
            break
        unmet = program.unmet_kw()
        if len(problem.slots) > MOST_SLOTS and _taken_for_met_gbp(problem, best.bids, unmet) <= _SMALL * abs(
            margin_gbp(problem, best.bids)
        ):
            break
        new = broken_cuts(problem, best.bids, unmet) - cuts
        tighter = program.bound_savings(best.bids)
        if not new and not tighter:
            break
        cuts |= new
        program.add(new)
        best = program.solve()
    return replace(best, cuts=frozenset(cuts))


def _taken_for_met_gbp(problem: Problem, bids: Bids, unmet: FloatArray) -> float:
    """Return what is missed of bids beyond what the programme knows of, at its price: what a bid may gain."""
    prices = np.array([line.award_probability * problem.unmet_gbp_per_mwh(line) for line in problem.lines])
    beyond_kw = np.maximum(unmet_kw(problem, bids) - unmet, 0.0)
    return problem.slot_hours / KW_PER_MW * expected(problem, beyond_kw * prices)


class _Program:
    """The Pyomo model of one search."""

    def __init__(self, problem: Problem, asked: Search, tangent: Tangent) -> None:
        self._problem, self._tangent = problem, tangent
        self._asked = asked
        self._model = model = pyo.ConcreteModel()
        lines = [(q, line) for q, line in enumerate(problem.lines) if line.bid_slots.any()]
        self._levels = {q: self._add_levels(q, line) for q, line in lines}
        hold, least = can_hold_kw(problem), must_hold_kw(problem) * self._bidding()
        places = [(q, t) for q, t in np.argwhere(hold > 0.0).tolist()]
        model.held = pyo.Var(places, bounds=lambda _, q, t: (float(least[q, t]), float(hold[q, t])))
        self._places = places
        shared = [t for t in range(len(problem.slots)) if sum(1 for _, slot in places if slot == t) > 1]
        model.once = pyo.Constraint(
            shared,
            rule=lambda m, t: (
                pyo.quicksum(m.held[q, s] for q, s in places if s == t) <= float(problem.base_kw[t])
            ),
        )
        scenarios = range(len(problem.probability))
        model.unmet = pyo.Var([q for q, _ in lines], scenarios, domain=pyo.NonNegativeReals)
        model.saved = pyo.Var(range(len(problem.tiers)))
        model.savings = pyo.ConstraintList()
        model.rows = pyo.ConstraintList()
        if asked.exclusive:
            self._add_exclusive()
        if problem.cvar is not None:
            self._add_cvar()
        model.earned = pyo.Objective(expr=self._objective(), sense=pyo.maximize)

    def _bidding(self) -> FloatArray:
        """Return 1 for each line that is taken to bid, 0 for one that may not, shape (lines, 1)."""
        if self._asked.exclusive:
            return np.zeros((len(self._problem.lines), 1))
        if self._asked.fixed_kw is None:
            return np.ones((len(self._problem.lines), 1))
        return np.asarray(self._asked.fixed_kw.any(axis=1, keepdims=True), dtype=np.float64)

    # variables

    def _add_levels(self, q: int, line: Line) -> dict[int, Any]:
        """Add a line's bids; return the variable of each slot: the same one in all slots of a flat bid."""
        block = pyo.Block(concrete=True)
        self._model.add_component(f"line{q}", block)
        slots = np.flatnonzero(line.bid_slots).tolist()
        keys = [slots[0]] if line.bid_shape is BidShape.FLAT else slots
        most_kw = line.most_kw / line.factor
        block.bid = pyo.Var(keys, bounds=lambda _, t: (0.0, float(most_kw[t])))
        if self._asked.fixed_kw is not None:
            for t in keys:
                block.bid[t].fix(float(self._asked.fixed_kw[q, t]))
        elif self._asked.whole or self._asked.exclusive:
            block.on = pyo.Var(keys, domain=pyo.Binary)
            block.at_most = pyo.Constraint(keys, rule=lambda b, t: b.bid[t] <= float(most_kw[t]) * b.on[t])
        if self._asked.whole:
            tick, least = line.tick_kw / line.factor, line.least_kw / line.factor
            ticks = [max(0, round(float(line.most_kw[t]) / line.tick_kw)) for t in keys]
            block.ticks = pyo.Var(
                keys, domain=pyo.NonNegativeIntegers, bounds=lambda _, t: (0, ticks[keys.index(t)])
            )
            block.in_ticks = pyo.Constraint(keys, rule=lambda b, t: b.bid[t] == tick * b.ticks[t])
            block.at_least = pyo.Constraint(keys, rule=lambda b, t: b.bid[t] >= least * b.on[t])
        return {t: block.bid[keys[0] if line.bid_shape is BidShape.FLAT else t] for t in slots}

    def _add_exclusive(self) -> None:
        lines = self._problem.lines
        switches: dict[int, list[Any]] = {}
        for q, levels in self._levels.items():
            on = self._model.component(f"line{q}").on
            for t in levels:
                switches.setdefault(t, []).append(
                    on[min(levels) if lines[q].bid_shape is BidShape.FLAT else t]
                )
        self._model.one = pyo.ConstraintList()
        for both in switches.values():
            if len(both) > 1:
                self._model.one.add(pyo.quicksum(both) <= 1)

    def _add_cvar(self) -> None:
        limits, model, problem = self._problem.cvar, self._model, self._problem
        if limits is None:
            return
        lines, scenarios = list(self._levels), range(len(problem.probability))
        model.alpha = pyo.Var(lines, domain=pyo.NonNegativeReals)
        model.beyond = pyo.Var(lines, scenarios, domain=pyo.NonNegativeReals)
        model.tail = pyo.Constraint(
            lines, scenarios, rule=lambda m, q, w: m.beyond[q, w] >= m.unmet[q, w] - m.alpha[q]
        )

        def within(m: pyo.ConcreteModel, q: int) -> object:
            mean = pyo.quicksum(float(problem.probability[w]) * m.beyond[q, w] for w in scenarios)
            allowed = limits.limit * pyo.quicksum(self._levels[q].values())
            return (1.0 - limits.level) * (m.alpha[q] - allowed) + mean <= 0.0

        model.risk = pyo.Constraint(lines, rule=within)

    def _objective(self) -> object:
        """Return the expected margin in GBP/MWh times kW: the hours and thousands are a common factor."""
        problem, model = self._problem, self._model
        spread, terms = problem.spread_gbp_per_mwh, []
        tie = [TIE_GBP_PER_MWH * (1.0 + t / len(spread)) for t in range(len(spread))]
        for q, levels in self._levels.items():
            line = problem.lines[q]
            a, paid = line.award_probability, line.availability_gbp_per_mw_h + line.utilisation_gbp_per_mwh
            terms += [(a * (paid + float(spread[t])) - tie[t]) * bid for t, bid in levels.items()]
            missed = a * problem.unmet_gbp_per_mwh(line)
            terms += [-float(p) * missed * model.unmet[q, w] for w, p in enumerate(problem.probability)]
        for q, t in self._places:
            lost = float(problem.held_gbp_per_mwh(problem.lines[q])[t])
            terms.append(-(lost + tie[t]) * model.held[q, t])
        a = called_probability(problem)
        terms += [a * problem.tiers[j].saving_gbp_per_mwh * model.saved[j] for j in model.saved]
        return pyo.quicksum(terms)

    # rows

    def add(self, cuts: Iterable[Cut]) -> None:
        """Add rows."""
        problem, model, tangent = self._problem, self._model, self._tangent
        standing = problem.standing_kw(np.zeros(len(problem.slots)))
        up = problem.direction is Direction.UP
        for cut in sorted(cuts, key=lambda one: (one.scenario, one.lines, one.slots)):
            inside, w = set(cut.slots), cut.scenario
            freed = set(np.flatnonzero(tangent.members[w]).tolist())
            asked = [self._levels[q][t] for q in cut.lines for t in self._levels[q] if t in inside]
            held = [
                (float(t in freed) - float(t in inside)) * model.held[q, t]
                for q, t in self._places
                if up and (t in inside) != (t in freed)
            ]
            constant = float(standing[list(cut.slots)].sum()) - cut.room_kw - float(tangent.missed_kw[w])
            constant -= float(tangent.at_kw[list(freed)].sum())
            missed = pyo.quicksum(model.unmet[q, w] for q in cut.lines)
            model.rows.add(pyo.quicksum(asked) + pyo.quicksum(held) - missed <= -constant)

    def bound_savings(self, bids: Bids) -> bool:
        """Add what bounds the savings at these bids; return whether it says anything new."""
        problem, model, tighter = self._problem, self._model, False
        held_kw = bids.held_kw.sum(axis=0)
        demand_kw = problem.giving_kw(held_kw) + bids.bid_kw.sum(axis=0)
        asked_kwh = problem.slot_hours * demand_kw
        for j, tier in enumerate(problem.tiers):
            most_kw = float(problem.probability @ tier.reach.most_kwh(asked_kwh)) / problem.slot_hours
            value = model.saved[j].value
            if value is not None and value <= most_kw + _CLOSE * max(1.0, abs(most_kw)):
                continue
            tighter = True
            members, _ = tier.reach.tightest(np.tile(asked_kwh, (len(problem.probability), 1)))
            outside = problem.probability @ ~members
            asked = [float(outside[t]) * bid for levels in self._levels.values() for t, bid in levels.items()]
            asked += [-float(outside[t]) * model.held[q, t] for q, t in self._places]
            anyway_kw = problem.giving_kw(np.zeros_like(held_kw))
            constant = most_kw + float(outside @ (anyway_kw - demand_kw))
            model.savings.add(model.saved[j] - pyo.quicksum(asked) <= constant)
        return tighter

    # answers

    def solve(self) -> Optimum:
        """Solve with the rows there are."""
        whole = self._asked.whole or self._asked.exclusive
        run = solve(self._model, self._problem.solver, relative_gap=_MILP_GAP if whole else 0.0)
        if not run.solved:
            return Optimum(Bids.nothing(self._problem), run, frozenset())
        bid_kw, held_kw = np.zeros(self._problem.shape), np.zeros(self._problem.shape)
        for q, levels in self._levels.items():
            for t, variable in levels.items():
                bid_kw[q, t] = _at_least_0(variable)
        for q, t in self._places:
            held_kw[q, t] = _at_least_0(self._model.held[q, t])
        return Optimum(Bids(bid_kw, held_kw), run, frozenset())

    def unmet_kw(self) -> FloatArray:
        """Return u of the last solution, shape (scenarios, lines). [kW]"""
        unmet = np.zeros((len(self._problem.probability), len(self._problem.lines)))
        for q, w in self._model.unmet:
            unmet[w, q] = _at_least_0(self._model.unmet[q, w])
        return unmet


def _at_least_0(variable: pyo.Var) -> float:
    return max(0.0, float(variable.value))
