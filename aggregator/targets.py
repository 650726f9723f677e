"""What each zone must export now and until its window ends: the nomination, and the orders upon it.

What is nominated is what runs when nothing is called (P13), so the control loop follows the nomination
through every red half-hour, and the nomination plus the order through every ordered one. Everywhere else
each car follows its own plan.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from aggregator.model.market import RED_LEVEL, Direction, Nomination, OrderMode, PeakWindow
from aggregator.model.opportunity import Opportunity
from aggregator.model.time import HALF_HOUR, HOUR, Interval, floor_half_hour
from aggregator.ports import ZoneTarget

WH_PER_KWH = 1000
LONGEST_WINDOW = timedelta(hours=24)


def zone_target(
    zone: str,
    now: datetime,
    opportunities: Iterable[Opportunity],
    nominations: Mapping[Interval, Nomination],
    peaks: Sequence[PeakWindow],
) -> ZoneTarget | None:
    """Return the zone's target from ``now`` to the end of its window; None outside any.

    Args:
        zone: Where.
        now: Domain instant.
        opportunities: Those of the zone that may hold an order.
        nominations: The zone's, per half-hour.
        peaks: The zone's standing signals.
    """
    ordered = [opportunity for opportunity in opportunities if opportunity.instruction is not None]
    slots: list[Interval] = []
    levels: list[float] = []
    serving: list[str | None] = []
    direction = Direction.UP
    for slot in _slots_from(now, ordered):
        order = next((one for one in ordered if _order_kw(one, slot) is not None), None)
        nomination = nominations.get(_half_hour_of(slot))
        in_peak = any(peak.level_at(slot.start) >= RED_LEVEL for peak in peaks)
        if order is None and not (in_peak and nomination is not None):
            break
        base_kw = _mean_kw(nomination)
        kw = _order_kw(order, slot) if order is not None else None
        if order is not None and kw is not None and order.instruction is not None:
            is_setpoint = order.instruction.mode is OrderMode.SETPOINT
            direction = Direction.DOWN if (kw - base_kw if is_setpoint else kw) < 0 else direction
            base_kw = kw if is_setpoint else base_kw + kw
        slots.append(slot)
        levels.append(base_kw)
        serving.append(order.opportunity_id if order is not None else None)
    if not slots:
        return None
    return ZoneTarget(zone, tuple(slots), tuple(levels), direction, tuple(serving))


def _slots_from(now: datetime, ordered: Sequence[Opportunity]) -> Iterable[Interval]:
    """Yield slots from the running one on, cut at half-hours and at the orders' own steps."""
    cuts = {
        bound
        for opportunity in ordered
        if opportunity.instruction is not None
        for step in opportunity.instruction.steps
        for bound in (step.interval.start, step.interval.end)
    }
    end = floor_half_hour(now) + LONGEST_WINDOW
    half_hour_starts = {floor_half_hour(now) + n * HALF_HOUR for n in range(LONGEST_WINDOW // HALF_HOUR + 1)}
    bounds = sorted(bound for bound in cuts | half_hour_starts if now < bound <= end)
    starts = [now, *bounds[:-1]]
    return (Interval(start, stop) for start, stop in zip(starts, bounds, strict=True))


def _order_kw(opportunity: Opportunity, slot: Interval) -> float | None:
    instruction = opportunity.instruction
    return instruction.export_kw_at(slot.start) if instruction is not None else None


def _half_hour_of(slot: Interval) -> Interval:
    start = floor_half_hour(slot.start)
    return Interval(start, start + HALF_HOUR)


def _mean_kw(nomination: Nomination | None) -> float:
    if nomination is None:
        return 0.0
    return nomination.export_wh / WH_PER_KWH / (HALF_HOUR / HOUR)
