"""The grid's carbon intensity by half-hour, from a CSV file: ``datetime_utc`` and ``gco2_per_kwh``."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from aggregator.files.half_hours import read_half_hours
from aggregator.model.time import HALF_HOUR

COLUMN = "gco2_per_kwh"
LARGEST_G = 2_000.0
"""More than any power station emits. [g/kWh]"""


@dataclass(frozen=True, slots=True)
class Intensity:
    """Carbon dioxide emitted for a kWh drawn, in consecutive half-hours.

    Attributes:
        start: When the first of them begins.
        g_per_kwh: One a half-hour, at least one. [g/kWh]
    """

    start: datetime
    g_per_kwh: tuple[float, ...]

    def at(self, instant: datetime) -> float | None:
        """Return the intensity at an instant; None before the first half-hour and after the last. [g/kWh]"""
        place = (instant - self.start) // HALF_HOUR
        return self.g_per_kwh[place] if 0 <= place < len(self.g_per_kwh) else None


def read_intensity(path: Path) -> Intensity:
    """Read an intensity file: one line a half-hour, in order, none missing.

    Raises:
        BadMessage: With every line that is wrong or out of turn.
    """
    return Intensity(*read_half_hours(path, COLUMN, 0.0, LARGEST_G, "g/kWh"))
