"""Cars that share too small a connection, against their joint linear programme and what the room carries."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from aggregator.energy import CarArrays, Stay, Tariff, base_plan
from tests.property.energy_cases import SLOT_HOURS, Case, Lp, cases

CLOSE = 1e-7
"""Energies summed over a stay, in kWh."""


def joint_least_cost_gbp(cars: CarArrays, stay: Stay, tariff: Tariff) -> float:
    """The least cost of all cars of one site together, no slot paying for drawing and giving at once."""
    lp, slots = Lp(), tariff.slots
    drawn: list[dict[int, float]] = [{} for _ in range(slots)]
    given_: list[dict[int, float]] = [{} for _ in range(slots)]
    earned = tariff.export_gbp_per_kwh - tariff.wear_gbp_per_kwh
    for car in range(cars.count):
        eta_c, eta_d = cars.eta_charge[car], cars.eta_discharge[car]
        lowest = cars.floor_kwh[car] + 0.02 * cars.capacity_kwh[car]
        energy = lp.var(stay.energy_kwh[car], stay.energy_kwh[car])
        for slot in range(slots):
            here = stay.plugged(slot, 1)[car, 0] * SLOT_HOURS
            sells = earned[slot] * eta_d <= tariff.import_gbp_per_kwh[slot] / eta_c
            take = lp.var(0.0, cars.charge_kw[car] * here, tariff.import_gbp_per_kwh[slot])
            give = lp.var(0.0, cars.discharge_kw[car] * here * sells, -earned[slot])
            after = lp.var(lowest, cars.capacity_kwh[car])
            lp.row({after: 1.0, energy: -1.0, take: -eta_c, give: 1.0 / eta_d}, 0.0, 0.0)
            drawn[slot][take], given_[slot][give] = 1.0, 1.0
            energy = after
        lp.row({energy: 1.0}, stay.target_kwh[car])
    for slot in range(slots):
        lp.row(drawn[slot], high=cars.import_room_kw[0] * SLOT_HOURS)
        lp.row(given_[slot], high=cars.export_room_kw[0] * SLOT_HOURS)
    least = lp.minimum()
    assert least is not None
    return least


def crowded_site(seed: int) -> Case:
    """One site with a few cars above their guards, whose targets can be reached within the tight room."""
    rng = np.random.default_rng(seed)
    count, slots = int(rng.choice([2, 3, 5, 12])), 30
    capacity, each = rng.choice([40.0, 62.0], count), np.ones(count)
    share = float(rng.choice([0.4, 0.6, 0.8]))
    rooms = np.array([7.4 * count * share]), np.array([7.4 * count * float(rng.choice([0.4, 0.7, 1.0]))])
    site = np.zeros(count, dtype=np.int64)
    cars = CarArrays(
        capacity, capacity * 0.3, 7.4 * each, 7.4 * each, 0.93 * each, 0.9 * each, site, rooms[1], rooms[0]
    )
    arrive, depart = rng.integers(0, 10, count), rng.integers(20, slots + 1, count)
    energy = capacity * rng.uniform(0.35, 0.7, count)
    reach = energy + 0.93 * 7.4 * share * SLOT_HOURS * 0.8 * (depart - arrive)
    stay = Stay(arrive, depart, energy, np.minimum(reach, capacity * rng.choice([0.6, 0.8, 0.9], count)))
    cheap = np.isin(np.arange(slots), rng.integers(0, slots, 9))
    tariff = Tariff(
        np.where(cheap, 0.07, rng.choice([0.3, 0.35], slots)),
        np.where(cheap, 0.05, rng.choice([0.15, 0.36], slots)),
        np.zeros(slots, dtype=bool),
        0.03,
        0.0,
    )
    return Case(cars, stay, tariff)


@pytest.mark.parametrize("seed", range(24))
def test_cars_that_share_a_tight_connection_reach_their_joint_optimum(seed: int) -> None:
    case = crowded_site(seed)
    tariff = case.tariff
    plan = base_plan(case.cars, case.stay, tariff, SLOT_HOURS)
    paid = plan.charge_kw.sum(axis=0) @ tariff.import_gbp_per_kwh
    earned = plan.discharge_kw.sum(axis=0) @ (tariff.export_gbp_per_kwh - tariff.wear_gbp_per_kwh)
    least = joint_least_cost_gbp(case.cars, case.stay, tariff)
    assert plan.short_of_target_kwh.max() <= CLOSE
    assert (paid - earned) * SLOT_HOURS <= least + 1e-4


@given(cases(most_cars=6))
@settings(max_examples=100, deadline=None)
def test_cars_that_cannot_all_reach_their_targets_use_the_whole_room(case: Case) -> None:
    """Cars of one kind, above their floors and plugged in all the time: the room or their power binds."""
    alike, slots = np.ones(case.cars.count), case.tariff.slots
    capacity, site = case.cars.capacity_kwh, np.zeros(case.cars.count, dtype=np.int64)
    floor_kwh, room = 0.1 * capacity, np.array([9.0])
    cars = CarArrays(capacity, floor_kwh, 7.4 * alike, 0 * alike, 0.9 * alike, alike, site, room, room)
    stay = Stay(site, site + slots, case.stay.energy_kwh, case.stay.target_kwh)
    plan = base_plan(cars, stay, case.tariff, SLOT_HOURS)
    hours = slots * SLOT_HOURS
    wanted_kwh = np.clip(stay.target_kwh - stay.energy_kwh, 0.0, 0.9 * 7.4 * hours)
    reached_kwh = (plan.energy_kwh[:, -1] - stay.energy_kwh)[wanted_kwh > 0.0].sum()
    assert reached_kwh >= min(wanted_kwh.sum(), 0.9 * 9.0 * hours) - 1e-4


def test_a_site_s_plan_is_the_same_wherever_its_cars_stand_in_a_large_fleet() -> None:
    """Each of the first pairs of 4,000 shares too small a connection; of equal cars either may go first."""
    site, pairs = crowded_site(24), 4000
    order = np.random.default_rng(1).permutation(2 * pairs)
    room_kw = np.where(np.arange(pairs) < 10, 8.0, 20.0)

    def planned(rows: np.ndarray, of_site: np.ndarray, room_kw: np.ndarray) -> np.ndarray:
        per_car = [getattr(site.cars, name)[rows] for name in CarArrays.__slots__[:6]]
        cars = CarArrays(*per_car, of_site, room_kw, room_kw)
        stay = Stay(*(getattr(site.stay, name)[rows] for name in Stay.__slots__))
        return base_plan(cars, stay, site.tariff, SLOT_HOURS).energy_kwh

    fleet_kwh = planned(order % 2, order // 2, room_kw)
    for pair in (0, 9, 10, 3999):
        alone_kwh = planned(np.array([0, 1]), np.array([0, 0]), room_kw[[pair]])
        assert np.allclose(fleet_kwh[order // 2 == pair].sum(axis=0), alone_kwh.sum(axis=0), atol=1e-5)


@pytest.mark.parametrize("pounds", [1e-9, 1.0, 1e3, 1e9])
def test_the_room_is_kept_and_used_whatever_the_prices(pounds: float) -> None:
    case = crowded_site(2)
    imports, exports = case.tariff.import_gbp_per_kwh * pounds, case.tariff.export_gbp_per_kwh * pounds
    tariff = Tariff(imports, exports, np.arange(len(imports)) % 7 == 0, 0.0)
    plan = base_plan(case.cars, case.stay, tariff, SLOT_HOURS)
    assert np.all(plan.charge_kw.sum(axis=0) <= case.cars.import_room_kw[0] + CLOSE)
    assert np.all(plan.discharge_kw.sum(axis=0) <= case.cars.export_room_kw[0] + CLOSE)
    assert plan.short_of_target_kwh.max() <= 1e-6


@pytest.mark.parametrize("seed", range(6))
def test_a_flat_price_puts_nothing_into_a_bid_window_that_fits_elsewhere(seed: int) -> None:
    """The site's room outside the window is more than all cars want, and each has time enough."""
    case = crowded_site(seed)
    slots = case.tariff.slots
    bid = (np.arange(slots) >= 17) & (np.arange(slots) < 20)
    tariff = Tariff(np.full(slots, 0.3), np.full(slots, 0.15), np.zeros(slots, bool), 0.03, bid=bid)
    stay = replace(case.stay, target_kwh=np.minimum(case.stay.energy_kwh + 4.0, case.cars.capacity_kwh))
    plan = base_plan(case.cars, stay, tariff, SLOT_HOURS)
    assert plan.short_of_target_kwh.max() <= 1e-6
    assert plan.charge_kw[:, bid].sum() <= 1e-6
    assert not plan.discharge_kw.any()
