"""Clock files: the JSON that every program of a simulation is given with ``--clock``.

``{"wall_epoch_s": 1.0, "starts_at": ..., "steps": [{"from": ..., "factor": 60}]}`` is a clock that goes on
whatever happens. Programs look at its file again every ``LOOKED_AT_EVERY_S``: a step that is added, to hold
``CHANGED_AHEAD_S`` later, changes the pace for all of them at once and without a jump. With
``"hands": "clock.hands", "holders": [...]`` instead of ``wall_epoch_s`` its hands are in a file beside it,
and a timekeeper moves them.
"""

import json
import math
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from aggregator.clock import FastClock, Pace, RealClock
from aggregator.kept_clock import Hands, KeptClock
from aggregator.model.errors import MISSING, BadMessage, Fault
from aggregator.model.time import parse_instant

LOOKED_AT_EVERY_S = 0.5
CHANGED_AHEAD_S = 2.0
"""Wall seconds: by then every program has looked, the simulated DNO's as well."""


class FileClock(RealClock):
    """The clock of a file, whose pace may be changed while it runs.

    Args:
        path: The file.
        clock: What it said.
    """

    def __init__(self, path: Path, clock: FastClock) -> None:
        self._path, self._clock = path, clock
        self._looked_at, self._text = time.time(), path.read_text()

    def now(self) -> datetime:
        """Return the domain instant, aware, in UTC."""
        return self.latest().now()

    def wall_seconds_until(self, at: datetime) -> float:
        """Return the wall seconds until ``at``, at least 0, at most until the file is looked at again. [s]"""
        return min(LOOKED_AT_EVERY_S, self.latest().wall_seconds_until(at))

    def to_json(self) -> str:
        """Return the clock file that says the same."""
        return self.latest().to_json()

    def latest(self) -> FastClock:
        """Return the clock as the file says now; one that cannot be read leaves it as it is."""
        wall = time.time()
        if not 0.0 <= wall - self._looked_at < LOOKED_AT_EVERY_S:
            self._looked_at = wall
            with suppress(OSError, BadMessage):
                text = self._path.read_text()
                if text != self._text:
                    self._clock, self._text = _fast(self._path), text
        return self._clock

    def change(self, factor: float, until: datetime | None = None) -> FastClock:
        """Write a new pace into the file, until a domain instant or for good; return the clock it then is.

        Raises:
            ValueError: If the clock has not begun, or shows ``until`` too soon.
            OSError: If the file cannot be written.
        """
        changed = self.latest().from_then_on(factor, CHANGED_AHEAD_S, until)
        beside = self._path.with_name(self._path.name + ".new")
        beside.write_text(changed.to_json(), encoding="utf-8")
        beside.replace(self._path)  # nobody reads half of it
        return changed


def read_clock(path: Path | None) -> RealClock:
    """Read a clock file; no file means real time.

    Raises:
        BadMessage: If the file is missing or says something else than a clock.
    """
    if path is None:
        return RealClock()
    data, paces = _read(path)
    return _kept(data, paces, path) if "hands" in data else FileClock(path, _fast(path))


def _fast(path: Path) -> FastClock:
    data, paces = _read(path)
    return _in_calendar(FastClock(float(data["wall_epoch_s"]), paces), path)


def _read(path: Path) -> tuple[Mapping[str, Any], list[Pace]]:
    try:
        data = json.loads(path.read_text())
        paces = [Pace(parse_instant(step["from"]), float(step["factor"])) for step in data["steps"]]
        wall_epoch_s = 0.0 if "hands" in data else float(data["wall_epoch_s"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise BadMessage(
            Fault(str(path), _reason(error), "a clock file with wall_epoch_s and steps")
        ) from None
    sane = math.isfinite(wall_epoch_s) and all(0 < pace.factor < math.inf for pace in paces)
    if not paces or not sane or paces != sorted(paces, key=lambda p: p.since):
        allowed = "a finite wall_epoch_s, ascending instants, finite factors above 0"
        raise BadMessage(Fault(f"{path}: steps", str(data["steps"]), allowed))
    return data, paces


def _kept(data: Mapping[str, Any], paces: list[Pace], path: Path) -> KeptClock:
    try:
        holders = [str(name) for name in data["holders"]]
        return KeptClock(Hands(path.with_name(str(data["hands"])), holders), paces)
    except (OSError, ValueError, KeyError, TypeError) as error:
        allowed = f"holders, and a file beside {path.name} with a hand for the clock and one for each"
        raise BadMessage(Fault(f"{path}: hands", _reason(error), allowed)) from None


def _reason(error: Exception) -> str:
    """Say what is wrong without the words of the library that found it."""
    match error:
        case OSError(strerror=str(reason)):
            return reason.lower()
        case KeyError(args=(str(key),)):
            return f"{key} {MISSING}"
        case TypeError():
            return "something else"
        case _:
            return str(error)


def _in_calendar(clock: FastClock, path: Path) -> FastClock:
    try:
        clock.now()
    except OverflowError:
        allowed = "a clock that shows one of the years 1 to 9999 now"
        raise BadMessage(Fault(f"{path}: steps", "a factor or wall_epoch_s too large", allowed)) from None
    return clock
