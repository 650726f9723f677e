"""Our side of the link against all that the simulated operator can do to an order and to a registration."""

from datetime import datetime, timedelta

import pytest

from aggregator.model.time import Interval
from aggregator.ports import CallKind, Decision, Opt

from .dno_platform import PEAK, START, ZONE, platform, until
from .test_dno_faults import polls
from .test_ven import Memory, linked
from .test_ven_dno import Address, a_report, the_call

CALL = {
    "id": "C1",
    "zone": ZONE,
    "product": "day-ahead",
    "start": "2025-01-08T17:00:00Z",
    "end": "2025-01-08T18:00:00Z",
    "kw": 20.0,
    "publish_at": "2025-01-07T13:30:00Z",
}
LATE = {"publish_at": "2025-01-08T12:00:00Z", "gate_closure_at": "2025-01-08T12:30:00Z"}
LATE |= {"award_at": "2025-01-08T12:30:00Z", "dispatch_at": None}
"""Keeps the platform's need out of these tests."""

ORDERED, CHANGED = "2025-01-07T13:30:00+00:00", "2025-01-07T14:00:00+00:00"
AT = "2025-01-07T14:00:00Z"


def a_call(**changes):
    return {"requirement": LATE, "call": [CALL | changes]}


async def versions(inbox, count):
    """Wait for so many batches; return each call in them as modification, cancelled and problem."""
    batches = await inbox.batches(count)
    return [
        (call.key.modification, call.cancelled, (call.problem or "").partition(" ")[0])
        for batch in batches[:count]
        for call in batch.calls
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"cancel_at": AT}, [(0, False, ""), (1, True, "")]),
        ({"vanish_at": AT}, [(0, False, ""), (1, True, "")]),
        ({"amend": [{"at": AT, "shift_minutes": 30}]}, [(0, False, ""), (1, False, "")]),
        ({"amend": [{"at": AT, "kw": [20.0] * 3}]}, [(0, False, ""), (1, False, "")]),
        ({"end_told_at": AT}, [(0, False, ""), (1, False, "")]),
        (
            {
                "amend": [{"at": "2025-01-07T13:29:00Z", "kw": 10.0}],
                "publish_at": "2025-01-07T13:28:00Z",
                "behind": [{"from": AT, "to": "2025-01-07T15:00:00Z"}],
            },
            [(1, False, ""), (0, False, "modification")],
        ),
    ],
)
async def test_each_way_an_order_changes_is_told_once(tmp_path, changes, expected):
    async with (
        platform(tmp_path, **a_call(**changes)) as p,
        linked(Address(p.ven.base_url), clock=p.clock, vtn_id="DSO-Demo") as (_, inbox),
    ):
        await polls(p, 1)
        p.at(ORDERED)
        await inbox.batches(1)
        p.at(CHANGED)
        assert await versions(inbox, 2) == expected
        await polls(p, 3)
        assert len(await inbox.batches(2)) == 2


async def test_an_order_comes_as_setpoint_open_ended_for_a_test_at_its_start_and_without_an_answer(tmp_path):
    form = {"test": True, "answer": "never", "random_start_minutes": 5.0, "ramp_up_minutes": 5.0}
    late = {"publish_at": "2025-01-08T17:00:00Z", "end_told_at": "2025-01-08T17:30:00Z"}
    async with (
        platform(tmp_path, requirement={}, call=[CALL | late | {"signal": "setpoint", "form": form}]) as p,
        linked(Address(p.ven.base_url), clock=p.clock, vtn_id="DSO-Demo") as (ven, inbox),
    ):
        await polls(p, 1)
        p.at("2025-01-08T17:00:00+00:00")
        batch, order = await the_call(inbox, CallKind.DISPATCH)
        assert (order.test, order.wants_answer, order.interval) == (True, False, None)
        assert (order.content.mode.value, order.content.steps[0].value) == ("setpoint", 20.0)
        await ven.answer(batch, {call.key: Decision(Opt.IN) for call in batch.calls if call is not order})
        await polls(p, 1)
        assert "C1" not in p.book.answers
        p.at("2025-01-08T17:30:00+00:00")
        ended = next(call for call in (await inbox.batches(2))[1].calls if call.key.event_id == "C1")
        assert ended.interval == Interval(START, START + timedelta(hours=1))


async def test_the_same_events_handed_out_again_are_the_same(tmp_path):
    async with (
        platform(tmp_path, **a_call(), deliver_again_at=[AT]) as p,
        linked(Address(p.ven.base_url), clock=p.clock, vtn_id="DSO-Demo") as (ven, inbox),
    ):
        await polls(p, 1)
        p.at(ORDERED)
        await inbox.batches(1)
        p.at(CHANGED)
        first, again = await inbox.batches(2)
        assert [call.key for call in first.calls] == [call.key for call in again.calls]
        for batch in (first, again):
            await ven.answer(batch, {call.key: Decision(Opt.IN) for call in batch.calls})
        assert p.result()["opt"] == {"C1": "optIn"}


