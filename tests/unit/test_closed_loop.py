"""The control loop over cars that are not quite what they should be, half-hour by half-hour."""

import itertools
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from aggregator.model.market import Direction
from aggregator.model.metering import Outcome, Purpose
from aggregator.model.time import HALF_HOUR, HOUR, Interval
from aggregator.ports import ZoneTarget
from tests.builders import ZONE, a_car_report, a_fleet
from tests.unit.test_controller import SETTINGS, Loop

START = datetime(2025, 1, 15, 17, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@dataclass
class Charger:
    """A charger and its car: moves ``accuracy`` of what it is told, or nothing at all.

    One that is mute does as it is told, and its answers are lost.
    """

    accuracy: float = 1.0
    deaf: bool = False
    refuses: bool = False
    mute: bool = False
    takes_w: float = 7400.0
    wh: float = 0.0
    told_w: float = 0.0

    @property
    def answer(self):
        said = Outcome.REFUSED if self.refuses else Outcome.ACCEPTED
        return Outcome.UNREACHABLE if self.mute else said

    def move(self, hours):
        self.wh += 0.0 if self.deaf else max(self.told_w * self.accuracy, -self.takes_w) * hours


class World(Loop):
    """Cars on a loop, a minute at a time."""

    def __init__(self, chargers, export_kw, slots=2, prices=None, settings=SETTINGS):
        fleet = a_fleet(len(chargers))
        super().__init__(fleet, prices=prices, settings=settings)
        self.names = [car.car_id for car in fleet.cars]
        self.chargers = dict(zip(self.names, chargers, strict=True))
        self.export_kw, self.slots = export_kw, slots
        self.intent = {"depart_at": START + 12 * HOUR, "target_soc": 0.4}
        self.says = {}
        self.link.apply = self.apply

    def targets(self, now):
        ends = [START + (n + 1) * HALF_HOUR for n in range(self.slots)]
        bounds = [now, *[end for end in ends if end > now]]
        slots = tuple(Interval(a, b) for a, b in itertools.pairwise(bounds))
        if not slots:
            return ()
        n = len(slots)
        return (ZoneTarget(ZONE, slots, (self.export_kw,) * n, Direction.UP, ("order",) * n),)

    async def apply(self, points):
        self.link.told += points
        for point in points:
            charger = self.chargers[point.car_id]
            if not charger.refuses:
                charger.told_w = point.export_w
        return [self.chargers[point.car_id].answer for point in points]

    async def minutes(self, count, soc=0.8):
        for _ in range(count):
            now = self.clock.now()
            reports = [
                a_car_report(
                    car_id=name,
                    measured_at=now,
                    **{"soc": soc, **self.intent, **self.says.get(name, {})},
                    export_wh=10**6 + max(0, round(charger.wh)),
                    import_wh=10**6 + max(0, -round(charger.wh)),
                )
                for name, charger in self.chargers.items()
            ]
            self.controller.observe(reports)
            await self.controller.cycle()
            while self.controller._wake.is_set():
                await self.controller.cycle()
            for charger in self.chargers.values():
                charger.move(1 / 60)
            self.clock.pass_by(MINUTE)

    def energy_kwh(self):
        return sum(charger.wh for charger in self.chargers.values()) / 1000

    def notices(self, code):
        return [notice for record in self.records for notice in record.notices if notice.code == code]


async def half_hours(world, count=2):
    """Return what each half-hour brought. [kWh]"""
    brought = []
    for _ in range(count):
        before = world.energy_kwh()
        await world.minutes(30)
        brought.append(world.energy_kwh() - before)
    return brought


async def test_chargers_a_few_percent_off_are_made_up_for_within_the_half_hour():
    world = World([Charger(0.96), Charger(0.95), Charger(0.97), Charger(0.94)], 12.0)
    assert await half_hours(world) == pytest.approx([6.0, 6.0], rel=0.01)
    world = World([Charger(1.05), Charger(1.04), Charger(1.06), Charger(1.0)], 12.0)
    assert await half_hours(world) == pytest.approx([6.0, 6.0], rel=0.01)


async def test_what_a_slow_climb_misses_is_made_up_for_within_the_half_hour():
    slow = replace(SETTINGS, zone_ramp_kw_per_minute=1.5)
    world = World([Charger() for _ in range(4)], 12.0, settings=slow)
    assert await half_hours(world) == pytest.approx([6.0, 6.0], rel=0.01)


async def test_a_tenth_of_the_chargers_does_nothing_and_the_others_make_up_for_it():
    world = World([Charger(deaf=n == 3) for n in range(10)], 30.0)
    first, second = await half_hours(world)
    assert (first, second) == (pytest.approx(15.0, rel=0.01), pytest.approx(15.0, rel=0.01))
    (notice,) = world.notices("not_following")
    assert notice.where == world.names[3]
    assert "moved 0 kW" in notice.text


async def test_a_deaf_charger_is_found_whose_cars_state_of_charge_is_not_known():
    world = World([Charger(deaf=n == 0) for n in range(3)], 6.0)
    world.says[world.names[0]] = {"soc": None, "target_soc": 0.9, "depart_at": START + HALF_HOUR}
    await world.minutes(25)
    (notice,) = world.notices("not_following")
    assert (notice.where, "moved 0 kW" in notice.text) == (world.names[0], True)
    missed = world.notices("short_of_target")
    assert {notice.where for notice in missed} == {world.names[0]}
    assert [notice.goes_on for notice in missed] == [False] + [True] * (len(missed) - 1)
    assert "its meter shows 0 kW" in missed[-1].text
    assert not any("it charges" in notice.text for notice in missed)


async def test_a_car_that_tells_no_charge_and_takes_no_more_is_full_and_nobody_is_told_of_a_target_missed():
    world = World([Charger() for _ in range(3)], 6.0)
    world.says[world.names[0]] = {"soc": None, "target_soc": 0.9, "depart_at": START + HOUR}
    await world.minutes(40)
    assert world.chargers[world.names[0]].wh < -1000
    world.chargers[world.names[0]].takes_w = 0.0
    await world.minutes(19)
    assert {notice.where for notice in world.notices("not_following")} == {world.names[0]}
    assert world.notices("short_of_target") == []


async def test_a_charger_that_comes_back_is_counted_on_again():
    world = World([Charger(deaf=n == 0) for n in range(4)], 12.0)
    await world.minutes(10)
    assert not world.controller.following.follows(world.names[0])
    world.chargers[world.names[0]].deaf = False
    await world.minutes(8)
    assert world.controller.following.follows(world.names[0])
    assert world.chargers[world.names[0]].told_w > 2000


async def test_a_set_point_not_taken_is_shared_out_at_once_and_told_once():
    world = World([Charger(refuses=n == 0) for n in range(4)], 12.0)
    await world.minutes(1)
    assert sum(charger.told_w for charger in world.chargers.values()) == pytest.approx(12_000, abs=5)
    await world.minutes(10)
    (notice,) = world.notices("not_taken")
    assert notice.where == world.names[0]


async def test_a_set_point_not_taken_is_over_once_its_car_has_left():
    world = World([Charger(refuses=n == 0) for n in range(4)], 12.0)
    await world.minutes(2)
    (notice,) = world.notices("not_taken")
    assert not world.controller.is_told(notice.code, notice.where)
    world.says[world.names[0]] = {"plugged": False}
    await world.minutes(1)
    assert world.controller.is_told(notice.code, notice.where)


async def test_what_is_made_up_for_is_bounded():
    world = World([Charger(0.5), Charger(0.5)], 10.0)
    await world.minutes(20)
    assert sum(charger.told_w for charger in world.chargers.values()) <= 11_000 + 3_000


async def test_cars_of_a_stopped_zone_are_released_and_told_nothing_more():
    world = World([Charger(), Charger()], 8.0)
    await world.minutes(3)
    world.now_stopped = (ZONE,)
    world.link.told.clear()
    await world.minutes(1)
    assert {(point.export_w, point.purpose) for point in world.link.told} == {(0, Purpose.RELEASE)}
    world.link.told.clear()
    await world.minutes(5)
    assert world.link.told == []
    world.now_stopped = ()
    await world.minutes(1)
    assert sum(point.export_w for point in world.link.told) == pytest.approx(8000, abs=800)


@pytest.mark.parametrize("mute", [False, True])
async def test_a_boosted_car_that_tapers_counts_by_its_meter_whether_or_not_its_answers_come(mute):
    world = World([Charger(mute=mute, takes_w=3000.0), *(Charger() for _ in range(3))], 6.0)
    world.says[world.names[0]] = {"boost": True, "soc": 0.9}
    first, second = await half_hours(world)
    assert (first, second) == (pytest.approx(3.0, rel=0.01), pytest.approx(3.0, rel=0.01))


async def test_what_a_deaf_charger_left_undone_is_made_up_for_before_an_order_is_cancelled_midway():
    world = World([Charger(deaf=n == 0) for n in range(12)], 40.0)
    await world.minutes(13)
    assert world.energy_kwh() == pytest.approx(40.0 * 13 / 60, rel=0.01)


async def test_a_silent_car_is_replaced_as_soon_as_it_is_stale():
    world = World([Charger(), Charger(), Charger()], 9.0)
    await world.minutes(2)
    due = world.controller._boundary
    assert due <= world.clock.now() + MINUTE + timedelta(seconds=1)


async def test_a_charger_that_goes_on_refusing_is_made_up_for_until_it_takes_one():
    world = World([Charger(refuses=n == 0) for n in range(4)], 12.0)
    assert await half_hours(world) == pytest.approx([6.0, 6.0], rel=0.01)
    assert len(world.notices("not_taken")) == 1
    world = World([Charger(refuses=n == 0) for n in range(4)], 12.0)
    await world.minutes(10)
    world.chargers[world.names[0]].refuses = False
    await world.minutes(8)
    assert world.chargers[world.names[0]].told_w > 2000


class Tight(World):
    """Cars that report what they truly store, due soon after a window that asks for all they can spare."""

    def __init__(self, start_soc, due_after):
        super().__init__([Charger() for _ in start_soc], 50.0)
        self.stored_kwh = [soc * 60.0 for soc in start_soc]
        self.intent = {"depart_at": START + due_after, "target_soc": 0.8}

    async def minute(self):
        now = self.clock.now()
        reports = [
            a_car_report(
                car_id=name,
                measured_at=now,
                soc=stored / 60.0,
                **self.intent,
                export_wh=10**6 + max(0, round(self.chargers[name].wh)),
                import_wh=10**6 + max(0, -round(self.chargers[name].wh)),
            )
            for name, stored in zip(self.names, self.stored_kwh, strict=True)
        ]
        self.controller.observe(reports)
        await self.controller.cycle()
        for n, charger in enumerate(self.chargers.values()):
            kwh = charger.told_w / 60e3
            self.stored_kwh[n] -= kwh / 0.91 if kwh > 0 else kwh * 0.92
            charger.move(1 / 60)
        self.clock.pass_by(MINUTE)


async def test_cars_that_give_all_but_their_departures_need_are_ready_in_time():
    """What is kept is what full power restores; nobody is asked for more, and the interlock has no say."""
    world = Tight([0.68, 0.72, 0.76, 0.79], 2.5 * HOUR)
    for _ in range(150):
        await world.minute()
    given_kwh = sum(max(0, point.export_w) for point in world.link.told) / 60e3
    assert given_kwh > 5.0
    assert min(world.stored_kwh) / 60.0 >= 0.8 - 0.004
    assert not world.notices("interlock")


async def test_a_boosted_car_that_takes_less_than_it_may_does_not_make_its_zone_give_too_much():
    world = World([Charger(0.3 if n == 0 else 1.0) for n in range(6)], 12.0)
    world.says = {world.names[0]: {"boost": True, "soc": 0.95}}
    assert await half_hours(world) == pytest.approx([6.0, 6.0], rel=0.01)
    assert world.chargers[world.names[0]].told_w == -7400


async def test_what_the_interlock_refuses_is_made_up_for_by_the_others_at_once_and_told_once():
    world = World([Charger() for _ in range(4)], 12.0)
    await world.minutes(3)
    assert world.chargers[world.names[0]].told_w > 2000
    own_path = world.controller.interlock.observe

    def sees_another_car_1(reports):
        own_path(
            [replace(report, soc=0.2) if report.car_id == world.names[0] else report for report in reports]
        )

    world.controller.interlock.observe = sees_another_car_1
    await world.minutes(3)
    before = world.energy_kwh()
    await world.minutes(10)
    assert world.energy_kwh() - before == pytest.approx(2.0, rel=0.02)
    assert [notice.where for notice in world.notices("interlock")] == [world.names[0]]


def seen_by_the_interlock(world, **change):
    """Let the interlock see another car 1 than the loop does: what it must refuse, the loop would ask for."""
    own_path, name = world.controller.interlock.observe, world.names[0]

    def sees(reports):
        own_path([replace(report, **change) if report.car_id == name else report for report in reports])

    world.controller.interlock.observe = sees


def refused(world):
    return [
        one.point
        for record in world.records
        for one in record.sent
        if one.outcome is Outcome.INTERLOCKED and one.point.car_id == world.names[0]
    ]


async def test_a_car_that_the_interlock_refuses_at_its_floor_is_asked_for_nothing_until_it_has_risen():
    world = World([Charger() for _ in range(4)], 12.0)
    seen_by_the_interlock(world, soc=0.301)
    await world.minutes(20)
    assert len(refused(world)) == 1
    assert len(world.notices("interlock")) == 1
    assert world.chargers[world.names[0]].told_w == 0
    world.says = {world.names[0]: {"soc": 0.9}}
    await world.minutes(20)
    assert len(refused(world)) == 2


async def test_a_car_whose_state_the_interlock_does_not_know_is_asked_for_nothing_until_it_does():
    world = World([Charger() for _ in range(4)], 12.0)
    own_path = world.controller.interlock.observe
    seen_by_the_interlock(world, soc=None)
    await world.minutes(20)
    assert len(refused(world)) == 1
    assert world.chargers[world.names[0]].told_w == 0
    world.controller.interlock.observe = own_path
    await world.minutes(5)
    assert len(refused(world)) == 1
    assert world.chargers[world.names[0]].told_w > 2000


async def test_a_car_that_must_charge_and_does_not_is_reckoned_with_once():
    world = World([Charger(deaf=n == 0) for n in range(6)], 12.0)
    world.says = {world.names[0]: {"soc": 0.25, "target_soc": 0.9}}
    assert await half_hours(world) == pytest.approx([6.0, 6.0], rel=0.01)


async def test_a_car_that_is_silent_about_its_charge_as_a_gateway_starts_again_is_known_from_before():
    """Two cars give 8 kW; the loop begins anew and neither says its charge then: they go on all the same."""
    world = World([Charger(), Charger()], 8.0)
    await world.minutes(5)
    told = [report for record in world.records for report in record.reports]
    again = World([Charger(), Charger()], 8.0)
    again.clock, again.controller._clock = world.clock, world.clock
    for name, charger in again.chargers.items():
        charger.wh = world.chargers[name].wh
    again.controller.recall(told)
    await again.minutes(5, soc=None)
    assert sum(charger.told_w for charger in again.chargers.values()) == pytest.approx(8000, rel=0.02)
    unknown = World([Charger(), Charger()], 8.0)
    await unknown.minutes(3, soc=None)
    assert not any(charger.told_w for charger in unknown.chargers.values())


async def test_an_order_that_the_cars_cannot_meet_is_told_once_and_when_it_gets_worse():
    world = World([Charger() for _ in range(3)], 30.0)
    await world.minutes(10, soc=0.8)
    (notice,) = world.notices("order_short")
    assert "order: " in notice.text
    assert "cannot be had" in notice.text
    met = World([Charger() for _ in range(3)], 12.0)
    await met.minutes(10, soc=0.8)
    assert not met.notices("order_short")


async def test_a_charger_known_to_be_deaf_is_not_counted_on_when_a_gateway_starts_again():
    first = World([Charger(deaf=n == 0) for n in range(4)], 12.0)
    await first.minutes(10)
    again = World([Charger(deaf=n == 0) for n in range(4)], 12.0)
    again.controller.recall((), told=first.notices("not_following"))
    for _ in range(20):
        await again.minutes(1)
        assert again.chargers[again.names[0]].told_w <= 1000
    assert again.energy_kwh() == pytest.approx(12.0 / 3, rel=0.01)
    again.chargers[again.names[0]].deaf = False
    await again.minutes(8)
    assert again.chargers[again.names[0]].told_w > 2000
