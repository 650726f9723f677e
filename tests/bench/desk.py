"""The desk: how late pictures reach viewers, how fast a long trail is, what pages weigh, and first paints."""

import asyncio
import tempfile
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

import aiohttp
import structlog
from aiohttp import web
from playwright.async_api import Page, Request
from sqlalchemy import insert

from aggregator.serving import listen_on, serving
from aggregator.store import SignedIn, Store
from aggregator.store.chain import link
from aggregator.store.columns import micros
from aggregator.store.engine import open_engine, parse_url, writing
from aggregator.store.tables import DESK_ACTIONS
from aggregator.web.assets import Assets
from aggregator.web.frame import Frame
from aggregator.web.people import Entrance
from aggregator.web.stream import Stream
from tests.bench.measure import Row, percentile_ms
from tests.desk.browsing import CHROMIUM, a_chromium, browsing
from tests.desk.world import NOW, a_desk

VIEWERS, PICTURES = 50, 20
LAG_P99_MS = 500.0
FIRST_PAINT_MS, PAGE_KB = 1000.0, 150.0
PAGES = {
    "Today": "/",
    "Bids": "/bids",
    "a bid": "/bids/bid-1",
    "Live": "/live",
    "Fleet": "/fleet",
    "a car": "/fleet/car-1",
    "Settlement": "/settlement",
    "Audit": "/audit",
    "Rules": "/rules",
}
TRAIL_ROWS, TRAIL_PAGE_MS = 100_000, 1000.0
FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


def rows() -> Iterator[Row]:
    """Measure the stream, then pages where there is a Chromium."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    yield from asyncio.run(_stream())
    yield from asyncio.run(_long_trail())
    if CHROMIUM is not None:
        yield from asyncio.run(_pages())


async def _stream() -> list[Row]:
    made_s: list[float] = []
    with tempfile.TemporaryDirectory(prefix="flexloop-bench-") as folder:
        async with a_desk(Path(folder)) as desk:
            gateway = desk.parts.gateway
            frame = Frame(gateway, desk.parts.controller, Assets())
            entrance = Entrance(gateway.settings, gateway.store, gateway.clock, gateway.patience, desk.wall)

            def picture() -> Mapping[str, Any]:
                found = frame.picture()
                made_s.append(perf_counter())
                return found

            stream, app = Stream(picture, entrance, frame.ground.zones), web.Application()
            vera, people = SignedIn("vera"), gateway.store.desk_people
            secret = await asyncio.to_thread(people.sign_in, vera, desk.wall.now())
            viewer = await entrance.behind(secret)
            if viewer is None:
                raise RuntimeError("the bench's viewer was not let in")
            app.on_startup.append(stream.open)
            app.on_shutdown.append(stream.close)
            app.router.add_get("/", lambda request: stream.serve(request, viewer))
            listener = listen_on("127.0.0.1:0")
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            async with serving(listener, app, "desk"):
                every = await asyncio.gather(*(_lags_s(url, made_s) for _ in range(VIEWERS)))
    found = [lag for of_one in every for lag in of_one]
    size = f"{VIEWERS} viewers in the gateway's own process, {PICTURES} pictures, one a second"
    what, p99 = "live picture made to received", percentile_ms(found, 0.99)
    return [
        Row(f"{what}, median", size, percentile_ms(found, 0.5), "ms", len(found)),
        Row(f"{what}, p99", size, p99, "ms", len(found), LAG_P99_MS),
    ]


async def _lags_s(url: str, made_s: list[float]) -> list[float]:
    """Return how long after it was made each picture was there, as one viewer reads them. [s]"""
    found: list[float] = []
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        for _ in range(2):  # when to come back, and a picture that may be older than the viewer
            await response.content.readuntil(b"\n\n")
        while len(found) < PICTURES:
            event = await response.content.readuntil(b"\n\n")
            number = int(event.partition(b"\n")[0].rpartition(b"-")[2])
            found.append(perf_counter() - made_s[number - 1])
    return found


async def _long_trail() -> list[Row]:
    found = []
    with tempfile.TemporaryDirectory(prefix="flexloop-bench-") as folder:
        async with a_desk(Path(folder)) as desk:
            vera = await desk.sign_in("vera")
            fill_trail(desk.store, TRAIL_ROWS)
            asked = {"Audit, first page": "/audit", "Audit, last page": f"/audit?page={TRAIL_ROWS // 100}"}
            for name, path in asked.items():
                began_s = perf_counter()
                status, _ = await vera.get(path)
                took_ms = 1000 * (perf_counter() - began_s)
                if status != 200:
                    raise RuntimeError(f"{path} answered {status}")
                size = f"a trail of {TRAIL_ROWS:,} rows"
                found.append(Row(f"desk, {name}: answered", size, took_ms, "ms", 1, TRAIL_PAGE_MS))
            began_s = perf_counter()
            data, _ = await vera.download("/v1/audit/trail.csv")
            took_ms, size = 1000 * (perf_counter() - began_s), f"{len(data) / 1e6:.0f} MB, streamed"
            found.append(Row("desk, trail.csv: downloaded", size, took_ms, "ms", 1))
    return found


def fill_trail(store: Store, count: int) -> None:
    """Add rows to a trail, chained, at once."""
    before, rows = store.desk_trail.verify(), []
    head = before.head
    for n in range(before.last + 1, before.last + count + 1):
        content = {
            "action_id": n,
            "at": NOW + n * timedelta(seconds=1),
            "user_name": "otto",
            "action": "acknowledge",
            "subject": f"alarm {n}",
            "draft": "",
            "status": 200,
            "said": f"alarm {n}: acknowledged by otto",
            "key": f"bench {n}",
            "asked": f"{n:064x}",
            "via": "desk",
        }
        head = link(head, [micros(value) if name == "at" else value for name, value in content.items()])
        rows.append({**content, "digest": head})
    engine = open_engine(parse_url(store.url))
    with writing(engine) as connection:
        connection.execute(insert(DESK_ACTIONS), rows)
    engine.dispose()


async def _pages() -> list[Row]:
    found = []
    with tempfile.TemporaryDirectory(prefix="flexloop-bench-") as folder:
        async with (
            a_desk(Path(folder)) as desk,
            a_chromium() as chromium,
            browsing(desk, chromium) as people,
        ):
            page = await people.signed_in("anna")
            for name, path in PAGES.items():
                fresh = await people.page()
                await fresh.context.add_cookies(await page.context.cookies())
                loaded = _loading(fresh)
                await people.go(fresh, path)
                paint_ms = await fresh.evaluate(FIRST_PAINT)
                kb = sum([(await one.sizes())["responseBodySize"] for one in loaded]) / 1000
                await fresh.context.close()
                size = "Chromium, loopback, nothing kept"
                found.append(Row(f"desk, {name}: first paint", size, paint_ms, "ms", 1, FIRST_PAINT_MS))
                found.append(Row(f"desk, {name}: all it loads, compressed", size, kb, "KB", 1, PAGE_KB))
    return found


def _loading(page: Page) -> list[Request]:
    """Return a list that grows with each request that a page has finished."""
    loaded: list[Request] = []

    def finished(request: Request) -> None:
        loaded.append(request)

    page.on("requestfinished", finished)
    return loaded
