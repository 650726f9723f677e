"""The live picture to every browser that is open, once a second, by server-sent events.

One task makes the picture while anybody looks. A picture is whole: who is slow misses some, never gets one
that is out of order. A stream ends with its session, and all end with the server.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping

import structlog
from aiohttp import web

from aggregator.model.errors import Unavailable
from aggregator.web.people import Entrance, Person

log = structlog.get_logger()

EVERY_S = 1.0
SESSION_CHECKED_EVERY = 10
"""Pictures between looks whether who sees them is still signed in."""

Picture = Callable[[], Mapping[str, object]]


class Stream:
    """Sends pictures.

    Args:
        picture: Makes one; in a thread.
        entrance: Knows who is signed in.
    """

    def __init__(self, picture: Picture, entrance: Entrance) -> None:
        self._picture, self._entrance = picture, entrance
        self._viewers: set[asyncio.Queue[bytes | None]] = set()
        self._task: asyncio.Task[None] | None = None

    async def serve(self, request: web.Request, person: Person) -> web.StreamResponse:
        """Send pictures until the browser, the session or the server goes."""
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
            }
        )
        await response.prepare(request)
        await response.write(b"retry: 2000\n\n")
        pictures: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=1)
        self._viewers.add(pictures)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="desk stream")
        try:
            await self._send(response, pictures, person)
        except ConnectionResetError:
            pass  # the browser has gone
        finally:
            self._viewers.discard(pictures)
        return response

    async def close(self, _: web.Application) -> None:
        """End every stream."""
        if self._task is not None:
            self._task.cancel()
        for pictures in self._viewers:
            _put(pictures, None)

    async def _send(
        self, response: web.StreamResponse, pictures: asyncio.Queue[bytes | None], person: Person
    ) -> None:
        sent = 0
        while (picture := await pictures.get()) is not None:
            await response.write(picture)
            sent += 1
            if sent % SESSION_CHECKED_EVERY == 0 and await self._entrance.behind(person.secret) is None:
                return

    async def _run(self) -> None:
        number = 0
        while self._viewers:
            number += 1
            picture = await self._made(number)
            for pictures in self._viewers:
                _put(pictures, picture)
            await asyncio.sleep(EVERY_S)

    async def _made(self, number: int) -> bytes:
        try:
            found = await asyncio.to_thread(self._picture)
        except Unavailable as away:
            log.warning("desk_without_database", error=str(away))
            return f"id: {number}\nevent: away\ndata: {{}}\n\n".encode()
        return f"id: {number}\nevent: live\ndata: {json.dumps(found)}\n\n".encode()


def stamp(*parts: object) -> str:
    """Return a short text that changes when any of some values does."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _put(pictures: asyncio.Queue[bytes | None], picture: bytes | None) -> None:
    """Put the newest picture in place of one that was not taken yet."""
    while pictures.full():
        pictures.get_nowait()
    pictures.put_nowait(picture)
