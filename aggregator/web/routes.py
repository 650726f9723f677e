"""The desk's routes as people and programs find them, and their description (OpenAPI 3.1), from one table.

Actions come from ``aggregator/web/actions.py``; here stand the looks beside them: pages and JSON.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from aggregator.web.actions import ACTIONS, MANY, Action
from aggregator.web.bodies import SeenBids
from aggregator.web.people import CSRF_HEADER, Person

Answer = Callable[[web.Request, Person], Awaitable[web.StreamResponse]]

ROOT = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class Look:
    """Something that can be looked at by whoever has signed in and has a role.

    Attributes:
        path: Where.
        name: Of the method that answers.
        says: What it is.
        is_page: Whether people see it; else it is JSON.
    """

    path: str
    name: str
    says: str
    is_page: bool = False


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
    Look("/v1/openapi.json", "openapi_json", "This description"),
)


def openapi() -> dict[str, Any]:
    """Return the description of the JSON routes."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for look in LOOKS:
        if not look.is_page:
            paths[look.path] = {"get": _operation(look.says, look.path) | {"security": [{"session": []}]}}
    for action in ACTIONS:
        paths[action.path] = {"post": _acting(action, schemas)}
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


def _operation(says: str, path: str) -> dict[str, Any]:
    bid = {"name": "bid", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        "summary": says,
        "parameters": [bid] if "{bid}" in path else [],
        "responses": {"200": {"description": "done"}, "default": {"description": "a problem (RFC 9457)"}},
    }


def _acting(action: Action, schemas: dict[str, Any]) -> dict[str, Any]:
    schema = action.body.model_json_schema(ref_template=ROOT + "{model}")
    schemas |= schema.pop("$defs", {})
    schemas[action.body.__name__] = schema
    operation = _operation(f"{action.name}; {' or '.join(action.roles) or 'anybody known'}", action.path)
    text = {"type": "string"}
    operation["parameters"] += [
        {"name": "Idempotency-Key", "in": "header", "required": True, "schema": text},
        {"name": CSRF_HEADER, "in": "header", "required": True, "schema": text},
    ]
    found = {"schema": {"$ref": ROOT + action.body.__name__}}
    operation["requestBody"] = {"required": True, "content": {"application/json": found}}
    return operation | {"security": [{"session": []}]}
