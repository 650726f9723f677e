"""``openadr read`` of every other kind of message: its name and its fields."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from openleadr.messaging import create_message

from aggregator.ports import Opt
from market_adapters.openadr import messages
from market_adapters.openadr.messages import EventAnswer, render
from market_adapters.openadr.read import read_message
from tests.protocol.vtn import OK, VTN_ID, a_report_request

NOON = datetime(2025, 1, 14, 12, tzinfo=UTC)
PROFILES = [{"profile_name": "2.0b", "transports": [{"transport_name": "simpleHttp"}]}]
PENDING = [{"report_request_id": "007"}]
CANCEL = {"request_id": "k", "report_request_id": ["a", "b"], "report_to_follow": False}
OPT = {
    "opt_id": "o",
    "opt_type": "optOut",
    "opt_reason": "x-ill",
    "created_date_time": NOON,
    "event_id": "007",
}
FROM_A_PLATFORM = {
    "oadrCancelPartyRegistration": ({"registration_id": "1.2.3"}, {"registrationID": "1.2.3"}),
    "oadrCanceledOpt": ({"response": OK, "opt_id": "o"}, {"optID": "o"}),
    "oadrCanceledReport": (
        {"response": OK, "pending_reports": PENDING},
        {"oadrPendingReports.reportRequestID": "007"},
    ),
    "oadrCancelReport": ({**CANCEL, "report_request_id": "a"}, {"reportRequestID": "a"}),
    "oadrCreatedOpt": ({"response": OK, "opt_id": "o"}, {"optID": "o"}),
    "oadrCreatedPartyRegistration": (
        {
            "response": OK,
            "vtn_id": VTN_ID,
            "registration_id": "r",
            "profiles": PROFILES,
            "requested_oadr_poll_freq": timedelta(seconds=10),
        },
        {"vtnID": VTN_ID, "oadrRequestedOadrPollFreq.duration": "PT10S", "eiResponse.responseCode": "200"},
    ),
    "oadrCreatedReport": (
        {"response": OK, "pending_reports": PENDING},
        {"oadrPendingReports.reportRequestID": "007"},
    ),
    "oadrCreateReport": (
        {"report_requests": [a_report_request()]},
        {"oadrReportRequest.reportRequestID": "RR-telemetry"},
    ),
    "oadrRegisteredReport": (
        {"response": OK, "report_requests": [a_report_request()]},
        {"oadrReportRequest.reportSpecifier.granularity.duration": "PT1M"},
    ),
    "oadrRequestReregistration": ({}, {"venID": "ven <1>"}),
    "oadrResponse": ({"response": OK}, {"eiResponse.responseDescription": "OK"}),
    "oadrUpdatedReport": (
        {"response": OK, "cancel_report": CANCEL},
        {"oadrCancelReport.reportRequestID[0]": "a"},
    ),
}
FROM_A_VEN = {
    "oadrCancelOpt": ({"opt_id": "o"}, {"optID": "o"}),
    "oadrCreateOpt": (
        {**OPT, "modification_number": 3},
        {"optType": "optOut", "qualifiedEventID.modificationNumber": "3"},
    ),
}


def the_reading(data, name, fields):
    reading = read_message(data)
    assert (reading["message"], reading["signature"]) == (name, "unchecked")
    assert set(reading) == {"message", "vtn_id", "request_id", "signature", "fields"}
    assert reading["fields"].items() >= fields.items()
    json.dumps(reading)
    return reading


@pytest.mark.parametrize("name", [*FROM_A_PLATFORM, *FROM_A_VEN])
def test_a_message_is_named_with_its_fields(name):
    content, fields = {**FROM_A_PLATFORM, **FROM_A_VEN}[name]
    data = create_message(name, **{"request_id": "q", "ven_id": "ven <1>", **content}).encode()
    reading = the_reading(data, name, fields)
    assert reading["request_id"] in {"q", "r", "k", None}
    start = data.index(f"<oadr:{name}".encode())
    bare = data[start : data.index(b"</oadr:oadrSignedObject>")].replace(
        b" ", b' xmlns:oadr="http://openadr.org/oadr-2.0b/2012/07" ', 1
    )
    assert read_message(bare) == reading


@pytest.mark.parametrize(
    "message",
    [
        messages.query_registration("q"),
        messages.create_party_registration("q", "A & B", "v", "r", signed=True),
        messages.canceled_party_registration("v", "r", "q"),
        messages.response("v", "q", to="EiEvent"),
        messages.poll("v"),
        messages.request_event("v", "q"),
        messages.created_event("v", "q", [EventAnswer("007", 1, 200, "OK", Opt.IN)]),
        messages.register_report("v", "q", []),
        messages.registered_report("v", "q"),
        messages.created_report("v", "q", ["a"], ["b"]),
        messages.canceled_report("v", "q", ["a"]),
    ],
    ids=lambda message: message.name,
)
def test_each_message_of_ours_is_read_too(message):
    the_reading(render(message), message.name, {})
