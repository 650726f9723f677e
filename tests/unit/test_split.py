"""The split on small cases whose answer is plain."""

import math
from dataclasses import replace

import highspy
import numpy as np
import pytest

from dispatch.split import Cars, Direction, Sites, SplitCar, SplitProblem, SplitSite, split

CAR = SplitCar(
    id="a",
    site="home",
    capacity_kwh=40.0,
    floor_kwh=12.0,
    max_kwh=40.0,
    energy_kwh=20.0,
    charge_kw=7.4,
    discharge_kw=7.4,
    depart_slot=28,
    target_kwh=12.0,
)
HOME = SplitSite(export_limit_kw=10.0, import_limit_kw=18.4)


def a_problem(*cars, request_kw=(4.0, 4.0), home=HOME, **changes):
    sites = Sites.of({"home": home}, len(request_kw))
    return SplitProblem(
        id="p",
        slot_hours=(0.5,) * len(request_kw),
        eta_charge=0.93,
        eta_discharge=0.93,
        cars=Cars.of(cars, sites),
        sites=sites,
        request_kw=request_kw,
        **changes,
    )


def test_energy_above_the_floor_is_what_a_car_gives():
    answer = split(a_problem(CAR, request_kw=(7.4,) * 4))
    assert answer.delivered_kwh == pytest.approx(7.44)
    assert answer.export_kw[0] == pytest.approx([7.4, 7.4, 0.08, 0.0])
    assert answer.shortfall_kwh == pytest.approx(14.8 - 7.44)
    assert not answer.feasible


def test_a_guard_lowers_what_is_given_but_makes_nobody_charge():
    low = replace(CAR, energy_kwh=12.5, guard_kwh=1.0)
    assert split(a_problem(low)).export_kw.tolist() == [[0.0, 0.0]]


def test_a_car_below_its_floor_charges_first_and_the_other_makes_up_for_it():
    low = replace(CAR, id="low", energy_kwh=10.0)
    answer = split(a_problem(low, CAR, request_kw=(0.0, 2.0)))
    assert answer.export_kw[0] == pytest.approx([-2.0 / 0.93 / 0.5, 0.0])
    assert answer.export_kw[1] == pytest.approx([4.0 / 0.93, 2.0])
    assert answer.feasible


def test_a_car_that_cannot_reach_its_target_charges_at_full_power_and_is_told():
    late = replace(CAR, depart_slot=2, target_kwh=30.0)
    answer = split(a_problem(late, request_kw=(-7.4, -7.4, 0.0)))
    assert answer.export_kw[0] == pytest.approx([-7.4, -7.4, 0.0])
    assert answer.short_of_target_kwh == {"a": pytest.approx(30.0 - 20.0 - 0.93 * 7.4)}
    assert answer.feasible


def test_a_car_that_leaves_after_the_event_counts_what_it_can_still_charge():
    late = replace(CAR, depart_slot=4, target_kwh=37.0)
    answer = split(a_problem(late))
    assert answer.export_kw[0] == pytest.approx([-7.4, -7.4])
    assert answer.short_of_target_kwh == {"a": pytest.approx(17.0 - 4 * 0.93 * 3.7)}


def test_must_charge_cars_wait_for_the_slot_that_asks_least():
    late = replace(CAR, id="late", depart_slot=3, target_kwh=20.0 + 0.93 * 3.7)
    strong = replace(CAR, discharge_kw=7.4, energy_kwh=40.0)
    answer = split(a_problem(late, strong, request_kw=(7.4, 0.0, 7.4)))
    assert answer.delivered_kwh == pytest.approx(7.4)
    assert answer.export_kw[0] == pytest.approx([0.0, -7.4, 0.0])


def test_import_room_goes_to_the_car_below_its_floor_then_to_the_earliest_departure():
    low = replace(CAR, id="low", energy_kwh=6.0, depart_slot=20)
    soon = replace(CAR, id="soon", depart_slot=2, target_kwh=40.0)
    late = replace(CAR, id="late", depart_slot=3, target_kwh=40.0)
    home = SplitSite(export_limit_kw=0.0, import_limit_kw=10.0, base_load_kw=(0.0, 1.0))
    answer = split(a_problem(late, soon, low, request_kw=(0.0, 0.0), home=home))
    assert answer.export_kw[2, 0] == pytest.approx(-7.4)
    assert answer.export_kw[:, 0].sum() == pytest.approx(-10.0)
    assert answer.export_kw[:, 1].sum() == pytest.approx(-9.0)
    assert answer.export_kw[1, 0] == pytest.approx(-2.6)
    assert set(answer.short_of_target_kwh) == {"soon", "late"}


