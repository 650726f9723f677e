"""Opens a door on its address, with TLS where it has a certificate, and shuts it again.

Each door is a table of the settings (``[http]``, ``[drivers]``, ``[desk]``: ``aggregator/listening.py``) and
a web application.
"""

import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiohttp import web

from aggregator.files.inputs import host_and_port
from aggregator.listening import HttpSettings, SecuredSettings
from aggregator.model.errors import BadMessage, Fault

log = structlog.get_logger()

CLOSING_S = 5.0
"""So long an answer that is under way may take once the gateway ends."""

LINGER_S = 1.0
"""So long what is left of a body is read on after it was answered."""

QUIET = logging.Logger("doors")
QUIET.disabled = True
"""What HTTP makes of a garbled request may quote it, and a token with it."""


def listener_of(said: HttpSettings | SecuredSettings, table: str) -> socket.socket | None:
    """Return the socket that a table of the settings asks for; None where it asks for none.

    Raises:
        BadMessage: As ``listen_on``, or if certificate and key cannot be used.
    """
    if not said.listen:
        return None
    if isinstance(said, SecuredSettings):
        tls_of(said, table)
    return listen_on(said.listen, f"{table}.listen")


def listen_on(address: str, key: str = "http.listen") -> socket.socket:
    """Return a socket that listens on ``HOST:PORT``; port 0 is any free one. ``key`` is the setting's name.

    Raises:
        BadMessage: If it is none of ours, or another program listens there.
    """
    host, port = host_and_port(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        allowed = f"an address that is free ({os.strerror(error.errno) if error.errno else error})"
        raise BadMessage(Fault(key, address, allowed)) from None


def tls_of(said: SecuredSettings, table: str) -> ssl.SSLContext | None:
    """Return a door's TLS; None where it has no certificate. ``table`` is its name in the settings.

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
        raise BadMessage(Fault(f"{table}.tls_certificate", str(said.tls_certificate), allowed)) from None
    return context


@asynccontextmanager
async def serving(
    listener: socket.socket,
    app: web.Application,
    table: str,
    tls: ssl.SSLContext | None = None,
    logger: logging.Logger = QUIET,
) -> AsyncIterator[None]:
    """Answer on a socket while the context lasts; the socket is closed with it.

    Args:
        listener: Where.
        app: Answers.
        table: The door's name in the settings, for the log.
        tls: Its TLS, if any.
        logger: Where aiohttp logs what goes wrong.
    """
    runner = web.AppRunner(
        app, access_log=None, logger=logger, lingering_time=LINGER_S, shutdown_timeout=CLOSING_S
    )
    await runner.setup()
    try:
        await web.SockSite(runner, listener, ssl_context=tls).start()
        host, port, *_ = listener.getsockname()
        log.info(f"{table}_listens", address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        yield
    finally:
        await runner.cleanup()
