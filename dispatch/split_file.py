"""The file of a split: JSON in, every fault at once, and the answer back as plain JSON values."""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aggregator.model.errors import BadMessage, Fault
from aggregator.model.market import Direction
from dispatch.split_problem import Split, SplitCar, SplitProblem, SplitSite

_LONGEST_VALUE = 60
_LARGEST = 1e9

_AT_MOST = (
    ("floor_kwh", "max_kwh"),
    ("target_kwh", "max_kwh"),
    ("max_kwh", "capacity_kwh"),
    ("energy_kwh", "capacity_kwh"),
    ("arrive_slot", "depart_slot"),
)

_Number = Annotated[float, Field(allow_inf_nan=False, ge=-_LARGEST, le=_LARGEST)]
_Amount = Annotated[float, Field(allow_inf_nan=False, ge=0, le=_LARGEST)]
_Above0 = Annotated[float, Field(allow_inf_nan=False, gt=0, le=_LARGEST)]
_Efficiency = Annotated[float, Field(allow_inf_nan=False, gt=0, le=1)]
_Slot = Annotated[int, Field(ge=0, le=int(_LARGEST))]
_Name = Annotated[str, Field(min_length=1)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Car(_Form):
    id: _Name
    site: _Name
    capacity_kwh: _Above0
    floor_kwh: _Amount
    max_kwh: _Amount
    energy_kwh: _Amount
    charge_kw: _Amount
    discharge_kw: _Amount
    depart_slot: _Slot
    target_kwh: _Amount
    arrive_slot: _Slot = 0
    min_kw: _Amount = 0.0


class _Site(_Form):
    export_limit_kw: _Amount
    import_limit_kw: _Amount
    base_load_kw: tuple[_Number, ...] | None = Field(default=None, strict=False)


class _Event(_Form):
    n_slots: Annotated[int, Field(ge=1, le=int(_LARGEST))]
    request_kw: tuple[_Number, ...] = Field(strict=False)
    direction: Literal["up", "down"] = "up"


class _File(_Form):
    id: _Name
    slot_hours: _Above0
    eta_charge: _Efficiency
    eta_discharge: _Efficiency
    cars: list[Any]
    sites: dict[str, Any]
    event: Any


_AnyForm = TypeVar("_AnyForm", bound=_Form)


def read_split(path: Path) -> SplitProblem:
    """Return the problem in a file.

    Raises:
        BadMessage: The file can't be read or says something impossible; all faults found, each with
            the file and the field, e.g. ``split.json: cars[3].target_kwh``.
    """
    try:
        return parse_split(path.read_bytes(), path.name)
    except OSError as error:
        raise BadMessage(Fault(path.name, error.strerror or str(error), "a readable file")) from error


def parse_split(text: bytes | str, name: str) -> SplitProblem:
    """Return the problem in a JSON text; ``name`` is what faults call it.

    Raises:
        BadMessage: As for ``read_split``.
    """
    faults = _Faults(name)
    raw = _json(text, faults)
    top = _object(raw)
    file = faults.read(_File, raw, "")
    event = faults.read(_Event, top["event"], "event") if "event" in top else None
    sites = {
        key: faults.read(_Site, value, f"sites.{key}") for key, value in _object(top.get("sites")).items()
    }
    cars = [faults.read(_Car, value, f"cars[{row}]") for row, value in enumerate(_list(top.get("cars")))]
    _check_slots(top, faults)
    for row, car in enumerate(_list(top.get("cars"))):
        _check_car(_object(car), f"cars[{row}]", set(sites), faults)
    _check_ids(_list(top.get("cars")), faults)
    if faults.found or file is None or event is None:
        raise BadMessage(*faults.found)
    return _problem(file, event, sites, cars)


def split_to_json(answer: Split) -> dict[str, Any]:
    """Return the answer as JSON values: powers in kW, positive for export, energies in kWh."""
    return {
        "export_kw": dict(zip(answer.car_ids, answer.export_kw.tolist(), strict=True)),
        "delivered_kwh": answer.delivered_kwh,
        "shortfall_kwh": answer.shortfall_kwh,
        "feasible": answer.feasible,
        "short_of_target_kwh": dict(answer.short_of_target_kwh),
    }


class _Faults:
    """Collects what is wrong, so that all of it is told at once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.found: list[Fault] = []

    def add(self, where: str, value: object, allowed: str) -> None:
        place = f"{self.name}: {where}" if where else self.name
        text = value if isinstance(value, str) else repr(value)
        self.found.append(Fault(place, text[:_LONGEST_VALUE], allowed))

    def read(self, form: type[_AnyForm], raw: object, where: str) -> _AnyForm | None:
        try:
            return form.model_validate(raw)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                kind, value = detail["type"], detail["input"]
                allowed = detail["msg"][:1].lower() + detail["msg"][1:]
                if kind in {"extra_forbidden", "model_type"}:
                    allowed = f"an object with the keys {', '.join(form.model_fields)}"
                self.add(_place(where, detail["loc"]), "nothing" if kind == "missing" else value, allowed)
            return None


def _json(text: bytes | str, faults: _Faults) -> object:
    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        for key, count in Counter(key for key, _ in pairs).items():
            if count > 1:
                faults.add("", key, "each key once in its object")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise BadMessage(Fault(faults.name, str(error), "JSON text")) from error


def _place(where: str, steps: tuple[int | str, ...]) -> str:
    for step in steps:
        where += f"[{step}]" if isinstance(step, int) else f".{step}" if where else step
    return where


def _object(raw: object) -> dict[str, Any]:
    return raw if isinstance(raw, dict) else {}


def _list(raw: object) -> list[Any]:
    return raw if isinstance(raw, list) else []


def _number(raw: object) -> float | None:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return None
    return float(raw) if abs(raw) <= _LARGEST else None


def _check_slots(top: dict[str, Any], faults: _Faults) -> None:
    """Check what is said per slot, even where another part of the file is wrong."""
    event = _object(top.get("event"))
    slots = event.get("n_slots")
    lists = {"event.request_kw": event.get("request_kw")}
    for key, site in _object(top.get("sites")).items():
        where, limit_kw = f"sites.{key}.base_load_kw", _number(_object(site).get("import_limit_kw"))
        lists[where] = _object(site).get("base_load_kw")
        for slot, load_kw in enumerate(map(_number, _list(lists[where]))):
            if load_kw is not None and limit_kw is not None and load_kw > limit_kw:
                faults.add(f"{where}[{slot}]", load_kw, f"at most the import limit, {limit_kw}")
    for where, values in lists.items():
        if isinstance(values, list) and _number(slots) is not None and len(values) != slots:
            faults.add(where, f"{len(values)} values", f"{slots}, one per slot")


def _check_car(car: dict[str, Any], where: str, sites: set[str], faults: _Faults) -> None:
    if isinstance(car.get("site"), str) and car["site"] not in sites:
        faults.add(f"{where}.site", car["site"], "a key of sites")
    for name, limit_name in _AT_MOST:
        value, limit = _number(car.get(name)), _number(car.get(limit_name))
        if value is not None and limit is not None and value > limit:
            faults.add(f"{where}.{name}", car[name], f"at most {limit_name}, {car[limit_name]}")


def _check_ids(cars: list[Any], faults: _Faults) -> None:
    seen: dict[str, int] = {}
    for row, car in enumerate(cars):
        name = _object(car).get("id")
        if isinstance(name, str) and seen.setdefault(name, row) != row:
            faults.add(f"cars[{row}].id", name, f"an id of its own; cars[{seen[name]}] has it")


def _problem(
    file: _File, event: _Event, sites: dict[str, _Site | None], cars: list[_Car | None]
) -> SplitProblem:
    return SplitProblem(
        id=file.id,
        slot_hours=(file.slot_hours,) * event.n_slots,
        eta_charge=file.eta_charge,
        eta_discharge=file.eta_discharge,
        cars=tuple(SplitCar(**car.model_dump()) for car in cars if car is not None),
        sites={
            key: SplitSite(site.export_limit_kw, site.import_limit_kw, site.base_load_kw or ())
            for key, site in sites.items()
            if site is not None
        },
        request_kw=event.request_kw,
        direction=Direction(event.direction),
    )
