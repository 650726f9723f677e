"""The independent check of every set-point before it leaves (P6): it refuses what breaks P1 to P5.

It shares no code with the splitter or the energy arithmetic and keeps its own copy of the raw reports, so
that one mistake cannot pass both. Its rules are few and blunt; a refusal leaves the car on its charger's
safe default and is an alarm with all figures.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import exp, log

from aggregator.model.drivers import ChargerWord, Words
from aggregator.model.figures import figure
from aggregator.model.fleet import Car, Fleet
from aggregator.model.metering import CarReport, SetPoint
from dispatch.interlock_drivers import DriversRights
from dispatch.interlock_energy import Reckoning
from dispatch.interlock_homes import Homes, approved
from dispatch.interlock_neighbours import Neighbours

LONGEST_DISCHARGE = timedelta(seconds=120)
LONGEST_CHARGE = timedelta(minutes=35)
W_PER_KW = 1000.0
HOUR_S = 3600.0
TOLERANCE_W = 1.0
TOLERANCE_KWH = 1e-6
NOBODY: Mapping[str, ChargerWord] = {}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A set-point that must not leave, and why, with the figures.

    Attributes:
        at_floor: Its car has too little for it: what is measured may toggle about that.
    """

    point: SetPoint
    promise: str
    reason: str
    at_floor: bool = False


class Interlock:
    """Checks set-points against the fleet's registry, the raw reports it saw itself and drivers' raw words.

    Args:
        fleet: The registry.
        reporting_interval: How often a charger reports.
        charger_words: What chargers passed on before this began, of cars whose drivers use the door.
    """

    def __init__(
        self, fleet: Fleet, reporting_interval: timedelta, charger_words: Mapping[str, ChargerWord] = NOBODY
    ) -> None:
        self._cars: Mapping[str, Car] = fleet.by_id
        self._stale_after = 2 * reporting_interval
        self._reports: dict[str, CarReport] = {}
        self._drivers = DriversRights(charger_words)
        self._reckoning = Reckoning()
        self._standing: dict[str, SetPoint] = {}
        self._homes = Homes(fleet.cars, self._stale_after)
        self._neighbours = Neighbours(fleet.cars, self._stale_after)
        self.checked = 0

    def observe(self, reports: Iterable[CarReport]) -> None:
        """Take raw reports in, as they came from the link."""
        for report in reports:
            known = self._reports.get(report.car_id)
            if known is None or known.measured_at <= report.measured_at:
                car = self._cars.get(report.car_id)
                self._reports[report.car_id] = self._reckoning.at_registers(car, report) if car else report
                self._drivers.observe(report)
                self._homes.observe(report, self._reports)
                if car is not None:
                    self._neighbours.observe(report)

    def hear(self, words: Mapping[str, Words]) -> None:
        """Take the drivers' latest words, as they were told at the door."""
        self._drivers.hear(words)

    def allows(self, point: SetPoint) -> bool:
        """Whether a set-point would pass, as things stand; nothing is taken as standing for it."""
        return self._refusal(point) is None

    def check(self, points: Sequence[SetPoint]) -> tuple[Refusal, ...]:
        """Return the refusals among ``points``; those not refused are taken as standing from now on.

        What gives or draws less is taken as done: it makes room for a neighbour's car at the same home,
        and where a home's room shrinks all its cars are told less at once. If it is refused, it makes none.
        """
        self.checked += len(points)
        before, in_turn = self._standing, sorted(points, key=self._step_w)
        less = {point.car_id: point for point in in_turn if max(self._step_w(point)) <= 0}
        while True:
            self._standing = {**before, **less}
            refusals = []
            for point in in_turn:
                refusal = self._refusal(point)
                if refusal is None:
                    self._standing[point.car_id] = point
                else:
                    refusals.append(refusal)
            names = {refusal.point.car_id for refusal in refusals}
            wrong = less.keys() & names
            if not wrong:
                for point in points:
                    if point.car_id in self._cars and point.car_id not in names:
                        self._neighbours.stands(point)
                return tuple(refusals)
            less = {name: point for name, point in less.items() if name not in wrong}

    def _step_w(self, point: SetPoint) -> tuple[int, int]:
        standing = self._standing.get(point.car_id)
        live = standing is not None and standing.expires_at > point.issued_at
        before_w = standing.export_w if standing is not None and live else 0
        more_given_w = max(0, point.export_w) - max(0, before_w)
        return more_given_w, max(0, -point.export_w) - max(0, -before_w)

    def _refusal(self, point: SetPoint) -> Refusal | None:
        car = self._cars.get(point.car_id)
        if car is None:
            return Refusal(point, "P6", f"car {point.car_id} is not in the fleet")
        held = point.expires_at - point.issued_at
        if held <= timedelta(0) or held > (LONGEST_DISCHARGE if point.export_w > 0 else LONGEST_CHARGE):
            return Refusal(point, "P5", f"set-point of {_kw(point.export_w)} would hold for {held}")
        at_site = self._site_refusal(point, car)
        if at_site is not None:
            return at_site
        if point.export_w <= 0:
            return None
        return self._discharge_refusal(point, car)

    def _discharge_refusal(self, point: SetPoint, car: Car) -> Refusal | None:
        report = self._reports.get(point.car_id)
        if report is None or report.soc is None or not report.plugged or not 0 <= report.soc <= 1:
            return Refusal(
                point, "P1", "discharge of a car whose state is not known, or that is not plugged in"
            )
        if point.issued_at - report.measured_at > self._stale_after:
            return Refusal(point, "P1", f"discharge of a stale car, last seen {report.measured_at}")
        forbidden = self._drivers.refusal(point.car_id, point.issued_at)
        if forbidden is not None:
            return Refusal(point, "P3", forbidden)
        if point.export_w > car.charger.discharge_kw * W_PER_KW + TOLERANCE_W:
            return Refusal(
                point,
                "P4",
                f"{_kw(point.export_w)} is above {_kw(car.charger.discharge_kw * W_PER_KW)} rated",
            )
        left_kwh = _energy_left_kwh(point, car, report)
        floor_kwh = self._drivers.floor_kwh(car)
        if not left_kwh >= floor_kwh - TOLERANCE_KWH:  # so that a figure that is no number is refused, too
            told = f"would leave {left_kwh:.3f} kWh, floor {floor_kwh:.3f} kWh"
            return Refusal(point, "P1", told, at_floor=True)
        needed = self._drivers.needed(car, report, point.issued_at)
        need_kwh = _need_kwh(point.expires_at, car, *needed)
        if not left_kwh >= need_kwh - TOLERANCE_KWH:
            return Refusal(point, "P2", f"would leave {left_kwh:.3f} kWh, departure needs {need_kwh:.3f} kWh")
        return None

    def _site_refusal(self, point: SetPoint, car: Car) -> Refusal | None:
        site = car.site
        if point.export_w > 0 and not approved(site, point.issued_at):
            return Refusal(point, "P4", f"home {site.site_id} has no export approval")
        # a neighbour may stop at any moment: what relieves this set-point is not counted on
        given_w, drawn_w = self._neighbours.others_w(point, self._standing)
        export_w, import_w = point.export_w + given_w, drawn_w - point.export_w
        if point.export_w > 0:
            room_w = self._homes.export_w(site, point.issued_at, point.expires_at)
            if export_w > room_w + TOLERANCE_W:
                told = f"home {site.site_id} would export {_kw(export_w)}, room {_kw(room_w)}"
                return Refusal(point, "P4", told)
        if point.export_w < 0:
            fuse_w = self._homes.import_w(site, point.issued_at)
            if import_w > fuse_w + TOLERANCE_W:
                told = f"home {site.site_id} would import {_kw(import_w)}, fuse {_kw(fuse_w)}"
                return Refusal(point, "P4", told)
        return None


