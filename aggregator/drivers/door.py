"""The drivers' door over HTTP: ``/v1/cars/CAR`` and what lies beneath it, each for the car's own driver.

Who asks shows a bearer token; it opens one car. Any other car, there or not, looks like nothing. What is said
is stored before it is answered and reaches the control loop at once: a cycle begins. Answers carry the
version of what was said as ``ETag``; a write with ``If-Match`` of another version is refused. Of the driver's
words here and at the charger the latest told wins (``aggregator/model/drivers.py``).
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date

from aiohttp import web

from aggregator.drivers import answers
from aggregator.drivers.bodies import BODY
from aggregator.drivers.limits import Buckets
from aggregator.drivers.own_car import TAKEN_BACK, MustMatch, OwnCars
from aggregator.drivers.problems import Refused, told_as_problems
from aggregator.files.inputs import parse_json, shown
from aggregator.gateway import Gateway
from aggregator.model.drivers import Topic, Word
from aggregator.model.errors import BadMessage, Fault
from aggregator.model.fleet import Car
from aggregator.model.time import LONDON
from dispatch.controller import Controller

LARGEST_BODY = 4096
BODY_TIMEOUT_S = 10.0
WRONG_PER_MINUTE = 30
ROOT = "/v1/cars/{car_id}"
SIGNS_IN = {"WWW-Authenticate": 'Bearer realm="flexloop drivers"'}
LOOKS = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request whose token opens its car.

    Attributes:
        request: The request.
        car: As registered.
        token_id: Who asks.
    """

    request: web.Request
    car: Car
    token_id: str


Answer = Callable[[Asked], Awaitable[web.Response]]


