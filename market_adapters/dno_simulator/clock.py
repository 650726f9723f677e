"""The domain clock: how fast the days of a scenario pass. The only place of this package that reads time.

A file says at which wall second the domain time is ``starts_at``, and from which domain times on how many
domain seconds pass in a wall second. With ``hands`` instead of a wall second, somebody else moves the clock:
the file of that name holds 64-bit integers, first the domain time, then for each of ``holders`` the time that
the clock must not pass before that holder says so. [us since 1970] Without a file domain time is wall time.
"""

import asyncio
import json
import mmap
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Protocol, Self

from pydantic import Field, model_validator

from .edge import NOT_EMPTY, BadFile, Instant, Number, Positive, Problem, Refusal, Table, checked, refuse


class Clock(Protocol):
    """Something that tells domain time."""

    def now(self) -> datetime:
        """Domain time now, in UTC."""
        ...

    def started(self) -> None:
        """Say that the simulator is there: a clock that waited for it may go on."""

    async def sleep_until(self, at: datetime) -> None:
        """Sleep until the domain time ``at``."""


@dataclass(frozen=True, slots=True)
class Step:
    """From ``starts_at`` on ``factor`` domain seconds pass in a wall second."""

    starts_at: datetime
    factor: float


@dataclass(frozen=True, slots=True)
class DomainClock:
    """Domain time as a piecewise linear function of wall time.

    Attributes:
        wall_epoch_s: Wall time at which the first step starts. [s since 1970]
        steps: In ascending order, at least one; the last holds for ever, the first also before its start.
    """

    wall_epoch_s: float
    steps: tuple[Step, ...]

    def now(self) -> datetime:
        """Domain time now, in UTC."""
        return self.at(time.time())

    def started(self) -> None:
        """Do nothing: this clock waits for nobody."""

    async def sleep_until(self, at: datetime) -> None:
        """Sleep until the domain time ``at``."""
        while (seconds := self.wall_s(at) - time.time()) > 0:  # noqa: ASYNC110 - a clock, not an event
            await asyncio.sleep(seconds)

    def at(self, wall_s: float) -> datetime:
        """Domain time at a wall time in seconds since 1970."""
        began_s, step = max(
            (leg for leg in self._legs() if leg[0] <= wall_s),
            key=lambda leg: leg[0],
            default=(self.wall_epoch_s, self.steps[0]),
        )
        return step.starts_at + timedelta(seconds=(wall_s - began_s) * step.factor)

    def wall_s(self, at: datetime) -> float:
        """Wall time, in seconds since 1970, at which the domain time is ``at``."""
        began_s, step = max(
            (leg for leg in self._legs() if leg[1].starts_at <= at),
            key=lambda leg: leg[0],
            default=(self.wall_epoch_s, self.steps[0]),
        )
        return began_s + (at - step.starts_at).total_seconds() / step.factor

    def _legs(self) -> Iterator[tuple[float, Step]]:
        wall_s = self.wall_epoch_s
        for index, step in enumerate(self.steps):
            if index:
                before = self.steps[index - 1]
                wall_s += (step.starts_at - before.starts_at).total_seconds() / before.factor
            yield wall_s, step


class FileClock:
    """The domain clock of a file that is looked at again: its later steps may be changed while it runs.

    Args:
        path: The file.
        clock: What it said.
    """

    def __init__(self, path: Path, clock: DomainClock) -> None:
        self._path, self._clock, self._looked_s = path, clock, time.time()

    def now(self) -> datetime:
        """Domain time now, in UTC."""
        return self.latest().now()

    def latest(self) -> DomainClock:
        """The clock as the file says now; one that cannot be read leaves it as it is."""
        wall_s = time.time()
        if abs(wall_s - self._looked_s) > _LOOK_AGAIN_S:
            self._looked_s = wall_s
            with suppress(BadFile):
                self._clock = _fast(self._path)
        return self._clock

    def started(self) -> None:
        """Do nothing: this clock waits for nobody."""

    async def sleep_until(self, at: datetime) -> None:
        """Sleep until the domain time ``at``."""
        while self.now() < at:  # noqa: ASYNC110 - a clock, not an event
            await asyncio.sleep(min(_LOOK_AGAIN_S, max(0.0, self.latest().wall_s(at) - time.time()) + 1e-3))


class KeptClock:
    """Domain time as somebody else's hands show it.

    Args:
        hands: The shared integers.
        place: Where among them our own hold is.
    """

    def __init__(self, hands: memoryview, place: int) -> None:
        self._hands, self._place = hands, place

    def now(self) -> datetime:
        """Domain time now, in UTC."""
        return _EPOCH + timedelta(microseconds=int(self._hands[0]))

    def started(self) -> None:
        """Let go of the clock."""
        self._hands[self._place] = _NEVER

    async def sleep_until(self, at: datetime) -> None:
        """Sleep until the domain time ``at``."""
        while self.now() < at:  # noqa: ASYNC110 - a clock, not an event
            await asyncio.sleep(_LOOK_S)


HOLDER = "dno"
_EPOCH = datetime.fromtimestamp(0, UTC)
_NEVER = 2**63 - 1
_LOOK_S = 0.05
_LOOK_AGAIN_S = 0.5

WALL_CLOCK = DomainClock(wall_epoch_s=0.0, steps=(Step(datetime.fromtimestamp(0, UTC), 1.0),))


class _StepTable(Table):
    from_: Instant = Field(alias="from")
    factor: Positive


class _ClockTable(Table):
    wall_epoch_s: Number | None = None
    hands: str | None = None
    holders: tuple[str, ...] = ()
    starts_at: Instant
    steps: Annotated[tuple[_StepTable, ...], NOT_EMPTY]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        problems = []
        if self.steps[0].from_ != self.starts_at:
            problems.append(
                Problem("steps[0].from", self.steps[0].from_, "the first step starts at starts_at")
            )
        for index in range(1, len(self.steps)):
            if self.steps[index].from_ <= self.steps[index - 1].from_:
                allowed = "a step starts after the one before"
                problems.append(Problem(f"steps[{index}].from", self.steps[index].from_, allowed))
        if (self.wall_epoch_s is None) == (self.hands is None):
            problems.append(Problem("wall_epoch_s", self.wall_epoch_s, "this or hands, and not both"))
        refuse(problems)
        return self


def read_clock(path: Path | None) -> Clock:
    """Read a clock file; without one, the wall clock.

    Raises:
        BadFile: If the file cannot be read, with every fault found.
    """
    if path is None:
        return WALL_CLOCK
    table = _table(path)
    if table.hands is not None:
        return _kept(path, table.hands, table.holders)
    return FileClock(path, _fast(path))


def _fast(path: Path) -> DomainClock:
    table = _table(path)
    return DomainClock(
        table.wall_epoch_s or 0.0, tuple(Step(step.from_, step.factor) for step in table.steps)
    )


def _table(path: Path) -> _ClockTable:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadFile(Refusal(path.name or str(path), reason, "a file that can be read as JSON")) from None
    return checked(_ClockTable, data, path.name)


def _kept(path: Path, hands: str, holders: tuple[str, ...]) -> KeptClock:
    try:
        with path.with_name(hands).open("r+b") as file:
            shared = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")
        place = 1 + holders.index(HOLDER)
        shared[place]
    except (OSError, ValueError, IndexError, TypeError) as error:
        allowed = f"a file of 64-bit integers, one for the clock and one for each holder, {HOLDER} among them"
        raise BadFile(Refusal(f"{path.name}: hands", f"{hands} ({error})", allowed)) from None
    return KeptClock(shared, place)
