"""The interlock's own reckoning of a state of charge that is late or missing: a few blunt sums.

What registers counted since the last one that was told is set off, import against export. Of what the battery
lost a quarter more is taken off, of what it gained nine tenths are added: neither a capacity in the registry
that is a quarter too large (the battery has lost a fifth of it) nor one that is a tenth too small can hide a
floor while a car says nothing. It shares nothing with the control loop's own estimate.

A gauge may be stuck, or creep up while the car gives energy. So what is told is believed only as far as the
registers bear it out since the car came: up to the least that was told twice running, and ``NOISE``, with
what was taken in since, and without nearly all that was given.
"""

from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from aggregator.model.fleet import Car
from aggregator.model.metering import CarReport

WH_PER_KWH = 1000.0
MORE, LESS = 1.25, 0.9
LATEST = timedelta(hours=2)
NOISE = 0.02
MOST_TAKEN, LEAST_GIVEN = 1.05, 0.97


@dataclass(frozen=True, slots=True)
class _Told:
    """A state of charge, and the registers then: of exports those before it, of imports those after it."""

    soc: float
    at: datetime
    import_wh: int
    export_wh: int


class Reckoning:
    """Keeps each car's last told state of charge for as long as the car stays plugged in."""

    def __init__(self) -> None:
        self._told: dict[str, _Told] = {}
        self._past: dict[str, deque[CarReport]] = {}
        self._most: dict[str, float] = {}
        self._said: dict[str, float] = {}

    def at_registers(self, car: Car, report: CarReport) -> CarReport:
        """Return a report with the state of charge at the instant of its registers; None where unknown."""
        before = self._past.get(car.car_id)
        told = self._as_told(car, report, before[-1] if before else None)
        if told.soc is None or not 0 <= told.soc <= 1:
            return told
        before_soc, self._said[car.car_id] = self._said.get(car.car_id, 1.0), told.soc
        twice = max(before_soc, told.soc) + NOISE
        most = self._most[car.car_id] = min(self._most.get(car.car_id, 1.0), twice)
        return replace(told, soc=max(0.0, min(told.soc, most)))

    def _count(self, car: Car, before: CarReport, report: CarReport) -> None:
        if car.car_id in self._most:
            given_kwh = (report.export_wh - before.export_wh) / WH_PER_KWH / car.charger.eta_discharge
            taken_kwh = (report.import_wh - before.import_wh) / WH_PER_KWH * car.charger.eta_charge
            self._most[car.car_id] += (MOST_TAKEN * taken_kwh - LEAST_GIVEN * given_kwh) / car.capacity_kwh

    def _as_told(self, car: Car, report: CarReport, before: CarReport | None) -> CarReport:
        past = self._past.setdefault(car.car_id, deque())
        if past and (
            not report.plugged
            or report.import_wh < past[-1].import_wh
            or report.export_wh < past[-1].export_wh
        ):
            past.clear()
            self._told.pop(car.car_id, None)
            self._most.pop(car.car_id, None)
            self._said.pop(car.car_id, None)
        if not report.plugged:
            return replace(report, soc=None)
        if before is not None:
            self._count(car, before, report)
        past.append(report)
        known = self._told.get(car.car_id)
        oldest = max(report.measured_at - LATEST, known.at if known is not None else past[0].measured_at)
        while len(past) > 1 and past[1].measured_at <= oldest:
            past.popleft()
        if report.soc is not None and not 0 <= report.soc <= 1:
            return report
        if report.soc is not None and report.soc_at is None:
            told = _Told(report.soc, report.measured_at, report.import_wh, report.export_wh)
            self._told[car.car_id] = told
            return report
        self._hear_late(car.car_id, report, past)
        return replace(report, soc=self._now(car, report), soc_at=None)

    def _hear_late(self, car_id: str, report: CarReport, past: deque[CarReport]) -> None:
        at, known = report.soc_at, self._told.get(car_id)
        if report.soc is None or at is None or (known is not None and at <= known.at):
            return
        before = [one for one in past if one.measured_at <= at]
        after = next(one for one in past if one.measured_at >= at)
        if before:
            self._told[car_id] = _Told(report.soc, at, after.import_wh, before[-1].export_wh)

    def _now(self, car: Car, report: CarReport) -> float | None:
        told = self._told.get(car.car_id)
        if told is None:
            return None
        given_kwh = (report.export_wh - told.export_wh) / WH_PER_KWH / car.charger.eta_discharge
        taken_kwh = max(0, report.import_wh - told.import_wh) / WH_PER_KWH * car.charger.eta_charge
        moved_kwh = taken_kwh - given_kwh
        return min(1.0, told.soc + (LESS if moved_kwh > 0 else MORE) * moved_kwh / car.capacity_kwh)
