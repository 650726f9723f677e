"""What the gateway makes of a solver that fails: an alarm, and another try, until the gate closes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aggregator.config import read_settings
from aggregator.demo import day
from aggregator.gateway import SOLVE_AGAIN, Gateway
from aggregator.model.market import Step
from aggregator.model.opportunity import DeliveryEnded, DeliveryStarted, Instructed, Received, Stage
from aggregator.model.time import Interval
from aggregator.solver import find_glpsol
from aggregator.store import open_store
from tests.builders import a_requirement, an_instruction
from tests.fakes.clock import FakeClock

ROOT = Path(__file__).parents[2]
PUBLISHED_AT = datetime(2025, 1, 7, 13, 31, tzinfo=UTC)
GATE_AT = datetime(2025, 1, 7, 14, tzinfo=UTC)
WINDOW = Interval(datetime(2025, 1, 8, 17, tzinfo=UTC), datetime(2025, 1, 8, 19, tzinfo=UTC))
NEED = a_requirement(zone="Canvey", product_id="day-ahead", window=WINDOW, needed_kw=(30.0,) * 4)


@pytest.fixture
def glpsol(tmp_path):
    """Return a solver that runs, and finds nothing."""
    path = tmp_path / "glpsol"
    path.write_text("#!/bin/sh\n[ \"$1\" = --version ] && echo 'GLPSOL 5.0' || exit 1\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def clock():
    return FakeClock(PUBLISHED_AT)


@pytest.fixture
def gateway(tmp_path, clock, glpsol):
    url = f"sqlite:///{tmp_path / 'flexloop.db'}"
    settings = read_settings(ROOT / "config" / "gateway.toml", url)
    bidding = settings.bidding.model_copy(update={"glpsol": glpsol, "scenarios": 2})
    with open_store(url, create=True) as store:
        store.fleet.replace(day.fleet(), imported_at=PUBLISHED_AT, source="fleet.csv")
        gateway = Gateway(settings.model_copy(update={"bidding": bidding}), store, clock)
        new = store.journal.opportunity("need")
        gateway.workflow.record(new, Received(PUBLISHED_AT, NEED), by="platform")
        yield gateway


def stage_of(gateway):
    return gateway.store.journal.opportunity("need").stage


def test_a_solver_that_fails_is_an_alarm_and_the_bid_is_made_once_it_works(gateway, clock, glpsol, capfd):
    gateway.tick()
    assert stage_of(gateway) is Stage.RECEIVED
    (alarm,) = gateway.store.alarms.open()
    assert (alarm.code, alarm.where) == ("no_bid_yet", "need")
    assert "the solver glpk found no bid: failed" in alarm.text
    assert "Solver (glpk)" not in "".join(capfd.readouterr())
    Gateway(gateway.settings, gateway.store, clock).tick()
    assert gateway.store.alarms.open() == [alarm]  # a restart tells nothing anew
    glpsol.write_text(f'#!/bin/sh\nexec {find_glpsol()} "$@"\n')
    clock.set(PUBLISHED_AT + SOLVE_AGAIN - timedelta(seconds=1))
    assert not gateway.tick()
    clock.set(PUBLISHED_AT + SOLVE_AGAIN)
    assert gateway.tick()
    assert stage_of(gateway) is Stage.APPROVED


def test_a_solver_that_is_gone_is_no_crash_and_the_gate_closes_the_bid(gateway, clock, glpsol):
    glpsol.unlink()
    gateway.tick()
    clock.set(PUBLISHED_AT + SOLVE_AGAIN)
    gateway.tick()
    assert stage_of(gateway) is Stage.RECEIVED
    assert len(gateway.store.alarms.open()) == 1
    clock.set(GATE_AT)
    gateway.tick()
    assert gateway.store.journal.opportunity("need").closed_because == "GateClosed"


def test_an_order_that_ends_within_a_half_hour_is_settled_once_that_is_over(gateway, clock):
    """Before, the registers at its end are not known, and would be taken as they stood."""
    span = Interval(WINDOW.start, WINDOW.start + timedelta(minutes=15))
    order = an_instruction(zone="Canvey", product_id="day-ahead", steps=(Step(span, 10.0),))
    facts = (Instructed(span.start, order), DeliveryStarted(span.start), DeliveryEnded(span.end))
    gateway.workflow.record(gateway.store.journal.opportunity("call"), *facts, by="test")
    half_past = WINDOW.start + timedelta(minutes=30)
    for at, version in ((half_past - timedelta(seconds=1), 0), (half_past, 1)):
        clock.set(at + gateway.lag)
        gateway.recorder.recorded_until = at + gateway.lag
        gateway.tick()
        assert gateway.store.journal.opportunity("call").statement_version == version
