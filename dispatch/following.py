"""Which cars do what they are told, by their registers: "accepted" is only what a charger says.

A car is judged over each span between two of its reports, by the power its registers show, against all that
it was told to do in that span and shortly before: within those bounds and a tolerance it follows. Charging
less than told is no fault of a battery that is nearly full, or takes half of it, but what it really takes
is what the others must make up for. Nor is it of one whose state of charge is not known, unless nothing
moves at all: its charger is deaf then or its battery full, and people must look. After two faults in a row,
or a set-point its charger did not take, a car is not counted on: others serve in its place, what it really
moves is taken off what they must do, and it is only asked for a little, to find out when it follows again:
when it does as it is told, and that is something else than it did all along.

A charger that hears nothing may happen to do as it is told, again and again. So it is counted on sooner than
it has recovered: that is when it has followed for half an hour, and two powers that differ.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil

from aggregator.model.fleet import Car
from aggregator.model.metering import CarReport, SetPoint
from aggregator.model.time import HOUR
from dispatch.counting import SETTLES, counts_on
from dispatch.fleet_view import CarView

W_PER_KW = 1000.0
STRIKES = 2
LEAST_SPAN = timedelta(seconds=20)
"""Over less, whole watt-hours tell too little of a power: reports that come faster are taken together."""

RECOVERS = timedelta(minutes=30)
DIFFERS_KW = 1.0
"""For how long a car must do as it is told, and how far what it is told must differ meanwhile, to recover."""

TOLERANCE_KW = 0.3
TOLERANCE = 0.1
TAPERS_ABOVE_SOC = 0.8
TAPERED = 0.5
"""A battery that takes as much of what its charger was told slows down, wherever it stands."""

MORE_KW = 0.5
"""By how much what is kept for a nearly full car exceeds what it draws."""

REMEMBERED = 32
"""Set-points kept per car: those of the longest span between two reports of a car that is not stale."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A car that does not do what it is told.

    Attributes:
        car_id: Which.
        told_kw: What would have been closest to what it did. [kW, export positive]
        measured_kw: What it did. [kW, export positive]
        goes_on: It was found before, and no recovery was seen since.
        may_be_full: It was to charge, nothing moved, and its state of charge is not known.
    """

    car_id: str
    told_kw: float
    measured_kw: float
    goes_on: bool = True
    may_be_full: bool = False


@dataclass(slots=True)
class _Record:
    since: CarReport | None = None
    report: CarReport | None = None
    measured_kw: float = 0.0
    measured_from: datetime | None = None
    idle_kw: float = 0.0
    strikes: int = 0
    refused: bool = False
    fault_kw: float | None = None
    recovered: bool = False
    was_told: bool = False
    good_since: datetime | None = None
    good_kw: tuple[float, float] = (0.0, 0.0)
    told: deque[SetPoint] = field(default_factory=lambda: deque(maxlen=REMEMBERED))


class Following:
    """Watches every car's registers against what it was told."""

    def __init__(self, cars: Mapping[str, Car]) -> None:
        self._cars = cars
        self._records = {car_id: _Record() for car_id in cars}
        self._faults: list[Fault] = []

    def recall(self, moved_kw: Mapping[str, float | None]) -> None:
        """Take in of which cars people were told before this began: their next fault is that one.

        Args:
            moved_kw: What each moved then; it is not counted on until it does something else. None where that
                is not known. [kW, export positive]
        """
        for car_id, kw in moved_kw.items():
            record = self._records.get(car_id)
            if record is not None:
                record.was_told, record.fault_kw, record.measured_kw = True, kw, kw or 0.0
                record.strikes = STRIKES if kw is not None else 0

    def told(self, points: Iterable[SetPoint]) -> None:
        """Note set-points that chargers have taken."""
        for point in points:
            self._records[point.car_id].told.append(point)
            self._records[point.car_id].refused = False

    def not_taken(self, car_ids: Iterable[str]) -> None:
        """Count no more on cars that were not told what they should be, until they are and follow it."""
        for car_id in car_ids:
            record = self._records[car_id]
            record.strikes, record.refused = max(STRIKES, record.strikes), True
            record.fault_kw = None

    def observe(self, reports: Iterable[CarReport]) -> None:
        """Take reports in, each car's in order."""
        for report in reports:
            record = self._records.get(report.car_id)
            if record is None or (record.report and record.report.measured_at >= report.measured_at):
                continue
            before, record.report = record.report, report
            if before is None and report.plugged:
                record.since = report
                continue
            if not report.plugged or before is None or not before.plugged:
                record.strikes, record.measured_kw, record.idle_kw = 0, 0.0, 0.0
                record.since, record.refused, record.measured_from = report, False, None
                continue
            since = record.since or before
            if report.measured_at - since.measured_at >= LEAST_SPAN:
                self._judge(record, since, report)
                record.since = report

    def follows(self, car_id: str) -> bool:
        """Whether a car is counted on."""
        return self._records[car_id].strikes < STRIKES

    def was_seen_to_follow(self, car_id: str) -> bool | None:
        """Whether a car was last found to do as it is told; None of one of which that is not known yet."""
        record = self._records.get(car_id)
        if record is None or (record.strikes == 0 and record.good_since is None):
            return None
        return True if record.strikes == 0 else None if record.strikes < STRIKES else False

    def measured_kw(self, car_id: str) -> float:
        """Return what a car last moved, by its registers. [kW, export positive]"""
        return self._records[car_id].measured_kw

    def idle_kw(self, car_id: str) -> float:
        """Return how much less than told a car last drew, by its registers: as it tapers, or is full. [kW]"""
        return self._records[car_id].idle_kw

    def moving_kw(self, views: Iterable[CarView], now: datetime) -> dict[str, float]:
        """Return what each car is taken to move: as told, or as metered. [kW, export positive]"""
        return {
            (name := view.car.car_id): view.moving_kw(now) + self.idle_kw(name)
            if self.follows(name)
            else self.measured_kw(name)
            for view in views
        }

    def drawn_kw(self, view: CarView, since: datetime) -> float:
        """Return what a car draws that is at full power for its driver. [kW]

        By its meter, whatever its charger says, as soon as that has counted since; full power until then.

        Args:
            view: The car.
            since: When it was first to be at full power.
        """
        record = self._records[view.car.car_id]
        if record.measured_from is None or record.measured_from < since + SETTLES:
            return view.full_kw
        return -record.measured_kw

    def asked_kw(self, view: CarView, since: datetime) -> float:
        """Return the power to keep for a boosted car: full, until its battery slows down. [kW]

        A nearly full one is asked for what its meter shows and some more, so that neighbours behind the same
        fuse have the rest, and it can always draw more than it did.

        Args:
            view: The car.
            since: When it was first to be at full power.
        """
        soc = view.report.soc if view.report is not None else None
        if soc is None or soc < TAPERS_ABOVE_SOC:
            return view.full_kw
        steps = ceil((self.drawn_kw(view, since) + MORE_KW) / MORE_KW)
        return min(view.full_kw, max(steps * MORE_KW, view.car.charger.min_kw))

    def undrawn_kw(self, views: Iterable[CarView], now: datetime) -> float:
        """Return how much less the cars that follow draw than told: the others must give less for it. [kW]"""
        names = [view.car.car_id for view in views if view.moving_kw(now) < 0]
        return sum(self.idle_kw(name) for name in names if self.follows(name))

    def new_faults(self) -> tuple[Fault, ...]:
        """Return the cars found since the last time that do not do what they are told, each once."""
        found, self._faults = tuple(self._faults), []
        return found

    def _judge(self, record: _Record, before: CarReport, report: CarReport) -> None:
        span = report.measured_at - before.measured_at
        moved_wh = (report.export_wh - before.export_wh) - (report.import_wh - before.import_wh)
        if not counts_on(self._cars[report.car_id].charger, before, report):
            record.measured_kw, record.idle_kw, record.measured_from = 0.0, 0.0, None
            return
        record.measured_kw, record.measured_from = moved_wh / W_PER_KW / (span / HOUR), before.measured_at
        bounds = _bounds_kw(record.told, before.measured_at - SETTLES, report.measured_at)
        record.idle_kw = max(0.0, record.measured_kw - bounds[1]) if bounds and bounds[1] < 0 else 0.0
        if bounds is None or report.boost or before.boost:
            record.strikes = record.strikes if record.strikes >= STRIKES or bounds else 0
            return
        low, high = bounds
        near_full = min(report.soc or 0.0, before.soc or 0.0) >= TAPERS_ABOVE_SOC
        may_be_full = report.soc is None and high < 0 and record.measured_kw > -TOLERANCE_KW
        slows_down = record.measured_kw <= TAPERED * high < 0
        if near_full or slows_down or (report.soc is None and not may_be_full):
            high = max(high, 0.0)
        told_kw = min(max(record.measured_kw, low), high)
        if abs(record.measured_kw - told_kw) <= TOLERANCE_KW + TOLERANCE * abs(told_kw):
            stuck = record.fault_kw is not None and abs(record.measured_kw - record.fault_kw) <= TOLERANCE_KW
            if not record.refused and not (record.strikes >= STRIKES and stuck):
                record.strikes = 0
                _note_good(record, bounds, before.measured_at, report.measured_at)
            return
        record.strikes, record.fault_kw, record.good_since = record.strikes + 1, record.measured_kw, None
        if record.strikes == STRIKES:
            if record.recovered or not record.was_told:
                goes_on = not record.recovered
                self._faults.append(Fault(report.car_id, told_kw, record.measured_kw, goes_on, may_be_full))
            record.recovered, record.was_told = False, False


