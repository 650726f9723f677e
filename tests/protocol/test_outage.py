"""A gateway whose database goes away under it: its cars go on, nothing is answered, nothing is lost."""

import asyncio
import re
import sqlite3
from contextlib import asynccontextmanager, closing
from datetime import timedelta

import pytest

from aggregator import recorder as recorders
from aggregator.model.errors import Damaged, RuleViolation, Unavailable
from aggregator.model.time import Interval
from aggregator.patience import Patience
from aggregator.recorder import MOST_WAITING, Recorder
from aggregator.store import open_store
from aggregator.store.engine import writing
from dispatch.records import CycleRecord
from tests.builders import NOON, a_car_report, a_fleet
from tests.conftest import DATABASES
from tests.fakes.clock import FakeClock
from tests.postgres import running as running_postgres
from tests.protocol.gateway import MINUTE, running, until
from tests.protocol.test_health import looked_at
from tests.protocol.vtn import (
    PATIENCE_S,
    START,
    FakeVtn,
    a_report_request,
    an_event,
    create_report,
    distribute,
)

BEFORE, AWAY, AFTER = 3, 10, 8
EXPIRES = timedelta(seconds=120)
ALWAYS = Interval(START - timedelta(hours=1), START + timedelta(hours=1))


class Server:
    """A PostgreSQL database that goes away with its server."""

    def __init__(self, server):
        self._server, self.url = server, server.create()

    async def away(self):
        await asyncio.to_thread(self._server.stop, "immediate")

    async def back(self):
        await asyncio.to_thread(self._server.start)


class File:
    """A SQLite database that another program keeps locked."""

    def __init__(self, folder):
        self.url = f"sqlite:///{folder / 'flexloop.db'}"
        self._file, self._other = folder / "flexloop.db", None

    async def away(self):
        self._other = sqlite3.connect(self._file, isolation_level=None)
        self._other.execute("BEGIN IMMEDIATE")

    async def back(self):
        with closing(self._other) as other:
            other.execute("ROLLBACK")


@pytest.fixture(scope="module")
def server():
    """A server that may be stopped: no other test has it."""
    with running_postgres() as server:
        yield server


@pytest.fixture(params=DATABASES)
def database(request, tmp_path):
    return File(tmp_path) if request.param == "sqlite" else Server(request.getfixturevalue("server"))


@asynccontextmanager
async def away(database):
    await database.away()
    try:
        yield
    finally:
        await database.back()


def created(vtn):
    """What the platform was answered about events, by event and version."""
    found = [message.fields for message in vtn.received if message.name == "oadrCreatedEvent"]
    return [
        (fields[name], fields[name.replace("eventID", "modificationNumber")])
        for fields in found
        for name in fields
        if name.endswith("qualifiedEventID.eventID")
    ]


async def test_ten_minutes_without_a_database_cost_nothing_that_was_acknowledged(tmp_path, database):
    order = an_event(kw=(-6.0,), signal_type="setpoint")
    order["event_descriptor"]["vtn_comment"] = None
    more = an_event(kw=(-8.0,), modification=1, signal_type="setpoint")
    more["event_descriptor"]["vtn_comment"] = None
    vtn = FakeVtn(events=(order,))
    async with (
        vtn,
        running(vtn.url, tmp_path, START - BEFORE * MINUTE, database=database.url) as parts,
        looked_at(parts) as (look, _),
    ):
        patience = parts.gateway.patience
        await vtn.until("oadrCreatedEvent")
        await parts.minutes(2 * BEFORE)
        told = list(parts.link.told)
        assert sum(point.export_w for point in told) == pytest.approx(6000, abs=20)
        async with away(database):
            vtn.events = (more,)
            vtn.polls.append(create_report(a_report_request(back="PT1M")))
            vtn.polls.append(distribute(more))
            for _ in range(AWAY):
                await parts.minute(stored=False)
                point = parts.link.told[0]
                assert point.export_w == pytest.approx(3000, abs=10)
                assert point.expires_at == parts.clock.now() + EXPIRES
            await until(lambda: patience.away_since is not None)
            assert created(vtn) == [("DSP-1", "0")]
            ready, why = await look.ready()
            assert (ready, "database" in why) == (False, True)
            assert parts.gateway.recorder.backlog >= AWAY
        await until(lambda: parts.gateway.recorder.stored_until == parts.clock.now())
        await until(lambda: ("DSP-1", "1") in created(vtn))
        await until(lambda: "oadrCreatedReport" in vtn.names() and patience.away_since is None)
        await parts.minutes(AFTER)
        (opportunity,) = parts.store.journal.find()
        assert [step.value for order in opportunity.in_force for step in order.steps] == [8.0]
        await until(lambda: "oadrUpdateReport" in vtn.names())
        store, minutes = parts.store, 2 * BEFORE + AWAY + AFTER
        registers = store.readings.between(
            [car.charger.charger_id for car in parts.gateway.fleet.cars], ALWAYS
        )
        assert len(registers) == store.readings.count() == 2 * minutes
        sent = store.set_points.between(ALWAYS)
        assert (
            len(sent)
            == len({(one.point.car_id, one.point.issued_at) for one in sent})
            == store.set_points.count()
        )
        assert len([one for one in sent if one.point.export_w > 0]) >= 2 * (BEFORE + AWAY + AFTER)
        (alarm,) = [one for one in store.alarms.all() if one.code == "database_away"]
        assert alarm.where == "the database"
        assert not re.search(r"\.\d+Z", alarm.text)
        await look.until(lambda _, why: "database" not in why)


