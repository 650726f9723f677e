"""Our side of the link against openleadr's own VTN, as it is, in a process of its own."""

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiohttp.test_utils import unused_port

from aggregator.model.time import Interval
from aggregator.ports import Decision, Opt, Report, ReportRow
from tests.protocol.linked import linked

ROOT = Path(__file__).parents[2]
SECONDS = 20


class Stock:
    """The program ``openleadr_vtn`` and what it tells."""

    def __init__(self, process, url):
        self.process = process
        self.url = url

    async def told(self, about):
        async with asyncio.timeout(SECONDS):
            async for line in self.process.stdout:
                if line.startswith(b"[") and (words := json.loads(line))[0] == about:
                    return words[1:]
        raise AssertionError(await self.process.stderr.read())


@asynccontextmanager
async def a_stock_vtn():
    port = unused_port()
    program = (sys.executable, "-m", "tests.protocol.openleadr_vtn", str(port))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*program, cwd=ROOT, stdout=pipe, stderr=pipe)
    try:
        vtn = Stock(process, f"http://127.0.0.1:{port}/OpenADR2/Simple/2.0b")
        await vtn.told("ready")
        yield vtn
    finally:
        process.terminate()
        await process.communicate()


async def a_version(inbox, modification):
    """Wait for a version of the event: openleadr delivers one again until it is polled for."""
    count = 1
    while (batch := (await inbox.batches(count))[count - 1]).calls[0].key.modification != modification:
        count += 1
    return batch


async def test_register_event_change_cancellation_and_telemetry():
    async with a_stock_vtn() as vtn, linked(vtn, vtn_id="DSO-Stock") as (ven, inbox):
        assert await vtn.told("registered") == ["A & B <Ltd>"]
        asked = {request.specifier: request for request in await inbox.requests(2)}
        assert asked["telemetry"].granularity == timedelta(minutes=1)
        for version, (kw, opt) in enumerate([(30.0, Opt.IN), (20.0, Opt.OUT), (None, Opt.IN)]):
            batch = await a_version(inbox, version)
            (call,) = batch.calls
            assert call.problem is None
            assert (call.content.steps[0].value if call.content else None) == kw
            assert call.cancelled == (kw is None)
            await ven.answer(batch, {call.key: Decision(opt)})
            assert await vtn.told("opt") == ["DSP-1", opt.value]
        start = datetime(2025, 1, 15, 17, tzinfo=UTC)
        row = ReportRow("Hendon Way/export_kw", Interval(start, start + timedelta(minutes=1)), 12.5)
        report = Report("t-1", "DSO-Stock", asked["telemetry"].request_id, "telemetry", start, (row,))
        await ven.send(report)
        assert await vtn.told("values") == [[["2025-01-15T17:00:00+00:00", -12.5]]]
