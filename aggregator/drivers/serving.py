"""Opens the drivers' door on its address, with TLS where it has a certificate, and shuts it again."""

import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiohttp import web

from aggregator.config import Settings
from aggregator.drivers.door import Door
from aggregator.health import listen_on
from aggregator.listening import SecuredSettings
from aggregator.model.errors import BadMessage, Fault

log = structlog.get_logger()

CLOSING_S = 5.0
"""So long an answer that is under way may take once the gateway ends."""

LINGER_S = 1.0
"""So long what is left of a body is read on after it was answered."""

QUIET = logging.Logger("drivers' door")
QUIET.disabled = True
"""What HTTP makes of a garbled request may quote it, and a token with it."""


def door_listener(settings: Settings) -> socket.socket | None:
    """Return the socket that the settings ask for; None where they ask for none.

    Raises:
        BadMessage: As ``listen_on``, or if certificate and key cannot be used.
    """
    if not settings.drivers.listen:
        return None
    tls_of(settings.drivers)
    return listen_on(settings.drivers.listen, "drivers.listen")


def tls_of(said: SecuredSettings, door: str = "drivers") -> ssl.SSLContext | None:
    """Return a door's TLS; None where it has no certificate. ``door`` is its table in the settings.

    Raises:
        BadMessage: If certificate and key cannot be used.
    """
    if said.tls_certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(said.tls_certificate, said.tls_key)
    except OSError as error:  # of which what TLS finds wrong is one kind
        reason = error.strerror or str(error)
        allowed = f"a certificate in PEM, and in tls_key its key without a password ({reason})"
        raise BadMessage(Fault(f"{door}.tls_certificate", str(said.tls_certificate), allowed)) from None
    return context


@asynccontextmanager
async def serving_door(
    listener: socket.socket, door: Door, tls: ssl.SSLContext | None
) -> AsyncIterator[None]:
    """Answer on a socket while the context lasts; the socket is closed with it."""
    runner = web.AppRunner(
        door.app(), access_log=None, logger=QUIET, lingering_time=LINGER_S, shutdown_timeout=CLOSING_S
    )
    await runner.setup()
    try:
        await web.SockSite(runner, listener, ssl_context=tls).start()
        host, port, *_ = listener.getsockname()
        log.info("drivers_door_listens", address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        yield
    finally:
        await runner.cleanup()
