"""Chargers that hold either nothing or a least power: which of the two in each slot.

Most programs have a solution as good as without least powers; a few rounds of rounding find it in
milliseconds. Only where they do not, the search that proves the optimum runs.
"""

from dataclasses import dataclass, replace

import numpy as np

from aggregator.energy.program import Program, fixed, solve
from dispatch.split_cars import BoolArray, FloatArray

_SAME_KWH = 1e-8
_MOST_WORK, _FEWEST_NODES = 600_000, 100
"""Nodes of a search times its choices: a cycle of the control loop must not wait for minutes."""

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


def chosen(program: Program, costs: Costs, met: float, *, most_nodes: int | None = None) -> Program:
    """Return the program with every choice made so that it still delivers the most.

    Args:
        program: With ``semi`` columns, their ``low`` being the least power.
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
        found = solve(replace(program, cost=costs.search), max_nodes=most_nodes)
        return fixed(program, np.zeros_like(program.cost) if found is None else found)
    return fixed(program, _searched(program, costs, met))


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


def _searched(program: Program, costs: Costs, met: float) -> FloatArray:
    """Return the solution that delivers most; in small programs that miss something, the earliest first."""
    nodes = max(_FEWEST_NODES, _MOST_WORK // max(1, int(program.semi.sum())))
    values = solve(replace(program, cost=costs.search), max_nodes=nodes)
    if values is None:
        raise RuntimeError("split: what the cars have to reach can't be had with their least powers")
    best = costs.merit @ values + _SAME_KWH
    if best <= met + 2 * _SAME_KWH or np.count_nonzero(program.semi) > _LARGEST_FOR_TIES:
        return values
    early = solve(replace(program, cost=costs.early), max_nodes=_NODES_FOR_TIES)
    return values if early is None or costs.merit @ early > best else early


def _relaxed(program: Program) -> Program:
    low = np.where(program.semi, 0.0, program.low)
    return replace(program, low=low, semi=np.zeros_like(program.semi))


def _between(program: Program, values: FloatArray) -> BoolArray:
    between: BoolArray = program.semi & (values > _SAME_KWH) & (values < program.low - _SAME_KWH)
    return between
