"""A platform for tests: an aiohttp application that serves exactly what a test puts into its queue.

Messages are rendered with openleadr's templates; what comes in is held against the published schema.
"""

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from aiohttp import web
from aiohttp.test_utils import unused_port
from openleadr.messaging import create_message

from market_adapters.openadr.wire import Message, parse

VTN_ID = "DSO-Test"
CONTEXT = "http://dso.example/flex"
START = datetime(2025, 1, 15, 17, tzinfo=UTC)
HALF_HOUR = timedelta(minutes=30)
PATIENCE_S = 60.0
"""How long a test waits for what must come; no more than a limit on hanging."""
OK = {"response_code": 200, "response_description": "OK", "request_id": "r"}
KW = {"name": "powerReal", "description": "RealPower", "unit": "W", "scale": "k"}
KW["power_attributes"] = {"hertz": 50, "voltage": 230, "ac": True}


def an_event(event_id="DSP-1", *, modification=0, status="far", kw=(-30.0, -30.0), **changes):
    """One dispatch event as openleadr's template takes it."""
    signal = {
        "signal_name": changes.get("signal_name", "LOAD_DISPATCH"),
        "signal_type": changes.get("signal_type", "delta"),
        "signal_id": "order",
        "measurement": KW,
        "intervals": [
            {"dtstart": START + n * HALF_HOUR, "duration": HALF_HOUR, "signal_payload": value}
            for n, value in enumerate(kw)
        ],
    }
    return {
        "event_descriptor": {
            "event_id": event_id,
            "modification_number": modification,
            "modification_date_time": START - timedelta(days=1),
            "priority": 0,
            "market_context": f"{CONTEXT}/dispatch/day-ahead",
            "created_date_time": START - timedelta(days=1),
            "event_status": status,
            "test_event": False,
            "vtn_comment": "REQ-1",
        },
        "active_period": {"dtstart": START, "duration": len(kw) * HALF_HOUR},
        "event_signals": [signal],
        "targets": [{"group_id": changes.get("zone", "Hendon Way")}],
        "response_required": changes.get("response_required", "always"),
    }


def distribute(*events, request_id="d-1"):
    return create_message("oadrDistributeEvent", vtn_id=VTN_ID, request_id=request_id, events=list(events))


R_IDS = {
    "telemetry": ("Hendon Way/export_kw", "Hendon Way/export_kwh"),
    "status": ("Hendon Way/status",),
    "history": ("Hendon Way/export_kwh",),
    "bid": tuple(f"Hendon Way/day-ahead/{name}/1" for name in ("kw", "util", "avail")),
    "nomination": ("Hendon Way/nominated_kwh",),
    "settlement": tuple(f"Hendon Way/{name}_kwh" for name in ("nominated", "metered", "delivered")),
}


def a_report_request(
    request_id="RR-telemetry",
    specifier="telemetry",
    granularity="PT1M",
    back="PT5M",
    *,
    r_ids=None,
    start=None,
    length=None,
):
    wanted = R_IDS.get(specifier, ("0",)) if r_ids is None else r_ids
    content = {
        "report_specifier_id": specifier,
        "granularity": granularity,
        "report_back_duration": back,
        "specifier_payloads": [{"r_id": r_id, "reading_type": "Mean"} for r_id in wanted],
    }
    if start is not None:
        content["report_interval"] = {"dtstart": start, "duration": length}
    return {"report_request_id": request_id, "report_specifier": content}


def create_report(*requests, request_id="c"):
    return create_message("oadrCreateReport", request_id=request_id, report_requests=requests, ven_id="v")


def cancel_report(name, *, follow=False):
    content = {"request_id": "k", "report_request_id": name, "report_to_follow": follow}
    return create_message("oadrCancelReport", ven_id="v", **content)


def response(code=200, description="OK"):
    answer = {**OK, "response_code": code, "response_description": description}
    return create_message("oadrResponse", response=answer, ven_id="ven-1")


@dataclass
class FakeVtn:
    """Answers as a platform does, unless a test says otherwise.

    Attributes:
        events: What oadrRequestEvent is answered with.
        polls: What polls are answered with, in turn; bytes or text. Then oadrResponse.
        answers: Answers to the next messages of a name, before the usual ones; an int is an HTTP status.
        standing: Report requests that come with oadrRegisteredReport.
        keys: ``cert`` and ``key`` that its usual answers are signed with; none for no signature.
        tls: What its socket is secured with; None for plain HTTP.
        received: Every message, in order.
    """

    ven_id: str = "ven-1"
    events: tuple = ()
    standing: tuple = ()
    polls: deque = field(default_factory=deque)
    answers: dict = field(default_factory=dict)
    keys: dict = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    received: list[Message] = field(default_factory=list)
    port: int = field(default_factory=unused_port)
    _runner: web.AppRunner | None = None
    _arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self):
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://127.0.0.1:{self.port}/OpenADR2/Simple/2.0b"

    async def start(self):
        app = web.Application()
        app.router.add_post("/OpenADR2/Simple/2.0b/{service}", self._serve)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self.tls).start()

    async def stop(self):
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *_):
        await self.stop()

    def names(self):
        return [message.name for message in self.received]

    def last(self, name):
        return next(message for message in reversed(self.received) if message.name == name)

    async def until(self, name, count=1):
        async with asyncio.timeout(PATIENCE_S):
            async with self._arrived:
                await self._arrived.wait_for(lambda: self.names().count(name) >= count)

    async def _serve(self, request):
        message = parse(await request.read(), "from VEN")
        async with self._arrived:
            self.received.append(message)
            self._arrived.notify_all()
        planned = self.answers.get(message.name)
        answer = planned.pop(0) if planned else self._usual(message)
        if isinstance(answer, int):
            return web.Response(status=answer)
        body = answer.encode() if isinstance(answer, str) else answer
        return web.Response(body=body, content_type="application/xml")

    def _usual(self, message):
        request_id = message.fields.get("requestID", "r")
        answer = {**OK, "request_id": request_id}
        match message.name:
            case "oadrQueryRegistration" | "oadrCreatePartyRegistration":
                profiles = [{"profile_name": "2.0b", "transports": [{"transport_name": "simpleHttp"}]}]
                content = {"vtn_id": VTN_ID, "registration_id": "reg-1", "profiles": profiles}
                name = "oadrCreatedPartyRegistration"
            case "oadrRegisterReport":
                name, content = "oadrRegisteredReport", {"report_requests": list(self.standing)}
            case "oadrRequestEvent":
                content = {"vtn_id": VTN_ID, "request_id": "sync", "events": list(self.events)}
                return create_message("oadrDistributeEvent", **content, **self.keys)
            case "oadrPoll" if self.polls:
                return self.polls.popleft()
            case "oadrUpdateReport":
                name, content = "oadrUpdatedReport", {}
            case _:
                name, content = "oadrResponse", {}
        return create_message(name, response=answer, ven_id=self.ven_id, **content, **self.keys)
