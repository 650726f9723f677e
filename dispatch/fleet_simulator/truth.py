"""What really happened, for the audit: ``truth.csv`` and ``summary.json``. Nobody reads them meanwhile."""

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TextIO

import numpy as np

from aggregator.model.time import utc_text
from dispatch.fleet_simulator.physics import BoolArray, FloatArray

COLUMNS = ("car_id", "at", "plugged", "true_energy_kwh", "export_w", "boundary_w")


@dataclass(frozen=True, slots=True)
class Row:
    """A car at an instant: its stored energy, its metered power, and the power at its home's boundary.

    At a departure ``plugged`` is false.
    """

    car_id: str
    at: datetime
    plugged: bool
    energy_kwh: float
    export_w: int
    boundary_w: int


@dataclass(frozen=True, slots=True)
class Departure:
    """A car that left.

    Attributes:
        car_id: Which car.
        at: When it left.
        true_soc: With what. [-]
        target_soc: What its driver asked for, by the last word or by default. [-]
        stated: Whether the driver asked, rather than the default holding.
        depart_at: When the driver had said to leave; None where nothing was said.
        early: Whether it left before its session's end.
        boosted: Whether the driver had switched V2G off when it left.
        plugged_in_at: When it came; before the simulation's start for a car that was there then.
        arrival_soc: With what it came, or began the simulation. [-]
    """

    car_id: str
    at: datetime
    true_soc: float
    target_soc: float
    stated: bool
    depart_at: datetime | None
    early: bool
    boosted: bool
    plugged_in_at: datetime
    arrival_soc: float


class TruthLog:
    """Writes true states as they happen: at most one row per car and instant."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._writer = csv.writer(file, lineterminator="\n")
        self._writer.writerow(COLUMNS)
        self._last: dict[str, datetime] = {}

    def write(self, rows: Iterable[Row]) -> None:
        """Add rows, in order of time; a second row of a car at one instant is left out."""
        for row in rows:
            if self._last.get(row.car_id) == row.at:
                continue
            self._last[row.car_id] = row.at
            plugged = "true" if row.plugged else "false"
            energy = f"{row.energy_kwh:.6f}"
            powers = row.export_w, row.boundary_w
            self._writer.writerow((row.car_id, utc_text(row.at), plugged, energy, *powers))

    def flush(self) -> None:
        """Hand what was written to the operating system."""
        self._file.flush()


@dataclass(slots=True)
class Tally:
    """What the summary says, as it adds up; arrays have shape (cars,).

    Attributes:
        lowest_soc: Lowest true state of charge while discharging; NaN for a car that never did. [-]
        departures: Cars that left, in order.
    """

    lowest_soc: FloatArray
    departures: list[Departure] = field(default_factory=list)

    def discharged(self, exported: BoolArray, soc: FloatArray) -> None:
        """Take note of cars that gave energy and of where that left them."""
        np.copyto(self.lowest_soc, np.fmin(self.lowest_soc, soc), where=exported)

    def as_json(self, started_at: datetime, ended_at: datetime, car_ids: Sequence[str]) -> dict[str, object]:
        """Return the summary's content."""
        lowest = (None if np.isnan(soc) else round(float(soc), 6) for soc in self.lowest_soc)
        return {
            "started_at": utc_text(started_at),
            "ended_at": utc_text(ended_at),
            "lowest_true_soc_while_discharging": dict(zip(car_ids, lowest, strict=True)),
            "departures": [_plain(departure) for departure in self.departures],
        }


def write_summary(path: Path, summary: dict[str, object]) -> None:
    """Write ``summary.json``."""
    path.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


def _plain(departure: Departure) -> dict[str, object]:
    def plain(value: object) -> object:
        if isinstance(value, datetime):
            return utc_text(value)
        return round(value, 6) if isinstance(value, float) else value

    return {name: plain(value) for name, value in asdict(departure).items()}
