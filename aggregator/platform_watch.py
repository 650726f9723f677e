"""Whether each platform knows us and answers: told to those who ask, and by an alarm where it does not.

A desk must not learn from a log that what it approved cannot leave. One alarm tells of each time away, and
says since when it is over; it is for people to clear, back or not. A restart meanwhile tells nothing anew.
A gateway that starts slowly has not asked in vain yet: that is not the platform's fault, and no alarm.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from aggregator.patience import Patience
from aggregator.ports import Clock
from aggregator.store import Alarm, Store
from market_adapters.openadr.ven import Ven

AWAY = "platform_away"
POLLS_MISSED = 3
LOOK_S = 0.5
"""Wall seconds between two looks."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be so for work to be done, and how it stands, in words."""

    ok: bool
    says: str


def platform_check(ven: Ven) -> Check:
    """Return whether a platform knows us and answers our polls."""
    failures = f"{ven.consecutive_failures} failures in a row"
    if not ven.registered:
        return Check(ok=False, says=f"not registered, {failures}")
    age_s, most_s = ven.poll_age_s, POLLS_MISSED * ven.poll_s
    if age_s is None:
        return Check(ok=False, says=f"no poll answered yet, {failures}")
    says = f"last good poll {age_s:.1f} s ago, at most {most_s:.1f} s, {failures}"
    return Check(age_s <= most_s, says)


class PlatformWatch:
    """A worker: raises an alarm once for each time that a platform is away for longer than some polls.

    Args:
        vens: By the platform's id.
        store: For the alarms.
        clock: The domain's.
        patience: While the database does not answer.
    """

    def __init__(self, vens: Mapping[str, Ven], store: Store, clock: Clock, patience: Patience) -> None:
        self._vens, self._store, self._clock, self._patience = vens, store, clock, patience
        self._away_since_s: dict[str, float] = {}
        self._told: set[str] = set()
        self._back: set[str] = set()

    async def run(self) -> None:
        """Look at every platform, until cancelled."""
        while True:
            for vtn_id, ven in self._vens.items():
                await self._look(vtn_id, ven)
            await asyncio.sleep(LOOK_S)

    async def _look(self, vtn_id: str, ven: Ven) -> None:
        found, now_s = platform_check(ven), time.monotonic()
        if found.ok:
            self._away_since_s.pop(vtn_id, None)
            self._told.discard(vtn_id)
            if vtn_id not in self._back:
                await self._patience.of(self._store.alarms.end, AWAY, vtn_id, self._clock.now())
                self._back.add(vtn_id)
            return
        self._back.discard(vtn_id)
        since_s = self._away_since_s.setdefault(vtn_id, now_s)
        untried = ven.poll_age_s is None and not ven.consecutive_failures
        if vtn_id in self._told or untried or now_s - since_s < POLLS_MISSED * ven.poll_s:
            return
        self._told.add(vtn_id)
        text = f"the platform does not answer: {found.says}; what is approved waits for it"
        alarm = Alarm(self._clock.now(), AWAY, vtn_id, text)
        await self._patience.of(self._store.alarms.raise_once, alarm)
