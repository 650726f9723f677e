"""What homes leave to their cars, as the control loop acts on it: approvals, boundary meters, neighbours."""

from dataclasses import replace
from datetime import date, time, timedelta

import numpy as np
import pytest

from aggregator.energy import Tariff
from aggregator.model.fleet import Approval, ExportSource, Fleet
from aggregator.model.market import Direction
from aggregator.model.metering import Boundary
from aggregator.model.time import HALF_HOUR, HOUR, Interval
from tests.builders import a_car, a_charger, a_site
from tests.unit.test_controller import NOW, Loop, seen, wanted

MINUTE = timedelta(minutes=1)


def a_home(cars=1, **site):
    home = a_site(**{"export_limit_kw": 3.68, **site})
    return Fleet(
        tuple(
            a_car(car_id=f"car-{n}", charger=a_charger(charger_id=f"charger-{n}"), site=home)
            for n in range(1, cars + 1)
        ),
        digest="h" * 64,
    )


def metered(boundary_w, **changes):
    return seen(**{"boundary": Boundary(boundary_w, 0, 0), **changes})


def refusals(loop):
    return [notice for record in loop.records for notice in record.notices if notice.code == "interlock"]


def later(report, by):
    return replace(report, measured_at=report.measured_at + by)


@pytest.mark.parametrize(
    "site",
    [{"approval": Approval.APPLIED}, {"approval": Approval.REFUSED}, {"approved_from": date(2025, 1, 16)}],
    ids=["applied", "refused", "tomorrow"],
)
async def test_without_an_approval_in_force_nothing_is_discharged_and_the_interlock_is_not_needed(site):
    loop = Loop(a_home(**site, boundary_meter=True), wanted(3.0))
    told = await loop.cycle(metered(-3000))
    assert told["car-1"].export_w == 0
    assert refusals(loop) == []


async def test_a_car_discharges_from_the_approval_s_midnight_on_and_not_a_second_before():
    midnight = NOW.replace(hour=0) + timedelta(days=1)
    loop = Loop(a_home(approved_from=midnight.date()))
    spans = [(midnight - HALF_HOUR, midnight), (midnight, midnight + HALF_HOUR)]
    target = replace(
        wanted(3.0, 3.0), slots=tuple(Interval(*span) for span in spans)
    )  # a window that spans the date
    for before, given_w in ((timedelta(seconds=1), 0), (timedelta(0), 3000)):
        now = midnight - before
        loop.clock.set(now)
        left = [slot for slot in target.slots if slot.end > now]
        slots = (Interval(now, left[0].end), *left[1:])
        loop.now_targets = (replace(wanted(*[3.0] * len(slots)), slots=slots),)
        told = await loop.cycle(replace(seen(), measured_at=now))
        assert told["car-1"].export_w == given_w
        assert refusals(loop) == []


async def test_a_boundary_meter_makes_and_takes_room():
    for boundary_w, given_w in ((-1000, 4680), (0, 3680), (1000, 2680), (4000, 0)):
        loop = Loop(a_home(boundary_meter=True, export_source=ExportSource.G100), wanted(6.0))
        told = await loop.cycle(metered(boundary_w))
        assert told["car-1"].export_w == pytest.approx(given_w, abs=1)
        assert refusals(loop) == []


async def test_a_stale_boundary_reading_falls_back_to_the_cautious_rule_at_once():
    loop = Loop(a_home(boundary_meter=True, export_source=ExportSource.G100, solar_kw=1.0), wanted(6.0))
    told = await loop.cycle(metered(-1000))
    assert told["car-1"].export_w == pytest.approx(4680, abs=1)
    assert loop.controller._boundary <= NOW + 2 * MINUTE + timedelta(seconds=1)
    loop.clock.set(NOW + 2 * MINUTE + timedelta(seconds=1))
    told = await loop.cycle(later(seen(), by=2 * MINUTE))  # the car is heard, its meter is not
    assert told["car-1"].export_w == pytest.approx(2680, abs=1)


async def test_a_house_that_draws_less_wakes_the_loop():
    loop = Loop(a_home(boundary_meter=True, export_source=ExportSource.G100), wanted(6.0))
    await loop.cycle(metered(-2000))
    loop.controller.observe([later(metered(-1900 + 5680, export_w=5680), by=MINUTE / 2)])
    assert loop.controller._wake.is_set()
    loop.controller._wake.clear()
    loop.controller.observe([later(metered(-2100 + 5680, export_w=5680), by=MINUTE)])
    assert not loop.controller._wake.is_set()


