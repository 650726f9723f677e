"""Half-hourly prices from a CSV file with the headers of published Agile prices; others are not read."""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import structlog

from aggregator.files.half_hours import read_half_hours
from aggregator.model.errors import BadMessage
from aggregator.model.time import HALF_HOUR

log = structlog.get_logger()

PRICE = "p_per_kwh_inc_vat"
LARGEST_PENCE = 10_000.0
PENCE = 100.0


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
    start, pence = read_half_hours(path, PRICE, -LARGEST_PENCE, LARGEST_PENCE, "pence")
    return HalfHourPrices(start, tuple(figure / PENCE for figure in pence))
