"""What was before the first picture that the stream keeps: an hour, or the running event, by the store.

Metered is the mean of five minutes by the chargers' registers; where no charger of a zone was read within
them, as while the gateway was down, it is not known and a gap. Target and nomination are what the loop
followed by what was known just then.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from aggregator.gateway import Gateway
from aggregator.model.market import mean_kw
from aggregator.model.opportunity import replay
from aggregator.model.time import HOUR, Interval, parse_instant, utc_text
from aggregator.store import Store
from aggregator.targets import zone_target
from aggregator.telemetry import zone_kw
from aggregator.web.live_view import LONGEST_CHART

PART = timedelta(minutes=5)
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
        start = max(min([newest - HOUR, *running]), newest - LONGEST_CHART)
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
        known = _Known(store, zone, span)
        return [
            (*(known.followed_kw(part.start + PART / 2) if kw is not None else (None, None)), kw)
            for part, kw in zip(parts, zone_kw(store, chargers, parts), strict=True)
        ]


class _Known:
    """What a zone's loop followed, read once; peak signals as known at the end.

    Args:
        store: The record.
        zone: Whose.
        span: When.
    """

    def __init__(self, store: Store, zone: str, span: Interval) -> None:
        bids = store.journal.find(zone=zone, overlapping=span)
        self._facts = {one.opportunity_id: store.journal.facts(one.opportunity_id) for one in bids}
        self._nominations = store.nominations.between(zone, span)
        self._peaks = store.inbox.peaks(zone, span.end)
        self._halts = [halt for halt in store.halts.all() if halt.zone in (None, zone)]
        self._zone = zone

    def followed_kw(self, at: datetime) -> tuple[float | None, float | None]:
        """Return target and nomination as they were known then; no target where it was stopped. [kW]"""
        frozen = {one.period: one for one in self._nominations if one.frozen_at <= at}
        running = next((one for period, one in frozen.items() if at in period), None)
        nominated_kw = mean_kw(running) if running is not None else None
        if any(
            halt.at <= at and (halt.restarted_at is None or at < halt.restarted_at) for halt in self._halts
        ):
            return None, nominated_kw
        bids = [
            replay(name, [one.fact for one in facts if one.recorded_at <= at])
            for name, facts in self._facts.items()
        ]
        target = zone_target(self._zone, at, bids, frozen, self._peaks)
        return None if target is None else target.export_kw[0], nominated_kw
