"""What an event says, by its kind: a need, an award, an order, a peak window.

A randomised start (``startafter``) moves an order as a whole, needs and awards and peak windows not at all:
those are terms, and half-hours are planned by them. Baselines in an event are read and checked, and not
followed: what an order is upon is the nomination that we sent.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from aggregator.model.market import Award, EventKey, Instruction, OrderMode, PeakWindow, Requirement, Step
from aggregator.model.time import Interval
from aggregator.ports import CallKind, Content
from market_adapters.openadr.terms import Terms, Unclear, later, listed
from market_adapters.openadr.wire_events import WireSignal

LEVELS = (0, 1, 2, 3)
GREEN = 0.0
LOAD_CONTROL = "LOAD_CONTROL"
MODES = {mode.value: mode for mode in OrderMode}
NOT_FOLLOWED: Mapping[str, str] = {
    "CHARGE_STATE": "what is in the cars' batteries is for their drivers to say; kW can be ordered",
    "x-loadControlCapacity": "what a zone can draw at most changes with every car that comes or goes",
    "x-loadControlLevelOffset": "levels have no size in kW here",
    "x-loadControlPercentOffset": "whether 1 is a hundredth or all is not said; a multiplier can be ordered",
}


def _requirement(reading: Terms) -> Requirement:
    names = reading.profile
    signals = reading.signals((names.need_signal,), (names.ceiling_signal, names.availability_signal))
    need = signals[names.need_signal]
    return Requirement(
        key=reading.key,
        zone=reading.zone,
        product_id=reading.product_id,
        window=reading.window(need),
        needed_kw=reading.magnitudes(need, "delta"),
        utilisation_ceiling=_lowest(reading, signals.get(names.ceiling_signal)),
        availability_ceiling=_lowest(reading, signals.get(names.availability_signal)),
    )


def _award(reading: Terms) -> Award:
    names = reading.profile
    wanted = (names.cleared_signal, names.cleared_price_signal)
    signals = reading.signals(wanted, (names.availability_signal,))
    cleared = signals[names.cleared_signal]
    awarded_kw = reading.magnitudes(cleared, "setpoint", "delta")
    availability = signals.get(names.availability_signal)
    return Award(
        key=reading.key,
        zone=reading.zone,
        product_id=reading.product_id,
        window=reading.window(cleared),
        awarded_kw=awarded_kw,
        utilisation_gbp_per_mwh=_one_price(reading, signals[names.cleared_price_signal], awarded_kw),
        availability_gbp_per_mw_h=_one_price(reading, availability, awarded_kw)
        if availability
        else Decimal(0),
        issued_at=reading.modified_at,
    )


def _instruction(terms: Terms) -> Instruction:
    """Return an order; what has no one meaning for a zone of two-way chargers is a problem with its reason.

    A multiplier multiplies the zone's nomination. A SIMPLE level beside the order is for those who know no
    kW: it is read and not followed.
    """
    for signal in terms.event.signals:
        reason = NOT_FOLLOWED.get(signal.name) or NOT_FOLLOWED.get(signal.type)
        if reason is not None:
            raise Unclear(f"signal {signal.name!r} of type {signal.type} is not followed: {reason}")
    names = (terms.profile.order_signal, LOAD_CONTROL)
    signals = terms.signals((), (*names, terms.profile.level_signal))
    orders = [signals[name] for name in names if name in signals]
    if len(orders) != 1:
        found = ", ".join(signals)
        raise Unclear(f"signal {found!r} is not allowed; exactly one of {listed(names)}")
    if terms.profile.level_signal in signals:
        _levels(terms, signals[terms.profile.level_signal])
    (order,) = orders
    delay = _delay(terms.key, terms.event.start_after)
    return Instruction(
        key=terms.key,
        zone=terms.zone,
        product_id=terms.product_id,
        mode=MODES.get(order.type, OrderMode.SETPOINT),
        steps=tuple(_delayed(step, delay) for step in terms.steps(order, _order_values(terms, order))),
        issued_at=terms.modified_at,
        priority=terms.event.priority,
        ramp_up_s=terms.event.ramp_up.total_seconds(),
        notice_s=terms.event.notification.total_seconds(),
        delay_s=delay.total_seconds(),
        open_ended=order.intervals[-1].end is None,
    )


def _order_values(terms: Terms, order: WireSignal) -> tuple[float, ...]:
    """Return kW export-positive, or multiples as they are."""
    if order.name == LOAD_CONTROL:
        return terms.values(order, "x-loadControlSetpoint")
    if order.type == OrderMode.MULTIPLIER:
        return tuple(interval.value for interval in order.intervals)
    values = terms.values(order, *OrderMode)
    if order.type == OrderMode.DELTA:
        terms.magnitudes(order, OrderMode.DELTA)
    return values


def _delay(key: EventKey, most: timedelta) -> timedelta:
    """Return the event's random delay in whole seconds, 0 to ``most``: the same after a restart."""
    digest = hashlib.sha256(f"{key.vtn_id}\n{key.event_id}".encode()).digest()
    seconds = int.from_bytes(digest[:8]) % (int(most.total_seconds()) + 1)
    return timedelta(seconds=seconds)


def _delayed(step: Step, delay: timedelta) -> Step:
    interval = step.interval
    return replace(step, interval=Interval(later(interval.start, delay), later(interval.end, delay)))


def _peak(terms: Terms) -> PeakWindow:
    names = (terms.profile.level_signal, terms.profile.ceiling_signal)
    signals = terms.signals((), names)
    level, price = (signals.get(name) for name in names)
    prices = () if price is None else terms.steps(price, terms.values(price, "price"))
    if level is not None:
        steps = terms.steps(level, _levels(terms, level))
    else:
        steps = tuple(replace(step, value=GREEN) for step in prices)
    return PeakWindow(terms.key, terms.zone, steps, prices)


def _levels(terms: Terms, level: WireSignal) -> tuple[float, ...]:
    values = terms.values(level, "level")
    if not set(values) <= set(LEVELS):
        raise Unclear(f"level {max(values)} of {level.name} is not allowed; {listed([*map(str, LEVELS)])}")
    return values


def _lowest(reading: Terms, signal: WireSignal | None) -> Decimal | None:
    """Return the lowest ceiling of the slots: a price under it is under all of them."""
    return None if signal is None else min(map(_decimal, reading.values(signal, "price")))


def _one_price(reading: Terms, signal: WireSignal, awarded_kw: tuple[float, ...]) -> Decimal:
    """Return the price of the slots that were awarded anything."""
    prices = reading.values(signal, "price")
    if len(prices) not in {1, len(awarded_kw)}:
        raise Unclear(f"intervals of {signal.name} are not allowed; one price, or one per slot awarded")
    per_slot = prices * len(awarded_kw) if len(prices) == 1 else prices
    paid = {price for price, kw in zip(per_slot, awarded_kw, strict=True) if kw} or {prices[0]}
    if len(paid) > 1:
        raise Unclear(f"prices of {signal.name} are not allowed; the same in all slots")
    return _decimal(paid.pop())


def _decimal(value: float) -> Decimal:
    return Decimal(repr(value))


READERS: Mapping[CallKind, Callable[[Terms], Content]] = {
    CallKind.REQUIREMENT: _requirement,
    CallKind.AWARD: _award,
    CallKind.DISPATCH: _instruction,
    CallKind.PEAK: _peak,
}
