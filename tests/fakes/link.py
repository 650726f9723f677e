"""A link whose chargers take whatever they are told, and remember it."""

import asyncio

from aggregator.model.metering import Outcome


class ObedientLink:
    """Chargers that take every set-point; ``told`` holds them in order."""

    def __init__(self):
        self.told = []
        self.fallbacks = {}
        self._batches = asyncio.Queue()

    async def apply(self, points):
        self.told += points
        return [Outcome.ACCEPTED for _ in points]

    async def set_fallback(self, defaults):
        self.fallbacks |= defaults

    def hear(self, *reports):
        self._batches.put_nowait(reports)

    async def reports(self):
        while True:
            yield await self._batches.get()
