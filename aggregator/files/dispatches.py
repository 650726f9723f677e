"""Dispatch records as UK Power Networks publishes them: one CSV line a dispatch, by the names of its columns.

Columns may stand in any order, with others beside them. A line that cannot be read is named and left out,
never guessed; a file that is not such a table at all is refused. A stamp in a ``_utc`` column without a zone
is UTC, one in a ``_local`` column London's.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

from aggregator.files.inputs import LARGEST, read_text
from aggregator.model.errors import MISSING, BadMessage, Fault, short
from aggregator.model.time import LONDON, Interval

TEXTS = ("company_name", "fu_id", "zone", "product")
INSTANTS = ("start_time_utc", "end_time_utc")
FIGURES = ("availability_mw_req", "utilisation_mw_req", "availability_price", "utilisation_price")
COLUMNS = (*TEXTS, *INSTANTS, *FIGURES)
"""What a dispatch is: who, where, under which rules, when, how much and for what."""

LOCAL_INSTANTS = ("start_time_local", "end_time_local")
STATED_FIGURES = ("availability_mwh_req", "utilisation_mwh_req", "hours_requested")
STATED = (*LOCAL_INSTANTS, *STATED_FIGURES)
"""What the file works out from that, and says again."""

NUMBER = re.compile(r"[+-]?(\d{1,20}(\.\d{0,20})?|\.\d{1,20})([eE][+-]?\d{1,2})?", re.ASCII)
MICROSECOND = timedelta(microseconds=1)
MICROSECONDS_PER_HOUR = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Stated:
    """What a line says of itself a second time, to be checked against what it is.

    Attributes:
        start: Start by the local column.
        end: End by the local column.
        availability_mwh: Energy held, rounded by the file. [MWh]
        utilisation_mwh: Energy called, rounded by the file. [MWh]
        hours: Length. [h]
    """

    start: datetime
    end: datetime
    availability_mwh: Decimal
    utilisation_mwh: Decimal
    hours: Decimal


@dataclass(frozen=True, slots=True)
class Dispatch:
    """What one line says was held or called; two lines that say the same are equal.

    Attributes:
        row: Number among the lines of data, from 1.
        line: Number in the file, from 1; the header is the first.
        company: Who was called.
        unit: Its flexible unit, as written.
        zone: The operator's zone.
        product: As the operator names it.
        window: When.
        availability_mw: Power held, at least 0. [MW]
        utilisation_mw: Power called, at least 0. [MW]
        availability_price: Paid for each MW held for an hour. [GBP/MW/h]
        utilisation_price: Paid for each MWh. [GBP/MWh]
        stated: What the line says again; None where it was not asked for.
    """

    row: int = field(compare=False)
    line: int = field(compare=False)
    company: str
    unit: str
    zone: str
    product: str
    window: Interval
    availability_mw: Decimal
    utilisation_mw: Decimal
    availability_price: Decimal
    utilisation_price: Decimal
    stated: Stated | None = field(default=None, compare=False)

    @property
    def hours(self) -> Decimal:
        """Length. [h]"""
        return Decimal((self.window.end - self.window.start) // MICROSECOND) / MICROSECONDS_PER_HOUR

    @property
    def availability_mw_h(self) -> Decimal:
        """Power held times hours: what availability is paid on. [MW h]"""
        return self.availability_mw * self.hours

    @property
    def utilisation_mwh(self) -> Decimal:
        """Power called times hours: what utilisation is paid on, never the file's rounded MWh. [MWh]"""
        return self.utilisation_mw * self.hours

    @property
    def availability_gbp(self) -> Decimal:
        """Paid for holding, exact. [GBP]"""
        return self.availability_mw_h * self.availability_price

    @property
    def utilisation_gbp(self) -> Decimal:
        """Paid for energy if all of it was delivered, exact. [GBP]"""
        return self.utilisation_mwh * self.utilisation_price


@dataclass(frozen=True, slots=True)
class Odd:
    """Something wrong with one line.

    Attributes:
        row: Number among the lines of data, from 1.
        line: Number in the file, from 1; the header is the first.
        rule: The rule it breaks, a stable word.
        detail: What was found, in words.
    """

    row: int
    line: int
    rule: str
    detail: str


@dataclass(frozen=True, slots=True)
class DispatchFile:
    """A table of dispatches.

    Attributes:
        rows: Lines of data, readable or not.
        dispatches: Those that could be read, in the file's order; what stands twice, once.
        left_out: One finding for each of the others.
    """

    rows: int
    dispatches: tuple[Dispatch, ...]
    left_out: tuple[Odd, ...]


