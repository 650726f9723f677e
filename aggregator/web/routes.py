"""The desk's routes as people and programs find them, and their description (OpenAPI 3.1), from one table.

Actions come from ``aggregator/web/actions.py``; here stand the looks beside them: pages and JSON, and the
forms of a driver's page. Each says who may: the desk's people see the desk, a driver the own car, none both.
What a query may say stands here, too. JSON routes refuse all else (422): a program that asks for what there
is not would go on with the wrong answer. Pages take what they know and leave the rest: who follows an old
link, or one to which others added their own, wants the page; a value that makes no sense is told on it.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from aggregator.desk_settings import DESK_ROLES, DRIVER
from aggregator.files.inputs import Row
from aggregator.model.errors import BadMessage, Fault
from aggregator.web.actions import ACTIONS, MANY, STOP, Action
from aggregator.web.bids_view import SHOWN as BIDS_SHOWN
from aggregator.web.bodies import SeenBids, SignIn
from aggregator.web.deeds import PLACES
from aggregator.web.fleet_view import SHOWN as CARS_SHOWN
from aggregator.web.fleet_view import SORTS as CARS_SORTED
from aggregator.web.people import CSRF_HEADER, Person
from aggregator.web.problems import is_form

Answer = Callable[[web.Request, Person], Awaitable[web.StreamResponse]]

ROOT = "#/components/schemas/"
WITH_CSRF: Mapping[str, Any] = {
    "name": CSRF_HEADER,
    "in": "header",
    "required": True,
    "schema": {"type": "string"},
}


@dataclass(frozen=True, slots=True)
class Ask:
    """Something that a query may say.

    Attributes:
        name: Its name.
        says: What it is.
        one_of: All that it may be; anything of its kind without.
    """

    name: str
    says: str
    one_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """Something that can be looked at, or a form that can be sent, by whoever has signed in and has a role.

    Attributes:
        path: Where.
        name: Of the method that answers.
        says: What it is.
        is_page: Whether people see it; else it is for programs, JSON as a rule.
        asks: What its query may say.
        roles: Of which one is needed.
    """

    path: str
    name: str
    says: str
    is_page: bool = False
    asks: tuple[Ask, ...] = ()
    roles: tuple[str, ...] = DESK_ROLES


SESSION = "/v1/session"
"""Where programs sign in, and out."""

DESCRIPTION = "/v1/openapi.json"
"""Read by everybody, as it tells how to sign in; zones and products are named to the desk's people only."""

