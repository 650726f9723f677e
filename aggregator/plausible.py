"""What an event may say at all: its dates, sizes and prices, and an award or order against what was bid.

A platform can be wrong. What it says is believed only within bounds, before anything is stored: a window in
the year 9999 must not stop the clock's work for good, nor an order for more than was awarded earn a penalty.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal

from aggregator.acceptance import PENNY
from aggregator.model.errors import RuleViolation
from aggregator.model.market import (
    Award,
    Draft,
    Instruction,
    Nomination,
    OrderMode,
    PeakWindow,
    Product,
    Requirement,
    mean_kw,
)
from aggregator.model.money import exact
from aggregator.model.opportunity import Opportunity
from aggregator.model.steps import cut_to, mean_price
from aggregator.model.time import Interval, half_hours, utc_text
from aggregator.ports import Content

PAST = timedelta(days=1)
AHEAD = timedelta(days=366)
LONGEST = timedelta(days=7)
AROUND_NEED = timedelta(hours=12)
"""How far an order may be lengthened beyond its requirement's window."""

LONGEST_RAMP = timedelta(hours=12)
MOST_KW = 1e7
MOST_TIMES = 100.0
MOST_GBP = Decimal(100_000)
ROUNDING_KW = 0.001


def must_be_plausible(content: Content | None, opportunity: Opportunity | None, now: datetime) -> None:
    """Refuse what no operator can mean.

    Args:
        content: What the event says; None where it only cancels.
        opportunity: What it belongs to; None for a peak window and a test.
        now: Domain instant.

    Raises:
        RuleViolation: With the figure, and what is allowed.
    """
    match content:
        case None:
            return
        case Requirement():
            _window(content.window, now)
            _sizes(*content.needed_kw)
            _prices(content.utilisation_ceiling, content.availability_ceiling)
        case Award():
            _window(content.window, now)
            _sizes(*content.awarded_kw)
            _prices(content.utilisation_gbp_per_mwh, content.availability_gbp_per_mw_h)
            _told_in_time(content, opportunity, now)
            _within_bid(content, opportunity)
        case Instruction():
            _window(content.window, now)
            _sizes(*(step.value for step in content.steps))
            _ramp(content)
            _told_in_time(content, opportunity, now)
            _within_award(content, opportunity)
        case PeakWindow(prices=prices):
            _window(content.window, now)
            _prices(*(exact(step.value) for step in prices))


def _window(window: Interval, now: datetime) -> None:
    if not (now - PAST <= window.end and window.end <= now + AHEAD and window.end - window.start <= LONGEST):
        raise RuleViolation(
            f"the window {window.start} to {window.end} is not plausible: at most {LONGEST.days} days long,"
            f" not over for more than {PAST.days} day, not more than {AHEAD.days} days ahead"
        )


def _told_in_time(content: Award | Instruction, opportunity: Opportunity | None, now: datetime) -> None:
    """Refuse what is over when first told; what was told before may still be changed, or shortened."""
    if opportunity is None or content.window.end > now:
        return
    known = {change.key.event_id for change in opportunity.orders}
    if opportunity.award is not None:
        known.add(opportunity.award.key.event_id)
    if content.key.event_id not in known:
        name = "award" if isinstance(content, Award) else "order"
        raise RuleViolation(
            f"the {name} was over before it was told: it ended at {utc_text(content.window.end)}"
        )


def _sizes(*kw: float) -> None:
    if any(abs(level) > MOST_KW for level in kw):
        raise RuleViolation(f"{max(kw, key=abs):g} kW is not plausible: at most {MOST_KW:g} kW")


def _ramp(order: Instruction) -> None:
    if order.ramp_up_s > LONGEST_RAMP.total_seconds():
        raise RuleViolation(f"a ramp of {order.ramp_up_s:g} s is not plausible: at most {LONGEST_RAMP}")
    if order.mode is OrderMode.MULTIPLIER and any(abs(step.value) > MOST_TIMES for step in order.steps):
        raise RuleViolation(f"a multiplier is not plausible: at most {MOST_TIMES:g} times the nomination")


def _prices(*prices: Decimal | None) -> None:
    for price in prices:
        if price is not None and abs(price) > MOST_GBP:
            raise RuleViolation(f"GBP {price} is not a plausible price: at most {MOST_GBP}")


def _within_bid(award: Award, opportunity: Opportunity | None) -> None:
    bid = opportunity.submitted or opportunity.draft if opportunity is not None else None
    need = opportunity.requirement if opportunity is not None else None
    if bid is None or need is None:
        return
    if award.window.start < need.window.start or award.window.end > need.window.end:
        raise RuleViolation(
            f"the award's window {award.window} is not within the requirement's {need.window}"
        )
    if max(award.awarded_kw) > max(bid.offered_kw) + ROUNDING_KW:
        raise RuleViolation(f"awarded {max(award.awarded_kw):g} kW, bid {max(bid.offered_kw):g} kW")
    least = _least_price(award, bid, need)
    if award.utilisation_gbp_per_mwh < least:
        raise RuleViolation(f"cleared at GBP {award.utilisation_gbp_per_mwh}/MWh, bid at {least}")


def _least_price(award: Award, bid: Draft, need: Requirement) -> Decimal:
    """Return what the awarded part of a bid was offered for: of several price steps the mean, to the penny.

    Where the award's slots are not the need's it is not known which steps they are: the cheapest counts.
    """
    if not bid.steps or award.slots != need.slots:
        return bid.utilisation_gbp_per_mwh
    taken = cut_to(bid.steps, award.awarded_kw)
    return mean_price(taken).quantize(PENNY, ROUND_DOWN)


def must_be_awarded(
    order: Instruction, award: Award, product: Product, nominations: Mapping[Interval, Nomination]
) -> None:
    """Refuse an order for more than was awarded: nobody approved that it be promised (P7).

    A set-point or a multiple counts by what it adds to the nomination. Where an order is lengthened beyond
    the award's window, the most that was awarded in any slot is the limit. An order with a random delay is
    held against the slots that it was for. Less than half a tick more is a platform's rounding: set-points
    of whole kW, say, on a nomination that is none.

    Args:
        order: What the platform orders.
        award: What it awarded.
        product: Its direction and tick.
        nominations: What was nominated, by half-hour, from the order's window less its delay on.

    Raises:
        RuleViolation: With the figures.
    """
    delay = timedelta(seconds=order.delay_s)
    for step in order.steps:
        meant = Interval(step.interval.start - delay, step.interval.end - delay)
        for period in half_hours(meant):
            kw = product.direction.sign * order.change_kw(step.value, mean_kw(nominations.get(period)))
            slots = [n for n, slot in enumerate(award.slots) if _shared(slot, meant, period)]
            most_kw = min((award.awarded_kw[n] for n in slots), default=max(award.awarded_kw))
            if kw >= most_kw + product.tick_kw / 2:
                raise RuleViolation(
                    f"ordered {kw:g} kW from {utc_text(period.start)}, awarded {most_kw:g} kW;"
                    " what was ordered before stands"
                )


def _shared(slot: Interval, meant: Interval, period: Interval) -> bool:
    """Whether the part of ``meant`` in ``period`` touches ``slot``."""
    part = meant.overlap(period)
    return part is not None and slot.overlap(part) is not None


def _within_award(order: Instruction, opportunity: Opportunity | None) -> None:
    need = opportunity.requirement if opportunity is not None else None
    if need is not None and not (
        need.window.start - AROUND_NEED <= order.window.start
        and order.window.end <= need.window.end + AROUND_NEED
    ):
        raise RuleViolation(f"the order's window {order.window} is not near the requirement's {need.window}")
