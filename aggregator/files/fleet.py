"""The fleet file: cars, chargers, homes and drivers, as TOML or as CSV with one line a car.

Nothing that protects a driver or a grid has a default: the floor, the export limit and what says so
must be stated. Every fault of the file is told at once, and nothing is stored when there is one.
"""

import csv
import hashlib
import io
import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from aggregator.files.inputs import (
    Clash,
    Efficiency,
    Finite,
    Fraction,
    LocalDate,
    LocalTime,
    Name,
    NotNegative,
    Number,
    Positive,
    Row,
    Text,
    Whole,
    YesNo,
    as_text,
    read_text,
    read_toml,
    tables,
    validate_with,
)
from aggregator.model.errors import MISSING, BadMessage, Fault
from aggregator.model.fleet import (
    HOURS_PER_DAY,
    LOWEST_FLOOR_SOC,
    Approval,
    Car,
    Charger,
    ExportSource,
    ExportTariff,
    FeedIn,
    FitExport,
    Fleet,
    Intent,
    Site,
    Taper,
)

G98_KW_PER_PHASE = 3.68
"""What a G98 notice covers: 16 A at 230 V. [kW]"""

LARGEST_KWH = 1000.0
"""No car's battery is larger. [kWh]"""


def _by_hours(value: object) -> object:
    """Return one figure, or the 24 of a day, as a list; in CSV they stand in one field, with spaces."""
    figures = value
    if isinstance(value, Text):
        figures = [Text(part) for part in value.split()]
    elif not isinstance(value, list | tuple):
        figures = [value]
    if isinstance(figures, list | tuple) and len(figures) not in (0, 1, HOURS_PER_DAY):
        raise ValueError(f"one figure, or {HOURS_PER_DAY}: one for each local hour")
    return figures


class SiteRow(Row):
    """One ``[[site]]``."""

    site_id: Name
    zone: Name
    export_limit_kw: NotNegative
    export_source: ExportSource
    phases: Annotated[Whole, Field(ge=1, le=3)] = 1
    import_limit_kw: Positive
    solar_kw: NotNegative = 0.0
    dark_from: LocalTime | None = None
    dark_until: LocalTime | None = None
    approval: Approval | None = None
    approved_from: LocalDate | None = None
    boundary_meter: YesNo = False
    house_load_kw: Annotated[tuple[NotNegative, ...], BeforeValidator(_by_hours)] = ()
    fit_generation_payer: Name | None = None
    fit_export: FitExport = FitExport.NONE
    export_tariff: ExportTariff = ExportTariff.NONE
    export_gbp_per_kwh: Finite | None = None
    feed_in_from: LocalDate | None = None

    @property
    def standing(self) -> Approval:
        """Where the application stands; one that names its source and says no more is granted."""
        if self.approval is not None:
            return self.approval
        return Approval.NONE if self.export_source is ExportSource.NONE else Approval.GRANTED

    @model_validator(mode="after")
    def _consistent(self) -> "SiteRow":
        self._must_be_approved_by_something()
        self._must_be_paid_once()
        if self.export_source is ExportSource.NONE and self.export_limit_kw > 0:
            raise Clash("export_limit_kw", f"{self.export_limit_kw:g}", "0 where export_source is none")
        most_kw = self.phases * G98_KW_PER_PHASE
        if self.export_source is ExportSource.G98 and self.export_limit_kw > most_kw:
            allowed = f"at most {most_kw:g} where export_source is g98 (16 A a phase); more takes g99 or g100"
            raise Clash("export_limit_kw", f"{self.export_limit_kw:g}", allowed)
        if (self.dark_from is None) != (self.dark_until is None):
            field = "dark_from" if self.dark_from is None else "dark_until"
            raise Clash(field, MISSING, "a local time: dark_from and dark_until go together")
        return self

    def _must_be_approved_by_something(self) -> None:
        source = self.export_source
        if source is ExportSource.NONE and self.approval is Approval.GRANTED:
            raise Clash(
                "approval", self.approval.value, "none, applied or refused where export_source is none"
            )
        if source is not ExportSource.NONE and self.approval is Approval.NONE:
            allowed = f"granted, applied or refused where export_source is {source.value}"
            raise Clash("approval", self.approval.value, allowed)
        if self.approved_from is not None and self.approval is not Approval.GRANTED:
            value = MISSING if self.approval is None else self.approval.value
            raise Clash("approval", value, "granted where approved_from is stated")

    def _must_be_paid_once(self) -> None:
        """Refuse what would pay for a kWh twice, or by nobody's terms."""
        deal, tariff = self.fit_export, self.export_tariff
        if self.fit_generation_payer is not None and not self.solar_kw:
            raise Clash("fit_generation_payer", self.fit_generation_payer, "left out where solar_kw is 0")
        if deal is not FitExport.NONE and self.fit_generation_payer is None:
            raise Clash("fit_generation_payer", MISSING, f"who pays, where fit_export is {deal.value}")
        if deal is not FitExport.NONE and tariff is not ExportTariff.NONE:
            allowed = f"none where fit_export is {deal.value}: an export is paid for once"
            raise Clash("export_tariff", tariff.value, allowed)
        if tariff is ExportTariff.FLAT and self.export_gbp_per_kwh is None:
            raise Clash("export_gbp_per_kwh", MISSING, "a price where export_tariff is flat")
        if tariff is not ExportTariff.FLAT and self.export_gbp_per_kwh is not None:
            found = f"{self.export_gbp_per_kwh:g}"
            raise Clash("export_gbp_per_kwh", found, f"left out where export_tariff is {tariff.value}")
        if self.feed_in_from is not None and self.feed_in == FeedIn(feed_in_from=self.feed_in_from):
            allowed = "left out where neither a feed-in tariff nor an export tariff is stated"
            raise Clash("feed_in_from", self.feed_in_from.isoformat(), allowed)

    @property
    def feed_in(self) -> FeedIn:
        """Who pays for what the home generates and exports."""
        return FeedIn(**self.model_dump(include=set(FEED_IN)))


