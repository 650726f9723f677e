"""What a split file may say, and what is said about one that is wrong."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from aggregator.files.split import parse_split, read_split, split_to_json
from aggregator.model.errors import BadMessage
from dispatch.split import split
from tests.property.split_fleets import a_large_fleet, as_file

GOLDEN = Path(__file__).parents[1] / "golden" / "split" / "three_leafs"


def raw_problem():
    return json.loads((GOLDEN / "split.json").read_text())


def faults_of(raw):
    with pytest.raises(BadMessage) as caught:
        parse_split(json.dumps(raw), "split.json")
    return {fault.where: fault for fault in caught.value.faults}


def changed(path, value):
    raw = raw_problem()
    place = raw
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return raw


def test_three_leafs_meet_their_request():
    answer = split_to_json(split(read_split(GOLDEN / "split.json")))
    expected = json.loads((GOLDEN / "expected.json").read_text())
    exportable = expected.pop("exportable_kwh")
    export_kw = answer.pop("export_kw")
    assert answer == {**expected, "delivered_kwh": pytest.approx(10.5, abs=1e-9), "shortfall_kwh": 0.0}
    total = [sum(values) for values in zip(*export_kw.values(), strict=True)]
    assert total == pytest.approx([6.0, 6.0, 5.0, 4.0])
    for car, kwh in exportable.items():
        assert 0.5 * sum(export_kw[car]) <= kwh + 1e-9
    assert export_kw["leaf-3"][2:] == [0.0, 0.0]


def test_defaults_are_filled_in():
    problem = read_split(GOLDEN / "split.json")
    assert problem.cars.arrive_slot[0] == 0
    assert problem.cars.min_kw[0] == 0.0
    assert problem.sites.base_load_kw is None
    assert problem.direction == "up"
    assert problem.slot_hours == (0.5,) * 4


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (("cars", 1, "target_kwh"), 40.5, "cars[1].target_kwh"),
        (("cars", 1, "floor_kwh"), 41.0, "cars[1].floor_kwh"),
        (("cars", 1, "max_kwh"), 41.0, "cars[1].max_kwh"),
        (("cars", 1, "energy_kwh"), 41.0, "cars[1].energy_kwh"),
        (("cars", 1, "energy_kwh"), -1.0, "cars[1].energy_kwh"),
        (("cars", 1, "charge_kw"), -7.4, "cars[1].charge_kw"),
        (("cars", 1, "discharge_kw"), math.nan, "cars[1].discharge_kw"),
        (("cars", 1, "discharge_kw"), math.inf, "cars[1].discharge_kw"),
        (("cars", 1, "discharge_kw"), "7.4", "cars[1].discharge_kw"),
        (("cars", 1, "discharge_kw"), True, "cars[1].discharge_kw"),
        (("cars", 1, "capacity_kwh"), 0.0, "cars[1].capacity_kwh"),
        (("cars", 1, "min_kw"), -1.0, "cars[1].min_kw"),
        (("cars", 1, "depart_slot"), 2.5, "cars[1].depart_slot"),
        (("cars", 1, "depart_slot"), -1, "cars[1].depart_slot"),
        (("cars", 1, "arrive_slot"), 29, "cars[1].arrive_slot"),
        (("cars", 1, "id"), "leaf-1", "cars[1].id"),
        (("cars", 1, "id"), 7, "cars[1].id"),
        (("cars", 1, "site"), "home-9", "cars[1].site"),
        (("cars", 1, "colour"), "red", "cars[1].colour"),
        (("cars", 1), None, "cars[1]"),
        (("sites", "home-1", "export_limit_kw"), -1.0, "sites.home-1.export_limit_kw"),
        (("sites", "home-1", "base_load_kw"), [1.0, 1.0], "sites.home-1.base_load_kw"),
        (("sites", "home-1", "base_load_kw"), [1.0, 1.0, 19.0, 0.0], "sites.home-1.base_load_kw[2]"),
        (("sites", "home-1", "base_load_kw"), [1.0, 1.0, math.nan, 0.0], "sites.home-1.base_load_kw[2]"),
        (("sites", "home-1", "fuse"), 80, "sites.home-1.fuse"),
        (("event", "request_kw"), [1.0, 2.0], "event.request_kw"),
        (("event", "request_kw"), [1.0, "2", 3.0, 4.0], "event.request_kw[1]"),
        (("event", "request_kw"), [1.0, math.inf, 3.0, 4.0], "event.request_kw[1]"),
        (("event", "n_slots"), 0, "event.n_slots"),
        (("event", "direction"), "sideways", "event.direction"),
        (("slot_hours",), 0.0, "slot_hours"),
        (("eta_charge",), 1.01, "eta_charge"),
        (("eta_discharge",), 0.0, "eta_discharge"),
        (("note",), "x", "note"),
    ],
)
def test_a_fault_names_the_file_and_the_field(path, value, where):
    assert f"split.json: {where}" in faults_of(changed(path, value))


def test_all_faults_are_told_at_once_even_in_one_car():
    raw = raw_problem()
    raw["cars"][0].update(target_kwh=50.0, site="nowhere", min_kw="1", colour="red")
    raw["event"]["request_kw"][3] = math.nan
    del raw["eta_charge"], raw["cars"][2]["floor_kwh"]
    assert set(faults_of(raw)) == {
        "split.json: eta_charge",
        "split.json: event.request_kw[3]",
        "split.json: cars[0].min_kw",
        "split.json: cars[0].colour",
        "split.json: cars[0].target_kwh",
        "split.json: cars[0].site",
        "split.json: cars[2].floor_kwh",
    }


@pytest.mark.parametrize("missing", ["id", "slot_hours", "eta_charge", "cars", "sites", "event"])
def test_a_missing_part_is_named(missing):
    raw = raw_problem()
    del raw[missing]
    assert faults_of(raw)[f"split.json: {missing}"].value == "(missing)"


@pytest.mark.parametrize(
    "text", [b"", b"{", b"null", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"id": 1e999}', b'"text"']
)
def test_what_is_no_problem_is_refused(text):
    with pytest.raises(BadMessage) as caught:
        parse_split(text, "split.json")
    assert all(fault.where.startswith("split.json") for fault in caught.value.faults)


def test_a_key_that_comes_twice_is_refused():
    text = (GOLDEN / "split.json").read_text().replace('"id": "s1"', '"id": "s1", "id": "s2"')
    with pytest.raises(BadMessage, match="each key once"):
        parse_split(text, "split.json")


def test_a_file_that_is_not_there_is_a_bad_message(tmp_path):
    with pytest.raises(BadMessage, match=r"none\.json"):
        read_split(tmp_path / "none.json")
    with pytest.raises(BadMessage, match="a readable UTF-8 text file"):
        read_split(tmp_path)


@pytest.mark.parametrize("kind", ["", "must arrive homes load", "must share load least", "down"])
def test_a_large_file_says_what_its_fleet_is(kind):
    fleet = a_large_fleet(1, 300, 5, kind)
    read = parse_split(json.dumps(as_file(fleet)), "split.json")
    assert list(read.cars.ids) == list(fleet.cars.ids)
    for name in ("site", "floor_kwh", "max_kwh", "energy_kwh", "charge_kw", "discharge_kw", "target_kwh"):
        assert np.array_equal(getattr(read.cars, name), getattr(fleet.cars, name))
    for name in ("arrive_slot", "depart_slot", "min_kw"):
        assert np.array_equal(getattr(read.cars, name), getattr(fleet.cars, name))
    assert read.request_kw == fleet.request_kw
    assert np.array_equal(read.export_room_kw() + np.zeros(5), fleet.export_room_kw() + np.zeros(5))
    assert np.array_equal(read.import_room_kw() + np.zeros(5), fleet.import_room_kw() + np.zeros(5))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("energy_kwh", 101.0),
        ("energy_kwh", "7"),
        ("energy_kwh", True),
        ("energy_kwh", math.nan),
        ("energy_kwh", 10**400),
        ("capacity_kwh", 0),
        ("charge_kw", None),
        ("discharge_kw", 1e10),
        ("min_kw", -0.1),
        ("depart_slot", 1.0),
        ("depart_slot", 10**30),
        ("arrive_slot", True),
        ("arrive_slot", 10**6),
        ("id", ""),
        ("id", "car-3"),
        ("id", "a\nb"),
        ("id", ["car"]),
        ("site", "nowhere"),
        ("site", {}),
        ("colour", "red"),
        ("guard_kwh", 1.0),
    ],
)
def test_one_wrong_car_of_many_is_named(field, value):
    raw = as_file(a_large_fleet(1, 300, 5, ""))
    raw["cars"][250][field] = value
    assert f"split.json: cars[250].{field}" in faults_of(raw)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("export_limit_kw", -1.0),
        ("import_limit_kw", "9"),
        ("base_load_kw", [1.0]),
        ("base_load_kw", [99.0] * 5),
    ],
)
def test_one_wrong_home_of_many_is_named(field, value):
    raw = as_file(a_large_fleet(1, 300, 5, ""))
    raw["sites"]["home-250"][field] = value
    assert any(where.startswith(f"split.json: sites.home-250.{field}") for where in faults_of(raw))


def test_a_home_without_loads_among_others_has_none():
    raw = as_file(a_large_fleet(1, 300, 5, "homes load"))
    raw["sites"]["home-7"]["base_load_kw"] = None
    del raw["sites"]["home-8"]["base_load_kw"]
    loads = parse_split(json.dumps(raw), "split.json").sites.base_load_kw
    assert not loads[7:9].any()
    assert loads.any()
