"""Messages without events that say what cannot be: all of them are refused as a whole."""

from collections.abc import Iterator

from openleadr.messaging import create_message

from tests.protocol.hostile.case import Case, swap
from tests.protocol.vtn import OK, VTN_ID, a_report_request, response

PROFILES = [{"profile_name": "2.0b", "transports": [{"transport_name": "simpleHttp"}]}]
REGISTERED = create_message(
    "oadrCreatedPartyRegistration",
    response=OK,
    vtn_id=VTN_ID,
    ven_id="v",
    registration_id="r",
    profiles=PROFILES,
).encode()
ANSWER = response().encode()


def asked(*requests: dict[str, object]) -> bytes:
    """Return oadrCreateReport."""
    text: str = create_message("oadrCreateReport", request_id="c", report_requests=list(requests), ven_id="v")
    return text.encode()


ASKED = asked(a_report_request())


def other_cases() -> Iterator[Case]:
    """Yield all of them."""
    yield Case("2,001-report-requests", asked(*[a_report_request(f"RR-{n}") for n in range(2_001)]))
    for name, old, new in (
        ("request-without-an-id", "<ei:reportRequestID>RR-telemetry</ei:reportRequestID>", ""),
        ("request-with-an-empty-id", "RR-telemetry", ""),
        (
            "request-with-two-ids",
            "<ei:reportRequestID>",
            "<ei:reportRequestID>x</ei:reportRequestID><ei:reportRequestID>",
        ),
        ("request-without-a-specifier", ">telemetry<", "><"),
        ("granularity-of-a-month", "PT1M", "P1M"),
        ("granularity-below-zero", "PT1M", "-PT1M"),
        ("granularity-of-words", "PT1M", "often"),
        ("back-duration-without-end", "PT5M", "PT99999999999999H"),
        ("request-in-a-request", "<ei:reportSpecifier ", "<oadr:oadrReportRequest/><ei:reportSpecifier "),
    ):
        yield Case(name, swap(old, new, data=ASKED))
    for code in ("", "NaN", "-1", "2e2", "200 OK", "0x1CF", "4294967296", "\u0662\u0660\u0660"):
        yield Case(f"response-code-{code or 'blank'}", swap(">200<", f">{code}<", data=ANSWER))
    code = "<ei:responseCode>200</ei:responseCode>"
    yield Case("response-code-twice", swap(code, code * 2, data=ANSWER))
    yield Case("response-code-missing", swap(code, "", data=ANSWER))
    yield Case(
        "response-in-a-response", swap("<ei:eiResponse>", "<ei:eiResponse><ei:eiResponse/>", data=ANSWER)
    )
    end = "</oadr:oadrCreatedPartyRegistration>"
    often = (
        '<oadr:oadrRequestedOadrPollFreq><duration xmlns="urn:ietf:params:xml:ns:icalendar-2.0">{}</duration>'
        "</oadr:oadrRequestedOadrPollFreq>"
    )
    for length in ("-PT1S", "P1M", "soon", "PT99999999999999H"):
        yield Case(f"polled-every-{length}", swap(end, often.format(length) + end, data=REGISTERED))
    yield Case(
        "registration-with-two-ids",
        swap("<ei:venID>v</ei:venID>", "<ei:venID>v</ei:venID>" * 2, data=REGISTERED),
    )
