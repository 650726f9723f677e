"""What was before the first picture that the stream keeps: an hour, or the running event, by the store.

Metered is the mean of five minutes by the chargers' registers; where no charger of a zone was read within
them, as while the gateway was down, it is not known and a gap. Target and nomination are what the loop
followed by what was known just then.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from aggregator.gateway import Gateway
from aggregator.lookback import known
from aggregator.model.market import PeakWindow, mean_kw
from aggregator.model.opportunity import Opportunity
from aggregator.model.time import HALF_HOUR, HOUR, Interval, floor_half_hour, parse_instant, utc_text
from aggregator.store import Halt
from aggregator.targets import zone_target
from aggregator.telemetry import zone_kw

PART = timedelta(minutes=5)
LONGEST = timedelta(hours=3)
"""As much as a chart shows at most."""

RUN_UP = timedelta(minutes=15)
"""Shown before an event that runs."""

Figures = tuple[float | None, float | None, float | None]
"""Target, nominated and metered, as in ``aggregator/web/stream.py``. [kW, export positive]"""


class Earlier:
    """Works it out, and keeps the last answer: all who look then ask for the same.

    Args:
        gateway: Whose.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._kept: tuple[Interval | None, list[str]] = (None, [])

    def __call__(self, first: str, newest: str) -> Sequence[str]:
        """Return rows of a stream from before its first picture, as JSON; in a thread, one at a time.

        Args:
            first: Instant of the first picture that is kept.
            newest: Of the newest one: what is long before it is not shown.
        """
        span = self._span(parse_instant(first), parse_instant(newest))
        if span is None:
            return []
        if self._kept[0] != span:
            self._kept = span, list(self._rows(span))
        return self._kept[1]

    def _span(self, first: datetime, newest: datetime) -> Interval | None:
        zones = self._gateway.settings.fleet.zones
        running = [
            window.start - RUN_UP
            for zone in zones
            for window in self._gateway.book.windows(zone)
            if newest in window
        ]
        start = max(min([newest - HOUR, *running]), newest - LONGEST)
        midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
        start, end = (midnight + (at - midnight) // PART * PART for at in (start, first))
        return Interval(start, end) if start < end else None

    def _rows(self, span: Interval) -> Iterator[str]:
        parts = span.slots(PART)
        columns = [self._zone(zone, parts) for zone in self._gateway.settings.fleet.zones]
        is_known = False
        for part, *figures in zip(parts, *columns, strict=True):
            is_known = is_known or any(metered_kw is not None for *_, metered_kw in figures)
            if is_known:
                yield json.dumps([utc_text(part.start + PART / 2), *figures])

    def _zone(self, zone: str, parts: Sequence[Interval]) -> list[Figures]:
        store, span = self._gateway.store, Interval(parts[0].start, parts[-1].end)
        chargers = [car.charger.charger_id for car in self._gateway.fleet.in_zone(zone)]
        bids = store.journal.find(zone=zone, overlapping=span)
        halts = [halt for halt in store.halts.all() if halt.zone in (None, zone)]
        found: list[Figures] = []
        for part, metered_kw in zip(parts, zone_kw(store, chargers, parts), strict=True):
            at = part.start + PART / 2
            then = [known(store, one, at) for one in bids]
            followed = (None, None) if metered_kw is None else self._followed(zone, at, then, halts)
            found.append((*followed, metered_kw))
        return found

    def _followed(
        self, zone: str, at: datetime, bids: Sequence[Opportunity], halts: Sequence[Halt]
    ) -> tuple[float | None, float | None]:
        """Return target and nomination as the loop had them."""
        store, start = self._gateway.store, floor_half_hour(at)
        nominations = {
            one.period: one for one in store.nominations.between(zone, Interval(start, start + HALF_HOUR), at)
        }
        nominated_kw = mean_kw(next(iter(nominations.values()))) if nominations else None
        if any(halt.at <= at and (halt.restarted_at is None or at < halt.restarted_at) for halt in halts):
            return None, nominated_kw
        peaks: Sequence[PeakWindow] = store.inbox.peaks(zone, at)
        target = zone_target(zone, at, bids, nominations, peaks)
        return None if target is None else target.export_kw[0], nominated_kw