def _kw(power_w: float) -> str:
    """Return a power to the watt, for the sake of one of which a set-point is refused. [W]"""
    return f"{figure(power_w / W_PER_KW)} kW"


def _energy_left_kwh(point: SetPoint, car: Car, report: CarReport) -> float:
    """Energy when the set-point ends, had the car given it ever since it was measured. [kWh]"""
    soc = report.soc if report.soc is not None else 0.0
    since = min(report.measured_at, point.issued_at)
    hours = (point.expires_at - since).total_seconds() / HOUR_S
    return soc * car.capacity_kwh - point.export_w / W_PER_KW * hours / car.charger.eta_discharge


def _need_kwh(at: datetime, car: Car, departs_at: datetime, target_soc: float) -> float:
    """Least energy at ``at`` from which full power still reaches the driver's target. [kWh]

    Where charging slows down near full, the room left to "full" (at which it would stop) shrinks evenly in
    proportion: by e in the time in which even power would put in as much as there was room.
    """
    hours = max(0.0, (departs_at - at).total_seconds() / HOUR_S)
    sharing = min(car.charger.charge_kw, car.site.import_limit_kw)
    target_kwh, knee_kwh = target_soc * car.capacity_kwh, car.taper.from_soc * car.capacity_kwh
    even_kwh = car.charger.eta_charge * sharing * hours
    if target_kwh <= knee_kwh or car.taper.full_share >= 1.0:
        return target_kwh - even_kwh
    room_kwh = (car.capacity_kwh - knee_kwh) / (1.0 - car.taper.full_share)
    slow_kwh = room_kwh * log(room_kwh / (room_kwh + knee_kwh - target_kwh))
    if even_kwh >= slow_kwh:
        return knee_kwh + slow_kwh - even_kwh
    return knee_kwh + room_kwh - (room_kwh + knee_kwh - target_kwh) * exp(even_kwh / room_kwh)
