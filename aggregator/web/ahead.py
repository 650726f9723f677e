"""What is ordered and has not begun: the levels still to come, and by what each replaces what was ordered.

Until it begins, target and figures of now say nothing of it: an amendment for later would come as a surprise.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from aggregator.model.market import OrderMode
from aggregator.model.opportunity import Opportunity, OrderChange
from aggregator.model.time import Interval

UNITS = {OrderMode.DELTA: "kW", OrderMode.SETPOINT: "kW net", OrderMode.MULTIPLIER: "times the nomination"}


@dataclass(frozen=True, slots=True)
class Ahead:
    """A level that is to come, of one order.

    Attributes:
        start: From when.
        value: What is ordered then, in ``unit``; None where nothing is any more.
        before: What is ordered until then, by the same order; None where nothing is.
        unit: kW beside the nomination, net kW, or multiples of the nomination; export positive.
        amended_at: When the DNO amended this level; None where it did not.
        was: What was ordered for then before that; None where nothing was.
    """

    start: datetime
    value: float | None
    before: float | None
    unit: str
    amended_at: datetime | None
    was: float | None


def ahead_of(one: Opportunity, now: datetime) -> tuple[Ahead, ...]:
    """Return the levels of a bid's orders that are to come, in order of time."""
    found: list[Ahead] = []
    for event_id in {order.key.event_id for order in one.in_force}:
        found += _levels([change for change in one.orders if change.key.event_id == event_id], now)
    return tuple(sorted(found, key=lambda level: (level.start, level.unit, level.value or 0.0)))


def _levels(changes: Sequence[OrderChange], now: datetime) -> Iterator[Ahead]:
    """Yield one order's levels to come, from its versions; an end that always was its end is not told."""
    order, earlier = changes[-1].instruction, changes[-2].instruction if len(changes) > 1 else None
    if order is None:
        return
    versions = [version for version in (order, earlier) if version is not None]
    bounds = {at for version in versions for step in version.steps for at in _ends(step.interval)}
    before: float | None = None
    told: tuple[float | None, float | None] = (None, None)
    for start in sorted(bounds):
        value = order.value_at(start)
        was = value if earlier is None else earlier.value_at(start)
        if start > now and (value, was) not in (told, (None, None)):
            amended_at = changes[-1].at if value != was else None
            yield Ahead(start, value, before, UNITS[order.mode], amended_at, was)
        before, told = value, (value, was)


def _ends(interval: Interval) -> tuple[datetime, datetime]:
    return interval.start, interval.end
