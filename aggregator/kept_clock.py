"""A fast clock that waits for those who cannot keep up: a slow machine makes a simulation longer, not wrong.

On a clock that runs hundreds of times faster than real time, a tenth of a second in which a process is not
given the machine is most of the life of a set-point. So whoever must have acted by an instant holds the clock
there, and moves its hold on once it has acted. One program, the timekeeper, moves the hands at the pace in
force, never past a hold by more than a little. The hands are a file that all processes map into memory:
64-bit integers in a row, first the instant shown, then one for each holder. [us since 1970]
"""

import mmap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aggregator.clock import FastClock, Pace, RealClock

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
LETS_GO = 2**63 - 1
SHORTEST_WAIT_S = 0.001
"""Between two looks at hands that stand still."""


class Hands:
    """The shared file, mapped into memory. One process moves the hands, each holder its own hold.

    Raises:
        OSError: If the file cannot be read and written.
        ValueError: If it is not as long as its holders want.
    """

    def __init__(self, path: Path, holders: Sequence[str]) -> None:
        with path.open("r+b") as file:
            self._memory = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")
        if len(self._memory) != 1 + len(holders):
            raise ValueError(f"{path.name} has {len(self._memory)} hands, {1 + len(holders)} are wanted")
        self._places = {name: 1 + n for n, name in enumerate(holders)}

    @staticmethod
    def make(path: Path, shown: datetime, holders: Sequence[str]) -> "Hands":
        """Write a file whose clock shows an instant and is held there by everybody."""
        path.write_bytes(b"".join(_microseconds(shown).to_bytes(8, "little") for _ in ("clock", *holders)))
        return Hands(path, holders)

    @property
    def shown(self) -> datetime:
        """The instant the clock shows."""
        return EPOCH + self._memory[0] * MICROSECOND

    def move(self, to: datetime) -> None:
        """Show another instant."""
        self._memory[0] = _microseconds(to)

    def hold(self, name: str, at: datetime | None) -> None:
        """Hold the clock at an instant, or let go; names that are not holders have no say."""
        place = self._places.get(name)
        if place is not None:
            self._memory[place] = LETS_GO if at is None else _microseconds(at)

    def let_go(self, names: Iterable[str]) -> None:
        """Let go for holders that are no longer there to do it."""
        for name in names:
            self.hold(name, None)

    @property
    def held_at(self) -> datetime | None:
        """The earliest hold; None where nobody holds."""
        earliest = min(self._memory[1:], default=LETS_GO)
        return None if earliest == LETS_GO else EPOCH + earliest * MICROSECOND


class KeptClock(RealClock):
    """A clock whose hands a timekeeper moves.

    Args:
        hands: Shared with it.
        paces: How fast it moves them where nobody holds.
    """

    def __init__(self, hands: Hands, paces: Sequence[Pace]) -> None:
        self._hands = hands
        self._schedule = FastClock(0.0, paces)

    def now(self) -> datetime:
        """Return the domain instant, aware, in UTC."""
        return self._hands.shown

    def wall_seconds_until(self, at: datetime) -> float:
        """Return the wall seconds until the domain shows ``at`` if nobody holds: at least so many. [s]"""
        now = self.now()
        if at <= now:
            return 0.0
        return max(SHORTEST_WAIT_S, self._schedule.wall_s(at) - self._schedule.wall_s(now))

    def hold(self, worker: str, at: datetime | None) -> None:
        """Let the clock not run past ``at`` before this worker calls again; None lets go."""
        self._hands.hold(worker, at)


def _microseconds(at: datetime) -> int:
    return (at - EPOCH) // MICROSECOND
