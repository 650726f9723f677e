"""Which days people work: all but weekends and the public holidays of one country or part of it."""

from collections.abc import Container
from datetime import date
from functools import cache

SATURDAY = 5
WEEKENDS_ONLY = "none"


@cache
def public_holidays(code: str) -> Container[date]:
    """Return the public holidays of ``GB-ENG``, ``NO`` and so on (ISO 3166); ``none`` has none.

    Raises:
        ValueError: If no holidays are known for the code.
    """
    country, *division = code.split("-", 1)
    if code == WEEKENDS_ONLY:
        return ()
    import holidays  # noqa: PLC0415 - takes a third of a second, and most commands need no calendar

    try:
        return holidays.country_holidays(country, subdiv=division[0] or code if division else None)
    except NotImplementedError:
        allowed = f"a country, or a part of one, of ISO 3166, NO or GB-ENG, or {WEEKENDS_ONLY}"
        raise ValueError(allowed) from None


def is_working_day(day: date, code: str) -> bool:
    """Return whether a day is neither a weekend's nor a public holiday.

    Raises:
        ValueError: If no holidays are known for the code.
    """
    return day.weekday() < SATURDAY and day not in public_holidays(code)
