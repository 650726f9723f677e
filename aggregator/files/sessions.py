"""Past plug-in sessions, the forecast's history: one CSV line a stay."""

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from aggregator.files.inputs import csv_lines
from aggregator.forecast import History, Session
from aggregator.model.errors import MISSING, BadMessage, Fault
from aggregator.model.time import Interval, parse_instant

COLUMNS = ("car_id", "plugged_in_at", "plugged_out_at", "energy_kwh", "arrival_soc")


def read_sessions(path: Path) -> History:
    """Read a sessions file.

    Raises:
        BadMessage: With every line that is wrong; nothing is guessed and nothing left out.
    """
    rows = csv_lines(path)
    if not rows or tuple(rows[0][1]) != COLUMNS:
        found = ", ".join(rows[0][1]) if rows else MISSING
        raise BadMessage(Fault(f"{path.name}: header", found, f"the columns {', '.join(COLUMNS)}"))
    sessions: list[Session] = []
    faults: list[Fault] = []
    for number, cells in rows[1:]:
        line = dict(zip_longest(COLUMNS, cells[: len(COLUMNS)], fillvalue=""))
        found_here = list(_faults(line, f"{path.name}: line {number}"))
        if len(cells) > len(COLUMNS):
            found_here.append(Fault(f"{path.name}: line {number}", ",".join(cells), f"{len(COLUMNS)} fields"))
        faults += found_here
        if not found_here:
            sessions.append(_session(line))
    if faults:
        raise BadMessage(*faults)
    return History.of(sessions)


def _session(line: dict[str, str]) -> Session:
    plugged = Interval(parse_instant(line["plugged_in_at"]), parse_instant(line["plugged_out_at"]))
    return Session(line["car_id"], plugged, float(line["energy_kwh"]), float(line["arrival_soc"]))


def _faults(line: dict[str, str], where: str) -> Iterator[Fault]:
    if not line["car_id"]:
        yield Fault(f"{where}.car_id", MISSING, "an id")
    instants = []
    for name in ("plugged_in_at", "plugged_out_at"):
        try:
            instants.append(parse_instant(line[name]))
        except ValueError:
            yield Fault(
                f"{where}.{name}", line[name] or MISSING, "an instant with a zone, 2025-01-15T17:00:00Z"
            )
    if len(instants) == len(COLUMNS[1:3]) and instants[0] >= instants[1]:
        yield Fault(f"{where}.plugged_out_at", line["plugged_out_at"], "an instant after plugged_in_at")
    for name, most in (("energy_kwh", 1000.0), ("arrival_soc", 1.0)):
        try:
            value = float(line[name])
        except ValueError:
            value = float("nan")
        if not 0 <= value <= most:
            yield Fault(f"{where}.{name}", line[name] or MISSING, f"a number from 0 to {most:g}")
