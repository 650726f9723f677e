"""Moves the demo's clock: fast where nothing happens, and never faster than the programs can follow."""

import json
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from aggregator.clock import Pace
from aggregator.kept_clock import Hands, KeptClock
from aggregator.model.time import utc_text

TICK_S = 0.002
LONGEST_STEP_S = 0.02
"""A timekeeper that was not given the machine for longer goes on from where it was."""

GATEWAY = ("dispatch", "record", "keep time")
SIMULATORS = ("fleet", "dno")


@dataclass(frozen=True, slots=True)
class Leg:
    """From ``since`` on, the clock's pace.

    Attributes:
        since: Domain instant.
        factor: Domain seconds per wall second where nobody holds the clock.
        slack: How far the clock may run past a hold.
    """

    since: datetime
    factor: float
    slack: timedelta


class Timekeeper:
    """A thread that moves the hands; use it as a context manager.

    Args:
        folder: Where the clock file and its hands go.
        legs: Ascending, at least one; the clock shows the first one's start until everybody has let go of it.

    Attributes:
        waited_s: Wall seconds for which a hold kept the clock from its pace.
    """

    def __init__(self, folder: Path, legs: Sequence[Leg]) -> None:
        self._legs = tuple(legs)
        holders = (*GATEWAY, *SIMULATORS)
        self._hands = Hands.make(folder / "clock.hands", legs[0].since, holders)
        self._hands.let_go(("record", "keep time"))  # they hold only while they work
        self.clock = KeptClock(self._hands, [Pace(leg.since, leg.factor) for leg in legs])
        body = {
            "hands": "clock.hands",
            "holders": holders,
            "starts_at": utc_text(legs[0].since),
            "steps": [{"from": utc_text(leg.since), "factor": leg.factor} for leg in legs],
        }
        (folder / "clock.json").write_text(json.dumps(body, indent=1), encoding="utf-8")
        self.waited_s = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="timekeeper", daemon=True)

    def __enter__(self) -> Self:
        """Start the clock: it moves once those that it waits for are there."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the clock."""
        self._over.set()
        self._thread.join()

    def let_go(self, names: Iterable[str]) -> None:
        """No longer wait for programs that were killed, until they hold the clock again."""
        self._hands.let_go(names)

    def _keep(self) -> None:
        before = time.monotonic()
        while not self._over.wait(TICK_S):
            wall = time.monotonic()
            self._step(min(wall - before, LONGEST_STEP_S))
            before = wall

    def _step(self, wall_s: float) -> None:
        now = self._hands.shown
        at = max((n for n, leg in enumerate(self._legs) if leg.since <= now), default=0)
        leg = self._legs[at]
        to = now + timedelta(seconds=wall_s * leg.factor)
        if at + 1 < len(self._legs):
            to = min(to, self._legs[at + 1].since)
        held_at = self._hands.held_at
        if held_at is not None and to > held_at + leg.slack:
            to = max(now, held_at + leg.slack)
            self.waited_s += wall_s - (to - now).total_seconds() / leg.factor
        self._hands.move(to)
