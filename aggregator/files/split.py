"""The file of a split: JSON in, every fault at once, and the answer back as plain JSON values."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from aggregator.files.inputs import (
    LARGEST,
    Efficiency,
    Finite,
    Name,
    NotNegative,
    Positive,
    StrictRow,
    listed,
    parse_json,
    read_text,
    shown,
    validate_with,
)
from aggregator.files.split_columns import AT_MOST, plain_columns
from aggregator.model.errors import BadMessage, Fault
from aggregator.model.market import Direction
from dispatch.split_cars import Cars, Sites, SplitCar, SplitSite
from dispatch.split_problem import Split, SplitProblem

Slot = Annotated[int, Field(ge=0, le=int(LARGEST))]
PerSlot = tuple[Finite, ...]


class CarRow(StrictRow):
    """One of ``cars``; energies stored, powers on the AC side."""

    id: Name
    site: Name
    capacity_kwh: Positive
    floor_kwh: NotNegative
    max_kwh: NotNegative
    energy_kwh: NotNegative
    charge_kw: NotNegative
    discharge_kw: NotNegative
    depart_slot: Slot
    target_kwh: NotNegative
    arrive_slot: Slot = 0
    min_kw: NotNegative = 0.0


class SiteRow(StrictRow):
    """One of ``sites``, by name."""

    export_limit_kw: NotNegative
    import_limit_kw: NotNegative
    base_load_kw: PerSlot | None = Field(default=None, strict=False)


class EventRow(StrictRow):
    """What is asked: the zone's net export, slot by slot."""

    n_slots: Annotated[int, Field(ge=1, le=int(LARGEST))]
    request_kw: PerSlot = Field(strict=False)
    direction: Literal["up", "down"] = "up"


class SplitFile(StrictRow):
    """The whole file."""

    id: Name
    slot_hours: Positive
    eta_charge: Efficiency
    eta_discharge: Efficiency
    cars: tuple[CarRow, ...] = Field(strict=False)
    sites: dict[str, SiteRow]
    event: EventRow


def read_split(path: Path) -> SplitProblem:
    """Return the problem in a file.

    Raises:
        BadMessage: The file can't be read or says something impossible; all faults found, each with
            the file and the field, e.g. ``split.json: cars[3].target_kwh``.
    """
    return parse_split(read_text(path), path.name)


def parse_split(text: bytes | str, name: str) -> SplitProblem:
    """Return the problem in a JSON text; ``name`` is what faults call it.

    Raises:
        BadMessage: As for ``read_split``.
    """
    data = parse_json(text, name)
    raw = _object(data)
    file = {**raw, "cars": [], "sites": {}} if {"cars", "sites"} <= set(raw) else raw
    try:
        rest = validate_with(SplitFile, file, name, _cross_faults(file, name))
    except BadMessage:
        rest = None
    columns = plain_columns(raw.get("cars"), raw.get("sites"), rest.event.n_slots) if rest else None
    if rest is None or columns is None:
        rest = validate_with(SplitFile, data, name, _cross_faults(raw, name))
        columns = _columns(rest)
    return _problem(rest, *columns)


def split_to_json(answer: Split) -> dict[str, Any]:
    """Return the answer as JSON values: powers in kW, positive for export, energies in kWh."""
    return {
        "export_kw": dict(zip(answer.car_ids, answer.export_kw.tolist(), strict=True)),
        "delivered_kwh": answer.delivered_kwh,
        "shortfall_kwh": answer.shortfall_kwh,
        "feasible": answer.feasible,
        "short_of_target_kwh": dict(answer.short_of_target_kwh),
    }


def _cross_faults(data: Mapping[str, Any], name: str) -> Iterator[Fault]:
    """Yield what is wrong between fields of unchecked input: one bad value must not hide another's clash."""
    sites, event = _object(data.get("sites")), _object(data.get("event"))
    yield from _length_faults("event.request_kw", event.get("request_kw"), event.get("n_slots"), name)
    for key, raw in sites.items():
        where, site = f"sites.{key}.base_load_kw", _object(raw)
        yield from _length_faults(where, site.get("base_load_kw"), event.get("n_slots"), name)
        limit_kw = _number(site.get("import_limit_kw"))
        for slot, load_kw in enumerate(map(_number, listed(site.get("base_load_kw")))):
            if load_kw is not None and limit_kw is not None and load_kw > limit_kw:
                allowed = f"at most the import limit, {limit_kw}"
                yield Fault(f"{name}: {where}[{slot}]", str(load_kw), allowed)
    seen: dict[str, int] = {}
    for row, car in enumerate(map(_object, listed(data.get("cars")))):
        yield from _car_faults(car, f"{name}: cars[{row}]", sites)
        car_id = car.get("id")
        if isinstance(car_id, str) and seen.setdefault(car_id, row) != row:
            yield Fault(f"{name}: cars[{row}].id", car_id, f"an id of its own; cars[{seen[car_id]}] has it")


def _length_faults(where: str, values: object, slots: object, name: str) -> Iterator[Fault]:
    wanted = _number(slots)
    if isinstance(values, list) and wanted is not None and len(values) != wanted:
        yield Fault(f"{name}: {where}", f"{len(values)} values", f"{wanted:g}, one per slot")


def _car_faults(car: Mapping[str, Any], where: str, sites: Collection[str]) -> Iterator[Fault]:
    if isinstance(car.get("site"), str) and car["site"] not in sites:
        yield Fault(f"{where}.site", car["site"], "a key of sites")
    for field, limit_field in AT_MOST:
        value, limit = _number(car.get(field)), _number(car.get(limit_field))
        if value is not None and limit is not None and value > limit:
            yield Fault(f"{where}.{field}", shown(car[field]), f"at most {limit_field}, {car[limit_field]}")


def _object(raw: object) -> Mapping[str, Any]:
    return raw if isinstance(raw, dict) else {}


def _number(raw: object) -> float | None:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return None
    return float(raw) if abs(raw) <= LARGEST else None


def _columns(file: SplitFile) -> tuple[Cars, Sites]:
    rows = {
        key: SplitSite(site.export_limit_kw, site.import_limit_kw, site.base_load_kw or ())
        for key, site in file.sites.items()
    }
    sites = Sites.of(rows, file.event.n_slots)
    return Cars.of((SplitCar(**car.model_dump()) for car in file.cars), sites), sites


def _problem(file: SplitFile, cars: Cars, sites: Sites) -> SplitProblem:
    return SplitProblem(
        id=file.id,
        slot_hours=(file.slot_hours,) * file.event.n_slots,
        eta_charge=file.eta_charge,
        eta_discharge=file.eta_discharge,
        cars=cars,
        sites=sites,
        request_kw=file.event.request_kw,
        direction=Direction(file.event.direction),
    )
