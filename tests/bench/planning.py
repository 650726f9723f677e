"""Forecasts, base plans, and `plan` of a bidding problem from a file."""

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, date, datetime
from multiprocessing import get_context
from time import perf_counter

import numpy as np

from aggregator.energy import base_plan
from aggregator.files.plan import parse_plan
from aggregator.forecast import Horizon, scenarios
from aggregator.plan import solve_plan
from tests.bench.fleets import SLOT_HOURS, some_cars, some_history, some_homes, some_prices, some_stays
from tests.bench.measure import KIB_PER_MIB, Row, median_ms, peak_mib


def rows() -> Iterator[Row]:
    """Measure base plans of one scenario."""
    for count, slots, per_site in ((135, 48, 1), (135, 96, 1), (10_000, 48, 1), (200, 48, 2)):
        cars = some_cars(count, per_site=per_site)
        stay, tariff = some_stays(cars, slots), some_prices(slots)
        homes = "" if per_site == 1 else f" on {count // per_site} sites that bind"
        yield median_ms(
            "base plan",
            f"{count:,} cars{homes}, {slots} slots",
            lambda c=cars, s=stay, t=tariff: base_plan(c, s, t, SLOT_HOURS),
        )
    for count in (100_000, 1_000_000):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            seconds, gib = alone.submit(_once, count, 48).result()
        yield Row("base plan", f"{count:,} cars, 48 slots", seconds * 1e3, "ms", 1)
        yield Row("base plan, peak memory", f"{count:,} cars, 48 slots", gib, "GiB", 1, 4.0)


def _once(count: int, slots: int) -> tuple[float, float]:
    """Plan once in this process; return the wall seconds, and the most memory that was held. [s, GiB]"""
    cars = some_cars(count)
    stay, tariff = some_stays(cars, slots), some_prices(slots)
    start = perf_counter()
    base_plan(cars, stay, tariff, SLOT_HOURS)
    return perf_counter() - start, peak_mib() / KIB_PER_MIB


def draw_rows() -> Iterator[Row]:
    """Measure a forecast's scenarios; the first forecast from a history also sorts it."""
    day, known_at = Horizon(date(2024, 12, 20)), datetime(2024, 12, 19, 13, 30, tzinfo=UTC)
    for count in (1_000, 10_000):
        cars, history = some_homes(count), some_history(count)
        size = f"{count:,} cars, 30 scenarios of {len(history.sessions):,} sessions"
        yield median_ms(
            "forecast", size, lambda c=cars, h=history: scenarios(h, c, day, known_at, 30), enough_s=0.5
        )


def file_rows() -> Iterator[Row]:
    """Measure `plan` by GLPK: without a grid, and in blocks."""
    for block_kw, words in ((None, "any kW"), (10.0, "blocks of 10 kW")):
        problem = parse_plan(a_plan_file(200, 48, 30, block_kw), "bench.json")
        size = f"200 cars, 48 slots, 30 scenarios, {words}"
        yield median_ms("plan, GLPK", size, lambda p=problem: solve_plan(p))


def a_plan_file(cars: int, slots: int, scenarios: int, block_kw: float | None) -> bytes:
    """Return a bidding problem as its file's bytes."""
    draw = np.random.default_rng(4)
    body = {
        "id": "bench",
        "slot_hours": SLOT_HOURS,
        "n_slots": slots,
        "cars": [
            {"id": f"car-{n}", "discharge_kw": 6.0, "exportable_kwh": round(float(kwh), 2)}
            for n, kwh in enumerate(draw.uniform(2.0, 30.0, cars))
        ],
        "presence": (draw.random((scenarios, cars)) < 0.7).astype(int).tolist(),
        "probability": [1.0 / scenarios] * scenarios,
        "availability_price_per_kwh": draw.uniform(0.0, 0.05, slots).round(4).tolist(),
        "utilisation_price_per_kwh": draw.uniform(0.2, 0.6, slots).round(4).tolist(),
        "activation_probability": 0.8,
        "penalty_per_kwh_short": 0.3,
        "energy_cost_per_kwh": 0.2,
        "block_kw": block_kw,
        "min_bid_kw": 0.0,
    }
    return json.dumps(body).encode()
