"""A desk behind a proxy that ends TLS (``behind_tls_proxy``): who asks, of whom and how, as it was there.

A proxy appends whom it speaks for to ``X-Forwarded-For``: the last counts, what stands before it is hearsay.
Without ``X-Forwarded-Host`` it has passed ``Host`` on. What came to it in the clear is refused: by the
configuration nothing does.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web

from aggregator.drivers.problems import Refused

HTTPS = "https"


@web.middleware
async def as_at_the_proxy(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Hand on a request with the scheme, host and address that the proxy saw.

    Raises:
        Refused: 403, where it did not come by TLS.
    """
    scheme = _last(request, "X-Forwarded-Proto") or HTTPS
    if scheme.lower() != HTTPS:
        raise Refused(403, "this desk is reached by https only; nothing was done")
    return await handler(
        request.clone(
            scheme=HTTPS,
            host=_last(request, "X-Forwarded-Host") or request.host,
            remote=_last(request, "X-Forwarded-For") or request.remote or "",
        )
    )


def _last(request: web.Request, header: str) -> str:
    """Return the last of the values that a header has, over all its lines; empty without any."""
    return ",".join(request.headers.getall(header, ())).rpartition(",")[2].strip()
