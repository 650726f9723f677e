"""The live picture to every browser that is open, once a second, by server-sent events.

One task makes the picture while the desk is open and keeps those of the last ten minutes. Who comes back
after a break (``Last-Event-ID``, or ``after`` in the query; without a value: from the oldest kept) or is slow
gets what was missed in one event, as figures for charts, and then the newest picture whole: nobody waits for
a slow viewer, and no chart has a hole. An id names the run of the server, too: one of an earlier run is
unknown, and ``whole`` in the event of what was missed says so. Where something is missing before what is
kept, what the store knows of it goes before (``aggregator/web/earlier.py``). While the database is away
pictures are told as ``away``: figures of the loop, which needs none. A stream ends with its session, as far
as that can be seen, and all end with the server.
"""

import asyncio
import hashlib
import json
import secrets
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

import structlog
from aiohttp import web

from aggregator.model.errors import Unavailable
from aggregator.web.people import Entrance, Person

log = structlog.get_logger()

EVERY_S = 1.0
KEPT = 600
SLOWEST_S = 2.0
"""A picture that is not made by then is made without the database, which is away or locked."""

HEARTBEAT_S = 15.0
"""After so long without anything sent a comment is, so that nobody in between shuts the line."""

LONGEST_NUMBER = 15
SESSION_CHECKED_EVERY = 10
"""Pictures between looks whether who sees them is still signed in."""

HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
FIGURES = ("target_kw", "nominated_kw", "metered_kw")
"""What is kept of each zone, in this order. [kW, export positive]"""

Picture = Callable[[], Mapping[str, Any]]
Earlier = Callable[[str, str], Sequence[str]]
"""Makes rows of before the first kept one, from its instant and the newest one's; in a thread."""


