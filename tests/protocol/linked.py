"""Our side of a link in a test: a ``Ven`` against any platform, and what it yields."""

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

from aggregator.model.market import Direction
from aggregator.ports import CallBatch, ReportRequest
from market_adapters.openadr.profile import Profile
from market_adapters.openadr.ven import Ven, VenSettings
from tests.protocol.vtn import CONTEXT, PATIENCE_S, VTN_ID

PROFILE = Profile(CONTEXT, ("Hendon Way",), {"day-ahead": Direction.UP})
NOON = datetime(2025, 1, 14, 12, tzinfo=UTC)


class Memory(dict):
    """A ``VenMemory`` that lasts as long as the test."""

    def recall(self, vtn_id, name):
        return self.get((vtn_id, name))

    def remember(self, vtn_id, name, value):
        self[vtn_id, name] = value


class StillClock:
    """A domain clock that a test sets."""

    def __init__(self, at=NOON):
        self.at = at

    def now(self):
        return self.at


class Inbox:
    """What a VEN yielded, taken up by a task of its own as the application does."""

    def __init__(self, ven):
        self.ven = ven
        self.items = []
        self._changed = asyncio.Condition()

    async def run(self):
        async for item in self.ven.calls():
            async with self._changed:
                self.items.append(item)
                self._changed.notify_all()

    async def batches(self, count):
        await self._until(lambda: len(self._of(CallBatch)) >= count)
        return self._of(CallBatch)

    async def requests(self, count):
        await self._until(lambda: len(self._of(ReportRequest)) >= count)
        return self._of(ReportRequest)

    async def _until(self, met):
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(met)

    def _of(self, kind):
        return [item for item in self.items if isinstance(item, kind)]


@asynccontextmanager
async def linked(vtn, memory=None, clock=None, price_steps=1, **settings):
    """Run a VEN against a platform."""
    wanted = VenSettings(
        vtn_id=VTN_ID,
        url=vtn.url,
        ven_name="A & B <Ltd>",
        poll_interval_s=0.02,
        timeout_s=2.0,
        retry_first_s=0.02,
        retry_most_s=0.05,
    )
    memory = Memory() if memory is None else memory
    profile = replace(PROFILE, price_steps={"day-ahead": price_steps})
    async with Ven(replace(wanted, **settings), profile, memory, clock or StillClock()) as ven:
        inbox = Inbox(ven)
        task = asyncio.create_task(inbox.run())
        try:
            yield ven, inbox
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
