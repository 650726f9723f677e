"""The events of the operator's market at a time, in their newest versions, and how each is written down."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import add

from .book import Book
from .events import Notice, Signal
from .market import Clearing, cleared, delivery, order_basis_at, order_id, orders, sign_of
from .ordering import Form, Ordered
from .scenario import Call, Peak, Requirement, Scenario
from .settle import Order

KEPT_AFTER_END = timedelta(hours=1)

Edition = frozenset[tuple[str, int, int]]


def notices(scenario: Scenario, book: Book, now: datetime) -> tuple[Notice, ...]:
    """Every event that is current at a domain time, in its newest version.

    An event stays until an hour after the end of what it is about: a live one is never dropped silently.
    """
    if now < scenario.starts_at:
        return ()
    published = [notice for peak in scenario.peak for notice in _peak(peak, scenario, now)]
    for requirement in scenario.requirement:
        published += _of_requirement(requirement, scenario, book, now)
    for call in scenario.call:
        published += _order(call, scenario, book, now)
    return tuple(notice for notice in published if now < notice.keep_until)


def edition(scenario: Scenario, book: Book, now: datetime) -> Edition:
    """What a VEN should have been handed by a time: as long as it stays the same, there is nothing new."""
    again = sum(at <= now for at in scenario.deliver_again_at)
    current = notices(scenario, book, now)
    return frozenset((notice.id, notice.modification, again) for notice in current)


def _of_requirement(
    requirement: Requirement, scenario: Scenario, book: Book, now: datetime
) -> Iterator[Notice]:
    if now < requirement.publish_at:
        return
    need, award = Order(0, requirement.publish_at, ()), Order(0, requirement.award_at, ())
    about = _About(requirement, scenario, "requirement", requirement.form)
    yield about.notice(requirement.id, _need(requirement), need)
    clearing = cleared(requirement, book)
    if now >= requirement.award_at and clearing.awarded:
        about = _About(requirement, scenario, "award", requirement.form, requirement.id)
        yield about.notice(f"AWD-{requirement.id}", _award(requirement, clearing), award)
    if not requirement.scheduled:
        yield from _order(requirement, scenario, book, now)


def _order(ordered: Ordered, scenario: Scenario, book: Book, now: datetime) -> Iterator[Notice]:
    made = orders(ordered, book, now)
    if not made or ordered.gone(now):
        return
    if any(window.holds(now) for window in ordered.behind):
        made = made[:-1] or made
    called = isinstance(ordered, Call)
    about = _About(ordered, scenario, "dispatch", ordered.order_form, "" if called else ordered.id)
    order = made[-1]
    kw = order.kw[:1] if order.open_ended else order.kw
    if ordered.signal == "setpoint":
        kw = tuple(map(add, kw, _nominated_kw(ordered, order, book)))
    signal = Signal("LOAD_DISPATCH", ordered.signal, "order", _wire(ordered, kw), "kw")
    yield about.notice(order_id(ordered), (signal,), *made)


def _nominated_kw(ordered: Ordered, order: Order, book: Book) -> Iterator[float]:
    """What the VEN had nominated when it was ordered, per slot, in the product's direction."""
    by = order_basis_at(ordered)
    for slot in ordered.slots:
        yield sign_of(ordered) * book.nominated_kw(ordered.zone, slot.later(order.shift), by)


def _need(requirement: Requirement) -> tuple[Signal, ...]:
    count = requirement.count
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
    return tuple(signals)


def _award(requirement: Requirement, clearing: Clearing) -> tuple[Signal, ...]:
    return (
        Signal("BID_LOAD", "setpoint", "cleared", _wire(requirement, clearing.awarded_kw), "kw"),
        Signal("BID_PRICE", "price", "cleared-price", clearing.price_gbp_per_mwh, "gbp_per_mwh"),
    )


@dataclass(frozen=True, slots=True)
class _About:
    """What the events of one need have in common."""

    ordered: Ordered
    scenario: Scenario
    kind: str
    form: Form
    comment: str = ""

    def notice(self, name: str, signals: tuple[Signal, ...], *versions: Order) -> Notice:
        """The event in the last of its versions."""
        ordered, version = self.ordered, versions[-1]
        context = ordered.market_context or self.scenario.market_context
        return Notice(
            id=name,
            context=f"{context}/{self.kind}/{ordered.product}",
            zone=ordered.zone,
            comment=self.comment,
            modification=version.modification,
            created_at=versions[0].at,
            modified_at=version.at,
            start=ordered.start + version.shift,
            slot=ordered.slot,
            signals=signals,
            keep_until=delivery(ordered, versions).end + KEPT_AFTER_END,
            cancelled=version.cancelled,
            open_ended=version.open_ended,
            form=self.form,
        )


def _peak(peak: Peak, scenario: Scenario, now: datetime) -> Iterator[Notice]:
    if now < peak.publish_at:
        return
    signals = [Signal("SIMPLE", "level", "level", (float(peak.level),))]
    if peak.price_gbp_per_mwh is not None:
        price = (peak.price_gbp_per_mwh,)
        signals.append(Signal("ELECTRICITY_PRICE", "price", "price", price, "gbp_per_mwh"))
    for zone in peak.zones:
        yield Notice(
            id=f"PEAK-{peak.id}-{zone}",
            context=f"{peak.market_context or scenario.market_context}/peak",
            zone=zone,
            comment="",
            modification=0,
            created_at=peak.publish_at,
            modified_at=peak.publish_at,
            start=peak.start,
            slot=peak.end - peak.start,
            signals=tuple(signals),
            keep_until=peak.end + KEPT_AFTER_END,
            form=peak.form,
        )


def _wire(ordered: Ordered, kw: tuple[float, ...]) -> tuple[float, ...]:
    """Load on the wire: more export is negative; + 0.0 makes no -0.0 of nothing."""
    return tuple(-sign_of(ordered) * value + 0.0 for value in kw)