async def test_two_market_contexts_and_a_peak_with_a_price(tmp_path):
    other = CALL | {"id": "C2", "market_context": "http://other.example"}
    peak = PEAK | {"zones": [ZONE], "price_gbp_per_mwh": 650.0}
    async with (
        platform(tmp_path, requirement=LATE, call=[CALL, other], peak=[peak]) as p,
        linked(Address(p.ven.base_url), clock=p.clock, vtn_id="DSO-Demo") as (ven, inbox),
    ):
        await polls(p, 1)
        p.at(ORDERED)
        (batch,) = await inbox.batches(1)
        calls = {call.key.event_id: call for call in batch.calls}
        assert (calls["C1"].problem, calls["C2"].problem.partition("'")[0]) == (None, "market context ")
        assert [step.value for step in calls["PEAK-P1-Hendon Way"].content.steps] == [2]
        await ven.answer(batch, {call.key: Decision(Opt.IN) for call in batch.calls})
        assert p.result()["opt"] == {"C1": "optIn", "C2": "optOut", "PEAK-P1-Hendon Way": "optIn"}


@pytest.mark.parametrize("kind", ["cancel", "reregister", "forget"])
async def test_our_side_registers_again_and_has_nothing_twice(tmp_path, kind):
    async with (
        platform(tmp_path, **a_call(), registration=[{"at": AT, "kind": kind}]) as p,
        linked(Address(p.ven.base_url), clock=p.clock, vtn_id="DSO-Demo") as (ven, inbox),
    ):
        await polls(p, 1)
        p.at(ORDERED)
        await the_call(inbox, CallKind.DISPATCH)
        p.at(CHANGED)
        await until(lambda: not ven.registered or p.log.counts["oadrCreatePartyRegistration"] > 1)
        p.at("2025-01-07T14:00:01+00:00")  # a registration at the very time of the act would be one before it
        await until(lambda: p.log.counts["oadrCreatePartyRegistration"] > 1 and ven.registered)
        await polls(p, 2)
        batches = await inbox.batches(1)
        assert {call.key for batch in batches for call in batch.calls} == {batches[0].calls[0].key}
        confirmed = {"cancel": "oadrCanceledPartyRegistration", "reregister": "oadrResponse"}.get(kind)
        assert confirmed is None or p.log.counts[confirmed] > 0


async def test_our_side_goes_on_with_a_platform_that_was_restarted(tmp_path):
    memory = Memory()
    async with (
        platform(tmp_path, **a_call()) as p,
        linked(Address(p.ven.base_url), memory, p.clock, vtn_id="DSO-Demo") as (ven, inbox),
    ):
        await polls(p, 1)
        p.at(ORDERED)
        batch, order = await the_call(inbox, CallKind.DISPATCH)
        await ven.answer(batch, {order.key: Decision(Opt.IN)})
    async with (
        platform(tmp_path, **a_call(cancel_at=AT), at=ORDERED) as p,
        linked(Address(p.ven.base_url), memory, p.clock, vtn_id="DSO-Demo") as (ven, inbox),
    ):
        await polls(p, 1)
        assert p.result()["opt"] == {"C1": "optIn"}
        p.at(CHANGED)
        cancelled = (await inbox.batches(2))[1].calls[0]
        assert (cancelled.key.event_id, cancelled.key.modification, cancelled.cancelled) == ("C1", 1, True)


async def test_report_requests_of_every_kind(tmp_path):
    window = {"from": "2025-01-07T12:00:00Z", "to": "2025-01-07T13:00:00Z"}
    asked = [
        {"at": ORDERED, "request_id": "ONCE", "specifier": "telemetry"},
        {"at": ORDERED, "request_id": "PAST", "specifier": "telemetry", "granularity_s": 60} | window,
        {"at": ORDERED, "request_id": "NONE", "specifier": "gossip"},
    ]
    cancelled = [
        {"at": AT, "request_id": "PAST"},
        {"at": AT, "request_id": "RR-telemetry", "by": "updated_report"},
    ]
    async with (
        platform(tmp_path, requirement=LATE, report=asked, cancel_report=cancelled) as p,
        linked(Address(p.ven.base_url), clock=p.clock, vtn_id="DSO-Demo") as (ven, inbox),
    ):
        await polls(p, 1)
        p.at(ORDERED)
        found = {request.request_id: request for request in await inbox.requests(6)}
        assert set(found) == {
            "RR-telemetry", "RR-status", "RR-nomination", "RR-settlement", "ONCE", "PAST"
        }  # fmt: skip
        assert found["ONCE"].once
        hour = [datetime.fromisoformat(window[name]) for name in ("from", "to")]
        assert found["PAST"].window == Interval(*hour)
        await until(lambda: "responseCode>461<" in (tmp_path / "messages.jsonl").read_text())
        p.at(CHANGED)
        gone = (await inbox.requests(7))[6]
        assert (gone.request_id, gone.cancelled) == ("PAST", True)
        await ven.send(a_report("T-1", "RR-telemetry", "telemetry", []))
        gone = (await inbox.requests(8))[7]
        assert (gone.request_id, gone.cancelled) == ("RR-telemetry", True)
