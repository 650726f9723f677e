"""An opt-out after the answer: it leaves, survives an absent platform and a restart, and is told once."""

import asyncio
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from openleadr.messaging import create_message

from aggregator.config import read_settings
from aggregator.gateway import Gateway
from aggregator.model.market import EventKey
from aggregator.outgoing import opt_out_of
from aggregator.store import SendState, open_store
from market_adapters.openadr.ven import Ven, VenSettings
from market_adapters.openadr.wire import parse
from tests.builders import a_fleet
from tests.fakes.clock import FakeClock
from tests.protocol.linked import NOON, PROFILE
from tests.protocol.vtn import OK, VTN_ID, FakeVtn, response

SETTINGS = read_settings(Path(__file__).parents[2] / "config" / "gateway.toml")
FLEET = SETTINGS.fleet.model_copy(update={"history": None})
EVENT = EventKey(VTN_ID, "DSP <1>", 3)
NAME = f"opt:{VTN_ID}:DSP <1>:3"
PATIENCE_S = 20
CREATED = create_message("oadrCreatedOpt", response=OK, opt_id=NAME)


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        store.fleet.replace(a_fleet(1), NOON, "fleet.csv")
        yield store


@asynccontextmanager
async def sending(store, vtn):
    """Run the link and the sender of a gateway, as a process does between its start and its end."""
    clock = FakeClock(NOON)
    gateway = Gateway(SETTINGS.model_copy(update={"fleet": FLEET}), store, clock)
    settings = VenSettings(VTN_ID, vtn.url, "flexloop", 0.02, retry_first_s=0.02, retry_most_s=0.05)
    async with Ven(settings, PROFILE, store.memory, clock) as ven:
        tasks = [
            asyncio.create_task(listen(ven)),
            asyncio.create_task(gateway.send(ven, VTN_ID)),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


async def listen(ven):
    async for _ in ven.calls():
        pass


async def until(met):
    """Wait for what another task writes to the store."""
    async with asyncio.timeout(PATIENCE_S):
        while not met():  # noqa: ASYNC110 - a database tells nobody
            await asyncio.sleep(0.01)


def state(store):
    return store.outbox.get(NAME).state


async def test_an_opt_out_names_the_event_version_and_is_told_once(store):
    store.outbox.put(opt_out_of(EVENT, NOON))
    async with FakeVtn() as vtn:
        vtn.answers["oadrCreateOpt"] = [CREATED]
        async with sending(store, vtn):
            await until(lambda: state(store) is SendState.SENT)
            await vtn.until("oadrPoll", vtn.names().count("oadrPoll") + 5)
        assert vtn.names().count("oadrCreateOpt") == 1
        said = vtn.last("oadrCreateOpt").fields
        assert said["optType"] == "optOut"
        assert said["optReason"] == "notParticipating"
        assert said["qualifiedEventID.eventID"] == "DSP <1>"
        assert said["qualifiedEventID.modificationNumber"] == "3"
        assert said["createdDateTime"].startswith("2025-01-14T12:00:00")


async def test_an_opt_out_outlives_a_platform_that_is_away_and_a_restart(store):
    vtn = FakeVtn()
    store.outbox.put(opt_out_of(EVENT, NOON))
    async with sending(store, vtn):
        await until(lambda: store.outbox.attempts(NAME) > 0)
    assert state(store) is SendState.PENDING
    vtn.answers["oadrCreateOpt"] = [500, b"", CREATED]
    async with vtn, sending(store, vtn):
        await until(lambda: state(store) is SendState.SENT)
    bodies = [message.raw for message in vtn.received if message.name == "oadrCreateOpt"]
    assert len(bodies) == 3
    assert len(set(bodies)) == 1


async def test_a_platform_that_knows_no_opt_outs_is_an_alarm_and_not_asked_again(store):
    store.outbox.put(opt_out_of(EVENT, NOON))
    async with FakeVtn() as vtn:
        vtn.answers["oadrCreateOpt"] = [response(459, "no EiOpt here")]
        async with sending(store, vtn):
            await until(lambda: state(store) is SendState.DEAD)
    (alarm,) = store.alarms.all()
    assert (alarm.code, alarm.where) == ("report_refused", NAME)
    assert "no EiOpt here" in alarm.text


def test_what_is_kept_comes_back_as_it_was(store):
    sent = opt_out_of(EVENT, NOON + timedelta(microseconds=1))
    store.outbox.put(sent)
    assert store.outbox.get(NAME).report == sent
    assert parse(CREATED.encode()).body.response.ok
