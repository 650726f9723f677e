"""What the simulated cars truly did, and what they were told."""

import csv
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from aggregator.audit.evidence import ALWAYS
from aggregator.model.metering import Outcome, SetPoint
from aggregator.model.time import parse_instant
from aggregator.store import open_store

RAMP_DOWN_KWH = 0.01
"""What a 7.4 kW charger still gives while it ramps down at 1 kW/s."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a plugged-in car truly held at an instant; there is one whenever its charger changes its mind."""

    at: datetime
    energy_kwh: float


def seen(truth_file: Path) -> dict[str, list[Seen]]:
    """Return what each car held, ascending."""
    rows: dict[str, list[Seen]] = defaultdict(list)
    with truth_file.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["plugged"] == "true":
                rows[row["car_id"]].append(Seen(parse_instant(row["at"]), float(row["true_energy_kwh"])))
    return rows


def lost(rows: Sequence[Seen], since: datetime, until: datetime) -> Iterator[tuple[Seen, Seen, float]]:
    """Yield each stretch that ends within two instants, with the energy that left the battery in it. [kWh]"""
    for before, after in pairwise(rows):
        if since < after.at <= until:
            yield before, after, before.energy_kwh - after.energy_kwh


def told(url: str) -> dict[str, list[SetPoint]]:
    """Return the set-points that each car's charger took, ascending."""
    found: dict[str, list[SetPoint]] = defaultdict(list)
    with open_store(url, create=False) as store:
        for one in store.set_points.between(ALWAYS):
            if one.outcome is Outcome.ACCEPTED:
                found[one.point.car_id].append(one.point)
    return found


def giving(points_of: dict[str, list[SetPoint]], at: datetime) -> list[str]:
    """Return the cars that were to give energy at an instant."""
    return [
        name
        for name, points in points_of.items()
        if any(point.export_w > 0 and point.issued_at <= at < point.expires_at for point in points)
    ]
