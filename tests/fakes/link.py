"""A link whose chargers take whatever they are told, and remember it; some may be away."""

import asyncio

from aggregator.model.metering import Outcome


class ObedientLink:
    """Chargers that take every set-point, but for those of ``away``; ``told`` holds them in order."""

    def __init__(self):
        self.told, self.away = [], set()
        self.fallbacks = {}
        self._batches = asyncio.Queue()

    async def apply(self, points):
        self.told += points
        return [Outcome.UNREACHABLE if one.car_id in self.away else Outcome.ACCEPTED for one in points]

    async def set_fallback(self, defaults):
        self.fallbacks |= defaults

    def hear(self, *reports):
        self._batches.put_nowait(reports)

    async def reports(self):
        while True:
            yield await self._batches.get()