FEED_IN = tuple(field.name for field in fields(FeedIn))


class CarRow(Row):
    """One ``[[car]]``: the car, its charger, and what its driver was promised."""

    car_id: Name
    site_id: Name
    charger_id: Name
    capacity_kwh: Annotated[Positive, Field(le=LARGEST_KWH)]
    charge_kw: Positive
    discharge_kw: NotNegative
    eta_charge: Efficiency
    eta_discharge: Efficiency
    min_kw: NotNegative = 0.0
    taper_from_soc: Fraction = 0.8
    taper_full_share: Efficiency = 0.2
    floor_soc: Annotated[Number, Field(ge=LOWEST_FLOOR_SOC, le=1, allow_inf_nan=False)]
    default_target_soc: Fraction
    default_depart_local: LocalTime
    warranty_throughput_kwh: Positive | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "CarRow":
        for name, most_kw in (("charge_kw", self.charge_kw), ("discharge_kw", self.discharge_kw)):
            if most_kw and self.min_kw > most_kw:
                raise Clash("min_kw", f"{self.min_kw:g}", f"at most {name} ({most_kw:g})")
        return self


class FleetFile(Row):
    """The whole file."""

    site: tuple[SiteRow, ...] = Field(min_length=1)
    car: tuple[CarRow, ...] = Field(min_length=1)


CSV_SITE = tuple(SiteRow.model_fields)
CSV_CAR = tuple(CarRow.model_fields)
TABLE_PLACE = re.compile(r"\b(site|car)\[(\d+)\]")


def read_fleet(path: Path, zones: Collection[str] | None = None) -> Fleet:
    """Read a fleet file.

    Args:
        path: A ``.toml`` or ``.csv`` file.
        zones: The zones there are; None where any name will do.

    Raises:
        BadMessage: With every fault found in the file.
    """
    if path.suffix.lower() != ".csv":
        data = read_toml(path)
        return _to_fleet(validate_with(FleetFile, data, path.name, _cross_faults(data, path.name, zones)))
    table = _read_csv(path)
    faults = [*table.faults, *_cross_faults(table.data, path.name, zones)]
    try:
        return _to_fleet(validate_with(FleetFile, table.data, path.name, faults))
    except BadMessage as bad:
        raise BadMessage(*(table.at_its_line(fault) for fault in bad.faults)) from None


def fleet_digest(cars: tuple[Car, ...]) -> str:
    """Return the SHA-256 of a fleet's content, whatever file it came from."""
    canonical = json.dumps([repr(car) for car in cars])
    return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Csv:
    """A CSV file in the tables of the TOML form, and the lines that these come from."""

    data: Mapping[str, object]
    lines: Mapping[str, Sequence[int]]
    faults: Sequence[Fault]

    def at_its_line(self, fault: Fault) -> Fault:
        """Name a fault's line instead of its place in a table."""

        def line(place: re.Match[str]) -> str:
            return f"line {self.lines[place[1]][int(place[2])]}"

        where, allowed = (TABLE_PLACE.sub(line, text) for text in (fault.where, fault.allowed))
        return replace(fault, where=where, allowed=allowed)


def _read_csv(path: Path) -> _Csv:
    """Turn one line a car into the tables of the TOML form; homes repeat, and must repeat alike."""
    lines = _csv_lines(path)
    faults: list[Fault] = []
    sites: dict[str, tuple[int, dict[str, str]]] = {}
    cars: list[dict[str, str]] = []
    for number, said in lines:
        site = {name: said[name] for name in CSV_SITE if name in said}
        first, known_site = sites.setdefault(site.get("site_id", f"line {number}"), (number, site))
        differs = [name for name in CSV_SITE if site.get(name) != known_site.get(name)]
        for name in differs:
            allowed = f"the same home as on line {first}, {known_site.get(name, MISSING)!r}"
            faults.append(Fault(f"{path.name}: line {number}.{name}", site.get(name, MISSING), allowed))
        cars.append({name: said[name] for name in CSV_CAR if name in said})
    data = as_text({"site": [site for _, site in sites.values()], "car": cars})
    places = {"site": [number for number, _ in sites.values()], "car": [number for number, _ in lines]}
    return _Csv(data, places, faults)


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
        first: dict[str, int] = {}
        for number, value in enumerate(row.get(name) for row in rows):
            if isinstance(value, str) and first.setdefault(value, number) != number:
                where = f"{source}: {table}[{number}].{name}"
                yield Fault(where, value, f"an id of its own; {table}[{first[value]}] has it")
    site_ids = {site.get("site_id") for site in sites if isinstance(site.get("site_id"), str)}
    all_told = len(site_ids) == len(sites)  # a site that was called by another's name is not missing, too
    for number, car in enumerate(cars):
        where = f"{source}: car[{number}]"
        site_id, target, floor = car.get("site_id"), car.get("default_target_soc"), car.get("floor_soc")
        if all_told and isinstance(site_id, str) and site_id not in site_ids:
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
    sites = {
        row.site_id: Site(
            **row.model_dump(exclude={"phases", "approval", *FEED_IN}),
            approval=row.standing,
            feed_in=row.feed_in,
        )
        for row in rows.site
    }
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
            taper=Taper(row.taper_from_soc, row.taper_full_share),
            warranty_throughput_kwh=row.warranty_throughput_kwh,
        )
        for row in rows.car
    )
    return Fleet(cars, fleet_digest(cars))
