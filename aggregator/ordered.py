"""What was ordered in a half-hour, version by version of each order.

An order's amendment or cancellation counts from the platform's own stamp, to the second.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import pairwise

from aggregator.model.market import Instruction, Product
from aggregator.model.money import exact
from aggregator.model.opportunity import Opportunity
from aggregator.model.time import HOUR, MICROSECOND, Interval

WH_PER_KWH = 1000
MICROSECONDS_PER_HOUR = HOUR // MICROSECOND
DIGITS = 9
"""Of a kW figure: a difference of two floats has noise beyond, which must not decide how a Wh is rounded."""


@dataclass(frozen=True, slots=True)
class OrderedPart:
    """Part of a half-hour in which one version of one order is served.

    Attributes:
        span: When.
        kw: Change to the baseline in the product's direction, at least 0. [kW]
        instruction: The order's version.
    """

    span: Interval
    kw: float
    instruction: Instruction

    @property
    def kwh(self) -> float:
        """Energy ordered. [kWh]"""
        return self.kw * self.span.hours


def instructed_wh(opportunity: Opportunity, product: Product, baseline_wh: int, period: Interval) -> int:
    """Return the energy ordered in a half-hour in the product's direction, at least 0. [Wh, half to even]"""
    return energy_wh(ordered_parts(opportunity, product, baseline_wh, period))


def energy_wh(parts: Iterable[OrderedPart]) -> int:
    """Return the energy ordered in parts of a half-hour. [Wh, half to even]"""
    ordered = sum((exact(round(part.kw, DIGITS)) * part.span.microseconds for part in parts), Decimal(0))
    return round(ordered * WH_PER_KWH / MICROSECONDS_PER_HOUR)


def ordered_parts(
    opportunity: Opportunity, product: Product, baseline_wh: int, period: Interval
) -> tuple[OrderedPart, ...]:
    """Return what is ordered in the parts of a half-hour, in order.

    Each version of an order holds from when its fact says to the next version or the cancellation. A
    set-point or a multiple is read as a change to what delivery is measured against. Where orders of one
    opportunity overlap, the one that is served counts; ``followed`` says which of different opportunities'.
    """
    baseline_kw = baseline_wh / WH_PER_KWH / period.hours
    pieces = [
        (part, change.instruction, change.instruction.change_kw(step.value, baseline_kw))
        for n, change in enumerate(opportunity.orders)
        if change.instruction is not None
        for step in change.instruction.steps
        if (part := _part_in_force(step.interval, change.at, _replaced_at(opportunity, n), period))
    ]
    bounds = sorted({bound for part, _, _ in pieces for bound in (part.start, part.end)})
    found = []
    for start, end in pairwise(bounds):
        served = [(order, kw) for part, order, kw in reversed(pieces) if start in part]
        if served:
            order, kw = max(served, key=lambda one: one[0].rank)
            found.append(OrderedPart(Interval(start, end), max(0.0, product.direction.sign * kw), order))
    return tuple(found)


def _replaced_at(opportunity: Opportunity, index: int) -> datetime | None:
    """Return when the next version of the same order event came, None for the last one."""
    event_id = opportunity.orders[index].key.event_id
    later = opportunity.orders[index + 1 :]
    return next((change.at for change in later if change.key.event_id == event_id), None)


def _part_in_force(
    step: Interval, since: datetime, until: datetime | None, period: Interval
) -> Interval | None:
    start = max(step.start, since, period.start)
    end = min(step.end, period.end, until or period.end)
    return Interval(start, end) if start < end else None
