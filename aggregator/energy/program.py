"""One linear or semi-continuous problem, solved by HiGHS the same way every time.

scipy would offer the same two calls, but weighs 180 MB; HiGHS alone does the work and is already there.
"""

from dataclasses import dataclass, replace

import highspy
import numpy as np

from aggregator.energy.cars import BoolArray, FloatArray, IntArray

_OPTIONS = {"output_flag": False, "threads": 1, "random_seed": 0, "mip_rel_gap": 0.0, "mip_abs_gap": 1e-7}
_EXACT = 1e-10
_SEARCH = 1e-7
"""Asked to be more exact than this, or to presolve, the search now and then cuts off its best answers."""
_SMALL = 800
"""Columns up to which a search does without presolve: slower, but it was never seen to be wrong."""


@dataclass(frozen=True, slots=True)
class Program:
    """Minimise ``cost @ x`` with ``row_low <= A x <= row_high`` and ``low <= x <= high``.

    ``A`` is a list of (row, column, value); a column marked ``semi`` may also be 0.
    """

    cost: FloatArray
    low: FloatArray
    high: FloatArray
    row: IntArray
    column: IntArray
    value: FloatArray
    row_low: FloatArray
    row_high: FloatArray
    semi: BoolArray


def solve(program: Program, *, max_nodes: int = 20_000, presolve: bool = True) -> FloatArray | None:
    """Return the optimal ``x``, or None if there is none.

    Args:
        program: What to solve.
        max_nodes: Most nodes of a search.
        presolve: Whether HiGHS simplifies the problem first; it takes longer than what it saves on many
            small ones.

    Deterministic: one thread, fixed seed, and a limit in nodes, not in time.
    """
    if program.semi.any():
        found = search(program, max_nodes)
        return None if found is None else found.values
    return _run(program, _EXACT, max_nodes, presolve=presolve)[0]


@dataclass(frozen=True, slots=True)
class Found:
    """What a search has found.

    Attributes:
        values: The best ``x``.
        is_best: Whether it is proved that there is no better.
    """

    values: FloatArray
    is_best: bool


def search(program: Program, max_nodes: int, *, presolve: bool | None = None) -> Found | None:
    """Return the best ``x`` that a search finds in so many nodes, or None if it finds none.

    It is solved once more with its choices fixed, which makes it as exact as a linear program's answer.

    Args:
        program: What to solve.
        max_nodes: Most nodes.
        presolve: Whether it simplifies the problem first; None: where that has more than a few columns.
    """
    large = program.cost.size > _SMALL
    found, is_best = _run(program, _SEARCH, max_nodes, presolve=large if presolve is None else presolve)
    if found is None:
        return None
    exact, _ = _run(fixed(program, found), _EXACT, max_nodes)
    return Found(found if exact is None else exact, is_best)


def fixed(program: Program, values: FloatArray) -> Program:
    """Return the program with each choice between 0 and the least as in ``values``."""
    off = program.semi & (values < program.low / 2)
    low = np.where(off, 0.0, program.low)
    high = np.where(off, 0.0, program.high)
    return replace(program, low=low, high=high, semi=np.zeros_like(program.semi))


def _run(
    program: Program, tolerance: float, max_nodes: int, *, presolve: bool = True
) -> tuple[FloatArray | None, bool]:
    """Return what HiGHS finds, and whether it knows of no better."""
    if program.cost.size == 0:
        kept = ((program.row_low <= 0) & (program.row_high >= 0)).all()
        return (np.zeros(0) if kept else None), True
    highs = highspy.Highs()
    for name, value in _OPTIONS.items():
        highs.setOptionValue(name, value)
    for kind in ("primal", "dual", "mip"):
        highs.setOptionValue(f"{kind}_feasibility_tolerance", tolerance)
    highs.setOptionValue("mip_max_nodes", max_nodes)
    if not presolve:
        highs.setOptionValue("presolve", "off")
    highs.passModel(_model(program))
    if highs.run() == highspy.HighsStatus.kError:
        # The scheduler is shared by the process and may have been started with more threads.
        highspy.Highs.resetGlobalScheduler(True)
        highs.run()
    if highs.getInfo().primal_solution_status != highspy.kSolutionStatusFeasible:
        return None, True
    values = np.asarray(highs.getSolution().col_value, dtype=np.float64)
    return values, highs.getModelStatus() == highspy.HighsModelStatus.kOptimal


def _model(program: Program) -> highspy.HighsLp:
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = program.cost.size, program.row_low.size
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = program.cost, program.low, program.high
    lp.row_lower_, lp.row_upper_ = program.row_low, program.row_high
    order = np.lexsort((program.row, program.column))
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    counts = np.bincount(program.column, minlength=program.cost.size)
    lp.a_matrix_.start_ = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    lp.a_matrix_.index_ = program.row[order].astype(np.int32)
    lp.a_matrix_.value_ = program.value[order]
    if program.semi.any():
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kSemiContinuous)
        lp.integrality_ = [kinds[int(flag)] for flag in program.semi]
    return lp
