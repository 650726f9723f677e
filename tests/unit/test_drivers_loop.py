"""What a driver says at the door reaches the car within a cycle, and outlives the gateway."""

from datetime import timedelta

from aggregator.audit.cars import p1_floor, p3_boost
from aggregator.audit.departures import p2_departure
from aggregator.model.drivers import Boost, Departure, Floor, Topic, V2g, Week, WeekDay
from aggregator.model.figures import kwh
from aggregator.model.metering import Outcome
from aggregator.model.time import HOUR
from dispatch.fleet_simulator.script import Act, Kind
from tests.fakes.driven_fleet import MINUTE, driven, keeping
from tests.fakes.simulated_fleet import FIVE_PM

FULL_W = 7000
"""A charger of 7.4 kW at full power, less what ramping takes."""


def kept(one):
    evidence = one.evidence()
    return [breach for check in (p1_floor, p2_departure, p3_boost) for breach in check(evidence).breaches]


async def test_a_boost_at_the_door_is_full_power_within_a_cycle_and_others_step_in(tmp_path):
    async with driven(tmp_path) as one:
        await one.minutes(5)
        assert one.export_w("leaf-1") > 1000
        one.say(Topic.BOOST, Boost())
        await one.cycle()
        await one.minute()
        assert one.export_w("leaf-1") < -FULL_W
        assert one.export_w("leaf-2") + one.export_w("leaf-3") > 6000
        one.say(Topic.BOOST, None)
        await one.minutes(2)
        assert one.export_w("leaf-1") > 0
    assert kept(one) == []
    assert p3_boost(one.evidence()).checked == 1


async def test_a_boost_runs_out_by_itself(tmp_path):
    async with driven(tmp_path) as one:
        await one.minutes(3)
        one.say(Topic.BOOST, Boost(), until=one.clock.now() + 5 * MINUTE)
        await one.minutes(4)
        assert one.export_w() < -FULL_W
        await one.minutes(3)
        assert one.export_w() > 0
    assert kept(one) == []


async def test_a_boost_at_the_door_goes_on_though_the_gateway_is_gone(tmp_path):
    async with driven(tmp_path) as one:
        await one.minutes(5)
        one.say(Topic.BOOST, Boost())
        await one.cycle()
        gone_at = one.clock.now()
        one.watched.world.advance(gone_at + 45 * MINUTE)
        assert one.export_w("leaf-1") < -FULL_W
        assert one.export_w("leaf-2") > -100  # what a charger draws by itself


async def test_v2g_off_stops_a_discharge_at_once_and_the_car_is_charged_all_the_same(tmp_path):
    async with driven(tmp_path, ordered_kw=None) as one:
        await one.minutes(5)
        assert one.export_w() > 1000
        one.say(Topic.V2G, V2g(on=False))
        await one.cycle()
        await one.minute()
        assert one.export_w() <= 0
        await one.minutes(90)
        await one.stored()
        off_at = one.said.words()["leaf-1"][Topic.V2G].told_at
        given = [sent.point for sent in one.points() if sent.point.export_w > 0]
        assert {point.car_id for point in given if point.issued_at > off_at} == {"leaf-2", "leaf-3"}
        one.say(Topic.DEPARTURE, Departure(one.clock.now() + HOUR, 0.95))
        await one.minutes(2)
        assert one.export_w() < -FULL_W
    assert kept(one) == []
    assert p3_boost(one.evidence()).checked == 1


async def test_a_floor_raised_above_the_charge_stops_the_car_and_charges_it(tmp_path):
    async with driven(tmp_path) as one:
        await one.minutes(30)
        assert one.export_w() > 500
        one.say(Topic.FLOOR, Floor(one.soc() + 0.05))
        await one.cycle()
        await one.minutes(2)
        assert one.export_w() < -1000
        reached = one.said.words()["leaf-1"][Topic.FLOOR].saying.soc
        await one.minutes(40)
        assert one.soc() >= reached - 0.01
    assert kept(one) == []


async def test_a_departure_that_cannot_be_reached_is_told_and_charged_for_within_a_cycle(tmp_path):
    async with driven(tmp_path) as one:
        await one.minutes(5)
        leaves_at, soc = one.clock.now() + HOUR, one.soc()
        one.say(Topic.DEPARTURE, Departure(leaves_at, 1.0), until=leaves_at + HOUR)
        await one.cycle()
        missing_kwh = (1.0 - soc) * 40 - 7.4 * 0.93
        told = one.controller.shortfalls.kwh["leaf-1"]
        assert abs(told - missing_kwh) < 0.01 * 40 + 0.3
        await one.minute()
        assert one.export_w() < -FULL_W
    (alarm,) = [alarm for alarm in one.store.alarms.open() if alarm.code == "short_of_target"]
    assert (alarm.where, alarm.text.split(" even")[0]) == (
        "leaf-1",
        f"will miss its target by {kwh(told)}",
    )


