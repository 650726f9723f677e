"""Set-points from a request and what is known of the cars, in columns: by the split and by others."""

import math
import tracemalloc
from collections.abc import Callable, Iterator

import highspy
import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_flow

from dispatch.split import SplitProblem, set_points, split, thresholds_of
from dispatch.split_duty import duty_of
from dispatch.split_exact import split_exactly
from tests.bench.fleets import a_split
from tests.bench.measure import Row, median_ms

BUDGETS_MS = {10_000: 2.0, 100_000: 15.0, 1_000_000: 150.0}
SLOTS = (6, 12)
BESIDE = (135, 1_000, 10_000)
SHARED = (1_000, 10_000, 100_000, 1_000_000)
BESIDE_SHARED = 10_000
MOST_EXPONENT = 1.05
WH_PER_KWH = 1000
MIB = 2**20


def rows() -> Iterator[Row]:
    """Measure the split of all sizes, its growth, its two steps, its memory, and other ways to the same."""
    for slots in SLOTS:
        yield _row("split, all set-points", a_split(135, slots=slots))
        found = {}
        for count, budget_ms in BUDGETS_MS.items():
            problem = a_split(count, slots=slots)
            found[count] = _row("split, all set-points", problem, budget_ms if slots == SLOTS[0] else None)
            yield found[count]
        few, many = min(found), max(found)
        growth = math.log(found[many].figure / found[few].figure) / math.log(many / few)
        size = f"{few:,} to {many:,} cars, {slots} slots"
        yield Row("split, growth exponent", size, growth, "", found[many].runs, MOST_EXPONENT)
    for count in (10_000, 100_000):
        yield _row("split, a fifth must charge", a_split(count, must_charge=True))
        yield _row("split, house loads bind", a_split(count, loads=True))
    yield from _steps(a_split(100_000))
    yield from _shared_homes()
    for count in BESIDE:
        yield from _side_by_side(a_split(count))
    yield _memory(a_split(1_000_000))


def _size(problem: SplitProblem) -> str:
    return f"{problem.cars.count:,} cars, {len(problem.request_kw)} slots"


def _row(what: str, problem: SplitProblem, budget_ms: float | None = None) -> Row:
    size = f"{_size(problem)}, {split(problem).method}"
    return median_ms(what, size, lambda: split(problem), budget_ms)


def _steps(problem: SplitProblem) -> Iterator[Row]:
    told = thresholds_of(problem)
    yield median_ms("thresholds of a fleet", _size(problem), lambda: thresholds_of(problem))
    yield median_ms("set-points from thresholds", _size(problem), lambda: set_points(problem, told))


def _shared_homes() -> Iterator[Row]:
    """Two cars in each home, whose room binds, in fleets that the budgets are for; beside one exact split."""
    what = "split, two cars share a home that binds"
    for count in SHARED:
        yield _row(what, a_split(count, per_site=2), BUDGETS_MS.get(count))
        yield _row(f"{what}, and some leave", a_split(count, per_site=2, leave=True))
        yield _row(f"{what}, a fifth must charge", a_split(count, per_site=2, must_charge=True))
    fleets = (
        ({}, 99.9, ""),
        ({"leave": True}, 99.9, ", some leave"),
        ({"must_charge": True}, 99.5, ", a fifth must charge"),
    )
    for kinds, least, words in fleets:
        problem = a_split(BESIDE_SHARED, per_site=2, **kinds)
        share = 100 * split(problem).delivered_kwh / split_exactly(problem).delivered_kwh
        size = _size(problem) + words
        yield Row("two cars share a home: delivered", size, share, "% of optimum", 1, least, True)


