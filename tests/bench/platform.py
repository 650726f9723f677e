"""A platform on loopback and our real parts: events in and answered, reports out, stalls, memory."""

import asyncio
import re
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from os import sysconf
from pathlib import Path
from time import perf_counter

import structlog
from aiohttp import web
from aiohttp.test_utils import unused_port
from openleadr.messaging import create_message

from aggregator.model.time import Interval
from aggregator.ports import Quality, Report, ReportRow
from market_adapters.openadr.xmltree import MAX_BYTES
from tests.bench.measure import Row, percentile_ms
from tests.protocol.gateway import ZONE, Parts, running, until
from tests.protocol.vtn import OK, VTN_ID

EVENT = Path(__file__).parents[1] / "golden" / "openadr_read" / "requirement.xml"
DAY_BEFORE = datetime.fromisoformat("2025-01-14T10:00:00+00:00")
SIZES = ((1, 100), (10, 30), (100, 5))
REPORTS, VALUES = 300, 30
POLLS, WARM_POLLS = 10_000, 1_000
MINUTE = timedelta(minutes=1)
ANSWERED_P99_MS = 250.0
MIB = 2**20
TICK_S = 0.001


class Platform:
    """Hands out bytes made before and notes when they were answered; parses nothing."""

    def __init__(self) -> None:
        self.port = unused_port()
        self.url = f"http://127.0.0.1:{self.port}/OpenADR2/Simple/2.0b"
        self.out: deque[bytes] = deque()
        self.polls = self.reports = 0
        self.handed_s = 0.0
        self.answered_s: list[float] = []
        content = {"response": {**OK, "request_id": "r"}, "ven_id": "ven-1"}
        profiles = [{"profile_name": "2.0b", "transports": [{"transport_name": "simpleHttp"}]}]
        registration = {"vtn_id": VTN_ID, "registration_id": "reg-1", "profiles": profiles}
        usual = {
            "EiRegisterParty": create_message("oadrCreatedPartyRegistration", **content, **registration),
            "EiReport": create_message("oadrUpdatedReport", **content),
            "OadrPoll": create_message("oadrResponse", **content),
        }
        self._usual = {service: text.encode() for service, text in usual.items()}

    async def serve(self, request: web.Request) -> web.Response:
        """Answer one message."""
        said = await request.read()
        service = request.match_info["service"]
        body = self._usual.get(service, self._usual["OadrPoll"])
        if b"oadrCreatedEvent" in said:
            self.answered_s.append(perf_counter())
        elif service == "EiReport":
            self.reports += 1
        elif service == "OadrPoll":
            self.polls += 1
            if self.out:
                self.handed_s, body = perf_counter(), self.out.popleft()
        return web.Response(body=body, content_type="application/xml")

    async def answer_s(self, message: bytes) -> float:
        """Hand a message out and return the seconds until its events were answered."""
        count = len(self.answered_s)
        self.out.append(message)
        await until(lambda: len(self.answered_s) > count)
        return self.answered_s[-1] - self.handed_s


