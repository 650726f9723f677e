from datetime import date, timedelta

import pytest

from aggregator.model.errors import BadMessage, RuleViolation
from aggregator.model.fleet import Approval, ExportSource, Fleet, Taper
from aggregator.model.metering import Outcome
from aggregator.model.time import HOUR, Interval
from aggregator.store import Alarm, SentPoint
from tests.builders import (
    EVENING,
    NOON,
    SLOTS,
    ZONE,
    a_car,
    a_charger,
    a_fleet,
    a_nomination,
    a_plan,
    a_set_point,
    a_site,
    an_intent,
)

MINUTE = timedelta(minutes=1)


def test_set_points_are_kept_with_what_became_of_them(store):
    sent = SentPoint(a_set_point(), Outcome.ACCEPTED)
    refused = SentPoint(a_set_point(car_id="car-2", opportunity_id=None), Outcome.INTERLOCKED, "below floor")
    store.set_points.add([sent, refused])
    store.set_points.add([])
    assert store.set_points.between(EVENING) == [sent, refused]
    assert store.set_points.count() == 2


def test_set_points_are_found_while_they_hold(store):
    store.set_points.add([SentPoint(a_set_point(), Outcome.ACCEPTED)])
    start = EVENING.start
    last_moment = Interval(start + timedelta(seconds=119), EVENING.end)
    assert len(store.set_points.between(last_moment)) == 1
    assert store.set_points.between(Interval(start + 2 * MINUTE, EVENING.end)) == []
    assert store.set_points.between(Interval(NOON, start)) == []


def test_a_nomination_never_moves_once_frozen(store):
    first, second = a_nomination(), a_nomination(period=SLOTS[1])
    assert store.nominations.freeze([first]) == (first,)
    assert store.nominations.freeze([a_nomination(export_wh=1), second]) == (second,)
    assert store.nominations.between(ZONE, EVENING) == [first, second]
    assert store.nominations.between(ZONE, SLOTS[1]) == [second]
    assert store.nominations.between("WESTGATE", EVENING) == []


def test_every_plan_is_kept_and_the_last_one_given(store):
    assert store.plans.get("one") is None
    later = a_plan(base_charge_kw=(0.0, 0.0, 0.0, 0.1), digest="b" * 64)
    store.plans.put(a_plan(), NOON, "one")
    store.plans.put(a_plan(), NOON, "one")
    store.plans.put(later, NOON + MINUTE, "one")
    assert store.plans.get("one") == later
    assert store.plans.all("one") == [(NOON, a_plan()), (NOON + MINUTE, later)]
    with pytest.raises(RuleViolation, match="another plan"):
        store.plans.put(later, NOON, "one")


def test_a_statement_is_a_new_version_only_if_it_says_something_new(store):
    put = store.statements.put
    first = put("one", version=1, reason="first settlement", digest="d1", body=b"\x00one")
    assert put("one", version=2, reason="again", digest="d1", body=b"\x00one") == first
    second = put("one", version=2, reason="late readings", digest="d2", body=b"two")
    assert put("one", version=3, reason="back", digest="d1", body=b"\x00one").version == 3
    assert [(one.version, one.reason) for one in store.statements.all()] == [
        (1, "first settlement"),
        (2, "late readings"),
        (3, "back"),
    ]
    assert store.statements.all()[1] == second
    assert store.statements.latest("two") is None


def test_a_statement_version_must_follow_and_a_digest_must_mean_its_bytes(store):
    store.statements.put("one", version=1, reason="first", digest="d1", body=b"one")
    with pytest.raises(RuleViolation, match="version 3 does not follow version 1"):
        store.statements.put("one", version=3, reason="x", digest="d3", body=b"three")
    with pytest.raises(RuleViolation, match="the bytes do not"):
        store.statements.put("one", version=2, reason="x", digest="d1", body=b"other")


