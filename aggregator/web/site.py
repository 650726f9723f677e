"""The desk's site: who asks is let in or sent to sign in, then a page is made, or an action done.

A page and its forms work without scripts; with them forms are sent in place, and pages are made anew as soon
as something changes. After a form the browser is sent to a page that tells what came of it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from aiohttp import web

from aggregator.desk_settings import DESK_ROLES, DRIVER
from aggregator.drivers.problems import TITLES, Refused
from aggregator.files.inputs import validate
from aggregator.gateway import Gateway
from aggregator.model.drivers import Topic
from aggregator.model.errors import BadMessage, Unavailable
from aggregator.ports import Clock
from aggregator.web import routes
from aggregator.web.actions import ACTIONS, MANY, STOP
from aggregator.web.answers import as_json, json_of, own_path, page_behind, see
from aggregator.web.assets import PREFIX, Assets
from aggregator.web.audit_looks import AuditLooks
from aggregator.web.bid_looks import BidLooks
from aggregator.web.bodies import SignIn
from aggregator.web.doing import Doing, Refusing
from aggregator.web.driver_looks import DriverLooks
from aggregator.web.earlier import Earlier
from aggregator.web.fleet_looks import FleetLooks
from aggregator.web.forms_back import FormsBack
from aggregator.web.frame import Frame
from aggregator.web.lately import WITHOUT_DATABASE
from aggregator.web.money_looks import MoneyLooks
from aggregator.web.people import CSRF_FIELD, Entrance, Person, must_be_meant, must_have
from aggregator.web.problems import answering, is_form, wants_page, with_headers
from aggregator.web.proxied import as_at_the_proxy
from aggregator.web.routes import Answer
from aggregator.web.rules_looks import RulesLooks
from aggregator.web.stopping import HELD, Stopping
from aggregator.web.stream import Stream
from aggregator.web.typed import by_people
from aggregator.web.words import path_of
from dispatch.controller import Controller

LARGEST_BODY = 64 * 1024
AWAY = 503
OWN_CAR = "/my-car"
NOT_TOLD_AGAIN = ("/sign-in", "/sign-out")
"""Forms whose fields no page repeats: passwords are among them."""


class Site:
    """Answers browsers and programs.

    Args:
        gateway: Whose desk.
        controller: Its control loop.
        wall: For sessions; the machine's clock without.
    """

    def __init__(self, gateway: Gateway, controller: Controller, wall: Clock | None = None) -> None:
        self._assets = Assets()
        self._frame = Frame(gateway, controller, self._assets)
        ground = self._frame.ground
        self._names = {"zone": tuple(ground.zones), "product": tuple(sorted(gateway.settings.products))}
        self._stopping = Stopping(ground, gateway.book, controller.wake, gateway.patience)
        self._entrance = Entrance(gateway.settings, gateway.store, gateway.clock, gateway.patience, wall)
        zones, earlier = self._frame.ground.zones, Earlier(gateway)
        pictures = (self._frame.picture, self._frame.picture_without_store)
        self._stream = Stream(*pictures, self._entrance, zones, earlier=earlier)

    def app(self) -> web.Application:
        """Return the web application."""
        said = self._frame.gateway.settings.desk
        proxied = [as_at_the_proxy] if said.behind_tls_proxy else []
        middlewares = [answering(self._problem_page), *proxied]
        app = web.Application(middlewares=middlewares, client_max_size=LARGEST_BODY)
        app.on_response_prepare.append(with_headers(secured=said.is_secured))
        app.on_startup.append(self._stream.open)
        app.on_shutdown.append(self._stream.close)
        app.on_shutdown.append(self._frame.workshop.close)
        app.router.add_get(f"{PREFIX}/{{version}}/{{name:.+}}", self._assets.serve)
        app.router.add_get("/sign-in", self._sign_in_page)
        app.router.add_post("/sign-in", self._sign_in)
        anybody = (*DESK_ROLES, DRIVER)
        app.router.add_post("/sign-out", self._let_in(self._sign_out, anybody, "sign out"))
        app.router.add_post(routes.SESSION, self._session)
        app.router.add_delete(routes.SESSION, self._let_in(self._end_session, anybody, "sign out"))
        app.router.add_get(routes.DESCRIPTION, self._openapi_json, allow_head=False)
        looks: Mapping[str, Answer] = {
            **BidLooks(self._frame).answers(),
            **MoneyLooks(self._frame).answers(),
            **AuditLooks(self._frame).answers(),
            **RulesLooks(self._frame).answers(),
            **FleetLooks(self._frame).answers(),
            **DriverLooks(self._frame).answers(),
            "stream": self._stream.serve,
        }
        doing = Doing(self._frame.ground, self._stopping, FormsBack(looks))
        for look in routes.LOOKS:
            asks = routes.named(look.asks, self._names)
            found = looks[look.name] if look.is_page else routes.strictly(looks[look.name], asks)
            answer = self._let_in(found, look.roles, "look here")
            app.router.add_get(look.path, answer, allow_head=False)
        for form in routes.FORMS:
            app.router.add_post(form.path, self._let_in(looks[form.name], form.roles, "speak for a car"))
            app.router.add_get(form.path, _page_of_a_form, allow_head=False)
        for action in ACTIONS:
            who = self._entrance.who_may_stop if action is STOP else self._entrance.who
            refused = doing.refused_one(action)
            answer = self._let_in(routes.strictly(doing.one(action)), action.roles, action.name, refused, who)
            app.router.add_post(action.path, answer)
        for path, action in MANY.items():
            refused = doing.refused_many(action)
            app.router.add_post(
                path, self._let_in(routes.strictly(doing.many(action)), action.roles, action.name, refused)
            )
        return app

    # who asks

    def _let_in(
        self,
        answer: Answer,
        roles: Sequence[str],
        to: str,
        refusing: Refusing | None = None,
        who: Callable[[web.Request], Awaitable[Person | None]] | None = None,
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Return what answers those who have one of some roles; ``to`` is what it takes one to do.

        Where somebody of the desk has none, ``refusing`` notes it. Who has not signed in leaves no row.
        ``who`` tells who asks; by the session without.
        """
        asking = who or self._entrance.who

        async def handle(request: web.Request) -> web.StreamResponse:
            person = await asking(request)
            if person is None:
                if not wants_page(request):
                    raise Refused(401, "sign in first: POST /v1/session")
                if request.method == "POST":
                    raise Refused(401, "nothing was done: sign in anew, then send it again")
                raise web.HTTPSeeOther(f"/sign-in?next={path_of(own_path(request.path_qs))}")
            try:
                must_have(person, roles, to)
            except Refused as refused:
                if refusing is not None and not person.is_driver:
                    with suppress(Refused):  # what nobody meant is in nobody's name
                        await refusing(request, person, refused.detail)
                raise
            return await answer(request, person)

        return handle

    async def _sign_in_page(self, request: web.Request) -> web.Response:
        where = own_path(request.query.get("next", "/"))
        return self._frame.page("sign_in", next=where, user="", refused="", driver=_is_drivers(where))

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        where = own_path(str(form.get("next", "/")))
        user, password, token = (str(form.get(name, ""))[:200] for name in ("user", "password", "token"))
        try:
            if "token" in form:
                person = await self._entrance.sign_in_driver(request, token)
            else:
                person = await self._entrance.sign_in(request, user, password)
        except Refused as refused:
            page = self._frame.page(
                "sign_in", next=where, user=user, refused=refused.detail, driver="token" in form
            )
            page.set_status(refused.status)
            page.headers.update(refused.headers)
            return page
        response = see(where if _is_drivers(where) == person.is_driver else _home(person))
        self._entrance.remember(response, person)
        return response

    async def _session(self, request: web.Request) -> web.Response:
        routes.must_ask(request)
        try:
            said = validate(SignIn, await json_of(request), "body")
        except BadMessage as bad:
            raise bad.untold() from None
        if said.token is not None:
            person = await self._entrance.sign_in_driver(request, said.token)
        else:
            person = await self._entrance.sign_in(request, said.user or "", said.password or "")
        response = as_json({"user": person.name, "roles": sorted(person.roles), "csrf": person.csrf})
        self._entrance.remember(response, person)
        return response

    async def _sign_out(self, request: web.Request, person: Person) -> web.StreamResponse:
        must_be_meant(request, person, (await request.post()).get(CSRF_FIELD))
        return await self._end(person, see(f"/sign-in?next={OWN_CAR}" if person.is_driver else "/sign-in"))

    async def _end_session(self, request: web.Request, person: Person) -> web.StreamResponse:
        routes.must_ask(request)
        must_be_meant(request, person, None)
        return await self._end(person, web.Response(status=204))

    async def _end(self, person: Person, response: web.Response) -> web.Response:
        """End a session, and answer so."""
        await self._entrance.sign_out(person)
        self._stream.somebody_left()
        self._entrance.forget(response)
        return response

    async def _problem_page(self, request: web.Request, refused: Refused) -> web.StreamResponse:
        try:
            person = await self._entrance.who(request)
        except Unavailable:  # a page all the same: of nobody, as nobody knows who asks
            person = None
        back = page_behind(request)
        if person is not None and person.is_driver:
            back = _home(person)
        looks_again = refused.status == AWAY and request.method == "GET"
        is_desks = not _is_drivers(request.path)
        page = self._frame.page(
            "refused",
            person,
            page="",
            refused_title=TITLES[refused.status],
            detail=refused.detail,
            status=refused.status,
            path=request.path,
            faults=refused.faults,
            back=own_path(request.path_qs if looks_again else back),
            again=looks_again,
            sent=await _sent(request),
            stopped=refused.status == HELD,
            emergency=WITHOUT_DATABASE if looks_again and person is None and is_desks else "",
            stopper=self._entrance.seen_lately(request),
        )
        page.set_status(refused.status)
        page.headers.update(refused.headers)
        return page

    async def _openapi_json(self, request: web.Request) -> web.Response:
        routes.must_ask(request)
        person = None
        with suppress(Unavailable):
            person = await self._entrance.who(request)
        return as_json(routes.openapi({} if person is None or person.is_driver else self._names))


async def _page_of_a_form(request: web.Request) -> web.Response:
    """Send who comes back to the address of a driver's form, as after one that was refused, to its page."""
    if request.match_info["topic"] not in set(Topic):
        raise web.HTTPNotFound
    return see(OWN_CAR)


async def _sent(request: web.Request) -> Mapping[str, Sequence[tuple[str, str]]]:
    """Return the fields of a form that came to nothing: all of them, and those that a person filled in."""
    if request.method != "POST" or not is_form(request) or request.path in NOT_TOLD_AGAIN:
        return {"all": (), "typed": ()}
    try:
        fields = list((await request.post()).items())
    except (ValueError, web.HTTPException):  # what cannot be read was not typed
        fields = []
    every = [(name, value) for name, value in fields if isinstance(value, str)]
    return {"all": every, "typed": list(by_people(every).items())}


def _is_drivers(path: str) -> bool:
    """Whether a path is of a driver's own car."""
    return urlsplit(path).path == OWN_CAR


def _home(person: Person) -> str:
    return OWN_CAR if person.is_driver else "/"
