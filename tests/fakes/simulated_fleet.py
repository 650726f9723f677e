"""Small simulated fleets: cars, stays and a world whose true states the test can read."""

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta

from aggregator.model.fleet import Car, Charger, ExportSource, Intent, Site
from aggregator.model.metering import CarReport, SafeDefault
from aggregator.model.time import utc_text
from dispatch.fleet_simulator.physics import Traits
from dispatch.fleet_simulator.script import Act, Stay
from dispatch.fleet_simulator.troubles import Trouble
from dispatch.fleet_simulator.truth import TruthLog
from dispatch.fleet_simulator.world import World

FIVE_PM = datetime(2025, 1, 8, 17, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def a_leaf(car_id: str = "leaf-1", *, capacity_kwh: float = 40.0, min_kw: float = 0.0) -> Car:
    """A car as in the demonstration: 7.4 kW both ways, 93% at worst."""
    charger = Charger(f"charger-of-{car_id}", 7.4, 7.4, 0.93, 0.93, min_kw)
    site = Site(f"home-of-{car_id}", "Canvey", 3.68, ExportSource.G98, 18.4)
    return Car(car_id, capacity_kwh, 0.3, Intent(time(7, 30), 0.9), charger, site)


def a_stay(
    car_id: str = "leaf-1",
    plugged_in_at: datetime = FIVE_PM,
    plugged_out_at: datetime = FIVE_PM + 14 * HOUR,
    arrival_soc: float = 0.7,
) -> Stay:
    return Stay(
        car_id=car_id,
        plugged_in_at=plugged_in_at,
        plugged_out_at=plugged_out_at,
        energy_kwh=8.0,
        arrival_soc=arrival_soc,
    )


def charging_from(at: datetime, *car_ids: str) -> dict[str, SafeDefault]:
    """What chargers are told that are to begin by themselves, at full power."""
    return dict.fromkeys(car_ids or ("leaf-1",), SafeDefault(7400, at))


class Watched:
    """A world, and its truth log as it is written."""

    def __init__(
        self,
        cars: list[Car],
        stays: list[Stay],
        acts: list[Act] | None = None,
        *,
        starts_at: datetime = FIVE_PM - HOUR,
        interval_s: float = 60.0,
        seed: int = 1,
        traits: Traits | None = None,
        troubles: Sequence[Trouble] = (),
    ) -> None:
        self.log = io.StringIO()
        self.world = World(
            cars,
            stays,
            acts or [],
            starts_at=starts_at,
            seed=seed,
            interval_s=interval_s,
            truth=TruthLog(self.log),
            traits=traits,
            troubles=troubles,
        )

    def truth(self, car_id: str = "leaf-1") -> list[dict[str, str]]:
        rows = csv.DictReader(io.StringIO(self.log.getvalue()))
        return [row for row in rows if row["car_id"] == car_id]

    def energy_kwh(self, at: datetime, car_id: str = "leaf-1") -> float:
        return next(float(row["true_energy_kwh"]) for row in self.truth(car_id) if row["at"] == utc_text(at))

    def now(self, car_id: str = "leaf-1") -> CarReport:
        return next(report for report in self.world.snapshot() if report.car_id == car_id)
