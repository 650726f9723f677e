"""The fleet as last imported. Each import replaces it whole; when, from what and with what digest is kept."""

from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Table, delete, insert, select

from aggregator.model.errors import BadMessage, Fault
from aggregator.model.fleet import Car, Charger, ExportSource, Fleet, Intent, Site
from aggregator.store.engine import AnyRow, reading, writing
from aggregator.store.tables import CARS, CHARGERS, FLEET_IMPORTS, SITES


class FleetStore:
    """The cars that we answer for, their chargers and homes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def replace(self, fleet: Fleet, imported_at: datetime, source: str) -> None:
        """Put a fleet in place of the last one, all or nothing.

        Raises:
            BadMessage: If two cars have one id, or one charger or site is described in two ways.
        """
        faults: list[Fault] = []
        cars = {car.car_id: car for car in fleet.cars}
        if len(cars) != len(fleet.cars):
            faults.append(Fault(source, f"{len(fleet.cars)} cars, {len(cars)} ids", "each car once"))
        chargers: dict[str, Charger] = {}
        sites: dict[str, Site] = {}
        for car in fleet.cars:
            if chargers.setdefault(car.charger.charger_id, car.charger) != car.charger:
                faults.append(_described_twice(source, car, f"charger {car.charger.charger_id}"))
            if sites.setdefault(car.site.site_id, car.site) != car.site:
                faults.append(_described_twice(source, car, f"site {car.site.site_id}"))
        if faults:
            raise BadMessage(*faults)
        imported = {
            "imported_at": imported_at,
            "source": source,
            "digest": fleet.digest,
            "cars": len(fleet.cars),
        }
        self._write(
            imported,
            {
                SITES: [_site_row(site) for site in sites.values()],
                CHARGERS: [_charger_row(charger) for charger in chargers.values()],
                CARS: [_car_row(position, car) for position, car in enumerate(fleet.cars)],
            },
        )

    def load(self) -> Fleet | None:
        """Return the fleet as last imported, None before any import."""
        last = select(FLEET_IMPORTS.c.digest).order_by(FLEET_IMPORTS.c.import_id.desc()).limit(1)
        with reading(self._engine) as connection:
            digest = connection.scalar(last)
            if digest is None:
                return None
            sites = {row.site_id: _site(row) for row in connection.execute(select(SITES))}
            chargers = {row.charger_id: Charger(*row) for row in connection.execute(select(CHARGERS))}
            rows = connection.execute(select(CARS).order_by(CARS.c.position))
            cars = tuple(_car(row, chargers[row.charger_id], sites[row.site_id]) for row in rows)
        return Fleet(cars, digest)

    def may_deliver(self, zone: str, *, exports: bool) -> bool:
        """Return whether a zone has a car that may ever export, or any at all; so it is before any import."""
        query = select(CARS.c.car_id).join(SITES).join(CHARGERS).where(SITES.c.zone == zone)
        if exports:
            approved = SITES.c.export_source != ExportSource.NONE.value
            query = query.where(approved, SITES.c.export_limit_kw > 0, CHARGERS.c.discharge_kw > 0)
        imported = select(FLEET_IMPORTS.c.import_id)
        with reading(self._engine) as connection:
            if connection.scalar(imported.limit(1)) is None:
                return True
            return connection.scalar(query.limit(1)) is not None

    def _write(self, imported: dict[str, Any], rows: dict[Table, list[dict[str, Any]]]) -> None:
        with writing(self._engine) as connection:
            for table in (CARS, CHARGERS, SITES):
                connection.execute(delete(table))
            for table, new in rows.items():
                if new:
                    connection.execute(insert(table), new)
            connection.execute(insert(FLEET_IMPORTS), imported)


def _described_twice(source: str, car: Car, what: str) -> Fault:
    return Fault(f"{source}: car {car.car_id}", what, "the same description as for the cars before it")


def _site_row(site: Site) -> dict[str, Any]:
    return {
        "site_id": site.site_id,
        "zone": site.zone,
        "export_limit_kw": site.export_limit_kw,
        "export_source": site.export_source.value,
        "import_limit_kw": site.import_limit_kw,
        "solar_kw": site.solar_kw,
        "dark_from": site.dark_from,
        "dark_until": site.dark_until,
    }


def _site(row: AnyRow) -> Site:
    return Site(**{**row._mapping, "export_source": ExportSource(row.export_source)})


def _charger_row(charger: Charger) -> dict[str, Any]:
    return {
        "charger_id": charger.charger_id,
        "charge_kw": charger.charge_kw,
        "discharge_kw": charger.discharge_kw,
        "eta_charge": charger.eta_charge,
        "eta_discharge": charger.eta_discharge,
        "min_kw": charger.min_kw,
    }


def _car_row(position: int, car: Car) -> dict[str, Any]:
    return {
        "car_id": car.car_id,
        "position": position,
        "capacity_kwh": car.capacity_kwh,
        "floor_soc": car.floor_soc,
        "depart_local": car.default_intent.depart_local,
        "target_soc": car.default_intent.target_soc,
        "charger_id": car.charger.charger_id,
        "site_id": car.site.site_id,
    }


def _car(row: AnyRow, charger: Charger, site: Site) -> Car:
    intent = Intent(row.depart_local, row.target_soc)
    return Car(row.car_id, row.capacity_kwh, row.floor_soc, intent, charger, site)
