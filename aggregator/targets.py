"""What each zone must export now and until its window ends: the nomination, and the orders upon it.

What is nominated is what runs when nothing is called (P13), so the control loop follows the nomination
through every red half-hour, and the nomination plus the order through every ordered one. Everywhere else
each car follows its own plan.

Of orders that overlap the one of higher priority is served (1 is the highest, 0 the lowest, by the 2.0b
schema), of equal ones the later; the other resumes after it. Settlement counts what was moved under the one
that was followed (``followed``), and the desk is told which one yields (``yielding``).

An order's ramp lies before its start: by the 2.0b schema ``x-eiRampUp`` is a duration "before or after the
event start time", none of our durations is negative, and ``near`` is the time between ramp and start. The
target moves in equal parts from the nomination to the first level. An order that runs is served until
another begins: a ramp takes nothing from it. What a ramp moves was not ordered, and is not settled.

An order without an end is looked at for two hours ahead, from each instant anew: taken to last until its cars
are to leave, it would be served by none of them, as each must be charged by then.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from math import ceil
from operator import itemgetter

from aggregator.model.market import RED_LEVEL, Direction, Instruction, Nomination, PeakWindow, mean_kw
from aggregator.model.opportunity import Opportunity
from aggregator.model.time import HALF_HOUR, Interval, floor_half_hour
from aggregator.ports import Rebound, ZoneTarget

LONGEST_WINDOW = timedelta(hours=24)
OPEN_AHEAD = timedelta(hours=2)
"""So far ahead an order is looked at whose end nobody told."""

SHORTEST_RAMP_PART_S = 60.0
MOST_RAMP_PARTS = 10
REFILLED_WITHIN = timedelta(hours=18)
"""How long after an event what it took is filled in again: until the next noon at the latest."""

Order = tuple[str, Instruction]


def zone_target(
    zone: str,
    now: datetime,
    opportunities: Iterable[Opportunity],
    nominations: Mapping[Interval, Nomination],
    peaks: Sequence[PeakWindow],
) -> ZoneTarget | None:
    """Return the zone's target from ``now`` to the end of its window; None outside any.

    It ends where an order turns the other way: until then cars move one way, and then the other. As long
    as a zone is to export on balance cars discharge for it, if less than was nominated.

    Args:
        zone: Where.
        now: Domain instant.
        opportunities: Those of the zone that may hold an order.
        nominations: The zone's, per half-hour.
        peaks: The zone's standing signals.
    """
    orders = [(one.opportunity_id, order) for one in opportunities for order in one.in_force]
    slots: list[Interval] = []
    levels: list[float] = []
    serving: list[str | None] = []
    direction = Direction.UP
    for slot in _slots_from(now, [order for _, order in orders]):
        nomination = nominations.get(_half_hour_of(slot))
        if slot.start >= now + OPEN_AHEAD and _is_open(orders, slot):
            break
        in_peak = any(peak.level_at(slot.start) >= RED_LEVEL for peak in peaks)
        base_kw = mean_kw(nomination)
        opportunity_id, change_kw = _served(orders, slot, base_kw)
        if opportunity_id is None and not (in_peak and nomination is not None):
            break
        way = Direction.DOWN if change_kw < 0 and base_kw + change_kw < 0 else Direction.UP
        if slots and way is not direction:
            break
        direction = way
        slots.append(slot)
        levels.append(base_kw + change_kw)
        serving.append(opportunity_id)
    if not slots:
        return None
    return ZoneTarget(zone, tuple(slots), tuple(levels), direction, tuple(serving))


def targets_ahead(
    zone: str,
    span: Interval,
    opportunities: Sequence[Opportunity],
    nominations: Mapping[Interval, Nomination],
    peaks: Sequence[PeakWindow],
) -> Iterator[ZoneTarget]:
    """Yield the zone's target in each window that runs or begins in a span, as ``zone_target``, in order."""
    at = span.start
    orders = [order for one in opportunities for order in one.in_force]
    for slot in _slots_from(span.start, orders):
        if at <= slot.start < span.end:
            target = zone_target(zone, slot.start, opportunities, nominations, peaks)
            if target is not None:
                yield target
                at = target.slots[-1].end


