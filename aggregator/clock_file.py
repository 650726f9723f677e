"""Clock files: the JSON that every program of a simulation is given with ``--clock``.

``{"wall_epoch_s": 1.0, "starts_at": ..., "steps": [{"from": ..., "factor": 60}]}`` is a clock that goes on
whatever happens; with ``"hands": "clock.hands", "holders": [...]`` instead of ``wall_epoch_s`` its hands are
in a file beside it, and a timekeeper moves them.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aggregator.clock import FastClock, Pace, RealClock
from aggregator.kept_clock import Hands, KeptClock
from aggregator.model.errors import MISSING, BadMessage, Fault
from aggregator.model.time import parse_instant


def read_clock(path: Path | None) -> RealClock:
    """Read a clock file; no file means real time.

    Raises:
        BadMessage: If the file is missing or says something else than a clock.
    """
    if path is None:
        return RealClock()
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
    if "hands" in data:
        return _kept(data, paces, path)
    return _in_calendar(FastClock(wall_epoch_s, paces), path)


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