def nothing_earlier(first: str, newest: str) -> Sequence[str]:
    """Return no rows."""
    return ()


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a picture.

    Attributes:
        number: Of this run, from 1, without gaps.
        row: Its instant and each zone's figures as JSON.
    """

    number: int
    row: str


class Stream:
    """Sends pictures.

    Args:
        picture: Makes one; in a thread.
        without_store: Makes one of what the loop knows; in a thread of the stream's own.
        entrance: Knows who is signed in.
        zones: The fleet's, in the order in which a picture has them.
        every_s: Wall seconds between pictures.
        heartbeat_s: Longest silence of a stream.
        slowest_s: Longest that a picture may take.
        earlier: Tells what was before the first picture that is kept.
    """

    def __init__(
        self,
        picture: Picture,
        without_store: Picture,
        entrance: Entrance,
        zones: Sequence[str],
        every_s: float = EVERY_S,
        heartbeat_s: float = HEARTBEAT_S,
        slowest_s: float = SLOWEST_S,
        earlier: Earlier = nothing_earlier,
    ) -> None:
        self._picture, self._without_store = picture, without_store
        self._entrance, self._earlier = entrance, earlier
        self._own_thread = ThreadPoolExecutor(1, thread_name_prefix="desk stream")
        self._looking_back = asyncio.Lock()
        self._zones = json.dumps(list(zones))
        self._every_s, self._heartbeat_s, self._slowest_s = every_s, heartbeat_s, slowest_s
        self._run_id = secrets.token_hex(4)
        self._kept: deque[Kept] = deque(maxlen=KEPT)
        self._event = b""
        self._changed = asyncio.Event()
        self._looks = 0
        self._late: asyncio.Future[Mapping[str, Any]] | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self, _: web.Application) -> None:
        """Begin to make pictures."""
        self._task = asyncio.create_task(self._run(), name="desk stream")

    async def close(self, _: web.Application) -> None:
        """End every stream."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._own_thread.shutdown(wait=False)
        self._wake()

    def somebody_left(self) -> None:
        """Let every stream see at once whether its session still stands."""
        self._looks += 1
        self._wake()

    async def serve(self, request: web.Request, person: Person) -> web.StreamResponse:
        """Send pictures until the browser, the session or the server goes."""
        response = web.StreamResponse(headers=HEADERS)
        await response.prepare(request)
        after = request.headers.get("Last-Event-ID", request.query.get("after"))
        with suppress(ConnectionResetError):  # the browser has gone
            await response.write(b"retry: 2000\n\n")
            await self._send(response, after, person)
        return response

    async def _send(self, response: web.StreamResponse, after: str | None, person: Person) -> None:
        seen = self._newest - 1 if after is None else self._number_of(after)
        comes_back, sent, looks = after is not None, 0, self._looks
        is_short = comes_back and (seen < 0 or self._newest - seen > len(self._kept))
        earlier = await self._rows_before(response) if is_short else ()
        while self._task is not None:
            missed = self._after(seen)
            if missed or comes_back:
                told = self._told(seen, missed, earlier, comes_back=comes_back)
                earlier, seen = (), missed[-1].number if missed else seen
                comes_back, sent = False, sent + 1
                await response.write(told)
            if looks != self._looks or sent == SESSION_CHECKED_EVERY:
                looks, sent = self._looks, 0
                if await self._has_left(person):
                    return
            if not self._after(seen):
                await self._wait(response)

    async def _has_left(self, person: Person) -> bool:
        """Whether a session has ended; while the database does not answer nobody can end one."""
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(self._slowest_s):
                return await self._entrance.behind(person.secret) is None
        return False

    async def _rows_before(self, response: web.StreamResponse) -> Sequence[str]:
        """Return what was before the first kept picture; many who come at once have it worked out once."""
        while not self._kept and self._task is not None:
            await self._wait(response)
        rows = [one.row for one in self._kept]
        if not rows:
            return ()
        first, newest = (json.loads(row)[0] for row in (rows[0], rows[-1]))
        try:
            async with self._looking_back:
                return await asyncio.to_thread(self._earlier, first, newest)
        except Unavailable:
            return ()

    async def _wait(self, response: web.StreamResponse) -> None:
        try:
            async with asyncio.timeout(self._heartbeat_s):
                await self._changed.wait()
        except TimeoutError:
            await response.write(b": still here\n\n")

    @property
    def _newest(self) -> int:
        return self._kept[-1].number if self._kept else 0

    def _number_of(self, text: str) -> int:
        """Return which picture an id names; -1 where it is none of this run."""
        run_id, _, number = text.partition("-")
        is_one = run_id == self._run_id and number.isdecimal() and len(number) <= LONGEST_NUMBER
        return int(number) if is_one and int(number) <= self._newest else -1

    def _after(self, seen: int) -> list[Kept]:
        missing = min(self._newest - max(seen, 0), len(self._kept))
        return list(islice(self._kept, len(self._kept) - missing, None))

    def _told(self, seen: int, missed: Sequence[Kept], earlier: Sequence[str], *, comes_back: bool) -> bytes:
        """Return what was missed, if anything was, and the newest picture."""
        newest, rows = self._event if missed else b"", [one.row for one in missed[:-1]]
        rows = [*earlier, *rows]
        if not rows and not comes_back:
            return newest
        whole = seen >= 0 and (not missed or missed[0].number == seen + 1)
        data = f'{{"whole": {json.dumps(whole)}, "zones": {self._zones}, "rows": [{", ".join(rows)}]}}'
        return f"event: past\ndata: {data}\n\n".encode() + newest

    async def _run(self) -> None:
        while True:
            try:
                row, self._event = await self._made(f"{self._run_id}-{self._newest + 1}")
                self._kept.append(Kept(self._newest + 1, row))
            except Exception:
                log.exception("desk_picture_failed")
            self._wake()
            await asyncio.sleep(self._every_s)

    async def _made(self, name: str) -> tuple[str, bytes]:
        """Return a new picture's row, and the event that tells it under a name."""
        kind = "live"
        try:
            found = await self._found()
        except (Unavailable, TimeoutError) as away:
            log.warning("desk_without_database", error=str(away) or "no picture in time")
            kind, loop = "away", asyncio.get_running_loop()
            found = await loop.run_in_executor(self._own_thread, self._without_store)
        figures = [[zone[figure] for figure in FIGURES] for zone in found["zones"]]
        event = f"id: {name}\nevent: {kind}\ndata: {json.dumps(found)}\n\n".encode()
        return json.dumps([found["now"], *figures]), event

    async def _found(self) -> Mapping[str, Any]:
        """Return a new picture; one that comes late is shown to nobody: its time is past."""
        if self._late is not None:
            if not self._late.done():
                raise TimeoutError
            with suppress(Unavailable):
                self._late.result()
        async with asyncio.timeout(self._slowest_s):
            self._late = asyncio.ensure_future(asyncio.to_thread(self._picture))
            try:
                return await asyncio.shield(self._late)
            finally:
                if self._late.done():
                    self._late = None

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def stamp(*parts: object) -> str:
    """Return a short text that changes when any of some values does."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
