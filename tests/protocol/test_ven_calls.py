"""An order that no bid preceded, from the simulated operator's mouth to both sides' books."""

import asyncio
from datetime import datetime, timedelta

from aggregator.model.time import Interval
from aggregator.settlement import LATE as NOMINATED_LATE
from aggregator.settlement import MEASURED, NO_PRICE
from aggregator.settling import work_out
from tests.protocol.dno_platform import SCENARIO, START, ZONE, platform, until
from tests.protocol.gateway import running
from tests.protocol.test_ven_dno_life import LATE
from tests.protocol.vtn import CONTEXT, VTN_ID

HOUR = timedelta(hours=1)
ORDERED_KW = 2.0
CALL = {
    "id": "C1",
    "zone": ZONE,
    "product": "day-ahead",
    "start": "2025-01-08T17:00:00Z",
    "end": "2025-01-08T18:00:00Z",
    "kw": ORDERED_KW,
    "publish_at": "2025-01-08T16:45:00Z",
}
BEFORE_GATE = datetime.fromisoformat("2025-01-07T13:30:00+00:00")
AFTER_GATE = datetime.fromisoformat("2025-01-07T14:01:00+00:00")
BEFORE_CALL = datetime.fromisoformat("2025-01-08T16:40:00+00:00")


def the_platform(folder):
    telemetry = {"from": "2025-01-08T16:30:00Z", "to": "2025-01-08T18:30:00Z"}
    said = {"vtn_id": VTN_ID, "market_context": CONTEXT, "poll_interval_s": 0.02, "telemetry": telemetry}
    return platform(folder, LATE, call=[CALL], **SCENARIO | said)


async def play_call(p, parts):
    """Play the evening of the call; return the opportunity and what the operator has in its books."""
    while parts.clock.now() < START + HOUR + timedelta(minutes=8):
        p.clock.time = parts.clock.now()
        if parts.clock.now() >= START - timedelta(minutes=10):
            await until(parts.store.journal.ids)
        await asyncio.to_thread(parts.gateway.tick)
        await asyncio.to_thread(parts.gateway.book.refresh, parts.clock.now())
        await parts.minute()
    p.clock.time = parts.clock.now()
    await asyncio.to_thread(parts.gateway.tick)
    await until(lambda: not parts.waiting())
    (name,) = parts.store.journal.ids()
    await asyncio.to_thread(parts.gateway.tick)
    return parts.store.journal.opportunity(name), p.result()["calls"][0]


async def test_a_call_is_settled_against_what_was_nominated_before_it_and_both_sides_agree(tmp_path):
    async with (
        the_platform(tmp_path) as p,
        running(f"{p.ven.base_url}/OpenADR2/Simple/2.0b", tmp_path, BEFORE_GATE) as parts,
    ):
        p.clock.time = BEFORE_GATE
        await until(lambda: parts.gateway.reporting.request_for(VTN_ID, "nomination", ZONE))
        await asyncio.to_thread(parts.gateway.tick)
        assert parts.store.nominations.between(ZONE, Interval(START, START + HOUR)) == []
        p.clock.time = AFTER_GATE
        parts.clock.set(AFTER_GATE)
        await asyncio.to_thread(parts.gateway.tick)
        await until(lambda: not parts.waiting())
        parts.clock.set(BEFORE_CALL)
        _, books = await play_call(p, parts)
        frozen = parts.store.nominations.between(ZONE, Interval(START, START + HOUR))
        assert [one.frozen_at for one in frozen] == [AFTER_GATE] * 2
        assert books["delivered_kwh"] == ORDERED_KW
        assert books["agrees"]


async def test_a_call_after_a_gate_that_the_gateway_slept_through_is_nominated_when_it_is_accepted(tmp_path):
    async with (
        the_platform(tmp_path) as p,
        running(f"{p.ven.base_url}/OpenADR2/Simple/2.0b", tmp_path, START - timedelta(minutes=12)) as parts,
    ):
        p.clock.time = parts.clock.now()
        await until(parts.store.journal.ids)
        frozen = parts.store.nominations.between(ZONE, Interval(START, START + HOUR))
        assert [one.frozen_at for one in frozen] == [START - timedelta(minutes=12)] * 2
        one, books = await play_call(p, parts)
        assert one.statement_version == 1
        product = parts.gateway.workflow.products[one.product_id]
        lines = work_out(parts.store, one, product, parts.gateway.fleets).statement.lines
        assert sum(line.delivered_wh for line in lines) == 1000 * ORDERED_KW
        assert {line.quality for line in lines} == {f"{MEASURED}; {NOMINATED_LATE}; {NO_PRICE}"}
        assert books["delivered_kwh"] == 0  # the operator counts no nomination that came after its call
        assert parts.store.nominations.between(ZONE, Interval(START, START + HOUR)) == frozen
