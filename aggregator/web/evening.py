"""What the fleet could give through the next evening, for Today: a forecast of each zone, added up.

It takes some seconds, so a page does not wait for it: it is worked out beside, and kept for the hour.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, time, timedelta

import structlog

from aggregator.forecast import Horizon
from aggregator.gateway import Gateway
from aggregator.model.errors import Unavailable
from aggregator.model.time import HOUR, LONDON, Interval
from aggregator.web.fan import Fans
from aggregator.zone_forecast import ZoneForecast

log = structlog.get_logger()

FROM, UNTIL = time(17), time(19)
"""London's hours of the evening peak."""


@dataclass(frozen=True, slots=True)
class Evening:
    """What all zones could give through an evening, by past days like it.

    Attributes:
        window: When.
        p10_kw: The zones' P10 added up; None where there is nothing to forecast from. [kW, export positive]
        p50_kw: The same at P50.
    """

    window: Interval
    p10_kw: float | None
    p50_kw: float | None


class Evenings:
    """Works the next evening out, and keeps it.

    Args:
        gateway: Whose.
        fans: Makes the forecasts.
    """

    def __init__(self, gateway: Gateway, fans: Fans) -> None:
        self._gateway, self._fans = gateway, fans
        self._kept: tuple[datetime, Evening] | None = None
        self._working: asyncio.Task[None] | None = None

    def next(self) -> Evening | None:
        """Return the next evening as worked out within the hour; None where it is being worked out now."""
        now = self._gateway.clock.now()
        hour = now.replace(minute=0, second=0, microsecond=0)
        if self._kept is not None and self._kept[0] == hour and now < self._kept[1].window.end:
            return self._kept[1]
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work(now, hour), name="next evening")
        return None

    async def _work(self, now: datetime, hour: datetime) -> None:
        try:
            self._kept = hour, await asyncio.to_thread(self._evening, now, hour)
        except Unavailable as away:
            log.warning("no_evening_yet", error=str(away))

    def _evening(self, now: datetime, hour: datetime) -> Evening:
        window = evening_after(now)
        horizon = Horizon.over(window)
        known_at = min(hour, horizon.interval.start)
        found = [self._fans.forecast(zone, horizon, known_at) for zone in self._gateway.settings.fleet.zones]
        known = [one for one in found if one.outlook is not None]
        if not known:
            return Evening(window, None, None)
        p10_kw, p50_kw = (sum(through_kw(one, window, name) for one in known) for name in ("p10", "p50"))
        return Evening(window, p10_kw, p50_kw)


def evening_after(now: datetime) -> Interval:
    """Return the evening peak that runs, or the next."""
    day = now.astimezone(LONDON).date()
    while True:
        start, end = (datetime.combine(day, at, LONDON) for at in (FROM, UNTIL))
        if now < end:
            return Interval(start, end)
        day += timedelta(days=1)


def through_kw(one: ZoneForecast, window: Interval, percentile: str) -> float:
    """Return what a zone could give all through a window: by its cars' power, and by what they hold. [kW]"""
    rows = [
        row
        for slot, row in zip(one.slots, one.rows(), strict=True)
        if window.start <= slot.start < window.end
    ]
    power_kw = min(float(str(row[f"discharge_kw_{percentile}"])) for row in rows)
    held_kwh = float(str(rows[0][f"exportable_kwh_{percentile}"]))
    return min(power_kw, held_kwh / ((window.end - window.start) / HOUR))
