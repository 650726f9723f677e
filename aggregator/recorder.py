"""Stores what control cycles leave, in their order and in groups, so that no cycle waits for a disk.

A group is one transaction, and stays in memory until it is durable: while the database is away, what is
measured and sent waits, up to ``MOST_WAITING`` cycles or ``MOST_ROWS`` reports and set-points. That is more
than an hour for 135 cars that report every 10 s. Half of it is an alarm; beyond all of it the control loop
waits, and every set-point ends by itself.
"""

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from uuid import uuid4

import structlog

from aggregator.meter_import import tell_events
from aggregator.model.errors import Unavailable
from aggregator.model.fleet import Fleet
from aggregator.model.metering import CarReport, Outcome, Reading
from aggregator.patience import Patience
from aggregator.ports import Clock
from aggregator.registers import events_between
from aggregator.store import END_OF_TIME, Alarm, SentPoint, Store
from aggregator.store.readings import Readings
from aggregator.wiring import GATEWAY
from dispatch.records import CycleRecord, Notice

log = structlog.get_logger()

MOST_WAITING = 500
"""Cycles that may wait for the database before the loop has to."""

MOST_ROWS = 200_000
"""Reports and set-points that may wait in them: some 100 MB."""

MOST_AT_ONCE = 50
"""Cycles in one transaction: others write in between."""

LAST_PATIENCE_S = 20.0
"""Wall seconds that a gateway that ends waits for its database to take some of what is left."""

MOST_BEHIND = timedelta(minutes=5)
"""How far a simulation's clock runs on while records are written: telemetry tells minutes, not hours."""

PATIENCE = timedelta(minutes=30)
"""How long what chargers may still have to tell is waited for while none is heard."""

