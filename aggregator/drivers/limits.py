"""How often one may ask: a bucket each, refilled evenly. In wall time, as load is."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

MOST_KEPT = 10_000
MINUTE_S = 60.0


class Buckets:
    """Lets each key through ``per_minute`` times a minute, half of them at once (at least 5).

    Args:
        per_minute: How often.
        now_s: Wall clock that only goes forward. [s]
    """

    def __init__(self, per_minute: int, now_s: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_minute / MINUTE_S
        self._most = max(5.0, per_minute / 2)
        self._now_s = now_s
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, key: str) -> int:
        """Return 0 and count one, or how many whole seconds to wait. [s]"""
        now_s = self._now_s()
        left, since_s = self._left.pop(key, (self._most, now_s))
        left = min(self._most, left + (now_s - since_s) * self._per_s)
        allowed = left >= 1
        self._left[key] = (left - 1 if allowed else left, now_s)
        while len(self._left) > MOST_KEPT:  # the one not heard of for longest has a full bucket by now
            self._left.popitem(last=False)
        return 0 if allowed else math.ceil((1 - left) / self._per_s)
