"""Meter operators' readings as CSV in the Flexible Power form: energy or power of minutes or half-hours, net.

Its three traps are read as they are: stamps are UTC, name the *end* of the minute or half-hour, and positive
is export. The portal publishes the columns of its baseline template only; here they are called ``timestamp``
and ``power_kw`` or ``energy_kwh``, with a ``meter_id`` where a file holds several meters.
"""

import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aggregator.files.inputs import csv_lines
from aggregator.model.errors import MISSING, BadMessage, Fault
from aggregator.model.metering import MeteredInterval
from aggregator.model.time import HOUR, Interval, utc_text
from aggregator.registers import MOST_W

STAMP, POWER, ENERGY, METER = "timestamp", "power_kw", "energy_kwh", "meter_id"
IN_UTC = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:00)?(Z|\+00:00)?")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
WH_PER_KWH = 1000.0
DIGITS = 6
"""Of a Wh that are kept: the same figure is the same however it was written."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a file may hold.

    Attributes:
        length: Of each interval: a minute or a half-hour.
        meters: All that are known.
        meter: The only one, where the file has no column that names it.
        now: Nothing is measured later.
    """

    length: timedelta
    meters: Collection[str]
    meter: str | None
    now: datetime


def read_metered(path: Path, asked: Asked) -> list[MeteredInterval]:
    """Read a file, in its order; a line that stands twice counts once.

    Raises:
        BadMessage: With every line that is wrong; nothing is guessed and nothing left out.
    """
    lines = csv_lines(path)
    header = lines[0][1] if lines else []
    value = _value_column(path, header, asked)
    faults: list[Fault] = []
    found: dict[tuple[str, datetime], tuple[int, MeteredInterval]] = {}
    for number, cells in lines[1:]:
        where = f"{path.name}: line {number}"
        if len(cells) > len(header):
            faults.append(Fault(where, ",".join(cells), f"{len(header)} fields"))
            continue
        row = dict(zip(header, cells + [""] * (len(header) - len(cells)), strict=True))
        wrong = list(_faults(row, value, where, asked))
        if not wrong:
            one = _interval(row, value, asked)
            first, known = found.setdefault((one.meter_id, one.span.end), (number, one))
            if known != one:
                wrong.append(Fault(f"{where}.{value}", row[value], f"what line {first} says of the same end"))
        faults += wrong
    if len(lines) == 1:
        faults.append(Fault(path.name, "a header only", "at least one reading"))
    if faults:
        raise BadMessage(*faults)
    return [one for _, one in found.values()]


def _value_column(path: Path, header: Sequence[str], asked: Asked) -> str:
    """Return which of the two values a file holds."""
    values = [name for name in (POWER, ENERGY) if name in header]
    names = {STAMP, *values, *([METER] if asked.meter is None else [])}
    if len(values) != 1 or sorted(header) != sorted(names):
        meter = f"{METER}, " if asked.meter is None else ""
        allowed = f"the columns {meter}{STAMP} and one of {POWER} and {ENERGY}, each once"
        if asked.meter is None and METER not in header:
            allowed += "; or name the file's only meter with --meter"
        raise BadMessage(Fault(f"{path.name}: header", ", ".join(header) or MISSING, allowed))
    return values[0]


def _faults(row: dict[str, str], value: str, where: str, asked: Asked) -> Iterator[Fault]:
    if asked.meter is None and row[METER] not in asked.meters:
        yield Fault(f"{where}.{METER}", row[METER] or MISSING, "a meter of the fleet")
    end = _end(row[STAMP])
    if end is None:
        allowed = "the end in UTC, as 2025-01-15T17:30:00Z or 2025-01-15 17:30"
        yield Fault(f"{where}.{STAMP}", row[STAMP] or MISSING, allowed)
    elif (end - EARLIEST) % asked.length:
        allowed = "the end of a half-hour, at :00 or :30; minutes are read with --every 1"
        yield Fault(f"{where}.{STAMP}", row[STAMP], allowed)
    elif not EARLIEST < end <= asked.now:
        yield Fault(f"{where}.{STAMP}", row[STAMP], f"between 2000 and now, {utc_text(asked.now)}")
    number = float(row[value]) if NUMBER.fullmatch(row[value]) else math.nan
    most = MOST_W / WH_PER_KWH * (asked.length / HOUR if value == ENERGY else 1.0)
    if not abs(number) <= most:
        unit = "kWh" if value == ENERGY else "kW"
        allowed = f"{unit} from {-most:.4g} to {most:.4g}, positive to the grid"
        yield Fault(f"{where}.{value}", row[value] or MISSING, allowed)


def _end(text: str) -> datetime | None:
    """Return the instant a stamp names, None where it names none; without a zone it is UTC."""
    if not IN_UTC.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        return None


def _interval(row: dict[str, str], value: str, asked: Asked) -> MeteredInterval:
    end, number = datetime.fromisoformat(row[STAMP]).replace(tzinfo=UTC), float(row[value])
    kwh = number if value == ENERGY else number * (asked.length / HOUR)
    wh = round(kwh * WH_PER_KWH, DIGITS) + 0.0  # no negative zero
    return MeteredInterval(asked.meter or row[METER], Interval(end - asked.length, end), asked.now, wh)
