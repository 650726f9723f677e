"""First set-points: from a request and what is known of the cars to kW for each of them."""

import math
from collections.abc import Iterator

import numpy as np

from dispatch.split import split
from dispatch.split_level import level_backwards
from tests.bench.fleets import a_split
from tests.bench.measure import Row, median_ms

SLOTS = 6
BUDGETS_MS = {135: None, 1_000: None, 10_000: 2.0, 40_000: None}
MOST_EXPONENT = 1.05


def rows() -> Iterator[Row]:
    """Measure the split of a whole problem, the levelling alone, and the program of shared sites."""
    found: dict[int, Row] = {}
    for count, budget_ms in BUDGETS_MS.items():
        problem = a_split(count, slots=SLOTS)
        method = split(problem).method
        size = f"{count:,} cars, {SLOTS} slots, {method}"
        found[count] = median_ms("split, first set-points", size, lambda p=problem: split(p), budget_ms)
        yield found[count]
    growth = math.log(found[40_000].figure / found[10_000].figure) / math.log(4)
    runs = found[40_000].runs
    yield Row("split, growth exponent", "10,000 to 40,000 cars", growth, "", runs, MOST_EXPONENT)
    yield from _levelling()
    shared = a_split(200, slots=SLOTS, per_site=2, must_charge=True)
    size = f"200 cars on 100 sites, {SLOTS} slots, {split(shared).method}"
    yield median_ms("split, sites that bind, some must charge", size, lambda: split(shared))


def _levelling() -> Iterator[Row]:
    """Without reading cars and sites, which a fleet held as arrays would not need."""
    draw = np.random.default_rng(3)
    for count in (10_000, 100_000):
        energy_kwh, power_kw = draw.uniform(0.0, 30.0, count), np.full(count, 6.0)
        depart, hours = draw.integers(3, SLOTS + 20, count), np.full(SLOTS, 0.5)
        wanted_kwh = np.full(SLOTS, 1.5 * count)
        yield median_ms(
            "levelling alone, cars as arrays",
            f"{count:,} cars, {SLOTS} slots",
            lambda e=energy_kwh, p=power_kw, d=depart, h=hours, w=wanted_kwh: level_backwards(e, p, d, h, w),
        )
