"""Since when what alarms of the control loop tell of is over; they are for people to clear all the same.

What comes back is not over after all: of alarms of one kind and place the newest says so again. After a
restart nothing is over that the loop has not seen to be: a car that has not been heard of, or judged, may
still do what its alarm tells of. Other kinds with an end are ended by who raises them.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime

from aggregator.book import Book
from aggregator.patience import Patience
from aggregator.ports import Clock
from aggregator.store import Alarm, Store
from dispatch.controller import Controller

LOOK_S = 1.0
"""Wall seconds between two looks."""


class AlarmEnds:
    """A worker: notes which alarms of the control loop are over.

    Args:
        store: Of the alarms.
        controller: The control loop.
        book: What it follows.
        clock: The domain's.
        patience: While the database does not answer.
    """

    def __init__(
        self, store: Store, controller: Controller, book: Book, clock: Clock, patience: Patience
    ) -> None:
        self._store, self._controller, self._book = store, controller, book
        self._clock, self._patience = clock, patience
        self._kinds: Mapping[str, Callable[[Alarm, datetime], bool]] = {
            "not_following": self._follows,
            "order_short": self._is_served,
            "peak_exceeded": self._is_refilled,
            "short_of_target": self._is_in_time,
        }

    async def run(self) -> None:
        """Look at the open alarms, until cancelled."""
        while True:
            await self._patience.of(self.look)
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Note what is over by now, and what goes on again; in a thread."""
        if self._controller.cycled_at is None:
            return
        now = self._clock.now()
        found = [alarm for alarm in self._store.alarms.open() if alarm.code in self._kinds]
        newest = {(alarm.code, alarm.where): alarm for alarm in found}
        for alarm in found:
            is_over = self._kinds[alarm.code](alarm, now)
            if is_over and alarm.over_at is None:
                self._store.alarms.set_over(alarm.alarm_id, now)
            elif not is_over and alarm.over_at is not None and newest[alarm.code, alarm.where] is alarm:
                self._store.alarms.set_over(alarm.alarm_id, None)

    def _follows(self, alarm: Alarm, _: datetime) -> bool:
        return self._controller.following.was_seen_to_follow(alarm.where)

    def _is_in_time(self, alarm: Alarm, now: datetime) -> bool:
        is_known = self._controller.hears_of(alarm.where, now)
        return is_known and alarm.where not in self._controller.shortfalls.kwh

    def _is_served(self, alarm: Alarm, now: datetime) -> bool:
        orders = [target.opportunity_ids[0] for target in self._book.targets(now)]
        return not any(alarm.text.startswith(f"{name}: ") for name in orders if name is not None)

    def _is_refilled(self, alarm: Alarm, now: datetime) -> bool:
        return self._book.rebound(alarm.where, now) is None
