"""Every fleet that was imported: each replaces the last one whole, and none is forgotten.

A gateway serves the fleet imported last. What happened is judged by the fleet in force when it happened: each
is in force from its import on, or already from when a gateway first served with it (a simulation's time is
another than that of an import without its clock), until the next one is. The first was in force always.
An import is never changed; that a gateway serves with it is noted beside it.
"""

from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Table, exists, func, insert, or_, select, update

from aggregator.model.errors import BadMessage, Fault
from aggregator.model.fleet import (
    Approval,
    Car,
    Charger,
    ExportSource,
    ExportTariff,
    FeedIn,
    FitExport,
    Fleet,
    Fleets,
    Intent,
    Site,
    Taper,
)
from aggregator.model.time import LONDON
from aggregator.store.columns import MICROSECOND
from aggregator.store.engine import AnyRow, reading, writing
from aggregator.store.tables import CARS, CHARGERS, FLEET_IMPORTS, SITES


class FleetStore:
    """The cars that we answer for, their chargers and homes: now, and at any time."""

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
        last = select(FLEET_IMPORTS).order_by(FLEET_IMPORTS.c.import_id.desc()).limit(1)
        with reading(self._engine) as connection:
            row = connection.execute(last).one_or_none()
            return None if row is None else _fleet(connection, row)

    def all(self) -> Fleets | None:
        """Return every fleet that was ever in force, None before any import."""
        kept = exists().where(CARS.c.import_id == FLEET_IMPORTS.c.import_id)
        terms: list[tuple[datetime, AnyRow]] = []
        with reading(self._engine) as connection:
            query = select(FLEET_IMPORTS).where(kept).order_by(FLEET_IMPORTS.c.import_id)
            for row in connection.execute(query):
                since = row.imported_at if row.served_from is None else row.served_from
                while terms and terms[-1][0] >= since:
                    terms.pop()
                terms.append((since, row))
            found = tuple((since, _fleet(connection, row)) for since, row in terms)
        return Fleets(found) if found else None

    def serve_from(self, instant: datetime) -> None:
        """Note that a gateway serves with the fleet imported last, from an instant on."""
        columns = FLEET_IMPORTS.c
        last = select(func.max(columns.import_id)).scalar_subquery()
        earlier = or_(columns.served_from.is_(None), columns.served_from > instant)
        with writing(self._engine) as connection:
            connection.execute(
                update(FLEET_IMPORTS).where(columns.import_id == last, earlier).values(served_from=instant)
            )

    def may_deliver(self, zone: str, by: datetime, *, exports: bool) -> bool:
        """Return whether a zone has a car that may export before ``by``, or any at all.

        So it is before any import.
        """
        query = select(CARS.c.car_id).join(SITES).join(CHARGERS).where(SITES.c.zone == zone)
        if exports:
            granted = SITES.c.approval == Approval.GRANTED.value
            sourced = SITES.c.export_source != ExportSource.NONE.value
            last_day = (by - MICROSECOND).astimezone(LONDON).date()
            begun = or_(SITES.c.approved_from.is_(None), SITES.c.approved_from <= last_day)
            room = or_(SITES.c.export_limit_kw > 0, SITES.c.boundary_meter)
            query = query.where(granted, sourced, begun, room, CHARGERS.c.discharge_kw > 0)
        imported = select(FLEET_IMPORTS.c.import_id)
        with reading(self._engine) as connection:
            if connection.scalar(imported.limit(1)) is None:
                return True
            return connection.scalar(query.limit(1)) is not None

    def _write(self, imported: dict[str, Any], rows: dict[Table, list[dict[str, Any]]]) -> None:
        with writing(self._engine) as connection:
            key = connection.scalar(insert(FLEET_IMPORTS).returning(FLEET_IMPORTS.c.import_id), imported)
            for table, new in rows.items():
                if new:
                    connection.execute(insert(table), [{"import_id": key, **row} for row in new])


def _fleet(connection: Connection, imported: AnyRow) -> Fleet:
    sites, chargers, cars = (
        connection.execute(select(table).where(table.c.import_id == imported.import_id))
        for table in (SITES, CHARGERS, CARS)
    )
    site_of = {row.site_id: _site(row) for row in sites}
    charger_of = {row.charger_id: _charger(row) for row in chargers}
    in_order = sorted(cars, key=lambda row: row.position)
    return Fleet(
        tuple(_car(row, charger_of[row.charger_id], site_of[row.site_id]) for row in in_order),
        imported.digest,
    )


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
        "approval": site.approval.value,
        "approved_from": site.approved_from,
        "boundary_meter": site.boundary_meter,
        "house_load_kw": site.house_load_kw,
        **asdict(site.feed_in),
    }


def _site(row: AnyRow) -> Site:
    said = _said(row)
    paid = {field.name: said.pop(field.name) for field in fields(FeedIn)}
    paid |= {
        "fit_export": FitExport(row.fit_export),
        "export_tariff": ExportTariff(row.export_tariff),
    }
    words = {"export_source": ExportSource(row.export_source), "approval": Approval(row.approval)}
    return Site(**(said | words), feed_in=FeedIn(**paid))


def _charger_row(charger: Charger) -> dict[str, Any]:
    return {
        "charger_id": charger.charger_id,
        "charge_kw": charger.charge_kw,
        "discharge_kw": charger.discharge_kw,
        "eta_charge": charger.eta_charge,
        "eta_discharge": charger.eta_discharge,
        "min_kw": charger.min_kw,
    }


def _charger(row: AnyRow) -> Charger:
    return Charger(**_said(row))


def _said(row: AnyRow) -> dict[str, Any]:
    return {name: value for name, value in row._mapping.items() if name != "import_id"}


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
        "warranty_throughput_kwh": car.warranty_throughput_kwh,
        "taper_from_soc": car.taper.from_soc,
        "taper_full_share": car.taper.full_share,
    }


def _car(row: AnyRow, charger: Charger, site: Site) -> Car:
    intent = Intent(row.depart_local, row.target_soc)
    taper, warranty_kwh = Taper(row.taper_from_soc, row.taper_full_share), row.warranty_throughput_kwh
    return Car(row.car_id, row.capacity_kwh, row.floor_soc, intent, charger, site, taper, warranty_kwh)
