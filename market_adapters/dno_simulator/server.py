"""The operator's VTN: openleadr's server, with its own queue, its own reports and its own message log.

openleadr's services do the transport, the schema check and the rendering. Replaced here are the handlers that
fall short: the stock ones work out event status by the wall clock, drop reports named ``x-`` when telemetry
is asked for too, ignore their METADATA, and forget a modification number. All is set on the instances:
openleadr keeps some of it on the class, where two servers in a process would share it.
"""

import math
import uuid
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from aiohttp import web
from lxml import etree
from openleadr import errors, messaging
from openleadr.server import OpenADRServer

from .book import Book
from .clock import Clock
from .events import as_event
from .market import notices, wanted
from .reading import Offer, Unreadable, read_answers, read_offers, read_reports, read_ven_name
from .record import MessageLog
from .scenario import Requirement, Scenario

PATH = "/OpenADR2/Simple/2.0b"
NO_LENGTH = "PT0S"  # openleadr renders a zero timedelta as a bare P
STANDING = ("telemetry", "status", "nomination", "settlement")
TELEMETRY_EVERY = timedelta(minutes=1)
TELEMETRY_SENT_EVERY = timedelta(minutes=5)

Message = tuple[str, dict[str, Any]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_BODY: ContextVar[bytes] = ContextVar("body")


@dataclass(slots=True)
class Ven:
    """A registered VEN and what it was served since it registered."""

    ven_id: str
    registration_id: str
    offers: dict[str, Offer] = field(default_factory=dict)
    served: set[tuple[str, int]] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)


