"""The interlock's own view of homes: what their approval, fuse and boundary meter leave to cars (P4).

It decides by itself from the registry and the raw reports what the control loop decides elsewhere: dates and
hours on the home's own calendar, the boundary reading and its age. Nothing here is shared with the loop.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, time, timedelta

from aggregator.model.fleet import Approval, Car, ExportSource, Site
from aggregator.model.metering import CarReport
from aggregator.model.time import LONDON

W_PER_KW = 1000.0
STEP = timedelta(seconds=15)
"""A set-point that discharges is looked at every so often: it is short, and panels wake slowly."""


class Homes:
    """What is known of every home's boundary, from raw reports."""

    def __init__(self, cars: Iterable[Car], stale_after: timedelta) -> None:
        self._stale_after = stale_after
        self._metered: dict[str, set[str]] = defaultdict(set)
        self._home_of: dict[str, str] = {}
        for car in cars:
            if car.site.boundary_meter:
                self._metered[car.site.site_id].add(car.car_id)
                self._home_of[car.car_id] = car.site.site_id
        self._net: dict[str, tuple[datetime, int]] = {}

    def observe(self, report: CarReport, known: Mapping[str, CarReport]) -> None:
        """Work out what a home does beside its cars.

        Args:
            report: A new one.
            known: The last of every car, this one included.
        """
        home, meter = self._home_of.get(report.car_id), report.boundary
        if home is None or meter is None:
            return
        instant, cars_w = report.measured_at, 0
        for car_id in self._metered[home]:
            last = known.get(car_id)
            if last is None or (last.plugged and last.measured_at != instant):
                return
            cars_w += last.export_w if last.measured_at == instant else 0
        self._net[home] = instant, meter.export_w - cars_w

    def import_w(self, site: Site, at: datetime) -> float:
        """Return what a home's fuse leaves to its cars at an instant. [W]"""
        return max(0.0, site.import_limit_kw * W_PER_KW - max(0, -(self._fresh_w(site, at) or 0)))

    def export_w(self, site: Site, begins: datetime, ends: datetime) -> float:
        """Return what a home's approval leaves to its cars from ``begins`` to ``ends``. [W]"""
        if not approved(site, begins):
            return 0.0
        net_w = self._fresh_w(site, begins)
        if net_w is not None:
            least_w = -site.import_limit_kw * W_PER_KW if site.export_source is ExportSource.G100 else 0.0
            return max(0.0, site.export_limit_kw * W_PER_KW - max(least_w, net_w))
        steps = -((begins - ends) // STEP) if site.solar_kw and site.dark_from is not None else 0
        return min(_cautious_w(site, min(begins + n * STEP, ends)) for n in range(steps + 1))

    def _fresh_w(self, site: Site, at: datetime) -> int | None:
        """Return what a home gives beside its cars, None where no reading is fresh. [W]"""
        seen_at, net_w = self._net.get(site.site_id, (None, 0))
        return None if seen_at is None or at - seen_at > self._stale_after else net_w


def approved(site: Site, at: datetime) -> bool:
    """Whether anything allows a home to discharge at an instant."""
    if site.approval is not Approval.GRANTED or site.export_source is ExportSource.NONE:
        return False
    if site.approved_from is None:
        return True
    return at >= datetime.combine(site.approved_from, time(), LONDON)


def _cautious_w(site: Site, at: datetime) -> float:
    dark = False
    if site.dark_from is not None and site.dark_until is not None:
        minutes = at.astimezone(LONDON).time()
        overnight = site.dark_from > site.dark_until
        begun, over = minutes >= site.dark_from, minutes >= site.dark_until
        dark = (begun or not over) if overnight else (begun and not over)
    return max(0.0, site.export_limit_kw - (0.0 if dark else site.solar_kw)) * W_PER_KW
