"""Bytes of an OpenADR 2.0b message -> frozen values; nothing here knows what they mean to us.

Ids stay strings, times become UTC, open ends are None. Messages may come in ``oadrPayload``, in
``oadrSignedObject`` or bare.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from lxml import etree

from aggregator.model.errors import BadMessage, Fault
from market_adapters.openadr.schema import WRAPPERS, conforms, faults_by_part, faults_by_schema
from market_adapters.openadr.signatures import Stamp, check_signature
from market_adapters.openadr.values import IN_TIME
from market_adapters.openadr.wire_events import NO_TIME, BadEvent, WireEvent, bad_event, read_event
from market_adapters.openadr.xmltree import (
    MOST_FAULTS,
    Faults,
    Node,
    holds_instruction,
    local_name,
    safe_tree,
)

OK_CODES = range(200, 300)
# two megabytes of sound events have some 800
MOST_EVENTS = 2_000
MOST_REQUESTS = 2_000
EVENT = "oadrEvent"
PROFILE_A = "http://openadr.org/oadr-2.0a/2012/07"


@dataclass(frozen=True, slots=True)
class Response:
    """An ``eiResponse``; code 0 stands for one that is no number."""

    code: int
    description: str
    request_id: str

    @property
    def ok(self) -> bool:
        """Whether the other side accepted what it answers."""
        return self.code in OK_CODES


@dataclass(frozen=True, slots=True)
class WireReportRequest:
    """One standing or single request for a report.

    Attributes:
        request_id: Its reportRequestID.
        specifier: The reportSpecifierID asked for.
        granularity: Length of an interval; zero where there is one report when there is one.
        back_duration: How often it is sent; zero as above.
        start: From when; None at once.
        length: For how long; None for ever.
        r_ids: The values wanted.
    """

    request_id: str
    specifier: str
    granularity: timedelta
    back_duration: timedelta
    start: datetime | None
    length: timedelta | None
    r_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DistributeEvent:
    """All current events of a platform; ``parts`` are the events' own bytes."""

    vtn_id: str
    request_id: str
    response: Response | None
    events: tuple[WireEvent | BadEvent, ...]
    parts: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """Any message that says no more than how a request went: oadrResponse and its kind."""

    response: Response


@dataclass(frozen=True, slots=True)
class CreatedPartyRegistration:
    """The platform's answer to a query or a registration."""

    response: Response
    vtn_id: str
    ven_id: str | None
    registration_id: str | None
    poll_every: timedelta | None


@dataclass(frozen=True, slots=True)
class ReportsAsked:
    """oadrRegisteredReport (with ``response``) or oadrCreateReport: what the platform wants told."""

    request_id: str
    response: Response | None
    requests: tuple[WireReportRequest, ...]


@dataclass(frozen=True, slots=True)
class CancelReport:
    """The platform no longer wants these reports; ``to_follow`` asks for one last of each."""

    request_id: str
    report_request_ids: tuple[str, ...]
    to_follow: bool


@dataclass(frozen=True, slots=True)
class UpdatedReport:
    """A report arrived; others may be cancelled in the same breath."""

    response: Response
    cancel: CancelReport | None


@dataclass(frozen=True, slots=True)
class Reregister:
    """oadrRequestReregistration, or oadrCancelPartyRegistration (with a ``request_id``)."""

    request_id: str | None
    registration_id: str | None


@dataclass(frozen=True, slots=True)
class Other:
    """A message that asks nothing of us that we know of; its fields are in the envelope."""

    request_id: str


