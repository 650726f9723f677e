"""Our messages, made with openleadr's templates: which service each goes to, and what it says."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from openleadr.messaging import create_message

from aggregator.ports import Opt, OptOut
from market_adapters.openadr.signing import Signer

OK = 200
MANY_VALUES = 200
MOST_TEXT = 500
REPORT_NOT_SUPPORTED = 461
NOT_PARTICIPATING = "notParticipating"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way out.

    Attributes:
        service: The last part of the address it is posted to.
        name: Its element.
        payload: What openleadr's template of that name takes.
        large: Whether it takes so long to render that a thread should.
    """

    service: str
    name: str
    payload: dict[str, Any]
    large: bool = False


@dataclass(frozen=True, slots=True)
class EventAnswer:
    """What we say to one version of one event."""

    event_id: str
    modification: int
    code: int
    description: str
    opt: Opt


def render(message: Outgoing, signer: Signer | None = None) -> bytes:
    """Return the bytes to post, signed if there is a signer."""
    text: str = create_message(message.name, **message.payload)
    return text.encode() if signer is None else signer.sign(text.encode())


def query_registration(request_id: str) -> Outgoing:
    """Ask how the platform wants to be talked to."""
    return Outgoing("EiRegisterParty", "oadrQueryRegistration", {"request_id": request_id})


def create_party_registration(
    request_id: str, ven_name: str, ven_id: str | None, registration_id: str | None, *, signed: bool
) -> Outgoing:
    """Register; with the ids we had, if we had any."""
    payload = {
        "request_id": request_id,
        "ven_name": ven_name,
        "ven_id": ven_id,
        "registration_id": registration_id,
        "profile_name": "2.0b",
        "transport_name": "simpleHttp",
        "transport_address": "",
        "report_only": False,
        "xml_signature": signed,
        "http_pull_model": True,
    }
    return Outgoing("EiRegisterParty", "oadrCreatePartyRegistration", payload)


def cancel_party_registration(request_id: str, registration_id: str, ven_id: str) -> Outgoing:
    """Give our registration back."""
    payload = {"request_id": request_id, "registration_id": registration_id, "ven_id": ven_id}
    return Outgoing("EiRegisterParty", "oadrCancelPartyRegistration", payload)


def canceled_party_registration(ven_id: str, registration_id: str | None, request_id: str) -> Outgoing:
    """Confirm that the platform took our registration back."""
    payload = {"response": _response(request_id), "registration_id": registration_id, "ven_id": ven_id}
    return Outgoing("EiRegisterParty", "oadrCanceledPartyRegistration", payload)


def response(ven_id: str, request_id: str, code: int = OK, description: str = "OK", *, to: str) -> Outgoing:
    """Answer a message for which there is no answer of its own."""
    return Outgoing(
        to, "oadrResponse", {"response": _response(request_id, code, description), "ven_id": ven_id}
    )


def poll(ven_id: str) -> Outgoing:
    """Ask for the next message."""
    return Outgoing("OadrPoll", "oadrPoll", {"ven_id": ven_id})


def request_event(ven_id: str, request_id: str) -> Outgoing:
    """Ask for all current events."""
    return Outgoing("EiEvent", "oadrRequestEvent", {"request_id": request_id, "ven_id": ven_id})


def created_event(ven_id: str, request_id: str, answers: Sequence[EventAnswer]) -> Outgoing:
    """Answer the events of one oadrDistributeEvent, whose requestID is given."""
    responses = [
        {
            "response_code": answer.code,
            "response_description": answer.description,
            "request_id": request_id,
            "event_id": answer.event_id,
            "modification_number": answer.modification,
            "opt_type": answer.opt.value,
        }
        for answer in answers
    ]
    payload = {"response": _response(request_id), "event_responses": responses, "ven_id": ven_id}
    return Outgoing("EiEvent", "oadrCreatedEvent", payload)


def create_opt(ven_id: str, opt: OptOut) -> Outgoing:
    """Opt out of an event version; sent again it is the same message."""
    payload = {
        "opt_id": opt.report_id,
        "opt_type": Opt.OUT.value,
        "opt_reason": NOT_PARTICIPATING,
        "ven_id": ven_id,
        "created_date_time": opt.created_at,
        "request_id": opt.report_id,
        "event_id": opt.event.event_id,
        "modification_number": opt.event.modification,
    }
    return Outgoing("EiOpt", "oadrCreateOpt", payload)


def register_report(
    ven_id: str, request_id: str, metadata: list[dict[str, Any]], asked_as: str | None = None
) -> Outgoing:
    """Say what we can report; ``asked_as`` is the reportRequestID by which the platform asked for it."""
    payload = {
        "request_id": request_id,
        "ven_id": ven_id,
        "reports": metadata,
        "report_request_id": asked_as,
    }
    values = sum(len(report["report_descriptions"]) for report in metadata)
    return Outgoing("EiReport", "oadrRegisterReport", payload, values > MANY_VALUES)


def registered_report(ven_id: str, request_id: str) -> Outgoing:
    """Confirm what the platform says it can report; we want none of it."""
    payload = {"response": _response(request_id), "report_requests": [], "ven_id": ven_id}
    return Outgoing("EiReport", "oadrRegisteredReport", payload)


def created_report(ven_id: str, request_id: str, pending: Sequence[str], refusals: Sequence[str]) -> Outgoing:
    """Confirm report requests, and say what of them we can't serve."""
    code, text = (REPORT_NOT_SUPPORTED, "; ".join(refusals)[:MOST_TEXT]) if refusals else (OK, "OK")
    payload = {
        "response": _response(request_id, code, text),
        "pending_reports": [{"report_request_id": name} for name in pending],
        "ven_id": ven_id,
    }
    return Outgoing("EiReport", "oadrCreatedReport", payload)


def canceled_report(ven_id: str, request_id: str, pending: Sequence[str]) -> Outgoing:
    """Confirm that reports were cancelled, and say which are left."""
    payload = {
        "response": _response(request_id),
        "pending_reports": [{"report_request_id": name} for name in pending],
        "ven_id": ven_id,
    }
    return Outgoing("EiReport", "oadrCanceledReport", payload)


def update_report(ven_id: str, report: dict[str, Any]) -> Outgoing:
    """Send values; sent again it is the same message, as its request id is the report's own."""
    payload = {"request_id": report["report_id"], "ven_id": ven_id, "reports": [report]}
    return Outgoing("EiReport", "oadrUpdateReport", payload, len(report["intervals"]) > MANY_VALUES)


def _response(request_id: str, code: int = OK, description: str = "OK") -> dict[str, Any]:
    return {"response_code": code, "response_description": description, "request_id": request_id}


def new_id() -> str:
    """Return an id that no message had."""
    return str(uuid4())