def _side_by_side(problem: SplitProblem) -> Iterator[Row]:
    """The same fleet by the split, by a program over classes, by one over cars, and by maximum flow."""
    yield _row("side by side: split", problem)
    yield median_ms("side by side: exact", f"{_size(problem)}, pooled", lambda: split_exactly(problem))
    yield median_ms("side by side: LP over cars, HiGHS", _size(problem), _program_over_cars(problem))
    best_kwh = split_exactly(problem).delivered_kwh
    share = 100 * split(problem).delivered_kwh / best_kwh
    yield Row("side by side: delivered by the split", _size(problem), share, "% of optimum", 1, 99.9, True)
    yield median_ms("side by side: maximum flow, scipy", _size(problem), _maximum_flow(problem))


def _program_over_cars(problem: SplitProblem) -> Callable[[], float]:
    """Return the work of an LP with a variable for each car and slot; for fleets where none must charge."""
    slots, hours = len(problem.request_kw), np.asarray(problem.slot_hours)

    def work() -> float:
        duty = duty_of(problem)
        there = (duty.start[:, None] <= np.arange(slots)) & (np.arange(slots) < duty.end[:, None])
        car, at = np.nonzero(there)
        room_kw = problem.export_room_kw()[problem.cars.site, 0]
        most_kwh = np.minimum(problem.cars.discharge_kw, room_kw)[car] * hours[at]
        moves, cars = car.size, problem.cars.count
        model = highspy.Highs()
        model.setOptionValue("output_flag", False)
        served_kwh = np.maximum(0.0, np.asarray(problem.request_kw) * hours)
        upper = np.concatenate((most_kwh, served_kwh))
        model.addVars(moves + slots, np.zeros(upper.size), upper)
        columns = np.arange(moves, moves + slots, dtype=np.int32)
        model.changeColsCost(slots, columns, np.full(slots, -1.0))
        by_slot = np.argsort(at, kind="stable").astype(np.int32)
        index = np.concatenate((np.arange(moves, dtype=np.int32), by_slot, columns))
        row = np.concatenate((car, cars + at[by_slot], cars + np.arange(slots)))
        value = np.concatenate((np.ones(moves), np.full(moves, -1.0), np.ones(slots)))
        order = np.argsort(row, kind="stable")
        starts = np.searchsorted(row[order], np.arange(cars + slots)).astype(np.int32)
        most = np.concatenate((duty.exportable_kwh, np.zeros(slots)))
        least = np.full(most.size, -highspy.kHighsInf)
        model.addRows(most.size, least, most, index.size, starts, index[order], value[order])
        model.run()
        return -float(model.getInfo().objective_function_value)

    return work


def _maximum_flow(problem):
    """Return the work of scipy's maximum flow."""
    count, slots = problem.cars.count, len(problem.request_kw)
    source, sink = count + slots, count + slots + 1

    def work() -> float:
        duty, hours = duty_of(problem), np.asarray(problem.slot_hours)
        slot = np.arange(slots)
        there = (duty.start[:, None] <= slot) & (slot < duty.end[:, None])
        car, at = np.nonzero(there)
        room_kw = problem.export_room_kw()[problem.cars.site, 0]
        power_kw = np.minimum(problem.cars.discharge_kw, room_kw)
        tails = np.concatenate((np.full(count, source), car, count + slot))
        heads = np.concatenate((np.arange(count), count + at, np.full(slots, sink)))
        kwh = (duty.exportable_kwh, (power_kw[car] * hours[at]), np.asarray(problem.request_kw) * hours)
        wh = np.floor(np.concatenate(kwh) * WH_PER_KWH).astype(np.int32)
        edges = csr_matrix((wh, (tails, heads)), shape=(count + slots + 2,) * 2)
        return float(maximum_flow(edges, source, sink, method="dinic").flow_value) / WH_PER_KWH

    return work


def _memory(problem: SplitProblem) -> Row:
    """Return the most that a split holds beside the cars and its answer."""
    tracemalloc.start()
    answer = split(problem)
    peak = tracemalloc.get_traced_memory()[1] - answer.export_kw.nbytes
    tracemalloc.stop()
    return Row("split, memory beside cars and answer", _size(problem), peak / MIB, "MiB", 1)
