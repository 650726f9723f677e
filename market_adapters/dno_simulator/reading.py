"""What a VEN sent, read from the validated XML itself.

openleadr's own reading turns ids that look like numbers into numbers (``007`` into 7) and leaves times that
do not end in Z as text, so ids, times and values are read here.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lxml import etree

_NS = {
    "oadr": "http://openadr.org/oadr-2.0b/2012/07",
    "ei": "http://docs.oasis-open.org/ns/energyinterop/201110",
    "xcal": "urn:ietf:params:xml:ns:icalendar-2.0",
    "scale": "http://docs.oasis-open.org/ns/emix/2011/06/siscale",
}
_OPTS = ("oadr:oadrCreateOpt", "oadr:oadrCancelOpt")
_TO_KILO = {"none": 1e-3, "k": 1.0, "M": 1e3, "G": 1e6}
_DURATION = re.compile(r"([+-])?P(?:(\d+)W|(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?)$")


class Unreadable(Exception):
    """A message that passed the schema and still makes no sense; it says what and where."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of a report, as it stands on the wire."""

    r_id: str
    start: datetime
    duration: timedelta | None
    value: float


@dataclass(frozen=True, slots=True)
class Report:
    """One oadrReport with values."""

    request_id: str
    specifier_id: str
    report_id: str
    readings: tuple[Reading, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """One data point that a VEN offers. ``to_kilo`` turns its values into kW or kWh."""

    r_id: str
    reading_type: str
    to_kilo: float


@dataclass(frozen=True, slots=True)
class Offer:
    """One report that a VEN offers in its METADATA."""

    specifier_id: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A VEN's word on one version of an event: optIn or optOut, and what it says beside it."""

    event_id: str
    modification: int
    opt: str
    said: str


@dataclass(frozen=True, slots=True)
class Opt:
    """A VEN's word, on its own account, that it takes part or not.

    Attributes:
        event_id: The event that it speaks of; empty where it speaks of a time.
    """

    opt_id: str
    opt: str
    reason: str
    event_id: str


def read_opt(xml: bytes) -> Opt:
    """What an oadrCreateOpt says, or the id in an oadrCancelOpt with the rest empty."""
    (message,) = (node for tag in _OPTS for node in _all(xml, tag))
    return Opt(
        _text(message, "ei:optID"),
        _text(message, "ei:optType"),
        _text(message, "ei:optReason"),
        _text(message, "ei:qualifiedEventID/ei:eventID"),
    )


def read_offers(xml: bytes) -> tuple[Offer, ...]:
    """The reports offered in an oadrRegisterReport."""
    return tuple(
        Offer(_text(report, "ei:reportSpecifierID"), tuple(_points(report)))
        for report in _all(xml, "oadr:oadrReport")
    )


def read_answers(xml: bytes) -> tuple[Answer, ...]:
    """The answers in an oadrCreatedEvent."""
    return tuple(
        Answer(
            _text(answer, "ei:qualifiedEventID/ei:eventID"),
            int(_text(answer, "ei:qualifiedEventID/ei:modificationNumber")),
            _text(answer, "ei:optType"),
            _text(answer, "ei:responseDescription"),
        )
        for answer in _all(xml, "ei:eventResponse")
    )


def read_ven_name(xml: bytes) -> str:
    """The name under which a VEN registers; empty if it gives none."""
    return next((node.text or "" for node in _all(xml, "oadr:oadrVenName")), "")


def read_reports(xml: bytes) -> tuple[Report, ...]:
    """The reports in an oadrUpdateReport.

    Raises:
        Unreadable: If a time has no zone, a duration is no fixed length, or a value is no finite number.
    """
    return tuple(
        Report(
            request_id=_text(report, "ei:reportRequestID"),
            specifier_id=_text(report, "ei:reportSpecifierID"),
            report_id=_text(report, "ei:eiReportID"),
            readings=tuple(_readings(report)),
        )
        for report in _all(xml, "oadr:oadrReport")
    )


def _readings(report: etree._Element) -> Iterator[Reading]:
    for interval in report.iterfind(".//ei:interval", _NS):
        start = _instant(_text(interval, "xcal:dtstart/xcal:date-time"))
        length = _text(interval, "xcal:duration/xcal:duration")
        for payload in interval.iterfind("oadr:oadrReportPayload", _NS):
            r_id = _text(payload, "ei:rID")
            if payload.find("ei:payloadFloat", _NS) is not None:
                value = float(_text(payload, "ei:payloadFloat/ei:value"))
                if not math.isfinite(value):
                    raise Unreadable(f"the value of {r_id} at {start.isoformat()} is not a finite number")
                yield Reading(r_id, start, _duration(length) if length else None, value)


def _points(report: etree._Element) -> Iterator[Point]:
    for description in report.iterfind("oadr:oadrReportDescription", _NS):
        code = next((node.text for node in description.iterfind(".//scale:siScaleCode", _NS)), None)
        yield Point(
            r_id=_text(description, "ei:rID"),
            reading_type=_text(description, "ei:readingType"),
            to_kilo=_TO_KILO.get(code or "k", 1.0),
        )


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Unreadable(f"not a time: {text!r}") from None
    if at.tzinfo is None:
        raise Unreadable(f"a time without a zone: {text!r}")
    return at.astimezone(UTC)


def _duration(text: str) -> timedelta:
    match = _DURATION.match(text)
    if match is None:
        raise Unreadable(f"not a fixed length of time: {text!r}")
    sign, *parts = match.groups()
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in parts)
    length = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    return -length if sign == "-" else length


def _all(xml: bytes, tag: str) -> list[etree._Element]:
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    return list(etree.fromstring(xml, parser).iterfind(f".//{tag}", _NS))


def _text(node: etree._Element, path: str) -> str:
    return (node.findtext(path, namespaces=_NS) or "").strip()
