"""`plan` against one programme with a variable per car, slot and scenario."""

import json
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from aggregator.files.plan import parse_plan
from aggregator.plan import PlanAnswer, solve_plan
from aggregator.solver import SolverChoice, SolverName
from tests.property.plan_oracle import best_revenue

FEW = settings(max_examples=60, deadline=None)


def price(low: float, high: float) -> st.SearchStrategy[float]:
    return st.integers(int(low * 100), int(high * 100)).map(lambda pence: pence / 100)


@st.composite
def problems(draw: st.DrawFn, *, on_grid: bool) -> dict[str, Any]:
    slots, scenarios, cars = (draw(st.integers(1, most)) for most in (6, 5, 6))
    weights = draw(st.lists(st.integers(1, 9), min_size=scenarios, max_size=scenarios))
    fleet = [
        {
            "id": str(number),
            "discharge_kw": draw(st.sampled_from([3.68, 7.4, 11.0])),
            "exportable_kwh": draw(st.integers(0, 200)) / 10,
        }
        for number in range(cars)
    ]
    top_kw = sum(car["discharge_kw"] for car in fleet)
    problem = {
        "id": "p",
        "slot_hours": draw(st.sampled_from([0.25, 0.5, 1.0])),
        "n_slots": slots,
        "cars": fleet,
        "presence": [[draw(st.integers(0, 1)) for _ in fleet] for _ in range(scenarios)],
        "probability": [weight / sum(weights) for weight in weights],
        "availability_price_per_kwh": [draw(price(0.0, 0.3)) for _ in range(slots)],
        "utilisation_price_per_kwh": [draw(price(-0.1, 0.7)) for _ in range(slots)],
        "activation_probability": draw(st.sampled_from([0.0, 0.3, 0.8, 1.0])),
        "penalty_per_kwh_short": draw(price(0.0, 1.5)),
        "energy_cost_per_kwh": draw(price(0.0, 0.4)),
        "block_kw": draw(st.sampled_from([1.0, 5.0, 7.3])) if on_grid else None,
        "min_bid_kw": draw(st.sampled_from([0.0, 0.1, 0.4, 0.7])) * top_kw if on_grid else 0.0,
    }
    if on_grid and draw(st.booleans()):
        problem |= {"block_kw": None, "min_bid_kw": 0.3 * top_kw}
    if draw(st.booleans()):
        level, limit = draw(st.sampled_from([0.0, 0.5, 0.9])), draw(st.sampled_from([0.0, 0.05, 0.3]))
        problem["cvar"] = {"level": level, "limit": limit}
    return problem


def solved(problem: dict[str, Any], solver: SolverName = "highs") -> PlanAnswer:
    return solve_plan(parse_plan(json.dumps(problem).encode(), "p.json"), SolverChoice(solver))


@FEW
@given(problems(on_grid=False))
def test_without_blocks_and_minimum_it_is_the_optimum(problem):
    answer = solved(problem)
    best = best_revenue(problem)
    assert answer["expected_revenue"] == pytest.approx(best, rel=1e-6, abs=1e-6)
    assert best_revenue(problem, fixed_kw=answer["bid_kw"]) == pytest.approx(best, rel=1e-6, abs=1e-6)


@FEW
@given(problems(on_grid=True))
def test_with_blocks_or_minimum_it_is_within_a_hundredth(problem):
    answer = solved(problem)
    assert answer["expected_revenue"] >= 0.99 * best_revenue(problem) - 1e-6
    own = best_revenue(problem, fixed_kw=answer["bid_kw"])
    assert answer["expected_revenue"] == pytest.approx(own, rel=1e-6, abs=1e-6)


@FEW
@given(problems(on_grid=True))
def test_every_bid_is_on_the_grid(problem):
    top_kw = sum(car["discharge_kw"] for car in problem["cars"])
    for kw in solved(problem)["bid_kw"]:
        assert kw == 0.0 or problem["min_bid_kw"] - 1e-6 <= kw <= top_kw + 1e-6
        if problem["block_kw"] is not None:
            assert kw / problem["block_kw"] == pytest.approx(round(kw / problem["block_kw"]), abs=1e-6)


@settings(max_examples=8, deadline=None)
@given(problems(on_grid=False))
def test_the_default_solver_finds_the_same(problem):
    revenue = solved(problem, "glpk")["expected_revenue"]
    assert revenue == pytest.approx(solved(problem)["expected_revenue"], rel=1e-6, abs=1e-6)


