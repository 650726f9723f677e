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
from datetime import date, datetime, timedelta

import structlog
from aiohttp import web

from aggregator.cycles import LONGEST_SILENCE, month_around
from aggregator.drivers import answers
from aggregator.drivers.bodies import BODY, read_saying
from aggregator.drivers.limits import Buckets
from aggregator.drivers.night import Scene, night
from aggregator.drivers.problems import Refused, told_as_problems
from aggregator.files.inputs import parse_json, shown
from aggregator.gateway import Gateway
from aggregator.model.drivers import NO_WORDS, Saying, Topic, V2g, Word, overrules
from aggregator.model.errors import BadMessage, Fault, RuleViolation
from aggregator.model.fleet import Car
from aggregator.model.time import LONDON
from aggregator.said import UNTOLD
from dispatch.controller import Controller
from dispatch.fleet_view import CarView

log = structlog.get_logger()

LARGEST_BODY = 4096
BODY_TIMEOUT_S = 10.0
WRONG_PER_MINUTE = 30
TRIES = 5
ROOT = "/v1/cars/{car_id}"
SIGNS_IN = {"WWW-Authenticate": 'Bearer realm="flexloop drivers"'}
LOOKS = ("GET", "HEAD")
TAKEN_BACK = (Topic.DEPARTURE, Topic.WEEK, Topic.BOOST, Topic.FLOOR)


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
        self._loop = controller
        self._settings = gateway.settings.drivers
        self._stale_after = 2 * timedelta(seconds=gateway.settings.dispatch.reporting_interval_s)
        self._by_driver = Buckets(self._settings.requests_per_minute)
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
        now, name = self._gateway.clock.now(), asked.car.car_id
        view, faults = self._view(asked.car, now), []
        if asked.car.site.zone in self._loop.orders.stopped():
            faults.append("your zone is stopped by its operator: no car gives energy")
        if view.is_plugged() and not self._loop.following.follows(name):
            faults.append("the car does not do what it is told: it is not counted on")
        if name in self._loop.shortfalls.kwh:
            faults.append("your target will be missed: see shortfall")
        return web.json_response(
            answers.state_body(view, self._settings.miles_per_kwh, now, self._stale_after, faults)
        )

    async def _plan(self, asked: Asked) -> web.Response:
        _no_query(asked.request)
        now, zone = self._gateway.clock.now(), asked.car.site.zone
        view, rows = self._view(asked.car, now), []
        if view.is_plugged():
            scene = Scene(
                view,
                self._beside(asked.car, now),
                lambda slots: self._gateway.prices(zone, slots),
                self._gateway.book.windows(zone),
                self._loop.guard_soc,
                zone in self._loop.orders.stopped(),
            )
            rows = await asyncio.to_thread(night, scene, now)
        return web.json_response(answers.plan_body(view, rows, now))

    def _view(self, car: Car, now: datetime) -> CarView:
        """Return a car as its driver wants it now: the loop takes what was just said a moment later."""
        return self._loop.view.wished(car.car_id, self._gateway.said.words().get(car.car_id, NO_WORDS), now)

    def _beside(self, car: Car, now: datetime) -> list[CarView]:
        """Return the other plugged cars of a car's home."""
        others = [one for one in self._gateway.fleet.cars if one.site.site_id == car.site.site_id]
        views = [self._view(one, now) for one in others if one.car_id != car.car_id]
        return [view for view in views if view.is_plugged()]

    async def _shortfall(self, asked: Asked) -> web.Response:
        _no_query(asked.request)
        now, name = self._gateway.clock.now(), asked.car.car_id
        view = self._view(asked.car, now)
        is_taken = self._loop.view.of(name).wish == view.wish
        by_loop_kwh = self._loop.shortfalls.kwh.get(name, 0.0) if is_taken else 0.0
        return web.json_response(answers.shortfall_body(view, by_loop_kwh, self._settings.miles_per_kwh, now))

    async def _cycles(self, asked: Asked) -> web.Response:
        _no_query(asked.request, "month")
        today = self._gateway.clock.now().astimezone(LONDON).date()
        month = _month(asked.request.query.get("month"), today)
        presence = await asyncio.to_thread(
            self._gateway.store.car_history.presence,
            asked.car.car_id,
            month_around(month),
            LONGEST_SILENCE,
        )
        return web.json_response(answers.cycles_body(asked.car.car_id, month, presence.stays))

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

            def anew() -> Word | None:
                now = self._gateway.clock.now()
                saying, until = read_saying(topic, data, asked.car, self._settings.miles_per_kwh, now)
                return self._unless_said(_word(asked, topic, saying, until=until))

            return await self._say(asked, topic, anew)

        return put

    def _take_back(self, topic: Topic) -> Answer:
        async def take_back(asked: Asked) -> web.Response:
            _no_query(asked.request)

            def anew() -> Word | None:
                word, now = self._word(asked.car.car_id, topic), self._gateway.clock.now()
                holds = word is not None and word.holds(now)
                at_charger = topic is Topic.BOOST and self._loop.view.charger_word(asked.car.car_id).boost
                overruled = at_charger and overrules(
                    self._loop.view.charger_word(asked.car.car_id), word, topic
                )
                return _word(asked, topic, None) if holds or overruled else None

            return await self._say(asked, topic, anew)

        return take_back

    async def _say(self, asked: Asked, topic: Topic, anew: Callable[[], Word | None]) -> web.Response:
        """Store a word where it says something new; who stated no version follows whoever was faster."""
        car_id, stated = asked.car.car_id, asked.request.headers.get("If-Match")
        for _ in range(TRIES):
            standing = self._word(car_id, topic)
            seen = standing.version if standing is not None else 0
            _must_match(stated, standing, seen)
            word = anew()
            if word is None:
                break
            try:
                await asyncio.to_thread(self._gateway.said.say, word, seen)
            except RuleViolation as overtaken:
                log.info("overtaken", car_id=car_id, reason=str(overtaken))
                continue
            self._loop.wake()
            log.info("driver_said", car_id=car_id, topic=topic.value, version=seen + 1, by=asked.token_id)
            break
        else:
            raise Refused(412, "others say something about this all the time: look, and try again")
        return self._told(asked, topic)

    def _unless_said(self, word: Word) -> Word | None:
        """Return a word; None where the same holds already, and no charger has said otherwise since."""
        last = self._word(word.car_id, word.topic)
        if last is None:
            same = isinstance(word.saying, V2g) and word.saying.on
            return None if same else word
        overruled = overrules(self._loop.view.charger_word(word.car_id), last, word.topic)
        same = last.holds(self._gateway.clock.now()) and (last.saying, last.until) == (
            word.saying,
            word.until,
        )
        return None if same and not overruled else word

    def _told(self, asked: Asked, topic: Topic) -> web.Response:
        word, now = self._word(asked.car.car_id, topic), self._gateway.clock.now()
        body = answers.word_body(topic, word, asked.car, self._settings.miles_per_kwh, now)
        return web.json_response(body, headers={"ETag": f'"{body["version"]}"'})

    def _word(self, car_id: str, topic: Topic) -> Word | None:
        return self._gateway.said.words().get(car_id, NO_WORDS).get(topic)


def _word(asked: Asked, topic: Topic, saying: Saying | None, until: datetime | None = None) -> Word:
    return Word(asked.car.car_id, topic, 0, UNTOLD, asked.token_id, saying, until)


def _must_wait(seconds: int) -> None:
    if seconds:
        raise Refused(429, f"wait {seconds} s", headers={"Retry-After": str(seconds)})


def _must_match(stated: str | None, standing: Word | None, version: int) -> None:
    """Refuse a write that was made for another version of what stands."""
    if stated is None or (stated.strip() == "*" and standing is not None):
        return
    tags = [tag.strip() for tag in stated.split(",")]
    if f'"{version}"' not in tags:
        fault = Fault("If-Match", shown(stated), f'"{version}", the version that stands')
        raise Refused(412, f'If-Match: "{version}" stands', [fault])


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
