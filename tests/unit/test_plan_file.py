import json

import pytest

from aggregator.files.plan import parse_plan, read_plan
from aggregator.model.errors import BadMessage
from aggregator.plan import solve_plan

GOOD = {
    "id": "p",
    "slot_hours": 0.5,
    "n_slots": 2,
    "cars": [{"id": "007", "discharge_kw": 7.4, "exportable_kwh": 7.44}],
    "presence": [[1], [0]],
    "probability": [0.75, 0.25],
    "availability_price_per_kwh": [0.04, 0.04],
    "utilisation_price_per_kwh": [0.5, 0.5],
    "activation_probability": 0.8,
    "penalty_per_kwh_short": 0.3,
    "energy_cost_per_kwh": 0.2,
    "block_kw": None,
    "min_bid_kw": 0.0,
}


def faults_of(**changes):
    with pytest.raises(BadMessage) as caught:
        parse_plan(json.dumps(GOOD | changes).encode(), "plan.json")
    return [fault.where for fault in caught.value.faults]


def test_ids_stay_as_they_are():
    assert parse_plan(json.dumps(GOOD).encode(), "plan.json").cars[0].id == "007"


def test_all_faults_are_told_at_once_and_where():
    where = faults_of(presence=[[2], ["1"]], block_kw=-1, min_bid_kw=None, hour=3)
    assert where == [
        "plan.json: presence[0][0]",
        "plan.json: presence[1][0]",
        "plan.json: block_kw",
        "plan.json: min_bid_kw",
        "plan.json: hour",
    ]


def test_lengths_sums_and_ids_are_checked_together():
    car = GOOD["cars"][0]
    where = faults_of(cars=[car, car], probability=[0.75, 0.2], utilisation_price_per_kwh=[0.5])
    assert where == [
        "plan.json: utilisation_price_per_kwh",
        "plan.json: presence[0]",
        "plan.json: presence[1]",
        "plan.json: probability",
        "plan.json: cars",
    ]


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"slot_hours": 0}, "plan.json: slot_hours"),
        ({"n_slots": 2.5}, "plan.json: n_slots"),
        ({"activation_probability": 1.5}, "plan.json: activation_probability"),
        ({"penalty_per_kwh_short": float("nan")}, "plan.json: penalty_per_kwh_short"),
        ({"energy_cost_per_kwh": float("inf")}, "plan.json: energy_cost_per_kwh"),
        ({"presence": [], "probability": [1.0]}, "plan.json: presence"),
        ({"cvar": {"level": 1.0, "limit": 0.1}}, "plan.json: cvar.level"),
        ({"cvar": {"level": 0.9}}, "plan.json: cvar.limit"),
    ],
)
def test_a_figure_out_of_range_is_refused(changes, where):
    assert faults_of(**changes)[0] == where


@pytest.mark.parametrize("text", [b"", b"[", b"\xff\xfe", b"[]", b'"plan"', b"null"])
def test_what_is_no_problem_at_all_is_a_fault_not_a_crash(text):
    with pytest.raises(BadMessage) as caught:
        parse_plan(text, "plan.json")
    assert caught.value.faults[0].where == "plan.json"


def test_a_file_that_is_not_there_is_a_fault(tmp_path):
    with pytest.raises(BadMessage, match="No such file"):
        read_plan(tmp_path / "none.json")


def test_no_cars_bid_nothing():
    problem = parse_plan(json.dumps(GOOD | {"cars": [], "presence": [[], []]}).encode(), "plan.json")
    answer = solve_plan(problem)
    assert answer == {
        "bid_kw": [0.0, 0.0],
        "expected_revenue": 0.0,
        "solver": {"name": "glpk", "status": "optimal", "gap": 0.0},
    }


@pytest.mark.parametrize("changes", [{"min_bid_kw": 8.0}, {"block_kw": 8.0}])
def test_a_minimum_or_block_above_all_cars_bids_nothing(changes):
    problem = parse_plan(json.dumps(GOOD | changes).encode(), "plan.json")
    assert solve_plan(problem)["bid_kw"] == [0.0, 0.0]


def test_over_bidding_that_pays_is_bounded_by_the_chargers():
    problem = parse_plan(
        json.dumps(
            GOOD | {"penalty_per_kwh_short": 0.0, "cars": [GOOD["cars"][0] | {"exportable_kwh": 0}]}
        ).encode(),
        "plan.json",
    )
    answer = solve_plan(problem)
    assert answer["bid_kw"] == pytest.approx([7.4, 7.4])
    assert answer["expected_revenue"] == pytest.approx(0.5 * 0.04 * 7.4 * 2)
