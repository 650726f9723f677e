"""The split delivers the most its rules allow, keeps all of them, and does not care for order or scale."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.files.split import parse_split, split_to_json
from dispatch.split import split
from dispatch.split_level import level_backwards, now_first
from tests.property.split_fleets import a_large_fleet, as_file
from tests.property.split_oracle import Oracle, best_of_subsets_kwh, broken_rules, must_charge

amounts = st.integers(0, 40).map(lambda tenths: tenths / 4)


@st.composite
def cars(draw, name, sites, slots):
    capacity = draw(st.sampled_from([24.0, 40.0, 62.0]))
    most = capacity * draw(st.sampled_from([0.8, 1.0]))
    return {
        "id": name,
        "site": draw(st.sampled_from(sites)),
        "capacity_kwh": capacity,
        "floor_kwh": capacity * draw(st.sampled_from([0.3, 0.4])),
        "max_kwh": most,
        "energy_kwh": most * draw(st.integers(4, 40)) / 40,
        "charge_kw": draw(st.sampled_from([0.0, 3.6, 7.4, 7.4, 11.0])),
        "discharge_kw": draw(st.sampled_from([0.0, 3.6, 7.4, 7.4])),
        "arrive_slot": (arrive := draw(st.sampled_from([0, 0, 0, 1, 2, slots + 1]))),
        "depart_slot": arrive + draw(st.sampled_from([0, 1, 2, 3, 4, slots + 2, slots + 20])),
        "target_kwh": most * draw(st.sampled_from([0.0, 0.3, 0.5, 0.7, 0.9, 1.0])),
    }


@st.composite
def problems(draw, most_cars=5):
    slots = draw(st.integers(1, 5))
    names = [f"home-{number}" for number in range(draw(st.integers(1, 4)))]
    limits = st.sampled_from([0.0, 2.0, 3.68, 7.4, 10.0, 18.4])
    sites = {name: {"export_limit_kw": draw(limits), "import_limit_kw": draw(limits)} for name in names}
    for site in sites.values():
        if draw(st.booleans()):
            highest = site["import_limit_kw"]
            loads = st.sampled_from([min(kw, highest) for kw in (0.0, 0.5, 1.0, 20.0, -1.0, -4.0)])
            site["base_load_kw"] = draw(st.lists(loads, min_size=slots, max_size=slots))
    count = draw(st.integers(1, most_cars))
    return {
        "id": "drawn",
        "slot_hours": draw(st.sampled_from([0.25, 0.5, 1.0])),
        "eta_charge": draw(st.sampled_from([0.85, 0.93, 1.0])),
        "eta_discharge": draw(st.sampled_from([0.85, 0.93, 1.0])),
        "cars": [draw(cars(f"car-{number}", names, slots)) for number in range(count)],
        "sites": sites,
        "event": {
            "n_slots": slots,
            "request_kw": draw(st.lists(st.integers(-12, 24), min_size=slots, max_size=slots)),
            "direction": draw(st.sampled_from(["up", "up", "down"])),
        },
    }


@st.composite
def plain_problems(draw):
    """None must charge or arrives, one car a home, one limit: the ground of levelling."""
    raw = draw(problems())
    slots = raw["event"]["n_slots"]
    raw["event"]["direction"] = "up"
    raw["sites"] = {}
    for car in raw["cars"]:
        car["site"] = car["id"]
        limit = draw(st.sampled_from([2.0, 3.68, 7.4]))
        raw["sites"][car["id"]] = {"export_limit_kw": limit, "import_limit_kw": 18.4}
        car["arrive_slot"] = 0
        car["depart_slot"] = draw(st.integers(1, slots + 2))
        car["energy_kwh"] = max(car["energy_kwh"], car["floor_kwh"])
        car["target_kwh"] = min(car["target_kwh"], car["energy_kwh"])
    return raw


def solved(raw):
    return split_to_json(split(parse_split(json.dumps(raw), "drawn.json")))


def close(kwh):
    return pytest.approx(kwh, abs=1e-6)


@given(problems())
@settings(max_examples=400, deadline=None)
def test_delivers_the_optimum_and_keeps_every_rule(raw):
    answer = solved(raw)
    assert broken_rules(raw, answer) == []
    assert answer["delivered_kwh"] == close(Oracle(raw).optimum_kwh())


@given(problems())
@settings(max_examples=100, deadline=None)
def test_delivered_and_shortfall_are_the_request(raw):
    answer = solved(raw)
    way = 1 if raw["event"]["direction"] == "up" else -1
    total = [sum(values) for values in zip(*answer["export_kw"].values(), strict=True)]
    pairs = list(zip(raw["event"]["request_kw"], total, strict=True))
    hours = raw["slot_hours"]
    assert answer["delivered_kwh"] == close(hours * sum(min(way * r, way * x) for r, x in pairs))
    assert answer["shortfall_kwh"] == close(hours * sum(max(0.0, way * (r - x)) for r, x in pairs))


@given(plain_problems())
@settings(max_examples=200, deadline=None)
def test_levelling_equals_the_subsets_and_the_program(raw):
    problem = parse_split(json.dumps(raw), "drawn.json")
    answer = split(problem)
    assert answer.method == "levelled"
    assert answer.delivered_kwh == close(best_of_subsets_kwh(raw))
    assert answer.delivered_kwh == close(Oracle(raw).optimum_kwh())
    assert broken_rules(raw, split_to_json(answer)) == []
    empty = {**raw["cars"][0], "id": "late", "site": "late", "arrive_slot": 1, "depart_slot": 9}
    empty.update(discharge_kw=3.6, energy_kwh=empty["floor_kwh"] + 1e-6, target_kwh=0.0)
    raw["cars"].append(empty)
    raw["sites"]["late"] = {"export_limit_kw": 5.0, "import_limit_kw": 0.0}
    program = split(parse_split(json.dumps(raw), "drawn.json"))
    assert program.method == ("levelled" if raw["event"]["n_slots"] == 1 else "lp")
    assert program.delivered_kwh == pytest.approx(answer.delivered_kwh, abs=2e-6)


@given(plain_problems())
@settings(max_examples=100, deadline=None)
def test_the_present_slot_is_served_first_and_the_latest_trimmed(raw):
    served = np.sum(list(solved(raw)["export_kw"].values()), axis=0)
    for slots in range(1, raw["event"]["n_slots"]):
        part = json.loads(json.dumps(raw))
        part["event"]["request_kw"][slots:] = [0] * (raw["event"]["n_slots"] - slots)
        first = np.sum(list(solved(part)["export_kw"].values()), axis=0)
        assert served[:slots] == pytest.approx(first[:slots], abs=1e-6)


@given(problems(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_the_order_of_cars_does_not_matter(raw, random):
    answer = solved(raw)
    random.shuffle(raw["cars"])
    again = solved(raw)
    assert again["delivered_kwh"] == close(answer["delivered_kwh"])
    assert again["short_of_target_kwh"] == {
        name: close(kwh) for name, kwh in answer["short_of_target_kwh"].items()
    }


@given(problems(), st.sampled_from([0.1, 3.0, 1000.0]))
@settings(max_examples=100, deadline=None)
def test_all_powers_and_energies_scale_together(raw, factor):
    answer = solved(raw)

    def scaled(value):
        if isinstance(value, dict):
            return {
                key: [kw * factor for kw in item]
                if key in {"request_kw", "base_load_kw"}
                else item * factor
                if key.endswith(("_kw", "_kwh"))
                else scaled(item)
                for key, item in value.items()
            }
        return [scaled(item) for item in value] if isinstance(value, list) else value

    expected = factor * answer["delivered_kwh"]
    assert solved(scaled(raw))["delivered_kwh"] == pytest.approx(expected, rel=1e-8, abs=1e-6)


@given(problems(), st.data())
@settings(max_examples=100, deadline=None)
def test_one_more_car_never_delivers_less(raw, data):
    before = solved(raw)["delivered_kwh"]
    site = {"export_limit_kw": 5.0, "import_limit_kw": 10.0}
    raw["sites"]["new"] = site
    car = data.draw(cars("new", ["new"], raw["event"]["n_slots"]))
    raw["cars"].append(car)
    if raw["event"]["direction"] == "down" or not must_charge(raw, car):
        assert solved(raw)["delivered_kwh"] >= before - 1e-6


@given(problems(), st.lists(st.sampled_from([0.0, 1.4, 3.0]), min_size=5, max_size=5))
@settings(max_examples=200, deadline=None)
def test_no_power_below_what_a_charger_can_hold(raw, least):
    for car, min_kw in zip(raw["cars"], least, strict=False):
        car["min_kw"] = min_kw
    answer = solved(raw)
    assert broken_rules(raw, answer) == []
    assert answer["delivered_kwh"] == pytest.approx(Oracle(raw).optimum_kwh(), abs=1e-4)


@given(problems())
@settings(max_examples=150, deadline=None)
def test_nobody_moves_energy_without_being_asked(raw):
    way = 1 if raw["event"]["direction"] == "up" else -1
    raw["event"]["request_kw"] = [-way * abs(kw) for kw in raw["event"]["request_kw"]]
    raw["cars"] = [car for car in raw["cars"] if not must_charge(raw, car)]
    for site in raw["sites"].values():
        site["base_load_kw"] = [abs(kw) for kw in site.get("base_load_kw", [])] or None
        site["import_limit_kw"] = max(site["import_limit_kw"], 4.0)
    answer = solved(raw)
    assert all(value == 0 for values in answer["export_kw"].values() for value in values)
    assert answer["feasible"]


EXACT_KINDS = ("", "must", "must arrive", "must arrive homes load", "must arrive share load", "must down")


@pytest.mark.parametrize("seed", range(500 if os.environ.get("FLEXLOOP_SOAK") else 4))
@pytest.mark.parametrize("kind", EXACT_KINDS)
def test_up_to_200_cars_the_optimum_is_delivered(kind, seed):
    draw = np.random.default_rng(seed)
    problem = a_large_fleet(seed, int(draw.integers(6, 201)), int(draw.integers(1, 7)), kind)
    raw = as_file(replace(problem, cars=replace(problem.cars, guard_kwh=np.zeros(problem.cars.count))))
    answer = solved(raw)
    assert broken_rules(raw, answer) == []
    assert answer["delivered_kwh"] == pytest.approx(Oracle(raw).optimum_kwh(), abs=1e-6, rel=1e-8)
    if kind == "":
        assert answer["delivered_kwh"] == pytest.approx(best_of_subsets_kwh(raw), abs=1e-6)


numbers = st.floats(0, 20, allow_nan=False).map(lambda value: round(value, 3))


@given(
    st.lists(st.tuples(numbers, numbers, st.integers(0, 6)), min_size=1, max_size=8),
    st.lists(numbers, min_size=4, max_size=4),
    st.sampled_from([0.02, 0.5]),
)
@settings(max_examples=200, deadline=None)
def test_a_short_first_slot_is_levelled_exactly_too(fleet, wanted, first):
    energy, power, depart = (np.array(column) for column in zip(*fleet, strict=True))
    hours, want = np.array([first, 0.5, 0.5, 0.5]), np.array(wanted)
    moved = level_backwards(energy, power, depart, hours, now_first(energy, power, depart, hours, want))
    best = min(
        sum(want[slot] for slot in range(4) if not mask >> slot & 1)
        + sum(
            min(e, p * sum(hours[slot] for slot in range(4) if mask >> slot & 1 and slot < d))
            for e, p, d in fleet
        )
        for mask in range(16)
    )
    assert moved.sum() == pytest.approx(best, abs=1e-9)
    assert (moved.sum(axis=1) <= energy + 1e-9).all()
    assert (moved <= power[:, None] * hours + 1e-9).all()
    assert (moved.sum(axis=0) <= want + 1e-9).all()
