"""Our side of the link against a platform on a real socket."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from openleadr.messaging import create_message

from aggregator.model.errors import BadMessage, Unavailable
from aggregator.model.market import EventKey
from aggregator.model.time import Interval
from aggregator.ports import Decision, Opt, Report, ReportRow
from market_adapters.openadr.wire import parse
from tests.protocol.linked import NOON, Memory, StillClock, linked
from tests.protocol.vtn import (
    OK,
    START,
    VTN_ID,
    FakeVtn,
    a_report_request,
    an_event,
    create_report,
    distribute,
    response,
)


def a_report(**changes):
    rows = (ReportRow("Hendon Way/export_kwh", Interval(START, START + timedelta(minutes=1)), 0.5),)
    report = Report("tel-1", VTN_ID, "RR-telemetry", "telemetry", START, rows)
    return replace(report, **changes)


async def test_it_registers_offers_its_reports_and_asks_for_all_events():
    async with FakeVtn() as vtn, linked(vtn) as (ven, _):
        await vtn.until("oadrPoll")
        assert ven.registered
        assert vtn.names()[:4] == [
            "oadrQueryRegistration",
            "oadrCreatePartyRegistration",
            "oadrRegisterReport",
            "oadrRequestEvent",
        ]
        assert vtn.last("oadrCreatePartyRegistration").fields["oadrVenName"] == "A & B <Ltd>"
        offered = vtn.last("oadrRegisterReport").fields
        assert "Hendon Way/day-ahead/kw/1" in offered.values()
        assert {"telemetry", "status", "bid", "nomination", "settlement"} <= set(offered.values())


async def test_opt_in_and_opt_out_are_sent_for_each_event():
    vtn = FakeVtn(events=(an_event("DSP-1"), an_event("007"), an_event("quiet", response_required="never")))
    async with vtn, linked(vtn) as (ven, inbox):
        (batch,) = await inbox.batches(1)
        assert [call.key.event_id for call in batch.calls] == ["DSP-1", "007", "quiet"]
        assert [step.value for step in batch.calls[0].content.steps] == [30.0, 30.0]
        keys = [call.key for call in batch.calls]
        decisions = [Decision(Opt.IN), Decision(Opt.OUT, "ordered 50 kW > 30 & so on"), Decision(Opt.IN)]
        await ven.answer(batch, dict(zip(keys, decisions, strict=True)))
        said = vtn.last("oadrCreatedEvent").fields
        prefix = "eiCreatedEvent.eventResponses.eventResponse"
        assert said[f"{prefix}[0].optType"] == "optIn"
        assert said[f"{prefix}[1].qualifiedEventID.eventID"] == "007"
        assert said[f"{prefix}[1].optType"] == "optOut"
        assert [said[f"{prefix}[{n}].responseCode"] for n in range(2)] == ["200", "200"]
        told = [said[f"{prefix}[{n}].responseDescription"] for n in range(2)]
        assert told == ["OK", "ordered 50 kW > 30 & so on"]
        assert said[f"{prefix}[0].requestID"] == "sync"
        assert "quiet" not in said.values()


async def test_a_message_is_kept_whole_with_its_one_event_and_in_parts_with_many():
    many = tuple(an_event(f"DSP-{n}") for n in range(100))
    async with FakeVtn(events=many) as vtn, linked(vtn) as (_, inbox):
        (batch,) = await inbox.batches(1)
        assert [call.key.event_id for call in batch.calls] == [f"DSP-{n}" for n in range(100)]
        assert all(call.raw.count(b"eventID>") == 2 for call in batch.calls)
        assert b"eventID>DSP-7<" in batch.calls[7].raw
        vtn.polls.append(distribute(an_event("alone")))
        alone = (await inbox.batches(2))[1].calls[0]
        assert alone.raw.startswith(b"<?xml")


async def test_an_event_with_a_problem_is_refused_and_its_neighbour_is_not():
    vtn = FakeVtn(
        events=(an_event("bad", signal_name="x-WHAT"), an_event("elsewhere", zone="Mars"), an_event())
    )
    async with vtn, linked(vtn) as (ven, inbox):
        (batch,) = await inbox.batches(1)
        assert [call.problem is None for call in batch.calls] == [False, False, True]
        await ven.answer(batch, {call.key: Decision(Opt.IN) for call in batch.calls})
        said = vtn.last("oadrCreatedEvent").fields
        prefix = "eiCreatedEvent.eventResponses.eventResponse"
        assert [said[f"{prefix}[{n}].responseCode"] for n in range(3)] == ["460", "462", "200"]
        assert [said[f"{prefix}[{n}].optType"] for n in range(3)] == ["optOut", "optOut", "optIn"]


async def test_a_modification_and_a_cancellation_are_handed_on():
    vtn = FakeVtn(events=(an_event(),))
    async with vtn, linked(vtn) as (_, inbox):
        await inbox.batches(1)
        vtn.polls.append(distribute(an_event(modification=1, kw=(-20.0,))))
        vtn.polls.append(distribute(an_event(modification=2, status="cancelled")))
        _, amended, cancelled = await inbox.batches(3)
        assert amended.calls[0].key == EventKey(VTN_ID, "DSP-1", 1)
        assert [step.value for step in amended.calls[0].content.steps] == [20.0]
        assert (cancelled.calls[0].cancelled, cancelled.calls[0].content) == (True, None)


async def test_the_same_event_again_is_handed_on_again():
    vtn = FakeVtn(events=(an_event(),))
    async with vtn, linked(vtn) as (_, inbox):
        await inbox.batches(1)
        vtn.polls.append(distribute(an_event()))
        first, again = await inbox.batches(2)
        assert replace(again.calls[0], raw=b"") == replace(first.calls[0], raw=b"")


async def test_a_lower_modification_has_a_problem():
    vtn = FakeVtn(events=(an_event(modification=3),))
    async with vtn, linked(vtn) as (_, inbox):
        await inbox.batches(1)
        vtn.polls.append(distribute(an_event(modification=2)))
        _, behind = await inbox.batches(2)
        assert behind.calls[0].problem.startswith("modification 2")


async def test_an_event_that_is_missing_is_taken_back_once_and_stays_so():
    memory = Memory()
    vtn = FakeVtn(events=(an_event("stays"), an_event("goes")))
    async with vtn, linked(vtn, memory) as (_, inbox):
        await inbox.batches(1)
        vtn.polls.append(distribute(an_event("stays")))
        vtn.polls.append(distribute(an_event("stays")))
        _, gone, after = await inbox.batches(3)
        call = gone.calls[1]
        assert (call.key, call.cancelled, call.wants_answer) == (EventKey(VTN_ID, "goes", 1), True, False)
        assert len(after.calls) == 1
        vtn.polls.append(distribute(an_event("stays"), an_event("goes")))
        back = (await inbox.batches(4))[3]
        assert "taken back" not in (back.calls[0].problem or "")
        assert back.calls[1].problem is not None


async def test_a_missing_event_is_noticed_after_a_restart():
    memory = Memory()
    vtn = FakeVtn(events=(an_event(),))
    async with vtn:
        async with linked(vtn, memory) as (_, inbox):
            await inbox.batches(1)
        vtn.events = ()
        async with linked(vtn, memory) as (_, inbox):
            (gone,) = await inbox.batches(1)
            assert gone.calls[0].cancelled


async def test_an_event_that_is_over_is_not_taken_back_when_it_goes():
    clock = StillClock()
    vtn = FakeVtn(events=(an_event(),))
    async with vtn, linked(vtn, clock=clock) as (_, inbox):
        await inbox.batches(1)
        clock.at = START + timedelta(hours=2)
        vtn.polls.append(distribute(an_event("other")))
        _, after = await inbox.batches(2)
        assert [call.key.event_id for call in after.calls] == ["other"]


async def test_it_waits_for_a_platform_that_is_down_at_the_start():
    vtn = FakeVtn(events=(an_event(),))
    async with linked(vtn) as (ven, inbox):
        await asyncio.sleep(0.1)
        assert (ven.registered, ven.consecutive_failures > 0) == (False, True)
        async with vtn:
            await inbox.batches(1)


async def test_it_polls_on_when_the_platform_went_and_came_back():
    vtn = FakeVtn()
    async with vtn, linked(vtn) as (ven, inbox):
        await vtn.until("oadrPoll")
        await vtn.stop()
        await asyncio.sleep(0.1)
        assert ven.consecutive_failures > 0
        with pytest.raises(Unavailable):
            await ven.send(a_report())
        await vtn.start()
        vtn.polls.append(distribute(an_event()))
        await inbox.batches(1)
        await vtn.until("oadrPoll", vtn.names().count("oadrPoll") + 1)
        assert ven.consecutive_failures == 0
        assert ven.last_poll_at == NOON


@pytest.mark.parametrize(
    "lost",
    [
        response(463, "who are you"),
        create_message("oadrRequestReregistration", ven_id="ven-1"),
        create_message(
            "oadrCancelPartyRegistration", request_id="c", registration_id="reg-1", ven_id="ven-1"
        ),
    ],
    ids=["463", "reregister", "cancel"],
)
async def test_a_lost_registration_is_made_again(lost):
    vtn = FakeVtn()
    async with vtn, linked(vtn) as (ven, inbox):
        await vtn.until("oadrPoll")
        vtn.events = (an_event(),)
        vtn.polls.append(lost)
        await vtn.until("oadrCreatePartyRegistration", 2)
        await inbox.batches(1)
        assert ven.registered


async def test_a_report_is_asked_for_sent_and_acknowledged():
    vtn = FakeVtn(standing=(a_report_request(), a_report_request("RR-what", "what")))
    async with vtn, linked(vtn) as (ven, inbox):
        (asked,) = await inbox.requests(1)
        assert (asked.request_id, asked.specifier) == ("RR-telemetry", "telemetry")
        assert (asked.granularity, asked.back_duration) == (timedelta(minutes=1), timedelta(minutes=5))
        await vtn.until("oadrCreatedReport")
        said = vtn.last("oadrCreatedReport").fields
        assert said["oadrPendingReports.reportRequestID"] == "RR-telemetry"
        assert said["eiResponse.responseCode"] == "461"
        await vtn.until("oadrPoll")
        await ven.send(a_report())
        await ven.send(a_report())
        first, again = [message for message in vtn.received if message.name == "oadrUpdateReport"]
        assert first.raw == again.raw
        assert first.fields["oadrReport.eiReportID"] == "tel-1"
        payload = "oadrReport.intervals.interval.oadrReportPayload"
        assert first.fields[f"{payload}.payloadFloat.value"] == "-0.5"


async def test_a_bid_is_asked_for_by_poll_and_a_report_is_cancelled():
    vtn = FakeVtn(standing=(a_report_request(),))
    async with vtn, linked(vtn) as (_, inbox):
        await vtn.until("oadrPoll")
        wanted = a_report_request("REQ-1", "bid", "PT0S", "PT0S")
        vtn.polls.append(
            create_message("oadrCreateReport", request_id="c", report_requests=[wanted], ven_id="v")
        )
        _, bid = await inbox.requests(2)
        assert (bid.request_id, bid.specifier, bid.granularity) == ("REQ-1", "bid", timedelta(0))
        cancel = {"request_id": "k", "report_request_id": "RR-telemetry", "report_to_follow": False}
        vtn.polls.append(create_message("oadrCancelReport", ven_id="v", **cancel))
        cancelled = (await inbox.requests(3))[2]
        assert (cancelled.request_id, cancelled.cancelled) == ("RR-telemetry", True)
        await vtn.until("oadrCanceledReport")
        assert vtn.last("oadrCanceledReport").fields["oadrPendingReports.reportRequestID"] == "REQ-1"


async def test_a_cancellation_that_comes_with_an_acknowledgement_is_heard():
    vtn = FakeVtn(standing=(a_report_request(),))
    async with vtn, linked(vtn) as (ven, inbox):
        await vtn.until("oadrPoll")
        cancel = {"request_id": "k", "report_request_id": ["RR-telemetry"], "report_to_follow": False}
        vtn.answers["oadrUpdateReport"] = [
            create_message("oadrUpdatedReport", response=OK, cancel_report=cancel)
        ]
        await ven.send(a_report())
        assert (await inbox.requests(2))[1].cancelled


async def test_a_refused_report_is_told_apart_from_a_platform_that_is_away():
    vtn = FakeVtn()
    async with vtn, linked(vtn) as (ven, _):
        with pytest.raises(Unavailable):
            await ven.send(a_report())
        await vtn.until("oadrPoll")
        vtn.answers["oadrUpdateReport"] = [response(454, "not a half-hour"), 503, 400]
        with pytest.raises(BadMessage, match="not a half-hour"):
            await ven.send(a_report())
        with pytest.raises(Unavailable):
            await ven.send(a_report())
        with pytest.raises(BadMessage, match="HTTP 400"):
            await ven.send(a_report())
        assert ven.registered


async def test_ids_and_report_requests_outlive_a_restart():
    memory = Memory()
    vtn = FakeVtn(standing=(a_report_request(),))
    async with vtn, linked(vtn, memory) as (_, inbox):
        await inbox.requests(1)
        await vtn.until("oadrPoll")
    down = FakeVtn(port=vtn.port)
    async with linked(down, memory) as (_, inbox):
        (asked,) = await inbox.requests(1)
        assert asked.request_id == "RR-telemetry"
        async with down:
            await down.until("oadrPoll")
            said = down.last("oadrCreatePartyRegistration").fields
            assert (said["venID"], said["registrationID"]) == ("ven-1", "reg-1")


@pytest.mark.parametrize(
    "nonsense",
    [
        b"",
        b"\x00\xff",
        b"<html/>",
        b"<a>" * 20_000,
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e "v">]><x>&e;</x>',
        b" " * (3 * 1024 * 1024),
        distribute(an_event()).replace("2025-01-15T17", "soon"),
        distribute(an_event()).replace("-30.0", "NaN"),
    ],
    ids=["empty", "bytes", "html", "deep", "doctype", "large", "no-time", "nan"],
)
async def test_it_polls_on_whatever_it_is_sent(nonsense):
    vtn = FakeVtn()
    async with vtn, linked(vtn) as (_, inbox):
        await vtn.until("oadrPoll")
        vtn.polls.append(nonsense)
        vtn.polls.append(distribute(an_event("after")))
        batches = await inbox.batches(1)
        while batches[-1].calls[0].problem is not None:
            batches = await inbox.batches(len(batches) + 1)
        assert batches[-1].calls[0].key.event_id == "after"


async def test_an_answer_that_does_not_arrive_is_told():
    vtn = FakeVtn(events=(an_event(),))
    async with vtn, linked(vtn) as (ven, inbox):
        (batch,) = await inbox.batches(1)
        vtn.answers["oadrCreatedEvent"] = [500, response(452, "changed since")]
        for _ in range(2):
            with pytest.raises(Unavailable):
                await ven.answer(batch, {batch.calls[0].key: Decision(Opt.IN)})
        assert ven.registered


async def test_another_platforms_events_are_not_ours():
    vtn = FakeVtn()
    async with vtn, linked(vtn) as (_, inbox):
        await vtn.until("oadrPoll")
        other = create_message(
            "oadrDistributeEvent", vtn_id="Else", request_id="r", events=[an_event("theirs")]
        )
        vtn.polls.extend([other, distribute(an_event("ours"))])
        (batch,) = await inbox.batches(1)
        assert [call.key.event_id for call in batch.calls] == ["ours"]


async def test_after_an_answer_that_was_cut_short_all_events_are_asked_for():
    """A platform may count as delivered what it has sent, and never send it again."""
    order = an_event("DSP-1")
    async with FakeVtn() as vtn, linked(vtn) as (_, inbox):
        await vtn.until("oadrPoll")
        vtn.events = (order,)
        vtn.polls.append(distribute(order).encode()[:900])
        (batch,) = await inbox.batches(1)
        assert [call.key.event_id for call in batch.calls] == ["DSP-1"]
        assert vtn.names().count("oadrRequestEvent") == 2


IDS = (" x ", "x", "  sp 1 ", "a\nb", "ab", "a\r\nb", "\u00a0nb\u00a0", "\ttab", "<&>")


async def test_ids_are_answered_character_by_character():
    assert all(
        parse(distribute(an_event(name)).encode(), "rendered").body.events[0].id == name for name in IDS
    )
    async with FakeVtn() as vtn, linked(vtn) as (ven, inbox):
        vtn.polls.append(distribute(*(an_event(name) for name in IDS), request_id=" r\n1 "))
        (batch,) = await inbox.batches(1)
        assert [call.key.event_id for call in batch.calls] == list(IDS)
        assert [call.problem for call in batch.calls] == [None] * len(IDS)
        await ven.answer(batch, {call.key: Decision(Opt.IN) for call in batch.calls})
        said = vtn.last("oadrCreatedEvent").fields
        prefix = "eiCreatedEvent.eventResponses.eventResponse"
        assert [said[f"{prefix}[{n}].qualifiedEventID.eventID"] for n in range(len(IDS))] == list(IDS)
        assert said[f"{prefix}[0].requestID"] == " r\n1 "


async def test_report_request_ids_are_kept_whole():
    async with FakeVtn() as vtn, linked(vtn) as (_, inbox):
        vtn.polls.append(create_report(a_report_request(" RR\n1 ")))
        (request,) = await inbox.requests(1)
        assert request.request_id == " RR\n1 "
        await vtn.until("oadrCreatedReport")
        assert " RR\n1 " in vtn.last("oadrCreatedReport").fields.values()
