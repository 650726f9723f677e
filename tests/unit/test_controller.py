"""The control loop over an obedient link: who is told what, within which bounds, and until when."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from aggregator.energy import Tariff
from aggregator.model.fleet import Fleet
from aggregator.model.market import Direction
from aggregator.model.metering import Purpose
from aggregator.model.time import HALF_HOUR, HOUR, Interval
from aggregator.ports import ZoneTarget
from dispatch.controller import Controller
from dispatch.records import LoopSettings
from tests.builders import ZONE, a_car, a_car_report, a_charger, a_fleet, a_site
from tests.fakes.clock import FakeClock
from tests.fakes.link import ObedientLink

NOW = datetime(2025, 1, 15, 17, 0, tzinfo=UTC)
SETTINGS = LoopSettings(timedelta(seconds=60), timedelta(seconds=120), timedelta(seconds=60), 0.01, 1e6, 1e6)


class Loop:
    """A controller with everything around it, one cycle at a time."""

    def __init__(self, fleet, *targets, settings=SETTINGS, prices=None):
        self.clock, self.link, self.records = FakeClock(NOW), ObedientLink(), []
        self.cars = fleet.by_id.keys()
        self.now_targets, self.now_stopped, self.now_rebound = targets, (), None
        self.controller = Controller(
            fleet, self.link, self.clock, self, prices or flat_prices, self.record, settings
        )

    def targets(self, now):
        return self.now_targets

    def stopped(self):
        return self.now_stopped

    def rebound(self, zone, now):
        return self.now_rebound

    async def record(self, record):
        self.records.append(record)

    async def cycle(self, *reports):
        """Run one cycle on these reports and return what each car was told last."""
        self.controller.observe(reports)
        self.controller._planned.anew(self.cars)
        self.link.told.clear()
        await self.controller.cycle()
        return {point.car_id: point for point in self.link.told}


def flat_prices(zone, slots):
    flat = np.full(len(slots), 0.3)
    return Tariff(flat, np.full(len(slots), 0.1), np.zeros(len(slots), dtype=bool))


def pays_for_the_house(zone, slots):
    now = np.arange(len(slots)) < 4
    return Tariff(np.where(now, 0.5, 0.1), np.full(len(slots), 0.05), np.zeros(len(slots), dtype=bool))


def seen(car_id="car-1", soc=0.8, **changes):
    report = a_car_report(car_id=car_id, measured_at=NOW, plugged=True, soc=soc, export_w=0, boost=False)
    return replace(report, **{"depart_at": None, "target_soc": None, **changes})


def wanted(*export_kw, order="order-1"):
    slots = tuple(Interval(NOW + n * HALF_HOUR, NOW + (n + 1) * HALF_HOUR) for n in range(len(export_kw)))
    return ZoneTarget(ZONE, slots, export_kw, Direction.UP, tuple(order for _ in export_kw))


def neighbours(import_limit_kw):
    site = a_site(import_limit_kw=import_limit_kw)
    cars = [a_car(car_id=f"car-{n}", charger=a_charger(charger_id=f"charger-{n}"), site=site) for n in (1, 2)]
    return Fleet(tuple(cars), digest="f" * 64)


async def test_a_zone_s_target_is_shared_and_every_discharge_ends_by_itself():
    told = await Loop(a_fleet(2), wanted(6.0, 6.0)).cycle(seen("car-1"), seen("car-2"))
    assert sum(point.export_w for point in told.values()) == pytest.approx(6000, abs=2)
    assert all(point.expires_at - point.issued_at <= timedelta(seconds=120) for point in told.values())
    assert {point.opportunity_id for point in told.values()} == {"order-1"}


async def test_a_set_point_does_not_outlive_its_order_inside_a_longer_peak():
    target = wanted(6.0, 6.0)
    slots = (
        Interval(NOW, NOW + timedelta(seconds=45)),
        Interval(NOW + timedelta(seconds=45), NOW + HALF_HOUR),
    )
    target = replace(target, slots=slots, opportunity_ids=("order-1", None))
    told = await Loop(a_fleet(2), target).cycle(seen("car-1"), seen("car-2"))
    assert {point.expires_at for point in told.values()} == {slots[0].end}


async def test_what_a_car_charges_within_an_order_runs_on_after_it():
    """Only giving ends with the order; who charges before and after it does so without a gap."""
    target = replace(wanted(-17.0), slots=(Interval(NOW, NOW + timedelta(seconds=45)),))
    loop = Loop(a_fleet(3), target, prices=cheap_now)
    told = await loop.cycle(
        *(seen(name, soc=0.5, depart_at=NOW + 10 * HOUR, target_soc=0.9) for name in loop.cars)
    )
    assert {point.expires_at - NOW for point in told.values() if point.export_w < 0} == {SETTINGS.set_point}


async def test_a_set_point_runs_on_into_the_order_that_follows_on_its_own():
    """Cars let go at the seam and told again a moment later would fall to nothing and come back."""
    seam = NOW + timedelta(seconds=20)
    slots = (
        Interval(NOW, seam),
        Interval(seam, last := NOW + timedelta(seconds=115)),
        Interval(last, NOW + HALF_HOUR),
    )
    target = replace(wanted(3.0, 3.0, 3.0), slots=slots, opportunity_ids=("order-1", "order-2", None))
    loop = Loop(a_fleet(1), target)
    told = await loop.cycle(seen())
    assert {point.expires_at for point in told.values()} == {slots[1].end}
    loop.clock.set(seam)
    loop.now_targets = (
        replace(target, slots=slots[1:], export_kw=(3.0, 3.0), opportunity_ids=("order-2", None)),
    )
    told = await loop.cycle()
    assert {point.opportunity_id for point in told.values()} == {"order-2"}


@pytest.mark.parametrize("targets", [(), (wanted(3.0),)], ids=["planned", "ordered"])
async def test_a_car_that_tells_no_charge_gives_nothing_and_is_charged_when_it_is_time(targets):
    """Nobody knows that it is below its floor: charged at once, it would undo what the others give."""
    loop = Loop(a_fleet(2), *targets)
    told = await loop.cycle(seen("car-1", soc=None), seen("car-2"))
    assert told["car-1"].export_w == 0
    assert not targets or told["car-2"].export_w == 3000
    loop.clock.set(at := NOW + timedelta(hours=12))
    loop.now_targets = ()
    told = await loop.cycle(*(replace(seen(car_id, soc=None), measured_at=at) for car_id in loop.cars))
    assert told["car-1"].export_w < 0


@pytest.mark.parametrize("targets", [(), (wanted(3.0),)], ids=["planned", "ordered"])
async def test_nobody_is_told_of_a_target_missed_before_the_car_has_told_its_charge(targets):
    loop, soon = Loop(a_fleet(1), *targets), {"depart_at": NOW + 3 * HOUR, "target_soc": 0.8}
    await loop.cycle(seen("car-1", soc=None, **soon))
    assert "short_of_target" not in codes(loop)
    loop.clock.set(at := NOW + timedelta(minutes=1))
    await loop.cycle(seen("car-1", soc=0.2, measured_at=at, **soon))
    assert "short_of_target" in codes(loop)


async def test_a_car_that_tells_its_charge_late_is_planned_anew_by_it():
    loop, leaves = Loop(a_fleet(1)), {"depart_at": NOW + 4 * HOUR, "target_soc": 0.8}
    await loop.cycle(seen("car-1", soc=None, **leaves))
    loop.clock.set(at := NOW + timedelta(minutes=5))
    loop.controller.observe([seen("car-1", soc=0.84, measured_at=at, **leaves)])
    loop.link.told.clear()
    await loop.controller.cycle()
    assert "short_of_target" not in codes(loop)
    assert [point.export_w for point in loop.link.told] in ([], [0])


def codes(loop):
    return [notice.code for record in loop.records for notice in record.notices]


async def test_a_car_that_needs_less_than_its_charger_can_hold_charges_a_little_faster():
    car = a_car(charger=a_charger(min_kw=3.0))
    fleet = Fleet((car,), digest="f" * 64)
    told = await Loop(fleet, wanted(0.0)).cycle(seen(soc=0.79, depart_at=NOW + HALF_HOUR))
    assert told["car-1"].export_w == -3000


async def test_a_charger_that_can_not_hold_what_its_house_draws_leaves_it():
    for load_kw, given_w in ((1.0, 0), (2.0, 2000)):
        site = a_site(house_load_kw=(load_kw,))
        fleet = Fleet((a_car(charger=a_charger(min_kw=1.4), site=site),), digest="f" * 64)
        told = await Loop(fleet, prices=pays_for_the_house).cycle(seen(soc=0.9))
        assert told["car-1"].export_w == pytest.approx(given_w, abs=1)


async def test_least_power_is_asked_in_full_where_a_charger_is_tried():
    fleet = Fleet((a_car(charger=a_charger(min_kw=1.4)),), digest="f" * 64)
    told = await Loop(fleet, wanted(1.4)).cycle(seen(soc=0.9))
    assert told["car-1"].export_w == 1400


async def test_a_car_that_gives_in_a_window_is_told_to_charge_earlier_should_it_be_left_alone():
    loop = Loop(a_fleet(1), wanted(6.0, 6.0))
    leaves = {"depart_at": NOW + timedelta(hours=12)}
    await loop.cycle(seen(soc=0.8, **leaves))
    before = loop.link.fallbacks["car-1"].charge_from
    await loop.cycle(seen(soc=0.6, **leaves))
    earlier = before - loop.link.fallbacks["car-1"].charge_from
    assert earlier / timedelta(hours=1) == pytest.approx(0.2 * 60 / (0.92 * 7.4) * 1.1, rel=0.01)


async def test_a_stale_car_is_left_alone():
    old = seen("car-1", measured_at=NOW - timedelta(seconds=121))
    told = await Loop(a_fleet(2), wanted(6.0)).cycle(old, seen("car-2"))
    assert set(told) == {"car-2"}


async def test_a_silent_neighbour_keeps_its_part_of_the_fuse():
    old = seen("car-1", soc=0.2, measured_at=NOW - timedelta(seconds=121))
    told = await Loop(neighbours(import_limit_kw=9.2)).cycle(old, seen("car-2", soc=0.2))
    assert told["car-2"].export_w == -4600


async def test_who_gets_more_than_its_part_of_a_fuse_gets_it_briefly_and_the_neighbour_waits():
    loop = Loop(neighbours(import_limit_kw=9.2))
    told = await loop.cycle(seen("car-1", soc=0.2, boost=True), seen("car-2", soc=0.9))
    assert (told["car-1"].export_w, told["car-1"].expires_at) == (-7400, NOW + timedelta(seconds=120))
    assert loop.link.fallbacks["car-2"].most_w == 4600
    assert loop.link.fallbacks["car-2"].waits_until == NOW + timedelta(seconds=120)


@pytest.mark.parametrize("early", [timedelta(0), timedelta(seconds=0.3), timedelta(seconds=15)])
async def test_what_would_run_out_by_the_next_cycle_is_told_again_in_this_one(early):
    loop = Loop(
        Fleet((a_car(site=a_site(house_load_kw=(2.0,))),), digest="f" * 64), prices=pays_for_the_house
    )
    (first,) = (await loop.cycle(seen(soc=0.9))).values()
    assert (first.export_w > 0, first.expires_at) == (True, NOW + timedelta(seconds=120))
    loop.clock.set(at := NOW + timedelta(seconds=60) - early)
    loop.link.told.clear()
    await loop.controller.cycle()
    (again,) = loop.link.told
    assert (again.export_w, again.expires_at) == (first.export_w, at + timedelta(seconds=120))


async def test_above_the_ramp_bound_cars_hold_and_the_desk_is_told():
    settings = replace(SETTINGS, zone_ramp_kw_per_minute=4.0)
    loop = Loop(a_fleet(3), wanted(9.0), settings=settings)
    told = await loop.cycle(seen("car-1"), seen("car-2"), seen("car-3"))
    assert len(told) == 1
    assert [notice.code for notice in loop.records[-1].notices] == ["ramp_held"]


async def test_an_order_to_draw_more_keeps_to_the_bound_too():
    settings = replace(SETTINGS, zone_ramp_kw_per_minute=10.0)
    wants = replace(wanted(-15.0), direction=Direction.DOWN)
    loop = Loop(a_fleet(3), wants, settings=settings)
    told = await loop.cycle(*(seen(name, soc=0.6, depart_at=NOW + 14 * HOUR) for name in loop.cars))
    assert 0 < -sum(point.export_w for point in told.values()) <= 10_000
    assert {point.purpose for point in told.values()} == {Purpose.INSTRUCTION}
    assert [notice.code for notice in loop.records[-1].notices] == ["ramp_held"]


async def test_an_order_for_more_export_takes_from_a_night_s_charging_no_more_than_is_asked():
    """Nominated were 22 kW of charging; of them 5 kW are ordered."""
    loop = Loop(a_fleet(3), wanted(-17.0, -17.0), prices=cheap_now)
    told = await loop.cycle(
        *(seen(name, soc=0.5, depart_at=NOW + 10 * HOUR, target_soc=0.9) for name in loop.cars)
    )
    assert sum(point.export_w for point in told.values()) == pytest.approx(-17_000, abs=3)
    assert {point.purpose for point in told.values()} == {Purpose.INSTRUCTION}


async def test_a_driver_who_wants_less_within_an_order_is_heard_at_once():
    loop = Loop(a_fleet(3), wanted(-17.0, -17.0), prices=cheap_now)
    wants = {"soc": 0.5, "depart_at": NOW + 10 * HOUR, "target_soc": 0.9}
    told = await loop.cycle(*(seen(name, **wants) for name in loop.cars))
    assert told["car-3"].export_w < 0
    loop.clock.pass_by(timedelta(seconds=60))
    loop.link.told.clear()
    loop.controller.observe([seen("car-3", **wants | {"target_soc": 0.4}, measured_at=loop.clock.now())])
    await loop.controller.cycle()
    assert {point.car_id: point.export_w for point in loop.link.told}["car-3"] == 0


async def test_what_nobody_means_to_charge_now_is_not_charged_for_what_was_nominated():
    loop = Loop(a_fleet(3), wanted(-17.0, -17.0), prices=dear_now)
    told = await loop.cycle(
        *(seen(name, soc=0.5, depart_at=NOW + 10 * HOUR, target_soc=0.9) for name in loop.cars)
    )
    assert {point.export_w for point in told.values()} == {0}


def cheap_now(zone, slots):
    price = np.where([slot.start < NOW + HOUR for slot in slots], 0.08, 0.3)
    return Tariff(price, np.full(len(slots), 0.05), np.zeros(len(slots), dtype=bool))


def dear_now(zone, slots):
    price = np.where([slot.start < NOW + HOUR for slot in slots], 0.5, 0.1)
    return Tariff(price, np.full(len(slots), 0.05), np.zeros(len(slots), dtype=bool))


async def test_ending_the_loop_releases_every_car():
    loop = Loop(a_fleet(2), wanted(6.0))
    await loop.cycle(seen("car-1"), seen("car-2"))
    loop.link.told.clear()
    running = asyncio.create_task(loop.controller.run())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    released = {point.car_id: point for point in loop.link.told if point.purpose is Purpose.RELEASE}
    assert set(released) == {"car-1", "car-2"}
    assert {point.export_w for point in released.values()} == {0}


async def test_a_report_wakes_the_loop_when_a_car_leaves():
    loop = Loop(a_fleet(1), wanted(3.0))
    await loop.cycle(seen("car-1"))
    listening = asyncio.create_task(loop.controller.listen())
    loop.link.hear(seen("car-1", plugged=False, measured_at=NOW + timedelta(seconds=1)))
    async with asyncio.timeout(1):
        await loop.controller._wake.wait()
    listening.cancel()


# orders that no car can serve


@pytest.mark.parametrize(
    "report",
    [seen(plugged=False), seen(boost=True), seen(soc=0.3)],
    ids=["away", "boosted", "at its floor"],
)
async def test_an_order_that_no_car_can_serve_is_noted_from_its_first_cycle_on(report):
    loop = Loop(a_fleet(1), wanted(6.0))
    await loop.cycle(report)
    loop.clock.pass_by(timedelta(seconds=30))
    await loop.cycle(replace(report, measured_at=loop.clock.now()))
    assert loop.controller.unserved.since == {"order-1": NOW}
    await loop.cycle(seen(soc=0.8, measured_at=loop.clock.now() + timedelta(seconds=1)))
    assert loop.controller.unserved.since == {}


async def test_a_silent_car_may_still_be_able():
    loop = Loop(a_fleet(2), wanted(6.0))
    await loop.cycle(seen("car-1", plugged=False))
    assert loop.controller.unserved.since == {}


@pytest.mark.parametrize("target", [wanted(-5.0), wanted(6.0, order=None)], ids=["import", "nomination"])
async def test_nothing_is_unserved_where_no_export_is_ordered(target):
    loop = Loop(a_fleet(1), target)
    await loop.cycle(seen(plugged=False))
    assert loop.controller.unserved.since == {}


async def test_a_car_that_is_boosted_while_its_zone_is_split_is_not_told_to_give():
    loop = Loop(a_fleet(2), wanted(6.0))
    running = asyncio.create_task(loop.cycle(seen("car-1"), seen("car-2")))
    await asyncio.sleep(0)  # the split works in a thread
    loop.controller.observe([seen("car-1", boost=True, measured_at=NOW + timedelta(seconds=1))])
    told = await running
    assert told.keys() == {"car-2"}
    assert loop.records[-1].notices == ()
    told = await loop.cycle()
    assert told["car-1"].export_w == -7400
