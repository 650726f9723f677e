"""Instants and what London's clocks show, for many at once. [s]

Both are whole seconds since 1970: an instant's in UTC, a clock's as if it stood in UTC. Where the clocks
change, a shown time may mean two instants, as in PEP 495: ``fold`` 0 counts by the clock before the change,
``fold`` 1 by the one after it.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from aggregator.energy import IntArray
from aggregator.model.time import LONDON, Interval

DAY_S = 86_400
HALF_HOUR_S = 1_800


@dataclass(frozen=True, slots=True, eq=False)
class WallTime:
    """London's clock over a span of time.

    Attributes:
        change_s: Instants at which it changes, ascending, shape (changes,). [s]
        offset_s: How far it is ahead of UTC before, between and after them, shape (changes + 1,). [s]
    """

    change_s: IntArray
    offset_s: IntArray

    @classmethod
    def over(cls, span: Interval) -> "WallTime":
        """Return the clock as it is from the start of ``span`` to its end; it stays so beyond."""
        change_s: list[int] = []
        offset_s = [_offset_s(span.start)]
        at = span.start
        while at < span.end:
            following = min(at + timedelta(seconds=DAY_S), span.end)
            if _offset_s(following) != offset_s[-1]:
                change_s.append(seconds(_change(at, following)))
                offset_s.append(_offset_s(following))
            at = following
        return cls(np.array(change_s, dtype=np.int64), np.array(offset_s, dtype=np.int64))

    def shown(self, instant_s: IntArray) -> IntArray:
        """Return what the clock shows at each instant. [s]"""
        return instant_s + self.offset_s[np.searchsorted(self.change_s, instant_s, side="right")]

    def instants(self, shown_s: IntArray, fold: int) -> IntArray:
        """Return the instant at which the clock shows each time. [s]"""
        before, after = self.change_s + self.offset_s[:-1], self.change_s + self.offset_s[1:]
        turns = np.minimum(before, after) if fold else np.maximum(before, after)
        return shown_s - self.offset_s[np.searchsorted(turns, shown_s, side="right")]


def seconds(instant: datetime) -> int:
    """Return whole seconds since 1970. [s]"""
    return math.floor(instant.timestamp())


def _offset_s(instant: datetime) -> int:
    return (instant.astimezone(LONDON).utcoffset() or timedelta(0)) // timedelta(seconds=1)


def _change(low: datetime, high: datetime) -> datetime:
    """Return the first second of the offset that holds at ``high`` and not yet at ``low``."""
    old = _offset_s(low)
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // timedelta(seconds=2) * timedelta(seconds=1)
        low, high = (middle, high) if _offset_s(middle) == old else (low, middle)
    return high