Body = (
    DistributeEvent
    | Answer
    | CreatedPartyRegistration
    | ReportsAsked
    | CancelReport
    | UpdatedReport
    | Reregister
    | Other
)


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it came.

    Attributes:
        name: Its element, e.g. ``oadrDistributeEvent``.
        body: What it says.
        fields: Every text in it by its path, e.g. ``eiResponse.responseCode``.
        signed: Whether it carries a signature.
        stamp: When it was signed; None where that was not checked.
        raw: Its bytes.
    """

    name: str
    body: Body
    fields: Mapping[str, str]
    signed: bool
    stamp: Stamp | None
    raw: bytes


def parse(
    data: bytes, source: str = "message", *, lenient: bool = False, fingerprint: str | None = None
) -> Message:
    """Read a message.

    Args:
        data: As received.
        source: What to call it in faults, e.g. a file name.
        lenient: Whether to read on without the schema where the meaning is clear: enums in another case,
            times without a zone (taken as UTC), optional fields missing.
        fingerprint: Of the certificate that must have signed it, as in ``signatures``; None checks nothing.

    Raises:
        BadMessage: If it is no message, not signed as it must be, or cannot be read, with all faults found.
            An event that cannot be read or breaks the schema is no such fault: it is a ``BadEvent`` beside
            the others.
    """
    root = safe_tree(data, source)
    stamp = None if fingerprint is None else check_signature(root, source, fingerprint)
    signed = any(local_name(child) == "Signature" for child in root.iterchildren(tag=etree.Element))
    if signed and holds_instruction(data):
        raise BadMessage(Fault(source, "a processing instruction", "a signed message without one"))
    element = _inner(root, source)
    faults = Faults(source, lenient)
    node = Node(element, "", faults)
    body = READERS.get(node.name, _other)(node)
    if faults.found:
        raise BadMessage(*faults.found)
    if not lenient:
        body = _by_schema(body, node, root)
    return Message(node.name, body, dict(_texts(element, "")), signed, stamp, data)


def event_faults(body: Body) -> list[Fault]:
    """Return the faults of the events that cannot be read."""
    events = body.events if isinstance(body, DistributeEvent) else ()
    found = [fault for event in events if isinstance(event, BadEvent) for fault in event.faults]
    return found[:MOST_FAULTS]


def _by_schema(body: Body, node: Node, root: etree._Element) -> Body:
    """Return the body with the events that break the schema marked as bad.

    Raises:
        BadMessage: If what breaks it is not within the events.
    """
    source = node.faults.source
    if not isinstance(body, DistributeEvent):
        if not conforms(root):
            raise BadMessage(*faults_by_schema(root, source))
        return body
    bad = frozenset(index for index, event in enumerate(body.events) if isinstance(event, BadEvent))
    # a bad event may hold faults by the thousand, and the schema takes its time over each
    if not bad and conforms(root):
        return body
    envelope, found = faults_by_part(root, EVENT, bad, source)
    if envelope or not (bad or found):
        raise BadMessage(*(envelope or faults_by_schema(root, source)))
    nodes = node.all(EVENT)
    marked = (
        bad_event(event, nodes[index], found[index]) if index in found else event
        for index, event in enumerate(body.events)
    )
    return replace(body, events=tuple(marked))


def _inner(root: etree._Element, source: str) -> etree._Element:
    element = root
    for wrapper in WRAPPERS:
        if local_name(element) == wrapper:
            inside = [c for c in element.iterchildren(tag=etree.Element) if local_name(c) != "Signature"]
            if len(inside) != 1:
                found = f"{len(inside)} elements"
                raise BadMessage(Fault(f"{source}: {wrapper}", found, "exactly one message"))
            element = inside[0]
    name = local_name(element)
    if etree.QName(element).namespace == PROFILE_A:
        raise BadMessage(Fault(source, f"<{name}> of OpenADR 2.0a", "an OpenADR 2.0b message"))
    if not name.startswith("oadr") or name in WRAPPERS:
        raise BadMessage(Fault(source, f"<{name}>", "an OpenADR 2.0b message, such as oadrDistributeEvent"))
    return element


def _texts(element: etree._Element, path: str) -> Iterator[tuple[str, str]]:
    children = list(element.iterchildren(tag=etree.Element))
    text = element.text or ""
    if not children and text:
        yield path or local_name(element), text
    names = [local_name(child) for child in children]
    count = Counter(names)
    seen: dict[str, int] = {}
    for name, child in zip(names, children, strict=True):
        index = seen[name] = seen.get(name, -1) + 1
        step = f"{name}[{index}]" if count[name] > 1 else name
        yield from _texts(child, f"{path}.{step}" if path else step)


def _response(node: Node) -> Response:
    inner = node.one("eiResponse") or node
    code = inner.need_count("responseCode")
    return Response(code, inner.text("responseDescription") or "", inner.id("requestID") or "")


def _distribute(node: Node) -> DistributeEvent:
    vtn_id = node.id("vtnID") or "" if node.faults.lenient else node.need_id("vtnID")
    response = _response(node) if node.one("eiResponse") else None
    nodes = _at_most(MOST_EVENTS, node, EVENT)
    events = tuple(read_event(event) for event in nodes)
    parts = tuple(etree.tostring(event.element, encoding="utf-8", with_tail=False) for event in nodes)
    once = tuple(_each_once(events, nodes))
    return DistributeEvent(vtn_id, node.id("requestID") or "", response, once, parts)


def _at_most(most: int, node: Node, name: str) -> list[Node]:
    nodes = node.all(name)
    if len(nodes) > most:
        node.fault((name,), f"{len(nodes)} of them", f"at most {most}")
    return nodes[:most]


def _each_once(
    events: Sequence[WireEvent | BadEvent], nodes: Sequence[Node]
) -> Iterator[WireEvent | BadEvent]:
    """Yield the events; those of one id contradict each other, and none of them can be taken."""
    count = Counter(event.id for event in events if event.id)
    for event, node in zip(events, nodes, strict=True):
        if count[event.id] > 1:
            fault = Fault(f"{node.faults.source}: {node.path}", event.id, "each eventID once in a message")
            known = event.faults if isinstance(event, BadEvent) else ()
            yield replace(bad_event(event, node, (*known, fault)), cancelled=False)
        else:
            yield event


def _answer(node: Node) -> Answer:
    return Answer(_response(node))


def _registration(node: Node) -> CreatedPartyRegistration:
    return CreatedPartyRegistration(
        response=_response(node),
        vtn_id=node.id("vtnID") or "",
        ven_id=node.id("venID"),
        registration_id=node.id("registrationID"),
        poll_every=node.duration("oadrRequestedOadrPollFreq", "duration") or None,
    )


def _reports_asked(node: Node) -> ReportsAsked:
    response = _response(node) if node.one("eiResponse") else None
    requests = tuple(
        _report_request(request) for request in _at_most(MOST_REQUESTS, node, "oadrReportRequest")
    )
    return ReportsAsked(node.id("requestID") or "", response, requests)


def _report_request(node: Node) -> WireReportRequest:
    specifier = node.one("reportSpecifier") or node
    period = specifier.one("reportInterval", "properties")
    start = period.instant("dtstart", "date-time") if period else None
    length = (period.duration("duration", "duration") or None) if period else None
    if start is not None and length is not None:
        try:
            start + length
        except OverflowError:
            period_of = ("reportInterval", "properties", "duration", "duration")
            specifier.fault(period_of, specifier.text(*period_of), IN_TIME)
    return WireReportRequest(
        request_id=node.need_id("reportRequestID"),
        specifier=specifier.need_id("reportSpecifierID"),
        granularity=specifier.duration("granularity", "duration") or NO_TIME,
        back_duration=specifier.duration("reportBackDuration", "duration") or NO_TIME,
        start=start,
        length=length,
        r_ids=tuple(payload.need_id("rID") for payload in specifier.all("specifierPayload")),
    )


def _cancel_report(node: Node) -> CancelReport:
    to_follow = (node.text("reportToFollow") or "").lower() in {"true", "1"}
    return CancelReport(node.id("requestID") or "", node.ids("reportRequestID"), to_follow)


def _updated_report(node: Node) -> UpdatedReport:
    cancel = node.one("oadrCancelReport")
    return UpdatedReport(_response(node), _cancel_report(cancel) if cancel else None)


def _reregister(node: Node) -> Reregister:
    return Reregister(node.id("requestID"), node.id("registrationID"))


def _other(node: Node) -> Other:
    return Other(node.id("requestID") or "")


READERS: Mapping[str, Callable[[Node], Body]] = {
    "oadrDistributeEvent": _distribute,
    "oadrResponse": _answer,
    "oadrCreatedOpt": _answer,
    "oadrCreatedPartyRegistration": _registration,
    "oadrCanceledPartyRegistration": _answer,
    "oadrRegisteredReport": _reports_asked,
    "oadrCreateReport": _reports_asked,
    "oadrCancelReport": _cancel_report,
    "oadrUpdatedReport": _updated_report,
    "oadrRequestReregistration": _reregister,
    "oadrCancelPartyRegistration": _reregister,
}
