"""Where a kWh given is put back: at night, or, where the night has no room or the car leaves, by day."""

import numpy as np
import pytest

from aggregator.bidding.tiers import recharge
from aggregator.energy import CarArrays, Stay, Tariff, base_plan, fleet_window, reach
from tests.bid_world import a_zone, at
from tests.property.bid_fleets import a_fleet, a_line, a_problem, the_offer

NIGHT, DAY_PRICE = 0.20, 0.33
ROUND_TRIP = 0.92 * 0.91


def found(depart_slot, energy_kwh=54.0, target_kwh=48.0):
    # noon to noon; the window is 17:00 to 19:00, the night 02:00 to 05:00
    slot = np.arange(48)
    night = (slot >= 28) & (slot < 34)
    prices = np.where(night, NIGHT, DAY_PRICE)
    tariff = Tariff(prices, np.zeros(48), np.zeros(48, dtype=bool), wear_gbp_per_kwh=0.02)
    cars = CarArrays.of(a_zone(1).cars, at(12))
    stay = Stay(np.array([4]), np.array([depart_slot]), np.array([energy_kwh]), np.array([target_kwh]))
    plan = base_plan(cars, stay, tariff, 0.5)
    window = fleet_window(cars, stay, plan, 10, 4, 0.5)
    return recharge(cars, [window], [stay], tariff, 14), window


def test_a_car_that_stays_through_the_night_puts_all_of_it_back_there():
    costs, _ = found(depart_slot=39)
    assert costs.tiers == ()
    assert costs.dearest_gbp_per_kwh == costs.cheapest_gbp_per_kwh == pytest.approx(NIGHT / ROUND_TRIP + 0.02)


def test_a_car_that_leaves_before_the_night_has_only_what_is_above_its_target_cheaply():
    # 54 kWh stored, 48 wanted at 23:00: 6 kWh, 5.46 at the meter, need not be put back before it leaves.
    costs, window = found(depart_slot=22)
    (tier,) = costs.tiers
    assert tier.saving_gbp_per_mwh == pytest.approx(1000 * (DAY_PRICE - NIGHT) / ROUND_TRIP)
    everything = np.ones((1, 4), dtype=bool)
    assert tier.reach.energy_kwh(everything) == pytest.approx(np.array([[6 * 0.91]]))
    assert window.exportable_kwh[0] > 6 * 0.91
    assert costs.dearest_gbp_per_kwh == pytest.approx(DAY_PRICE / ROUND_TRIP + 0.02)


def test_a_thin_margin_is_bid_on_as_far_as_cheap_energy_reaches():
    costs, window = found(depart_slot=22)
    fleet = a_fleet(1, cars=1, slots=4, scenarios=1)
    dear, cheap = 1000 * costs.dearest_gbp_per_kwh, 1000 * costs.cheapest_gbp_per_kwh
    price = (dear + cheap) / 2
    line = a_line(
        4, utilisation_gbp_per_mwh=price, availability_gbp_per_mw_h=0.0, award_probability=1.0, tick_kw=0.01
    )
    problem = a_problem(
        fleet, line, reach=reach([window], 0.5, up=True), tiers=costs.tiers,
        spread_gbp_per_mwh=np.full(4, -dear), base_gbp_per_mwh=np.full(4, -cheap),
    )  # fmt: skip
    offer = the_offer(problem)
    assert 0.5 * offer.offered_kw.sum() == pytest.approx(6 * 0.91, abs=0.02)
    assert offer.expected_margin_gbp == pytest.approx(6 * 0.91 / 1000 * (price - cheap), rel=0.01)
    dearer = the_offer(a_problem(
        fleet, a_line(4, utilisation_gbp_per_mwh=dear + 50, award_probability=1.0, tick_kw=0.01),
        reach=reach([window], 0.5, up=True), tiers=costs.tiers,
        spread_gbp_per_mwh=np.full(4, -dear), base_gbp_per_mwh=np.full(4, -cheap),
    ))  # fmt: skip
    assert 0.5 * dearer.offered_kw.sum() == pytest.approx(min(window.exportable_kwh[0], 12.0), abs=0.03)