def test_an_alarm_is_open_until_somebody_clears_it(store):
    first = store.alarms.raise_(Alarm(NOON, "stale", "car-1", "no reading for 2 minutes"))
    second = store.alarms.raise_(Alarm(NOON, "interlock", "car-2", "refused"))
    store.alarms.clear([first.alarm_id], NOON + MINUTE, "ann")
    assert store.alarms.open() == [second]
    assert [alarm.cleared_by for alarm in store.alarms.all()] == ["ann", None]
    with pytest.raises(RuleViolation, match="no open alarm"):
        store.alarms.clear([first.alarm_id], NOON, "bob")


def test_a_fleet_comes_back_whole_and_in_its_order(store):
    assert store.fleet.load() is None
    site = a_site(
        solar_kw=3.6,
        export_source=ExportSource.G98,
        dark_from=an_intent().depart_local,
        dark_until=an_intent().depart_local.replace(hour=5, microsecond=1),
        approval=Approval.REFUSED,
        approved_from=date(2025, 2, 28),
        boundary_meter=True,
        house_load_kw=(0.1, 0.30000000000000004),
    )
    cars = (
        a_car(car_id="z", site=site, charger=a_charger(min_kw=1.4), taper=Taper(0.75, 0.2)),
        a_car(car_id="007", site=site, charger=a_charger(charger_id="b"), floor_soc=0.4),
    )
    store.fleet.replace(Fleet(cars, "digest"), NOON, "fleet.toml")
    assert store.fleet.load() == Fleet(cars, "digest")


def test_an_import_replaces_the_fleet_whole(store):
    store.fleet.replace(a_fleet(5), NOON, "old.toml")
    new = Fleet((a_car(car_id="only"),), "new")
    store.fleet.replace(new, NOON, "new.toml")
    assert store.fleet.load() == new


def test_every_fleet_is_kept_and_each_was_in_force_until_the_next(store):
    assert store.fleet.all() is None
    first, second = a_fleet(5), Fleet((a_car(floor_soc=0.5),), "second")
    store.fleet.replace(first, NOON, "first.toml")
    store.fleet.replace(second, NOON + HOUR, "second.toml")
    fleets = store.fleet.all()
    assert [fleets.at(NOON + n * MINUTE) for n in (-9999, 0, 59, 60, 9999)] == [first] * 3 + [second] * 2
    assert fleets.car_ids == tuple(f"car-{n}" for n in range(1, 6))


def test_a_correction_imported_before_anything_was_served_is_all_there_ever_was(store):
    """Also where the imports have another time than a simulation, whose gateway then serves the last one."""
    later = NOON + 365 * 24 * HOUR
    store.fleet.replace(a_fleet(5), later, "wrong.toml")
    store.fleet.replace(a_fleet(2), later + MINUTE, "right.toml")
    store.fleet.serve_from(NOON)
    store.fleet.serve_from(NOON + HOUR)
    fleets = store.fleet.all()
    assert [fleets.at(at) for at in (NOON - HOUR, NOON, later, later + HOUR)] == [a_fleet(2)] * 4
    store.fleet.replace(a_fleet(1), later + HOUR, "next.toml")
    store.fleet.serve_from(NOON + 2 * HOUR)
    fleets = store.fleet.all()
    assert [len(fleets.at(NOON + n * HOUR).cars) for n in range(4)] == [2, 2, 1, 1]


def test_a_fleet_that_contradicts_itself_is_refused_with_every_fault(store):
    store.fleet.replace(a_fleet(1), NOON, "old.toml")
    cars = (a_car(), a_car(car_id="car-2", charger=a_charger(charge_kw=1.0), site=a_site(zone="X")), a_car())
    with pytest.raises(BadMessage) as refused:
        store.fleet.replace(Fleet(cars, "bad"), NOON, "fleet.toml")
    assert [fault.value for fault in refused.value.faults] == [
        "3 cars, 2 ids",
        "charger charger-1",
        "site home-1",
    ]
    assert store.fleet.load() == a_fleet(1)
