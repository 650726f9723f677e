"""Test events: played to their end without a car moving, and told to the desk when they start and end.

A platform tries out its way to us with them, and wants to be sure that it was seen. What was told is read
from the notices themselves, so that a restart tells nothing twice.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from aggregator.model.market import Rehearsal
from aggregator.model.time import utc_text
from aggregator.store import Alarm, InboxEntry, Store

STARTED = "test_event_started"
ENDED = "test_event_ended"


class Rehearsals:
    """Tells the desk of test events, once each."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._told = {
            (alarm.code, alarm.where) for alarm in store.alarms.all() if alarm.code in {STARTED, ENDED}
        }

    def tell(self, tests: Iterable[InboxEntry], now: datetime) -> None:
        """Raise the notices that are due at ``now``, given every test event's newest version."""
        for entry in tests:
            where = f"{entry.key.vtn_id} event {entry.key.event_id}"
            for code, text in self._due(entry, where, now):
                if (code, where) not in self._told:
                    self._store.alarms.raise_(Alarm(now, code, where, text))
                    self._told.add((code, where))
                    if code == ENDED:
                        self._store.alarms.end(STARTED, where, now)

    def _due(self, entry: InboxEntry, where: str, now: datetime) -> Iterator[tuple[str, str]]:
        if not isinstance(entry.content, Rehearsal):
            if (STARTED, where) in self._told:
                yield ENDED, "the platform ended its test"
            return
        window, zones = entry.content.window, ", ".join(entry.zones)
        about = f"{entry.content.kind} for {zones}, {utc_text(window.start)} to {utc_text(window.end)}"
        if window.start <= now:
            yield STARTED, f"the platform tests: {about}; no car moves"
        if window.end <= now:
            yield ENDED, f"the test is over: {about}"
