"""Each way in which the simulated operator can be broken, and our side of the link going on through it."""

from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from openleadr.messaging import create_message

from aggregator.ports import CallKind, Decision, Opt
from market_adapters.dno_simulator.faults import SPOILED
from market_adapters.openadr.xmltree import MAX_BYTES

from .dno_platform import Platform, platform, until
from .dno_ven import PATH, values
from .test_ven import linked
from .test_ven_dno import Address, the_call

CRASH = b'<!DOCTYPE x [<!ENTITY e "v">]><x>&e;</x>'
FAULTS = (
    *("http500", "hang", "reset", "empty200", "slow_drip", "redirect", "html200", "wrong_type", "huge"),
    *("truncated", "raw"),
)


def a_fault(kind: str, folder: Path, **changes: object) -> dict[str, object]:
    """A fault from the moment on at which the need is published, for an hour."""
    fault = {"from": "2025-01-07T14:00:00Z", "to": "2025-01-07T15:00:00Z", "kind": kind} | changes
    if kind == "raw":
        file = folder / "hostile.xml"
        file.write_bytes(CRASH)
        fault["file"] = str(file)
    return fault


async def polls(p: Platform, count: int) -> None:
    """Wait until so many more polls came."""
    before = p.log.counts["oadrPoll"]
    await until(lambda: p.log.counts["oadrPoll"] >= before + count)


@pytest.mark.parametrize("kind", FAULTS)
async def test_our_side_goes_on_and_takes_the_next_good_event_once(tmp_path, kind):
    async with (
        platform(tmp_path, fail=[a_fault(kind, tmp_path)]) as p,
        linked(Address(p.ven.base_url), clock=p.clock, vtn_id="DSO-Demo", timeout_s=0.3) as (ven, inbox),
    ):
        await polls(p, 1)  # registered, and up to date
        p.at("2025-01-07T14:00:00Z")
        await polls(p, 3)
        if kind != "empty200":  # which is how some platforms say that there is nothing
            await until(lambda: ven.consecutive_failures >= 2)
        assert await inbox.batches(0) == []
        p.at("2025-01-07T15:00:00Z")
        batch, need = await the_call(inbox, CallKind.REQUIREMENT)
        await ven.answer(batch, {need.key: Decision(Opt.IN)})
        await polls(p, 3)
        assert {call.key.event_id for item in await inbox.batches(1) for call in item.calls} == {"007"}
        assert p.result()["opt"] == {"007": "optIn"}
        assert p.log.counts["oadrCreatedEvent"] == 1
        assert ven.consecutive_failures == 0


@pytest.mark.parametrize("kind", ["http500", "hang", "reset", *SPOILED])
async def test_an_answer_that_the_platform_failed_to_take_or_confirm_is_given_again_the_same(tmp_path, kind):
    fault = a_fault(kind, tmp_path, service="EiEvent")
    async with (
        platform(tmp_path, fail=[fault], deliver_again_at=["2025-01-07T15:00:00Z"]) as p,
        linked(Address(p.ven.base_url), clock=p.clock, vtn_id="DSO-Demo", timeout_s=0.3) as (ven, inbox),
    ):
        await polls(p, 1)
        p.at("2025-01-07T14:00:00Z")
        batch, need = await the_call(inbox, CallKind.REQUIREMENT)
        with pytest.raises(Exception, match=r"127\.0\.0\.1|oadrCreatedEvent"):
            await ven.answer(batch, {need.key: Decision(Opt.IN)})
        assert ("007" in p.book.answers) is (kind in SPOILED)
        p.at("2025-01-07T15:00:00Z")
        again = (await inbox.batches(2))[1]
        assert [call.key for call in again.calls] == [need.key]
        await ven.answer(again, {need.key: Decision(Opt.IN)})
        assert p.result()["opt"] == {"007": "optIn"}


