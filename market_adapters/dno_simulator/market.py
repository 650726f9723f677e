"""The operator's market as pure functions of the scenario, of what was received by when, and of domain time.

Nothing here is scheduled: what is published, awarded and in force at a time follows from these three alone,
so a platform that was down for a while comes back in the state it would have had.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from .book import Bid, Book
from .ordering import Amendment, Ordered
from .scenario import Call, Requirement, Scenario
from .settle import Order, Terms
from .span import Span

_TICK_NOISE = 1e-9
_PENNIES = 2
_WATTS = 3  # decimals of a kW: what is ordered is whole watts


@dataclass(frozen=True, slots=True)
class Clearing:
    """What became of the bids for one requirement.

    Attributes:
        bid: The highest version received by gate closure, taken or not.
        refused: Why bids were not taken.
        awarded_kw: Accepted volume per slot, all 0 without an award. [kW]
        price_gbp_per_mwh: What is paid for it, per slot.
        availability_gbp_per_mw_h: What is paid for standing by, per slot.
    """

    bid: Bid | None
    refused: tuple[str, ...]
    awarded_kw: tuple[float, ...]
    price_gbp_per_mwh: tuple[float, ...]
    availability_gbp_per_mw_h: tuple[float, ...]

    @property
    def awarded(self) -> bool:
        """Whether anything was accepted."""
        return any(self.awarded_kw)


def cleared(requirement: Requirement, book: Book) -> Clearing:
    """Clear one requirement, pay-as-bid.

    The highest version received by gate closure counts. It is refused above a ceiling, clamped to the need,
    and accepted to ``accept_fraction`` of it, rounded down to the tick, the cheapest price steps first.
    """
    bids = book.bids.get(requirement.id, [])
    refused = list(book.refused.get(requirement.id, []))
    refused += [
        f"{bid.report_id}: received {bid.received_at.isoformat()}, after gate closure"
        for bid in bids
        if bid.received_at > requirement.gate_closure_at
    ]
    in_time = [bid for bid in bids if bid.received_at <= requirement.gate_closure_at]
    bid = max(in_time, key=lambda bid: bid.version, default=None)
    nothing = (0.0,) * len(requirement.slots)
    if bid is None:
        return Clearing(None, tuple(refused), nothing, nothing, nothing)
    faults = [*bid.faults, *_over_ceiling(requirement, bid)]
    refused += [f"{bid.report_id}: {fault}" for fault in faults]
    if faults:
        return Clearing(bid, tuple(refused), nothing, nothing, nothing)
    volumes = zip(bid.kw, requirement.needed_kw, strict=True)
    awarded_kw = tuple(_accepted_kw(requirement, kw, need) for kw, need in volumes)
    return Clearing(bid, tuple(refused), awarded_kw, *_paid(bid, awarded_kw))


def _paid(bid: Bid, awarded_kw: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What an award pays per slot: as bid; with several price steps their mean over what is taken.

    An award has one price a slot, and not every VEN can read one that changes: the mean is over all slots,
    to the penny.
    """
    if len(bid.steps) == 1:
        return bid.steps[0].utilisation_gbp_per_mwh, bid.steps[0].availability_gbp_per_mw_h
    taken = [
        (kw, price, standby)
        for slot, room_kw in enumerate(awarded_kw)
        for kw, price, standby in _in_price_order(bid, slot, room_kw)
    ]
    total_kw = sum(kw for kw, _, _ in taken) or 1.0
    price = round(sum(kw * price for kw, price, _ in taken) / total_kw, _PENNIES)
    standby = round(sum(kw * standby for kw, _, standby in taken) / total_kw, _PENNIES)
    return (price,) * len(awarded_kw), (standby,) * len(awarded_kw)


def _in_price_order(bid: Bid, slot: int, room_kw: float) -> Iterator[tuple[float, float, float]]:
    """What is taken of each step in a slot, the cheapest first: kW, price, price for standing by."""
    offered = [
        (step.utilisation_gbp_per_mwh[slot], step.availability_gbp_per_mw_h[slot], step.kw[slot])
        for step in bid.steps
    ]
    for price, standby, kw in sorted(offered):
        taken_kw = min(kw, room_kw)
        room_kw -= taken_kw
        yield taken_kw, price, standby


def orders(ordered: Ordered, book: Book, now: datetime) -> tuple[Order, ...]:
    """All versions of the order in force by a time, in order; none without an award or a call."""
    if isinstance(ordered, Requirement):
        clearing = cleared(ordered, book)
        top, level = clearing.awarded_kw, ordered.per_slot(ordered.level)
        if ordered.scheduled and clearing.awarded and now >= ordered.award_at:
            return (Order(0, ordered.award_at, top),)
    else:
        top, level = ordered.needed_kw, (1.0,) * ordered.count
    if ordered.ordered_at is None or now < ordered.ordered_at or not any(top):
        return ()
    first_kw = tuple(round(kw * share, _WATTS) for kw, share in zip(top, level, strict=True))
    first = Order(0, ordered.ordered_at, first_kw, open_ended=ordered.end_told_at is not None)
    return tuple(order for order in _versions(ordered, first, top) if order.at <= now)


