"""Times, durations and numbers as OpenADR writes them.

The schema's patterns are narrower than the standards they stand for (no offset, no fraction, weeks without
their ``P``); whatever has exactly one meaning is read. Years and months have no fixed length and are refused.
"""

import math
import re
from datetime import UTC, datetime, timedelta

_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]*))?(Z|[+-][0-9]{2}:[0-9]{2})?"
)
_DURATION = re.compile(
    r"(?P<sign>[+-]?)P?(?:(?P<weeks>[0-9]+)W|(?:(?P<days>[0-9]+)D)?"
    r"(?:T(?=[0-9])(?:(?P<hours>[0-9]+)H)?(?:(?P<minutes>[0-9]+)M)?(?:(?P<seconds>[0-9]+(?:\.[0-9]+)?)S)?)?)"
)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_COUNT = re.compile(r"\+?[0-9]{1,10}")
INSTANT = "a time with its zone, such as 2025-01-15T17:00:00Z"
DURATION = "a duration of weeks, days, hours, minutes and seconds, such as PT30M"
IN_TIME = "one that ends before the year 10000"
NUMBER = "a finite number"
COUNT = "a whole number from 0 to 4294967295"
LATEST = datetime.max.replace(tzinfo=UTC)
_MOST_COUNT = 2**32 - 1


def read_instant(text: str, *, naive_is_utc: bool = False) -> datetime:
    """Return the instant in UTC.

    Args:
        text: ISO 8601 with seconds, maybe with a fraction, which is cut after microseconds.
        naive_is_utc: Whether a time without a zone means UTC; else it is refused.

    Raises:
        ValueError: If the text is no instant.
    """
    match = _INSTANT.fullmatch(text)
    if match is None or (match[3] is None and not naive_is_utc):
        raise ValueError(INSTANT)
    micros = (match[2] or "")[:6].ljust(6, "0")
    try:
        return datetime.fromisoformat(f"{match[1]}.{micros}{match[3] or 'Z'}").astimezone(UTC)
    except OverflowError:
        raise ValueError(INSTANT) from None


def read_duration(text: str) -> timedelta:
    """Return an ISO 8601 duration, at least 0.

    Raises:
        ValueError: If the text is none, is negative, counts years or months, or is too short to be told from
            zero, which often stands for an open end.
    """
    match = _DURATION.fullmatch(text)
    if match is None or not (text.startswith(("P", "+P", "-P")) or match["weeks"]):
        raise ValueError(DURATION)
    units = ("weeks", "days", "hours", "minutes", "seconds")
    try:
        length = timedelta(**{unit: float(match[unit] or 0) for unit in units})
    except OverflowError:
        raise ValueError(DURATION) from None
    if not length and re.search("[1-9]", text):
        raise ValueError(f"{DURATION}, not below a microsecond")
    if match["sign"] == "-" and length:
        raise ValueError(f"{DURATION}, not below zero")
    return length


def duration_text(length: timedelta) -> str:
    """Write a duration of whole seconds; openleadr's own text for zero, ``P``, reads as nothing at all."""
    return f"PT{round(length.total_seconds())}S"


def read_number(text: str) -> float:
    """Return a finite number.

    Raises:
        ValueError: If the text is none; NaN and infinity are none.
    """
    if _NUMBER.fullmatch(text) is None or not math.isfinite(value := float(text)):
        raise ValueError(NUMBER)
    return value


def read_count(text: str) -> int:
    """Return an unsigned 32 bit integer.

    Raises:
        ValueError: If the text is none.
    """
    if _COUNT.fullmatch(text) is None or (count := int(text)) > _MOST_COUNT:
        raise ValueError(COUNT)
    return count
