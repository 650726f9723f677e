"""What a driver may send: JSON bodies, strict; local times are London's, and refused in doubt."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, time, timedelta
from math import ceil, floor
from typing import Annotated, TypeVar

from pydantic import BeforeValidator, Field

from aggregator.files.inputs import Name, Number, StrictRow, YesNo, shown, validate
from aggregator.model.drivers import (
    DAYS,
    LATE,
    Boost,
    Departure,
    Floor,
    Saying,
    Topic,
    V2g,
    Week,
    WeekDay,
)
from aggregator.model.errors import MISSING, BadMessage, Fault
from aggregator.model.figures import figure
from aggregator.model.fleet import LOWEST_FLOOR_SOC, Car
from aggregator.model.time import LONDON, parse_london

BODY = "body"
FARTHEST = timedelta(days=14)
LATEST = timedelta(days=1)
PERCENT = 100.0
GROUPS: Mapping[str, range] = {"weekdays": range(5), "weekend": range(5, 7), "daily": range(7)}
_LOCAL = re.compile(r"\d\d:\d\d(:\d\d)?")

Row = TypeVar("Row", bound=StrictRow)


def _instant(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("a date and time in quotes")  # noqa: TRY004 - pydantic wants this
    return parse_london(value)


def _local(value: object) -> object:
    if not isinstance(value, str) or not _LOCAL.fullmatch(value):
        raise ValueError('a local time of day, "07:30", without a zone')
    return time.fromisoformat(value)


Instant = Annotated[datetime, BeforeValidator(_instant)]
Local = Annotated[time, BeforeValidator(_local)]
Soc = Annotated[Number, Field(ge=0, le=1, allow_inf_nan=False)]
Percent = Annotated[Number, Field(ge=0, le=100, allow_inf_nan=False)]
Miles = Annotated[Number, Field(ge=0, le=1000, allow_inf_nan=False)]
MilesPerKwh = Annotated[Number, Field(ge=1, le=10, allow_inf_nan=False)]


class Target(StrictRow):
    """How full, in one of three units."""

    target_soc: Soc | None = None
    target_percent: Percent | None = None
    target_miles: Miles | None = None
    miles_per_kwh: MilesPerKwh | None = None


class DepartureBody(Target):
    """``PUT departure``."""

    depart_at: Instant
    expires_at: Instant | None = None


class WeekRow(Target):
    """One row of ``PUT week``."""

    on: Annotated[tuple[Name, ...], Field(strict=False, min_length=1, max_length=7)]
    depart_local: Local


class WeekBody(StrictRow):
    """``PUT week``."""

    days: Annotated[tuple[WeekRow, ...], Field(strict=False, min_length=1, max_length=7)]


class BoostBody(StrictRow):
    """``PUT boost``."""

    until: Instant | None = None


class V2gBody(StrictRow):
    """``PUT v2g``."""

    on: YesNo


class FloorBody(StrictRow):
    """``PUT floor``."""

    soc: Soc | None = None
    percent: Percent | None = None
    miles: Miles | None = None
    miles_per_kwh: MilesPerKwh | None = None


def read_saying(
    topic: Topic, data: object, car: Car, miles_per_kwh: float, now: datetime
) -> tuple[Saying, datetime | None]:
    """Return what a body says about a topic, and until when it holds; None for until it is replaced.

    Args:
        topic: What it is about.
        data: The body's content.
        car: As registered.
        miles_per_kwh: What its driver goes by who states none.
        now: Domain instant.

    Raises:
        BadMessage: With every fault; ``where`` is the field.
    """
    match topic:
        case Topic.DEPARTURE:
            return _departure(_read(DepartureBody, data), car, miles_per_kwh, now)
        case Topic.WEEK:
            return _week(_read(WeekBody, data), car, miles_per_kwh), None
        case Topic.BOOST:
            until = _read(BoostBody, data).until
            if until is not None:
                _must_lie("until", until, now, now + FARTHEST)
            return Boost(), until
        case Topic.V2G:
            return V2g(on=_read(V2gBody, data).on), None
        case Topic.FLOOR:
            return Floor(_floor(_read(FloorBody, data), car, miles_per_kwh)), None


def _read(model: type[Row], data: object) -> Row:
    try:
        return validate(model, data, BODY)
    except BadMessage as bad:
        prefix = f"{BODY}: "
        raise BadMessage(
            *(Fault(one.where.removeprefix(prefix), one.value, one.allowed) for one in bad.faults)
        ) from None


def _departure(
    body: DepartureBody, car: Car, miles_per_kwh: float, now: datetime
) -> tuple[Departure, datetime]:
    _must_lie("depart_at", body.depart_at, now, now + FARTHEST)
    until = body.expires_at if body.expires_at is not None else body.depart_at + LATE
    if body.expires_at is not None and not body.depart_at <= until <= body.depart_at + LATEST:
        allowed = "from depart_at to a day after it: until then the car is kept for a driver who is late"
        raise BadMessage(Fault("expires_at", _said(until), allowed))
    return Departure(body.depart_at, _target(body, "", car, miles_per_kwh)), until


def _week(body: WeekBody, car: Car, miles_per_kwh: float) -> Week:
    found: dict[int, WeekDay] = {}
    for number, row in enumerate(body.days):
        where = f"days[{number}]"
        target_soc = _target(row, f"{where}.", car, miles_per_kwh)
        for name in row.on:
            for day in _days(name, f"{where}.on"):
                if day in found:
                    raise BadMessage(
                        Fault(f"{where}.on", name, f"each day once; {DAYS[day]} is there already")
                    )
                found[day] = WeekDay(day, row.depart_local, target_soc)
    return Week(tuple(found[day] for day in sorted(found)))


def _days(name: str, where: str) -> Iterator[int]:
    if name in GROUPS:
        yield from GROUPS[name]
    elif name in DAYS:
        yield DAYS.index(name)
    else:
        raise BadMessage(Fault(where, shown(name), f"one of {', '.join((*DAYS, *GROUPS))}"))


def _target(body: Target, prefix: str, car: Car, miles_per_kwh: float) -> float:
    given = {
        f"{prefix}target_soc": body.target_soc,
        f"{prefix}target_percent": body.target_percent,
        f"{prefix}target_miles": body.target_miles,
    }
    return _fraction(given, car, body.miles_per_kwh or miles_per_kwh)[1]


def _floor(body: FloorBody, car: Car, miles_per_kwh: float) -> float:
    per_kwh = body.miles_per_kwh or miles_per_kwh
    given = {"soc": body.soc, "percent": body.percent, "miles": body.miles}
    field, soc = _fraction(given, car, per_kwh)
    least = max(LOWEST_FLOOR_SOC, car.floor_soc)
    if soc < least:
        miles = least * car.capacity_kwh * per_kwh
        lowest = {"soc": least, "percent": least * PERCENT, "miles": miles}
        whose = "whatever anybody asks" if least == LOWEST_FLOOR_SOC else "as was agreed for this car"
        at_least = _bound(field, lowest[field], ceil)
        allowed = f"at least {at_least}: the car is never discharged below that, {whose}"
        raise BadMessage(Fault(field, _in_unit(field, given[field] or 0.0), allowed))
    return soc


def _fraction(given: Mapping[str, float | None], car: Car, miles_per_kwh: float) -> tuple[str, float]:
    """Return which of a fraction, a percentage and miles was stated, and what fraction it is."""
    stated = {field: value for field, value in given.items() if value is not None}
    if len(stated) != 1:
        first, *_ = given
        found = ", ".join(stated) if stated else MISSING
        raise BadMessage(Fault(first, found, f"exactly one of {', '.join(given)}"))
    ((field, value),) = stated.items()
    most_miles = car.capacity_kwh * miles_per_kwh
    if field.endswith("percent"):
        return field, value / PERCENT
    if not field.endswith("miles"):
        return field, value
    if value > most_miles:
        a_kwh = f"{figure(car.capacity_kwh, 2)} kWh at {figure(miles_per_kwh)} miles a kWh"
        allowed = f"at most {_bound(field, most_miles, floor)}: {a_kwh}"
        raise BadMessage(Fault(field, _in_unit(field, value), allowed))
    return field, value / most_miles


def _in_unit(field: str, value: float) -> str:
    """Return a value of a field with its unit, as that field takes it."""
    unit = "%" if field.endswith("percent") else " miles" if field.endswith("miles") else ""
    return f"{figure(value, _digits(field))}{unit}"


def _digits(field: str) -> int:
    """Return to how many digits after the point a field's values are told: a share as it is kept."""
    return 2 if field.endswith("percent") else 1 if field.endswith("miles") else 4


def _bound(field: str, value: float, inwards: Callable[[float], int]) -> str:
    """Return the least or most that is allowed, as it can be told: who then says so is not refused again."""
    scale = 10 ** _digits(field)
    return _in_unit(field, inwards(round(value * scale, 6)) / scale)


def _must_lie(field: str, at: datetime, after: datetime, until: datetime) -> None:
    if not after < at <= until:
        allowed = f"after {_said(after)} (now), until {_said(until)}, London time"
        raise BadMessage(Fault(field, _said(at), allowed))


def _said(at: datetime) -> str:
    """Return an instant as a driver reads it: what London's clocks show, to the minute."""
    return f"{at.astimezone(LONDON):%a %d %b %Y %H:%M}"
