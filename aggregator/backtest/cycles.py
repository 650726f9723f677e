"""Powerloop's cycles over all drivers of a backtest."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date

from aggregator.cycles import CREDIT_GBP, NIGHTS_PER_CREDIT, nights
from aggregator.model.time import Interval


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