def rebound(
    over: Iterable[Opportunity], nominations: Mapping[Interval, Nomination], now: datetime
) -> Rebound | None:
    """Return what a zone must keep to after its last order; None where none ended lately.

    Args:
        over: Its opportunities; those whose orders are not over count for nothing.
        nominations: The zone's, per half-hour.
        now: Domain instant.
    """
    ends = [_ended_at(one) for one in over if one.orders]
    lately = [at for at in ends if now - REFILLED_WITHIN < at <= now]
    if not lately:
        return None
    day = Interval(max(lately) - REFILLED_WITHIN, max(lately) + REFILLED_WITHIN)
    drawn_kw = [-mean_kw(one) for period, one in nominations.items() if period.overlap(day)]
    return Rebound(max(lately), max([0.0, *drawn_kw]))


def _ended_at(opportunity: Opportunity) -> datetime:
    """Return when the last of an opportunity's orders ended, or was taken back."""
    running = [order.window.end for order in opportunity.in_force]
    return max([change.at for change in opportunity.orders if change.instruction is None] + running)


def _served(orders: Iterable[Order], slot: Interval, base_kw: float) -> tuple[str | None, float]:
    """Return whose order is served in a slot, and what it adds to the nomination. [kW, export positive]"""
    running = [
        (order.rank, name, order.change_kw(value, base_kw))
        for name, order in orders
        if (value := order.value_at(slot.start)) is not None
    ]
    ramping = [
        (order.rank, name, order.change_kw(order.steps[0].value, base_kw) * _ramped(order, slot))
        for name, order in orders
        if order.ramp_starts_at <= slot.start < order.window.start
    ]
    if not running and not ramping:
        return None, 0.0
    _, name, change_kw = max(reversed(running or ramping), key=itemgetter(0))  # of equal ones the last
    return name, change_kw


def _is_open(orders: Iterable[Order], slot: Interval) -> bool:
    return any(order.open_ended and order.value_at(slot.start) is not None for _, order in orders)


def _ramped(order: Instruction, slot: Interval) -> float:
    """Return the part of an order's first level that is reached halfway through a slot of its ramp."""
    middle = slot.start + (slot.end - slot.start) / 2
    return (middle - order.ramp_starts_at).total_seconds() / order.ramp_up_s


def _slots_from(now: datetime, orders: Iterable[Instruction]) -> Iterable[Interval]:
    """Yield slots from the running one on, cut at half-hours, at the orders' own steps and along ramps."""
    cuts = {bound for order in orders for bound in _bounds(order)}
    end = floor_half_hour(now) + LONGEST_WINDOW
    half_hour_starts = {floor_half_hour(now) + n * HALF_HOUR for n in range(LONGEST_WINDOW // HALF_HOUR + 1)}
    bounds = sorted(bound for bound in cuts | half_hour_starts if now < bound <= end)
    starts = [now, *bounds[:-1]]
    return (Interval(start, stop) for start, stop in zip(starts, bounds, strict=True))


def _bounds(order: Instruction) -> Iterator[datetime]:
    for step in order.steps:
        yield from (step.interval.start, step.interval.end)
    if order.ramp_up_s:
        parts = min(MOST_RAMP_PARTS, ceil(order.ramp_up_s / SHORTEST_RAMP_PART_S))
        part = timedelta(seconds=order.ramp_up_s / parts)
        yield from (order.ramp_starts_at + n * part for n in range(parts))


def _half_hour_of(slot: Interval) -> Interval:
    start = floor_half_hour(slot.start)
    return Interval(start, start + HALF_HOUR)