async def test_a_gateway_ends_where_another_took_its_store_meanwhile(server, tmp_path):
    database = Server(server)
    with open_store(database.url, create=True) as store, store.held() as hold:
        async with running("http://127.0.0.1:9/x", tmp_path, START, database=database.url) as parts:
            async with away(database):
                with pytest.raises(Unavailable):
                    hold.keep()
            with (
                open_store(database.url, create=False) as other,
                other.held(),
                pytest.raises(RuleViolation, match="held by a running gateway"),
            ):
                await asyncio.wait_for(parts.gateway.keep_hold(hold), PATIENCE_S)
            keeping = asyncio.create_task(parts.gateway.keep_hold(hold))
            with open_store(database.url, create=False) as other:
                await until(lambda: is_held(other))
            keeping.cancel()


def is_held(store):
    try:
        with store.held():
            return False
    except RuleViolation:
        return True


def a_cycle(minute):
    at = NOON + minute * MINUTE
    return CycleRecord(at, (a_car_report(car_id="car-1", measured_at=at),), (), ())


@asynccontextmanager
async def recording(store):
    clock = FakeClock(NOON)
    recorder = Recorder(store, a_fleet(1), clock, MINUTE, Patience(store, clock))
    task = asyncio.create_task(recorder.run())
    try:
        yield recorder, task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_what_waits_is_bounded_and_told_once_half_of_it_is_full(server):
    database = Server(server)
    with open_store(database.url, create=True) as store:
        async with recording(store) as (recorder, _):
            await database.away()
            for minute in range(MOST_WAITING):
                await recorder.put(a_cycle(minute))
            assert (recorder.backlog, recorder.is_filling) == (MOST_WAITING, True)
            last = asyncio.create_task(recorder.put(a_cycle(MOST_WAITING)))
            await asyncio.sleep(0)
            assert not last.done()
            await database.back()
            await until(lambda: recorder.stored_until == NOON + MOST_WAITING * MINUTE)
            assert not recorder.is_filling
        assert store.readings.count() == MOST_WAITING + 1
        codes = [alarm.code for alarm in store.alarms.all()]
        assert sorted(codes) == ["database_away", "recorder_filling", "recorder_full"]


async def test_what_waits_when_it_ends_is_stored_or_said_to_be_lost(server, monkeypatch):
    monkeypatch.setattr(recorders, "LAST_PATIENCE_S", 0.5)
    database = Server(server)
    with open_store(database.url, create=True) as store:
        async with recording(store) as (recorder, task):
            await asyncio.sleep(0)
            await recorder.put(a_cycle(0))
            task.cancel()
            await asyncio.wait([task])
            assert store.readings.count() == 1
        async with recording(store) as (recorder, task):
            await database.away()
            await asyncio.sleep(0)
            await recorder.put(a_cycle(1))
            task.cancel()
            await asyncio.wait([task])
            await database.back()
            with pytest.raises(Unavailable, match="what 1 cycles left is not stored"):
                task.result()


async def test_a_database_that_waiting_will_not_mend_is_not_waited_for(store):
    step = Patience(store, FakeClock(NOON)).of
    with writing(store._engine) as connection:
        connection.exec_driver_sql("ALTER TABLE alarms RENAME TO elsewhere")
    try:
        with pytest.raises(Damaged, match="alarms"):
            await asyncio.wait_for(step(store.alarms.all), PATIENCE_S)
    finally:
        with writing(store._engine) as connection:
            connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO alarms")


async def test_a_group_whose_end_was_not_heard_of_is_not_written_twice(store):
    async with recording(store) as (recorder, _):
        await recorder.put(a_cycle(0))
        await until(lambda: recorder.backlog == 0)
        records = [a_cycle(0), a_cycle(1)]
        before = store.set_points.count()
        recorder._write_once(records, 0)
        recorder._write_once(records, 0)
        assert store.set_points.count() == before
        assert store.readings.count() == 2