@FEW
@given(problems(on_grid=False))
def test_another_car_never_lowers_what_there_is_to_earn(problem):
    more = problem | {
        "cars": [*problem["cars"], {"id": "new", "discharge_kw": 7.4, "exportable_kwh": 9.0}],
        "presence": [[*row, 1] for row in problem["presence"]],
    }
    assert solved(more)["expected_revenue"] >= solved(problem)["expected_revenue"] - 1e-6


@FEW
@given(problems(on_grid=False))
def test_a_car_cut_in_halves_changes_nothing(problem):
    halves = [
        car | {"id": f"{car['id']}{half}"} | {key: car[key] / 2 for key in ("discharge_kw", "exportable_kwh")}
        for car in problem["cars"]
        for half in "ab"
    ]
    rows = [[there for there in row for _ in range(2)] for row in problem["presence"]]
    cut = solved(problem | {"cars": halves, "presence": rows})
    assert cut["expected_revenue"] == pytest.approx(solved(problem)["expected_revenue"], rel=1e-6, abs=1e-6)


def test_many_slots_cars_and_scenarios_are_solved_to_the_bound():
    slots, scenarios, cars = 48, 12, 300
    problem = {
        "id": "large",
        "slot_hours": 0.5,
        "n_slots": slots,
        "cars": [
            {"id": str(i), "discharge_kw": (3.68, 7.4)[i % 2], "exportable_kwh": 1.0 + i * 7 % 23}
            for i in range(cars)
        ],
        "presence": [[int((i * 31 + w * 17) % 7 > w % 5) for i in range(cars)] for w in range(scenarios)],
        "probability": [1.0 / scenarios] * scenarios,
        "availability_price_per_kwh": [0.01 * (t * 5 % 13) for t in range(slots)],
        "utilisation_price_per_kwh": [0.3 + 0.01 * (t * 11 % 29) for t in range(slots)],
        "activation_probability": 0.7,
        "penalty_per_kwh_short": 0.6,
        "energy_cost_per_kwh": 0.2,
        "block_kw": None,
        "min_bid_kw": 0.0,
    }
    answer = solved(problem, "glpk")
    assert answer["solver"]["status"] == "optimal"
    assert answer["solver"]["gap"] == pytest.approx(0.0, abs=1e-6)
    blocks = solved(problem | {"block_kw": 50.0}, "glpk")
    assert (
        0.99 * answer["expected_revenue"] <= blocks["expected_revenue"] <= answer["expected_revenue"] + 1e-6
    )


@settings(max_examples=5, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(st.lists(st.floats(2.0, 30.0), min_size=2, max_size=4), st.integers(17, 40), st.floats(0.3, 0.95))
def test_beyond_16_slots_the_gap_to_the_relaxed_bound_is_a_true_one(energies, slots, part):
    """One day, one price: the best asks k half-hours for all that they can give, and each for the minimum."""
    cars = [
        {"id": f"car-{n}", "discharge_kw": 6.0, "exportable_kwh": round(kwh, 2)}
        for n, kwh in enumerate(energies)
    ]
    problem = {
        "id": "long", "slot_hours": 0.5, "n_slots": slots, "cars": cars, "presence": [[1] * len(cars)],
        "probability": [1.0], "availability_price_per_kwh": [0.0] * slots,
        "utilisation_price_per_kwh": [0.5] * slots, "activation_probability": 1.0,
        "penalty_per_kwh_short": 2.0, "energy_cost_per_kwh": 0.1, "block_kw": None,
        "min_bid_kw": round(part * 6.0 * len(cars), 2),
    }  # fmt: skip
    given_kwh = [sum(min(car["exportable_kwh"], 3.0 * k) for car in cars) for k in range(1, slots + 1)]
    asked_kwh = [max(kwh, 0.5 * k * problem["min_bid_kw"]) for k, kwh in enumerate(given_kwh, start=1)]
    both = zip(given_kwh, asked_kwh, strict=True)
    best = max(0.0, *(0.4 * kwh - 2.0 * (asked - kwh) for kwh, asked in both))
    answer = solved(problem)
    earned, gap = answer["expected_revenue"], answer["solver"]["gap"]
    assert 0.99 * best - 1e-6 <= earned <= best + 1e-6
    assert gap is not None
    assert best <= earned + gap * max(earned, earned / max(1e-9, 1.0 - gap)) + 1e-6
