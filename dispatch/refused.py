"""Cars whose discharge the interlock has refused: none is asked of them until something changed.

At its floor that is a charge that has risen by the hysteresis, as what is measured toggles about a limit;
else it is that the interlock would let pass half of what it refused, a minute later or more: a home's room
changes from report to report, and what it was refused for may never be free again. So one fault is one
refusal and one alarm.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from aggregator.model.metering import SetPoint
from dispatch.fleet_view import FleetView
from dispatch.interlock import Interlock, Refusal

SOONEST = timedelta(minutes=1)
PART = 0.5
"""Of what was refused: if so much would pass, the home has room, or the car is fit to give again."""


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

    def allow(self, now: datetime) -> None:
        """Count again on cars of which the interlock would now let pass a good part of what it refused."""
        for car_id, point in list(self._points.items()):
            if now - point.issued_at < SOONEST:
                continue
            held = point.expires_at - point.issued_at
            less_w = round(PART * point.export_w)
            again = replace(point, export_w=less_w, issued_at=now, expires_at=now + held)
            if self._interlock.allows(again):
                self._view.allow(car_id)
                del self._points[car_id]
