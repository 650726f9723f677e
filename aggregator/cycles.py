"""Powerloop's cycles: nights plugged in, and the months in which they earn the driver a credit.

A cycle is a local night connected without a break from strictly before 18:00 to at least 05:00; a stay of
three nights earns three. It belongs to its evening's month; 12 in a calendar month earn GBP 30,
fewer nothing.
"""

from collections.abc import Iterable
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
