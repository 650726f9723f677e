"""The desk's site: who asks is let in or sent to sign in, then a page is made, or an action done.

A page and its forms work without scripts; with them forms are sent in place, and pages are made anew as soon
as something changes. After a form the browser is sent to a page that tells what came of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import TypeVar
from urllib.parse import urlsplit

from aiohttp import web

from aggregator.bid_text import summary, whole
from aggregator.drivers.problems import TITLES, Refused
from aggregator.files.inputs import Row, validate
from aggregator.gateway import Gateway
from aggregator.model.time import utc_text
from aggregator.ports import Clock
from aggregator.store import DeskAction
from aggregator.web import routes
from aggregator.web.actions import ACTIONS, MANY, Action, Ground, perform
from aggregator.web.answers import as_json, json_of, own_path, see, told
from aggregator.web.assets import PREFIX, Assets
from aggregator.web.bid_view import Effect, bid_view, effect_of
from aggregator.web.bids_view import Choice, bid_rows
from aggregator.web.bodies import Amendment, Seen, SeenBids, SignIn, of_form
from aggregator.web.fan import Fans
from aggregator.web.live_view import LiveView, live_view
from aggregator.web.pages import Pages, link_to
from aggregator.web.people import CSRF_FIELD, Entrance, Person, must_be_meant
from aggregator.web.problems import answering, is_form, wants_page, with_headers
from aggregator.web.stream import Stream, stamp
from aggregator.web.today_view import today_view
from aggregator.web.words import path_of
from dispatch.controller import Controller

LARGEST_BODY = 64 * 1024
MANY_KEPT = 20
"""Most outcomes told of one form."""

Body = TypeVar("Body", bound=Row)
Answer = Callable[[web.Request, Person], Awaitable[web.StreamResponse]]


class Site:
    """Answers browsers and programs.

    Args:
        gateway: Whose desk.
        controller: Its control loop.
        wall: For sessions; the machine's clock without.
    """

    def __init__(self, gateway: Gateway, controller: Controller, wall: Clock | None = None) -> None:
        self._gateway, self._controller = gateway, controller
        self._ground = Ground(gateway.workflow, gateway.settings.fleet.zones)
        self._entrance = Entrance(gateway.settings, gateway.store, gateway.clock, wall)
        self._assets = Assets()
        self._pages = Pages(self._assets)
        self._fans = Fans(gateway)
        self._stream = Stream(self._picture, self._entrance)
        self._acting = asyncio.Lock()

    def app(self) -> web.Application:
        """Return the web application."""
        app = web.Application(middlewares=[answering(self._problem_page)], client_max_size=LARGEST_BODY)
        app.on_response_prepare.append(with_headers)
        app.on_shutdown.append(self._stream.close)
        app.router.add_get(f"{PREFIX}/{{version}}/{{name:.+}}", self._assets.serve)
        app.router.add_get("/sign-in", self._sign_in_page)
        app.router.add_post("/sign-in", self._sign_in)
        app.router.add_post("/sign-out", self._let_in(self._sign_out))
        app.router.add_post("/v1/session", self._session)
        looks: Mapping[str, Answer] = {
            "today": self._today,
            "bids": self._bids,
            "bid": self._bid,
            "live": self._live,
            "bids_json": self._bids_json,
            "bid_json": self._bid_json,
            "fan_json": self._fan_json,
            "live_json": self._live_json,
            "stream": self._stream.serve,
            "openapi_json": self._openapi_json,
        }
        for look in routes.LOOKS:
            app.router.add_get(look.path, self._let_in(looks[look.name]), allow_head=False)
        for action in ACTIONS:
            app.router.add_post(action.path, self._let_in(self._act(action)))
        for path, action in MANY.items():
            app.router.add_post(path, self._let_in(self._act_on_many(action)))
        return app

    # who asks

    def _let_in(self, answer: Answer) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            person = await self._entrance.who(request)
            if person is None:
                if not wants_page(request):
                    raise Refused(401, "sign in first: POST /v1/session")
                raise web.HTTPSeeOther(f"/sign-in?next={path_of(own_path(request.path_qs))}")
            return await answer(request, person)

        return handle

    async def _sign_in_page(self, request: web.Request) -> web.Response:
        where = own_path(request.query.get("next", "/"))
        return self._page("sign_in", next=where, user="", refused="")

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        where = own_path(str(form.get("next", "/")))
        user, password = str(form.get("user", "")), str(form.get("password", ""))
        try:
            person = await self._entrance.sign_in(request, user[:100], password[:200])
        except Refused as refused:
            page = self._page("sign_in", next=where, user=user[:100], refused=refused.detail)
            page.set_status(refused.status)
            page.headers.update(refused.headers)
            return page
        response = see(where)
        self._entrance.remember(response, person)
        return response

    async def _session(self, request: web.Request) -> web.Response:
        said = validate(SignIn, await json_of(request), "body")
        person = await self._entrance.sign_in(request, said.user, said.password)
        response = as_json({"user": person.name, "roles": sorted(person.roles), "csrf": person.csrf})
        self._entrance.remember(response, person)
        return response

    async def _sign_out(self, request: web.Request, person: Person) -> web.StreamResponse:
        must_be_meant(request, person, (await request.post()).get(CSRF_FIELD))
        await self._entrance.sign_out(person)
        response = see("/sign-in")
        self._entrance.forget(response)
        return response

    # pages

    async def _today(self, request: web.Request, person: Person) -> web.Response:
        def made() -> web.Response:
            stamped = self._stamp()  # before all that the page shows: it is never newer than that
            view, live = today_view(self._gateway.workflow, person.name), self._now()
            return self._page("today", person, request, stamp=stamped, view=view, live=live)

        return await asyncio.to_thread(made)

    async def _bids(self, request: web.Request, person: Person) -> web.Response:
        choice = Choice.of(request.query)

        def made() -> web.Response:
            stamped = self._stamp()
            rows = bid_rows(self._gateway.workflow, person.name, choice)
            return self._page(
                "bids",
                person,
                request,
                stamp=stamped,
                rows=rows,
                choice=choice,
                zones=self._ground.zones,
                products=sorted(self._gateway.settings.products),
                link=lambda **changes: link_to(choice, **changes),
            )

        return await asyncio.to_thread(made)

    async def _bid(self, request: web.Request, person: Person) -> web.Response:
        def made() -> web.Response:
            stamped = self._stamp()
            flow, one = self._gateway.workflow, self._ground.bid(request.match_info["bid"])
            view = bid_view(flow, one, person.name)
            return self._page(
                "bid",
                person,
                request,
                stamp=stamped,
                page="bids",
                view=view,
                effect=self._effect(request, person, view.row.digest),
            )

        return await asyncio.to_thread(made)

    async def _live(self, request: web.Request, person: Person) -> web.Response:
        def made() -> web.Response:
            stamped = self._stamp()
            return self._page(
                "live",
                person,
                request,
                stamp=stamped,
                live=self._now(),
                zones=self._ground.zones,
                may_restart=self._gateway.workflow.desk.may(person.name, "operator", "approver"),
            )

        return await asyncio.to_thread(made)

    def _effect(self, request: web.Request, person: Person, digest: str) -> Effect | None:
        """Return what an amendment that the page was asked with would do; None where it was not."""
        asked = {"kw": request.query.get("kw", ""), "gbp_per_mwh": request.query.get("price", "")}
        if not any(asked.values()) or not digest:
            return None
        body = validate(Amendment, of_form([("draft", digest), *asked.items()]), "amendment")
        one = self._ground.bid(request.match_info["bid"])
        return effect_of(self._gateway.workflow, one, person.name, body.kw, body.gbp_per_mwh)

    def _flashes(self, request: web.Request, person: Person) -> list[DeskAction]:
        """Return what came of the forms that led here: the person's own, by their numbers."""
        numbers = [int(text) for text in request.query.get("did", "").split("-") if text.isdecimal()]
        found = self._ground.store.desk_trail.of_user(person.name, numbers[:MANY_KEPT])
        return [one for one in found if one.action != "sign-in"]

    def _page(
        self, name: str, person: Person | None = None, request: web.Request | None = None, **values: object
    ) -> web.Response:
        flashes = self._flashes(request, person) if request is not None and person is not None else ()
        text = self._pages.render(
            name,
            **{
                "person": person,
                "flashes": flashes,
                "page": name,
                "now": self._gateway.clock.now(),
                **values,
            },
        )
        response = web.Response(text=text, content_type="text/html")
        response.enable_compression()
        return response

    async def _problem_page(self, request: web.Request, refused: Refused) -> web.StreamResponse:
        person = await self._entrance.who(request)
        back = urlsplit(request.headers.get("Referer", "")).path or "/"
        page = self._page(
            "refused",
            person,
            page="",
            refused_title=TITLES[refused.status],
            detail=refused.detail,
            faults=refused.faults,
            back=own_path(back),
        )
        page.set_status(refused.status)
        page.headers.update(refused.headers)
        return page

    # JSON

    async def _bids_json(self, request: web.Request, _: Person) -> web.Response:
        choice = Choice.of(request.query)

        def made() -> web.Response:
            flow = self._gateway.workflow
            found = flow.store.journal.find() if choice.shown == "all" else flow.open()
            found.sort(key=lambda one: (flow.gate_closes_at(one), one.opportunity_id))
            return as_json({"bids": [summary(one, flow) for one in found]})

        return await asyncio.to_thread(made)

    async def _bid_json(self, request: web.Request, _: Person) -> web.Response:
        def made() -> web.Response:
            return as_json(whole(self._ground.bid(request.match_info["bid"]), self._gateway.workflow))

        return await asyncio.to_thread(made)

    async def _fan_json(self, request: web.Request, _: Person) -> web.Response:
        def made() -> web.Response:
            return as_json(self._fans.fan(self._ground.bid(request.match_info["bid"])))

        return await asyncio.to_thread(made)

    async def _live_json(self, _request: web.Request, _: Person) -> web.Response:
        return as_json(await asyncio.to_thread(self._picture))

    async def _openapi_json(self, _request: web.Request, _: Person) -> web.Response:
        return as_json(routes.openapi())

    def _now(self) -> LiveView:
        return live_view(self._gateway, self._controller)

    def _picture(self) -> Mapping[str, object]:
        """Return the live picture; its ``stamp`` is that of pages that are still true."""
        view = self._now()
        return {
            "now": utc_text(view.now),
            "stamp": self._stamp_of(view),
            "fleet_kw": view.fleet_kw,
            "states": dict(view.states),
            "cycle_age_s": view.cycle_age_s,
            "alarms": len(view.alarms),
            "silent": [asdict(car) for car in view.silent],
            "zones": [
                {**asdict(zone), "until": utc_text(zone.until) if zone.until else None} for zone in view.zones
            ],
        }

    def _stamp(self) -> str:
        return self._stamp_of(self._now())

    def _stamp_of(self, view: LiveView) -> str:
        """Return what changes whenever a page shows something else, but for what is shown each second."""
        return stamp(
            sorted(self._gateway.store.journal.versions().items()),
            [alarm.alarm_id for alarm in view.alarms],
            view.halts,
            [(zone.zone, zone.stopped, zone.serving, zone.until) for zone in view.zones],
            [car.car_id for car in view.silent],
        )

    # actions

    def _act(self, action: Action) -> Answer:
        async def act(request: web.Request, person: Person) -> web.StreamResponse:
            body, key = await self._asked(request, person, action.body)
            _must_have(person, action)
            done = await self._perform(action, request.match_info.get("bid", ""), person, body, key)
            return told(request, [done])

        return act

    def _act_on_many(self, action: Action) -> Answer:
        async def act(request: web.Request, person: Person) -> web.StreamResponse:
            body, key = await self._asked(request, person, SeenBids)
            _must_have(person, action)
            done = [
                await self._perform(action, one.bid, person, Seen(draft=one.draft), f"{key}/{number}")
                for number, one in enumerate(body.bids)
            ]
            return told(request, done)

        return act

    async def _perform(self, action: Action, bid: str, person: Person, body: Row, key: str) -> DeskAction:
        async with self._acting:  # the same key twice at once is the same action
            return await asyncio.to_thread(perform, self._ground, action, bid, person.name, body, key)

    async def _asked(self, request: web.Request, person: Person, model: type[Body]) -> tuple[Body, str]:
        """Return what an action is asked with, and its key."""
        if is_form(request):
            form = await request.post()
            must_be_meant(request, person, form.get(CSRF_FIELD))
            fields = [(name, value) for name, value in form.items() if name not in (CSRF_FIELD, "key")]
            return validate(model, of_form(fields), "form"), str(form.get("key", ""))
        must_be_meant(request, person, None)
        body = validate(model, await json_of(request), "body")
        return body, request.headers.get("Idempotency-Key", "")


def _must_have(person: Person, action: Action) -> None:
    if action.roles and not person.roles & set(action.roles):
        needed = " or ".join(action.roles)
        raise Refused(403, f"{person.name} is no {needed}, which it takes to {action.name}")
