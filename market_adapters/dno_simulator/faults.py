"""What a broken platform does to a request, in windows of domain time.

Some failures meet the request before it is read: nothing that it says is taken. Others take it and spoil the
answer, so that the VEN cannot know; what such an answer held is handed out again later.
"""

import asyncio
import socket
import struct
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Literal, Self

from aiohttp import web
from pydantic import model_validator

from .edge import File, Number, Problem, refuse
from .ordering import Window

UNHEARD = ("http500", "hang", "reset", "empty200", "redirect", "html200", "huge", "raw")
SPOILED = ("slow_drip", "wrong_type", "truncated")
HUGE_BYTES = 2 * 1024 * 1024 + 1
LONGEST_HANG_S = 120.0
DRIP_S = 0.05
_LOOK_S = 0.05
_RESET = struct.pack("ii", 1, 0)  # linger for 0 s: what is unsent is dropped, and the peer told so
_XML = "application/xml"

Service = Literal["EiEvent", "EiOpt", "EiRegisterParty", "EiReport", "OadrPoll"]


class Failure(Window):
    """A window in which something is wrong with every answer, or with those of one service.

    Attributes:
        kind: ``raw`` serves a file in answer to polls; ``clock_offset`` shifts the platform's own stamps and
            signatures; ``reject_registration`` takes no VEN; the others are what their names say.
        service: Only what is posted there fails; None for all.
        file: What ``raw`` serves, byte for byte.
        offset_s: Of the platform's clock, positive if it is ahead. [s]
    """

    kind: Literal[
        "http500",
        "hang",
        "reset",
        "empty200",
        "slow_drip",
        "redirect",
        "html200",
        "wrong_type",
        "huge",
        "truncated",
        "raw",
        "clock_offset",
        "reject_registration",
    ]
    service: Service | None = None
    file: File | None = None
    offset_s: Number | None = None

    @property
    def offset(self) -> timedelta:
        """How far the platform's clock is off."""
        return timedelta(seconds=self.offset_s or 0.0)

    def strikes(self, now: datetime, service: str) -> bool:
        """Whether it meets what is posted to a service at a domain time."""
        struck = "OadrPoll" if self.kind == "raw" else self.service
        return self.holds(now) and struck in {None, service}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        problems = []
        for name, value, kind in (("file", self.file, "raw"), ("offset_s", self.offset_s, "clock_offset")):
            if (value is None) == (self.kind == kind):
                problems.append(Problem(name, value, f"there exactly where kind is {kind}"))
        if self.service is not None and self.kind in {"raw", "clock_offset", "reject_registration"}:
            problems.append(Problem("service", self.service, f"none where kind is {self.kind}"))
        refuse(problems)
        return self


async def turn_away(failure: Failure, request: web.Request, stopping: asyncio.Event) -> web.StreamResponse:
    """Answer a request that is not heard.

    Args:
        failure: One of the ``UNHEARD``.
        request: Whose connection suffers.
        stopping: Set when the platform ends: nothing hangs longer.
    """
    match failure.kind:
        case "hang":
            await _hang(request, stopping)
            return _cut_off(request)
        case "reset":
            return _cut_off(request)
        case "redirect":
            location = {"Location": f"{request.path}/elsewhere"}
            return web.Response(status=HTTPStatus.TEMPORARY_REDIRECT, headers=location)
        case "empty200":
            return web.Response(content_type=_XML)
        case "html200":
            return web.Response(text="<html><body>Sign in</body></html>", content_type="text/html")
        case "huge":
            return web.Response(body=b"<x>" + b" " * HUGE_BYTES + b"</x>", content_type=_XML)
        case "raw" if failure.file is not None:
            return web.Response(body=failure.file.read_bytes(), content_type=_XML)
        case _:
            return web.Response(status=HTTPStatus.INTERNAL_SERVER_ERROR)


async def spoil(
    failure: Failure, request: web.Request, answer: bytes, stopping: asyncio.Event
) -> web.StreamResponse:
    """Send an answer in a way that is of no use. Arguments as for ``turn_away``, of the ``SPOILED``."""
    match failure.kind:
        case "slow_drip":
            return await _drip(request, answer, stopping)
        case "truncated":
            return web.Response(body=answer[: len(answer) // 2], content_type=_XML)
        case _:
            return web.Response(body=answer, content_type="text/plain")


async def _hang(request: web.Request, stopping: asyncio.Event) -> None:
    for _ in range(int(LONGEST_HANG_S / _LOOK_S)):
        if stopping.is_set() or request.transport is None:
            return
        await asyncio.sleep(_LOOK_S)


def _cut_off(request: web.Request) -> web.Response:
    """Drop the connection with a TCP reset; what is returned reaches nobody."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        request.transport.abort()
    return web.Response()


async def _drip(request: web.Request, answer: bytes, stopping: asyncio.Event) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": _XML, "Content-Length": str(len(answer))})
    try:
        await response.prepare(request)
        for n in range(len(answer)):
            if stopping.is_set():
                return _cut_off(request)
            await response.write(answer[n : n + 1])
            await asyncio.sleep(DRIP_S)
    except ConnectionError:
        return response  # the VEN has had enough
    await response.write_eof()
    return response
