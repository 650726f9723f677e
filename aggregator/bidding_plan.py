"""The linear programme of `plan`, in Pyomo: bids per slot, delivery per scenario, cuts added when broken.

Per scenario and level of gain (`aggregator.plan_value.Level`) what the level's slots get in all may not
exceed ``(bids of A outside S) + f_w(|S|)/D`` for any set S of the level's slots A: 2^n cuts, of which only
those that a solution breaks are written. Levels are lumped into a few parts per scenario, each with one
variable: the mean over its levels, weighted by what they gain; lumping keeps the optimum, and the programme
small.

Rounds cost a tenth of a second each (GLPK is a process), so they are few by design: the search starts from a
climbed profile and moves in a box around the best one found, widened until the optimum lies inside it; the
value being concave, it is then the optimum without the box too. Slots with the same prices are alike, and a
mean over alike slots is as good as the best: without integers they share one variable.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pyomo.environ as pyo

from aggregator.plan_search import Grid
from aggregator.plan_value import (
    FloatArray,
    IntArray,
    Level,
    Terms,
    revenue_gbp,
    worst_set_size,
)
from aggregator.solver import SolverChoice, SolverRun, solve

_MAX_ROUNDS = 300
_MAX_WHOLE_ROUNDS = 12
_PARTS = 4
_CLOSE_ENOUGH = 1e-8
_FIRST_BOX = 0.05
_NARROW = 0.6
_WIDEN = 8.0
_OBJECTIVE_SIZE = 1e4


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Levels that share a variable: the mean of what each gets, weighted by its step.

    Attributes:
        levels: At least one.
        gain_gbp_per_kwh: Sum of their steps: what a kWh of the mean is worth. [GBP/kWh]
    """

    levels: tuple[Level, ...]
    gain_gbp_per_kwh: float

    @property
    def shares(self) -> list[float]:
        """Weight of each level in the mean."""
        if len(self.levels) == 1:
            return [1.0]
        return [level.step_gbp_per_kwh / self.gain_gbp_per_kwh for level in self.levels]


@dataclass(frozen=True, slots=True)
class Cut:
    """``mean got by the part <= sum(outside*bid) + reach``, in one scenario.

    Attributes:
        scenario: Index.
        part: Index.
        outside: Weight per slot. [-]
        reach_kw: What the sets can deliver. [kW]
    """

    scenario: int
    part: int
    outside: tuple[float, ...]
    reach_kw: float


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """The end of a search.

    Attributes:
        bid_kw: Shape (slots,). [kW]
        bound_gbp: No profile of this model earns more; infinite when that is not known. [GBP]
        run: How it ended.
        cuts: All cuts found.
    """

    bid_kw: FloatArray
    bound_gbp: float
    run: SolverRun
    cuts: frozenset[Cut]