class Vtn:
    """The platform as an aiohttp application.

    Args:
        scenario: What to play.
        clock: Domain time.
        book: Where what is received is kept.
        log: Where every message is written down.
        on_change: Called after anything that changes the books.
    """

    def __init__(
        self, scenario: Scenario, clock: Clock, book: Book, log: MessageLog, on_change: Callable[[], None]
    ) -> None:
        self._scenario = scenario
        self._clock = clock
        self._book = book
        self._log = log
        self._on_change = on_change
        self._vens: dict[str, Ven] = {}
        _harden()
        # The schema knows whole seconds only.
        poll = timedelta(seconds=math.ceil(scenario.poll_interval_s))
        self._server = OpenADRServer(vtn_id=scenario.vtn_id, http_path_prefix=PATH, requested_poll_freq=poll)
        self._wire()
        self.app: web.Application = self._server.app
        self.app.middlewares.append(self._recorded)

    def _wire(self) -> None:
        self._server.add_handler("on_poll", self._poll)
        self._server.add_handler("on_create_party_registration", self._register)
        self._server.add_handler("on_cancel_party_registration", self._unregister)
        services = self._server.services
        for service in services.values():
            service.ven_lookup = self._known
        services["event_service"].handlers |= {
            "oadrRequestEvent": self._request_event,
            "oadrCreatedEvent": self._created_event,
        }
        services["report_service"].handlers |= {
            "oadrRegisterReport": self._register_report,
            "oadrCreatedReport": self._created_report,
            "oadrUpdateReport": self._update_report,
        }

    @web.middleware
    async def _recorded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        body = await request.read()
        self._log.write("received", body.decode("utf-8", errors="replace"))
        if self._scenario.failing(self._clock.now()):
            self._log.write("sent", "", kind="http500")
            return web.Response(status=500)
        if _has_doctype(body):
            self._log.write("sent", "", kind="http400")
            return web.Response(status=400, text="a document type is not allowed")
        _BODY.set(body)
        try:
            response = await handler(request)
        except web.HTTPException as error:
            self._log.write("sent", "", kind=f"http{error.status}")
            raise
        text = (response.text if isinstance(response, web.Response) else None) or ""
        refused = response.status != HTTPStatus.OK
        self._log.write("sent", text, kind=f"http{response.status}" if refused else None if text else "empty")
        return response

    def _known(self, ven_id: str) -> dict[str, str] | None:
        ven = self._vens.get(str(ven_id))
        return None if ven is None else {"ven_id": ven.ven_id, "registration_id": ven.registration_id}

    def _register(self, _payload: dict[str, Any]) -> tuple[str, str]:
        # Made from the name, so that a VEN keeps its ids whichever side restarts.
        name = read_ven_name(_BODY.get())
        ven = Ven(
            ven_id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self._scenario.vtn_id}/ven/{name}")),
            registration_id=str(
                uuid.uuid5(uuid.NAMESPACE_URL, f"{self._scenario.vtn_id}/registration/{name}")
            ),
        )
        self._vens[ven.ven_id] = ven
        return ven.ven_id, ven.registration_id

    def _unregister(self, payload: dict[str, Any]) -> Message:
        ven_id = str(payload["ven_id"])
        ven = self._vens.pop(ven_id)
        return "oadrCanceledPartyRegistration", {"registration_id": ven.registration_id, "ven_id": ven_id}

    def _poll(self, ven_id: str) -> Message | None:
        now = self._clock.now()
        ven = self._vens[str(ven_id)]
        current = {(notice.id, notice.modification) for notice in notices(self._scenario, self._book, now)}
        if current - ven.served:
            return self._distribute(ven, now)
        for requirement in wanted(self._scenario, self._book, now):
            if "bid" in ven.offers and requirement.id not in ven.asked:
                ven.asked.add(requirement.id)
                return "oadrCreateReport", {"report_requests": [_bid_request(requirement, ven.offers["bid"])]}
        return None

    def _distribute(self, ven: Ven, now: datetime) -> Message:
        current = notices(self._scenario, self._book, now)
        ven.served |= {(notice.id, notice.modification) for notice in current}
        self._on_change()
        events = [as_event(notice, self._scenario.market_context, now) for notice in current]
        return "oadrDistributeEvent", {"events": events}

    def _request_event(self, payload: dict[str, Any]) -> Message:
        return self._distribute(self._vens[str(payload["ven_id"])], self._clock.now())

    def _created_event(self, _payload: dict[str, Any]) -> Message:
        for answer in read_answers(_BODY.get()):
            self._book.take_answer(answer)
        self._on_change()
        return "oadrResponse", {}

    def _register_report(self, payload: dict[str, Any]) -> Message:
        ven = self._vens[str(payload["ven_id"])]
        ven.offers = {offer.specifier_id: offer for offer in read_offers(_BODY.get())}
        for offer in ven.offers.values():
            self._book.scales |= {(offer.specifier_id, point.r_id): point.to_kilo for point in offer.points}
        requests = [self._standing_request(ven.offers[name]) for name in STANDING if name in ven.offers]
        return "oadrRegisteredReport", {"report_requests": requests}

    def _created_report(self, _payload: dict[str, Any]) -> Message:
        return "oadrResponse", {}

    def _update_report(self, _payload: dict[str, Any]) -> Message:
        now = self._clock.now()
        try:
            for report in read_reports(_BODY.get()):
                self._book.take_report(report, now)
        except Unreadable as error:
            raise errors.InvalidDataError(str(error)) from error
        self._on_change()
        return "oadrUpdatedReport", {}

    def _standing_request(self, offer: Offer) -> dict[str, Any]:
        name = offer.specifier_id
        if name == "telemetry":
            request = _request(f"RR-{name}", offer, TELEMETRY_EVERY, TELEMETRY_SENT_EVERY)
            if self._scenario.telemetry is not None:
                span = self._scenario.telemetry.span
                interval = {"dtstart": span.start, "duration": span.end - span.start}
                request["report_specifier"]["report_interval"] = interval
            return request
        return _request(f"RR-{name}", offer, NO_LENGTH, NO_LENGTH)


def _bid_request(requirement: Requirement, offer: Offer) -> dict[str, Any]:
    prefix = f"{requirement.zone}/{requirement.product}/"
    points = tuple(point for point in offer.points if point.r_id.startswith(prefix))
    return _request(requirement.id, Offer(offer.specifier_id, points or offer.points), NO_LENGTH, NO_LENGTH)


def _request(
    request_id: str, offer: Offer, granularity: timedelta | str, back_duration: timedelta | str
) -> dict[str, Any]:
    return {
        "report_request_id": request_id,
        "report_specifier": {
            "report_specifier_id": offer.specifier_id,
            "granularity": granularity,
            "report_back_duration": back_duration,
            "specifier_payloads": [{"r_id": p.r_id, "reading_type": p.reading_type} for p in offer.points],
        },
    }


def _harden() -> None:
    """Close two holes of openleadr that reach from a message into the process or into our answer.

    An entity in an internal DTD crashes the process while it is validated, and text is rendered unescaped.
    """
    messaging.XML_PARSER = etree.XMLParser(
        schema=messaging.XML_SCHEMA, resolve_entities=False, no_network=True
    )
    messaging.TEMPLATES.autoescape = True


def _has_doctype(body: bytes) -> bool:
    return any("<!DOCTYPE".encode(encoding) in body for encoding in ("utf-8", "utf-16-le", "utf-16-be"))