ZONE = Ask("zone", "only of this zone")
KNOWN_AT = Ask("known_at", "as known at an instant; London's clocks where it has no zone")
PERIOD = (Ask("from", "the first London date"), Ask("to", "the one after the last"), ZONE, KNOWN_AT)
EXPLAINED = (
    Ask("half_hour", "only this one: its start, 17:30, or the number of its settlement period"),
    Ask("car", "with this car's registers"),
    KNOWN_AT,
)
SOUGHT = (
    Ask("user", "by whom"),
    Ask("name", "which kind of action"),
    Ask("via", "where it was asked for", PLACES),
    Ask("bid", "about a bid, car or zone: a part of its name"),
    Ask("day", "on a London date"),
)
PAGE = Ask("page", "which page of the list, from 0")
CHOSEN = (Ask("shown", "which bids; open ones without", BIDS_SHOWN), ZONE, Ask("product", "only of this one"))
FLEET_CHOSEN = (
    ZONE,
    Ask("shown", "only such cars", tuple(CARS_SHOWN)),
    Ask("text", "a part of a car's name, zone or source"),
    Ask("sort", "in which order; by name without", tuple(CARS_SORTED)),
    Ask("page", "which page of the list, from 1"),
)
AFTER = (Ask("after", "the id of the last event that was heard; left empty: all that is kept"),)
NIGHT = (Ask("night", "the London date of its evening; the last one without"),)
LOOKS: tuple[Look, ...] = (
    Look("/", "today", "What needs a person now", is_page=True),
    Look("/bids", "bids", "Bids, filtered and sorted", is_page=True),
    Look("/bids/{bid}", "bid", "One bid, and what can be done with it", is_page=True),
    Look("/live", "live", "Zones, cars and alarms, each second", is_page=True),
    Look("/v1/bids", "bids_json", "Bids, as `flexloop bids list --json` tells them", asks=CHOSEN),
    Look("/v1/bids/{bid}", "bid_json", "One bid, as `flexloop bids show --json` tells it"),
    Look("/v1/bids/{bid}/fan", "fan_json", "What its zone could give around its window, P10, P50 and P90"),
    Look("/v1/live", "live_json", "The live picture"),
    Look(
        "/v1/stream",
        "stream",
        "The live picture each second as server-sent events, resumed by their ids",
        asks=AFTER,
    ),
    Look("/settlement", "settlement", "A period's statement, its versions and files", is_page=True),
    Look(
        "/settlement/{bid}",
        "explained",
        "An event's figures, walked back to where they are from",
        is_page=True,
    ),
    Look("/audit", "audit", "Who did what, and what the last audit found", is_page=True),
    Look("/rules", "rules", "What may be approved by rule or by one person", is_page=True),
    Look("/v1/settlement", "settlement_json", "A period's statement, with its versions", asks=PERIOD),
    Look("/v1/settlement/files/{name}", "settlement_file", "A file of `flexloop settle`", asks=PERIOD),
    Look(
        "/v1/settlement/drivers/{month}/{name}",
        "month_file",
        "A file of `flexloop settle drivers --as-known-at`",
        asks=(KNOWN_AT,),
    ),
    Look(
        "/v1/settlement/{bid}",
        "explained_json",
        "An event's figures, as `flexloop settle explain --json` tells them",
        asks=EXPLAINED,
    ),
    Look("/v1/audit", "audit_json", "What people did, its chain, and the last audit", asks=(*SOUGHT, PAGE)),
    Look("/v1/audit/trail.csv", "trail_csv", "What people did as CSV, with the chain's head", asks=SOUGHT),
    Look("/v1/audit/trail.jsonl", "trail_jsonl", "The same, a JSON object a line", asks=SOUGHT),
    Look("/v1/rules", "rules_json", "What may be approved by rule or by one person, and what was"),
    Look("/fleet", "fleet", "Cars, filtered and sorted", is_page=True),
    Look("/fleet/{car}", "car", "One car and one night of it", is_page=True),
    Look("/v1/fleet", "fleet_json", "Cars, as the page shows them", asks=FLEET_CHOSEN),
    Look("/v1/fleet/{car}", "car_json", "One car and one night of it, half-hour by half-hour", asks=NIGHT),
    Look("/my-car", "my_car", "A driver's own car", is_page=True, roles=(DRIVER,)),
    Look(
        "/v1/my-car",
        "my_car_json",
        "A driver's own car; what is said of it goes to the drivers' door",
        roles=(DRIVER,),
    ),
)
FORMS: tuple[Look, ...] = (
    Look("/my-car/{topic}", "say", "Say something about the own car", is_page=True, roles=(DRIVER,)),
    Look("/my-car/{topic}/take-back", "take_back", "Take it back", is_page=True, roles=(DRIVER,)),
)
"""What a driver's page sends; programs say the same at the drivers' door."""


def named(asks: tuple[Ask, ...], names: Mapping[str, tuple[str, ...]]) -> tuple[Ask, ...]:
    """Return what a query may say, given which zones and products there are."""
    return tuple(replace(ask, one_of=names.get(ask.name, ask.one_of)) for ask in asks)


def strictly(answer: Answer, asks: tuple[Ask, ...] = ()) -> Answer:
    """Return what answers a program only where its query says what it may; a form's is a page's."""

    async def answered(request: web.Request, person: Person) -> web.StreamResponse:
        if not is_form(request):
            must_ask(request, asks)
        return await answer(request, person)

    return answered