def parts_of(terms: Terms) -> tuple[Part, ...]:
    """Lump the levels; with a risk limit the last part holds all slots, what a scenario gets in all.

    In torn terms every level keeps its own variable.
    """
    levels = terms.levels
    if terms.is_torn:
        return tuple(Part((level,), level.step_gbp_per_kwh) for level in levels)
    paying = [level for level in levels if level.step_gbp_per_kwh > 0.0]
    lumps = [paying[k * len(paying) // _PARTS : (k + 1) * len(paying) // _PARTS] for k in range(_PARTS)]
    parts = [Part(tuple(lump), sum(level.step_gbp_per_kwh for level in lump)) for lump in lumps if lump]
    if terms.risk is not None:
        parts.append(Part((Level(np.arange(terms.n_slots), 0.0),), 0.0))
    return tuple(parts)


def cuts_at(terms: Terms, parts: tuple[Part, ...], bid_kw: FloatArray) -> tuple[Cut, ...]:
    """Return the cuts that are tight at ``bid_kw`` (slots,), one per scenario and part."""
    liking = terms.hold_gbp_per_kw + terms.activation * terms.slot_hours * terms.gain_gbp_per_kwh
    scenarios = range(len(terms.probability))
    cuts: list[Cut] = []
    for number, part in enumerate(parts):
        outside = np.zeros((len(scenarios), terms.n_slots))
        reach_kw = np.zeros(len(scenarios))
        for level, share in zip(part.levels, part.shares, strict=True):
            bids = bid_kw[level.slots]
            sizes = worst_set_size(bids, terms.reach_kw)
            # Equal bids are told apart by price: the set that later rounds will want is found in this one.
            order = level.slots[np.lexsort((-liking[level.slots], -bids))]
            outside[:, order] += share * (np.arange(len(order)) >= sizes[:, None])
            reach_kw += share * terms.reach_kw[scenarios, sizes]
        cuts += [Cut(w, number, tuple(outside[w].tolist()), float(reach_kw[w])) for w in scenarios]
    return tuple(cuts)


def price_groups(terms: Terms) -> IntArray:
    """Return a group number per slot: the same number where both prices are the same, shape (slots,)."""
    return _alike(np.stack([terms.hold_gbp_per_kw, terms.gain_gbp_per_kwh], axis=1))


def relax(
    terms: Terms, choice: SolverChoice, start_kw: FloatArray, *, low_kw: FloatArray, high_kw: FloatArray
) -> Solution:
    """Solve without integers, each slot between its two bounds.

    Args:
        terms: The plan.
        choice: Solver and time limit per call.
        start_kw: A good profile to search around, shape (slots,). [kW]
        low_kw: Shape (slots,). [kW]
        high_kw: Shape (slots,). [kW]

    Returns:
        The best profile met, and the bound that proves it.
    """
    prices = np.stack([terms.hold_gbp_per_kw, terms.gain_gbp_per_kwh, low_kw, high_kw], axis=1)
    group = _alike(prices)
    sizes = np.bincount(group)
    mean_kw = (np.bincount(group, weights=start_kw) / sizes)[group]
    search = _Search(terms, choice, group, low_kw, high_kw)
    return search.run(np.clip(mean_kw, low_kw, high_kw))


def whole(
    terms: Terms, grid: Grid, choice: SolverChoice, cuts: frozenset[Cut], *, relative_gap: float
) -> Solution:
    """Solve with blocks and the minimum as integers, one variable per slot.

    Slots of the same prices are put in falling order: any profile can be sorted so without changing what it
    earns, and the search need not try the same profile twice.
    """
    parts, group = parts_of(terms), np.arange(terms.n_slots)
    model = _model(terms, parts, group)
    _add_grid(model, grid, terms.n_slots)
    _add_order(model, price_groups(terms))
    _add_cuts(model, group, cuts)
    best_kw, best, bound_gbp = np.zeros(terms.n_slots), 0.0, float("inf")
    last_kw = best_kw
    run = SolverRun(choice.name, "failed", float("inf"))
    for _ in range(_MAX_WHOLE_ROUNDS):
        run = solve(model, choice, relative_gap=relative_gap)
        if not run.solved:
            break
        bid_kw = grid.snap(_bids(model, group) + 1e-6)
        value = float(revenue_gbp(terms, bid_kw[None])[0])
        last_kw = bid_kw
        if value > best or terms.is_torn:
            best_kw, best = bid_kw, value
        earned = float(pyo.value(model.earned)) / model.scale.value
        bound_gbp = min(bound_gbp, earned + run.gap * abs(earned))
        new = frozenset(cuts_at(terms, parts, bid_kw)) - cuts
        if not new or not np.isfinite(run.gap) or bound_gbp - best <= relative_gap * abs(bound_gbp):
            break
        cuts |= new
        _add_cuts(model, group, new)
    # rounding may have put the last profile just beyond the risk limit: its choice of slots is still good
    return Solution(best_kw if best_kw.any() else last_kw, bound_gbp, run, cuts)


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """A cut loop in a box that follows the best profile."""

    terms: Terms
    choice: SolverChoice
    group: IntArray
    low_kw: FloatArray
    high_kw: FloatArray

    def run(self, centre_kw: FloatArray) -> Solution:
        terms, parts = self.terms, parts_of(self.terms)
        model = _model(terms, parts, self.group)
        value = self._value(centre_kw)
        cuts: frozenset[Cut] = frozenset()
        cuts = _extend(model, self.group, cuts, _first_cuts(terms, parts, centre_kw))
        box_kw = _FIRST_BOX * terms.top_kw if np.isfinite(value) and not terms.is_torn else terms.top_kw
        run = SolverRun(self.choice.name, "failed", float("inf"))
        for _ in range(_MAX_ROUNDS):
            self._bound(model, centre_kw, box_kw)
            run = solve(model, self.choice)
            if not run.solved:
                return Solution(centre_kw, float("inf"), run, cuts)
            bid_kw = np.clip(_bids(model, self.group), self.low_kw, self.high_kw)
            bound_gbp = float(pyo.value(model.earned)) / model.scale.value
            found = self._value(bid_kw)
            known = len(cuts)
            cuts = _extend(model, self.group, cuts, cuts_at(terms, parts, bid_kw))
            close = bound_gbp - max(found, value) <= _CLOSE_ENOUGH * max(abs(bound_gbp), self._small())
            stuck = len(cuts) == known and found <= value
            if terms.is_torn:
                # The closed form does not know the worth of a profile here: the cuts alone decide.
                close, stuck, value = False, len(cuts) == known, -float("inf")
            if (close or stuck) and not self._leans(bid_kw, centre_kw, box_kw):
                if found > value:
                    centre_kw = bid_kw
                return Solution(centre_kw, bound_gbp, run, cuts)
            if close or stuck:
                box_kw = min(_WIDEN * box_kw, terms.top_kw)
            elif found - value > 0.5 * (bound_gbp - value):
                box_kw = min(2.0 * box_kw, terms.top_kw)
            elif found < value and np.isfinite(value):
                box_kw = max(_NARROW * box_kw, 1e-6 * terms.top_kw)
            if found > value:
                centre_kw, value = bid_kw, found
        return Solution(centre_kw, float("inf"), replace(run, status="feasible", gap=float("inf")), cuts)

    def _value(self, bid_kw: FloatArray) -> float:
        return float(revenue_gbp(self.terms, bid_kw[None])[0])

    def _small(self) -> float:
        """A revenue too small to matter: a millionth of what full bids move. [GBP]"""
        gain = self.terms.activation * self.terms.slot_hours * np.abs(self.terms.gain_gbp_per_kwh)
        return 1e-6 * self.terms.top_kw * float((np.abs(self.terms.hold_gbp_per_kw) + gain).sum())

    def _bound(self, model: pyo.ConcreteModel, centre_kw: FloatArray, box_kw: float) -> None:
        low = np.maximum(self.low_kw, centre_kw - box_kw)
        high = np.minimum(self.high_kw, centre_kw + box_kw)
        for slot, number in enumerate(self.group.tolist()):
            model.bid[number].setlb(float(low[slot]))
            model.bid[number].setub(float(high[slot]))

    def _leans(self, bid_kw: FloatArray, centre_kw: FloatArray, box_kw: float) -> bool:
        """Whether the box, not the plan, stops some slot."""
        if box_kw >= self.terms.top_kw:
            return False
        edge = 1e-7 * self.terms.top_kw
        low = (bid_kw <= centre_kw - box_kw + edge) & (bid_kw > self.low_kw + edge)
        high = (bid_kw >= centre_kw + box_kw - edge) & (bid_kw < self.high_kw - edge)
        return bool((low | high).any())


def _alike(rows: FloatArray) -> IntArray:
    return np.asarray(np.unique(rows, axis=0, return_inverse=True)[1], dtype=np.int64).reshape(-1)


def _first_cuts(terms: Terms, parts: tuple[Part, ...], centre_kw: FloatArray) -> tuple[Cut, ...]:
    """Return the cuts at the centre and at both ends, which keep every variable bounded."""
    ends = (np.zeros(terms.n_slots), np.full(terms.n_slots, terms.top_kw), centre_kw)
    return tuple(cut for end_kw in ends for cut in cuts_at(terms, parts, end_kw))


def _extend(
    model: pyo.ConcreteModel, group: IntArray, cuts: frozenset[Cut], more: Iterable[Cut]
) -> frozenset[Cut]:
    new = frozenset(more) - cuts
    _add_cuts(model, group, new)
    return cuts | new


def _bids(model: pyo.ConcreteModel, group: IntArray) -> FloatArray:
    return np.array([float(model.bid[number].value) for number in group.tolist()])


def _model(terms: Terms, parts: tuple[Part, ...], group: IntArray) -> pyo.ConcreteModel:
    """Build the model without cuts: maximise what the bids hold plus what delivering them gains."""
    hold = np.bincount(group, weights=terms.hold_gbp_per_kw).tolist()
    weight = terms.activation * terms.slot_hours * terms.probability
    gain = np.outer(weight, [part.gain_gbp_per_kwh for part in parts])
    model = pyo.ConcreteModel()
    # Solvers stop at absolute tolerances: rare scenarios must not vanish below them.
    largest = max([*np.abs(hold), *np.abs(gain).ravel(), 1e-12])
    model.scale = pyo.Param(initialize=_OBJECTIVE_SIZE / float(largest))
    model.bid = pyo.Var(range(len(hold)), bounds=(0.0, terms.top_kw))
    model.got = pyo.Var(range(len(weight)), range(len(parts)), domain=pyo.NonNegativeReals)
    earned = pyo.quicksum(value * model.bid[g] for g, value in enumerate(hold)) + pyo.quicksum(
        float(gain[w, q]) * model.got[w, q] for w in range(len(weight)) for q in range(len(parts))
    )
    model.earned = pyo.Objective(expr=model.scale.value * earned, sense=pyo.maximize)
    model.cuts = pyo.ConstraintList()
    if terms.risk is not None:
        _add_risk(terms, model, np.bincount(group).tolist(), len(parts))
    return model


def _add_cuts(model: pyo.ConcreteModel, group: IntArray, cuts: Iterable[Cut]) -> None:
    for cut in sorted(cuts, key=lambda c: (c.scenario, c.part, c.reach_kw, c.outside)):
        weights = np.bincount(group, weights=cut.outside).tolist()
        outside = pyo.quicksum(weight * model.bid[g] for g, weight in enumerate(weights) if weight)
        model.cuts.add(model.got[cut.scenario, cut.part] - outside <= cut.reach_kw)


def _add_risk(terms: Terms, model: pyo.ConcreteModel, members: list[int], n_parts: int) -> None:
    """Add CVaR_level(unmet) <= limit*D*sum(bids), the last part being what a scenario gets in all."""
    risk = terms.risk
    if risk is None:
        return
    scenarios, last = range(len(terms.probability)), n_parts - 1
    if terms.is_torn:
        model.risen = pyo.Constraint(
            scenarios, range(1, n_parts), rule=lambda m, w, q: m.got[w, q] >= m.got[w, q - 1]
        )
    bid_kw = pyo.quicksum(count * model.bid[g] for g, count in enumerate(members))
    model.alpha = pyo.Var(domain=pyo.NonNegativeReals)
    model.beyond = pyo.Var(scenarios, domain=pyo.NonNegativeReals)
    model.tail = pyo.Constraint(scenarios, rule=lambda m, w: m.beyond[w] >= bid_kw - m.got[w, last] - m.alpha)
    mean = pyo.quicksum(float(terms.probability[w]) * model.beyond[w] for w in scenarios)
    model.risk = pyo.Constraint(expr=(1.0 - risk.level) * (model.alpha - risk.limit * bid_kw) + mean <= 0.0)


def _add_grid(model: pyo.ConcreteModel, grid: Grid, n_slots: int) -> None:
    """Make bids whole blocks, and 0 or at least the minimum."""
    slots, unit_kw = range(n_slots), grid.block_kw or 1.0
    least, most = grid.least_kw / unit_kw, grid.most_kw / unit_kw
    domain = pyo.NonNegativeReals
    if grid.block_kw is not None:
        least, most, domain = round(least), round(most), pyo.NonNegativeIntegers
    model.units = pyo.Var(slots, bounds=(0, most), domain=domain)
    model.is_bid = pyo.Constraint(slots, rule=lambda m, t: m.bid[t] == unit_kw * m.units[t])
    if grid.block_kw is not None and least <= 1:
        return
    model.on = pyo.Var(slots, domain=pyo.Binary)
    model.at_least = pyo.Constraint(slots, rule=lambda m, t: m.units[t] >= least * m.on[t])
    model.at_most = pyo.Constraint(slots, rule=lambda m, t: m.units[t] <= most * m.on[t])


def _add_order(model: pyo.ConcreteModel, alike: IntArray) -> None:
    model.order = pyo.ConstraintList()
    for number in range(int(alike.max(initial=-1)) + 1):
        members = np.flatnonzero(alike == number).tolist()
        for first, second in itertools.pairwise(members):
            model.order.add(model.bid[first] >= model.bid[second])
