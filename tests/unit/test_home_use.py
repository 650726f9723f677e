"""Home use first (V2H): when covering the house from the car pays, by hand.

The car: 40 kWh, floor 12 kWh with a guard of 0.8, 93% each way. A kWh given to the house takes 1/0.93 kWh out
of the battery, which cost 1/0.93^2 = 1.1562 kWh to put back: at GBP 0.10 that is 0.1156, and 0.03 of wear.
"""

from dataclasses import replace
from datetime import UTC, date, datetime, time

import numpy as np
import pytest

from aggregator.energy import CarArrays, Stay, Tariff, base_plan
from aggregator.model.fleet import Approval, Car, Charger, ExportSource, Intent, Site
from aggregator.model.time import HALF_HOUR

EVENING = datetime(2024, 12, 11, 17, tzinfo=UTC)
SLOTS = 8
HOME = Site(
    "home",
    "z1",
    0.0,
    ExportSource.G100,
    18.4,
    boundary_meter=True,
    house_load_kw=(1.0,),
    approval=Approval.GRANTED,
)


def planned(site=HOME, *, dear=0.40, exported=0.05, energy_kwh=36.0, target_kwh=12.0, depart=SLOTS):
    """What the car gives in each half-hour; the first four are dear, the others cost GBP 0.10."""
    charger = Charger("charger", 7.4, 7.4, 0.93, 0.93)
    car = Car("car", 40.0, 0.3, Intent(time(7, 30), 0.9), charger, site)
    cars = CarArrays.of([car], *(EVENING + n * HALF_HOUR for n in range(SLOTS + 1)))
    price = np.array([dear] * 4 + [0.10] * 4)
    tariff = Tariff(price, np.full(SLOTS, exported), np.zeros(SLOTS, dtype=bool), wear_gbp_per_kwh=0.03)
    one = np.array([0])
    stay = Stay(one, one + depart, np.array([energy_kwh]), np.array([target_kwh]))
    plan = base_plan(cars, stay, tariff, 0.5)
    return plan.discharge_kw[0], plan


def test_it_covers_the_house_in_dear_half_hours_and_never_exports():
    given_kw, plan = planned(target_kwh=36.0)
    assert given_kw == pytest.approx([1.0] * 4 + [0.0] * 4)
    assert plan.short_of_target_kwh[0] == 0.0
    assert plan.charge_kw[0].sum() * 0.5 == pytest.approx(2.0 / 0.93**2)  # and buys it back by departure


@pytest.mark.parametrize(("dear", "pays"), [(0.1457, True), (0.1455, False)])
def test_it_pays_above_the_price_of_losses_and_wear(dear, pays):
    given_kw, _ = planned(dear=dear, exported=0.0, target_kwh=36.0)
    assert bool(given_kw.any()) is pays


def test_the_floor_and_its_guard_are_kept():
    given_kw, plan = planned(energy_kwh=12.8 + 0.3)
    assert given_kw.sum() * 0.5 == pytest.approx(0.3 * 0.93)
    assert plan.energy_kwh[0].min() == pytest.approx(12.8)


def test_the_departure_comes_first():
    """It leaves after the dear half-hours with 34 kWh: 2 of the 36 may go, as 1.86 kWh for the house."""
    given_kw, plan = planned(target_kwh=34.0, depart=4)
    assert given_kw.sum() * 0.5 == pytest.approx(2.0 * 0.93)
    assert plan.energy_kwh[0, 4] == pytest.approx(34.0)


@pytest.mark.parametrize(
    "change",
    [
        {"approval": Approval.APPLIED},
        {"approval": Approval.REFUSED},
        {"export_source": ExportSource.NONE},
        {"house_load_kw": ()},
        {"boundary_meter": False},
    ],
    ids=["applied", "refused", "none", "no load stated", "no meter and no limit"],
)
def test_nothing_is_given_without_an_approval_a_load_or_a_way_to_know_it(change):
    assert not planned(replace(HOME, **change))[0].any()


def test_an_approval_that_begins_at_midnight_is_served_by_half_hour():
    late = [EVENING.replace(hour=22) + n * HALF_HOUR for n in range(SLOTS + 1)]
    site = replace(HOME, approved_from=date(2024, 12, 12))
    charger = Charger("charger", 7.4, 7.4, 0.93, 0.93)
    cars = CarArrays.of([Car("car", 40.0, 0.3, Intent(time(7, 30), 0.9), charger, site)], *late)
    assert cars.export_room_kw[0] == pytest.approx([0.0] * 4 + [1.0] * 4)


def test_a_small_limit_beside_the_load_is_exported_only_where_that_pays_too():
    site = replace(HOME, export_limit_kw=3.68)
    poor, _ = planned(site, exported=0.05)
    assert poor[:4] == pytest.approx([1.0] * 4)
    good, _ = planned(site, exported=0.30)
    assert good[:4] == pytest.approx([4.68] * 4)


def test_without_a_meter_the_stated_load_is_covered_within_the_approval():
    site = replace(HOME, export_limit_kw=0.6, boundary_meter=False)
    assert planned(site)[0][:4] == pytest.approx([0.6] * 4)


def test_two_cars_of_a_home_cover_its_load_together():
    charger = Charger("charger", 7.4, 7.4, 0.93, 0.93)
    both = [
        Car(
            f"car-{n}", 40.0, 0.3, Intent(time(7, 30), 0.9), replace(charger, charger_id=f"charger-{n}"), HOME
        )
        for n in (1, 2)
    ]
    cars = CarArrays.of(both, *(EVENING + n * HALF_HOUR for n in range(SLOTS + 1)))
    price = np.array([0.40] * 4 + [0.10] * 4)
    tariff = Tariff(price, np.zeros(SLOTS), np.zeros(SLOTS, dtype=bool), wear_gbp_per_kwh=0.03)
    zero = np.zeros(2, dtype=np.int64)
    stay = Stay(zero, zero + SLOTS, np.array([36.0, 20.0]), np.array([12.0, 12.0]))
    given_kw = base_plan(cars, stay, tariff, 0.5).discharge_kw
    assert given_kw[:, :4].sum(axis=0) == pytest.approx([1.0] * 4)
