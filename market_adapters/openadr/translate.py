"""A platform's event -> ``MarketCall``: in our words where it can be read, with the reason where it cannot.

Nothing is guessed: a signal, unit, sign, zone or product that the profile does not know makes a call without
content whose ``problem`` says what was found and what is allowed.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from aggregator.model.market import (
    Award,
    Direction,
    EventKey,
    Instruction,
    OrderMode,
    PeakWindow,
    Requirement,
    Step,
)
from aggregator.model.time import Interval
from aggregator.ports import CallKind, Content, MarketCall
from market_adapters.openadr.profile import Profile
from market_adapters.openadr.units import ALLOWED_UNITS, from_wire, unit_text
from market_adapters.openadr.wire_events import BadEvent, WireEvent, WireInterval, WireSignal

LEVELS = (0, 1, 2, 3)
CANCELLED = "cancelled"
# the problem's first word decides the response code; the rest is for people
CODES: Mapping[str, int] = {"signal": 460, "unit": 460, "target": 462, "modification": 450}
OTHERWISE_CODE = 454


class _Unclear(Exception):
    """The event cannot be put into our words; the text is the call's problem."""


def response_code(problem: str) -> int:
    """Return the OpenADR response code that goes with a call's problem."""
    return CODES.get(problem.split(" ", 1)[0], OTHERWISE_CODE)


def to_call(
    event: WireEvent | BadEvent, profile: Profile, *, vtn_id: str, received_at: datetime, raw: bytes
) -> MarketCall:
    """Put one event into our words.

    Args:
        event: As read from the wire.
        profile: The platform's ways.
        vtn_id: Our name of the platform.
        received_at: Domain instant of its arrival; stands in where the event has no stamp of its own.
        raw: The message it came in.
    """
    if isinstance(event, BadEvent):
        return _unreadable(event, vtn_id, received_at, raw)
    kind, product_id = profile.kind_of(event.market_context)
    key = EventKey(vtn_id, event.id, event.modification)
    cancelled = event.status == CANCELLED
    modified_at = event.modified_at or event.created_at or received_at
    content, problem = None, None
    try:
        zone = _zone(event, profile, kind, product_id)
        if not cancelled:
            content = _READERS[kind](_Reading(key, event, profile, zone, product_id or "", modified_at))
    except _Unclear as unclear:
        problem = str(unclear)
    return MarketCall(
        key=key,
        kind=kind,
        content=content,
        opportunity_ref=event.comment,
        zones=event.groups,
        interval=None if event.end is None else Interval(event.start, event.end),
        cancelled=cancelled,
        test=event.test,
        wants_answer=event.response_required == "always",
        problem=problem,
        raw=raw,
        modified_at=modified_at,
    )


def _unreadable(event: BadEvent, vtn_id: str, received_at: datetime, raw: bytes) -> MarketCall:
    return MarketCall(
        key=EventKey(vtn_id, event.id, event.modification),
        kind=CallKind.UNKNOWN,
        content=None,
        opportunity_ref=None,
        zones=event.groups,
        interval=None,
        cancelled=False,
        test=False,
        wants_answer=event.response_required == "always" and bool(event.id),
        problem="; ".join(str(fault) for fault in event.faults),
        raw=raw,
        modified_at=received_at,
    )


def _zone(event: WireEvent, profile: Profile, kind: CallKind, product_id: str | None) -> str:
    if kind is CallKind.UNKNOWN:
        raise _Unclear(f"market context {event.market_context!r} is not allowed; {profile.context}/... is")
    if product_id is not None and product_id not in profile.products:
        raise _Unclear(f"product {product_id!r} is not allowed; {_listed(profile.products)}")
    ours = [zone for zone in event.groups if zone in profile.zones]
    if len(event.groups) != 1 or not ours:
        found = ", ".join(event.groups) or "no group"
        raise _Unclear(f"target {found!r} is not allowed; exactly one group of {_listed(profile.zones)}")
    return ours[0]