@pytest.mark.parametrize("service", [None, "EiEvent"])
async def test_a_fault_strikes_where_and_when_it_is_said_to(tmp_path, service):
    changes = {} if service is None else {"service": service}
    async with platform(tmp_path, fail=[a_fault("http500", tmp_path, **changes)]) as p:
        await p.ven.register()
        p.at("2025-01-07T14:30:00Z")
        assert (await p.ven.post("EiEvent", "<x/>"))[0] == 500
        assert (await p.ven.post("OadrPoll", "<x/>"))[0] == (500 if service is None else 400)
        p.at("2025-01-07T15:00:00Z")
        assert (await p.ven.post("EiEvent", "<x/>"))[0] == 400


@pytest.mark.parametrize(
    ("kind", "status", "content_type", "more"),
    [
        ("empty200", 200, "application/xml", lambda body: body == b""),
        ("redirect", 307, "application/octet-stream", lambda body: body == b""),
        ("html200", 200, "text/html", lambda body: body.startswith(b"<html>")),
        ("wrong_type", 200, "text/plain", lambda body: b"oadrDistributeEvent" in body),
        ("huge", 200, "application/xml", lambda body: len(body) > MAX_BYTES),
        ("truncated", 200, "application/xml", lambda body: b"oadrDistributeEvent" in body[:400]),
        ("raw", 200, "application/xml", lambda body: body == CRASH),
    ],
)
async def test_what_goes_over_the_wire(tmp_path, kind, status, content_type, more):
    async with platform(tmp_path, fail=[a_fault(kind, tmp_path)]) as p:
        await p.ven.register()
        p.at("2025-01-07T14:00:00Z")
        headers = {"content-type": "application/xml"}
        async with p.ven.session.post(
            f"{p.ven.base_url}{PATH}/OadrPoll", data=a_poll(p), headers=headers, allow_redirects=False
        ) as answer:
            body = await answer.read()
            assert (answer.status, answer.content_type) == (status, content_type)
            assert more(body), body[:500]


async def test_a_reset_is_a_reset_and_a_drip_comes_a_byte_at_a_time(tmp_path):
    drip = a_fault("slow_drip", tmp_path, to="2025-01-07T14:30:00Z")
    reset = a_fault("reset", tmp_path) | {"from": "2025-01-07T14:30:00Z"}
    async with platform(tmp_path, fail=[drip, reset]) as p:
        await p.ven.register()
        headers = {"content-type": "application/xml"}
        p.at("2025-01-07T14:00:00Z")
        async with p.ven.session.post(
            f"{p.ven.base_url}{PATH}/OadrPoll", data=a_poll(p), headers=headers
        ) as answer:
            assert len(await answer.content.read(100)) < 20
        p.at("2025-01-07T14:30:00Z")
        with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
            await p.ven.post("OadrPoll", a_poll(p))


async def test_a_clock_that_is_off_shows_in_the_stamps_and_not_in_the_times(tmp_path):
    fault = a_fault("clock_offset", tmp_path, offset_s=-3600.0)
    async with platform(tmp_path, fail=[fault]) as p:
        await p.ven.register()
        p.at("2025-01-07T14:00:00Z")
        need = (await p.ven.events())[7]
        told = need["event_descriptor"]["created_date_time"]
        assert told == datetime.fromisoformat("2025-01-07T13:00:00Z")
        assert need["active_period"]["dtstart"] == datetime.fromisoformat("2025-01-08T17:00:00Z")
        assert need["active_period"]["duration"] == timedelta(hours=1)
        assert values(need) == [-30.0, -30.0]


async def test_a_platform_that_takes_nobody_is_tried_until_it_does(tmp_path):
    refusal = a_fault("reject_registration", tmp_path) | {"from": "2025-01-07T13:00:00Z"}
    async with (
        platform(tmp_path, fail=[refusal]) as p,
        linked(Address(p.ven.base_url), clock=p.clock, vtn_id="DSO-Demo") as (ven, inbox),
    ):
        await until(lambda: p.log.counts["oadrCreatePartyRegistration"] >= 3)
        assert not ven.registered
        p.at("2025-01-07T15:00:00Z")
        await the_call(inbox, CallKind.REQUIREMENT)
        assert ven.registered


def a_poll(p: Platform) -> str:
    return create_message("oadrPoll", ven_id=p.ven.ven_id)
