"""The operator's VTN: openleadr's server, with its own queue, its own reports and its own message log.

openleadr's services do the transport, the schema check and the rendering. Replaced here are the handlers that
fall short: the stock ones work out event status by the wall clock, drop reports named ``x-`` when telemetry
is asked for too, ignore their METADATA, forget a modification number, and know no EiOpt. All is set on the
instances: openleadr keeps some of it on the class, where two servers in a process would share it.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any

from aiohttp import web
from lxml import etree
from openleadr import errors, messaging, utils
from openleadr.server import OpenADRServer
from openleadr.service import VTNService, service

from .clock import WALL_CLOCK, Clock
from .faults import SPOILED, UNHEARD, spoil, turn_away
from .reading import Unreadable, read_opt
from .record import MessageLog
from .replies import Message, cancelled_in_passing, distribute, next_message, standing_requests
from .scenario import Scenario
from .security import OLDEST_SIGNATURE, NotSigned
from .state import State, Ven

PATH = "/OpenADR2/Simple/2.0b"
NO_LENGTH = "PT0S"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Asked:
    """The request that is being answered.

    Attributes:
        at: Domain time at which it came; all of the answer is of that time.
        heard: Whether the answer will get there as it should.
    """

    request: web.Request
    body: bytes
    at: datetime
    heard: bool


_ASKED: ContextVar[Asked] = ContextVar("asked")


@service("EiOpt")
class OptService(VTNService):  # type: ignore[misc]  # openleadr has no types
    """The service that openleadr's server lacks; its handlers are set by the platform."""


