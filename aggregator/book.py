"""What the control loop must follow, kept in memory: orders, nominations and peak windows of all zones.

The journal is the truth; this is its latest reading, made anew whenever this process has changed it, so
that a control cycle waits for no database.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from aggregator.model.market import EventKey, Nomination, PeakWindow
from aggregator.model.opportunity import Opportunity, Stage
from aggregator.model.time import Interval
from aggregator.ports import Rebound, ZoneTarget
from aggregator.store import Halt, InboxEntry, Store
from aggregator.targets import LONGEST_WINDOW, rebound, targets_ahead, zone_target

FOLLOWED = (Stage.AWARDED, Stage.DELIVERING)
OVER = (Stage.DELIVERED, Stage.SETTLED, Stage.CLOSED)
AROUND = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class _Page:
    """One zone's reading of the journal."""

    opportunities: tuple[Opportunity, ...] = ()
    nominations: dict[Interval, Nomination] = field(default_factory=dict)
    peaks: tuple[PeakWindow, ...] = ()
    over: tuple[Opportunity, ...] = ()


class Book:
    """The latest reading of the journal, zone by zone.

    Attributes:
        tests: The newest version of each test event.
        halts: The emergency stops that stand.
    """

    def __init__(self, store: Store, zones: Sequence[str]) -> None:
        self._store = store
        self._zones = tuple(zones)
        self._pages = dict.fromkeys(zones, _Page())
        self._refreshing = threading.Lock()
        self.tests: Sequence[InboxEntry] = ()
        self.halts: Sequence[Halt] = ()
        self._at_once: dict[str | None, int | None] = {}

    def refresh(self, now: datetime) -> bool:
        """Read the journal again, around ``now``.

        Returns:
            Whether other orders are in force than before, or other stops.
        """
        around = Interval(now - AROUND, now + AROUND)
        with self._refreshing:  # an older reading must not replace a newer one
            before = (self._orders(), self.halts)
            self._pages = {zone: self._read(zone, around) for zone in self._zones}
            self.tests = self._store.inbox.tests()
            self.halts = self._store.halts.standing()
            left = {zone: readings and readings - 1 for zone, readings in self._at_once.items()}
            self._at_once = {zone: readings for zone, readings in left.items() if readings != 0}
            return before != (self._orders(), self.halts)

    def stop_at_once(self, zone: str | None) -> None:
        """Stop a zone's cars, or all: before the journal knows of it, and though its database is away."""
        self._at_once = {**self._at_once, zone: None}

    def stop_is_kept(self, zone: str | None) -> None:
        """Leave a stop to the journal, which has it now: the second reading from here on surely shows it."""
        self._at_once = {**self._at_once, zone: 2}

    def stop_is_void(self, zone: str | None) -> None:
        """Take back a stop that was refused."""
        self._at_once = {name: left for name, left in self._at_once.items() if name != zone}

    def stopped(self) -> frozenset[str]:
        """Return the zones in which the cars are stopped."""
        zones = {halt.zone for halt in self.halts} | self._at_once.keys()
        return frozenset(self._zones) if None in zones else frozenset(zone for zone in zones if zone)

    def rebound(self, zone: str, now: datetime) -> Rebound | None:
        """Return what a zone must keep to after an event; None where nothing was called lately.

        An order that has run out counts at once, also before the journal says that its delivery ended.
        """
        page = self._pages[zone]
        return rebound((*page.over, *page.opportunities), page.nominations, now)

    def nominated(self, zone: str, period: Interval) -> Nomination | None:
        """Return what was nominated for a zone and half-hour; None where nothing was."""
        return self._pages[zone].nominations.get(period)

    def peaks(self, zone: str) -> Sequence[PeakWindow]:
        """Return a zone's standing signals."""
        return self._pages[zone].peaks

    def awarded(self, zone: str) -> Sequence[Opportunity]:
        """Return a zone's bids that are awarded or being delivered, their orders cancelled or not."""
        return self._pages[zone].opportunities

    def taken_back(self, zone: str, now: datetime) -> Sequence[Opportunity]:
        """Return a zone's bids that were taken back in their window, by us or the DNO, while it goes on."""
        over = self._pages[zone].over
        return tuple(
            one
            for one in over
            if one.held_until is not None and one.window.start < one.held_until and now < one.window.end
        )

    def windows(self, zone: str) -> Sequence[Interval]:
        """Return the windows of a zone's awarded bids."""
        return tuple(one.window for one in self.awarded(zone))

    def windows_begun(self, zone: str, now: datetime) -> Sequence[Interval]:
        """Return the windows that have begun of all bids that were awarded, of the last days.

        One that was taken back while it ran ends there; one that was taken back before is none.
        """
        page = self._pages[zone]
        ever = (*page.opportunities, *(one for one in page.over if one.award is not None or one.orders))
        held = {
            Interval(one.window.start, min(one.window.end, one.held_until or one.window.end))
            for one in ever
            if one.window.start <= now and (one.held_until is None or one.held_until > one.window.start)
        }
        return tuple(sorted(held, key=lambda one: one.start))

    def targets(self, now: datetime) -> list[ZoneTarget]:
        """Return the target of every zone that is in a window at ``now``."""
        found = (
            zone_target(zone, now, page.opportunities, page.nominations, page.peaks)
            for zone, page in self._pages.items()
        )
        return [target for target in found if target is not None]

    def targets_ahead(self, zone: str, now: datetime) -> Sequence[ZoneTarget]:
        """Return a zone's target in each window of the next day, the running one first."""
        page = self._pages[zone]
        span = Interval(now, now + LONGEST_WINDOW)
        return tuple(targets_ahead(zone, span, page.opportunities, page.nominations, page.peaks))

    def _orders(self) -> list[EventKey]:
        pages = self._pages.values()
        return [order.key for page in pages for one in page.opportunities for order in one.in_force]

    def _read(self, zone: str, around: Interval) -> _Page:
        nominations = {one.period: one for one in self._store.nominations.between(zone, around)}
        return _Page(
            opportunities=tuple(self._store.journal.find(zone=zone, stages=FOLLOWED)),
            nominations=nominations,
            peaks=tuple(self._store.inbox.peaks(zone)),
            over=tuple(self._store.journal.find(zone=zone, stages=OVER, overlapping=around)),
        )
