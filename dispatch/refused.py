"""Cars whose discharge the interlock has refused: none is asked of them until something changed.

At its floor that is a charge that has risen by the hysteresis, as what is measured toggles about a limit;
else it is that the interlock would let pass what it refused, a minute later or more. So one fault is one
refusal and one alarm.

Loop and interlock reckon each for itself what a car stores, from gauges that are noisy. So a car that comes
down to its floor, or to what its departure needs, is mostly there a little sooner for one of them: that is no
fault, and no alarm. Where the two agree but for ``NOISE_SOC``, on what is stored and that it is about all
that must be left, the loop keeps to the lower figure: it does not ask for what the interlock would refuse.
Where they differ by more, the set-point is refused and told.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from aggregator.model.metering import SetPoint
from aggregator.model.time import HOUR
from dispatch.fleet_view import CarView, FleetView
from dispatch.interlock import Interlock, Refusal

W_PER_KW = 1000.0
SOONEST = timedelta(minutes=1)
NOISE_SOC = 0.04
"""So far apart two estimates from one noisy gauge may be: each is right to the guard of 2%. [-]"""


class Refused:
    """Keeps what was refused, and lets cars rest for it."""

    def __init__(self, view: FleetView, interlock: Interlock) -> None:
        self._view, self._interlock = view, interlock
        self._points: dict[str, SetPoint] = {}

    def note(self, refusals: Iterable[Refusal]) -> None:
        """Let the cars of these refusals, each of a discharge, rest."""
        for refusal in refusals:
            point = refusal.point
            self._view.bar(point.car_id, until_risen=refusal.at_floor)
            if not refusal.at_floor:
                self._points[point.car_id] = point

    def too_low(self, points: Iterable[SetPoint], now: datetime) -> frozenset[str]:
        """Return the cars of discharges that would go a little too low, and let these cars rest."""
        found = [refusal for point in points if (refusal := self._too_low(point, now)) is not None]
        self.note(found)
        return frozenset(refusal.point.car_id for refusal in found)

    def _too_low(self, point: SetPoint, now: datetime) -> Refusal | None:
        if point.export_w <= 0:
            return None
        refusal, soc = self._interlock.would_refuse(point), self._interlock.believed_soc(point.car_id)
        if refusal is None or soc is None or not (refusal.at_floor or refusal.promise == "P2"):
            return None
        view = self._view.of(point.car_id)
        stored_kwh, noise_kwh = view.energy_kwh(now), NOISE_SOC * view.car.capacity_kwh
        agree = abs(stored_kwh - soc * view.car.capacity_kwh) <= noise_kwh
        return refusal if agree and _spare_kwh(view, point, stored_kwh) <= noise_kwh else None

    def allow(self, now: datetime) -> None:
        """Count again on cars of which the interlock would now let pass what it has refused."""
        for car_id, point in list(self._points.items()):
            if now - point.issued_at < SOONEST:
                continue
            held = point.expires_at - point.issued_at
            if self._interlock.allows(replace(point, issued_at=now, expires_at=now + held)):
                self._view.allow(car_id)
                del self._points[car_id]


def _spare_kwh(view: CarView, point: SetPoint, stored_kwh: float) -> float:
    """Return what is left after a discharge beyond floor and departure's need, as the loop has it. [kWh]"""
    hours = (point.expires_at - point.issued_at) / HOUR
    left_kwh = stored_kwh - point.export_w / W_PER_KW * hours / view.car.charger.eta_discharge
    hours_left = max(0.0, (view.departs_at(point.issued_at) - point.expires_at) / HOUR)
    return left_kwh - max(view.floor_kwh, view.least_kwh(hours_left))