class Door:
    """Answers drivers.

    Args:
        gateway: Whose drivers.
        controller: Its control loop.
    """

    def __init__(self, gateway: Gateway, controller: Controller) -> None:
        self._gateway = gateway
        self._cars = OwnCars(gateway, controller)
        self._by_driver = Buckets(gateway.settings.drivers.requests_per_minute)
        self._by_stranger = Buckets(WRONG_PER_MINUTE)

    def app(self) -> web.Application:
        """Return the web application."""
        app = web.Application(middlewares=[told_as_problems], client_max_size=LARGEST_BODY)
        looks = {"": self._state, "/plan": self._plan, "/shortfall": self._shortfall, "/cycles": self._cycles}
        for path, look in looks.items():
            app.router.add_get(ROOT + path, self._for_own_car(look), allow_head=False)
        for topic in Topic:
            path = f"{ROOT}/{topic.value}"
            app.router.add_get(path, self._for_own_car(self._look(topic)), allow_head=False)
            app.router.add_put(path, self._for_own_car(self._put(topic)))
            if topic in TAKEN_BACK:
                app.router.add_delete(path, self._for_own_car(self._take_back(topic)))
        return app

    # who asks

    def _for_own_car(self, answer: Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            asked = await self._let_in(request)
            response = await answer(asked)
            response.headers["Cache-Control"] = "no-store"
            return response

        return handle

    async def _let_in(self, request: web.Request) -> Asked:
        kind, _, text = request.headers.get("Authorization", "").partition(" ")
        token = None
        if kind.lower() == "bearer":
            token = await asyncio.to_thread(self._gateway.store.tokens.check, text.strip())
        if token is None:
            _must_wait(self._by_stranger.wait_s(request.remote or ""))
            raise Refused(401, "send Authorization: Bearer TOKEN, a token that holds", headers=SIGNS_IN)
        saying = request.method not in LOOKS  # who only looks too often can still boost at once (P3)
        _must_wait(self._by_driver.wait_s(f"{token.car_id} says" if saying else token.car_id))
        car = self._gateway.fleet.by_id.get(token.car_id)
        if car is None or request.match_info["car_id"] != token.car_id:
            raise Refused(404, "your token opens nothing here")
        return Asked(request, car, token.token_id)

    # what is told

    async def _state(self, asked: Asked) -> web.Response:
        _no_query(asked.request)
        now, cars = self._gateway.clock.now(), self._cars
        view = cars.view(asked.car, now)
        overdue = await asyncio.to_thread(cars.overdue, view, now)
        return web.json_response(
            answers.state_body(view, cars.miles_per_kwh, now, cars.stale_after, cars.faults(view), overdue)
        )

    async def _plan(self, asked: Asked) -> web.Response:
        _no_query(asked.request)
        now = self._gateway.clock.now()
        view, rows = await asyncio.to_thread(self._cars.plan, asked.car, now)
        return web.json_response(answers.plan_body(view, rows, now))

    async def _shortfall(self, asked: Asked) -> web.Response:
        _no_query(asked.request)
        now, cars = self._gateway.clock.now(), self._cars
        view = cars.view(asked.car, now)
        short_kwh = cars.short_kwh(view, now)
        return web.json_response(answers.shortfall_body(view, short_kwh, cars.miles_per_kwh, now))

    async def _cycles(self, asked: Asked) -> web.Response:
        _no_query(asked.request, "month")
        now, car_id = self._gateway.clock.now(), asked.car.car_id
        month = _month(asked.request.query.get("month"), now.astimezone(LONDON).date())
        counted = await asyncio.to_thread(self._cars.counted_nights, car_id, month, now)
        return web.json_response(answers.cycles_body(car_id, month, counted))

    # what is said

    def _look(self, topic: Topic) -> Answer:
        async def look(asked: Asked) -> web.Response:
            _no_query(asked.request)
            return self._told(asked, topic)

        return look

    def _put(self, topic: Topic) -> Answer:
        async def put(asked: Asked) -> web.Response:
            _no_query(asked.request)
            data = await _json_of(asked.request)
            await self._cars.put(asked.car, topic, data, asked.token_id, _matching(asked.request))
            return self._told(asked, topic)

        return put

    def _take_back(self, topic: Topic) -> Answer:
        async def take_back(asked: Asked) -> web.Response:
            _no_query(asked.request)
            await self._cars.take_back(asked.car, topic, asked.token_id, _matching(asked.request))
            return self._told(asked, topic)

        return take_back

    def _told(self, asked: Asked, topic: Topic) -> web.Response:
        word, now = self._cars.word(asked.car.car_id, topic), self._gateway.clock.now()
        view = self._cars.view(asked.car, now)
        body = answers.word_body(topic, word, view, self._cars.miles_per_kwh, now)
        return web.json_response(body, headers={"ETag": f'"{body["version"]}"'})


def _must_wait(seconds: int) -> None:
    if seconds:
        raise Refused(429, f"wait {seconds} s", headers={"Retry-After": str(seconds)})


def _matching(request: web.Request) -> MustMatch:
    """Return what refuses a write that was made for another version of what stands."""
    stated = request.headers.get("If-Match")

    def must_match(standing: Word | None) -> None:
        if stated is None or (stated.strip() == "*" and standing is not None):
            return
        version = standing.version if standing is not None else 0
        if f'"{version}"' not in [tag.strip() for tag in stated.split(",")]:
            fault = Fault("If-Match", shown(stated), f'"{version}", the version that stands')
            raise Refused(412, f'If-Match: "{version}" stands', [fault])

    return must_match


def _no_query(request: web.Request, *known: str) -> None:
    faults = [
        Fault(f"?{shown(name)}", "stated", f"one of {', '.join(known)}" if known else "no query at all")
        for name in request.query
        if name not in known
    ]
    if faults:
        raise BadMessage(*faults)


def _month(text: str | None, today: date) -> date:
    if text is None:
        return today.replace(day=1)
    try:
        found = date.fromisoformat(f"{text}-01") if re.fullmatch(r"\d{4}-\d\d", text) else None
    except ValueError:
        found = None
    if found is None or not date(2000, 1, 1) <= found <= today:
        raise BadMessage(Fault("?month", shown(text), f"a month until {today:%Y-%m}, such as {today:%Y-%m}"))
    return found


async def _json_of(request: web.Request) -> object:
    if request.content_type != "application/json" and request.can_read_body:
        raise Refused(415, "send Content-Type: application/json")
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            body = await request.read()
    except TimeoutError:
        raise Refused(408, f"the body was not there within {BODY_TIMEOUT_S:g} s") from None
    try:
        return parse_json(body, BODY) if body.strip() else {}
    except BadMessage as bad:
        raise Refused(400, "the body is no JSON object", bad.faults) from None