@dataclass(frozen=True, slots=True)
class _Reading:
    """An event on its way into our words."""

    key: EventKey
    event: WireEvent
    profile: Profile
    zone: str
    product_id: str
    modified_at: datetime

    @property
    def direction(self) -> Direction:
        return self.profile.products[self.product_id]

    def signals(self, needed: tuple[str, ...], optional: tuple[str, ...]) -> dict[str, WireSignal]:
        """Return the signals by name; one that is not expected, doubled or missing is a problem."""
        found: dict[str, WireSignal] = {}
        for signal in self.event.signals:
            if signal.name not in (*needed, *optional) or signal.name in found:
                raise _Unclear(
                    f"signal {signal.name!r} is not allowed; {_listed((*needed, *optional))}, each once"
                )
            found[signal.name] = signal
        for name in needed:
            if name not in found:
                raise _Unclear(f"signal {name!r} is missing; found {_listed(found)}")
        return found

    def values(self, signal: WireSignal, *types: str) -> tuple[float, ...]:
        """Return a signal's numbers in our units."""
        if signal.type not in types:
            raise _Unclear(f"signal type {signal.type!r} of {signal.name} is not allowed; {_listed(types)}")
        found = [from_wire(signal, interval.value, self.profile.load_sign) for interval in signal.intervals]
        numbers = tuple(value for value in found if value is not None)
        if len(numbers) < len(found):
            raise _Unclear(
                f"unit {unit_text(signal.unit)!r} of {signal.name} is not allowed; {ALLOWED_UNITS}"
            )
        return numbers

    def magnitudes(self, signal: WireSignal, *types: str) -> tuple[float, ...]:
        """Return kW in the product's direction; against it is a problem."""
        numbers = tuple(self.direction.sign * value + 0.0 for value in self.values(signal, *types))
        if min(numbers) < 0:
            raise _Unclear(
                f"sign of {signal.name} is not allowed; {self.product_id} moves {self.direction} only"
            )
        return numbers

    def window(self, signal: WireSignal) -> Interval:
        """Return the whole of a signal's intervals, which are equal, gapless and the active period."""
        spans = [_closed(interval) for interval in signal.intervals]
        whole = Interval(spans[0].start, spans[-1].end)
        equal = all(span.end - span.start == spans[0].end - spans[0].start for span in spans)
        gapless = all(before.end == after.start for before, after in pairwise(spans))
        if not (equal and gapless):
            raise _Unclear(f"intervals of {signal.name} are not allowed; equal ones without gaps are")
        if (whole.start, whole.end) != (self.event.start, self.event.end):
            raise _Unclear(f"intervals of {signal.name} do not fill the active period")
        return whole

    def steps(self, signal: WireSignal, values: tuple[float, ...]) -> tuple[Step, ...]:
        """Return the intervals with their values; an open end is closed as the profile says."""
        steps = []
        for interval, value in zip(signal.intervals, values, strict=True):
            end = interval.end or _later(interval.start, self.profile.open_end)
            steps.append(Step(Interval(interval.start, end), value))
        if any(
            earlier.end is None or earlier.end > later.start for earlier, later in pairwise(signal.intervals)
        ):
            raise _Unclear(f"intervals of {signal.name} are not allowed; in order and without overlap")
        return tuple(steps)


def _later(start: datetime, length: timedelta) -> datetime:
    try:
        return start + length
    except OverflowError:
        raise _Unclear(f"start {start.isoformat()} is not allowed; one with a future is") from None


def _closed(interval: WireInterval) -> Interval:
    if interval.end is None:
        raise _Unclear("intervals without an end are not allowed here; each has a duration")
    return Interval(interval.start, interval.end)


def _requirement(reading: _Reading) -> Requirement:
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


def _award(reading: _Reading) -> Award:
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
    )


def _instruction(reading: _Reading) -> Instruction:
    name = reading.profile.order_signal
    order = reading.signals((name,), ())[name]
    values = reading.values(order, "delta", "setpoint")
    if order.type == "delta":
        reading.magnitudes(order, "delta")
    return Instruction(
        key=reading.key,
        zone=reading.zone,
        product_id=reading.product_id,
        mode=OrderMode(order.type),
        steps=reading.steps(order, values),
        issued_at=reading.modified_at,
    )


def _peak(reading: _Reading) -> PeakWindow:
    names = reading.profile
    level = reading.signals((names.level_signal,), (names.ceiling_signal,))[names.level_signal]
    values = reading.values(level, "level")
    if not set(values) <= set(LEVELS):
        raise _Unclear(f"level {max(values)} of {level.name} is not allowed; {_listed(map(str, LEVELS))}")
    return PeakWindow(reading.key, reading.zone, reading.steps(level, values))


def _lowest(reading: _Reading, signal: WireSignal | None) -> Decimal | None:
    """Return the lowest ceiling of the slots: a price under it is under all of them."""
    return None if signal is None else min(map(_decimal, reading.values(signal, "price")))


def _one_price(reading: _Reading, signal: WireSignal, awarded_kw: tuple[float, ...]) -> Decimal:
    """Return the price of the slots that were awarded anything."""
    prices = reading.values(signal, "price")
    if len(prices) not in {1, len(awarded_kw)}:
        raise _Unclear(f"intervals of {signal.name} are not allowed; one price, or one per slot awarded")
    per_slot = prices * len(awarded_kw) if len(prices) == 1 else prices
    paid = {price for price, kw in zip(per_slot, awarded_kw, strict=True) if kw} or {prices[0]}
    if len(paid) > 1:
        raise _Unclear(f"prices of {signal.name} are not allowed; the same in all slots")
    return _decimal(paid.pop())


def _decimal(value: float) -> Decimal:
    return Decimal(repr(value))


def _listed(names: Iterator[str] | Mapping[str, object] | tuple[str, ...]) -> str:
    return ", ".join(names) + " allowed" if names else "none allowed"


_READERS: Mapping[CallKind, Callable[[_Reading], Content]] = {
    CallKind.REQUIREMENT: _requirement,
    CallKind.AWARD: _award,
    CallKind.DISPATCH: _instruction,
    CallKind.PEAK: _peak,
}
