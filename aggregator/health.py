"""Whether this gateway does its work, told over HTTP: alive, ready and why not, and figures for Prometheus.

Workers know nothing of it: it reads what they show. It can be asked by anybody who reaches its address, says
nothing of drivers or prices, and changes nothing but one row that shows that the database can be written.
"""

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import structlog
from aiohttp import web

from aggregator.metrics import CONTENT_TYPE, Watched, metrics_page
from aggregator.model.errors import Unavailable
from aggregator.model.time import utc_text
from aggregator.platform_watch import Check, platform_check
from aggregator.wiring import GATEWAY

log = structlog.get_logger()

CYCLES_MISSED = 3
PROBE_TIMEOUT_S = 5.0
PROBED_FOR_S = 1.0
"""A database is not written to more often than this, however often it is asked for."""


class Health:
    """Answers the three routes.

    Args:
        watched: What is looked at.
        stop: Set once the gateway is asked to end.
    """

    def __init__(self, watched: Watched, stop: asyncio.Event) -> None:
        self._watched = watched
        self._stop = stop
        self._probing = asyncio.Lock()
        self._probed: tuple[float, Check] | None = None

    def app(self) -> web.Application:
        """Return the web application."""
        app = web.Application()
        app.router.add_get("/health/live", self._live)
        app.router.add_get("/health/ready", self._ready)
        app.router.add_get("/metrics", self._metrics)
        return app

    async def checks(self) -> Mapping[str, Check]:
        """Return every check by name."""
        found = {f"platform {name}": platform_check(ven) for name, ven in self._watched.vens.items()}
        found["control loop"] = self._loop_check()
        found["recorder"] = self._recorder_check()
        found["database"] = await self._database_check()
        if self._stop.is_set():
            found["process"] = Check(ok=False, says="it was asked to end")
        return found

    async def _live(self, _request: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def _ready(self, _request: web.Request) -> web.Response:
        checks = await self.checks()
        ready = all(check.ok for check in checks.values())
        body = {
            "ready": ready,
            "checks": {name: {"ok": check.ok, "says": check.says} for name, check in checks.items()},
        }
        return web.json_response(body, status=200 if ready else 503)

    async def _metrics(self, _request: web.Request) -> web.Response:
        page = await metrics_page(self._watched)
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE})

    def _loop_check(self) -> Check:
        cycle_s = self._watched.settings.dispatch.cycle_s
        cycled_at = self._watched.controller.cycled_at
        if cycled_at is None:
            return Check(ok=False, says="no cycle yet")
        age_s = (self._watched.clock.now() - cycled_at) / timedelta(seconds=1)
        most_s = CYCLES_MISSED * cycle_s
        return Check(age_s <= most_s, f"last cycle {age_s:.0f} s ago, at most {most_s:.0f} s")

    def _recorder_check(self) -> Check:
        recorder = self._watched.recorder
        return Check(not recorder.is_filling, f"{recorder.backlog} cycles wait for the database")

    async def _database_check(self) -> Check:
        async with self._probing:
            now_s = asyncio.get_running_loop().time()
            if self._probed is None or now_s - self._probed[0] > PROBED_FOR_S:
                self._probed = (now_s, await self._probe())
            return self._probed[1]

    async def _probe(self) -> Check:
        remember, text = self._watched.store.memory.remember, utc_text(self._watched.clock.now())
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await asyncio.to_thread(remember, GATEWAY, "probed", text)
        except Unavailable as error:
            return Check(ok=False, says=str(error))
        except TimeoutError:
            return Check(ok=False, says=f"no answer within {PROBE_TIMEOUT_S:g} s")
        return Check(ok=True, says="can be written")
