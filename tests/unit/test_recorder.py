"""Until when everything is known: not before chargers that may have something to tell have been heard."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from aggregator.audit.evidence import ALWAYS
from aggregator.model.fleet import Fleet
from aggregator.model.metering import Boundary, Reading
from aggregator.patience import Patience
from aggregator.recorder import PATIENCE, Recorder
from aggregator.registers import EventKind
from aggregator.store import open_store
from dispatch.records import CycleRecord, Notice
from tests.builders import NOON, a_car_report, a_fleet, a_site
from tests.fakes.clock import FakeClock
from tests.protocol.gateway import until

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
LAG = 2 * MINUTE


@pytest.fixture
async def recorder(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        clock = FakeClock(NOON)
        recorder = Recorder(store, a_fleet(2), clock, LAG, Patience(store, clock))
        running = asyncio.create_task(recorder.run())
        yield recorder
        running.cancel()
        await asyncio.wait([running])


async def recorded(recorder, *heard, plugged=True, since=0):
    """Record a cycle a minute, with a report where ``heard`` says so; return what is known after each."""
    known = []
    for n, is_heard in enumerate(heard, since):
        at = NOON + n * MINUTE
        report = replace(a_car_report(car_id="car-1", measured_at=at), plugged=plugged)
        await recorder.put(CycleRecord(at, (report,) if is_heard else (), (), ()))
        await until(lambda at=at: recorder.stored_until == at)
        known.append(recorder.recorded_until)
    return known


async def test_what_happened_while_it_was_away_is_told_within_the_lag(recorder):
    assert await recorded(recorder, False, False, True, True, True, True) == [
        *[None] * 4,
        NOON + 4 * MINUTE,
        NOON + 5 * MINUTE,
    ]


async def test_a_register_that_restarts_is_an_event_and_an_alarm_once(recorder):
    store = recorder._store
    for minute, wh in enumerate((900_000, 900_050, 0, 40)):
        report = a_car_report(car_id="car-1", measured_at=NOON + minute * MINUTE, export_wh=wh)
        await recorder.put(CycleRecord(report.measured_at, (report, report), (), ()))
    await until(lambda: recorder.stored_until == NOON + 3 * MINUTE)
    (event,) = store.register_events.all()
    assert (event.kind, event.register, event.at) == (EventKind.RESTART, "export_wh", NOON + 2 * MINUTE)
    (alarm,) = store.alarms.open()
    assert (alarm.code, alarm.where) == ("register_event", event.meter_id)
    assert alarm.text == "export_wh restart: 900050 Wh, then 0 Wh"


async def test_a_register_that_restarted_while_no_gateway_ran_is_an_event(store):
    for wh, at in ((900_000, NOON), (10, NOON + HOUR)):
        clock = FakeClock(at)
        recorder = Recorder(store, a_fleet(1), clock, LAG, Patience(store, clock))
        running = asyncio.create_task(recorder.run())
        report = a_car_report(car_id="car-1", measured_at=at, export_wh=wh)
        await recorder.put(CycleRecord(at, (report,), (), ()))
        await until(lambda recorder=recorder, at=at: recorder.stored_until == at)
        running.cancel()
        await asyncio.wait([running])
    assert [event.kind for event in store.register_events.all()] == [EventKind.RESTART]


def test_a_boundary_s_register_that_restarts_is_an_event_and_an_alarm_once(tmp_path):
    """Before a restart of the gateway and after it, and told by both of a home's chargers."""
    fleet = Fleet(tuple(replace(car, site=a_site(boundary_meter=True)) for car in a_fleet(2).cars), "f")
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        clock = FakeClock(NOON)
        for minutes, wh in ((range(2), 900_000), (range(2, 4), 10)):
            recorder = Recorder(store, fleet, clock, LAG, Patience(store, clock))
            records = []
            for minute in minutes:
                at, boundary = NOON + minute * MINUTE, Boundary(-300, 7000 + minute, wh + minute)
                reports = [a_car_report(car_id=f"car-{n}", measured_at=at) for n in (1, 2)]
                told = tuple(replace(one, boundary=boundary) for one in reports)
                records.append(CycleRecord(at, told, (), ()))
            recorder._write(records)
        (event,) = store.register_events.all()
        assert (event.meter_id, event.register, event.kind) == ("home-1", "export_wh", EventKind.RESTART)
        assert event.at == NOON + 2 * MINUTE
        assert [(one.code, one.where) for one in store.alarms.open()] == [("register_event", "home-1")]


async def test_a_silent_link_stops_it_while_a_car_is_plugged_in(recorder):
    await recorded(recorder, *[True] * 4)
    silent = await recorded(recorder, *[False] * 4, since=4)
    assert silent == [NOON + 4 * MINUTE, *[NOON + 5 * MINUTE] * 3]
    back = await recorded(recorder, *[True] * 3, since=8)
    assert back == [NOON + 5 * MINUTE, NOON + 5 * MINUTE, NOON + 10 * MINUTE]


async def test_silence_is_all_there_is_to_know_where_no_car_is_plugged_in(recorder):
    await recorded(recorder, *[True] * 4, plugged=False)
    assert await recorded(recorder, *[False] * 4, since=4) == [NOON + n * MINUTE for n in range(4, 8)]


async def test_a_fleet_that_is_never_heard_is_not_waited_for_for_ever(recorder):
    minutes = PATIENCE // MINUTE
    known = await recorded(recorder, *[False] * (minutes + 5))
    assert known[:minutes] == [None] * minutes
    assert known[-1] == NOON + 4 * MINUTE


def test_a_boundary_is_recorded_once_for_all_chargers_of_a_home_and_only_where_one_is_read(tmp_path):
    both = [replace(car, site=a_site(boundary_meter=True)) for car in a_fleet(2).cars]
    alone = replace(a_fleet(3).cars[2], site=a_site(site_id="home-3"))
    reports = tuple(
        replace(a_car_report(car_id=f"car-{n}"), boundary=Boundary(-300, 7000, 900)) for n in (1, 2, 3)
    )
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        clock = FakeClock(NOON)
        recorder = Recorder(store, Fleet((*both, alone), "f"), clock, LAG, Patience(store, clock))
        recorder._write([CycleRecord(NOON + MINUTE, reports, (), ())])
        assert store.boundary_readings.between(["home-1", "home-3"], ALWAYS) == (
            Reading("home-1", NOON, NOON + MINUTE, 7000, 900),
        )
        assert store.readings.count() == 3


async def test_a_fault_that_goes_on_is_one_alarm_until_somebody_clears_it(recorder):
    store = recorder._store

    async def told(minute, *, goes_on):
        at = NOON + minute * MINUTE
        await recorder.put(
            CycleRecord(at, (), (), (Notice(at, "not_following", "car-1", "it does not", goes_on),))
        )
        await until(lambda: recorder.stored_until == at)
        return len(store.alarms.open())

    assert [await told(minute, goes_on=True) for minute in (1, 2, 3)] == [1, 1, 1]
    store.alarms.clear([alarm.alarm_id for alarm in store.alarms.open()], NOON + HOUR, "oda")
    assert [await told(minute, goes_on=True) for minute in (4, 5)] == [1, 1]
    assert await told(6, goes_on=False) == 2
