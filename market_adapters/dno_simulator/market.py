"""The operator's market as pure functions of the scenario, of what was received by when, and of domain time.

Nothing here is scheduled: what is published, awarded and in force at a time follows from these three alone,
so a platform that was down for a while comes back in the state it would have had.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from .book import Bid, Book
from .events import Notice, Signal
from .scenario import Peak, Requirement, Scenario
from .settle import Order, Terms

KEPT_AFTER_END = timedelta(hours=1)
_TICK_NOISE = 1e-9
_WATTS = 3  # decimals of a kW: what is ordered is whole watts
_PREFIX = {"requirement": "", "award": "AWD-", "dispatch": "DSP-"}


@dataclass(frozen=True, slots=True)
class Clearing:
    """What became of the bids for one requirement.

    Attributes:
        bid: The highest version received by gate closure, taken or not.
        refused: Why bids were not taken.
        awarded_kw: Accepted volume per slot, all 0 without an award. [kW]
    """

    bid: Bid | None
    refused: tuple[str, ...]
    awarded_kw: tuple[float, ...]

    @property
    def awarded(self) -> bool:
        """Whether anything was accepted."""
        return any(self.awarded_kw)


def cleared(requirement: Requirement, book: Book) -> Clearing:
    """Clear one requirement, pay-as-bid.

    The highest version received by gate closure counts. It is refused above a ceiling, clamped to the need,
    and accepted to ``accept_fraction`` of it, rounded down to the tick.
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
        return Clearing(None, tuple(refused), nothing)
    faults = [*bid.faults, *_over_ceiling(requirement, bid)]
    refused += [f"{bid.report_id}: {fault}" for fault in faults]
    if faults:
        return Clearing(bid, tuple(refused), nothing)
    volumes = zip(bid.kw, requirement.needed_kw, strict=True)
    return Clearing(bid, tuple(refused), tuple(_accepted_kw(requirement, kw, need) for kw, need in volumes))


def orders(requirement: Requirement, book: Book, now: datetime) -> tuple[Order, ...]:
    """All versions of the order in force by a time, in order; none without an award."""
    clearing = cleared(requirement, book)
    awarded = clearing.awarded_kw
    if requirement.scheduled and clearing.awarded and now >= requirement.award_at:
        return (Order(0, requirement.award_at, awarded),)
    if requirement.dispatch_at is None or now < requirement.dispatch_at or not clearing.awarded:
        return ()
    levels = requirement.per_slot(requirement.level)
    first_kw = tuple(round(kw * level, _WATTS) for kw, level in zip(awarded, levels, strict=True))
    made = [Order(0, requirement.dispatch_at, first_kw)]
    for change in requirement.amend:
        if change.scale is not None:
            kw = tuple(round(share * top, _WATTS) for share, top in zip(change.scale, awarded, strict=False))
        else:
            kw = tuple(map(min, change.kw or (), awarded))
        made.append(Order(len(made), change.at, kw))
    if requirement.cancel_at is not None:
        made.append(Order(len(made), requirement.cancel_at, made[-1].kw, cancelled=True))
    return tuple(order for order in made if order.at <= now)


def terms(requirement: Requirement, scenario: Scenario, clearing: Clearing) -> Terms:
    """What an award pays."""
    nothing = (0.0,) * len(requirement.slots)
    return Terms(
        slots=requirement.slots,
        awarded_kw=clearing.awarded_kw,
        price_gbp_per_mwh=clearing.bid.utilisation_gbp_per_mwh if clearing.bid else nothing,
        availability_gbp_per_mw_h=clearing.bid.availability_gbp_per_mw_h if clearing.bid else nothing,
        penalty_gbp_per_mwh=scenario.penalty_of(requirement),
        sign=1 if requirement.direction == "up" else -1,
    )


def notices(scenario: Scenario, book: Book, now: datetime) -> tuple[Notice, ...]:
    """Every event that is current at a domain time, in its newest version.

    An event stays until an hour after the end of what it is about: a live one is never dropped silently.
    """
    if now < scenario.starts_at:
        return ()
    published = [notice for peak in scenario.peak for notice in _peak(peak, now)]
    for requirement in scenario.requirement:
        published += _of_requirement(requirement, book, now)
    return tuple(notice for notice in published if now < notice.keep_until)


def wanted(scenario: Scenario, book: Book, now: datetime) -> tuple[Requirement, ...]:
    """The requirements that are published, may still be bid for, and were not declined."""
    if now < scenario.starts_at:
        return ()
    declined = {name for name, answer in book.answers.items() if answer.opt == "optOut"}
    open_now = (r for r in scenario.requirement if r.publish_at <= now <= r.gate_closure_at)
    return tuple(r for r in open_now if r.id not in declined)


