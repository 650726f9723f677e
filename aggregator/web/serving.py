"""Opens the desk on its address, with TLS where it has a certificate, and shuts it again."""

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiohttp import web

from aggregator.config import Settings
from aggregator.drivers.serving import CLOSING_S, LINGER_S, QUIET, tls_of
from aggregator.health import listen_on
from aggregator.web.site import Site

log = structlog.get_logger()


def desk_listener(settings: Settings) -> socket.socket | None:
    """Return the socket that the settings ask for; None where they ask for none.

    Raises:
        BadMessage: As ``listen_on``, or if certificate and key cannot be used.
    """
    if not settings.desk.listen:
        return None
    tls_of(settings.desk, "desk")
    return listen_on(settings.desk.listen, "desk.listen")


@asynccontextmanager
async def serving_desk(
    listener: socket.socket, site: Site, tls: ssl.SSLContext | None
) -> AsyncIterator[None]:
    """Answer on a socket while the context lasts; the socket is closed with it."""
    runner = web.AppRunner(
        site.app(), access_log=None, logger=QUIET, lingering_time=LINGER_S, shutdown_timeout=CLOSING_S
    )
    await runner.setup()
    try:
        await web.SockSite(runner, listener, ssl_context=tls).start()
        host, port, *_ = listener.getsockname()
        log.info("desk_listens", address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        yield
    finally:
        await runner.cleanup()
