"""An event that breaks the schema is refused alone: whatever else a message says is heard."""

import re

import pytest

from tests.protocol.linked import Memory, linked
from tests.protocol.test_ven_event_life import a_gateway
from tests.protocol.vtn import FakeVtn, an_event, distribute

BROKEN = {
    "unit": (">W<", ">kW<"),
    "scale": (">k<", ">K<"),
    "status": (">far<", ">canceled<"),
    "no target": ("<ei:eiTarget><ei:groupID>Hendon Way</ei:groupID></ei:eiTarget>", ""),
    "no signalID": ("<ei:signalID>order</ei:signalID>", ""),
    "an element of another book": ("<ei:priority>", "<ei:foo/><ei:priority>"),
}
NO_NUMBER = ("<ei:modificationNumber>0</ei:modificationNumber>", "")
NO_ID = ("<ei:eventID>bad</ei:eventID>", "")


def with_broken(change, *events):
    """Return a delivery whose last event, called ``bad``, is changed so."""
    text = distribute(*events, an_event("bad"))
    before, last, after = text.rpartition("<oadr:oadrEvent>")
    assert change[0] in after
    return before + last + after.replace(*change, 1)


async def answers(gateway, text):
    """Deliver and return code and opt by event id."""
    count = gateway.vtn.names().count("oadrCreatedEvent")
    gateway.vtn.polls.append(text)
    await gateway.vtn.until("oadrCreatedEvent", count + 1)
    raw = gateway.vtn.last("oadrCreatedEvent").raw.decode()
    found = re.findall(
        r"eventResponse>.*?responseCode>(\d+)<.*?eventID>([^<]*)<.*?optType>(\w+)<", raw, re.DOTALL
    )
    return {name: (int(code), opt) for code, name, opt in found}


@pytest.mark.parametrize("fault", BROKEN)
async def test_a_cancellation_is_heard_beside_an_event_that_breaks_the_schema(tmp_path, fault):
    async with a_gateway(tmp_path) as gateway:
        await gateway.deliver(an_event("runs"))
        assert gateway.asked_kw() == 30.0
        over = an_event("runs", modification=1, status="cancelled")
        said = await answers(gateway, with_broken(BROKEN[fault], over))
        assert said == {"runs": (200, "optIn"), "bad": (454, "optOut")}
        assert gateway.asked_kw() is None
        (alarm,) = gateway.flow.store.alarms.open()
        assert (alarm.code, "bad" in alarm.where) == ("event_refused", True)


@pytest.mark.parametrize("change", [NO_NUMBER, NO_ID])
async def test_a_bad_event_without_id_or_number_is_an_alarm_and_not_answered(tmp_path, change):
    async with a_gateway(tmp_path) as gateway:
        text = with_broken(change, an_event("good"))
        for _ in range(2):
            assert await answers(gateway, text) == {"good": (200, "optIn")}
        assert [alarm.code for alarm in gateway.flow.store.alarms.open()] == ["event_refused"]
        assert await gateway.deliver(an_event("good"), an_event("bad", kw=(-1.0,))) == [(200, "optIn")] * 2


async def test_a_bad_version_takes_nothing_back():
    async with FakeVtn(events=(an_event("runs"), an_event("bad"))) as vtn, linked(vtn) as (_, inbox):
        await inbox.batches(1)
        for change in (BROKEN["unit"], NO_NUMBER):
            vtn.polls.append(with_broken(change, an_event("runs")))
        vtn.polls.append(with_broken(NO_ID))
        vtn.polls.append(distribute(an_event("bad")))
        *same, last = (await inbox.batches(5))[1:]
        assert [call.cancelled for batch in same for call in batch.calls] == [False] * 5
        assert [call.key.event_id for call in last.calls if call.cancelled] == ["runs"]


async def test_the_end_of_a_known_event_is_heard_though_it_breaks_the_schema(tmp_path):
    async with a_gateway(tmp_path) as gateway:
        await gateway.deliver(an_event("bad"))
        assert gateway.asked_kw() == 30.0
        text = with_broken((">far<", ">cancelled<"))
        text = text.replace(*BROKEN["unit"]).replace("Number>0<", "Number>1<")
        assert await answers(gateway, text) == {"bad": (200, "optIn")}
        assert gateway.asked_kw() is None


async def test_a_version_that_was_read_before_is_answered_the_same_though_it_comes_broken(tmp_path):
    async with a_gateway(tmp_path) as gateway:
        await gateway.deliver(an_event("bad"))
        text = with_broken(BROKEN["unit"])
        assert await answers(gateway, text) == {"bad": (200, "optIn")}
        assert gateway.flow.store.alarms.open() == []
        later = text.replace("Number>0<", "Number>1<")
        for _ in range(2):
            assert await answers(gateway, later) == {"bad": (454, "optOut")}
        assert gateway.asked_kw() == 30.0
        gateway.vtn.polls.append(distribute())
        await gateway.vtn.until("oadrPoll", gateway.vtn.names().count("oadrPoll") + 3)
        assert gateway.asked_kw() is None


async def test_polling_and_reports_go_on_beside_a_bad_event_in_every_message():
    text = with_broken(BROKEN["unit"], an_event("good"))
    memory = Memory()
    async with FakeVtn() as vtn, linked(vtn, memory) as (ven, inbox):
        vtn.polls.extend([text] * 3)
        batches = await inbox.batches(3)
        assert [len(batch.calls) for batch in batches] == [2, 2, 2]
        await vtn.until("oadrPoll", vtn.names().count("oadrPoll") + 2)
        assert (ven.registered, ven.consecutive_failures) == (True, 0)
        assert vtn.names().count("oadrRequestEvent") == 1


async def test_a_fault_outside_the_events_refuses_the_message():
    text = distribute(an_event()).replace("<ei:vtnID>", "<ei:what/><ei:vtnID>")
    async with FakeVtn() as vtn, linked(vtn) as (_, inbox):
        vtn.polls.append(text)
        vtn.polls.append(distribute(an_event("after")))
        (batch,) = await inbox.batches(1)
        assert [call.key.event_id for call in batch.calls] == ["after"]
