"""Half-hourly prices from a CSV file with the headers of published Agile prices; others are not read."""

from dataclasses import dataclass
from datetime import MAXYEAR, datetime
from functools import lru_cache
from pathlib import Path

import structlog

from aggregator.files.inputs import csv_lines
from aggregator.model.errors import MISSING, BadMessage, Fault
from aggregator.model.time import HALF_HOUR, floor_half_hour, parse_instant, utc_text

log = structlog.get_logger()

AT, PRICE = "datetime_utc", "p_per_kwh_inc_vat"
LARGEST_PENCE = 10_000.0
PENCE = 100.0
PENCE_ALLOWED = f"a number of pence, {-LARGEST_PENCE:g} to {LARGEST_PENCE:g}"
INSTANT = "the start of a half-hour with its zone, 2025-01-15 17:00:00+00:00"


@dataclass(frozen=True, slots=True)
class HalfHourPrices:
    """Prices of consecutive half-hours.

    Attributes:
        start: When the first of them begins.
        gbp_per_kwh: One a half-hour, VAT included, at least one. [GBP/kWh]
    """

    start: datetime
    gbp_per_kwh: tuple[float, ...]

    @property
    def end(self) -> datetime:
        """When the last of them ends."""
        return self.start + len(self.gbp_per_kwh) * HALF_HOUR

    def at(self, instant: datetime) -> float | None:
        """Return the price at an instant; None before the first half-hour and after the last."""
        if not self.start <= instant < self.end:
            return None
        return self.gbp_per_kwh[(instant - self.start) // HALF_HOUR]


class PriceFile:
    """A price file that grows while a program runs: it is read again when it has changed.

    What is wrong then is logged, and the prices before hold: cars must go on.

    Raises:
        BadMessage: If the file is wrong to begin with.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = _stamp(path)
        self._prices = _read(path, self._stamp)

    def at(self, instant: datetime) -> float | None:
        """Return the price at an instant; None where the file has none. [GBP/kWh]"""
        stamp = _stamp(self._path)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._prices = _read(self._path, stamp)
            except BadMessage as bad:
                log.warning("prices_not_read", file=self._path.name, reason=str(bad.faults[0]))
        return self._prices.at(instant)


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return what differs once a file has changed; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=4)
def _read(path: Path, _stamp: tuple[int, int] | None) -> HalfHourPrices:
    return read_prices(path)


def read_prices(path: Path) -> HalfHourPrices:
    """Read a price file: one line a half-hour, in order, none missing; pence become pounds.

    Raises:
        BadMessage: With every line that is wrong or out of turn; nothing is guessed.
    """
    lines = csv_lines(path)
    header = lines[0][1] if lines else []
    missing = [name for name in (AT, PRICE) if header.count(name) != 1]
    if missing:
        found = ", ".join(header) or MISSING
        raise BadMessage(Fault(f"{path.name}: header", found, f"the columns {AT} and {PRICE}, each once"))
    at_column, price_column = header.index(AT), header.index(PRICE)
    faults: list[Fault] = []
    prices: list[float] = []
    begins_at: datetime | None = None
    due: datetime | None = None
    for number, cells in lines[1:]:
        padded = cells + [""] * (len(header) - len(cells))
        where = f"{path.name}: line {number}"
        starts_at, pence = _half_hour(padded[at_column]), _pence(padded[price_column])
        if starts_at is None:
            faults.append(Fault(f"{where}.{AT}", padded[at_column] or MISSING, INSTANT))
        elif due is not None and starts_at != due:
            allowed = f"{utc_text(due)}: half-hours in order, none missing, each once"
            faults.append(Fault(f"{where}.{AT}", utc_text(starts_at), allowed))
        if pence is None:
            faults.append(Fault(f"{where}.{PRICE}", padded[price_column] or MISSING, PENCE_ALLOWED))
        else:
            prices.append(pence / PENCE)
        begins_at = begins_at or starts_at
        due = starts_at + HALF_HOUR if starts_at is not None else None
    if len(lines) == 1:
        faults.append(Fault(path.name, "a header only", "at least one half-hour"))
    if faults or begins_at is None:
        raise BadMessage(*faults)
    return HalfHourPrices(begins_at, tuple(prices))


def _half_hour(text: str) -> datetime | None:
    """Return the instant a text says, None where it says none that begins a half-hour."""
    try:
        instant = parse_instant(text)
    except ValueError:
        return None
    return instant if floor_half_hour(instant) == instant and instant.year < MAXYEAR else None


def _pence(text: str) -> float | None:
    try:
        pence = float(text)
    except ValueError:
        return None
    return pence if abs(pence) <= LARGEST_PENCE else None
