"""P4 over a database: approvals by date, and the boundary itself where it is known."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from aggregator.audit.evidence import Evidence
from aggregator.audit.homes import p4_sites
from aggregator.config import read_settings
from aggregator.model.fleet import Approval, Fleet
from aggregator.model.metering import Outcome, Reading
from aggregator.store import SentPoint, TrueState, open_store
from tests.builders import EVENING, NOON, a_car, a_set_point, a_site

SETTINGS = read_settings(Path(__file__).parents[2] / "config" / "gateway.toml")
BEGIN = EVENING.start
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        yield store


def live_in(store, *, at=NOON, digest="homes", **site):
    store.fleet.replace(Fleet((a_car(site=a_site(**site)),), digest), at, "fleet.toml")


def told(store, at, export_w):
    point = replace(
        a_set_point(issued_at=at, expires_at=at + 2 * MINUTE, export_w=export_w), opportunity_id=None
    )
    store.set_points.add([SentPoint(point, Outcome.ACCEPTED)])


def truly(store, minutes, export_w, boundary_w):
    at = BEGIN + minutes * MINUTE
    store.truth.add([TrueState("car-1", at, True, 40.0, export_w, boundary_w)])


def breaches(store):
    return p4_sites(Evidence(store, SETTINGS)).breaches


@pytest.mark.parametrize("seconds", [-1, 0])
def test_a_discharge_before_the_approval_s_local_midnight_is_a_breach(store, seconds):
    live_in(store, at=datetime(2025, 7, 1, tzinfo=UTC), approved_from=date(2025, 7, 10))
    told(store, datetime(2025, 7, 9, 23, tzinfo=UTC) + seconds * SECOND, 3000)
    assert bool(breaches(store)) is (seconds < 0)


def test_an_approval_is_judged_as_it_was_known_then(store):
    live_in(store, approval=Approval.APPLIED)
    live_in(store, at=BEGIN + 10 * MINUTE, digest="granted")
    live_in(store, at=BEGIN + 20 * MINUTE, digest="refused", approval=Approval.REFUSED)
    for minutes in (5, 15, 25):
        told(store, BEGIN + minutes * MINUTE, 3000)
    assert [breach.split()[3] for breach in breaches(store)] == [
        "2025-01-15T17:05:00Z:",
        "2025-01-15T17:25:00Z:",
    ]


def test_without_a_meter_any_true_export_above_the_approval_is_a_breach(store):
    live_in(store, export_limit_kw=3.68)
    truly(store, 0, 3680, 3680)
    assert breaches(store) == ()
    truly(store, 1, 3000, 3700)
    (breach,) = breaches(store)
    assert "3700 W out at the boundary" in breach


def test_with_a_meter_it_is_one_once_it_has_lasted_longer_than_the_loop_needs(store):
    live_in(store, export_limit_kw=3.68, boundary_meter=True)
    told(store, BEGIN, 6000)  # the house drew enough
    for minutes in range(4):
        truly(store, minutes, 6000, 4000)
    assert breaches(store) == ()
    truly(store, 4, 6000, 4000)
    (breach,) = breaches(store)
    assert "since 2025-01-15T17:00:00Z" in breach


def test_panels_alone_above_the_limit_are_not_the_cars_doing(store):
    live_in(store, export_limit_kw=3.68, solar_kw=6.0)
    truly(store, 0, -8, 5900)
    assert breaches(store) == ()


@pytest.mark.parametrize(("car_w", "kept"), [(-8, True), (-3000, False)])
def test_a_house_alone_above_its_fuse_is_not_an_idle_charger_s_doing(store, car_w, kept):
    live_in(store, import_limit_kw=12.0, boundary_meter=True)
    told(store, BEGIN, 0)
    for minutes in range(6):
        truly(store, minutes, car_w, -14_300)
    assert (breaches(store) == ()) is kept


def test_discharge_without_an_approval_is_a_breach_even_if_the_house_uses_it(store):
    live_in(store, approval=Approval.APPLIED, boundary_meter=True)
    truly(store, 0, 500, -100)
    (breach,) = breaches(store)
    assert "no approval in force" in breach


@pytest.mark.parametrize(("minutes", "kept"), [(3, True), (4, False)])
def test_where_nothing_is_simulated_the_boundary_s_registers_judge(store, minutes, kept):
    live_in(store, export_limit_kw=3.68, boundary_meter=True)  # 61 Wh a minute
    for n in range(3):
        told(store, BEGIN + 2 * n * MINUTE, 6000)
    for n in range(6):
        at = BEGIN + n * MINUTE
        store.boundary_readings.add([Reading("home-1", at, at, 0, 60 * n + 10 * min(n, minutes))])
    assert (breaches(store) == ()) is kept
