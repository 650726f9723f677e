"""What went wrong, as ``application/problem+json`` (RFC 9457): field, value and what is allowed.

What a driver may not see looks the same as what is not there, and nothing is said of why.
"""

import asyncio
import json
import traceback
from collections.abc import Awaitable, Callable, Sequence

import structlog
from aiohttp import web

from aggregator.model.errors import BadMessage, Fault, Unavailable, short

log = structlog.get_logger()

CONTENT_TYPE = "application/problem+json"
TITLES = {
    202: "Stopped",
    400: "That is no JSON",
    401: "Who asks must be known",
    403: "That is not yours to do",
    404: "There is nothing here",
    405: "That cannot be done here",
    408: "The body did not come in time",
    409: "That is refused",
    412: "Something else was said meanwhile",
    413: "The body is too large",
    415: "JSON is wanted",
    422: "That is not allowed",
    429: "Too many requests",
    500: "This is our fault",
    503: "Try again later",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refused(Exception):
    """A request that is answered with a problem.

    Attributes:
        status: HTTP's.
        detail: One line for people.
        faults: What is wrong with it, where something is.
        headers: Sent along.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        faults: Sequence[Fault] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.faults = faults
        self.headers = headers or {}


def problem(refused: Refused) -> web.Response:
    """Return the answer that says so."""
    body: dict[str, object] = {
        "type": "about:blank",
        "title": TITLES[refused.status],
        "status": refused.status,
        "detail": refused.detail,
    }
    if refused.faults:
        body["faults"] = [
            {"field": one.where, "value": short(one.value), "allowed": one.allowed} for one in refused.faults
        ]
    text = json.dumps(body).encode("utf-8")
    return web.Response(
        body=text, status=refused.status, headers={**refused.headers, "Content-Type": CONTENT_TYPE}
    )


@web.middleware
async def told_as_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer whatever goes wrong with a problem; a bug is logged, and told without its details."""
    try:
        return await handler(request)
    except Refused as refused:
        return problem(refused)
    except BadMessage as bad:
        first = bad.faults[0]
        return problem(Refused(422, f"{first.where}: {first.allowed}", bad.faults))
    except Unavailable:
        log.warning("door_database_away")
        return problem(Refused(503, "the database does not answer", headers={"Retry-After": "5"}))
    except web.HTTPException as raised:
        kept = {name: value for name, value in raised.headers.items() if name in ("Allow", "Retry-After")}
        status = raised.status if raised.status in TITLES else 404
        return problem(Refused(status, TITLES[status], headers=kept))
    except asyncio.CancelledError:
        raise
    except Exception as broken:  # without its locals: a token may be among them
        where = traceback.extract_tb(broken.__traceback__)[-1]
        log.error(  # noqa: TRY400
            "door_failed", error=type(broken).__name__, file=where.filename, line=where.lineno
        )
        return problem(Refused(500, "nothing was said or taken back that was not answered"))
