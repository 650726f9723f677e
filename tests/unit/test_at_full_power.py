"""Cars at full power for their drivers, whatever else is asked: boosted, below the floor, or late."""

from dataclasses import replace
from datetime import time as local_time
from datetime import timedelta

import pytest

from aggregator.model.fleet import Fleet
from aggregator.model.market import Direction
from aggregator.model.metering import Outcome, Purpose
from aggregator.model.time import HOUR
from tests.builders import ZONE, a_car, a_fleet, a_site, an_intent
from tests.unit.test_controller import NOW, Loop, dear_now, neighbours, pays_for_the_house, seen, wanted


async def test_a_boosted_car_is_out_at_once_and_the_others_make_up_for_it():
    loop = Loop(a_fleet(3), wanted(3.0))
    told = await loop.cycle(seen("car-1", boost=True), seen("car-2"), seen("car-3"))
    assert (told["car-1"].purpose, told["car-1"].export_w) == (Purpose.BOOST, -7400)
    assert told["car-2"].export_w + told["car-3"].export_w == pytest.approx(10_400, abs=3)


async def test_a_boosted_car_that_is_nearly_full_leaves_its_neighbour_what_it_does_not_draw():
    loop = Loop(neighbours(import_limit_kw=9.0), replace(wanted(-15.0), direction=Direction.DOWN))
    boosted, other = seen("car-1", soc=0.95, boost=True), seen("car-2", soc=0.5)
    told = await loop.cycle(boosted, other)
    assert (told["car-1"].export_w, told["car-2"].export_w) == (-7400, -1600)
    for minute in (1, 2, 3):
        at = NOW + minute * timedelta(minutes=1)
        loop.clock.set(at)
        both = ((boosted, 17), (other, 27))
        told = await loop.cycle(
            *(replace(one, measured_at=at, import_wh=one.import_wh + minute * wh) for one, wh in both)
        )
    assert loop.controller.view.of("car-1").standing.export_w == -2000
    assert told["car-2"].export_w == -7000


async def test_a_boosted_car_gets_the_fuse_before_its_neighbour():
    loop = Loop(neighbours(import_limit_kw=9.0))
    alone = await loop.cycle(seen("car-1", soc=0.2), seen("car-2", soc=0.2))
    assert -sum(point.export_w for point in alone.values()) <= 9000
    for seconds in (60, 90):  # its neighbour is stopped first
        at = NOW + timedelta(seconds=seconds)
        loop.clock.set(at)
        first = replace(seen("car-1", soc=0.2, boost=True), measured_at=at)
        await loop.cycle(first, replace(seen("car-2", soc=0.2), measured_at=at))
    assert loop.controller.view.of("car-1").standing.export_w == -7400
    assert loop.controller.view.of("car-2").standing.export_w >= -1600
    assert not [one for one in loop.records[-1].sent if one.outcome is Outcome.INTERLOCKED]


async def test_a_driver_who_comes_within_the_half_hour_gets_full_power_now_and_is_told_what_is_missing():
    leaves_at = NOW + timedelta(minutes=10)
    for targets in ((), (wanted(5.0),)):
        loop = Loop(a_fleet(2), *targets)
        told = await loop.cycle(seen("car-1", soc=0.75, depart_at=leaves_at, target_soc=0.8), seen("car-2"))
        assert told["car-1"].export_w == -7400
        notices = [notice for notice in loop.records[-1].notices if notice.code == "short_of_target"]
        assert [notice.where for notice in notices] == ["car-1"]
        assert "1.9 kWh" in notices[0].text


async def test_of_two_boosted_cars_whose_fuse_carries_one_least_power_one_charges():
    fleet = neighbours(import_limit_kw=2.4)
    cars = tuple(replace(car, charger=replace(car.charger, min_kw=1.4)) for car in fleet.cars)
    loop = Loop(replace(fleet, cars=cars))
    told = await loop.cycle(seen("car-1", soc=0.2, boost=True), seen("car-2", soc=0.2, boost=True))
    assert sorted(point.export_w for point in told.values()) == [-2400, 0]


