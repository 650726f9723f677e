"""Cars that the bound on power moved holds go on with what they do, and set-points end where they should."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from aggregator.model.market import Direction
from aggregator.model.metering import Purpose
from aggregator.model.time import HOUR, Interval
from aggregator.ports import ZoneTarget
from dispatch.ramp import Again, held_point
from tests.builders import ZONE, a_car_report, a_fleet, a_set_point
from tests.unit.test_controller import SETTINGS, Loop, flat_prices

HALF_PAST = datetime(2025, 1, 15, 17, 30, tzinfo=UTC)
CYCLE, MINUTE, SECOND = timedelta(seconds=10), timedelta(minutes=1), timedelta(seconds=1)
BOUND_KW = 8.0


@dataclass(frozen=True)
class Asked:
    """What a zone is asked for until an instant, under an order or, with none, as nominated."""

    until: datetime
    export_kw: float
    order: str | None = None


class Held(Loop):
    """Cars whose chargers drop what ran out, ten seconds at a time, from some minutes before half past."""

    def __init__(self, cars, minutes_before, *asked, prices=None):
        settings = replace(SETTINGS, cycle=CYCLE, zone_ramp_kw_per_minute=BOUND_KW)
        fleet = a_fleet(cars)
        super().__init__(fleet, settings=settings, prices=prices)
        self.clock.set(HALF_PAST - minutes_before * MINUTE)
        self.asked, self.by_car, self.wh = asked, {}, {car.car_id: 0.0 for car in fleet.cars}
        self.soc = dict.fromkeys(self.wh, 0.8)

    def targets(self, now):
        spans = [one for one in self.asked if one.until > now]
        if not spans:
            return ()
        starts = [now, *[one.until for one in spans]]
        slots = tuple(Interval(start, one.until) for start, one in zip(starts, spans, strict=False))
        levels, orders = tuple(one.export_kw for one in spans), tuple(one.order for one in spans)
        return (ZoneTarget(ZONE, slots, levels, Direction.UP, orders),)

    async def run(self, minutes):
        """Return what chargers do, second by second. [kW]"""
        found = []
        for n in range(round(minutes * 6)):
            if n % 6 == 0:
                self.controller.observe([self.report(name) for name in self.wh])
            self.link.told.clear()
            await self.controller.cycle()
            self.by_car |= {point.car_id: point for point in self.link.told}
            for _ in range(10):
                found.append(self.second())
        return np.array(found)

    def second(self):
        now = self.clock.now()
        watts = {point.car_id: point.export_w for point in self.by_car.values() if point.expires_at > now}
        for name, export_w in watts.items():
            self.wh[name] += export_w / 3600
        self.clock.pass_by(SECOND)
        return sum(watts.values()) / 1000

    def report(self, name):
        wh = round(self.wh[name])
        return a_car_report(
            car_id=name,
            measured_at=self.clock.now(),
            soc=self.soc[name],
            depart_at=HALF_PAST + 14 * HOUR,
            target_soc=0.4,
            export_wh=10**6 + max(0, wh),
            import_wh=10**6 + max(0, -wh),
        )

    def notices(self, code):
        return [notice for record in self.records for notice in record.notices if notice.code == code]


def most_moved_kw(levels):
    return max(np.ptp(levels[n : n + 60]) for n in range(len(levels)))


@pytest.mark.parametrize("order", ["order-2", None], ids=["an order", "a nomination"])
async def test_cars_that_wait_as_a_target_changes_hold_what_they_do(order):
    """A nomination of 20 kW is followed by one of 3 kW, or by an order: 8 kW may move in a minute."""
    world = Held(4, 6, Asked(HALF_PAST, 20.0), Asked(HALF_PAST + HOUR, 3.0, order))
    levels = await world.run(12)
    assert levels[350] == pytest.approx(20.0, rel=0.12)
    assert most_moved_kw(levels) <= BOUND_KW + 0.01
    assert levels[-1] == pytest.approx(3.0, abs=0.51)  # with what is made up for
    assert world.notices("ramp_held")


async def test_cars_that_wait_as_an_order_follows_upon_another_hold_what_they_do():
    world = Held(4, 6, Asked(HALF_PAST, 20.0, "order-1"), Asked(HALF_PAST + HOUR, 3.0, "order-2"))
    levels = await world.run(12)
    assert most_moved_kw(levels) <= BOUND_KW + 0.01
    assert levels[-1] == pytest.approx(3.0, abs=0.51)  # with what is made up for


async def test_cars_that_wait_as_their_plans_change_hold_what_they_do():
    def dear_until_half_past(zone, slots):
        tariff = flat_prices(zone, slots)
        dear = np.array([slot.start < HALF_PAST for slot in slots])
        return replace(tariff, export_gbp_per_kwh=np.where(dear, 2.0, 0.1), red=dear)

    levels = await Held(3, 6, prices=dear_until_half_past).run(12)
    assert levels[350] > 2 * BOUND_KW
    assert most_moved_kw(levels) <= BOUND_KW + 0.01
    assert levels[-1] <= 0


async def test_a_car_at_its_guard_goes_down_at_once():
    world = Held(3, 30, Asked(HALF_PAST, 18.0, "order"))
    assert (await world.run(5))[-1] > 2 * BOUND_KW
    world.soc = dict.fromkeys(world.soc, 0.31)
    await world.run(0.5)
    assert (await world.run(2)).max() <= 0


async def test_no_car_gives_on_after_its_order_to_hold():
    world = Held(3, 6, Asked(HALF_PAST, 18.0, "order"))
    assert (await world.run(6))[-1] > 2 * BOUND_KW
    assert (await world.run(2)).max() <= 0


async def test_a_set_point_is_not_renewed_where_it_ends_no_later_nor_sent_as_it_ends():
    world = Held(1, 1.5, Asked(HALF_PAST, 3.0, "order"))
    await world.run(1 / 6)
    assert {point.expires_at for point in world.by_car.values()} == {HALF_PAST}
    sent = world.by_car["car-1"]
    world.clock.set(HALF_PAST - 4 * SECOND)
    world.asked = (Asked(HALF_PAST, 5.0, "order"),)
    await world.run(1 / 6)
    assert world.by_car["car-1"] == sent
    assert all(point.expires_at - point.issued_at > 4 * SECOND for point in world.by_car.values())


async def test_a_gateway_that_starts_again_holds_what_cars_do():
    world = Held(4, 20, Asked(HALF_PAST, 20.0, "order"))
    before = await world.run(6)
    again = Held(4, 20, Asked(HALF_PAST, 3.0, "order"))
    again.clock, again.controller._clock = world.clock, world.clock
    again.by_car, again.wh = world.by_car, world.wh
    again.controller.recall([], world.by_car.values())
    levels = np.concatenate((before[-60:], await again.run(6)))
    assert most_moved_kw(levels) <= BOUND_KW + 0.01
    assert levels[-1] == pytest.approx(3.0, abs=0.51)


@pytest.mark.parametrize(
    ("now_s", "order", "allowed", "told_w"),
    [(0, None, True, 6000), (0, None, False, 0), (0, "order", True, 6000), (120, "order", True, 0)],
    ids=["as it does", "floor or site forbid it", "its order was cancelled", "its order is over"],
)
def test_a_held_car_goes_on_only_where_it_may(now_s, order, allowed, told_w):
    now = HALF_PAST + now_s * SECOND
    standing = a_set_point(issued_at=HALF_PAST, expires_at=HALF_PAST + 2 * MINUTE, opportunity_id=order)
    wanted = a_set_point(
        export_w=0, issued_at=now, expires_at=now + HOUR, purpose=Purpose.PLAN, opportunity_id=None
    )
    told = held_point(wanted, standing, Again(2 * MINUTE, lambda _: allowed, {}))
    assert told.export_w == told_w
    assert told.purpose is (Purpose.RELEASE if told_w == 0 else standing.purpose if order else Purpose.PLAN)
    assert told.expires_at <= now + 2 * MINUTE