def delivery(ordered: Ordered, made: Sequence[Order]) -> Span:
    """The window, and beyond it what any version of the order reaches."""
    reach = [ordered.slots[len(order.kw) - 1].later(order.shift).end for order in made if order.kw]
    starts = [ordered.start + order.shift for order in made]
    return Span(min([ordered.start, *starts]), max([ordered.end, *reach]))


def terms(ordered: Ordered, scenario: Scenario, book: Book) -> Terms:
    """What an award, or a call, pays."""
    nothing = (0.0,) * len(ordered.slots)
    awarded_kw, price, standby = nothing, nothing, nothing
    if isinstance(ordered, Requirement):
        clearing = cleared(ordered, book)
        awarded_kw = clearing.awarded_kw
        price, standby = clearing.price_gbp_per_mwh, clearing.availability_gbp_per_mw_h
    elif isinstance(ordered, Call):
        price = (ordered.price_gbp_per_mwh,) * len(ordered.slots)
    return Terms(
        slots=ordered.slots,
        awarded_kw=awarded_kw,
        price_gbp_per_mwh=price,
        availability_gbp_per_mw_h=standby,
        penalty_gbp_per_mwh=scenario.penalty_of(ordered),
        sign=sign_of(ordered),
    )


def order_id(ordered: Ordered) -> str:
    """The event by which it is ordered."""
    if isinstance(ordered, Requirement):
        return f"{'AWD' if ordered.scheduled else 'DSP'}-{ordered.id}"
    return ordered.id


def order_basis_at(ordered: Ordered) -> datetime:
    """By when a nomination must be there to count.

    A bidder that freezes its plan at the gate needs a moment to send it, but must not know the award; for a
    call it must be there before the call.
    """
    return ordered.award_at if isinstance(ordered, Requirement) else ordered.ordered_at or ordered.start


def sign_of(ordered: Ordered) -> int:
    """+1 where more export is ordered, -1 where less."""
    return 1 if ordered.direction == "up" else -1


def wanted(scenario: Scenario, book: Book, now: datetime) -> tuple[Requirement, ...]:
    """The requirements that are published, may still be bid for, and were not declined."""
    if now < scenario.starts_at:
        return ()
    declined = {name for name, opt in book.opt.items() if opt == "optOut"}
    open_now = (r for r in scenario.requirement if r.publish_at <= now <= r.gate_closure_at)
    return tuple(r for r in open_now if r.id not in declined)


def _over_ceiling(requirement: Requirement, bid: Bid) -> Iterator[str]:
    ceiling = requirement.ceiling_gbp_per_mwh
    standby_ceiling = requirement.availability_ceiling_gbp_per_mw_h
    for step in bid.steps:
        prices = zip(step.utilisation_gbp_per_mwh, step.availability_gbp_per_mw_h, strict=True)
        for slot, kw, (price, standby) in zip(requirement.slots, step.kw, prices, strict=True):
            if kw and price > ceiling:
                yield f"{price} GBP/MWh at {slot.start.isoformat()} is above {ceiling}"
            if kw and standby > standby_ceiling:
                yield f"{standby} GBP/MW/h at {slot.start.isoformat()} is above {standby_ceiling}"


def _accepted_kw(requirement: Requirement, bid_kw: float, need_kw: float) -> float:
    ticks = min(bid_kw, need_kw) * requirement.accept_fraction / requirement.tick_kw
    return round(math.floor(ticks + _TICK_NOISE) * requirement.tick_kw, _WATTS)


def _versions(ordered: Ordered, first: Order, top: tuple[float, ...]) -> Iterator[Order]:
    """Every version that the order will ever have; nobody is ordered more than was awarded."""
    order = first
    yield order
    for at, change in ordered.changes():
        order = replace(order, modification=order.modification + 1, at=at)
        match change:
            case "end told":
                order = replace(order, open_ended=False)
            case "cancelled" | "vanished":
                order = replace(order, cancelled=True)
            case Amendment():
                kw = _amended_kw(ordered, change, top) or order.kw
                shift = order.shift if change.shift_minutes is None else change.shift
                order = replace(order, kw=kw, shift=shift)
        yield order


def _amended_kw(ordered: Ordered, change: Amendment, top: tuple[float, ...]) -> tuple[float, ...]:
    if change.scale is not None:
        return tuple(round(share * kw, _WATTS) for share, kw in zip(change.scale, top, strict=False))
    if isinstance(ordered, Requirement):
        return tuple(map(min, change.kw or (), top))
    return change.kw or ()