def _note_good(record: _Record, told_kw: tuple[float, float], since: datetime, until: datetime) -> None:
    """Note that a car followed over a span; it has recovered once that was long and varied enough."""
    low, high = told_kw
    if record.good_since is None:
        record.good_since, record.good_kw = since, (high, low)
    record.good_kw = min(record.good_kw[0], high), max(record.good_kw[1], low)
    differs_kw = record.good_kw[1] - record.good_kw[0]
    record.recovered |= until - record.good_since >= RECOVERS and differs_kw >= DIFFERS_KW


def _bounds_kw(told: Iterable[SetPoint], since: datetime, until: datetime) -> tuple[float, float] | None:
    """Return least and most of what was in force from ``since`` to ``until``.

    None where a set-point ran out and none followed: its charger then did as it pleased, and is not judged.
    """
    points = list(told)
    ends = [
        min(point.expires_at, later.issued_at)
        for point, later in zip(points, [*points[1:], *points[-1:]], strict=True)
    ]
    if points:
        ends[-1] = points[-1].expires_at
    levels, covered = [], since
    for point, end in zip(points, ends, strict=True):
        if end <= since or point.issued_at >= until:
            continue
        if point.issued_at > covered:
            return None
        levels.append(point.export_w / W_PER_KW)
        covered = end
    return (min(levels), max(levels)) if levels and covered >= until else None
