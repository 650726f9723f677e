"""Powerloop's cycles: nights plugged in, and the months in which they earn the driver a credit.

A cycle is a local night connected without a break from strictly before 18:00 to at least 05:00; a stay of
three nights earns three. It belongs to its evening's month; 12 in a calendar month earn GBP 30,
fewer nothing.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta

from aggregator.model.time import LONDON, Interval

EVENING, MORNING = time(18), time(5)
NIGHTS_PER_CREDIT = 12
CREDIT_GBP = 30
ONE_DAY = timedelta(days=1)


def nights(plugged: Interval) -> Iterable[date]:
    """Yield the evenings of the nights that a stay covers."""
    day = plugged.start.astimezone(LONDON).date()
    last = plugged.end.astimezone(LONDON).date()
    while day <= last:
        evening = datetime.combine(day, EVENING, LONDON)
        morning = datetime.combine(day + ONE_DAY, MORNING, LONDON)
        if plugged.start < evening and plugged.end >= morning:
            yield day
        day += ONE_DAY


def cycles(stays: Iterable[tuple[str, Interval]], days: Sequence[date]) -> dict[str, int]:
    """Return cycles, driver-months with any, months that earn the credit, and the credits. [GBP]

    Args:
        stays: Car and stay, none overlapping another of its car.
        days: Local days whose evenings count, in order.
    """
    first, last = days[0], days[-1]
    months = Counter(
        (car_id, night.year, night.month)
        for car_id, plugged in stays
        for night in nights(plugged)
        if first <= night <= last
    )
    earning = sum(count >= NIGHTS_PER_CREDIT for count in months.values())
    return {
        "cycles": sum(months.values()),
        "driver_months": len(months),
        "months_earning": earning,
        "credit_gbp": CREDIT_GBP * earning,
    }
