"""The desk's routes as people and programs find them, and their description (OpenAPI 3.1), from one table.

Actions come from ``aggregator/web/actions.py``; here stand the looks beside them: pages and JSON, and the
forms of a driver's page. Each says who may: the desk's people see the desk, a driver the own car, none both.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from aggregator.desk_settings import DESK_ROLES, DRIVER
from aggregator.web.actions import ACTIONS, MANY, Action
from aggregator.web.bodies import SeenBids
from aggregator.web.people import CSRF_HEADER, Person

Answer = Callable[[web.Request, Person], Awaitable[web.StreamResponse]]

ROOT = "#/components/schemas/"


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
    asks: tuple[str, ...] = ()
    roles: tuple[str, ...] = DESK_ROLES


PERIOD = ("from", "to", "zone", "known_at")
SOUGHT = ("user", "name", "via", "bid", "day")
LOOKS: tuple[Look, ...] = (
    Look("/", "today", "What needs a person now", is_page=True),
    Look("/bids", "bids", "Bids, filtered and sorted", is_page=True),
    Look("/bids/{bid}", "bid", "One bid, and what can be done with it", is_page=True),
    Look("/live", "live", "Zones, cars and alarms, each second", is_page=True),
    Look("/v1/bids", "bids_json", "Bids, as `flexloop bids list --json` tells them"),
    Look("/v1/bids/{bid}", "bid_json", "One bid, as `flexloop bids show --json` tells it"),
    Look("/v1/bids/{bid}/fan", "fan_json", "What its zone could give around its window, P10, P50 and P90"),
    Look("/v1/live", "live_json", "The live picture"),
    Look("/v1/stream", "stream", "The live picture each second as server-sent events, resumed by their ids"),
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
        asks=("known_at",),
    ),
    Look(
        "/v1/settlement/{bid}",
        "explained_json",
        "An event's figures, as `flexloop settle explain --json` tells them",
        asks=("half_hour", "car", "known_at"),
    ),
    Look("/v1/audit", "audit_json", "What people did, its chain, and the last audit", asks=(*SOUGHT, "page")),
    Look("/v1/audit/trail.csv", "trail_csv", "What people did as CSV, with the chain's head", asks=SOUGHT),
    Look("/v1/audit/trail.jsonl", "trail_jsonl", "The same, a JSON object a line", asks=SOUGHT),
    Look("/v1/rules", "rules_json", "What may be approved by rule or by one person, and what was"),
    Look("/v1/openapi.json", "openapi_json", "This description"),
    Look("/fleet", "fleet", "Cars, filtered and sorted", is_page=True),
    Look("/fleet/{car}", "car", "One car and one night of it", is_page=True),
    Look("/v1/fleet", "fleet_json", "Cars, as the page shows them"),
    Look("/v1/fleet/{car}", "car_json", "One car and one night of it, half-hour by half-hour"),
    Look("/my-car", "my_car", "A driver's own car", is_page=True, roles=(DRIVER,)),
    Look("/v1/my-car", "my_car_json", "A driver's own car", roles=(DRIVER,)),
)
FORMS: tuple[Look, ...] = (
    Look("/my-car/{topic}", "say", "Say something about the own car", is_page=True, roles=(DRIVER,)),
    Look("/my-car/{topic}/take-back", "take_back", "Take it back", is_page=True, roles=(DRIVER,)),
)
"""What a driver's page sends; programs say the same at the drivers' door."""


def openapi() -> dict[str, Any]:
    """Return the description of the JSON routes."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for look in LOOKS:
        if not look.is_page:
            operation = _operation(look.says, look.path, look.asks)
            paths[look.path] = {"get": operation | {"security": [{"session": []}]}}
    for action in ACTIONS:
        paths.setdefault(action.path, {})["post"] = _acting(action, schemas)
    for path, action in MANY.items():
        many = replace(action, name=f"{action.name} many", path=path, body=SeenBids)
        paths[path] = {"post": _acting(many, schemas)}
    session = {"type": "apiKey", "in": "cookie", "name": "flexloop"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Flexloop desk", "version": "1"},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"session": session}},
    }


def _operation(says: str, path: str, asks: tuple[str, ...] = ()) -> dict[str, Any]:
    text = {"type": "string"}
    within = [
        {"name": name, "in": "path", "required": True, "schema": text}
        for name in re.findall(r"{(\w+)}", path)
    ]
    return {
        "summary": says,
        "parameters": [*within, *({"name": name, "in": "query", "schema": text} for name in asks)],
        "responses": {"200": {"description": "done"}, "default": {"description": "a problem (RFC 9457)"}},
    }


def _acting(action: Action, schemas: dict[str, Any]) -> dict[str, Any]:
    schema = action.body.model_json_schema(ref_template=ROOT + "{model}")
    schemas |= schema.pop("$defs", {})
    schemas[action.body.__name__] = schema
    operation = _operation(f"{action.name}; {' or '.join(action.roles)}", action.path)
    text = {"type": "string"}
    operation["parameters"] += [
        {"name": "Idempotency-Key", "in": "header", "required": True, "schema": text},
        {"name": CSRF_HEADER, "in": "header", "required": True, "schema": text},
    ]
    found = {"schema": {"$ref": ROOT + action.body.__name__}}
    operation["requestBody"] = {"required": True, "content": {"application/json": found}}
    return operation | {"security": [{"session": []}]}
