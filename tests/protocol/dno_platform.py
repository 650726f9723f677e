"""The simulated operator in-process, on a clock that the test turns, and the words its tests share."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.test_utils import TestServer

from market_adapters.dno_simulator.book import Book
from market_adapters.dno_simulator.edge import checked
from market_adapters.dno_simulator.record import MessageLog
from market_adapters.dno_simulator.result import result
from market_adapters.dno_simulator.scenario import Scenario
from market_adapters.dno_simulator.server import Vtn
from market_adapters.dno_simulator.state import State

from .dno_ven import HALF_HOUR, MINUTE, Ven

PATIENCE_S = 30
ZONE = "Hendon Way"
PREFIX = f"{ZONE}/day-ahead"
START = datetime(2025, 1, 8, 17, tzinfo=UTC)
REQUIREMENT = {
    "id": "007",
    "zone": ZONE,
    "product": "day-ahead",
    "start": "2025-01-08T17:00:00Z",
    "end": "2025-01-08T18:00:00Z",
    "kw": 30.0,
    "ceiling_gbp_per_mwh": 598.0,
    "publish_at": "2025-01-07T14:00:00Z",
    "gate_closure_at": "2025-01-07T16:00:00Z",
    "award_at": "2025-01-07T16:30:00Z",
    "dispatch_at": "2025-01-08T15:00:00Z",
}
SCENARIO = {
    "vtn_id": "DSO-Demo",
    "market_context": "http://dso.example/flex",
    "poll_interval_s": 0.25,
    "starts_at": "2025-01-07T13:00:00Z",
    "ends_at": "2025-01-09T10:30:00Z",
    "penalty_gbp_per_mwh": 600.0,
    "telemetry": {"from": "2025-01-08T15:30:00Z", "to": "2025-01-08T19:30:00Z"},
}


@dataclass
class HandClock:
    time: datetime

    def now(self) -> datetime:
        return self.time


@dataclass
class Platform:
    scenario: Scenario
    clock: HandClock
    book: Book
    log: MessageLog
    ven: Ven
    changes: list[None]

    def at(self, time: str) -> None:
        self.clock.time = datetime.fromisoformat(time)

    def result(self) -> dict[str, Any]:
        return result(self.scenario, self.book, self.clock.now(), self.log.counts)

    def row(self) -> dict[str, Any]:
        return self.result()["requirements"][0]


@asynccontextmanager
async def platform(
    folder: Path, requirement: Mapping[str, Any] | None = None, *, at: str | None = None, **scenario: Any
) -> AsyncIterator[Platform]:
    """The simulated operator served in-process, with one requirement, changed as the test needs it.

    Its clock shows the scenario's start, or ``at``.
    """
    asked = {"requirement": [REQUIREMENT | dict(requirement or {})]}
    played = checked(Scenario, SCENARIO | asked | scenario, "x.toml")
    clock, changes = HandClock(datetime.fromisoformat(at) if at else played.starts_at), []
    state = State(played, folder / "memory.jsonl", clock.now())
    with MessageLog(folder / "messages.jsonl", clock) as log:
        vtn = Vtn(played, clock, state, log, lambda: changes.append(None))
        async with TestServer(vtn.app) as server, aiohttp.ClientSession() as session:
            ven = Ven(session, str(server.make_url("")).rstrip("/"))
            yield Platform(played, clock, state.book, log, ven, changes)


async def until(met: Callable[[], object]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not met():  # noqa: ASYNC110 - it may be another program that makes it so
            await asyncio.sleep(0.01)


PEAK = {
    "id": "P1",
    "zones": [ZONE, "Wrotham"],
    "start": "2025-01-08T16:00:00Z",
    "end": "2025-01-08T19:00:00Z",
    "level": 2,
    "publish_at": "2025-01-07T13:30:00Z",
}


async def bid_and_award(p: Platform, kw: tuple[float, ...] = (30.0, 30.0)) -> dict[str, Any]:
    await p.ven.register()
    p.at("2025-01-07T14:00:00Z")
    await p.ven.bid("007", 1, kw, 590.0, start=START, prefix=PREFIX)
    p.at("2025-01-07T16:30:00Z")
    return await p.ven.events()


async def meter(p: Platform, kw: float, *, minutes: int = 60, start: datetime = START) -> None:
    rows = [(f"{ZONE}/export_kwh", start + n * MINUTE, MINUTE, -kw / 60) for n in range(minutes)]
    await p.ven.report("telemetry", "RR-telemetry", "T", rows)


async def nominate(p: Platform, kwh: float) -> None:
    rows = [(f"{ZONE}/nominated_kwh", START + n * HALF_HOUR, HALF_HOUR, -kwh) for n in range(2)]
    await p.ven.report("nomination", "RR-nomination", "N:1", rows)


async def claim(
    p: Platform, delivered_kwh: float, metered_kwh: float, nominated_kwh: float, n: int = 1
) -> None:
    energies = (("delivered", delivered_kwh), ("metered", -metered_kwh), ("nominated", -nominated_kwh))
    rows = [
        (f"{ZONE}/{name}_kwh", START + k * HALF_HOUR, HALF_HOUR, kwh)
        for k in range(2)
        for name, kwh in energies
    ]
    await p.ven.report("settlement", "RR-settlement", f"settlement:{ZONE}:{n}", rows)