async def test_a_house_that_draws_more_than_the_fuse_leaves_wakes_the_loop():
    loop = Loop(a_home(boundary_meter=True, import_limit_kw=9.0))
    await loop.cycle(metered(-1600, soc=0.2))
    loop.controller.observe([later(metered(-1500 - 7400, soc=0.2, export_w=-7400), by=MINUTE / 2)])
    assert not loop.controller._wake.is_set()
    loop.controller.observe([later(metered(-2500 - 7400, soc=0.2, export_w=-7400), by=MINUTE)])
    assert loop.controller._wake.is_set()


@pytest.mark.parametrize("boundary_w", [-1016, None], ids=["metered", "cautious"])
async def test_what_an_idle_charger_draws_by_itself_is_left_of_the_fuse(boundary_w):
    loop = Loop(a_home(cars=2, boundary_meter=boundary_w is not None, import_limit_kw=7.0))
    boundary = None if boundary_w is None else Boundary(boundary_w, 0, 0)
    idle = {"export_w": -8, "boundary": boundary}
    told = await loop.cycle(seen("car-1", soc=0.2, **idle), seen("car-2", soc=0.9, **idle))
    assert told["car-1"].export_w == (-5992 if boundary else -6992)


async def test_one_car_at_its_home_has_all_of_the_fuse_though_it_was_idle():
    loop = Loop(a_home(import_limit_kw=7.0))
    told = await loop.cycle(seen("car-1", soc=0.2, export_w=-8))
    assert told["car-1"].export_w == -7000


async def test_what_a_house_is_stated_to_draw_later_is_charged_before():
    """More than an hour of 7.4 kW is needed, and the house leaves 2 kW of the fuse from six on."""
    loads = (0.5,) * 18 + (7.0,) * 6
    loop = Loop(
        a_home(boundary_meter=True, import_limit_kw=9.0, house_load_kw=loads), wanted(3.0, 3.0, 3.0, 3.0)
    )
    due = {"depart_at": NOW + 3 * HALF_HOUR, "target_soc": 0.7}
    told = await loop.cycle(metered(-500, soc=0.7 - 0.92 * 8.2 / 60, **due))
    assert told["car-1"].export_w <= -6900


async def test_what_a_house_draws_this_evening_is_not_taken_to_go_on_all_night():
    loads = (0.5,) * 17 + (7.0,) * 2 + (0.5,) * 5
    home = a_home(cars=2, boundary_meter=True, import_limit_kw=9.0, house_load_kw=loads)
    loop = Loop(home)
    leaves = {"depart_at": NOW + 14 * HOUR, "target_soc": 0.8}
    evening = Boundary(-7000, 0, 0)
    told = [
        seen(name, soc=soc, boundary=evening, **leaves) for name, soc in (("car-1", 0.25), ("car-2", 0.35))
    ]
    await loop.cycle(*told)
    assert [notice.code for record in loop.records for notice in record.notices] == []


@pytest.mark.parametrize(("hours", "told"), [(14, []), (3, ["short_of_target"])])
async def test_a_floor_that_is_not_reached_within_an_order_is_no_target_missed(hours, told):
    loads = (0.5,) * 17 + (7.0,) * 2 + (0.5,) * 5
    loop = Loop(a_home(boundary_meter=True, import_limit_kw=9.0, house_load_kw=loads), wanted(3.0, 3.0))
    await loop.cycle(metered(-7000, soc=0.1, depart_at=NOW + hours * HOUR, target_soc=0.8))
    assert [notice.code for notice in loop.records[-1].notices if notice.code != "order_short"] == told


def two_homes():
    homes = [
        a_site(site_id=f"home-{n}", export_limit_kw=5.0, export_source=ExportSource.G100, boundary_meter=True)
        for n in (1, 2)
    ]
    cars = [
        a_car(car_id=f"car-{n}", charger=a_charger(charger_id=f"charger-{n}"), site=home)
        for n, home in enumerate(homes, 1)
    ]
    return Fleet(tuple(cars), digest="h" * 64)


async def test_a_kettle_that_is_done_while_chargers_learn_their_fallback_counts_for_what_cars_are_told():
    loop = Loop(two_homes(), wanted(12.0))
    learn = loop.link.set_fallback

    async def slowly(defaults):
        await learn(defaults)
        loop.controller.observe([later(metered(-400), by=timedelta(milliseconds=1))])

    loop.link.set_fallback = slowly
    told = await loop.cycle(metered(-600), metered(-600, car_id="car-2"))
    assert {name: point.export_w for name, point in told.items()} == {"car-1": 5400, "car-2": 5600}
    assert refusals(loop) == []


