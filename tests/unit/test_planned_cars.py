"""The control loop at the turn of a half-hour: all cars are planned, and all else goes on."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from aggregator.energy import Tariff
from aggregator.model.fleet import Fleet
from aggregator.model.market import Direction
from aggregator.model.metering import Boundary
from aggregator.model.time import HALF_HOUR, HOUR
from aggregator.ports import Rebound
from tests.builders import a_car, a_car_report, a_charger, a_fleet, a_site
from tests.unit.test_controller import NOW, Loop, cheap_now, seen, wanted

MANY = 1_500


def reports(at, count, **changes):
    return [
        a_car_report(car_id=f"car-{n}", measured_at=at, soc=0.4, depart_at=NOW + 14 * HOUR, **changes)
        for n in range(1, count + 1)
    ]


async def test_reports_are_heard_while_many_cars_are_planned():
    loop = Loop(a_fleet(MANY))
    loop.now_rebound = Rebound(NOW - HALF_HOUR, 2.0 * MANY)
    loop.controller.observe(reports(NOW, MANY))
    cycle, looks = asyncio.create_task(loop.controller.cycle()), 0
    while not cycle.done():
        await asyncio.sleep(0.001)
        looks += 1
    assert len(loop.link.told) == MANY
    assert looks > 20


async def test_a_car_that_leaves_while_others_are_planned_is_planned_no_more():
    loop = Loop(a_fleet(200))
    loop.controller.observe(reports(NOW, 200))
    cycle = asyncio.create_task(loop.controller.cycle())
    await asyncio.sleep(0.001)
    loop.clock.pass_by(timedelta(seconds=1))
    loop.controller.observe(reports(loop.clock.now(), 1, plugged=False))
    await cycle
    loop.link.told.clear()
    await loop.controller.cycle()
    assert "car-1" not in {point.car_id for point in loop.link.told}


async def test_what_is_heard_while_cars_are_planned_counts_for_what_they_are_told():
    """The interlock has heard it, too, and would refuse what the home had room for before."""
    home = a_site(boundary_meter=True, import_limit_kw=9.0)
    cars = (*a_fleet(200).cars[1:], a_car(site=home))
    loop = Loop(Fleet(cars, "f" * 64), prices=cheap_until_half_past)
    metered = a_car_report(
        measured_at=NOW, soc=0.4, depart_at=NOW + 14 * HOUR, boundary=Boundary(-1000, 0, 0)
    )
    loop.controller.observe([*reports(NOW, 200)[1:], replace(metered, export_w=0)])
    cycle = asyncio.create_task(loop.controller.cycle())
    await asyncio.sleep(0.001)
    loop.clock.pass_by(timedelta(seconds=1))
    at = loop.clock.now()
    loop.controller.observe([replace(metered, export_w=0, measured_at=at, boundary=Boundary(-3000, 0, 0))])
    gone = reports(at, 3, plugged=False)[2]
    loop.controller.observe([gone])
    await cycle
    told = {point.car_id: point.export_w for point in loop.link.told}
    assert told["car-1"] == -6000
    assert gone.car_id not in told
    assert notices(loop) == []


async def test_a_watt_more_is_not_worth_a_set_point_and_a_watt_less_is():
    loop = Loop(a_fleet(1), wanted(3.0))
    for asked_kw, told_w in ((3.0, [3000]), (3.001, []), (2.999, [2999]), (3.0, []), (3.01, [3010])):
        loop.now_targets = (wanted(asked_kw),)
        loop.link.told.clear()
        loop.controller.observe([seen()])
        await loop.controller.cycle()
        assert [point.export_w for point in loop.link.told] == told_w


@pytest.mark.parametrize("late", [timedelta(0), timedelta(seconds=0.1), timedelta(seconds=4)])
async def test_who_charged_through_an_order_charges_on_after_it_without_a_pause(late):
    """Its set-point ends with the order, and the next cycle comes a moment later."""
    loop = Loop(a_fleet(20), replace(wanted(-148.0), direction=Direction.DOWN), prices=cheap_now)
    night = {"soc": 0.4, "depart_at": NOW + 12 * HOUR, "target_soc": 0.9}
    before = await loop.cycle(*(seen(name, **night) for name in loop.cars))
    assert {point.export_w for point in before.values()} == {-7400}
    loop.now_targets, loop.now_rebound = (), Rebound(NOW + HALF_HOUR, 1_000.0)
    ends_at = NOW + HALF_HOUR
    for car in loop.cars:
        told = replace(before[car], issued_at=ends_at - timedelta(minutes=2), expires_at=ends_at)
        loop.controller.view.sent([told])
    loop.clock.set(at := ends_at + late)
    after = await loop.cycle(*(seen(name, measured_at=at, **night) for name in loop.cars))
    assert {point.export_w for point in after.values()} == {-7400}


async def test_a_peak_that_begins_within_a_half_hour_is_kept_from_then_on():
    loop = Loop(a_fleet(4))
    before = await loop.cycle(*reports(NOW, 4))
    loop.now_rebound = Rebound(NOW - HALF_HOUR, 5.0)
    loop.clock.pass_by(timedelta(minutes=1))
    loop.link.told.clear()
    await loop.controller.cycle()
    drawn_w = {**before, **{point.car_id: point for point in loop.link.told}}
    assert sum(-point.export_w for point in drawn_w.values()) <= 5_000


async def test_who_misses_the_target_because_a_mate_boosts_is_told_in_the_same_cycle_by_how_much():
    home = a_site(import_limit_kw=9.2)
    small = a_charger(charge_kw=3.6, min_kw=3.0)
    cars = (a_car(site=home), a_car(car_id="car-2", charger=small, site=home))
    loop = Loop(Fleet(cars, "f" * 64))
    leaves = {"depart_at": NOW + 6 * HOUR, "target_soc": 0.8}
    before = [a_car_report(measured_at=NOW, soc=0.6, **leaves), second(NOW, soc=0.55, **leaves)]
    await loop.cycle(*before)
    assert notices(loop) == []
    boosted = a_car_report(measured_at=NOW, soc=0.3, boost=True, **leaves)
    told = await loop.cycle(boosted, before[1])
    assert told["car-1"].export_w == -7400
    (notice,) = notices(loop)
    # 5.7 hours at 7.4 kW fill the first; what is left to the second is less than its charger can hold
    assert notice.code == "short_of_target"
    assert notice.where == "car-2"
    assert float(notice.text.split(" by ")[1].split()[0]) == pytest.approx(15.0, abs=1.0)


@pytest.mark.parametrize("soc", [0.58, 0.6, 0.63, 0.66, 0.7, 0.74, 0.77])
async def test_cars_of_a_home_that_are_to_be_full_in_the_morning_wait_for_the_cheap_hours(soc):
    home = a_site(import_limit_kw=11.0)
    loop = Loop(Fleet((a_car(site=home), a_car(car_id="car-2", site=home)), "f" * 64), prices=cheap_after_ten)
    full = {"soc": soc, "depart_at": NOW + 14 * HOUR, "target_soc": 1.0}
    told = await loop.cycle(a_car_report(measured_at=NOW, **full), second(NOW, **full))
    assert {point.export_w for point in told.values()} == {0}


async def test_a_neighbour_below_its_floor_makes_no_car_charge_in_dear_hours():
    home = a_site(import_limit_kw=11.0)
    loop = Loop(Fleet((a_car(site=home), a_car(car_id="car-2", site=home)), "f" * 64), prices=cheap_after_ten)
    leaves = {"depart_at": NOW + 14 * HOUR, "target_soc": 0.8}
    told = await loop.cycle(a_car_report(measured_at=NOW, soc=0.25, **leaves), second(NOW, soc=0.5, **leaves))
    assert {name: point.export_w for name, point in told.items()} == {"car-1": -7400, "car-2": 0}


@pytest.mark.parametrize("late", [timedelta(seconds=7), timedelta(minutes=10), timedelta(minutes=29)])
async def test_a_car_that_comes_within_a_cheap_half_hour_has_what_is_left_of_it(late):
    at = NOW + late
    loop = Loop(Fleet((a_car(),), "f" * 64), prices=cheap_until_half_past)
    loop.clock.set(at)
    told = await loop.cycle(a_car_report(measured_at=at, soc=0.7, depart_at=NOW + 5 * HOUR, target_soc=0.72))
    assert told["car-1"].export_w < 0


def cheap_until_half_past(zone, slots):
    is_cheap = np.array([slot.end <= NOW + HALF_HOUR for slot in slots])
    return Tariff(np.where(is_cheap, 0.1, 0.3), np.full(len(slots), 0.05), np.zeros(len(slots), dtype=bool))


def cheap_after_ten(zone, slots):
    is_cheap = np.array([slot.start >= NOW + 5 * HOUR for slot in slots])
    return Tariff(np.where(is_cheap, 0.1, 0.3), np.full(len(slots), 0.05), np.zeros(len(slots), dtype=bool))


def notices(loop):
    return [notice for record in loop.records for notice in record.notices]


def second(at, **changes):
    return a_car_report(**{"car_id": "car-2", "measured_at": at, "export_w": 0, **changes})
