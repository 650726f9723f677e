"""What was needed and awarded in a half-hour, slot by slot of the need and the award."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from aggregator.model.money import exact
from aggregator.model.opportunity import Opportunity
from aggregator.model.time import HOUR, MICROSECOND, Interval

KW_PER_MW = Decimal(1000)
MICROSECONDS_PER_HOUR = HOUR // MICROSECOND


def availability_gbp(opportunity: Opportunity, period: Interval) -> Decimal:
    """Return what holding power pays in a half-hour, until we opted out of it. [GBP, exact]"""
    award = opportunity.award
    if award is None or not award.availability_gbp_per_mw_h:
        return Decimal(0)
    if opportunity.held_until is not None:
        if opportunity.held_until <= period.start:
            return Decimal(0)
        period = Interval(period.start, min(period.end, opportunity.held_until))
    held = sum(
        (exact(kw) * part.microseconds for kw, part in _parts(award.slots, award.awarded_kw, period)),
        Decimal(0),
    )
    return held * award.availability_gbp_per_mw_h / (KW_PER_MW * MICROSECONDS_PER_HOUR)


def needed_kw(opportunity: Opportunity, period: Interval) -> float:
    """Return the mean power needed in a half-hour, 0 where nothing was asked for. [kW]"""
    need = opportunity.requirement
    if need is None:
        return 0.0
    return sum(kw * part.hours for kw, part in _parts(need.slots, need.needed_kw, period)) / period.hours


def _parts(
    slots: Sequence[Interval], kws: Sequence[float], period: Interval
) -> Iterator[tuple[float, Interval]]:
    for slot, kw in zip(slots, kws, strict=True):
        part = slot.overlap(period)
        if part is not None:
            yield kw, part
