"""What drivers said counts in forecast and bid from when it was told, and comes out the same again."""

from datetime import timedelta

import pytest

from aggregator.audit.cars import p1_floor, p3_boost
from aggregator.audit.departures import p2_departure
from aggregator.audit.evidence import Evidence
from aggregator.audit.plans import p11_split, p13_nomination
from aggregator.files.sessions import read_sessions
from aggregator.forecast import as_stated
from aggregator.model.drivers import Boost, Departure, Floor, Topic, V2g, Week, WeekDay, latest
from aggregator.model.metering import Outcome, Purpose
from aggregator.model.time import HOUR, utc_text
from aggregator.proposals import Proposer
from aggregator.said import UNTOLD, DriversSaid
from aggregator.store import SentPoint, TrueState, open_store
from tests.bid_world import DAY, KNOWN_AT, a_need, a_past, a_world, a_zone
from tests.builders import EVENING, NOON, a_car, a_car_report, a_fleet, a_set_point
from tests.fakes.clock import FakeClock
from tests.unit.test_audit import SETTINGS
from tests.unit.test_drivers_words import a_word

MINUTE = timedelta(minutes=1)
DATE = DAY.date()
NINE = (DAY + timedelta(hours=9)).time()


def stated(*words, known_at=KNOWN_AT):
    (car,), intents = as_stated((a_car(),), latest(words, known_at), DATE, known_at)
    return car, intents.get("car-1")


def told(topic, saying, **changes):
    return a_word(saying, topic, **{"at": KNOWN_AT - HOUR, **changes})


def test_who_says_nothing_is_as_registered():
    assert stated() == (a_car(), None)


def test_v2g_off_a_floor_and_a_boost_over_the_day_s_beginning_take_out_of_the_forecast():
    assert stated(told(Topic.V2G, V2g(on=False)))[0].charger.discharge_kw == 0
    assert stated(told(Topic.FLOOR, Floor(0.7)))[0].floor_soc == 0.7
    assert stated(told(Topic.BOOST, Boost()))[0].charger.discharge_kw == 0
    over = told(Topic.BOOST, Boost(), until=KNOWN_AT + HOUR)
    assert stated(over)[0] == a_car()


def test_what_is_told_later_is_not_known():
    late = told(Topic.V2G, V2g(on=False), at=KNOWN_AT + MINUTE)
    assert stated(late) == (a_car(), None)
    assert stated(late, known_at=KNOWN_AT + MINUTE)[0].charger.discharge_kw == 0


def test_a_departure_and_a_week_override_habit():
    departs_at = DAY + 20 * HOUR
    _, intent = stated(told(Topic.DEPARTURE, Departure(departs_at, 1.0), until=departs_at + HOUR))
    assert (intent.depart_at, intent.target_soc) == (departs_at, 1.0)
    thursday = DATE.weekday() + 1
    car, intent = stated(told(Topic.WEEK, Week((WeekDay(thursday, NINE, 0.95),))))
    assert (car.default_intent.depart_local, car.default_intent.target_soc, intent) == (NINE, 0.95, None)
    evening = (DAY + 18 * HOUR).time()
    car, intent = stated(told(Topic.WEEK, Week((WeekDay(DATE.weekday(), evening, 0.95),))))
    assert (car.default_intent, intent.depart_at) == (a_car().default_intent, DAY + 18 * HOUR)


def drafted(world, said):
    proposer = Proposer(
        world.settings, a_zone(10), a_past(10), world.proposer._peaks, drivers_said=said.known_by
    )
    need = a_need(17, 19)
    return proposer.propose(world.workflow, world.received(need), world.clock.now())


def test_cars_with_v2g_off_are_not_bid_with(tmp_path):
    for name in ("all", "half"):
        (tmp_path / name).mkdir()
    with a_world(tmp_path / "all", cars=10) as world:
        full = drafted(world, DriversSaid(world.store, world.clock)).draft
    with a_world(tmp_path / "half", cars=10) as world:
        said = DriversSaid(world.store, world.clock)
        for n in range(1, 6):
            said.say(a_word(V2g(on=False), Topic.V2G, UNTOLD, car_id=f"car-{n}"), 0)
        half = drafted(world, said).draft
    assert max(half.offered_kw) <= max(full.offered_kw) * 0.6