async def test_each_new_word_tells_the_shortfall_anew(tmp_path):
    async with driven(tmp_path) as one:
        await one.minutes(2)
        for target_soc in (1.0, 0.99):
            leaves_at = one.clock.now() + timedelta(minutes=40)
            one.say(Topic.DEPARTURE, Departure(leaves_at, target_soc), until=leaves_at)
            await one.minutes(2)
        one.say(Topic.DEPARTURE, None)
        await one.minutes(2)
        assert "leaf-1" not in one.controller.shortfalls.kwh
    assert [alarm.code for alarm in one.store.alarms.open()].count("short_of_target") == 2


async def test_the_usual_week_decides_when_the_car_is_ready(tmp_path):
    wednesday = WeekDay(2, (FIVE_PM + 2 * HOUR).time(), 0.75)
    async with driven(tmp_path) as one:
        one.say(Topic.WEEK, Week((wednesday,)))
        await one.minutes(121)
        assert one.soc() > 0.73
        assert one.controller.view.of("leaf-1").departs_at(one.clock.now()) == one.clock.now()  # late
        await one.minutes(60)
        assert one.controller.view.of("leaf-1").departs_at(one.clock.now()) > FIVE_PM + 10 * HOUR
    assert kept(one) == []
    assert p2_departure(one.evidence()).checked == 1


async def test_between_door_and_charger_the_latest_told_wins(tmp_path):
    presses = [
        Act(car_id="leaf-1", at=FIVE_PM + n * MINUTE, kind=kind)
        for n, kind in ((5, Kind.BOOST), (20, Kind.BOOST_OFF), (30, Kind.BOOST))
    ]
    async with driven(tmp_path, acts=presses) as one:
        await one.minutes(10)
        assert one.controller.view.of("leaf-1").is_boosted()
        one.say(Topic.BOOST, None)
        await one.minute()
        assert not one.controller.view.of("leaf-1").is_boosted()
        one.say(Topic.BOOST, Boost())
        await one.minutes(5)
        assert one.controller.view.of("leaf-1").is_boosted()
        await one.minutes(7)  # let go at the charger
        assert not one.controller.view.of("leaf-1").is_boosted()
        one.say(Topic.BOOST, None)
        await one.minutes(10)  # pressed there again
        assert one.controller.view.of("leaf-1").is_boosted()
    assert kept(one) == []


async def test_what_was_said_holds_after_a_restart_also_against_an_older_press_at_the_charger(tmp_path):
    press = Act(car_id="leaf-1", at=FIVE_PM + 5 * MINUTE, kind=Kind.BOOST)
    async with driven(tmp_path, acts=[press]) as one:
        await one.minutes(10)
        one.say(Topic.BOOST, None)
        one.say(Topic.V2G, V2g(on=False), "leaf-2")
        one.say(Topic.FLOOR, Floor(0.9), "leaf-3")
        one.say(Topic.BOOST, Boost(), "leaf-3")
        await one.minute()
        await one.stored()
        again = one.again()
        async with keeping(again):
            await again.minutes(3)
            assert again.watched.now("leaf-1").boost
            views = {view.car.car_id: view for view in again.controller.view.all()}
            assert not views["leaf-1"].is_boosted()
            assert views["leaf-2"].car.charger.discharge_kw == 0
            assert again.export_w("leaf-2") <= 0
            assert views["leaf-3"].is_boosted()
            assert again.export_w("leaf-3") < -FULL_W
            assert views["leaf-3"].car.floor_soc == 0.9


async def test_the_interlock_refuses_what_a_driver_forbids_though_the_loop_did_not_hear_it(tmp_path):
    async with driven(tmp_path) as one:
        await one.minutes(3)
        one.controller.view.heed = lambda words, now: frozenset()
        one.say(Topic.V2G, V2g(on=False), "leaf-1")
        one.say(Topic.FLOOR, Floor(0.95), "leaf-2")
        one.say(Topic.DEPARTURE, Departure(one.clock.now() + timedelta(minutes=5), 1.0), "leaf-3")
        await one.minutes(3)
    refused = {
        sent.point.car_id: sent.reason.split(":")[0]
        for sent in one.points()
        if sent.outcome is Outcome.INTERLOCKED
    }
    assert refused == {"leaf-1": "P3", "leaf-2": "P1", "leaf-3": "P2"}
