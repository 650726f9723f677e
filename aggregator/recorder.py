"""Stores what control cycles leave, in their order and in groups, so that no cycle waits for a disk."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from aggregator.model.fleet import Fleet
from aggregator.model.metering import CarReport, Outcome, Reading
from aggregator.ports import Clock
from aggregator.store import Alarm, SentPoint, Store
from dispatch.records import CycleRecord

MOST_WAITING = 500
"""Cycles that may wait for the disk before the loop has to."""

MOST_BEHIND = timedelta(minutes=5)
"""How far a simulation's clock runs on while records are written: telemetry tells minutes, not hours."""

PATIENCE = timedelta(minutes=30)
"""How long what chargers may still have to tell is waited for while none is heard."""

WORKER = "record"


class Recorder:
    """One writer for readings, car states, set-points and notices.

    A gateway that has just started, or a link that has just come back, is told late what happened meanwhile:
    what is stored then is not all there is to know. So ``recorded_until`` stands still while no charger is
    heard though a car is plugged in, and until the chargers have been heard for ``lag``.

    Args:
        store: Where it writes.
        fleet: Whose reports are kept.
        clock: The domain clock.
        lag: How long after it was so a charger that is heard has surely told.

    Attributes:
        stored_until: Every cycle up to this domain instant is stored; None before the first.
        recorded_until: Every cycle up to this domain instant is stored, with all that chargers had to tell
            by then; None before the first.
        outcomes: How many set-points there were, by what became of them.
    """

    def __init__(self, store: Store, fleet: Fleet, clock: Clock, lag: timedelta) -> None:
        self._store = store
        self._clock = clock
        self._lag = lag
        self._plugged: dict[str, bool] = {}
        self._first_at: datetime | None = None
        self._heard_at: datetime | None = None
        self._in_touch_since: datetime | None = None
        self._charger_of = {car.car_id: car.charger.charger_id for car in fleet.cars}
        self._metered_home_of = {
            car.car_id: car.site.site_id for car in fleet.cars if car.site.boundary_meter
        }
        self._waiting: asyncio.Queue[CycleRecord] = asyncio.Queue(MOST_WAITING)
        self.stored_until: datetime | None = None
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
            self._store.boundary_readings.add(_boundary_readings(known, self._metered_home_of, record.at))
            self._store.states.add(known, received_at=record.at)
        sent = [one for record in records for one in record.sent]
        self._store.set_points.add([SentPoint(one.point, one.outcome, one.reason) for one in sent])
        for notice in (notice for record in records for notice in record.notices):
            self._store.alarms.raise_(Alarm(notice.at, notice.code, notice.where, notice.text))
        self.stored_until = records[-1].at
        for record in records:
            self._follow(record)

    def _follow(self, record: CycleRecord) -> None:
        at = record.at
        self._first_at = self._first_at or at
        self._plugged |= {report.car_id: report.plugged for report in record.reports}
        if record.reports:
            self._heard_at = at
        quiet = self._heard_at is None or at - self._heard_at > self._lag
        if self._heard_at is None or (quiet and any(self._plugged.values())):
            self._in_touch_since = None
        elif self._in_touch_since is None:
            self._in_touch_since = at
        if self._in_touch_since is not None and at - self._in_touch_since >= self._lag:
            self.recorded_until = at
        elif at - PATIENCE >= (self.recorded_until or self._first_at):
            self.recorded_until = at - PATIENCE


def _boundary_readings(
    reports: Iterable[CarReport], home_of: Mapping[str, str], received_at: datetime
) -> Iterator[Reading]:
    """Yield what boundary meters showed, once for each home and instant: all its chargers read the same."""
    seen: set[tuple[str, datetime]] = set()
    for report in reports:
        home, meter = home_of.get(report.car_id), report.boundary
        if home is None or meter is None or (home, report.measured_at) in seen:
            continue
        seen.add((home, report.measured_at))
        yield Reading(home, report.measured_at, received_at, meter.import_wh, meter.export_wh)