class _Unreadable(ValueError):
    """Why a line is left out."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.rule = rule


def read_dispatches(path: Path, *, stated: bool = False) -> DispatchFile:
    """Read a table of dispatches.

    Args:
        path: UTF-8, with or without a byte order mark, with any line ends.
        stated: Also read what each line says again; those columns are then needed, too.

    Raises:
        BadMessage: If the file cannot be read, is not CSV, lacks a column, has one twice, or holds no line.
    """
    needed = (*COLUMNS, *STATED) if stated else COLUMNS
    lines = _lines(path)
    _, header = next(lines, (1, []))
    names = [name.strip() for name in header]
    lacking = [name for name in needed if name not in names]
    twice = [name for name in needed if names.count(name) > 1]
    if lacking:
        found = short(", ".join(names)) or MISSING
        raise BadMessage(Fault(f"{path.name}: header", found, f"also the columns {', '.join(lacking)}"))
    if twice:
        raise BadMessage(Fault(f"{path.name}: header", twice[0], "each column once"))
    seen: dict[Dispatch, int] = {}
    dispatches: list[Dispatch] = []
    left_out: list[Odd] = []
    row = 0
    for row, (line, cells) in enumerate(lines, start=1):
        try:
            dispatch = _dispatch(row, line, _named(names, cells), stated=stated)
            _once(dispatch, seen)
            dispatches.append(dispatch)
        except _Unreadable as why:
            left_out.append(Odd(row, line, why.rule, str(why)))
    if not row:
        raise BadMessage(Fault(path.name, "no dispatch", "a header and at least one line"))
    return DispatchFile(row, tuple(dispatches), tuple(left_out))


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines that are not empty, each with the number in the file on which it begins."""
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    begins = 1
    try:
        for cells in reader:
            if cells:
                yield begins, cells
            begins = reader.line_num + 1
    except csv.Error as error:
        raise BadMessage(Fault(f"{path.name}: line {reader.line_num}", str(error), "CSV")) from None


def _once(dispatch: Dispatch, seen: dict[Dispatch, int]) -> None:
    first = seen.setdefault(dispatch, dispatch.line)
    if first != dispatch.line:
        raise _Unreadable("duplicate", f"all of it stands in line {first} already; counted once")


def _named(names: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    if len(cells) != len(names):
        raise _Unreadable("fields", f"{len(cells)} fields, the header has {len(names)}")
    return dict(zip(names, cells, strict=True))


def _dispatch(row: int, line: int, cells: dict[str, str], *, stated: bool) -> Dispatch:
    company, unit, zone, product = (_text(cells, name) for name in TEXTS)
    start, end = (_instant(cells, name) for name in INSTANTS)
    if start >= end:
        raise _Unreadable("times", f"end_time_utc {cells['end_time_utc']} is not after start_time_utc")
    held, called, for_holding, for_energy = (_figure(cells, name) for name in FIGURES)
    said = _stated(cells) if stated else None
    window = Interval(start, end)
    return Dispatch(
        row, line, company, unit, zone, product, window, held, called, for_holding, for_energy, said
    )


def _stated(cells: dict[str, str]) -> Stated:
    start, end = (_instant(cells, name) for name in LOCAL_INSTANTS)
    held_mwh, called_mwh, hours = (_figure(cells, name) for name in STATED_FIGURES)
    return Stated(start, end, held_mwh, called_mwh, hours)


def _text(cells: dict[str, str], name: str) -> str:
    text = cells[name]
    if not text.strip():
        raise _Unreadable("missing", f"{name} is empty")
    if not text.isprintable():
        raise _Unreadable("not_printable", f"{name} holds control characters")
    return text


def _figure(cells: dict[str, str], name: str) -> Decimal:
    text = cells[name].strip()
    if not text:
        raise _Unreadable("missing", f"{name} is empty")
    figure = _decimal(text)
    if figure is None:
        raise _Unreadable("not_a_number", f"{name} is {short(text)!r}")
    if figure < 0:
        raise _Unreadable("negative", f"{name} is {text}")
    if figure > LARGEST:
        raise _Unreadable("too_large", f"{name} is {short(text)}, more than {LARGEST:g}")
    return figure


def _instant(cells: dict[str, str], name: str) -> datetime:
    text = cells[name].strip()
    if not text:
        raise _Unreadable("missing", f"{name} is empty")
    instant = _utc(text, local=name in LOCAL_INSTANTS)
    if instant is None:
        raise _Unreadable("not_an_instant", f"{name} is {short(text)!r}")
    return instant


@lru_cache(maxsize=1 << 16)
def _decimal(text: str) -> Decimal | None:
    return Decimal(text) if NUMBER.fullmatch(text) else None


@lru_cache(maxsize=1 << 16)
def _utc(text: str, *, local: bool) -> datetime | None:
    try:
        instant = datetime.fromisoformat(text)
        zone = instant.tzinfo or (LONDON if local else UTC)
        return instant.replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
