"""What went wrong, for programs as ``application/problem+json``, for people as a page; and headers for all.

Pages load nothing from another host, run no script of their own text, and are framed by nobody.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from aggregator.drivers.problems import TITLES, Refused, problem
from aggregator.model.errors import MISSING, BadMessage, RuleViolation, Unavailable, short
from aggregator.web.actions import NoSuchBid
from aggregator.web.lately import NotKnown

log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Told = Callable[[web.Request, Refused], Awaitable[web.StreamResponse]]

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
KEEPS_TO_TLS = "max-age=31536000"


def with_headers(*, secured: bool) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Return what adds what every answer says; what is no asset is kept by nobody.

    Args:
        secured: Whether who comes here comes by TLS, and is to keep to it.
    """
    headers = {**HEADERS, **({"Strict-Transport-Security": KEEPS_TO_TLS} if secured else {})}

    async def add(_: web.Request, response: web.StreamResponse) -> None:
        for name, value in {**headers, "Cache-Control": "no-store"}.items():
            response.headers.setdefault(name, value)

    return add


def answering(as_page: Told) -> Middleware:
    """Return a middleware that answers whatever goes wrong, by ``as_page`` where people asked."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        refused = None
        try:
            return await handler(request)
        except Refused as raised:
            refused = raised
        except BadMessage as bad:
            first = bad.faults[0]
            found = "" if first.value == MISSING else f"{short(first.value)!r} is not allowed; "
            refused = Refused(422, f"{first.where}: {found}{first.allowed}", bad.faults)
        except RuleViolation as rule:
            refused = Refused(409, str(rule))
        except NoSuchBid:
            refused = Refused(404, "no bid of that id is known")
        except Unavailable as away:
            log.warning("desk_database_away")
            nothing = "" if request.method in ("GET", "HEAD") else "; nothing was done"
            said = str(away) if isinstance(away, NotKnown) else f"the database does not answer{nothing}"
            refused = Refused(503, said, headers={"Retry-After": "5"})
        except web.HTTPException as raised:
            if raised.status < 400:  # noqa: PLR2004 - a redirection is no problem
                raise
            status = raised.status if raised.status in TITLES else 404
            kept = {name: value for name, value in raised.headers.items() if name == "Allow"}
            refused = Refused(status, TITLES[status], headers=kept)
        except (asyncio.CancelledError, ConnectionResetError):
            raise
        except Exception as broken:  # without its locals: a password may be among them
            where = traceback.extract_tb(broken.__traceback__)[-1]
            log.error(  # noqa: TRY400
                "desk_failed", error=type(broken).__name__, file=where.filename, line=where.lineno
            )
            refused = Refused(500, "this was not done; the gateway's log says where it broke off")
        if not wants_page(request):
            return problem(refused)
        with suppress(Unavailable):
            return await as_page(request, refused)
        return problem(refused)

    return answer


def wants_page(request: web.Request) -> bool:
    """Whether people asked: by a page's path, or with a form."""
    return not request.path.startswith("/v1/") or is_form(request)


def is_form(request: web.Request) -> bool:
    """Whether a request brings a form."""
    return request.content_type in ("application/x-www-form-urlencoded", "multipart/form-data")
