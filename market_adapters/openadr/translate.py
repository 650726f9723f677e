"""A platform's event -> ``MarketCall``: in our words where it can be read, with the reason where it cannot.

Nothing is guessed: a signal, unit, sign, zone or product that the profile does not know makes a call without
content whose ``problem`` says what was found and what is allowed.

Of the statuses only ``cancelled`` and ``completed`` are acted on; far, near and active follow from the times.
What is called completed before it began is read by its times as well: such a status was stamped by another
clock than the message's own (openleadr's is the wall clock, also where the times are simulated).
"""

from collections.abc import Mapping
from datetime import datetime

from aggregator.model.market import EventKey
from aggregator.model.time import Interval
from aggregator.ports import CallKind, MarketCall
from market_adapters.openadr.contents import READERS
from market_adapters.openadr.profile import Profile
from market_adapters.openadr.terms import Terms, Unclear, listed
from market_adapters.openadr.wire_events import CANCELLED, BadEvent, WireEvent
from market_adapters.openadr.xmltree import in_short

COMPLETED = "completed"
# the problem's first word decides the response code; the rest is for people
CODES: Mapping[str, int] = {"signal": 460, "unit": 460, "target": 462, "modification": 450}
OTHERWISE_CODE = 454


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
    completed = event.status == COMPLETED and event.start <= received_at
    modified_at = event.modified_at or event.created_at or received_at
    content, problem = None, None
    try:
        zone = _zone(event, profile, kind, product_id)
        if not (cancelled or completed):
            content = READERS[kind](Terms(key, event, profile, zone, product_id or "", modified_at))
    except Unclear as unclear:
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
        completed=completed,
    )


def _unreadable(event: BadEvent, vtn_id: str, received_at: datetime, raw: bytes) -> MarketCall:
    """Return a bad event; one that cannot be named goes by its mark, and nothing can be answered to it."""
    named = bool(event.id) and event.modification is not None
    problem = in_short(event.faults)
    return MarketCall(
        key=EventKey(vtn_id, event.id, event.modification or 0)
        if named
        else EventKey(vtn_id, "", event.mark),
        kind=CallKind.UNKNOWN,
        content=None,
        opportunity_ref=None,
        zones=event.groups,
        interval=None,
        cancelled=named and event.cancelled,
        test=False,
        wants_answer=named and event.response_required == "always",
        problem=problem if named else f"event {event.id!r}: {problem}",
        raw=raw,
        modified_at=received_at,
    )


def _zone(event: WireEvent, profile: Profile, kind: CallKind, product_id: str | None) -> str:
    if kind is CallKind.UNKNOWN:
        raise Unclear(f"market context {event.market_context!r} is not allowed; {profile.context}/... is")
    if product_id is not None and product_id not in profile.products:
        raise Unclear(f"product {product_id!r} is not allowed; {listed(profile.products)}")
    ours = [zone for zone in event.groups if zone in profile.zones]
    several = kind is CallKind.PEAK  # a level holds in each of its zones; kW cannot be shared out unasked
    parts = (*event.resources, *event.parts)
    if not ours or parts or (len(event.groups) > 1 and not several):
        found = ", ".join((*event.groups, *parts, *event.vens)) or "nobody"
        a_group = "a group" if several else "exactly one group"
        allowed = (
            f"{a_group} of {listed(profile.zones)}, as a whole: no resource, asset, place or signal's own"
        )
        raise Unclear(f"target {found!r} is not allowed; {allowed}")
    return ours[0]
