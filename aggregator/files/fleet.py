"""The fleet file: cars, chargers, homes and drivers, as TOML or as CSV with one line a car.

Nothing that protects a driver or a grid has a default: the floor, the export limit and what says so
must be stated. Every fault of the file is told at once, and nothing is stored when there is one.
"""

import csv
import hashlib
import io
import json
import math
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from aggregator.files.inputs import (
    Efficiency,
    Fraction,
    LocalTime,
    Name,
    NotNegative,
    Number,
    Positive,
    Row,
    read_text,
    read_toml,
    tables,
    validate_with,
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
    dark_from: LocalTime | None = None
    dark_until: LocalTime | None = None

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
    floor_soc: Annotated[Number, Field(ge=LOWEST_FLOOR_SOC, le=1, allow_inf_nan=False)]
    default_target_soc: Fraction
    default_depart_local: LocalTime


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
    data, faults = _from_csv(path) if path.suffix.lower() == ".csv" else (read_toml(path), [])
    faults += _cross_faults(data, path.name, zones)
    return _to_fleet(validate_with(FleetFile, data, path.name, faults))


def fleet_digest(cars: tuple[Car, ...]) -> str:
    """Return the SHA-256 of a fleet's content, whatever file it came from."""
    canonical = json.dumps([repr(car) for car in cars])
    return hashlib.sha256(canonical.encode()).hexdigest()


def _from_csv(path: Path) -> tuple[object, list[Fault]]:
    """Turn one line a car into the tables of the TOML form; homes repeat, and must repeat alike."""
    lines = _csv_lines(path)
    faults: list[Fault] = []
    sites: dict[str, dict[str, str]] = {}
    cars: list[dict[str, str]] = []
    for number, said in lines:
        site = {name: said[name] for name in CSV_SITE if name in said}
        known_site = sites.setdefault(site.get("site_id", f"line {number}"), site)
        if known_site != site:
            where = f"{path.name}: line {number}.site_id"
            faults.append(Fault(where, site.get("site_id", ""), "one home, stated the same on each line"))
        cars.append({name: said[name] for name in CSV_CAR if name in said})
    return {"site": list(sites.values()), "car": cars}, faults


def _csv_lines(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Return each line's number and what it says, by column; empty fields say nothing."""
    reader = csv.DictReader(io.StringIO(read_text(path)), restkey="(too many fields)", strict=True)
    try:
        lines = [(reader.line_num, line) for line in reader]
    except csv.Error as error:
        raise BadMessage(Fault(f"{path.name}: line {reader.line_num}", str(error), "CSV")) from None
    names = list(reader.fieldnames or ())
    known = {*CSV_SITE, *CSV_CAR}
    wrong = [name for name in names if name not in known or names.count(name) > 1]
    if wrong or any("(too many fields)" in line for _, line in lines):
        found = ", ".join(wrong) or "a line with too many fields"
        allowed = f"each of the columns {', '.join(sorted(known))} once"
        raise BadMessage(Fault(f"{path.name}: header", found, allowed))
    return [
        (number, {name: value for name, value in line.items() if value not in ("", None)})
        for number, line in lines
    ]


def _cross_faults(data: object, source: str, zones: Collection[str] | None) -> Iterator[Fault]:
    """Yield what is wrong between the rows of unchecked input: one bad row must not hide another's clash."""
    sites, cars = tables(data, "site"), tables(data, "car")
    for table, name, rows in (
        ("site", "site_id", sites),
        ("car", "car_id", cars),
        ("car", "charger_id", cars),
    ):
        for value, count in Counter(str(row[name]) for row in rows if name in row).items():
            if count > 1:
                yield Fault(f"{source}: {table}.{name}", value, f"each id once; it stands {count} times")
    site_ids = {site.get("site_id") for site in sites if isinstance(site.get("site_id"), str)}
    for number, car in enumerate(cars):
        where = f"{source}: car[{number}]"
        site_id, target, floor = car.get("site_id"), car.get("default_target_soc"), car.get("floor_soc")
        if isinstance(site_id, str) and site_id not in site_ids:
            yield Fault(f"{where}.site_id", site_id, "the site_id of a site in this file")
        if _number(target) < _number(floor):
            yield Fault(f"{where}.default_target_soc", str(target), f"at least the car's floor_soc {floor}")
    for number, site in enumerate(sites):
        zone = site.get("zone")
        if zones is not None and isinstance(zone, str) and zone not in zones:
            allowed = f"one of the configured zones: {', '.join(sorted(zones))}"
            yield Fault(f"{source}: site[{number}].zone", zone, allowed)


def _number(said: object) -> float:
    """Return a figure of unchecked input, NaN where it is none: it then compares with nothing."""
    if isinstance(said, bool) or not isinstance(said, str | int | float):
        return math.nan
    try:
        return float(said)
    except (ValueError, OverflowError):
        return math.nan


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
