"""A whole cycle of the control loop, from what cars reported to what their chargers took, in one process."""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from aggregator.energy import Tariff
from aggregator.model.fleet import Car, Fleet
from aggregator.model.market import Direction
from aggregator.model.metering import CarReport
from aggregator.model.time import HALF_HOUR, Interval
from aggregator.ports import Rebound, ZoneTarget
from dispatch.controller import Controller
from dispatch.records import CycleRecord, LoopSettings
from tests.bench.fleets import some_homes
from tests.bench.measure import Row, median_ms
from tests.fakes.clock import FakeClock
from tests.fakes.link import ObedientLink

SIX_PM = datetime(2025, 1, 15, 18, tzinfo=UTC)
SETTINGS = LoopSettings(timedelta(seconds=60), timedelta(seconds=120), timedelta(seconds=60), 0.01, 1e9, 1e9)
MOST_MS = {135: 250.0, 1_000: 1_000.0, 5_000: 2_500.0}
"""From an instruction to the last set-point acknowledged: here by chargers that take no time."""

ORDERED_KW = 2.0
"""For each car."""


class Zone:
    """One zone's cars, their loop, and what the zone is ordered."""

    def __init__(self, count: int, *, per_home: int = 1) -> None:
        homes = some_homes(count)
        self.cars = [replace(car, site=homes[n // per_home * per_home].site) for n, car in enumerate(homes)]
        self.clock, self.ordered = FakeClock(SIX_PM), False
        self.controller = Controller(
            Fleet(tuple(self.cars), "f" * 64), ObedientLink(), self.clock, self, _prices, _recorded, SETTINGS
        )
        self._look()

    def targets(self, now: datetime) -> Sequence[ZoneTarget]:
        """Return two hours of what is ordered, if anything."""
        if not self.ordered:
            return ()
        slots = tuple(Interval(now + n * HALF_HOUR, now + (n + 1) * HALF_HOUR) for n in range(4))
        zone, order = self.cars[0].site.zone, ("order",) * len(slots)
        kw = ORDERED_KW * len(self.cars)
        return (ZoneTarget(zone, slots, (kw,) * len(slots), Direction.UP, order),)

    def stopped(self) -> Collection[str]:
        """Return no zone."""
        return ()

    def rebound(self, zone: str, now: datetime) -> Rebound | None:
        """Return that nothing was called."""
        return None

    def cycle(self) -> None:
        """Let a minute pass, hear every car, and run a cycle."""
        asyncio.run(self._cycle())

    def plan(self) -> None:
        """Let a half-hour pass, hear every car, and run the cycle that plans anew."""
        self.clock.pass_by(HALF_HOUR)
        asyncio.run(self._cycle())

    async def _cycle(self) -> None:
        self.clock.pass_by(timedelta(seconds=60))
        self._look()
        await self.controller.cycle()

    def _look(self) -> None:
        draw = np.random.default_rng(5)
        socs = draw.uniform(0.4, 0.9, len(self.cars)).tolist()
        now = self.clock.now()
        self.controller.observe([_report(car, soc, now) for car, soc in zip(self.cars, socs, strict=True)])


def rows() -> Iterator[Row]:
    """Measure a cycle in which all cars follow an order, and one in which all are planned anew."""
    for count, budget_ms in MOST_MS.items():
        for per_home, homes in ((1, ""), (2, ", two in each home")):
            zone = Zone(count, per_home=per_home)
            size = f"{count:,} cars{homes}"
            yield median_ms("loop, a half-hour's plans", size, zone.plan)
            zone.ordered = True
            yield median_ms("loop, a cycle of an order", size, zone.cycle, budget_ms)


def _report(car: Car, soc: float, now: datetime) -> CarReport:
    return CarReport(car.car_id, now, True, soc, 0, 0, 0)


def _prices(zone: str, slots: Sequence[Interval]) -> Tariff:
    dear = np.array([16 <= slot.start.hour < 19 for slot in slots])
    return Tariff(np.where(dear, 0.35, 0.15), np.where(dear, 0.25, 0.08), np.zeros(len(slots), np.bool_))


async def _recorded(record: CycleRecord) -> None:
    """Keep nothing: what a store costs has rows of its own."""
