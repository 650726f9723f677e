"""What each zone's cars will probably do in its windows, kept for a minute, as a split takes time."""

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aggregator.gateway import Gateway
from aggregator.model.fleet import Car
from dispatch.controller import Controller
from dispatch.fleet_view import CarView
from dispatch.window_ahead import Share, shares_ahead

HOLDS = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What was found, when, and for which orders, cars and wishes."""

    at: datetime
    made_for: object
    shares: Sequence[Share]


class ZoneShares:
    """Finds cars' shares.

    Args:
        gateway: Whose.
        controller: Its control loop.
        view: Returns a car as its driver wants it now.
        stale_after: How old a report may be.
    """

    def __init__(
        self,
        gateway: Gateway,
        controller: Controller,
        view: Callable[[Car, datetime], CarView],
        stale_after: timedelta,
    ) -> None:
        self._gateway, self._loop, self._view, self._stale_after = gateway, controller, view, stale_after
        self._kept: dict[str, _Kept] = {}
        self._finding: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def of(self, zone: str, now: datetime) -> Sequence[Share]:
        """Return the shares of a zone's cars in its windows, in order; none while it is stopped. In a thread.

        They are found anew after a minute, and at once where orders, cars or drivers' words have changed.
        """
        targets = self._gateway.book.targets_ahead(zone, now)
        if not targets or zone in self._loop.orders.stopped():
            return ()
        orders = [
            (tuple(slot.end for slot in one.slots), one.export_kw, one.opportunity_ids) for one in targets
        ]
        views = [
            view
            for car in self._gateway.fleet.cars
            if car.site.zone == zone and (view := self._view(car, now)).is_plugged()
        ]
        fresh = [view for view in views if not view.is_stale(now, self._stale_after)]
        made_for = (orders, [(view.car.car_id, view.wish) for view in fresh])
        with self._finding[zone]:
            kept = self._kept.get(zone)
            if kept is None or kept.made_for != made_for or not timedelta(0) <= now - kept.at < HOLDS:
                prices, guard_soc = self._gateway.prices, self._loop.guard_soc
                found = shares_ahead(targets, fresh, now, lambda slots: prices(zone, slots), guard_soc)
                kept = self._kept[zone] = _Kept(now, made_for, found)
            return kept.shares