def test_no_import_room_leaves_a_car_below_its_floor_where_it_is():
    low = replace(CAR, energy_kwh=10.0)
    home = SplitSite(export_limit_kw=5.0, import_limit_kw=2.0, base_load_kw=(2.0, 2.0))
    answer = split(a_problem(low, request_kw=(0.0, 0.0), home=home))
    assert answer.export_kw.tolist() == [[0.0, 0.0]]


def test_house_load_makes_room_for_export():
    home = SplitSite(export_limit_kw=0.0, import_limit_kw=18.4, base_load_kw=(1.5, 0.0))
    assert split(a_problem(CAR, home=home)).export_kw[0] == pytest.approx([1.5, 0.0])


def test_a_site_that_generates_above_its_limit_is_a_rule_not_kept():
    sunny = SplitSite(export_limit_kw=1.0, import_limit_kw=18.4, base_load_kw=(-3.0, 0.0))
    answer = split(a_problem(CAR, request_kw=(0.0, 0.0), home=sunny))
    assert answer.export_kw.tolist() == [[0.0, 0.0]]
    assert not answer.feasible
    taker = replace(CAR, id="taker", depart_slot=2, target_kwh=21.0)
    answer = split(a_problem(taker, request_kw=(-3.0, -1.0), home=sunny))
    assert answer.export_kw[0] == pytest.approx([-2.0 / 0.93, 0.0])
    assert answer.feasible


def test_down_lets_free_cars_charge_up_to_their_maximum():
    answer = split(a_problem(CAR, request_kw=(-5.0, -20.0), direction=Direction.DOWN))
    assert answer.export_kw[0] == pytest.approx([-5.0, -7.4])
    assert answer.delivered_kwh == pytest.approx(6.2)
    assert answer.shortfall_kwh == pytest.approx(6.3)
    full = replace(CAR, energy_kwh=40.0)
    assert split(a_problem(full, direction=Direction.DOWN)).export_kw.tolist() == [[0.0, 0.0]]


def test_a_negative_request_makes_nobody_charge_and_is_met():
    answer = split(a_problem(CAR, request_kw=(-3.0, 2.0)))
    assert answer.export_kw[0] == pytest.approx([0.0, 2.0])
    assert answer.delivered_kwh == pytest.approx(-0.5)
    assert answer.feasible


@pytest.mark.parametrize(("arrive", "depart"), [(2, 9), (0, 0), (1, 1), (50, 60)])
def test_a_car_that_is_not_there_moves_nothing(arrive, depart):
    away = replace(CAR, arrive_slot=arrive, depart_slot=depart, target_kwh=15.0)
    answer = split(a_problem(away))
    assert answer.export_kw.tolist() == [[0.0, 0.0]]
    assert answer.short_of_target_kwh == {}


def test_nobody_at_all_is_a_shortfall():
    answer = split(a_problem())
    assert answer.export_kw.shape == (0, 2)
    assert answer.shortfall_kwh == pytest.approx(4.0)


def test_a_charger_without_power_does_nothing():
    dead = replace(CAR, charge_kw=0.0, discharge_kw=0.0, target_kwh=30.0)
    answer = split(a_problem(dead))
    assert answer.export_kw.tolist() == [[0.0, 0.0]]
    assert answer.short_of_target_kwh == {"a": pytest.approx(10.0)}


def test_two_chargers_with_a_least_power_share_by_turns():
    pair = [replace(CAR, id=name, min_kw=3.0, energy_kwh=30.0) for name in "ab"]
    answer = split(a_problem(*pair, request_kw=(5.0, 2.0, 6.0)))
    assert answer.method == "milp"
    assert answer.export_kw.sum(axis=0) == pytest.approx([5.0, 0.0, 6.0])
    assert all(kw == 0 or kw >= 3.0 - 1e-9 for kw in answer.export_kw.flat)