def rows() -> Iterator[Row]:
    """Measure events, the largest message, reports and polls, each on a store of its own."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    for measured in (_events, _largest, _reports, _polls):
        yield from asyncio.run(measured())


async def _events() -> list[Row]:
    found = []
    for count, messages in SIZES:
        async with _linked() as (platform, _):
            await platform.answer_s(_message(count, 0))
            seconds = [await platform.answer_s(_message(count, 1 + n)) for n in range(messages)]
        size = f"{count} events in a message, {len(_message(count, 0)) / 1000:,.0f} KB, loopback, SQLite"
        what, ms = "event in to durable to answered", percentile_ms(seconds, 0.5)
        found.append(Row(f"{what}, median", size, ms, "ms", messages))
        budget = ANSWERED_P99_MS if count == 1 else None
        found.append(Row(f"{what}, p99", size, percentile_ms(seconds, 0.99), "ms", messages, budget))
    return found


async def _largest() -> list[Row]:
    count = MAX_BYTES // len(_event(0, 0)) - 1
    message = _message(count, 0)
    async with _linked() as (platform, _):
        await platform.answer_s(_message(1, 0))
        ticking = asyncio.create_task(_longest_gap_s())
        seconds = await platform.answer_s(message)
        ticking.cancel()
        longest_s = await ticking
    size = f"{count} new events in a message, {len(message) / MIB:.1f} MiB"
    return [
        Row("largest message, in to answered", size, seconds * 1e3, "ms", 1),
        Row("largest message, longest stall of the loop", size, longest_s * 1e3, "ms", 1),
    ]


async def _reports() -> list[Row]:
    async with _linked() as (platform, parts):
        await until(lambda: platform.polls > 0)
        for n in range(REPORTS):
            parts.store.outbox.put(_report(n))
        # what a sender has seen waiting meanwhile is not counted
        began_s, before = perf_counter(), platform.reports
        await until(lambda: not parts.store.outbox.waiting(VTN_ID))
        rate = (platform.reports - before) / (perf_counter() - began_s)
    size = f"{REPORTS} reports of {VALUES} values, each marked as sent, SQLite"
    return [Row("reports out", size, rate, "reports/s", REPORTS)]


async def _polls() -> list[Row]:
    async with _linked(poll_interval_s=1e-6) as (platform, _):
        await _count(platform, WARM_POLLS)
        before, began_s = _rss_mib(), perf_counter()
        await _count(platform, WARM_POLLS + POLLS)
        grown, seconds = _rss_mib() - before, perf_counter() - began_s
    size = f"{POLLS:,} polls, {POLLS / seconds:,.0f}/s"
    return [Row("memory grown by polling", size, grown, "MiB", 1)]


async def _count(platform: Platform, polls: int) -> None:
    while platform.polls < polls:  # noqa: ASYNC110 - it goes on for longer than tests have patience
        await asyncio.sleep(0.05)


async def _longest_gap_s() -> float:
    """Return, once cancelled, the longest time in which the loop did nothing else. [s]"""
    longest, last = 0.0, perf_counter()
    try:
        while True:
            await asyncio.sleep(TICK_S)
            now = perf_counter()
            longest, last = max(longest, now - last - TICK_S), now
    except asyncio.CancelledError:
        return longest


@asynccontextmanager
async def _linked(**vtn: float) -> AsyncIterator[tuple[Platform, Parts]]:
    platform, app = Platform(), web.Application()
    app.router.add_post("/OpenADR2/Simple/2.0b/{service}", platform.serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", platform.port).start()
    try:
        with tempfile.TemporaryDirectory(prefix="flexloop-bench-") as folder:
            async with running(platform.url, Path(folder), DAY_BEFORE, **vtn) as parts:
                yield platform, parts
    finally:
        await runner.cleanup()


def _event(number: int, modification: int) -> str:
    """Return the golden requirement as another event, in another version."""
    (event,) = re.findall(r"<oadr:oadrEvent>.*?</oadr:oadrEvent>", EVENT.read_text(), re.DOTALL)
    event = re.sub(r"(<(?:\w+:)?eventID>)[^<]*", rf"\g<1>REQ-{number}", event)
    return re.sub(r"(<(?:\w+:)?modificationNumber>)[^<]*", rf"\g<1>{modification}", event)


def _message(count: int, modification: int) -> bytes:
    text = EVENT.read_text()
    start, end = text.index("<oadr:oadrEvent>"), text.rindex("</oadr:oadrEvent>") + len("</oadr:oadrEvent>")
    text = re.sub(r"(<(?:\w+:)?vtnID>)[^<]*", rf"\g<1>{VTN_ID}", text[:start]) + "{}" + text[end:]
    return text.replace("{}", "".join(_event(n, modification) for n in range(count))).encode()


def _report(number: int) -> Report:
    at = DAY_BEFORE + number * MINUTE
    interval = Interval(at, at + MINUTE)
    rows = tuple(ReportRow(f"{ZONE}/export_kwh", interval, 0.5, Quality.GOOD) for _ in range(VALUES))
    return Report(f"telemetry:RR-1:{number}", VTN_ID, "RR-1", "telemetry", at, rows)


def _rss_mib() -> float:
    """Return what this process holds in memory now; Linux alone says."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * sysconf("SC_PAGE_SIZE") / MIB
