"""Chargers that hold either nothing or a least power: which of the two in each slot.

Most programs have a solution as good as without least powers; a few rounds of rounding find it in
milliseconds. Only where they do not, the search that proves the optimum runs. Where that ends before it has
proved one, some cars at a time are decided anew, all others' choices standing: chargers that hold little but
one power have so many equal choices that no search comes to an end.
"""

from dataclasses import dataclass, replace

import numpy as np

from aggregator.energy.program import Program, fixed, search, solve
from dispatch.split_cars import BoolArray, FloatArray, IntArray

_SAME_KWH = 1e-8
_MOST_WORK, _FEWEST_NODES, _NODES_SIMPLER = 30_000, 50, 1_000
"""Nodes of a search times its choices, and nodes of one of a simpler program: a cycle of the control loop
must not wait for minutes."""
_TOGETHER, _NODES_TOGETHER, _ROUNDS_TOGETHER = 30, 50, 3
"""Cars decided together, drawn by lot, nodes of the search for them, and how often all are gone through."""

_ROUNDS = 8
_NODES_FOR_TIES = 200
_LARGEST_FOR_TIES = 300


@dataclass(frozen=True, slots=True, eq=False)
class Costs:
    """Costs per column, each adding to the one before.

    Attributes:
        merit: Breaches, and what is delivered.
        search: Just enough against needless moves besides.
        early: Something for the earliest slots besides.
    """

    merit: FloatArray
    search: FloatArray
    early: FloatArray


def chosen(
    program: Program, units: IntArray, costs: Costs, met: float, *, most_nodes: int | None = None
) -> Program:
    """Return the program with every choice made so that it still delivers the most.

    Args:
        program: With ``semi`` columns, their ``low`` being the least power.
        units: Whose each of the first columns is; they hold all choices.
        costs: What counts.
        met: The merit of a request met in full.
        most_nodes: After which a search takes the best it has found, or nothing, and breaks no ties; None
            for as many as a control loop can wait for.

    Raises:
        RuntimeError: The program has no solution.
    """
    relaxed = solve(_relaxed(program))
    if relaxed is None:
        raise RuntimeError("split: what the cars have to reach contradicts their sites")
    for raises in (True, False):
        rounded = _rounded(program, relaxed, costs.merit, raises=raises)
        if rounded is not None:
            return rounded
    if most_nodes is not None:
        found = search(replace(program, cost=costs.search), most_nodes, presolve=True)
        return fixed(program, np.zeros_like(program.cost) if found is None else found.values)
    return fixed(program, _searched(program, units, costs, met))


def _rounded(program: Program, values: FloatArray, merit: FloatArray, *, raises: bool) -> Program | None:
    """Return the program with powers between 0 and the least raised or dropped, if that loses nothing."""
    best = merit @ values + _SAME_KWH
    current = _relaxed(program)
    for _ in range(_ROUNDS):
        between = _between(program, values)
        if not between.any():
            return fixed(program, values)
        if raises:
            current = replace(current, low=np.where(between, program.low, current.low))
        else:
            current = replace(current, high=np.where(between, 0.0, current.high))
        answer = solve(current)
        if answer is None or merit @ answer > best:
            return None
        values = answer
    return None


def _searched(program: Program, units: IntArray, costs: Costs, met: float) -> FloatArray:
    """Return the solution that delivers most; in small programs that miss something, the earliest first."""
    nodes = max(_FEWEST_NODES, _MOST_WORK // max(1, int(program.semi.sum())))
    found = search(replace(program, cost=costs.search), nodes)
    if found is None:
        raise RuntimeError("split: what the cars have to reach can't be had with their least powers")
    values = found.values if found.is_best else _improved(program, units, costs, met, found.values)
    best = costs.merit @ values + _SAME_KWH
    if best <= met + 2 * _SAME_KWH or np.count_nonzero(program.semi) > _LARGEST_FOR_TIES:
        return values
    early = solve(replace(program, cost=costs.early), max_nodes=_NODES_FOR_TIES)
    return values if early is None or costs.merit @ early > best else early


def _improved(program: Program, units: IntArray, costs: Costs, met: float, values: FloatArray) -> FloatArray:
    """Return a solution as good or better, where a search has come to its end.

    Another one simplifies the problem first; then some cars at a time are decided anew.
    """
    simpler = search(replace(program, cost=costs.search), _NODES_SIMPLER, presolve=True)
    if simpler is not None and costs.merit @ simpler.values < costs.merit @ values - _SAME_KWH:
        values = simpler.values
    if simpler is not None and simpler.is_best:
        return values
    choices = np.flatnonzero(program.semi)
    lots, cars = np.random.default_rng(0), np.unique(units[choices])
    for _ in range(_ROUNDS_TOGETHER):
        begun = costs.merit @ values
        drawn = lots.permutation(cars)
        for first in range(0, drawn.size, _TOGETHER):
            if costs.merit @ values <= met + _SAME_KWH:
                return values
            open_now = choices[np.isin(units[choices], drawn[first : first + _TOGETHER])]
            part = _with_choices(fixed(program, values), program, open_now)
            found = solve(replace(part, cost=costs.search), max_nodes=_NODES_TOGETHER)
            if found is not None and costs.merit @ found < costs.merit @ values - _SAME_KWH:
                values = found
        if costs.merit @ values > begun - _SAME_KWH:
            break
    return values


def _with_choices(kept: Program, program: Program, columns: IntArray) -> Program:
    """Return a program whose choices were made with some of them open again."""
    low, high, semi = kept.low.copy(), kept.high.copy(), kept.semi.copy()
    low[columns], high[columns], semi[columns] = program.low[columns], program.high[columns], True
    return replace(kept, low=low, high=high, semi=semi)


def _relaxed(program: Program) -> Program:
    low = np.where(program.semi, 0.0, program.low)
    return replace(program, low=low, semi=np.zeros_like(program.semi))


def _between(program: Program, values: FloatArray) -> BoolArray:
    between: BoolArray = program.semi & (values > _SAME_KWH) & (values < program.low - _SAME_KWH)
    return between
