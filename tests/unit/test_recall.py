"""What the store gives back of the last hour's reports."""

from datetime import timedelta

import pytest

from aggregator.model.metering import Reading
from aggregator.recall import recent_reports
from aggregator.store import open_store
from tests.builders import NOON, a_car_report, a_fleet

MINUTE = timedelta(minutes=1)


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        yield store


def told(store, at, car=1, **said):
    report = a_car_report(car_id=f"car-{car}", measured_at=at, **said)
    store.states.add([report], at)
    store.readings.add([Reading(f"charger-{car}", at, at, report.import_wh, report.export_wh)])
    return report


def test_reports_of_the_last_hour_come_back_as_they_were(store):
    told(store, NOON - 90 * MINUTE, soc=0.9)
    silent = told(store, NOON - 5 * MINUTE, soc=None, boost=True)
    spoke = told(store, NOON - 30 * MINUTE, soc=0.5, depart_at=NOON + 60 * MINUTE, target_soc=0.8)
    other = told(store, NOON - 10 * MINUTE, car=2)
    told(store, NOON - 10 * MINUTE, car=9)
    assert recent_reports(store, a_fleet(2), NOON) == (spoke, other, silent)


def test_a_state_of_charge_that_came_late_is_of_its_own_instant_after_a_restart_too(store):
    late = told(store, NOON - 5 * MINUTE, soc=0.5, soc_at=NOON - 20 * MINUTE)
    assert recent_reports(store, a_fleet(1), NOON) == (late,)


def test_a_state_without_registers_is_left_out(store):
    store.states.add([a_car_report(measured_at=NOON - MINUTE)], NOON)
    assert recent_reports(store, a_fleet(2), NOON) == ()
