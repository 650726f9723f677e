"""Homes whose export room changes by the half-hour, and cars that serve the house: against programmes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aggregator.energy import base_plan, reach
from aggregator.energy.capability import classes_kwh
from aggregator.energy.reach import ClassReach
from tests.property.energy_cases import SLOT_HOURS, Case, Lp, cases, window_of
from tests.property.fleet_oracle import Oracle, a_long_case

CLOSE = 1e-7
seeds = st.integers(0, 2**32 - 1)


def changing(case: Case, seed: int, *, houses: bool = False) -> Case:
    """The case with rooms that begin, end or alternate within it, and maybe loads that its houses state."""
    draw = np.random.default_rng(seed)
    sites, slots = len(case.cars.import_room_kw), case.tariff.slots
    room_kw = draw.choice([0.0, 1.5, 3.68, 12.0], (sites, slots))
    begins = draw.integers(0, slots + 1, sites)
    room_kw = np.where(draw.random((sites, 1)) < 0.5, room_kw, room_kw[:, :1])
    room_kw *= np.arange(slots) >= begins[:, None]
    house_kw = draw.choice([0.0, 0.4, 2.0], (sites, slots)) if houses else None
    return replace(case, cars=replace(case.cars, export_room_kw=room_kw, house_kw=house_kw))


@given(cases(most_cars=6), seeds, st.booleans())
@settings(max_examples=100, deadline=None)
def test_no_plan_gives_more_than_a_half_hour_s_room(case: Case, seed: int, houses: bool) -> None:
    case = changing(case, seed, houses=houses)
    cars, plan = case.cars, base_plan(case.cars, case.stay, case.tariff, SLOT_HOURS)
    for site in range(len(cars.import_room_kw)):
        at_home = cars.site == site
        assert np.all(plan.discharge_kw[at_home].sum(axis=0) <= cars.export_room_kw[site] + CLOSE)
        assert np.all(plan.charge_kw[at_home].sum(axis=0) <= cars.import_room_kw[site] + CLOSE)
    assert not np.any((plan.charge_kw > CLOSE) & (plan.discharge_kw > CLOSE))
    gave = plan.discharge_kw > CLOSE
    guarded = (cars.floor_kwh + 0.02 * cars.capacity_kwh)[:, None]
    assert np.all((plan.energy_kwh[:, 1:] >= guarded - 1e-6)[gave])


def least_cost_gbp(case: Case, car: int, due_kwh: float) -> float:
    """The rules for a car alone at home, above its guard: what the house uses saves the import price."""
    cars, stay, tariff = case.cars, case.stay, case.tariff
    eta_c, eta_d, site = cars.eta_charge[car], cars.eta_discharge[car], cars.site[car]
    charge_kw = min(cars.charge_kw[car], cars.import_room_kw[site])
    lowest = cars.floor_kwh[car] + 0.02 * cars.capacity_kwh[car]
    lp = Lp()
    energy = lp.var(stay.energy_kwh[car], stay.energy_kwh[car])
    for slot in range(tariff.slots):
        here = stay.plugged(slot, 1)[car, 0] * SLOT_HOURS
        price, wear = tariff.import_gbp_per_kwh[slot], tariff.wear_gbp_per_kwh
        earned = tariff.export_gbp_per_kwh[slot] - wear
        power_kw = min(cars.discharge_kw[car], cars.export_room_kw[site, slot])
        home_kw = min(power_kw, cars.house_kw[site, slot])
        sells = not (earned * eta_d > price / eta_c and not tariff.red[slot])
        drawn = lp.var(0.0, charge_kw * here, price + 1e4 * tariff.red[slot])
        used = lp.var(0.0, home_kw * here, wear - price)
        sold = lp.var(0.0, (power_kw - home_kw) * here * sells, -earned)
        after = lp.var(lowest, cars.capacity_kwh[car])
        lp.row({after: 1.0, energy: -1.0, drawn: -eta_c, used: 1.0 / eta_d, sold: 1.0 / eta_d}, 0.0, 0.0)
        energy = after
    valued_kwh = max(stay.target_kwh[car], stay.energy_kwh[car])
    kept = lp.var(0.0, max(0.0, valued_kwh - due_kwh), -tariff.buy_back_gbp_per_kwh / eta_c)
    lp.row({energy: 1.0, kept: -1.0}, due_kwh)
    least = lp.minimum()
    assert least is not None
    return least


def worth_gbp(case: Case, car: int, due_kwh: float) -> float:
    """What a car's plan costs, its house's part valued at what it need not draw."""
    cars, tariff, site = case.cars, case.tariff, case.cars.site[car]
    plan = base_plan(cars, case.stay, tariff, SLOT_HOURS)
    given_kw, house_kw = plan.discharge_kw[car], np.minimum(cars.house_kw[site], cars.export_room_kw[site])
    wear, price = tariff.wear_gbp_per_kwh, tariff.import_gbp_per_kwh
    power_kw = np.minimum(cars.discharge_kw[car], cars.export_room_kw[site])
    home_kw = np.minimum(house_kw, power_kw)
    earned = tariff.export_gbp_per_kwh - wear
    dearer = price - wear >= earned
    used_kw = np.where(
        dearer, np.minimum(given_kw, home_kw), np.maximum(0.0, given_kw - (power_kw - home_kw))
    )
    paid = plan.charge_kw[car] @ (price + 1e4 * tariff.red)
    saved = used_kw @ (price - wear) + (given_kw - used_kw) @ earned
    valued_kwh = max(case.stay.target_kwh[car], case.stay.energy_kwh[car])
    kept_kwh = max(0.0, min(plan.energy_kwh[car, -1], valued_kwh) - due_kwh)
    return (paid - saved) * SLOT_HOURS - kept_kwh * tariff.buy_back_gbp_per_kwh / cars.eta_charge[car]


@given(cases(most_cars=2, shared=False), seeds)
@settings(max_examples=120, deadline=None)
def test_serving_the_house_costs_what_the_linear_programme_says(case: Case, seed: int) -> None:
    case = changing(case, seed, houses=True)
    tariff = replace(case.tariff, import_gbp_per_kwh=np.abs(case.tariff.import_gbp_per_kwh))
    case = replace(case, tariff=tariff)
    cars, stay = case.cars, case.stay
    charge_kw = np.minimum(cars.charge_kw, cars.import_room_kw[cars.site])
    after = np.maximum(0, stay.depart_slot - tariff.slots) * SLOT_HOURS
    owed_kwh = np.minimum(stay.target_kwh, cars.capacity_kwh) - cars.eta_charge * charge_kw * after
    guarded_kwh = cars.floor_kwh + 0.02 * cars.capacity_kwh
    slots_here = stay.plugged(0, tariff.slots).sum(axis=1)
    reach_kwh = stay.energy_kwh + cars.eta_charge * charge_kw * slots_here * SLOT_HOURS
    fit = (
        stay.present
        & (stay.energy_kwh >= guarded_kwh)
        & (np.minimum(reach_kwh, cars.capacity_kwh) >= owed_kwh)
    )
    assume(fit.any())
    for car in np.flatnonzero(fit):
        due_kwh = max(owed_kwh[car], guarded_kwh[car])
        least = least_cost_gbp(case, car, due_kwh)
        assert worth_gbp(case, car, due_kwh) <= least + 1e-6 + 1e-9 * abs(least)


@given(seeds, st.sampled_from(["alone", "alike", "shared"]))
@settings(max_examples=100, deadline=None)
def test_what_a_window_of_changing_rooms_can_do_is_what_the_cars_energies_allow(
    seed: int, sites: str
) -> None:
    case = a_long_case(seed, most_cars=25, least_slots=3, most_slots=8, sites=sites)
    case = changing(case, seed)
    window = window_of(case)
    fleet, oracle = reach([window], SLOT_HOURS, up=True), Oracle.of(case, 0, window.slots)
    safe = ClassReach.of([classes_kwh(window, SLOT_HOURS, up=True)])
    draw = np.random.default_rng(seed)
    for scale in (0.3, 1.0, 3.0):
        demand = scale * case.cars.count * draw.uniform(-0.3, 2.0, window.slots)
        most_kwh = oracle.most_kwh(demand)
        close = 1e-6 * max(1.0, abs(demand).sum())
        assert fleet.most_kwh(demand)[0] == pytest.approx(most_kwh, abs=close)
        assert safe.most_kwh(demand)[0] <= most_kwh + close


@given(seeds)
@settings(max_examples=40, deadline=None)
def test_more_import_does_not_depend_on_what_may_be_exported(seed: int) -> None:
    case = a_long_case(seed, most_cars=12, least_slots=3, most_slots=8, sites="shared")
    window = window_of(case)
    other = replace(window, export_room_kw=changing(case, seed).cars.export_room_kw)
    demand = np.full(window.slots, 2.0 * case.cars.count)
    both = [reach([one], SLOT_HOURS, up=False).most_kwh(demand)[0] for one in (window, other)]
    assert both[0] == pytest.approx(both[1])
