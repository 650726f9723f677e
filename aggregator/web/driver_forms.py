"""A driver's forms as the bodies that the drivers' door takes: what is said is judged by the same rules."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from aggregator.model.drivers import DAYS, Topic
from aggregator.model.errors import MISSING, BadMessage, Fault
from aggregator.model.time import utc_text

PERCENT, MILES = "percent", "miles"
UNITS = {PERCENT: "% full", MILES: "miles"}
MOST = {PERCENT: (100, "%"), MILES: (1000, " miles")}
"""Most that may be stated in each unit, and its sign."""

BOOSTS = {
    "": "until I end it",
    "1": "for an hour",
    "2": "for 2 hours",
    "4": "for 4 hours",
    "8": "for 8 hours",
}
SWITCH = {"on": True, "off": False}
FIELDS: Mapping[Topic, Sequence[str]] = {
    Topic.DEPARTURE: ("depart_at", "amount", "unit"),
    Topic.BOOST: ("hours",),
    Topic.V2G: ("on",),
    Topic.FLOOR: ("level", "unit"),
    Topic.WEEK: (*(f"{day}_{what}" for day in DAYS for what in ("at", "amount")), "unit"),
}
"""What each form asks."""


def unknown_fields(known: Sequence[str], fields: Mapping[str, str]) -> dict[str, Fault]:
    """Return what a form states that it does not ask, by name."""
    allowed = f"unknown field; known here: {', '.join(known) or 'no field'}"
    return {name: Fault(name, text, allowed) for name, text in fields.items() if name not in known}


def read_form(topic: Topic, fields: Mapping[str, str], now: datetime) -> dict[str, object]:
    """Return what a form says about a topic, as the body of ``aggregator/drivers/bodies.py``.

    Args:
        topic: What it is about.
        fields: As they were typed.
        now: Domain instant.

    Raises:
        BadMessage: If what was typed is no such thing; ``where`` is the field.
    """
    match topic:
        case Topic.DEPARTURE:
            return _departure(fields)
        case Topic.BOOST:
            hours = _one_of("hours", fields.get("hours", ""), BOOSTS)
            return {"until": utc_text(now + timedelta(hours=int(hours)))} if hours else {}
        case Topic.V2G:
            return {"on": SWITCH[_one_of("on", fields.get("on", ""), SWITCH)]}
        case Topic.FLOOR:
            unit = _one_of("unit", fields.get("unit", PERCENT), UNITS)
            return {unit: _number("level", fields.get("level", ""), unit, "80")}
        case Topic.WEEK:
            return _week(fields)


def field_of(topic: Topic, where: str, fields: Mapping[str, str]) -> str:
    """Return the form's field that a fault of a body is about."""
    if topic is Topic.FLOOR and where in ("soc", *UNITS):
        return "level"
    row = re.fullmatch(r"days\[(\d+)\]\.(\w+)", where) if topic is Topic.WEEK else None
    if row is not None:
        return f"{_stated_days(fields)[int(row[1])]}_{'at' if row[2] == 'depart_local' else 'amount'}"
    return "amount" if where.startswith("target_") else where


def _departure(fields: Mapping[str, str]) -> dict[str, object]:
    unit, faults = _one_of("unit", fields.get("unit", PERCENT), UNITS), []
    at = fields.get("depart_at", "").strip()
    if not at:
        faults.append(Fault("depart_at", MISSING, "a date and time, such as 2025-01-09T07:30"))
    amount: object = None
    try:
        amount = _number("amount", fields.get("amount", ""), unit, "80")
    except BadMessage as bad:
        faults += bad.faults
    if faults:
        raise BadMessage(*faults)
    return {"depart_at": at, f"target_{unit}": amount}


def _week(fields: Mapping[str, str]) -> dict[str, object]:
    """Return the days that say something; the others are as agreed for the car."""
    unit = _one_of("unit", fields.get("unit", PERCENT), UNITS)
    rows, faults = [], []
    for day in _stated_days(fields):
        at = fields.get(f"{day}_at", "").strip()
        if not at:
            faults.append(Fault(f"{day}_at", MISSING, "a time, such as 07:30, or the day left empty"))
        try:
            typed = fields.get(f"{day}_amount", "")
            amount = _number(f"{day}_amount", typed, unit, "80, or the day left empty")
        except BadMessage as bad:
            faults += bad.faults
            continue
        rows.append({"on": [day], "depart_local": at, f"target_{unit}": amount})
    if not rows and not faults:
        faults.append(Fault("week", MISSING, "at least one day, with a time and how full"))
    if faults:
        raise BadMessage(*faults)
    return {"days": rows}


def _stated_days(fields: Mapping[str, str]) -> list[str]:
    return [day for day in DAYS if (fields.get(f"{day}_at", "") + fields.get(f"{day}_amount", "")).strip()]


def _number(field: str, text: str, unit: str, example: str) -> float:
    typed, (most, sign) = text.strip().removesuffix("%").strip(), MOST[unit]
    try:
        found = float(typed)
    except ValueError:
        raise BadMessage(Fault(field, typed or MISSING, f"a number, such as {example}")) from None
    if not 0 <= found <= most:
        raise BadMessage(Fault(field, f"{typed}{sign}", f"from 0 to {most}{sign}"))
    return found


def _one_of(field: str, text: str, known: Mapping[str, object]) -> str:
    if text not in known:
        raise BadMessage(Fault(field, text, f"one of {', '.join(filter(None, known))}"))
    return text