class Vtn:
    """The platform as an aiohttp application.

    Args:
        scenario: What to play.
        clock: Domain time.
        state: What is known, and what is received.
        log: Where every message is written down.
        on_change: Called after anything that changes the books.
    """

    def __init__(
        self, scenario: Scenario, clock: Clock, state: State, log: MessageLog, on_change: Callable[[], None]
    ) -> None:
        self._scenario = scenario
        self._clock = clock
        self._state = state
        self._log = log
        self._on_change = on_change
        self._stopping = asyncio.Event()
        _harden()
        # The schema knows whole seconds only.
        poll = timedelta(seconds=math.ceil(scenario.poll_interval_s))
        self._server = OpenADRServer(vtn_id=scenario.vtn_id, http_path_prefix=PATH, requested_poll_freq=poll)
        self.app: web.Application = self._server.app
        self._wire()
        self.app.middlewares.append(self._recorded)
        self.app.on_shutdown.append(self._stop)

    def _wire(self) -> None:
        self._server.add_handler("on_poll", self._poll)
        self._server.add_handler("on_create_party_registration", self._register)
        services = self._server.services
        services["opt_service"] = opts = OptService(self._scenario.vtn_id)
        self.app.add_routes([web.post(f"{PATH}/EiOpt", opts.handler)])
        for one in services.values():
            one.ven_lookup = self._known
            one.verify_message_signatures = False  # checked before, and by any transport
            one._create_message = self._rendered
        services["registration_service"].handlers |= {
            "oadrCancelPartyRegistration": self._unregister,
            "oadrCanceledPartyRegistration": self._unregistered,
        }
        services["event_service"].handlers |= {
            "oadrRequestEvent": self._request_event,
            "oadrCreatedEvent": self._created_event,
        }
        services["report_service"].handlers |= {
            "oadrRegisterReport": self._register_report,
            "oadrCreatedReport": self._noted,
            "oadrCanceledReport": self._noted,
            "oadrUpdateReport": self._update_report,
        }
        opts.handlers |= {"oadrCreateOpt": self._create_opt, "oadrCancelOpt": self._cancel_opt}

    async def _stop(self, _app: web.Application) -> None:
        self._stopping.set()

    @web.middleware
    async def _recorded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        body, now = await request.read(), self._clock.now()
        name = request.path.rpartition("/")[2]
        self._log.write("received", body.decode("utf-8", errors="replace"))
        unheard = self._scenario.failure(now, name, *UNHEARD)
        if unheard is not None:
            self._log.write("sent", "", kind=unheard.kind)
            return await turn_away(unheard, request, self._stopping)
        spoiled = self._scenario.failure(now, name, *SPOILED)
        _ASKED.set(Asked(request, body, now, heard=spoiled is None))
        response = await self._answered(request, handler, body, None if spoiled is None else spoiled.kind)
        response.headers["Date"] = format_datetime(
            WALL_CLOCK.now() + self._scenario.clock_offset(now), usegmt=True
        )
        if spoiled is not None and response.status == HTTPStatus.OK:
            return await spoil(spoiled, request, _text(response).encode(), self._stopping)
        return response

    async def _answered(
        self, request: web.Request, handler: Handler, body: bytes, spoiled: str | None
    ) -> web.StreamResponse:
        refusal = self._refusal(body)
        if refusal is not None:
            self._log.write("sent", "", kind=f"http{refusal.status}")
            return refusal
        try:
            response = await handler(request)
        except web.HTTPException as error:
            self._log.write("sent", "", kind=f"http{error.status}")
            raise
        text = _text(response)
        kind = spoiled or (None if text else "empty")
        self._log.write("sent", text, kind if response.status == HTTPStatus.OK else f"http{response.status}")
        return response

    def _refusal(self, body: bytes) -> web.Response | None:
        if _has_doctype(body):
            return web.Response(status=HTTPStatus.BAD_REQUEST, text="a document type is not allowed")
        if self._scenario.signing is not None:
            try:
                self._scenario.signing.check(body)
            except NotSigned as error:
                return web.Response(status=HTTPStatus.FORBIDDEN, text=str(error))
        return None

    def _rendered(self, message: str, **payload: object) -> str:
        if self._scenario.signing is None:
            text: str = messaging.create_message(message, **payload)
            return text
        return self._scenario.signing.render(message, payload, self._scenario.clock_offset(_ASKED.get().at))

    def _known(self, ven_id: str) -> dict[str, str] | None:
        """Who a VEN is; which certificate it may use is settled by the CA, and by whom it signs as."""
        asked = _ASKED.get()
        ven = self._state.ven(str(ven_id), asked.at)
        if ven is None:
            return None
        fingerprint = utils.get_cert_fingerprint_from_request(asked.request)
        return {"ven_id": ven.ven_id, "registration_id": ven.registration_id, "fingerprint": fingerprint}

    def _ven(self, payload: dict[str, Any]) -> Ven:
        ven = self._state.ven(str(payload["ven_id"]), _ASKED.get().at)
        if ven is None:
            raise errors.RequestReregistration(payload["ven_id"])
        return ven

    def _take(self, what: str, ven_id: str) -> None:
        """Take in the message that is being answered."""
        asked = _ASKED.get()
        try:
            self._state.take(what, ven_id, asked.body, asked.at)
        except Unreadable as error:
            raise errors.InvalidDataError(str(error)) from error
        self._on_change()

    def _register(self, _payload: dict[str, Any]) -> tuple[str, str]:
        asked = _ASKED.get()
        if self._scenario.failure(asked.at, "EiRegisterParty", "reject_registration"):
            raise errors.NotRegisteredOrAuthorizedError("no VEN is registered at this time")
        ids = self._state.ids(asked.body)
        self._state.take("oadrCreatePartyRegistration", ids[0], asked.body, asked.at)
        return ids

    def _unregister(self, payload: dict[str, Any]) -> Message:
        ven = self._ven(payload)
        self._take("oadrCancelPartyRegistration", ven.ven_id)
        ids = {"registration_id": ven.registration_id, "ven_id": ven.ven_id}
        return "oadrCanceledPartyRegistration", ids

    def _unregistered(self, payload: dict[str, Any]) -> Message:
        self._take("oadrCanceledPartyRegistration", self._ven(payload).ven_id)
        return "oadrResponse", {}

    def _poll(self, ven_id: str) -> Message | None:
        asked = _ASKED.get()
        message = next_message(self._state, self._ven({"ven_id": ven_id}), asked.at, kept=asked.heard)
        if message is not None:
            self._on_change()
        return message

    def _request_event(self, payload: dict[str, Any]) -> Message:
        asked = _ASKED.get()
        return distribute(self._state, self._ven(payload), asked.at, kept=asked.heard)

    def _created_event(self, payload: dict[str, Any]) -> Message:
        self._take("oadrCreatedEvent", str(payload["ven_id"]))
        return "oadrResponse", {}

    def _register_report(self, payload: dict[str, Any]) -> Message:
        ven = self._ven(payload)
        self._take("oadrRegisterReport", ven.ven_id)
        return "oadrRegisteredReport", {"report_requests": standing_requests(self._scenario, ven)}

    def _noted(self, _payload: dict[str, Any]) -> Message:
        return "oadrResponse", {}

    def _update_report(self, payload: dict[str, Any]) -> Message:
        ven = self._ven(payload)
        self._take("oadrUpdateReport", ven.ven_id)
        asked = _ASKED.get()
        cancelled = cancelled_in_passing(self._state, ven, asked.at, kept=asked.heard)
        return "oadrUpdatedReport", {"cancel_report": cancelled}

    def _create_opt(self, payload: dict[str, Any]) -> Message:
        self._take("oadrCreateOpt", self._ven(payload).ven_id)
        return "oadrCreatedOpt", {"opt_id": read_opt(_ASKED.get().body).opt_id}

    def _cancel_opt(self, payload: dict[str, Any]) -> Message:
        self._take("oadrCancelOpt", self._ven(payload).ven_id)
        return "oadrCanceledOpt", {"opt_id": read_opt(_ASKED.get().body).opt_id}


def _harden() -> None:
    """Close holes of openleadr that reach from a message into the process or into our answer.

    An entity in an internal DTD crashes the process while it is validated, text is rendered unescaped, no
    length of time as a bare P; and a VEN whose clock is 6 s behind would be refused.
    """
    messaging.XML_PARSER = etree.XMLParser(
        schema=messaging.XML_SCHEMA, resolve_entities=False, no_network=True
    )
    messaging.TEMPLATES.autoescape = True
    messaging.TEMPLATES.filters["timedeltaformat"] = _duration
    messaging.REPLAY_PROTECT_MAX_TIME_DELTA = OLDEST_SIGNATURE


def _duration(length: timedelta | str) -> str:
    text: str = utils.timedeltaformat(length)
    return NO_LENGTH if length == timedelta(0) else text


def _text(response: web.StreamResponse) -> str:
    return (response.text if isinstance(response, web.Response) else None) or ""


def _has_doctype(body: bytes) -> bool:
    return any("<!DOCTYPE".encode(encoding) in body for encoding in ("utf-8", "utf-16-le", "utf-16-be"))
