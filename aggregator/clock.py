"""The domain clock: real time, or a faster one that all processes of a simulation share.

A clock file (``aggregator/clock_file.py``) says from which domain instant on how many domain seconds pass per
wall second. Every process reads the same file, so that they agree without talking, and a process that is
killed and started again finds the time where the others have it. A ``FastClock`` goes on whatever happens;
a ``KeptClock`` (``aggregator/kept_clock.py``) waits for those who cannot keep up.
Only this module and that of clock files read one.
"""

import asyncio
import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aggregator.model.time import utc_text


class RealClock:
    """Domain time is wall time."""

    def now(self) -> datetime:
        """Return the instant, aware, in UTC."""
        return datetime.fromtimestamp(time.time(), UTC)

    def wall_seconds_until(self, at: datetime) -> float:
        """Return the wall seconds until ``at``, at least 0. [s]"""
        return max(0.0, (at - self.now()).total_seconds())

    def hold(self, worker: str, at: datetime | None) -> None:
        """Do nothing: this time waits for nobody (``KeptClock`` does)."""

    async def sleep_until(self, at: datetime) -> None:
        """Sleep until the domain clock shows ``at``."""
        while (seconds := self.wall_seconds_until(at)) > 0:  # noqa: ASYNC110 - a clock, not an event
            await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Pace:
    """From ``since`` on, ``factor`` domain seconds pass per wall second."""

    since: datetime
    factor: float


class FastClock(RealClock):
    """A piecewise linear clock: at ``wall_epoch_s`` the domain shows the first pace's instant."""

    def __init__(self, wall_epoch_s: float, paces: Sequence[Pace]) -> None:
        self._paces = tuple(paces)
        starts = [wall_epoch_s]
        for pace, following in itertools.pairwise(paces):
            starts.append(starts[-1] + (following.since - pace.since).total_seconds() / pace.factor)
        self._wall_starts = tuple(starts)

    @property
    def paces(self) -> tuple[Pace, ...]:
        """Its paces, the first one first."""
        return self._paces

    def now(self) -> datetime:
        """Return the domain instant, aware, in UTC."""
        return self._at(time.time())

    def _at(self, wall: float) -> datetime:
        at = max((n for n, start in enumerate(self._wall_starts) if start <= wall), default=0)
        pace = self._paces[at]
        return pace.since + timedelta(seconds=(wall - self._wall_starts[at]) * pace.factor)

    def wall_seconds_until(self, at: datetime) -> float:
        """Return the wall seconds until the domain shows ``at``, at least 0. [s]"""
        return max(0.0, self.wall_s(at) - time.time())

    def wall_s(self, at: datetime) -> float:
        """Return the wall instant at which the domain shows ``at``. [s since 1970]"""
        pace_at = max((n for n, pace in enumerate(self._paces) if pace.since <= at), default=0)
        pace = self._paces[pace_at]
        return self._wall_starts[pace_at] + (at - pace.since).total_seconds() / pace.factor

    def from_then_on(self, factor: float, in_s: float, until: datetime | None = None) -> "FastClock":
        """Return the clock that runs on at another pace, without a jump.

        Args:
            factor: Domain seconds per wall second from then on.
            in_s: When, in wall seconds from now. [s]
            until: From this domain instant on the pace is again the one before; None for good.

        Raises:
            ValueError: If this clock has not begun by then, or shows ``until`` before.
        """
        wall = time.time() + in_s
        if wall <= self._wall_starts[0]:
            raise ValueError(f"it begins in {self._wall_starts[0] - wall + in_s:.0f} s")
        at = self._at(wall)
        kept = [pace for pace in self._paces if pace.since < at]
        if until is not None and until <= at:
            raise ValueError(f"it shows {utc_text(until)} before that")
        after = [] if until is None else [Pace(until, kept[-1].factor)]
        return FastClock(self._wall_starts[0], [*kept, Pace(at, factor), *after])

    def to_json(self) -> str:
        """Return the clock file that says the same."""
        steps = [{"from": utc_text(pace.since), "factor": pace.factor} for pace in self._paces]
        return json.dumps(
            {
                "wall_epoch_s": self._wall_starts[0],
                "starts_at": utc_text(self._paces[0].since),
                "steps": steps,
            },
            indent=1,
        )


def start_fast_clock(paces: Sequence[Pace], delay_s: float = 0.0) -> FastClock:
    """Return a fast clock whose first pace begins ``delay_s`` wall seconds from now."""
    return FastClock(time.time() + delay_s, paces)
