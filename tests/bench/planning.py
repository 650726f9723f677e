"""Base plans, and `plan` of a bidding problem from a file."""

import json
from collections.abc import Iterator

import numpy as np

from aggregator.energy import base_plan
from aggregator.files.plan import parse_plan
from aggregator.plan import solve_plan
from tests.bench.fleets import SLOT_HOURS, some_cars, some_prices, some_stays
from tests.bench.measure import Row, median_ms


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
