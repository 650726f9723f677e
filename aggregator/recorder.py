"""Stores what control cycles leave, in their order and in groups, so that no cycle waits for a disk."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from aggregator.model.fleet import Fleet
from aggregator.model.metering import Outcome, Reading
from aggregator.ports import Clock
from aggregator.store import Alarm, SentPoint, Store
from dispatch.controller import CycleRecord

MOST_WAITING = 500
"""Cycles that may wait for the disk before the loop has to."""

MOST_BEHIND = timedelta(minutes=5)
"""How far a simulation's clock runs on while records are written: telemetry tells minutes, not hours."""

WORKER = "record"


class Recorder:
    """One writer for readings, car states, set-points and notices.

    Attributes:
        recorded_until: Every cycle up to this domain instant is stored; None before the first.
        outcomes: How many set-points there were, by what became of them.
    """

    def __init__(self, store: Store, fleet: Fleet, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._charger_of = {car.car_id: car.charger.charger_id for car in fleet.cars}
        self._waiting: asyncio.Queue[CycleRecord] = asyncio.Queue(MOST_WAITING)
        self.recorded_until: datetime | None = None
        self.outcomes: Counter[Outcome] = Counter()

    @property
    def backlog(self) -> int:
        """How many cycles wait for the disk."""
        return self._waiting.qsize()

    async def put(self, record: CycleRecord) -> None:
        """Take a cycle's record; waits only where far too many wait already."""
        self.outcomes.update(one.outcome for one in record.sent)
        await self._waiting.put(record)

    async def run(self) -> None:
        """Store records until cancelled, then store what is left."""
        try:
            while True:
                records = [await self._waiting.get(), *self._rest()]
                self._clock.hold(WORKER, records[0].at + MOST_BEHIND)
                await self._write_whole(records)
                self._clock.hold(WORKER, None)
        finally:
            if left := self._rest():
                self._write(left)

    async def _write_whole(self, records: Sequence[CycleRecord]) -> None:
        """Write in a thread; cancelled meanwhile, still see it through, as the store closes after us."""
        writing = asyncio.create_task(asyncio.to_thread(self._write, records))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await writing
            raise

    def _rest(self) -> list[CycleRecord]:
        return [self._waiting.get_nowait() for _ in range(self._waiting.qsize())]

    def _write(self, records: Sequence[CycleRecord]) -> None:
        for record in records:
            known = [report for report in record.reports if report.car_id in self._charger_of]
            self._store.readings.add(
                Reading(
                    self._charger_of[report.car_id],
                    report.measured_at,
                    record.at,
                    report.import_wh,
                    report.export_wh,
                )
                for report in known
            )
            self._store.states.add(known, received_at=record.at)
        sent = [one for record in records for one in record.sent]
        self._store.set_points.add([SentPoint(one.point, one.outcome, one.reason) for one in sent])
        for notice in (notice for record in records for notice in record.notices):
            self._store.alarms.raise_(Alarm(notice.at, notice.code, notice.where, notice.text))
        self.recorded_until = records[-1].at
