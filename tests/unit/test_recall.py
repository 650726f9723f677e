"""What the store gives back of the last hour's reports."""

from datetime import timedelta

import pytest

from aggregator.model.metering import Outcome, Reading
from aggregator.recall import recent_reports, set_points_in_force
from aggregator.store import SentPoint, open_store
from tests.builders import NOON, a_car_report, a_fleet, a_set_point

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


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
    told(store, NOON - 95 * MINUTE, soc=0.9)
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


def every_quarter(store, hours):
    """Let a car tell of itself each quarter of an hour up to noon, but for its charge; return its reports."""
    found = []
    for n in range(4 * hours, 0, -1):
        said = {"soc": None, "import_wh": 10**6, "export_wh": 10**6 + 100 * (4 * hours - n)}
        found.append(told(store, NOON - 15 * n * MINUTE, **said))
    return found


def test_the_last_state_of_charge_of_a_stay_comes_back_however_old(store):
    reports = every_quarter(store, 20)
    assert all(one.soc is None for one in recent_reports(store, a_fleet(1), NOON))
    old = told(store, NOON - 21 * 60 * MINUTE, soc=0.9, import_wh=10**6, export_wh=10**6)
    told(store, NOON - 22 * 60 * MINUTE, soc=0.95, import_wh=10**6, export_wh=10**6)
    assert recent_reports(store, a_fleet(1), NOON) == (old, *reports[-6:])


@pytest.mark.parametrize(
    "meanwhile", ["away", "silent"], ids=["the car was away since", "silent for more than an hour since"]
)
def test_a_state_of_charge_of_what_may_be_another_stay_does_not_come_back(store, meanwhile):
    told(store, NOON - 6 * 60 * MINUTE, soc=0.9)
    reports = every_quarter(store, 4)
    if meanwhile == "away":
        told(store, NOON - 5 * 60 * MINUTE, soc=None, plugged=False)
    assert recent_reports(store, a_fleet(1), NOON) == tuple(reports[-6:])


def test_a_car_not_heard_of_for_an_hour_is_not_known(store):
    told(store, NOON - 61 * MINUTE, soc=0.9)
    assert recent_reports(store, a_fleet(1), NOON) == ()


def test_what_chargers_still_do_comes_back_as_it_was_told_last(store):
    def tell(seconds_ago, holds_s=120, outcome=Outcome.ACCEPTED, **point):
        at = NOON - seconds_ago * SECOND
        told = a_set_point(
            issued_at=at, expires_at=at + holds_s * SECOND, **{"opportunity_id": None, **point}
        )
        store.set_points.add([SentPoint(told, outcome)])
        return told

    tell(90)
    last = tell(30, export_w=5000)
    tell(20, outcome=Outcome.REFUSED)
    tell(200, car_id="car-2")
    tell(110, car_id="car-3")
    tell(70, holds_s=60, car_id="car-3", export_w=0)
    assert set_points_in_force(store, NOON) == (last,)
