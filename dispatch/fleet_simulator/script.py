"""When cars come and go and what drivers do: a sessions file, and acts scripted for a demonstration.

Sessions are CSV with the columns car_id, plugged_in_at, plugged_out_at, energy_kwh, arrival_soc. energy_kwh
is what the car drew in its real session and moves nothing here. Acts are TOML, one ``[[act]]`` each: car_id,
at, kind (``boost``, ``boost_off``, ``leave``, ``intent``), and for an intent depart_at, target_soc or both.
"""

import csv
import io
import tomllib
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from aggregator.model.errors import MISSING, BadMessage, Fault
from dispatch.links.messages import Fraction, Instant, Name

OUR_WORDS = {
    "missing": "a value must be stated, there is no default",
    "extra_forbidden": "a key that is known here",
    "float_parsing": "a number",
    "tuple_type": "a list of tables, [[act]] or [[trouble]]",
    "model_type": "a table",
}
"""What pydantic says in the words of a program, said in those of a file."""


class Kind(StrEnum):
    """What a driver does that no session file knows."""

    BOOST = "boost"
    BOOST_OFF = "boost_off"
    LEAVE = "leave"
    INTENT = "intent"


class Row(BaseModel):
    """A table of a script: frozen, and a key nobody knows is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Stay(Row):
    """A car plugged in from one instant to another, with the state of charge it comes home with."""

    car_id: Name
    plugged_in_at: Instant
    plugged_out_at: Instant
    energy_kwh: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    arrival_soc: Fraction

    @model_validator(mode="after")
    def _not_empty(self) -> "Stay":
        if self.plugged_out_at <= self.plugged_in_at:
            raise ValueError("plugged_out_at after plugged_in_at")
        return self


class Act(Row):
    """Something a driver does at an instant."""

    car_id: Name
    at: Instant
    kind: Kind
    depart_at: Instant | None = None
    target_soc: Fraction | None = None

    @model_validator(mode="after")
    def _intent_says_something(self) -> "Act":
        said = self.depart_at is not None or self.target_soc is not None
        if said is not (self.kind is Kind.INTENT):
            raise ValueError("depart_at or target_soc with kind intent, and with no other kind")
        return self


class _Acts(Row):
    act: tuple[Act, ...] = ()


def read_stays(path: Path, car_ids: Collection[str]) -> tuple[Stay, ...]:
    """Read a sessions file.

    Raises:
        BadMessage: With every fault: unknown cars, naive or reversed times, sessions of one car that overlap.
    """
    reader = csv.DictReader(io.StringIO(text_of(path), newline=""), strict=True)
    columns = tuple(Stay.model_fields)
    stays: list[Stay] = []
    faults: list[Fault] = []
    try:
        if sorted(reader.fieldnames or ()) != sorted(columns):
            found = ",".join(reader.fieldnames or ())
            raise BadMessage(Fault(f"{path.name}: header", found, f"the columns {','.join(columns)}"))
        for row in reader:
            try:
                stays.append(Stay.model_validate(row))
            except ValidationError as error:
                faults.extend(faults_of(error, f"{path.name}: line {reader.line_num}."))
    except csv.Error as error:
        raise BadMessage(Fault(f"{path.name}: line {reader.line_num}", str(error), "CSV")) from None
    faults += _strangers(stays, car_ids, path.name)
    faults += _overlaps(stays, path.name)
    if faults:
        raise BadMessage(*faults)
    return tuple(stays)


def read_acts(path: Path | None, car_ids: Collection[str]) -> tuple[Act, ...]:
    """Read a file of acts; no file, no acts.

    Raises:
        BadMessage: With every fault of the file.
    """
    if path is None:
        return ()
    try:
        acts = _Acts.model_validate(tomllib.loads(text_of(path))).act
    except ValidationError as error:
        raise BadMessage(*faults_of(error, f"{path.name}: ")) from None
    except (ValueError, RecursionError) as error:
        raise BadMessage(Fault(path.name, str(error), "TOML")) from None
    if faults := tuple(_strangers(acts, car_ids, path.name)):
        raise BadMessage(*faults)
    return acts


def by_instant(
    stays: Sequence[Stay], acts: Sequence[Act], since: datetime
) -> list[tuple[datetime, Stay | Act]]:
    """Return what happens from ``since`` on, in order; departures before arrivals before acts."""
    happenings: list[tuple[datetime, int, Stay | Act]] = []
    happenings += [(stay.plugged_out_at, 0, stay) for stay in stays if stay.plugged_out_at > since]
    happenings += [(stay.plugged_in_at, 1, stay) for stay in stays if stay.plugged_in_at > since]
    happenings += [(act.at, 2, act) for act in acts if act.at >= since]
    return [(at, what) for at, _, what in sorted(happenings, key=lambda item: item[:2])]


def _strangers(rows: Iterable[Stay | Act], car_ids: Collection[str], source: str) -> Iterator[Fault]:
    for car_id in sorted({row.car_id for row in rows}.difference(car_ids)):
        yield Fault(f"{source}: car_id", car_id, "the car_id of a car in the fleet file")


def _overlaps(stays: Iterable[Stay], source: str) -> Iterator[Fault]:
    ordered = sorted(stays, key=attrgetter("car_id", "plugged_in_at"))
    for first, second in pairwise(ordered):
        if first.car_id == second.car_id and second.plugged_in_at < first.plugged_out_at:
            where = f"{source}: plugged_in_at of {second.car_id}"
            allowed = f"an instant not before the car's last departure, {first.plugged_out_at.isoformat()}"
            yield Fault(where, second.plugged_in_at.isoformat(), allowed)


def text_of(path: Path) -> str:
    """Return what a file says.

    Raises:
        BadMessage: If it can't be read, or is no UTF-8 text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadMessage(Fault(str(path), reason, "a readable UTF-8 text file")) from None


def faults_of(error: ValidationError, where: str) -> Iterator[Fault]:
    """Yield what is wrong with a file, in the words of a file."""
    for fault in error.errors(include_url=False):
        field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"])
        allowed = OUR_WORDS.get(fault["type"], fault["msg"].removeprefix("Value error, "))
        value = MISSING if fault["type"] == "missing" else _shown(fault["input"])
        yield Fault(f"{where}{field.removeprefix('.')}".rstrip(".: "), value, allowed)


def _shown(said: object) -> str:
    """Return a value as text; a row of several fields as they stand in their file."""
    if isinstance(said, dict):
        return ", ".join(f"{name} {value}" for name, value in said.items())
    return str(said)
