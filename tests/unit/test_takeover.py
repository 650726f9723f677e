"""A store keeps to one kind of clock, and its time never runs backwards; an outage is no reason to stop."""

from datetime import timedelta

import pytest

from aggregator.model.errors import RuleViolation
from aggregator.model.metering import Outcome
from aggregator.model.opportunity import Received
from aggregator.store import SentPoint, open_store
from aggregator.takeover import MOST_BACK, Timekeeping, newest_record, take_over
from tests.builders import EVENING, NOON, a_fleet, a_reading, a_requirement, a_set_point

MINUTE = timedelta(minutes=1)
YEAR = timedelta(days=365)
REAL, FILE = Timekeeping.REAL, Timekeeping.FILE


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        store.fleet.replace(a_fleet(2), NOON + YEAR, "fleet.toml")
        yield store


def put_fact(store):
    fact = Received(NOON, a_requirement())
    store.journal.append("one", fact, expected_version=0, by="model", recorded_at=NOON)


def test_the_newest_record_is_the_newest_fact_set_point_or_reading(store):
    assert newest_record(store) is None
    put_fact(store)
    assert newest_record(store) == NOON
    for n, charger in enumerate(("charger-2", "charger-1"), 1):
        reading = a_reading(charger_id=charger, measured_at=NOON, received_at=NOON + n * MINUTE)
        store.readings.add([reading])
    assert newest_record(store) == NOON + 2 * MINUTE
    store.set_points.add([SentPoint(a_set_point(), Outcome.ACCEPTED)])
    assert newest_record(store) == EVENING.start


def test_until_something_is_recorded_any_clock_will_do(store):
    for keeping, now in ((REAL, NOON + YEAR), (FILE, NOON), (REAL, NOON - YEAR)):
        take_over(store, keeping, now)


@pytest.mark.parametrize(("first", "then"), [(FILE, REAL), (REAL, FILE)])
def test_afterwards_it_must_be_the_same_kind(store, first, then):
    take_over(store, first, NOON)
    put_fact(store)
    with pytest.raises(RuleViolation, match=rf"flexloop\.db is served by {first}, not by {then}") as refused:
        take_over(store, then, NOON + YEAR)
    assert "another --database" in refused.value.instead
    take_over(store, first, NOON + YEAR)


def test_time_does_not_run_backwards(store):
    take_over(store, FILE, NOON)
    put_fact(store)
    take_over(store, FILE, NOON - MOST_BACK)
    told = r"recorded at 2025-01-15T12:00:00Z; a clock file shows 2025-01-15T11:54:00Z"
    with pytest.raises(RuleViolation, match=told):
        take_over(store, FILE, NOON - MOST_BACK - MINUTE)


def test_a_store_from_before_clocks_were_noted_goes_on_with_the_one_it_gets(store):
    put_fact(store)
    take_over(store, FILE, NOON + MINUTE)
    with pytest.raises(RuleViolation):
        take_over(store, REAL, NOON + YEAR)


def test_it_goes_on_with_the_fleet_imported_last(store):
    store.fleet.replace(a_fleet(1), NOON + YEAR, "corrected.toml")
    take_over(store, FILE, NOON)
    assert store.fleet.all().at(NOON) == a_fleet(1)
