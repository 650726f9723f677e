"""Messages signed too long ago, too far ahead, or seen before are refused.

Kept in this process only: what was heard shortly before a restart is not known after it. What such a message
could say is then judged by its modification number, as is whatever else comes twice.
"""

import time
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush

from aggregator.model.errors import BadMessage, Fault
from market_adapters.openadr.signatures import Stamp

MOST_REMEMBERED = 50_000


def wall_now() -> datetime:
    """Return the wall instant: stamps and nonces are about the link, not about the domain's day."""
    return datetime.fromtimestamp(time.time(), UTC)


class ReplayGuard:
    """Lets each signed message of one platform in once, and only about when it was signed.

    Args:
        back: How old a signature may be.
        ahead: How far in the future, by our clock.

    Attributes:
        skew_s: By how much the last signature's time was ahead of our clock; None before the first. [s]
    """

    def __init__(self, back: timedelta, ahead: timedelta) -> None:
        self.skew_s: float | None = None
        self._back = back
        self._ahead = ahead
        self._seen: set[Stamp] = set()
        self._oldest_first: list[tuple[datetime, str]] = []

    def __len__(self) -> int:
        return len(self._seen)

    def admit(self, stamp: Stamp, now: datetime, source: str) -> None:
        """Let a message in.

        Args:
            stamp: As signed.
            now: Wall instant of its arrival.
            source: What to call it in faults.

        Raises:
            BadMessage: If it is outside the window, or was let in before; or if so many were within one
                window that they cannot all be remembered.
        """
        self.skew_s = (stamp.at - now).total_seconds()
        where, signed = f"{source}: Signature", f"signed at {stamp.at.isoformat()}"
        if not now - self._back <= stamp.at <= now + self._ahead:
            allowed = (
                f"from {self._back.total_seconds():g} s before to {self._ahead.total_seconds():g} s after"
            )
            raise BadMessage(Fault(where, signed, f"{allowed} {now.isoformat()}"))
        self._forget(now - self._back)
        if stamp in self._seen:
            raise BadMessage(Fault(where, f"{signed}, nonce {stamp.nonce}", "each message once"))
        if len(self._seen) >= MOST_REMEMBERED:
            raise BadMessage(Fault(where, signed, f"at most {MOST_REMEMBERED} messages within the window"))
        self._seen.add(stamp)
        heappush(self._oldest_first, (stamp.at, stamp.nonce))

    def _forget(self, before: datetime) -> None:
        while self._oldest_first and self._oldest_first[0][0] < before:
            self._seen.discard(Stamp(*heappop(self._oldest_first)))