def test_the_audit_makes_a_bid_again_from_what_was_known_then(tmp_path):
    with a_world(tmp_path, cars=10) as world:
        history = written(a_past(10), tmp_path / "sessions.csv")
        fleet_settings = world.settings.fleet.model_copy(update={"history": history})
        settings = world.settings.model_copy(update={"fleet": fleet_settings})
        world.store.fleet.replace(a_zone(10), KNOWN_AT - HOUR, "fleet")
        said = DriversSaid(world.store, FakeClock(KNOWN_AT - MINUTE))
        said.say(a_word(V2g(on=False), Topic.V2G, UNTOLD), 0)
        said.say(a_word(Floor(0.6), Topic.FLOOR, UNTOLD, car_id="car-2"), 0)
        peaks = world.store.inbox.peaks
        proposer = Proposer(settings, a_zone(10), read_sessions(history), peaks, drivers_said=said.known_by)
        made = proposer.propose(world.workflow, world.received(a_need(17, 19)), world.clock.now())
        assert made.draft is not None, made.closed_because
        later = DriversSaid(world.store, FakeClock(KNOWN_AT + MINUTE))
        for n in range(3, 11):
            later.say(a_word(V2g(on=False), Topic.V2G, UNTOLD, car_id=f"car-{n}"), 0)
        evidence = Evidence(world.store, settings)
        found = p11_split(evidence)
        assert (found.breaches, found.checked > 0) == ((), True)
        assert p13_nomination(evidence).breaches == ()


def written(history, path):
    """Write sessions as a file."""
    rows = ["car_id,plugged_in_at,plugged_out_at,energy_kwh,arrival_soc"]
    for one in history.sessions:
        start, end = utc_text(one.plugged.start), utc_text(one.plugged.end)
        rows.append(f"{one.car_id},{start},{end},{one.energy_kwh},{one.arrival_soc}")
    path.write_text("\n".join(rows) + "\n")
    return path


# the audit finds what was not kept


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        store.fleet.replace(a_fleet(1), NOON, "fleet.toml")
        yield store


def evening(store, *, soc=0.5, minutes=6, purpose=Purpose.PLAN, export_w=3000):
    """Let a car give energy minute by minute."""
    for n in range(minutes):
        at = EVENING.start + n * MINUTE
        store.states.add([a_car_report(measured_at=at, soc=soc, export_w=export_w)], received_at=at)
        store.truth.add([TrueState("car-1", at, plugged=True, energy_kwh=soc * 60, export_w=export_w)])
        point = a_set_point(
            issued_at=at + MINUTE / 2, expires_at=at + 2 * MINUTE, export_w=export_w, purpose=purpose
        )
        store.set_points.add([SentPoint(point, Outcome.ACCEPTED)])


def say(store, topic, saying, minute):
    DriversSaid(store, FakeClock(EVENING.start + minute * MINUTE)).say(a_word(saying, topic, UNTOLD), 0)


def test_a_floor_raised_during_the_event_binds_from_then_on_and_not_before(store):
    evening(store)
    say(store, Topic.FLOOR, Floor(0.6), minute=2)
    found = p1_floor(Evidence(store, SETTINGS))
    assert len(found.breaches) == 2  # from 17:04 on: within a cycle of 17:02 the car may still give
    assert all("floor 36.000 kWh" in breach for breach in found.breaches)


def test_a_floor_raised_after_the_event_changes_nothing(store):
    evening(store)
    say(store, Topic.FLOOR, Floor(0.6), minute=7)
    assert p1_floor(Evidence(store, SETTINGS)).breaches == ()


def test_a_word_against_v2g_that_is_not_heeded_is_a_breach(store):
    evening(store)
    say(store, Topic.V2G, V2g(on=False), minute=2)
    found = p3_boost(Evidence(store, SETTINGS))
    assert (found.checked, len(found.breaches)) == (1, 3)
    assert all("with V2G off" in breach for breach in found.breaches)


def test_a_boost_at_the_door_that_is_not_heeded_is_a_breach(store):
    evening(store)
    say(store, Topic.BOOST, Boost(), minute=2)
    found = p3_boost(Evidence(store, SETTINGS))
    assert found.checked == 1
    assert "no full power within a cycle" in found.breaches[0]
    assert any("while boosted" in breach for breach in found.breaches)


def test_a_departure_told_at_the_door_is_a_promise(store):
    evening(store, soc=0.5, minutes=70)
    due_at = EVENING.start + 60 * MINUTE
    say(store, Topic.DEPARTURE, Departure(due_at, 0.55), minute=2)
    (breach,) = p2_departure(Evidence(store, SETTINGS)).breaches
    assert "car-1 stood at 0.500 at 2025-01-15T18:00:00Z, promised 0.550" in breach
