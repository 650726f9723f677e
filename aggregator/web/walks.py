"""Walks along the trail's chain for a page that must be quick.

A short trail is walked each time somebody looks. One of 100,000 rows takes a second or more: it is walked
beside the page, at most once a minute, and the page says of when the walk is that it tells of. Exports,
programs and ``flexloop desk trail --verify`` walk each time.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from aggregator.model.errors import Unavailable
from aggregator.store import Verified

log = structlog.get_logger()

SHORT = 10_000
"""A trail of so many rows is walked in some tenths of a second."""

AGAIN_S = 60.0
"""A longer one is walked no more often than this. [wall s]"""


@dataclass(frozen=True, slots=True)
class Walk:
    """What a walk found.

    Attributes:
        found: Of the whole trail as it was then.
        age_s: How long ago it began. [wall s]
    """

    found: Verified
    age_s: float


class Walks:
    """Remembers the last walk.

    Args:
        walk: Walks along the whole chain.
        length: Returns about how many rows there are.
        now_s: Wall clock that only goes forward. [s]
    """

    def __init__(
        self,
        walk: Callable[[], Verified],
        length: Callable[[], int],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._walk, self._length, self._now_s = walk, length, now_s
        self._walking = threading.Lock()
        self._last: tuple[Verified, float] | None = None

    def look(self) -> Walk | None:
        """Return a walk; None where the first one along a long trail is still on its way. In a thread."""
        if self._length() <= SHORT:
            return Walk(self._walk(), 0.0)
        if self._last is None or self._now_s() - self._last[1] > AGAIN_S:
            self._walk_beside()
        if self._last is None:
            return None
        found, began_s = self._last
        return Walk(found, self._now_s() - began_s)

    def _walk_beside(self) -> None:
        def walked() -> None:
            try:
                began_s = self._now_s()
                self._last = (self._walk(), began_s)
            except Unavailable as away:  # the page tells of the walk before
                log.warning("trail_not_walked", error=str(away))
            finally:
                self._walking.release()

        if self._walking.acquire(blocking=False):
            threading.Thread(target=walked, name="walk", daemon=True).start()
