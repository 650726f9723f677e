"""One ``oadrEvent`` -> a frozen value, with ids as the strings they are and times in UTC."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from operator import itemgetter
from zlib import crc32

from lxml import etree

from aggregator.model.errors import Fault
from market_adapters.openadr.values import DURATION, IN_TIME, LATEST
from market_adapters.openadr.xmltree import Faults, Node

CANCELLED = "cancelled"
STATUSES = ("none", "far", "near", "active", "completed", CANCELLED)
SIGNAL_TYPES = (
    "delta",
    "level",
    "multiplier",
    "price",
    "priceMultiplier",
    "priceRelative",
    "setpoint",
    "x-loadControlCapacity",
    "x-loadControlLevelOffset",
    "x-loadControlPercentOffset",
    "x-loadControlSetpoint",
)
TARGETS = ("groupID", "resourceID", "venID", "partyID")
_UID = re.compile("[0-9]{1,10}")
NO_TIME = timedelta(0)


@dataclass(frozen=True, slots=True)
class Unit:
    """What a signal's numbers count.

    Attributes:
        item: The element: powerReal, currencyPerKWh, customUnit, ...
        units: W, Wh, GBP, ...
        scale: SI prefix: k, M, m, none, ...; None where the item has none.
    """

    item: str
    units: str | None
    scale: str | None


@dataclass(frozen=True, slots=True)
class WireInterval:
    """One value as sent, from start to end; ``end`` is None where it is open-ended."""

    start: datetime
    end: datetime | None
    value: float


@dataclass(frozen=True, slots=True)
class WireSignal:
    """One signal of an event."""

    name: str
    type: str
    id: str
    unit: Unit | None
    intervals: tuple[WireInterval, ...]


@dataclass(frozen=True, slots=True)
class WireBaseline:
    """A baseline that an event brings: what the platform takes for normal."""

    id: str
    name: str
    unit: Unit | None
    intervals: tuple[WireInterval, ...]


@dataclass(frozen=True, slots=True)
class WireEvent:
    """One event as sent; ``end`` is None where open-ended, ``start_after`` the most of its random delay.

    ``parts`` are its targets of other kinds, and those of single signals: all that names a part of a whole.
    """

    id: str
    modification: int
    status: str
    test: bool
    priority: int
    response_required: str
    market_context: str
    comment: str | None
    created_at: datetime | None
    modified_at: datetime | None
    start: datetime
    end: datetime | None
    start_after: timedelta
    ramp_up: timedelta
    notification: timedelta
    signals: tuple[WireSignal, ...]
    baselines: tuple[WireBaseline, ...]
    groups: tuple[str, ...]
    resources: tuple[str, ...]
    vens: tuple[str, ...]
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BadEvent:
    """An event that cannot be read, with what is known of it, so that its neighbours can be.

    Attributes:
        id: Empty where it cannot be read.
        modification: None where it cannot be read.
        mark: Tells its bytes from those of others.
        cancelled: Whether it says that it is cancelled.
        response_required: As sent; ``always`` where that cannot be read.
        groups: As sent.
        faults: Why it cannot be read.
    """

    id: str
    modification: int | None
    mark: int
    cancelled: bool
    response_required: str
    groups: tuple[str, ...]
    faults: tuple[Fault, ...]


def read_event(node: Node) -> WireEvent | BadEvent:
    """Read one ``oadrEvent`` element."""
    faults = Faults(node.faults.source, node.faults.lenient)
    node = Node(node.element, node.path, faults)
    event = _event(node)
    return bad_event(event, node, faults.found) if faults.found else event


def bad_event(event: WireEvent | BadEvent, node: Node, faults: Sequence[Fault]) -> BadEvent:
    """Return an event as one that cannot be read.

    What stands in its place twice, or is at fault itself, is not known of it.
    """
    if isinstance(event, BadEvent):
        return replace(event, faults=tuple(faults))
    at_fault = {fault.where.rpartition(".")[2] for fault in faults}
    return BadEvent(
        id="" if "eventID" in at_fault or _count(node, "eventID") != 1 else event.id,
        modification=None if "modificationNumber" in at_fault else event.modification,
        mark=crc32(etree.tostring(node.element, with_tail=False)),
        cancelled=event.status == CANCELLED and _count(node, "eventStatus") == 1,
        response_required=event.response_required or "always",
        groups=event.groups,
        faults=tuple(faults),
    )


def _count(node: Node, name: str) -> int:
    return sum(1 for _ in node.element.iter(f"{{*}}{name}"))


def _event(node: Node) -> WireEvent:
    inner = node.one("eiEvent") or node
    about = inner.one("eventDescriptor") or inner
    period = inner.one("eiActivePeriod", "properties") or inner
    target = inner.one("eiTarget")
    start = period.need_instant("dtstart", "date-time")
    length = period.duration("duration", "duration")
    if length is None and not node.faults.lenient:
        period.fault(("duration",), None, DURATION)
    end = _sum(period, start, length) if length else None
    return WireEvent(
        id=about.need_id("eventID"),
        modification=about.need_count("modificationNumber"),
        status=about.need_word(STATUSES, "none", "eventStatus"),
        test=_is_test(about),
        priority=about.need_count("priority") if about.text("priority") else 0,
        response_required=node.need_word(("always", "never"), "always", "oadrResponseRequired"),
        market_context=about.need_text("eiMarketContext", "marketContext"),
        comment=about.id("vtnComment") if about.text("vtnComment") else None,
        created_at=about.instant("createdDateTime"),
        modified_at=about.instant("modificationDateTime"),
        start=start,
        end=end,
        start_after=period.duration("tolerance", "tolerate", "startafter") or NO_TIME,
        ramp_up=period.duration("x-eiRampUp", "duration") or NO_TIME,
        notification=period.duration("x-eiNotification", "duration") or NO_TIME,
        signals=tuple(_signals(inner, start, end)),
        baselines=tuple(_baselines(inner)),
        groups=target.ids("groupID") if target else (),
        resources=target.ids("resourceID") if target else (),
        vens=target.ids("venID") if target else (),
        parts=tuple(_parts(inner)),
    )


def _parts(event: Node) -> Iterator[str]:
    """Yield the event's targets of other kinds than ours, then all of its signals' own targets."""
    target, signals = event.one("eiTarget"), event.one("eiEventSignals")
    yield from (one.name for one in (target.elements() if target else ()) if one.name not in TARGETS)
    for signal in signals.all("eiEventSignal") if signals else ():
        own = signal.one("eiTarget")
        yield from (f"{one.name} of a signal" for one in (own.elements() if own else ()))


def _is_test(about: Node) -> bool:
    """Any value but ``false`` is a test (conformance rule 6)."""
    if about.one("testEvent") is None:
        return False
    text = about.text("testEvent") or ""
    return (text.lower() if about.faults.lenient else text) != "false"


def _signals(event: Node, start: datetime, end: datetime | None) -> Iterator[WireSignal]:
    signals = event.one("eiEventSignals")
    found = signals.all("eiEventSignal") if signals else []
    if not found:
        event.fault(("eiEventSignals",), None, "at least one eiEventSignal")
    for node in found:
        yield WireSignal(
            name=node.need_text("signalName"),
            type=node.need_word(SIGNAL_TYPES, None, "signalType"),
            id=node.id("signalID") or "",
            unit=_unit(node),
            intervals=tuple(_intervals(node, start, end)),
        )


def _baselines(event: Node) -> Iterator[WireBaseline]:
    signals = event.one("eiEventSignals")
    for node in signals.all("eiEventBaseline") if signals else ():
        start = node.need_instant("dtstart", "date-time")
        length = node.duration("duration", "duration")
        end = _sum(node, start, length) if length else None
        yield WireBaseline(
            id=node.id("baselineID") or "",
            name=node.text("baselineName") or "",
            unit=_unit(node),
            intervals=tuple(_intervals(node, start, end)),
        )


def _unit(signal: Node) -> Unit | None:
    for node in signal.elements():
        if node.one("itemDescription") or node.one("itemUnits"):
            return Unit(node.name, node.text("itemUnits"), node.text("siScaleCode"))
    return None


def _intervals(signal: Node, start: datetime, end: datetime | None) -> Iterator[WireInterval]:
    """Yield the intervals; those without a start begin where the one before ended."""
    stream = signal.one("intervals")
    nodes = _in_sequence(stream.all("interval")) if stream else []
    if not nodes:
        signal.fault(("intervals",), None, "at least one interval")
    begins: datetime | None = start
    for index, node in enumerate(nodes):
        stated = node.instant("dtstart", "date-time")
        if stated is None and begins is None:
            node.fault(("dtstart",), None, "a start, as the interval before has no end")
        begins = stated or begins or start
        length = node.duration("duration", "duration")
        until = _sum(node, begins, length) if length else None
        if not length:
            # without a length of its own it lasts until the next one, or as long as the event
            following = nodes[index + 1] if index + 1 < len(nodes) else None
            until = following.instant("dtstart", "date-time") if following else end
            if following and until is None:
                node.fault(("duration",), None if length is None else "PT0S", DURATION)
        if until is not None and until <= begins:
            node.fault(("dtstart",), begins.isoformat(), "a start before the interval's end")
        value = _payload(node)
        yield WireInterval(begins, until, value)
        begins = until


def _in_sequence(intervals: list[Node]) -> list[Node]:
    """Return the intervals in the order of their uids; as they stand where those do not number them."""
    uids = [interval.text("uid", "text") or "" for interval in intervals]
    if len(set(uids)) < len(uids) or not all(_UID.fullmatch(uid) for uid in uids):
        return intervals
    return [
        interval for _, interval in sorted(zip(map(int, uids), intervals, strict=True), key=itemgetter(0))
    ]


def _payload(interval: Node) -> float:
    payload = interval.one("signalPayload") or interval
    kinds = ("payloadFloat", "payloadInt") if interval.faults.lenient else ("payloadFloat",)
    kind = next((kind for kind in kinds if payload.one(kind)), "payloadFloat")
    return payload.need_number(kind, "value")


def _sum(node: Node, start: datetime, length: timedelta) -> datetime:
    try:
        return start + length
    except OverflowError:
        node.fault(("duration", "duration"), node.text("duration", "duration"), IN_TIME)
        return LATEST
