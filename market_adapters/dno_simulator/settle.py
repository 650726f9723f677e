"""What was ordered, what came, what is owed: the operator's own arithmetic, pure.

Powers and energies are changes in the direction of the product, at least 0, except the meter and the
nomination, which are export (car to grid positive). Money is Decimal, rounded half-even to the penny, once
per half-hour.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

from .span import Span

_PENNY = Decimal("0.01")
_KWH_STEP = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Order:
    """One version of a dispatch.

    Attributes:
        at: In force from this domain time until the next version's.
        kw: One value per slot; slots beyond the list are not ordered. [kW]
        cancelled: Nothing is in force; ``kw`` is what was cancelled.
        shift: How much later than agreed each slot begins.
        open_ended: Whether the VEN was not told an end; ``kw`` is what it comes to.
    """

    modification: int
    at: datetime
    kw: tuple[float, ...]
    cancelled: bool = False
    shift: timedelta = timedelta(0)
    open_ended: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """What was agreed for each slot.

    Attributes:
        slots: The slots of the requirement, in order.
        awarded_kw: Accepted volume per slot. [kW]
        price_gbp_per_mwh: Paid for what is delivered, per slot.
        availability_gbp_per_mw_h: Paid for standing by, per slot.
        penalty_gbp_per_mwh: Charged for what was instructed and not delivered.
        sign: +1 for more export, -1 for less.
    """

    slots: tuple[Span, ...]
    awarded_kw: tuple[float, ...]
    price_gbp_per_mwh: tuple[float, ...]
    availability_gbp_per_mw_h: tuple[float, ...]
    penalty_gbp_per_mwh: float
    sign: int


@dataclass(frozen=True, slots=True)
class Line:
    """One settled half-hour. The meter or the nomination is None where nothing was received."""

    span: Span
    instructed_kwh: float
    nominated_kwh: float | None
    metered_kwh: float | None
    delivered_kwh: float
    deficiency_kwh: float
    amount_gbp: Decimal


def settle(
    span: Span, terms: Terms, orders: Sequence[Order], nominated_kwh: float | None, metered_kwh: float | None
) -> Line:
    """Settle one half-hour.

    Without a nomination or a meter reading nothing counts as delivered.

    Args:
        span: The half-hour.
        terms: What was agreed.
        orders: All versions of the dispatch, in the order of their times.
        nominated_kwh: Export nominated for the half-hour. [kWh]
        metered_kwh: Export metered in the half-hour. [kWh]
    """
    pieces = list(_ordered(span, terms.slots, orders))
    instructed_kwh = sum(kwh for _, kwh in pieces)
    known = nominated_kwh is not None and metered_kwh is not None
    change_kwh = terms.sign * ((metered_kwh or 0.0) - (nominated_kwh or 0.0)) if known else 0.0
    delivered_kwh = min(max(change_kwh, 0.0), instructed_kwh)
    deficiency_kwh = instructed_kwh - delivered_kwh
    worth_gbp = sum(
        (_decimal(kwh) * _price(terms.price_gbp_per_mwh[slot]) for slot, kwh in pieces), Decimal(0)
    )
    share = _decimal(delivered_kwh) / _decimal(instructed_kwh) if _decimal(instructed_kwh) else Decimal(0)
    amount_gbp = (
        _availability_gbp(span, terms)
        + worth_gbp * share
        - _decimal(deficiency_kwh) * _price(terms.penalty_gbp_per_mwh)
    )
    return Line(
        span=span,
        instructed_kwh=instructed_kwh,
        nominated_kwh=nominated_kwh,
        metered_kwh=metered_kwh,
        delivered_kwh=delivered_kwh,
        deficiency_kwh=deficiency_kwh,
        amount_gbp=amount_gbp.quantize(_PENNY, ROUND_HALF_EVEN),
    )


def instructed_kwh(span: Span, slots: tuple[Span, ...], orders: Sequence[Order]) -> float:
    """Energy ordered in a stretch of time: the integral of the kW in force, to the second. [kWh]"""
    return sum(kwh for _, kwh in _ordered(span, slots, orders))


def in_force(orders: Sequence[Order], opted_out: Sequence[Span]) -> tuple[Order, ...]:
    """The versions of a dispatch, with the times in which the VEN had opted out of it as if cancelled."""
    bounds = [at for out in opted_out for at in (out.start, out.end)]
    found = []
    for at in sorted({order.at for order in orders}.union(bounds)):
        order = next((order for order in reversed(orders) if order.at <= at), None)
        if order is not None:
            gone = any(out.start <= at < out.end for out in opted_out)
            found.append(replace(order, at=at, cancelled=order.cancelled or gone))
    return tuple(found)


def _ordered(span: Span, slots: tuple[Span, ...], orders: Sequence[Order]) -> Iterator[tuple[int, float]]:
    for index, order in enumerate(orders):
        if order.cancelled:
            continue
        until = orders[index + 1].at if index + 1 < len(orders) else span.end
        ruled = span & Span(order.at, until)
        for slot, kw in enumerate(order.kw):
            hours = (ruled & slots[slot].later(order.shift)).hours
            if hours:
                yield slot, kw * hours


def _availability_gbp(span: Span, terms: Terms) -> Decimal:
    return sum(
        (
            _decimal(kw * (span & slot).hours) * _price(price)
            for slot, kw, price in zip(
                terms.slots, terms.awarded_kw, terms.availability_gbp_per_mw_h, strict=True
            )
        ),
        Decimal(0),
    )


def _decimal(kwh: float) -> Decimal:
    """A float without the noise beyond a milliwatt-hour."""
    return Decimal(repr(kwh)).quantize(_KWH_STEP, ROUND_HALF_EVEN)


def _price(gbp_per_mwh: float) -> Decimal:
    """The same price per kWh."""
    return Decimal(repr(gbp_per_mwh)) / 1000
