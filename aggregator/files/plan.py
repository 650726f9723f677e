"""The file of one bidding problem: JSON in, every fault at once."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from aggregator.files.inputs import (
    Finite,
    Fraction,
    NotNegative,
    Number,
    Positive,
    StrictRow,
    listed,
    parse_json,
    read_text,
    validate_with,
)
from aggregator.model.errors import Fault

SUM_TOLERANCE = 1e-5  # thirds of six digits sum to 0.999999

Flag = Annotated[int, Field(ge=0, le=1)]
Flags = Annotated[tuple[Flag, ...], Field(strict=False)]
Level = Annotated[Number, Field(ge=0, lt=1, allow_inf_nan=False)]


class PlanCar(StrictRow):
    """A car: what it may discharge and how much it has to give, both on the AC side. [kW, kWh]"""

    id: str
    discharge_kw: NotNegative
    exportable_kwh: NotNegative


class PlanCvar(StrictRow):
    """A limit on the CVaR of unmet energy, as a part of the energy bid. [-]"""

    level: Level
    limit: NotNegative


class PlanProblem(StrictRow):
    """One bidding problem; prices in GBP/kWh, the availability price per kW held for an hour."""

    id: str
    slot_hours: Positive
    n_slots: Annotated[int, Field(ge=1)]
    cars: tuple[PlanCar, ...] = Field(strict=False)
    presence: tuple[Flags, ...] = Field(strict=False)
    probability: tuple[Fraction, ...] = Field(strict=False)
    availability_price_per_kwh: tuple[Finite, ...] = Field(strict=False)
    utilisation_price_per_kwh: tuple[Finite, ...] = Field(strict=False)
    activation_probability: Fraction
    penalty_per_kwh_short: NotNegative
    energy_cost_per_kwh: Finite
    block_kw: Positive | None
    min_bid_kw: NotNegative
    cvar: PlanCvar | None = None


def read_plan(path: Path) -> PlanProblem:
    """Return the problem in a file.

    Raises:
        BadMessage: The file can't be read or says something impossible; all faults found.
    """
    return parse_plan(read_text(path), path.name)


def parse_plan(text: bytes | str, name: str) -> PlanProblem:
    """Return the problem in a JSON text; ``name`` is what faults call it.

    Raises:
        BadMessage: As for ``read_plan``.
    """
    data = parse_json(text, name)
    return validate_with(PlanProblem, data, name, _cross_faults(data if isinstance(data, dict) else {}, name))


def _cross_faults(data: Mapping[str, Any], name: str) -> Iterator[Fault]:
    """Yield what is wrong between fields of unchecked input: one bad value must not hide another's clash."""
    presence, cars = data.get("presence"), data.get("cars")
    if presence == []:
        yield Fault(f"{name}: presence", "[]", "at least one scenario")
    counts = [
        ("probability", data.get("probability"), _length(presence), "one per scenario"),
        *(
            (field, data.get(field), data.get("n_slots"), "one per slot")
            for field in ("availability_price_per_kwh", "utilisation_price_per_kwh")
        ),
        *((f"presence[{row}]", flags, _length(cars), "one per car") for row, flags in _rows(presence)),
    ]
    for field, found, wanted, meaning in counts:
        if isinstance(found, list) and isinstance(wanted, int) and len(found) != wanted:
            yield Fault(f"{name}: {field}", f"{len(found)} entries", f"{wanted} entries, {meaning}")
    total = _sum(listed(data.get("probability")))
    if abs(total - 1.0) > SUM_TOLERANCE:
        yield Fault(f"{name}: probability", f"sum {total}", "probabilities that sum to 1")
    ids = [car["id"] for car in listed(cars) if isinstance(car, dict) and isinstance(car.get("id"), str)]
    for car_id, count in Counter(ids).items():
        if count > 1:
            yield Fault(f"{name}: cars", f"id {car_id} {count} times", "ids that occur once")


def _sum(chances: Sequence[object]) -> float:
    """Return the sum of probabilities, NaN where there is none or one is wrong: it compares with nothing."""
    fine = [one for one in chances if isinstance(one, int | float) and 0 <= one <= 1]
    return math.fsum(fine) if fine and len(fine) == len(chances) else math.nan


def _length(values: object) -> int | None:
    return len(values) if isinstance(values, list) else None


def _rows(presence: object) -> Iterator[tuple[int, object]]:
    return iter(enumerate(listed(presence)))
