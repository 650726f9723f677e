"""Alarms of the control loop say since when what they tell of is over; people clear them all the same."""

from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

from aggregator.alarm_ends import AlarmEnds
from aggregator.model.drivers import Departure, Topic
from aggregator.patience import Patience
from aggregator.recall import told_before
from aggregator.store import Alarm, open_store
from dispatch.fleet_simulator.troubles import Kind, Trouble
from tests.fakes.driven_fleet import LOOP, MINUTE, ZONE, Driven, driven, keeping, three_leafs
from tests.fakes.simulated_fleet import FIVE_PM, HOUR, Watched


def ends_of(one):
    return AlarmEnds(one.store, one.controller, one, one.clock, Patience(one.store, one.clock))


def open_of(one, code):
    return [alarm for alarm in one.store.alarms.open() if alarm.code == code]


@asynccontextmanager
async def restarted(one):
    """A gateway that goes on where another one was killed."""
    again = one.again()
    again.controller.recall((), told=told_before(again.store, again.clock.now()))
    async with keeping(again):
        again.ends = ends_of(again)
        yield again


async def some_minutes(one, number=3):
    """Let the loop run, and what it tells be stored and looked at."""
    for _ in range(number):
        await one.minute()
        await one.stored()
        one.ends.look()


def standing(one, code):
    """Return since when each open alarm of a kind is over."""
    return [alarm.over_at for alarm in open_of(one, code)]


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


async def test_an_order_that_can_be_served_after_all_is_no_longer_short_and_may_be_again(tmp_path):
    async with driven(tmp_path, ordered_kw=40.0) as one:
        one.ends = ends_of(one)
        await some_minutes(one)
        assert standing(one, "order_short") == [None]
        one.ordered_kw = 4.0
        await some_minutes(one, 1)
        assert standing(one, "order_short") == [one.clock.now()]
        one.ordered_kw = 40.0
        await some_minutes(one, 1)
        assert standing(one, "order_short") == [None]


async def test_cars_that_no_longer_wait_for_the_bound_on_power_moved_are_told_of_as_over(tmp_path):
    slow = replace(LOOP, zone_ramp_kw_per_minute=2.0)
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        one = Driven(store, *three_leafs(), loop=slow)
        async with keeping(one):
            one.ends = ends_of(one)
            await some_minutes(one, 4)
            assert standing(one, "ramp_held") == [None]
            await some_minutes(one, 10)
            (over_at,) = standing(one, "ramp_held")
            assert over_at is not None
            await some_minutes(one, 2)
            assert standing(one, "ramp_held") == [over_at]


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


def never_ready(one):
    """The driver of the first car wants what cannot be had."""
    one.say(Topic.DEPARTURE, Departure(FIVE_PM + HOUR, 1.0), until=FIVE_PM + 2 * HOUR)


async def test_a_target_missed_before_and_after_a_restart_is_one_alarm_over_once(tmp_path):
    async with driven(tmp_path) as one:
        one.ends = ends_of(one)
        never_ready(one)
        await some_minutes(one)
        assert standing(one, "short_of_target") == [None]
        async with restarted(one) as again:
            await again.cycle()
            again.ends.look()
            assert standing(again, "short_of_target") == [None]
            await some_minutes(again)
            assert standing(again, "short_of_target") == [None]
            again.say(Topic.DEPARTURE, None)
            await some_minutes(again)
            (over_at,) = standing(again, "short_of_target")
            assert over_at is not None
        async with restarted(one) as third:
            await third.cycle()
            third.ends.look()
            assert standing(third, "short_of_target") == [over_at]
            await some_minutes(third)
            assert standing(third, "short_of_target") == [over_at]
            never_ready(third)
            await some_minutes(third)
            assert standing(third, "short_of_target") == [over_at, None]


async def test_what_was_acknowledged_is_not_told_again_by_a_restart_but_once_it_comes_anew(tmp_path):
    async with driven(tmp_path) as one:
        one.ends = ends_of(one)
        never_ready(one)
        await some_minutes(one)
        one.store.alarms.clear([alarm.alarm_id for alarm in one.store.alarms.open()], one.clock.now(), "ann")
        async with restarted(one) as again:
            await some_minutes(again)
            assert standing(again, "short_of_target") == []
            again.say(Topic.DEPARTURE, None)
            await some_minutes(again)
        async with restarted(one) as third:
            await some_minutes(third)
            never_ready(third)
            await some_minutes(third)
            assert standing(third, "short_of_target") == [None]


async def test_what_was_told_long_before_a_start_says_nothing_of_now(tmp_path):
    async with driven(tmp_path) as one:
        one.ends = ends_of(one)
        never_ready(one)
        await some_minutes(one)
        one.store.alarms.clear([alarm.alarm_id for alarm in one.store.alarms.open()], one.clock.now(), "ann")
        later = one.clock.now() + timedelta(hours=2)
        assert "short_of_target" in [notice.code for notice in told_before(one.store, one.clock.now())]
        assert told_before(one.store, later) == []


async def test_an_order_that_falls_short_before_and_after_a_restart_is_one_alarm_over_once(tmp_path):
    async with driven(tmp_path, ordered_kw=40.0) as one:
        one.ends = ends_of(one)
        await some_minutes(one)
        async with restarted(one) as again:
            await some_minutes(again)
            assert standing(again, "order_short") == [None]
            one.ordered_kw = again.ordered_kw = None
            await some_minutes(again, 1)
            (over_at,) = standing(again, "order_short")
            assert over_at is not None
        async with restarted(one) as third:
            await some_minutes(third)
            assert standing(third, "order_short") == [over_at]


async def test_a_deaf_car_that_was_acknowledged_is_not_told_again_by_a_restart(tmp_path):
    async with a_deaf_car(tmp_path, FIVE_PM + 40 * MINUTE) as one:
        one.ends = ends_of(one)
        await some_minutes(one, 20)
        one.store.alarms.clear([alarm.alarm_id for alarm in one.store.alarms.open()], one.clock.now(), "ann")
        async with restarted(one) as again:
            await some_minutes(again, 10)
            assert standing(again, "not_following") == []


async def test_set_points_not_taken_before_and_after_a_restart_are_one_alarm_over_once_one_is(tmp_path):
    cars, stays = three_leafs()
    trouble = Trouble(
        kind=Kind.LOST, car_id="leaf-1", starts_at=FIVE_PM + MINUTE, ends_at=FIVE_PM + 30 * MINUTE
    )
    watched = Watched(cars, stays, starts_at=FIVE_PM - MINUTE, troubles=[trouble])
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        one = Driven(store, cars, stays, watched=watched)
        async with keeping(one):
            one.ends = ends_of(one)
            await some_minutes(one, 6)
            assert standing(one, "not_taken") == [None]
            async with restarted(one) as again:
                await some_minutes(again, 6)
                assert standing(again, "not_taken") == [None]
                await some_minutes(again, 30)
                (over_at,) = standing(again, "not_taken")
                assert over_at is not None
            async with restarted(one) as third:
                await some_minutes(third)
                assert standing(third, "not_taken") == [over_at]
