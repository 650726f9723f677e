"""Since when what alarms of the control loop tell of is over; they are for people to clear all the same.

What comes back is not over after all: of open alarms of one kind and place the newest says so again. What is
not known yet stays as it stands: a car that has not been heard of, or judged, since a restart may still do
what its alarm tells of, or have stopped long before. Acknowledged ones are followed to their end, too: so a
gateway that starts knows what goes on and was told. Other kinds with an end are ended by who raises them.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime

from aggregator.book import Book
from aggregator.patience import Patience
from aggregator.ports import Clock
from aggregator.store import Alarm, Store
from dispatch.controller import Controller
from dispatch.notices import (
    CAPACITY_DIFFERS,
    INTERLOCK,
    NOT_FOLLOWING,
    NOT_TAKEN,
    ORDER_SHORT,
    PEAK_EXCEEDED,
    RAMP_HELD,
    SHORT,
    SHORT_OF_TARGET,
)

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
        self._kinds: Mapping[str, Callable[[Alarm, datetime], bool | None]] = {
            CAPACITY_DIFFERS: self._is_registered,
            INTERLOCK: self._is_told,
            NOT_FOLLOWING: self._follows,
            NOT_TAKEN: self._is_told,
            ORDER_SHORT: self._is_served,
            PEAK_EXCEEDED: self._is_refilled,
            RAMP_HELD: self._moves,
            SHORT_OF_TARGET: self._is_in_time,
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
        found = self._store.alarms.unfinished(self._kinds)
        newest = {(alarm.code, alarm.where, alarm.about): alarm for alarm in found}
        for alarm in found:
            is_over = self._kinds[alarm.code](alarm, now)
            if is_over and alarm.over_at is None:
                self._store.alarms.set_over(alarm.alarm_id, now)
            elif is_over is False and alarm.over_at and newest[alarm.code, alarm.where, alarm.about] is alarm:
                self._store.alarms.set_over(alarm.alarm_id, None)

    def _follows(self, alarm: Alarm, _: datetime) -> bool | None:
        return self._controller.following.was_seen_to_follow(alarm.where)

    def _is_in_time(self, alarm: Alarm, now: datetime) -> bool | None:
        shortfalls = self._controller.shortfalls
        if alarm.where in shortfalls.before or not self._controller.hears_of(alarm.where, now):
            return None
        return alarm.where not in shortfalls.kwh

    def _is_told(self, alarm: Alarm, _: datetime) -> bool | None:
        return self._controller.is_told(alarm.code, alarm.where) or None  # each time is an alarm of its own

    def _is_registered(self, alarm: Alarm, _: datetime) -> bool | None:
        capacity_kwh = self._controller.registered_kwh(alarm.where)
        return None if alarm.amount in (None, capacity_kwh) else True

    def _is_served(self, alarm: Alarm, now: datetime) -> bool | None:
        if alarm.about is None or all(
            target.opportunity_ids[0] != alarm.about for target in self._book.targets(now)
        ):
            return True
        share = self._controller.missing_share(alarm.about)
        return None if share is None else share <= (SHORT if alarm.over_at else SHORT / 2)

    def _moves(self, alarm: Alarm, now: datetime) -> bool | None:
        return not self._controller.is_held(alarm.where, now) or None  # each time is an alarm of its own

    def _is_refilled(self, alarm: Alarm, now: datetime) -> bool:
        return self._book.rebound(alarm.where, now) is None
