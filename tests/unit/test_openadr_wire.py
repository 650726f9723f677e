"""What is on the wire, and what is refused there."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from openleadr.messaging import create_message

from aggregator.model.errors import BadMessage
from market_adapters.openadr.read import read_message
from market_adapters.openadr.values import read_duration, read_instant, read_number
from market_adapters.openadr.wire import (
    CreatedPartyRegistration,
    ReportsAsked,
    UpdatedReport,
    event_faults,
    parse,
)
from market_adapters.openadr.wire_events import BadEvent
from tests.protocol.vtn import OK, VTN_ID, a_report_request, an_event, distribute

EXAMPLES = sorted((Path(__file__).parents[1] / "golden" / "openadr_read").glob("*.xml"))
NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)


def an_xml(*changes, **event):
    text = distribute(an_event(**event))
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return text.encode()


def the_event(data, **how):
    (event,) = parse(data, "dispatch.xml", **how).body.events
    return event


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT30M", 1800),
        ("P1DT2H3M4S", 93784),
        ("P1W", 604800),
        ("1W", 604800),
        ("PT1.5S", 1.5),
        ("PT0S", 0),
        ("P", 0),
        ("+PT1M", 60),
    ],
)
def test_a_duration_is_read(text, seconds):
    assert read_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "30M", "-PT1M", "P1M", "P1Y", "PT1H1D", "P99999999999D", "PT\u0663M"])
def test_a_duration_without_one_meaning_is_refused(text):
    with pytest.raises(ValueError, match="duration"):
        read_duration(text)


@pytest.mark.parametrize(
    "text",
    [
        "2025-06-01T12:00:00Z",
        "2025-06-01T13:00:00+01:00",
        "2025-06-01T12:00:00.000000999Z",
        "2025-06-01T12:00:00.Z",
    ],
)
def test_an_instant_is_read_as_utc(text):
    assert read_instant(text) == NOON


@pytest.mark.parametrize(
    "text",
    [
        "2025-06-01T12:00:00",
        "2025-06-01",
        "20250601T120000Z",
        "2025-13-01T12:00:00Z",
        "0001-01-01T00:00:00+01:00",
    ],
)
def test_an_instant_without_a_zone_or_a_meaning_is_refused(text):
    with pytest.raises(ValueError):
        read_instant(text)


@pytest.mark.parametrize("text", ["NaN", "INF", "-INF", "1e999", "1_0", "", "0x1"])
def test_what_is_not_a_finite_number_is_refused(text):
    with pytest.raises(ValueError, match="finite"):
        read_number(text)


@pytest.mark.parametrize("name", ["007", "1.2.3", "true", "...", "5"])
def test_ids_stay_the_text_they_are(name):
    event = the_event(an_xml(event_id=name))
    assert event.id == name


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_every_example_is_read_in_both_ways(path):
    assert read_message(path) == read_message(path, lenient=True)


def test_a_message_is_read_without_its_envelope():
    text = distribute(an_event())
    bare = text[text.index("<oadr:oadrDistributeEvent") : text.index("</oadr:oadrSignedObject>")]
    bare = bare.replace(
        "<oadr:oadrDistributeEvent",
        '<oadr:oadrDistributeEvent xmlns:oadr="http://openadr.org/oadr-2.0b/2012/07"',
        1,
    )
    assert the_event(bare.encode()) == the_event(text.encode())


def test_times_with_an_offset_and_lengths_in_weeks_are_read():
    event = the_event(an_xml(("2025-01-15T17:00:00.000000Z", "2025-01-15T18:00:00+01:00"), ("PT1H", "P1W")))
    assert (event.start, event.end) == (
        datetime(2025, 1, 15, 17, tzinfo=UTC),
        datetime(2025, 1, 22, 17, tzinfo=UTC),
    )


def test_intervals_that_say_only_how_long_they_are_follow_each_other():
    start = "<xcal:dtstart><xcal:date-time>2025-01-15T{}:00.000000Z</xcal:date-time></xcal:dtstart>"
    bare = an_xml((start.format("17:00"), ""), (start.format("17:30"), ""))
    assert the_event(bare) == the_event(an_xml())


def test_intervals_follow_each_other_by_their_numbers_wherever_they_stand():
    data = an_xml(kw=(-30.0, -20.0)).decode()
    first, second = re.findall(r"<(?:\w+:)?interval>.*?</(?:\w+:)?interval>", data, re.S)
    swapped = data.replace(first, "@").replace(second, first).replace("@", second)
    assert swapped != data
    values = [interval.value for interval in the_event(swapped.encode()).signals[0].intervals]
    assert values == [interval.value for interval in the_event(data.encode()).signals[0].intervals]


def test_an_open_end_is_none():
    open_ended = an_xml(("<duration>PT1H</duration>", "<duration>PT0S</duration>"), kw=(-30.0, -30.0))
    assert the_event(open_ended).end is None
    last = the_event(an_xml(("PT30M", "PT0S"), ("PT1H", "PT0S"), kw=(-30.0, -30.0))).signals[0].intervals
    assert [interval.end for interval in last] == [last[1].start, None]


def test_an_event_that_cannot_be_read_leaves_its_neighbour():
    text = distribute(an_event("bad", kw=(-1.0,)), an_event("good")).replace("-1.0", "NaN")
    bad, good = parse(text.encode()).body.events
    assert isinstance(bad, BadEvent)
    assert (bad.id, good.id) == ("bad", "good")


def test_every_fault_is_told_with_its_place():
    data = an_xml(
        ("<dtstart><date-time>2025-01-15T17:00:00.000000Z", "<dtstart><date-time>tomorrow"), ("far", "soon")
    )
    places = [fault.where for fault in event_faults(parse(data, "dispatch.xml").body)]
    assert places == [
        "dispatch.xml: oadrEvent[0].eiEvent.eiActivePeriod.properties.dtstart.date-time",
        "dispatch.xml: oadrEvent[0].eiEvent.eventDescriptor.eventStatus",
    ]


@pytest.mark.parametrize(
    ("change", "where", "value", "allowed"),
    [
        (
            ("siScaleCode>k", "siScaleCode>K"),
            "eiEventSignal.powerReal.siScaleCode",
            "K",
            "{'p', 'n', 'micro'",
        ),
        (("<ei:signalID>", "<ei:foo/><ei:signalID>"), "eiEventSignal.foo", "<foo>", "Expected is"),
    ],
)
def test_a_fault_of_the_schema_names_place_value_and_what_is_allowed(change, where, value, allowed):
    data = an_xml(change)
    (fault,) = event_faults(parse(data, "dispatch.xml").body)
    assert fault.where == f"dispatch.xml: oadrEvent[0].eiEvent.eiEventSignals.{where}"
    assert (fault.value, allowed in fault.allowed) == (value, True)


def test_a_lenient_reading_takes_what_has_one_meaning():
    data = an_xml(
        ("<ei:eventStatus>far", "<ei:eventStatus>FAR"),
        ("17:00:00.000000Z", "17:00:00"),
        ("<ei:priority>0</ei:priority>", ""),
        ("<oadr:oadrResponseRequired>always</oadr:oadrResponseRequired>", ""),
    )
    assert event_faults(parse(data).body)
    assert the_event(data, lenient=True) == the_event(an_xml())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("signalType>delta", "signalType>DELTA"), {}),
        (("<ei:modificationNumber>0</ei:modificationNumber>", ""), {}),
        (("<ei:eventStatus>far</ei:eventStatus>", ""), {"status": "none"}),
        (("<duration><duration>PT1H</duration></duration>", ""), {"end": None}),
        (("payloadFloat>", "payloadInt>"), {}),
        (("eventID>DSP-1<", "eventID> DSP-1\n<"), {}),
        (("<ei:priority>", "<ei:foo/><ei:priority>"), {}),
    ],
    ids=["type", "modification", "status", "duration", "integer", "space", "unknown"],
)
def test_what_a_lenient_reading_takes(change, said):
    assert the_event(an_xml(change), lenient=True) == replace(the_event(an_xml()), **said)


@pytest.mark.parametrize("value", ["true", "", "TRUE", "no"])
def test_any_test_event_but_false_is_a_test(value):
    assert the_event(an_xml(("testEvent>false", f"testEvent>{value}"))).test


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not xml",
        b"<a/>",
        b"<?xml version='1.0' encoding='nonsense'?><a/>",
        b"<oadrPayload><oadrSignedObject/></oadrPayload>",
        b"<oadrPayload/>",
        b"<oadrPoll/>",
        b"<a>" * 5000 + b"</a>" * 5000,
        b"<!doctype x><oadrPoll/>",
        '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x [<!ENTITY e "v">]><x>&e;</x>'.encode("utf-16"),
        b"x" * (2 * 1024 * 1024 + 1),
    ],
    ids=range(11),
)
def test_what_is_no_message_is_refused_in_one_line(data):
    with pytest.raises(BadMessage) as refusal:
        parse(data, "some.xml")
    assert all(str(fault).startswith("some.xml") and "\n" not in str(fault) for fault in refusal.value.faults)


def test_a_registration_is_read():
    profiles = [{"profile_name": "2.0b", "transports": [{"transport_name": "simpleHttp"}]}]
    text = create_message(
        "oadrCreatedPartyRegistration",
        response=OK,
        vtn_id=VTN_ID,
        ven_id="007",
        registration_id="1.2.3",
        profiles=profiles,
        requested_oadr_poll_freq=timedelta(seconds=10),
    )
    body = parse(text.encode()).body
    assert isinstance(body, CreatedPartyRegistration)
    assert (body.ven_id, body.registration_id, body.poll_every) == ("007", "1.2.3", timedelta(seconds=10))


def test_report_requests_are_read_with_their_window():
    request = a_report_request()
    request["report_specifier"]["report_interval"] = {"dtstart": NOON, "duration": timedelta(hours=2)}
    text = create_message("oadrCreateReport", request_id="c", ven_id="v", report_requests=[request])
    body = parse(text.encode()).body
    assert isinstance(body, ReportsAsked)
    (asked,) = body.requests
    assert (asked.start, asked.length, asked.back_duration) == (
        NOON,
        timedelta(hours=2),
        timedelta(minutes=5),
    )


def test_a_cancellation_beside_an_acknowledgement_is_read():
    cancel = {"request_id": "k", "report_request_id": ["a", "b"], "report_to_follow": False}
    body = parse(create_message("oadrUpdatedReport", response=OK, cancel_report=cancel).encode()).body
    assert isinstance(body, UpdatedReport)
    assert body.cancel.report_request_ids == ("a", "b")


@pytest.mark.parametrize(
    "data",
    [
        b"<oadrPoll>" + b"<a/>" * 60_001 + b"</oadrPoll>",
        b"<oadrDistributeEvent>" + b"<oadrEvent/>" * 1_000 + b"</oadrDistributeEvent>",
        an_xml(("<ei:interval>", "<ei:interval/>" * 1_000 + "<ei:interval>"), kw=(-1.0,)),
    ],
    ids=["elements", "events", "intervals"],
)
def test_a_message_of_nothing_but_faults_is_refused_briefly(data):
    for lenient in (False, True):
        with pytest.raises(BadMessage) as refusal:
            read_message(data, lenient)
        assert len(refusal.value.faults) <= 100
