"""What a fleet can do in a window, asked through `Reach`: against all sets, against each car's own energy."""

from dataclasses import replace
from time import process_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.energy import (
    CarArrays,
    ClassReach,
    FleetWindow,
    Reach,
    Stay,
    TableReach,
    Tariff,
    capability_kwh,
    fleet_window,
    reach,
    turn_down_kwh,
)
from aggregator.energy.capability import classes_kwh
from aggregator.energy.planning import base_plan
from tests.bench.fleets import some_cars, some_prices, some_stays
from tests.property.energy_cases import SLOT_HOURS, Case, cases, subsets, window_of
from tests.property.fleet_oracle import Oracle, a_long_case, some_of

seeds = st.integers(0, 2**32 - 1)


def members_of(slots: int) -> np.ndarray:
    return np.array([np.isin(np.arange(slots), chosen) for chosen in subsets(slots)])


def by_classes(window: FleetWindow, *, up: bool = True) -> ClassReach:
    """The long way for a window of any length."""
    return ClassReach.of([classes_kwh(window, SLOT_HOURS, up=up)])


def corner_kwh(fleet: Reach, order: np.ndarray) -> np.ndarray:
    """What the slots get in the first scenario when they are served in an order."""
    turn = np.argsort(order)
    chain = fleet.energy_kwh(turn[None] < np.arange(1, fleet.slots + 1)[:, None])[0]
    return np.diff(chain, prepend=0.0)[turn]


def to_the_edge(fleet: Reach, start: np.ndarray, way: np.ndarray) -> float:
    """The most of ``way`` that can be had on top of ``start``: each set that is too tight lowers it."""
    most = float(fleet.energy_kwh(np.ones((1, fleet.slots), dtype=bool))[0, 0] - start.sum()) / way.sum()
    while True:
        members, excess = fleet.tightest((start + most * way)[None])
        if excess[0] <= 1e-9 * max(1.0, abs(start).sum()):
            return most
        room = fleet.energy_kwh(members)[0, 0] - start[members[0]].sum()
        if most - room / way[members[0]].sum() <= 1e-12 * abs(most):
            return most
        most = room / way[members[0]].sum()