async def test_a_car_refused_for_its_home_s_room_gives_what_there_is_room_for_a_minute_later():
    loop = Loop(two_homes(), wanted(12.0))
    own_path = loop.controller.interlock.observe
    loop.controller.interlock.observe = lambda reports: own_path(
        [replace(report, boundary=Boundary(-400, 0, 0)) for report in reports]
    )
    told = await loop.cycle(metered(-600))
    assert told == {}
    assert [notice.where for notice in refusals(loop)] == ["car-1"]
    loop.controller.interlock.observe = own_path
    loop.clock.pass_by(MINUTE)
    told = await loop.cycle(later(metered(-500), by=MINUTE))
    assert told["car-1"].export_w == 5500


async def test_a_house_takes_its_part_of_the_fuse_from_a_boosted_car():
    loop = Loop(a_home(boundary_meter=True, import_limit_kw=9.0))
    told = await loop.cycle(metered(-3000, boost=True))
    assert told["car-1"].export_w == -6000
    assert refusals(loop) == []


async def test_a_car_is_not_asked_to_feed_its_neighbour():
    """Both may run together, but the one that charges may stop at any moment (P4)."""
    loop = Loop(a_home(cars=2), wanted(6.0))
    told = await loop.cycle(seen("car-1", soc=0.2), seen("car-2"))
    assert told["car-1"].export_w == -7400
    assert told["car-2"].export_w == pytest.approx(3680, abs=1)
    assert refusals(loop) == []


async def test_a_silent_neighbour_s_set_point_keeps_its_part_of_the_room():
    loop = Loop(a_home(cars=2), wanted(6.0))
    told = await loop.cycle(seen("car-1"), seen("car-2"))
    kept_w = told["car-2"].export_w
    assert kept_w > 0
    loop.controller.view._views["car-2"] = replace(
        loop.controller.view.of("car-2"), report=later(seen("car-2"), by=-5 * MINUTE)
    )
    loop.clock.set(NOW + MINUTE)
    told = await loop.cycle(later(seen("car-1"), by=MINUTE))
    assert "car-2" not in told
    assert told["car-1"].export_w + kept_w <= 3680
    assert refusals(loop) == []


async def test_what_a_silent_neighbour_may_draw_by_itself_is_kept_free_in_a_window():
    turn_up = replace(wanted(-15.0), direction=Direction.DOWN)
    loop = Loop(a_home(cars=2, import_limit_kw=9.0), turn_up)
    told = await loop.cycle(seen("car-1", soc=0.5), later(seen("car-2", soc=0.5), by=-5 * MINUTE))
    assert "car-2" not in told
    assert told["car-1"].export_w == -4500


def dear_evening(zone, slots):
    price = np.full(len(slots), 0.10)
    price[:4] = 0.40
    return Tariff(price, np.full(len(slots), 0.05), np.zeros(len(slots), dtype=bool), wear_gbp_per_kwh=0.03)


@pytest.mark.parametrize(
    ("house_w", "given_w"), [(1500, 1000), (600, 600), (0, 0)], ids=["as stated", "less", "nothing"]
)
async def test_a_plan_for_the_house_gives_no_more_than_the_house_is_measured_to_draw(house_w, given_w):
    fleet = a_home(export_limit_kw=3.68, boundary_meter=True, house_load_kw=(1.0,))
    loop = Loop(fleet, prices=dear_evening)
    told = await loop.cycle(metered(-house_w))
    assert told["car-1"].export_w == pytest.approx(given_w, abs=1)
    assert refusals(loop) == []


async def test_nothing_is_given_to_a_house_without_an_approval():
    fleet = a_home(export_limit_kw=3.68, boundary_meter=True, house_load_kw=(1.0,), approval=Approval.APPLIED)
    told = await Loop(fleet, prices=dear_evening).cycle(metered(-1500))
    assert told["car-1"].export_w == 0


async def test_a_home_that_may_export_nothing_can_still_serve_its_house():
    fleet = a_home(
        export_limit_kw=0.0, boundary_meter=True, export_source=ExportSource.G100, house_load_kw=(1.0,)
    )
    told = await Loop(fleet, prices=dear_evening).cycle(metered(-800))
    assert told["car-1"].export_w == pytest.approx(800, abs=1)


async def test_panels_leave_room_in_the_dark_hours_only():
    fleet = a_home(solar_kw=2.0, dark_from=time(17, 10), dark_until=time(6))
    for minutes, given_w in ((9, 1680), (10, 3680)):
        loop = Loop(fleet, wanted(6.0))
        now = NOW + minutes * MINUTE
        loop.clock.set(now)
        loop.now_targets = (replace(wanted(6.0), slots=(Interval(now, NOW + HALF_HOUR),)),)
        told = await loop.cycle(replace(seen(), measured_at=now))
        assert told["car-1"].export_w == pytest.approx(given_w, abs=1)