def test_the_first_slot_may_be_what_is_left_of_the_present_one():
    problem = replace(a_problem(CAR, request_kw=(7.4, 7.4)), slot_hours=(0.01, 0.5))
    answer = split(problem)
    assert answer.export_kw[0] == pytest.approx([7.4, 7.4])
    assert answer.delivered_kwh == pytest.approx(7.4 * 0.51)


def test_another_solver_with_more_threads_does_not_disturb():
    highspy.Highs.resetGlobalScheduler(True)
    other = highspy.Highs()
    other.setOptionValue("output_flag", False)
    other.setOptionValue("threads", 2)
    x = other.addBinary()
    other.maximize(x + 0.0)
    low = replace(CAR, id="low", energy_kwh=10.0)
    assert split(a_problem(low, CAR, request_kw=(0.0, 2.0))).feasible


def test_the_same_problem_gives_the_same_bytes():
    cars = [
        replace(CAR, id=str(n), energy_kwh=11.0 + n, depart_slot=1 + n, target_kwh=20.0) for n in range(9)
    ]
    first, second = (split(a_problem(*cars, request_kw=(9.0, 9.0, 9.0))).export_kw for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize(
    "changes",
    [
        {"slot_hours": (0.5,)},
        {"slot_hours": (0.5, 0.0)},
        {"slot_hours": (0.5, math.nan)},
        {"request_kw": (4.0, math.inf)},
        {"eta_charge": 0.0},
        {"later_slot_hours": 0.0},
        {"sites": Sites.of({}, 2)},
        {"sites": Sites.of({"home": SplitSite(1.0, 1.0, (0.0,) * 3)}, 3)},
    ],
)
def test_a_contradictory_problem_cannot_be_made(changes):
    with pytest.raises(ValueError, match="p: "):
        replace(a_problem(CAR), **changes)


@pytest.mark.parametrize(
    ("cars", "fault"),
    [
        ((CAR, CAR), "the same id"),
        ((replace(CAR, site="elsewhere"),), "unknown sites"),
        ((replace(CAR, energy_kwh=math.nan),), "energy_kwh is nan for a; allowed is 0 or more"),
        ((replace(CAR, discharge_kw=-1.0),), "discharge_kw is -1.0 for a"),
    ],
)
def test_cars_that_cannot_be_are_refused(cars, fault):
    with pytest.raises(ValueError, match=fault):
        a_problem(*cars)


@pytest.mark.parametrize("home", [SplitSite(math.inf, 1), SplitSite(-1.0, 1), SplitSite(1.0, 1, (0.0,))])
def test_homes_that_cannot_be_are_refused(home):
    with pytest.raises(ValueError, match=r"sites need|base load"):
        a_problem(CAR, home=home)


def test_who_is_short_takes_what_its_home_has_in_each_slot_whatever_a_neighbour_exports():
    """The fuse leaves 3.8 kW beside the first car for three slots, then all: 13.1 of 15 kWh, in one way."""
    home = SplitSite(export_limit_kw=7.4, import_limit_kw=7.4)
    columns = {"site": "home", "capacity_kwh": 62.0, "floor_kwh": 18.0, "max_kwh": 62.0}
    rows = [
        SplitCar(
            "first", energy_kwh=20, charge_kw=3.6, discharge_kw=0, depart_slot=3, target_kwh=40, **columns
        ),
        SplitCar(
            "giver", energy_kwh=60, charge_kw=0, discharge_kw=7.4, depart_slot=9, target_kwh=0, **columns
        ),
        SplitCar(
            "last", energy_kwh=20, charge_kw=11, discharge_kw=0, depart_slot=5, target_kwh=33.8, **columns
        ),
    ]
    sites = Sites.of({"home": home}, 6)
    for wanted in ((9.0,) * 6, (9.0, 0.0, 9.0, 0.0, 9.0, 0.0), (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)):
        problem = SplitProblem("p", (0.5,) * 6, 0.92, 0.91, Cars.of(rows, sites), sites, wanted)
        kw = split(problem).export_kw
        assert -kw[0] == pytest.approx([3.6, 3.6, 3.6, 0, 0, 0])
        assert -kw[2] == pytest.approx([3.8, 3.8, 3.8, 7.4, 7.4, 0])