@given(cases(most_cars=6), seeds, st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_short_window_is_asked_by_its_table(case: Case, seed: int, up: bool) -> None:
    slots = min(6, case.tariff.slots)
    windows = [window_of(case, first, slots) for first in range(min(2, case.tariff.slots - slots + 1))]
    table = np.array([(capability_kwh if up else turn_down_kwh)(window, SLOT_HOURS) for window in windows])
    fleet = reach(windows, SLOT_HOURS, up=up)
    assert np.allclose(fleet.energy_kwh(members_of(slots)), table, atol=1e-9)
    demand = np.random.default_rng(seed).uniform(-3.0, 12.0, (len(windows), slots))
    check_against_all_sets(fleet, demand)


@given(cases(most_cars=8, shared=False), seeds, st.booleans())
@settings(max_examples=100, deadline=None)
def test_classes_know_what_the_table_knows(case: Case, seed: int, up: bool) -> None:
    slots = min(8, case.tariff.slots)
    window = window_of(case, case.tariff.slots - slots, slots)
    fleet, table = by_classes(window, up=up), reach([window], SLOT_HOURS, up=up)
    assert isinstance(table, TableReach)
    sets = members_of(slots)
    assert np.allclose(fleet.energy_kwh(sets), table.energy_kwh(sets), atol=1e-9)
    draw = np.random.default_rng(seed)
    typical = max(0.1, float(table.energy_kwh(sets)[0, -1]) / slots)
    check_against_all_sets(fleet, draw.uniform(-0.5, 3.0, (1, slots)) * typical)
    check_against_all_sets(fleet, np.full((1, slots), typical))


def check_against_all_sets(fleet: Reach, demand: np.ndarray) -> None:
    sets = members_of(fleet.slots)
    excess = demand @ sets.T - fleet.energy_kwh(sets)
    members, most = fleet.tightest(demand)
    assert most == pytest.approx(excess.max(axis=1), abs=1e-8)
    own = (demand * members).sum(axis=1) - np.diagonal(fleet.energy_kwh(members))
    assert own == pytest.approx(most, abs=1e-8)
    assert fleet.most_kwh(demand) == pytest.approx(demand.sum(axis=1) - excess.max(axis=1), abs=1e-8)
    left_out = np.arange(fleet.slots) < fleet.slots // 2
    without = np.where((sets & left_out).any(axis=1), -np.inf, excess).max(axis=1)
    some = fleet.most_kwh(np.where(left_out, -np.inf, demand))
    assert some == pytest.approx(demand[:, ~left_out].sum(axis=1) - without, abs=1e-8)
    many = fleet.most_kwh(np.stack([demand, 0.5 * demand, np.zeros_like(demand)]))
    assert many == pytest.approx(np.stack([fleet.most_kwh(part * demand) for part in (1.0, 0.5, 0.0)]))


@given(cases(most_cars=8), st.booleans())
@settings(max_examples=100, deadline=None)
def test_shares_of_a_site_never_promise_more_than_its_table(case: Case, up: bool) -> None:
    slots = min(7, case.tariff.slots)
    window = window_of(case, 0, slots)
    sets = members_of(slots)
    exact = reach([window], SLOT_HOURS, up=up).energy_kwh(sets)
    assert np.all(by_classes(window, up=up).energy_kwh(sets) <= exact + 1e-9)


@given(seeds, st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_long_window_is_what_the_cars_energies_allow(seed: int, up: bool) -> None:
    check_exact(a_long_case(seed), seed, up=up)


@given(seeds, st.booleans())
@settings(max_examples=40, deadline=None)
def test_cars_that_share_a_site_for_the_same_time_lose_nothing(seed: int, up: bool) -> None:
    check_exact(a_long_case(seed, most_cars=60, sites="alike", low=False), seed, up=up)


def check_exact(case: Case, seed: int, *, up: bool) -> None:
    """Any split of all cars serves a profile on the edge in full, and of more no less than is said."""
    draw = np.random.default_rng(seed)
    first = int(draw.integers(0, 3))
    window = window_of(case, first)
    fleet, cars = by_classes(window, up=up), Oracle.of(case, first, window.slots)
    start = 0.3 * corner_kwh(fleet, draw.permutation(window.slots))
    start += 0.7 * corner_kwh(fleet, draw.permutation(window.slots)) - draw.uniform(0.0, 1.0)
    way = draw.uniform(0.1, 1.0, window.slots) * (draw.random(window.slots) < draw.choice([0.3, 1.0])) + 1e-3
    edge = start + to_the_edge(fleet, start, way) * way
    close = 1e-6 * max(1.0, abs(edge).sum())
    assert cars.most_kwh(edge, up=up) == pytest.approx(edge.sum(), abs=close)
    beyond = edge + draw.uniform(0.0, 5.0) * way * case.cars.count
    assert fleet.most_kwh(beyond)[0] == pytest.approx(cars.most_kwh(beyond, up=up), abs=close)
    assert fleet.most_kwh(beyond)[0] < beyond.sum() + close


@given(seeds)
@settings(max_examples=60, deadline=None)
def test_no_split_earns_more_than_the_slots_served_by_price(seed: int) -> None:
    case = a_long_case(seed, most_cars=60)
    window = window_of(case)
    price = np.random.default_rng(seed).uniform(0.0, 1.0, window.slots)
    earned = price @ corner_kwh(by_classes(window), np.argsort(-price))
    best = Oracle.of(case, 0, window.slots).best_gbp(price)
    assert earned == pytest.approx(best, abs=1e-6 * max(1.0, abs(best)))


def test_an_evening_s_value_is_little_less_than_if_cars_could_also_charge_in_it() -> None:
    """Measured on 25 fleets from 16:00 to 18:00, prices 0.20 to 0.60: 1.9% less on average, 5.1% at most."""
    lost = []
    for seed in range(5):
        cars = some_cars(60, seed=seed)
        case = Case(cars, some_stays(cars, 48, seed=seed), some_prices(48))
        price = np.random.default_rng(seed).uniform(0.2, 0.6, 4)
        earned = price @ corner_kwh(by_classes(window_of(case, 8, 4)), np.argsort(-price))
        evening = Oracle.of(case, 8, 4)
        assert earned == pytest.approx(evening.best_gbp(price))
        lost.append(1.0 - earned / evening.best_gbp(price, both_ways=True))
    assert min(lost) >= -1e-9
    assert np.mean(lost) <= 0.04


@given(seeds, st.booleans())
@settings(max_examples=60, deadline=None)
def test_what_is_said_of_shared_sites_can_always_be_split(seed: int, up: bool) -> None:
    case = a_long_case(seed, most_cars=40, sites="shared")
    window = window_of(case)
    fleet = by_classes(window, up=up)
    profile = corner_kwh(fleet, np.random.default_rng(seed).permutation(window.slots))
    served = Oracle.of(case, 0, window.slots).most_kwh(profile, up=up)
    assert served == pytest.approx(profile.sum(), abs=1e-6 * max(1.0, abs(profile).sum()))


def some_sets(seed: int, slots: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return draw.random((20, slots)) < draw.random((20, 1))


def tiled(case: Case, times: int, share: float) -> Case:
    """Every car ``times`` times, each with a share of its battery and power, each on its own site."""
    cars, stay = case.cars, case.stay
    count = cars.count * times
    scaled = {"capacity_kwh", "floor_kwh", "charge_kw", "discharge_kw"}
    per_car = {
        name: np.tile(getattr(cars, name), times) * (share if name in scaled else 1.0)
        for name in CarArrays.__slots__
        if name not in {"site", "export_room_kw", "import_room_kw", "house_kw", "tapers"}
    }
    rooms = {
        name: np.tile(getattr(cars, name)[cars.site], times) * share
        for name in ("export_room_kw", "import_room_kw")
    }
    stays = Stay(
        np.tile(stay.arrive_slot, times),
        np.tile(stay.depart_slot, times),
        np.tile(stay.energy_kwh, times) * share,
        np.tile(stay.target_kwh, times) * share,
    )
    return replace(case, cars=CarArrays(**per_car, site=np.arange(count), **rooms), stay=stays)


@given(seeds, st.booleans())
@settings(max_examples=60, deadline=None)
def test_halves_copies_and_order_change_nothing(seed: int, up: bool) -> None:
    case = a_long_case(seed, most_cars=30)
    sets = some_sets(seed, case.tariff.slots)
    own = by_classes(window_of(case), up=up).energy_kwh(sets)
    close = 1e-7 * max(1.0, abs(own).max())
    turned = some_of(case, np.random.default_rng(seed).permutation(case.cars.count))
    for other, times in ((tiled(case, 2, 0.5), 1.0), (tiled(case, 3, 1.0), 3.0), (turned, 1.0)):
        same = by_classes(window_of(other), up=up).energy_kwh(sets)
        assert np.allclose(same, times * own, rtol=0.0, atol=3.0 * close)


@given(seeds, st.sampled_from(["alone", "alike"]))
@settings(max_examples=60, deadline=None)
def test_a_car_more_never_lowers_what_can_be_done(seed: int, sites: str) -> None:
    case = a_long_case(seed, most_cars=30, sites=sites, low=False, late=False)
    sets = some_sets(seed, case.tariff.slots)
    for up in (True, False):
        more = by_classes(window_of(case), up=up).energy_kwh(sets)
        less = by_classes(window_of(some_of(case, np.arange(case.cars.count - 1))), up=up).energy_kwh(sets)
        assert np.all(less <= more + 1e-9)


@given(seeds, st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_limit_less_never_lowers_what_can_be_done(seed: int, up: bool) -> None:
    case = a_long_case(seed, most_cars=30, sites="alike", low=False, late=False)
    plan = base_plan(case.cars, case.stay, case.tariff, SLOT_HOURS)
    free = replace(
        case.cars,
        export_room_kw=np.full_like(case.cars.export_room_kw, 1e4),
        import_room_kw=np.full_like(case.cars.import_room_kw, 1e4),
    )
    sets = some_sets(seed, case.tariff.slots)
    bound, unbound = (
        by_classes(fleet_window(cars, case.stay, plan, 0, case.tariff.slots, SLOT_HOURS), up=up)
        for cars in (case.cars, free)
    )
    assert np.all(bound.energy_kwh(sets) <= unbound.energy_kwh(sets) + 1e-9)


def a_car(slots: int, stored_kwh: float, *, leaves: int, target_kwh: float = 0.0) -> FleetWindow:
    """A window of a car of 40 kWh, 7.4 kW and 93% each way, that keeps 12 kWh: floor 11.2, guard 0.8."""
    one = np.ones(1)
    cars = CarArrays(
        capacity_kwh=40.0 * one,
        floor_kwh=11.2 * one,
        charge_kw=7.4 * one,
        discharge_kw=7.4 * one,
        eta_charge=0.93 * one,
        eta_discharge=0.93 * one,
        site=np.zeros(1, dtype=np.int64),
        export_room_kw=7.4 * one,
        import_room_kw=18.4 * one,
    )
    stay = Stay(np.array([0]), np.array([leaves]), stored_kwh * one, target_kwh * one)
    flat = np.full(slots, 0.3)
    return window_of(Case(cars, stay, Tariff(flat, 0.0 * flat, np.zeros(slots, dtype=bool))))


def in_slots(window: FleetWindow, *chosen: int, up: bool = True) -> float:
    return float(by_classes(window, up=up).energy_kwh(np.isin(np.arange(window.slots), chosen)[None])[0, 0])


def test_hand_case_power_binds_in_two_slots_and_energy_in_more() -> None:
    window = a_car(16, 20.0, leaves=16)
    fleet = reach([window], SLOT_HOURS, up=True)
    assert isinstance(fleet, ClassReach)
    exportable = 0.93 * (20.0 - 12.0)
    assert exportable == pytest.approx(7.44)
    assert in_slots(window, 5) == pytest.approx(7.4 * 0.5)
    assert in_slots(window, 5, 11) == pytest.approx(7.4)
    assert in_slots(window, 5, 6, 11) == pytest.approx(7.44)
    flat_kw = 7.44 / (16 * 0.5)
    assert flat_kw == pytest.approx(0.93)
    members, excess = fleet.tightest(np.full((1, 16), (flat_kw + 0.01) * 0.5))
    assert members.all()
    assert excess == pytest.approx([16 * 0.01 * 0.5])
    members, excess = fleet.tightest(np.full((1, 16), (flat_kw - 1e-6) * 0.5))
    assert not members.any()
    assert excess == pytest.approx([0.0])


def test_hand_case_what_must_be_charged_is_left_to_the_slots_that_are_not_asked() -> None:
    window = a_car(14, 20.0, leaves=4, target_kwh=25.0)
    owed = (25.0 - 20.0) / 0.93
    assert in_slots(window, 0) == pytest.approx(0.0)
    assert in_slots(window, 0, 1, 2) == pytest.approx(-(owed - 3.7))
    assert in_slots(window, 0, 1, 2, 3) == pytest.approx(-owed)
    assert in_slots(window, 7, 12) == pytest.approx(0.0)


def test_hand_case_a_car_below_its_floor_charges_at_once_and_then_when_it_is_not_asked() -> None:
    window = a_car(14, 11.2 - 0.93 * 3.0, leaves=3, target_kwh=11.2 + 0.93 * 4.0)
    assert in_slots(window, 0) == pytest.approx(-3.0), "4 kWh fit in the others, 3.7 each"
    assert in_slots(window, 1) == pytest.approx(0.0), "0.7 fit in the first, 3.7 in the last"
    assert in_slots(window, 1, 2) == pytest.approx(-(4.0 - 0.7))
    assert in_slots(window, 0, 1) == pytest.approx(-3.0 - (4.0 - 3.7))
    assert in_slots(window, 0, 1, 2) == pytest.approx(-7.0)
    assert in_slots(window, 0, up=False) == pytest.approx(3.7)
    assert in_slots(window, 0, 1, 2, up=False) == pytest.approx(3 * 3.7)


def test_hand_case_a_full_car_can_be_turned_down_by_what_fits() -> None:
    window = a_car(14, 40.0 - 0.93 * 5.0, leaves=20)
    assert in_slots(window, 3, up=False) == pytest.approx(3.7)
    assert in_slots(window, *range(14), up=False) == pytest.approx(5.0)


def test_a_car_that_is_far_below_its_floor_can_be_turned_down_less_once_it_has_charged_to_it() -> None:
    window = a_car(24, 4.0, leaves=24)
    to_floor, fits = (11.2 - 4.0) / 0.93, (40.0 - 4.0) / 0.93
    assert in_slots(window, *range(24), up=False) == pytest.approx(fits)
    assert in_slots(window, *range(6, 24), up=False) == pytest.approx(fits - to_floor)


def test_no_cars_can_do_nothing() -> None:
    nobody = some_of(a_long_case(3), np.arange(0))
    for slots in (6, 14):
        for up in (True, False):
            fleet = reach([window_of(nobody, 0, slots)], SLOT_HOURS, up=up)
            assert not fleet.energy_kwh(np.ones((1, slots), dtype=bool)).any()
            assert fleet.most_kwh(np.ones(slots)) == pytest.approx([0.0])
            assert fleet.tightest(np.ones((1, slots)))[1] == pytest.approx([slots])


def least_seconds(count: int, slots: int) -> float:
    """The processor time of the fastest of some runs: what others do on the machine only adds."""
    cars = some_cars(count)
    case = Case(cars, some_stays(cars, 48), some_prices(48))
    plan = base_plan(cars, case.stay, case.tariff, SLOT_HOURS)
    found = []
    for _ in range(5):
        start = process_time()
        reach([fleet_window(cars, case.stay, plan, 8, slots, SLOT_HOURS)], SLOT_HOURS, up=True)
        found.append(process_time() - start)
    return min(found)


@pytest.mark.parametrize("slots", [8, 24])
def test_a_window_takes_time_at_most_in_step_with_the_fleet(slots: int) -> None:
    few, many = (least_seconds(count, slots) for count in (2_000, 32_000))
    assert many <= few * 16**1.2


def test_a_slot_left_out_neither_asks_nor_has_to_give() -> None:
    fleet = TableReach(np.array([[0.0, -2.0, 5.0, 2.5]]))
    assert fleet.most_kwh(np.array([0.0, 4.0])) == pytest.approx([-2.0 + 4.0])
    assert fleet.most_kwh(np.array([-np.inf, 4.0])) == pytest.approx([4.0])


def test_a_table_has_one_number_for_each_set() -> None:
    with pytest.raises(ValueError, match="2\\*\\*slots"):
        TableReach(np.zeros((1, 6)))
    with pytest.raises(ValueError, match="at least one"):
        reach([], SLOT_HOURS, up=True)