WORKER = "record"
RECORDED = "recorded"
"""Under which the store remembers how many cycles of which gateway are written."""


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
        patience: Waits for the database.

    Attributes:
        stored_until: Every cycle up to this domain instant is stored; None before the first.
        recorded_until: Every cycle up to this domain instant is stored, with all that chargers had to tell
            by then; None before the first.
        outcomes: How many set-points there were, by what became of them.
    """

    def __init__(self, store: Store, fleet: Fleet, clock: Clock, lag: timedelta, patience: Patience) -> None:
        self._store = store
        self._patience = patience
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
        self._chargers = _Followed(store.readings, self._charger_of.values())
        self._homes = _Followed(store.boundary_readings, self._metered_home_of.values())
        self._waiting: deque[CycleRecord] = deque()
        self._rows = 0
        self._some, self._room = asyncio.Event(), asyncio.Event()
        self._writing = threading.Lock()
        self._name, self._stored = uuid4().hex, 0
        self.stored_until: datetime | None = None
        self.recorded_until: datetime | None = None
        self.outcomes: Counter[Outcome] = Counter()

    @property
    def backlog(self) -> int:
        """How many cycles wait for the disk."""
        return len(self._waiting)

    @property
    def is_filling(self) -> bool:
        """Whether so many wait that people must look at it: half of what there is room for."""
        return 2 * self.backlog > MOST_WAITING or 2 * self._rows > MOST_ROWS

    async def put(self, record: CycleRecord) -> None:
        """Take a cycle's record; waits only where far too many wait already."""
        self.outcomes.update(one.outcome for one in record.sent)
        if self._is_full():
            record = _noting(record, "recorder_full", "the control loop waits, set-points end by themselves")
            while self._is_full():
                self._room.clear()
                await self._room.wait()
        was_filling = self.is_filling
        self._waiting.append(record)
        self._rows += _rows(record)
        if self.is_filling and not was_filling:
            text = f"{self.backlog} cycles wait for the database, at most {MOST_WAITING}"
            self._waiting[-1] = _noting(record, "recorder_filling", text)
        self._some.set()

    async def run(self) -> None:
        """Store records until cancelled, then store what is left.

        Raises:
            Unavailable: If the database does not answer then, either, for ``LAST_PATIENCE_S``.
        """
        try:
            while True:
                await self._some.wait()
                self._clock.hold(WORKER, self._waiting[0].at + MOST_BEHIND)
                await self._store_waiting()
                self._clock.hold(WORKER, None)
        finally:
            if self._waiting:
                await self._store_the_rest()

    async def _store_waiting(self) -> None:
        """Store what waits; what cannot be stored stays where it is."""
        records = list(islice(self._waiting, MOST_AT_ONCE))
        await self._patience.of(self._write_once, records, self._stored, meanwhile=self._let_go_of_clock)
        self._stored += len(records)
        for record in records:
            self._waiting.popleft()
            self._rows -= _rows(record)
            self._follow(record)
        self.stored_until = records[-1].at
        if not self._waiting:
            self._some.clear()
        self._room.set()

    async def _store_the_rest(self) -> None:
        try:
            while self._waiting:
                async with asyncio.timeout(LAST_PATIENCE_S):
                    await self._store_waiting()
        except TimeoutError:
            lost = f"what {self.backlog} cycles left is not stored"
            raise Unavailable(f"the database does not answer: {lost}") from None

    def _is_full(self) -> bool:
        return self.backlog >= MOST_WAITING or self._rows >= MOST_ROWS

    def _let_go_of_clock(self) -> None:
        self._clock.hold(WORKER, None)

    def _write_once(self, records: Sequence[CycleRecord], first: int) -> None:
        """Write records, the first of which has this number, in one transaction.

        Those are left out that are written already: the end of the last try may not have been heard of.
        """
        with self._writing:  # one that was cancelled may still be at it
            name, _, written = (self._store.memory.recall(GATEWAY, RECORDED) or "").partition(":")
            left = records[max(0, int(written) - first) :] if name == self._name else records
            if left:
                with self._store.at_once():
                    self._write(left)
                    written = f"{self._name}:{first + len(records)}"
                    self._store.memory.remember(GATEWAY, RECORDED, written)

    def _write(self, records: Sequence[CycleRecord]) -> None:
        last, last_of_homes = self._chargers.last(), self._homes.last()
        for record in records:
            known = [report for report in record.reports if report.car_id in self._charger_of]
            readings, of_homes = self._readings(record), self._readings_of_homes(record)
            self._store.readings.add(readings)
            self._store.boundary_readings.add(of_homes)
            self._store.states.add(known, received_at=record.at)
            self._tell_events(readings, last, record.at)
            self._tell_events(of_homes, last_of_homes, record.at)
        sent = [one for record in records for one in record.sent]
        self._store.set_points.add([SentPoint(one.point, one.outcome, one.reason) for one in sent])
        self._raise([notice for record in records for notice in record.notices])

    def _raise(self, notices: Sequence[Notice]) -> None:
        """Raise an alarm for each; what goes on is one alarm until somebody clears it."""
        known: set[tuple[str, str]] = set()
        if any(notice.goes_on for notice in notices):
            known = {(alarm.code, alarm.where) for alarm in self._store.alarms.open()}
        for notice in notices:
            if not (notice.goes_on and (notice.code, notice.where) in known):
                about, amount = notice.about, notice.amount
                alarm = Alarm(notice.at, notice.code, notice.where, notice.text, about=about, amount=amount)
                self._store.alarms.raise_(alarm)
                known.add((notice.code, notice.where))

    def _readings(self, record: CycleRecord) -> list[Reading]:
        return [
            Reading(
                self._charger_of[report.car_id],
                report.measured_at,
                record.at,
                report.import_wh,
                report.export_wh,
            )
            for report in record.reports
            if report.car_id in self._charger_of
        ]

    def _readings_of_homes(self, record: CycleRecord) -> list[Reading]:
        return list(_boundary_readings(record.reports, self._metered_home_of, record.at))

    def _tell_events(self, readings: Sequence[Reading], last: dict[str, Reading], at: datetime) -> None:
        """Store what became of registers since the last readings, with an alarm about each."""
        for reading in readings:
            before = last.get(reading.charger_id, reading)
            if before.measured_at <= reading.measured_at:
                last[reading.charger_id] = reading
            if before.measured_at < reading.measured_at:
                known = self._store.register_events.add(events_between(before, reading), at)
                tell_events(self._store, known, at)

    def _follow(self, record: CycleRecord) -> None:
        at = record.at
        self._chargers.follow(self._readings(record))
        self._homes.follow(self._readings_of_homes(record))
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


class _Followed:
    """The last reading of each meter of one kind: once from the store, then as followed."""

    def __init__(self, kept: Readings, meters: Iterable[str]) -> None:
        self._kept = kept
        self._meters = sorted(set(meters))
        self._last: dict[str, Reading] | None = None

    def last(self) -> dict[str, Reading]:
        """Return them by meter, to be gone on with."""
        if self._last is None:
            found = self._kept.last_before(self._meters, END_OF_TIME)
            self._last = {reading.charger_id: reading for reading in found}
        return dict(self._last)

    def follow(self, readings: Iterable[Reading]) -> None:
        """Take what is stored by now."""
        last = self.last()
        for reading in readings:
            if last.get(reading.charger_id, reading).measured_at <= reading.measured_at:
                last[reading.charger_id] = reading
        self._last = last


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


def _rows(record: CycleRecord) -> int:
    return len(record.reports) + len(record.sent)


def _noting(record: CycleRecord, code: str, text: str) -> CycleRecord:
    """Return a record that tells people so once it is stored; the log does at once."""
    log.error(code, text=text)
    return replace(record, notices=(*record.notices, Notice(record.at, code, WORKER, text)))
