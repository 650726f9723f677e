"""The fleet file: cars, chargers, homes and drivers, as TOML or as CSV with one line a car.

Nothing that protects a driver or a grid has a default: the floor, the export limit and what says so
must be stated. Every fault of the file is told at once, and nothing is stored when there is one.
"""

import csv
import hashlib
import io
import json
import tomllib
from collections import Counter
from collections.abc import Collection, Iterator
from datetime import time
from pathlib import Path

from pydantic import Field, model_validator

from aggregator.files.inputs import (
    Efficiency,
    Fraction,
    Name,
    NotNegative,
    Positive,
    Row,
    read_text,
    validate,
)
from aggregator.model.errors import BadMessage, Fault
from aggregator.model.fleet import LOWEST_FLOOR_SOC, Car, Charger, ExportSource, Fleet, Intent, Site


class SiteRow(Row):
    """One ``[[site]]``."""

    site_id: Name
    zone: Name
    export_limit_kw: NotNegative
    export_source: ExportSource
    import_limit_kw: Positive
    solar_kw: NotNegative = 0.0
    dark_from: time | None = None
    dark_until: time | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "SiteRow":
        if self.export_source is ExportSource.NONE and self.export_limit_kw > 0:
            raise ValueError("export_limit_kw must be 0 where export_source is none")
        if (self.dark_from is None) != (self.dark_until is None):
            raise ValueError("dark_from and dark_until go together")
        return self


class CarRow(Row):
    """One ``[[car]]``: the car, its charger, and what its driver was promised."""

    car_id: Name
    site_id: Name
    charger_id: Name
    capacity_kwh: Positive
    charge_kw: Positive
    discharge_kw: NotNegative
    eta_charge: Efficiency
    eta_discharge: Efficiency
    min_kw: NotNegative = 0.0
    floor_soc: float = Field(ge=LOWEST_FLOOR_SOC, le=1, allow_inf_nan=False)
    default_target_soc: Fraction
    default_depart_local: time

    @model_validator(mode="after")
    def _consistent(self) -> "CarRow":
        if self.default_depart_local.tzinfo is not None:
            raise ValueError("default_depart_local is a local time of day, without a zone")
        return self


class FleetFile(Row):
    """The whole file."""

    site: tuple[SiteRow, ...] = Field(min_length=1)
    car: tuple[CarRow, ...] = Field(min_length=1)


CSV_SITE = tuple(SiteRow.model_fields)
CSV_CAR = tuple(CarRow.model_fields)


def read_fleet(path: Path, zones: Collection[str] | None = None) -> Fleet:
    """Read a fleet file.

    Args:
        path: A ``.toml`` or ``.csv`` file.
        zones: The zones there are; None where any name will do.

    Raises:
        BadMessage: With every fault found in the file.
    """
    data = _from_csv(path) if path.suffix.lower() == ".csv" else _from_toml(path)
    rows = validate(FleetFile, data, path.name)
    faults = tuple(_cross_faults(rows, path.name, zones))
    if faults:
        raise BadMessage(*faults)
    return _to_fleet(rows)


def fleet_digest(cars: tuple[Car, ...]) -> str:
    """Return the SHA-256 of a fleet's content, whatever file it came from."""
    canonical = json.dumps([repr(car) for car in cars])
    return hashlib.sha256(canonical.encode()).hexdigest()


def _from_toml(path: Path) -> object:
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise BadMessage(Fault(path.name, str(error), "TOML")) from None


def _from_csv(path: Path) -> object:
    """Turn one line a car into the tables of the TOML form; homes repeat, and must repeat alike."""
    reader = csv.DictReader(io.StringIO(read_text(path)), restkey="(too many fields)", strict=True)
    known = {*CSV_SITE, *CSV_CAR}
    try:
        lines = list(reader)
    except csv.Error as error:
        raise BadMessage(Fault(f"{path.name}: line {reader.line_num}", str(error), "CSV")) from None
    unknown = [name for name in reader.fieldnames or () if name not in known]
    if unknown or any("(too many fields)" in line for line in lines):
        found = ", ".join(unknown) or "a line with too many fields"
        raise BadMessage(Fault(f"{path.name}: header", found, f"the columns {', '.join(sorted(known))}"))
    sites: dict[str, dict[str, str]] = {}
    cars: list[dict[str, str]] = []
    for number, line in enumerate(lines):
        said = {name: value for name, value in line.items() if value not in ("", None)}
        site = {name: said[name] for name in CSV_SITE if name in said}
        known_site = sites.setdefault(site.get("site_id", f"line {number + 2}"), site)
        if known_site != site:
            where = f"{path.name}: line {number + 2}.site_id"
            raise BadMessage(Fault(where, site.get("site_id", ""), "one home, stated the same on each line"))
        cars.append({name: said[name] for name in CSV_CAR if name in said})
    return {"site": list(sites.values()), "car": cars}


def _cross_faults(rows: FleetFile, source: str, zones: Collection[str] | None) -> Iterator[Fault]:
    site_ids = {site.site_id for site in rows.site}
    for table, ids in (
        ("site.site_id", [site.site_id for site in rows.site]),
        ("car.car_id", [car.car_id for car in rows.car]),
        ("car.charger_id", [car.charger_id for car in rows.car]),
    ):
        for name, count in Counter(ids).items():
            if count > 1:
                yield Fault(f"{source}: {table}", name, f"each id once; it stands {count} times")
    for number, car in enumerate(rows.car):
        if car.site_id not in site_ids:
            yield Fault(f"{source}: car[{number}].site_id", car.site_id, "the site_id of a site in this file")
        if car.default_target_soc < car.floor_soc:
            where = f"{source}: car[{number}].default_target_soc"
            yield Fault(where, str(car.default_target_soc), f"at least the car's floor_soc {car.floor_soc}")
    for number, site in enumerate(rows.site):
        if zones is not None and site.zone not in zones:
            where = f"{source}: site[{number}].zone"
            yield Fault(where, site.zone, f"one of the configured zones: {', '.join(sorted(zones))}")


def _to_fleet(rows: FleetFile) -> Fleet:
    sites = {row.site_id: Site(**row.model_dump()) for row in rows.site}
    cars = tuple(
        Car(
            car_id=row.car_id,
            capacity_kwh=row.capacity_kwh,
            floor_soc=row.floor_soc,
            default_intent=Intent(row.default_depart_local, row.default_target_soc),
            charger=Charger(
                charger_id=row.charger_id,
                charge_kw=row.charge_kw,
                discharge_kw=row.discharge_kw,
                eta_charge=row.eta_charge,
                eta_discharge=row.eta_discharge,
                min_kw=row.min_kw,
            ),
            site=sites[row.site_id],
        )
        for row in rows.car
    )
    return Fleet(cars, fleet_digest(cars))