def must_ask(request: web.Request, asks: tuple[Ask, ...] = ()) -> None:
    """Refuse a query that says something else.

    Raises:
        BadMessage: What is wrong, and what is allowed.
    """
    known = {ask.name: ask for ask in asks}
    names = f"unknown key; known here: {', '.join(known) or 'none'}"
    wrong = []
    for name, value in request.query.items():
        ask = known.get(name)
        if ask is None:
            wrong.append(Fault(f"query: {name}", value, names))
        elif value and ask.one_of and value not in ask.one_of:
            wrong.append(Fault(f"query: {name}", value, f"one of {', '.join(ask.one_of)}"))
    if wrong:
        raise BadMessage(*wrong)


def openapi(names: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """Return the description of the JSON routes, given which zones and products there are."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for look in LOOKS:
        if not look.is_page:
            operation = _operation(look.says, look.path, named(look.asks, names))
            paths[look.path] = {"get": operation | {"security": [{"session": []}]}}
    for action in ACTIONS:
        paths.setdefault(action.path, {})["post"] = _acting(action, schemas)
    for path, action in MANY.items():
        many = replace(action, name=f"{action.name} many", path=path, body=SeenBids)
        paths[path] = {"post": _acting(many, schemas)}
    paths[SESSION] = {"post": _signing_in(schemas), "delete": _signing_out()}
    paths[DESCRIPTION] = {"get": _operation("this description", DESCRIPTION) | {"security": []}}
    session = {"type": "apiKey", "in": "cookie", "name": "flexloop"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Flexloop desk", "version": "1"},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"session": session}},
    }


def _operation(says: str, path: str, asks: tuple[Ask, ...] = ()) -> dict[str, Any]:
    text = {"type": "string"}
    within = [
        {"name": name, "in": "path", "required": True, "schema": text}
        for name in re.findall(r"{(\w+)}", path)
    ]
    return {
        "summary": says,
        "parameters": [*within, *map(_asked, asks)],
        "responses": {"200": {"description": "done"}, "default": {"description": "a problem (RFC 9457)"}},
    }


def _asked(ask: Ask) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"} | ({"enum": list(ask.one_of)} if ask.one_of else {})
    return {"name": ask.name, "in": "query", "description": ask.says, "schema": schema}


def _body(model: type[Row], schemas: dict[str, Any]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template=ROOT + "{model}")
    schemas |= schema.pop("$defs", {})
    schemas[model.__name__] = schema
    found = {"schema": {"$ref": ROOT + model.__name__}}
    return {"required": True, "content": {"application/json": found}}


def _signing_in(schemas: dict[str, Any]) -> dict[str, Any]:
    """Return how a session begins: its cookie and its token go with what is asked later."""
    operation = _operation(f"sign in: gives the session's cookie, and csrf for {CSRF_HEADER}", SESSION)
    text: dict[str, Any] = {"type": "string"}
    told = {"user": text, "roles": {"type": "array", "items": text}, "csrf": text}
    schema = {"type": "object", "properties": told, "required": list(told)}
    signed_in = {"description": "signed in", "content": {"application/json": {"schema": schema}}}
    operation["responses"] |= {"200": signed_in}
    return operation | {"requestBody": _body(SignIn, schemas), "security": []}


def _signing_out() -> dict[str, Any]:
    operation = _operation("sign out: ends the session", SESSION)
    operation["parameters"].append(WITH_CSRF)
    operation["responses"]["204"] = operation["responses"].pop("200") | {"description": "signed out"}
    return operation | {"security": [{"session": []}]}


def _acting(action: Action, schemas: dict[str, Any]) -> dict[str, Any]:
    roles = " or ".join(action.roles)
    operation = _operation("; ".join(filter(None, [action.name, roles, action.says])), action.path)
    text = {"type": "string"}
    operation["parameters"] += [
        {"name": "Idempotency-Key", "in": "header", "required": True, "schema": text},
        WITH_CSRF,
    ]
    operation["requestBody"] = _body(action.body, schemas)
    if action is STOP:
        held = "it holds in the control loop, and is written down once the database is back; action is null"
        operation["responses"] |= {"202": {"description": held}}
    return operation | {"security": [{"session": []}]}
