"""Model values as JSON text and back, exactly.

A text is ``{"ClassName":{...}}`` in canonical form: sorted keys, no spaces, ASCII, instants in UTC with
``Z``, ``Decimal`` as the string it was written as. Equal values give equal bytes, so that texts can be
compared and hashed (but ``Decimal("1.0")`` and ``Decimal("1.00")`` stay two texts: both are exact). What
was written can be read: a value that does not survive the way there and back is refused before it
reaches an append-only table.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime, time
from decimal import Decimal
from operator import is_
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from aggregator.model.drivers import Boost, Departure, Floor, Saying, V2g, Week
from aggregator.model.errors import BadMessage, Fault
from aggregator.model.market import Award, Instruction, PeakWindow, Plan, Rehearsal, Requirement
from aggregator.model.opportunity import NEXT, Fact
from aggregator.model.time import utc_text
from aggregator.ports import Content, OptOut, Report

T = TypeVar("T")

FACTS: Mapping[str, type[Fact]] = {kind.__name__: kind for after in NEXT.values() for kind in after}
"""Every fact that can happen, by name: those of the one table that says when."""

CONTENTS: Mapping[str, type[Content | Rehearsal]] = {
    "Requirement": Requirement,
    "Award": Award,
    "Instruction": Instruction,
    "PeakWindow": PeakWindow,
    "Rehearsal": Rehearsal,
}
PLANS: Mapping[str, type[Plan]] = {"Plan": Plan}
SAYINGS: Mapping[str, type[Saying]] = {
    "Departure": Departure,
    "Week": Week,
    "Boost": Boost,
    "V2g": V2g,
    "Floor": Floor,
}
REPORTS: Mapping[str, type[Report]] = {"Report": Report, "OptOut": OptOut}

_ADAPTERS: dict[object, TypeAdapter[Any]] = {}


def to_text(value: object) -> str:
    """Return the canonical text of a model value.

    Raises:
        ValueError: If the value can't be read back as it is: NaN, infinity, an instant without a zone,
            a list where a tuple belongs.
    """
    kind = type(value)
    back = from_text({kind.__name__: kind}, _write(value), "what is to be stored")
    if back != value:
        raise ValueError(f"{kind.__name__} does not survive being stored: {value}")
    return _write(back)  # of what was read: an int where a float belongs is 1.0 from here on


def from_text(kinds: Mapping[str, type[T]], text: str, where: str) -> T:
    """Read a value of one of ``kinds``, by class name.

    Raises:
        BadMessage: If the text holds no such value; each fault is named, after ``where``.
    """
    try:
        tagged = json.loads(text)
    except ValueError as error:
        raise BadMessage(Fault(where, text[:80], f"JSON ({error})")) from None
    name = str(next(iter(tagged))) if isinstance(tagged, dict) and len(tagged) == 1 else text[:80]
    if name not in kinds:
        raise BadMessage(Fault(where, name, f"one of {', '.join(sorted(kinds))}"))
    try:
        value: T = _adapter(kinds[name]).validate_json(json.dumps(tagged[name]), strict=True, extra="forbid")
    except ValidationError as error:
        raise BadMessage(*_faults(f"{where}: {name}", error)) from None
    return cast("T", _in_utc(value))


def names_to_text(names: Iterable[str]) -> str:
    """Return names as text, in the order given."""
    return _dump(list(names))


def names_from(text: str) -> tuple[str, ...]:
    """Read names that ``names_to_text`` wrote."""
    return tuple(json.loads(text))


def _write(value: object) -> str:
    fields = _adapter(type(value)).dump_python(value, warnings="error")
    return _dump({type(value).__name__: fields})


def _dump(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain)


def _plain(value: object) -> str:
    match value:
        case datetime():
            return utc_text(value)
        case time():
            return value.isoformat()
        case Decimal() if value.is_finite():
            return str(value)
    raise ValueError(f"{value!r} can't be stored")


def _in_utc(value: object) -> object:
    """Give every instant Python's own UTC for pydantic's: digests are made of ``repr``."""
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(value, tuple):
        items = tuple(map(_in_utc, value))
        return value if all(map(is_, items, value)) else items
    if not is_dataclass(value) or isinstance(value, type):
        return value
    old = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
    new = {name: _in_utc(part) for name, part in old.items()}
    return value if all(map(is_, old.values(), new.values())) else replace(value, **new)


def _adapter(kind: type[T]) -> TypeAdapter[T]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)  # made on first use: each takes milliseconds
    return _ADAPTERS[kind]


def _faults(where: str, error: ValidationError) -> list[Fault]:
    details: list[Any] = list(error.errors(include_url=False, include_context=False))
    return [
        Fault(".".join([where, *map(str, found["loc"])]), str(found["input"])[:80], str(found["msg"]))
        for found in details
    ]
