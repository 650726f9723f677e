"""Alarms of the control loop say since when what they tell of is over; people clear them all the same."""

from contextlib import asynccontextmanager
from datetime import timedelta

from aggregator.alarm_ends import AlarmEnds
from aggregator.model.drivers import Departure, Topic
from aggregator.patience import Patience
from aggregator.store import Alarm, open_store
from dispatch.fleet_simulator.troubles import Kind, Trouble
from tests.fakes.driven_fleet import MINUTE, ZONE, Driven, driven, keeping, three_leafs
from tests.fakes.simulated_fleet import FIVE_PM, HOUR, Watched


def ends_of(one):
    return AlarmEnds(one.store, one.controller, one, one.clock, Patience(one.store, one.clock))


def open_of(one, code):
    return [alarm for alarm in one.store.alarms.open() if alarm.code == code]


@asynccontextmanager
async def a_deaf_car(folder, ends_at):
    """The first of three cars does not do what it is told, until an instant."""
    cars, stays = three_leafs()
    trouble = Trouble(kind=Kind.DEAF, car_id="leaf-1", starts_at=FIVE_PM + MINUTE, ends_at=ends_at)
    watched = Watched(cars, stays, starts_at=FIVE_PM - MINUTE, troubles=[trouble])
    with open_store(f"sqlite:///{folder / 'flexloop.db'}", create=True) as store:
        one = Driven(store, cars, stays, watched=watched)
        async with keeping(one):
            yield one


async def test_a_target_that_can_be_reached_again_is_told_and_one_missed_anew_is_an_alarm_of_its_own(
    tmp_path,
):
    async with driven(tmp_path) as one:
        ends = ends_of(one)
        await one.minutes(2)
        for _ in range(2):
            one.say(Topic.DEPARTURE, Departure(one.clock.now() + 40 * MINUTE, 1.0), until=FIVE_PM + HOUR)
            await one.minutes(2)
            await one.stored()
            ends.look()
            assert open_of(one, "short_of_target")[-1].over_at is None
            one.say(Topic.DEPARTURE, None)
            await one.minute()
            ends.look()
            assert open_of(one, "short_of_target")[-1].over_at == one.clock.now()
        first, second = open_of(one, "short_of_target")
        assert first.over_at < second.at < second.over_at


async def test_a_car_that_follows_again_is_told_and_after_a_restart_only_once_it_was_seen_to(tmp_path):
    async with a_deaf_car(tmp_path, FIVE_PM + 40 * MINUTE) as one:
        ends = ends_of(one)
        await one.minutes(20)
        await one.stored()
        ends.look()
        assert [alarm.over_at for alarm in open_of(one, "not_following")] == [None]
        again = one.again()
        async with keeping(again):
            await again.cycle()
            ends_of(again).look()
            assert [alarm.over_at for alarm in open_of(again, "not_following")] == [None]
            await again.stored()
        await one.minutes(60)
        ends.look()
        assert all(alarm.over_at is not None for alarm in open_of(one, "not_following"))


async def test_an_order_that_fell_short_is_over_with_it_and_what_comes_back_goes_on(tmp_path):
    async with driven(tmp_path, ordered_kw=40.0) as one:
        ends = ends_of(one)
        await one.minutes(3)
        await one.stored()
        ends.look()
        (alarm,) = open_of(one, "order_short")
        assert (alarm.where, alarm.over_at) == (ZONE, None)
        for ordered_kw, is_over in ((None, True), (40.0, False)):
            one.ordered_kw = ordered_kw
            ends.look()
            assert (open_of(one, "order_short")[-1].over_at is not None) == is_over


async def test_a_peak_that_was_exceeded_is_over_once_the_zone_has_refilled(tmp_path):
    async with driven(tmp_path, ordered_kw=None) as one:
        one.store.alarms.raise_(Alarm(one.clock.now(), "peak_exceeded", ZONE, "refilling takes 9.0 kW"))
        one.store.alarms.raise_(Alarm(one.clock.now(), "not_taken", ZONE, "a set-point was not taken"))
        ends_of(one).look()
        assert [alarm.over_at for alarm in one.store.alarms.open()] == [None, None]  # no cycle has run yet
        await one.minute()
        ends_of(one).look()
        over_at = one.clock.now()
        one.clock.pass_by(timedelta(minutes=5))
        ends_of(one).look()
        assert [alarm.over_at for alarm in one.store.alarms.open()] == [over_at, None]
