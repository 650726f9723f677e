"""What a zone has delivered in the running half-hour, by its meters, against what it should have.

Chargers are a few percent off, come late, or leave: what is missing, or too much, in a half-hour is made up
for in the rest of it, as it is half-hours that are settled, and within minutes, as an order may be cancelled.
Registers count as far as they have been heard; from there to now a car counts with what it was told if it
follows, else with what it last moved, and a silent one with nothing (P12). What is made up for is bounded, so
that no meter fault can run away with a fleet, and it changes the running slot's target alone. A new half-hour
starts from nothing.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from aggregator.model.fleet import Car
from aggregator.model.metering import CarReport
from aggregator.model.time import HALF_HOUR, HOUR, Interval, floor_half_hour
from aggregator.ports import ZoneTarget
from dispatch.counting import counts_on

W_PER_KW = 1000.0
MOST_MADE_UP = 0.25
"""Most that a target is changed by, as a part of it."""

LEAST_MADE_UP_KW = 0.5
"""A target near nothing may be changed by as much all the same: what a nomination of 0 must hold. [kW]"""

SOONEST = timedelta(minutes=3)
"""What is missing is spread over at least this: registers are a minute old,
and a loop that makes up faster than it hears would swing."""

LATEST = timedelta(minutes=5)
"""And over no more than this."""


@dataclass(slots=True)
class _Meter:
    since: datetime
    last_at: datetime
    level_kw: float
    wanted_kwh: float = 0.0
    metered_kwh: dict[str, float] = field(default_factory=dict)


class ZoneMeters:
    """Keeps the running half-hour's account of every zone in a window."""

    def __init__(self, cars: Mapping[str, Car]) -> None:
        self._cars = cars
        self._last: dict[str, CarReport] = {}
        self._meters: dict[str, _Meter] = {}

    def observe(self, reports: Iterable[CarReport]) -> None:
        """Take reports in, each car's in order; a register that was reset or jumped counts nothing."""
        for report in reports:
            car = self._cars.get(report.car_id)
            before = self._last.get(report.car_id)
            if car is None or (before is not None and before.measured_at >= report.measured_at):
                continue
            self._last[report.car_id] = report
            meter = self._meters.get(car.site.zone)
            if meter is None or before is None or report.measured_at <= meter.since:
                continue
            if not counts_on(car.charger, before, report):
                continue
            exported_wh, imported_wh = (
                report.export_wh - before.export_wh,
                report.import_wh - before.import_wh,
            )
            span = Interval(before.measured_at, report.measured_at)
            part = span.overlap(Interval(meter.since, report.measured_at))
            share = part.hours / span.hours if part else 0.0
            kwh = (exported_wh - imported_wh) / W_PER_KW * share
            meter.metered_kwh[report.car_id] = meter.metered_kwh.get(report.car_id, 0.0) + kwh

    def made_up_kw(self, target: ZoneTarget, now: datetime, moving_kw: dict[str, float]) -> float:
        """Return what to add to a zone's running slot so that its half-hour comes out right.

        Args:
            target: What the zone should export from ``now`` on, without anything made up for.
            now: Domain instant.
            moving_kw: What each car heard of is taken to move since its last report. [kW, export positive]

        Returns:
            Of either sign. [kW]
        """
        period = floor_half_hour(now)
        level_kw = target.export_kw[0]
        meter = self._meters.get(target.zone)
        if meter is None or meter.since < period:
            self._meters[target.zone] = _Meter(now, now, level_kw)
            return 0.0
        meter.wanted_kwh += meter.level_kw * ((now - meter.last_at) / HOUR)
        meter.last_at, meter.level_kw = now, level_kw
        moved_kwh = sum(meter.metered_kwh.values()) + self._unheard_kwh(meter, now, moving_kw)
        missing_kwh = meter.wanted_kwh - moved_kwh
        left = min(max(period + HALF_HOUR - now, SOONEST), LATEST)
        most_kw = max(LEAST_MADE_UP_KW, MOST_MADE_UP * abs(level_kw))
        return min(max(missing_kwh / (left / HOUR), -most_kw), most_kw)

    def keep(self, zones: Collection[str]) -> None:
        """Close the accounts of all zones but those in a window."""
        self._meters = {zone: meter for zone, meter in self._meters.items() if zone in zones}

    def _unheard_kwh(self, meter: _Meter, now: datetime, moving_kw: dict[str, float]) -> float:
        """Return what cars have moved since they were last heard, as far as can be told. [kWh]"""
        return sum(
            kw * max(0.0, (now - max(meter.since, self._last[car_id].measured_at)) / HOUR)
            for car_id, kw in moving_kw.items()
            if car_id in self._last
        )