async def test_a_car_that_was_late_for_its_own_departure_stays_charged():
    fleet = Fleet((a_car(default_intent=an_intent(depart_local=local_time(7, 30))),), digest="f" * 64)
    report = seen("car-1", soc=0.8, depart_at=NOW - timedelta(hours=1), target_soc=0.8)
    told = await Loop(fleet, wanted(6.0)).cycle(report)
    assert told["car-1"].export_w <= 0


@pytest.mark.parametrize(
    ("plugged_in", "late", "told_w"),
    [(-8 * HOUR, HOUR / 6, -7400), (-8 * HOUR, HOUR * 1.1, 0), (HOUR / 12, HOUR / 6, 0)],
    ids=["still there", "not to come today", "came since"],
)
async def test_a_car_still_there_after_its_usual_departure_stays_charged_for_an_hour(
    plugged_in, late, told_w
):
    usual = replace(a_car().default_intent, depart_local=NOW.time(), target_soc=0.8)
    loop = Loop(Fleet((a_car(default_intent=usual),), digest="f" * 64), prices=dear_now)
    loop.clock.set(came_at := NOW + plugged_in)
    loop.controller.observe(
        [seen(plugged=False, measured_at=came_at - HOUR), seen(soc=0.78, measured_at=came_at)]
    )
    loop.clock.set(at := NOW + late)
    told = await loop.cycle(seen(soc=0.78, measured_at=at))
    assert told["car-1"].export_w == told_w


@pytest.mark.parametrize(("late", "gives"), [(timedelta(minutes=20), False), (2 * HOUR, True)])
async def test_a_car_whose_driver_is_late_serves_no_order_for_an_hour(late, gives):
    told = await Loop(a_fleet(1), wanted(3.0)).cycle(seen(soc=0.9, target_soc=0.6, depart_at=NOW - late))
    assert (told["car-1"].export_w > 0) is gives


@pytest.mark.parametrize(("minutes", "gives"), [(120, True), (10, False), (0, False)])
async def test_a_car_whose_driver_is_due_gives_nothing_to_its_house(minutes, gives):
    """Its charge may be a little less than is thought: it is kept as it was promised."""
    loop = Loop(Fleet((a_car(site=a_site(house_load_kw=(0.6,))),), "f" * 64), prices=pays_for_the_house)
    due = NOW + timedelta(minutes=minutes)
    told = await loop.cycle(seen(soc=0.9, target_soc=0.6, depart_at=due))
    assert (told["car-1"].export_w > 0) is gives


async def test_in_a_stop_a_car_below_its_floor_goes_on_charging():
    loop = Loop(a_fleet(2), wanted(3.0))
    loop.now_stopped = (ZONE,)
    told = await loop.cycle(seen("car-1", soc=0.1), seen("car-2", soc=0.6))
    assert {name: point.export_w for name, point in told.items()} == {"car-1": -7400}


async def test_in_a_stop_a_car_with_no_time_to_lose_goes_on_charging():
    loop = Loop(a_fleet(2), wanted(3.0))
    loop.now_stopped = (ZONE,)
    presses = seen("car-1", soc=0.4, depart_at=NOW + 3 * HOUR, target_soc=0.8)
    told = await loop.cycle(presses, seen("car-2", soc=0.4, depart_at=NOW + 6 * HOUR, target_soc=0.8))
    assert {name: point.export_w for name, point in told.items()} == {"car-1": -7400}


@pytest.mark.parametrize("targets", [(), (wanted(3.0),)], ids=["planned", "ordered"])
async def test_a_car_below_its_floor_charges_at_full_power_until_it_is_there(targets):
    loop = Loop(a_fleet(3), *targets, prices=dear_now)
    told = await loop.cycle(seen("car-1", soc=0.28), seen("car-2"), seen("car-3"))
    assert told["car-1"].export_w == -7400
    assert not targets or sum(point.export_w for point in told.values()) == pytest.approx(3000, abs=3)
    loop.clock.set(at := NOW + timedelta(minutes=20))
    there = seen("car-1", soc=0.32, measured_at=at)
    loop.controller.observe([replace(there, import_wh=there.import_wh + 2600)])
    loop.link.told.clear()
    await loop.controller.cycle()
    assert [point.export_w for point in loop.link.told if point.car_id == "car-1"] == [0]