def _over_ceiling(requirement: Requirement, bid: Bid) -> Iterator[str]:
    for slot, kw, price, standby in zip(
        requirement.slots, bid.kw, bid.utilisation_gbp_per_mwh, bid.availability_gbp_per_mw_h, strict=True
    ):
        if kw and price > requirement.ceiling_gbp_per_mwh:
            yield f"{price} GBP/MWh at {slot.start.isoformat()} is above {requirement.ceiling_gbp_per_mwh}"
        if kw and standby > requirement.availability_ceiling_gbp_per_mw_h:
            ceiling = requirement.availability_ceiling_gbp_per_mw_h
            yield f"{standby} GBP/MW/h at {slot.start.isoformat()} is above {ceiling}"


def _accepted_kw(requirement: Requirement, bid_kw: float, need_kw: float) -> float:
    ticks = min(bid_kw, need_kw) * requirement.accept_fraction / requirement.tick_kw
    return round(math.floor(ticks + _TICK_NOISE) * requirement.tick_kw, _WATTS)


def _of_requirement(requirement: Requirement, book: Book, now: datetime) -> Iterator[Notice]:
    if now < requirement.publish_at:
        return
    yield _need(requirement)
    clearing = cleared(requirement, book)
    if now >= requirement.award_at and clearing.awarded:
        yield _award(requirement, clearing)
    made = orders(requirement, book, now)
    if made and not requirement.scheduled:
        yield _dispatch(requirement, made)


def _need(requirement: Requirement) -> Notice:
    count = len(requirement.slots)
    signals = [
        Signal("LOAD_DISPATCH", "delta", "need", _wire(requirement, requirement.needed_kw), "kw"),
        Signal(
            "ELECTRICITY_PRICE", "price", "ceiling", (requirement.ceiling_gbp_per_mwh,) * count, "gbp_per_mwh"
        ),
    ]
    if requirement.availability_ceiling_gbp_per_mw_h:
        ceiling = (requirement.availability_ceiling_gbp_per_mw_h,) * count
        signals.append(
            Signal("x-AVAILABILITY_PRICE", "price", "availability-ceiling", ceiling, "gbp_per_mw_h")
        )
    return _notice(requirement, "requirement", tuple(signals), Order(0, requirement.publish_at, ()))


def _award(requirement: Requirement, clearing: Clearing) -> Notice:
    prices = clearing.bid.utilisation_gbp_per_mwh if clearing.bid else ()
    signals = (
        Signal("BID_LOAD", "setpoint", "cleared", _wire(requirement, clearing.awarded_kw), "kw"),
        Signal("BID_PRICE", "price", "cleared-price", prices, "gbp_per_mwh"),
    )
    return _notice(requirement, "award", signals, Order(0, requirement.award_at, ()))


def _dispatch(requirement: Requirement, made: tuple[Order, ...]) -> Notice:
    signals = (Signal("LOAD_DISPATCH", "delta", "order", _wire(requirement, made[-1].kw), "kw"),)
    return _notice(requirement, "dispatch", signals, *made)


def _notice(requirement: Requirement, kind: str, signals: tuple[Signal, ...], *versions: Order) -> Notice:
    version = versions[-1]
    return Notice(
        id=f"{_PREFIX[kind]}{requirement.id}",
        programme=f"{kind}/{requirement.product}",
        zone=requirement.zone,
        comment="" if kind == "requirement" else requirement.id,
        modification=version.modification,
        created_at=versions[0].at,
        modified_at=version.at,
        start=requirement.start,
        slot=requirement.slot,
        signals=signals,
        keep_until=requirement.end + KEPT_AFTER_END,
        cancelled=version.cancelled,
    )


def _peak(peak: Peak, now: datetime) -> Iterator[Notice]:
    if now < peak.publish_at:
        return
    for zone in peak.zones:
        yield Notice(
            id=f"PEAK-{peak.id}-{zone}",
            programme="peak",
            zone=zone,
            comment="",
            modification=0,
            created_at=peak.publish_at,
            modified_at=peak.publish_at,
            start=peak.start,
            slot=peak.end - peak.start,
            signals=(Signal("SIMPLE", "level", "level", (float(peak.level),)),),
            keep_until=peak.end + KEPT_AFTER_END,
        )


def _wire(requirement: Requirement, kw: tuple[float, ...]) -> tuple[float, ...]:
    """Load on the wire: more export is negative; + 0.0 makes no -0.0 of nothing."""
    sign = -1 if requirement.direction == "up" else 1
    return tuple(sign * value + 0.0 for value in kw)
