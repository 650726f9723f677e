"""The live stream as programs read it: many viewers, breaks, slow ones, silence, and its end."""

import asyncio
import json
import threading
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta

import pytest
from aiohttp import web

from aggregator.model.errors import Unavailable
from aggregator.serving import listen_on, serving
from aggregator.web.people import Person as Viewer
from aggregator.web.stream import FIGURES, KEPT, Stream
from tests.desk.world import a_desk

ZONES = ("Canvey", "Wrotham")
VIEWERS = 50
QUICK_S = 0.005
PATIENCE_S = 60


class Pictures:
    """Makes pictures with a number that grows; fails where it is told to."""

    def __init__(self):
        self.made, self.away, self.late, self.more = 0, False, [], "x" * 2000
        self.unlocked = threading.Event()
        self.unlocked.set()

    def __call__(self):
        if self.away:
            raise Unavailable("the database does not answer")
        is_locked = not self.unlocked.is_set()
        self.unlocked.wait(PATIENCE_S)
        found = self.without_store()
        if is_locked:
            self.late.append(int(found["now"]))
        return found

    def without_store(self):
        self.made += 1
        zones = [{"zone": zone, **dict.fromkeys(FIGURES, float(self.made))} for zone in ZONES]
        return {"now": f"{self.made}", "zones": zones, "more": self.more}


class Everybody:
    """Lets sessions stand until they are ended."""

    def __init__(self):
        self.gone = set()

    async def behind(self, secret):
        return None if secret in self.gone else Viewer("vera", frozenset(("viewer",)), secret)


class Line:
    """One viewer's connection, read event by event."""

    def __init__(self, reader, writer):
        self._reader, self.writer = reader, writer
        self.last_id, self.names = "", set()

    async def event(self):
        """Return the next event's name and data, and a comment as such; None at the end."""
        found = {}
        async with asyncio.timeout(PATIENCE_S):
            while line := (await self._reader.readline()).decode().rstrip("\r\n"):
                name, _, value = line.partition(": ")
                found[name] = value
        self.last_id = found.get("id", self.last_id)
        if not found:
            return None
        self.names.add(found.get("event", "comment"))
        return found.get("event", "comment"), json.loads(found.get("data", "null"))

    async def pictures(self, until):
        """Return the numbers of all pictures up to one, missed ones too, in the order told."""
        numbers = []
        while not numbers or numbers[-1] < until:
            name, data = await self.event()
            if name == "past":
                assert data["zones"] == list(ZONES)
                numbers += [int(row[0]) for row in data["rows"]]
            elif name == "live":
                numbers.append(int(data["now"]))
        return numbers


class Served:
    """A stream at an address of its own; opened again it is another run of the server."""

    def __init__(self, heartbeat_s):
        self.pictures, self.everybody, self._heartbeat_s = Pictures(), Everybody(), heartbeat_s
        self.doors = AsyncExitStack()
        self._lines = AsyncExitStack()

    async def open(self, every_s=QUICK_S, **more):
        pictures = (self.pictures, self.pictures.without_store)
        self.stream = Stream(*pictures, self.everybody, ZONES, every_s, self._heartbeat_s, **more)
        app = web.Application()
        app.on_startup.append(self.stream.open)
        app.on_shutdown.append(self.stream.close)
        app.router.add_get("/", self._serve)
        listener = listen_on("127.0.0.1:0")
        self.port = listener.getsockname()[1]
        await self.doors.enter_async_context(serving(listener, app, "desk"))

    async def _serve(self, request):
        viewer = Viewer("vera", frozenset(("viewer",)), request.query.get("secret", "s"))
        return await self.stream.serve(request, viewer)

    async def line(self, query="", last_id=None):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**20)
        self._lines.callback(writer.close)
        more = "" if last_id is None else f"Last-Event-ID: {last_id}\r\n"
        writer.write(f"GET /?{query} HTTP/1.0\r\nHost: here\r\n{more}\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head
        assert b"text/event-stream" in head
        assert await reader.readuntil(b"\n\n") == b"retry: 2000\n\n"
        return Line(reader, writer)

    async def close(self):
        await self.doors.aclose()
        await self._lines.aclose()


@asynccontextmanager
async def a_stream(heartbeat_s=PATIENCE_S, **more):
    served = Served(heartbeat_s)
    await served.open(**more)
    try:
        yield served
    finally:
        await served.close()


def in_order(numbers):
    return numbers == list(range(numbers[0], numbers[-1] + 1))


async def test_fifty_viewers_get_every_picture_in_order():
    async with a_stream() as served:
        lines = [await served.line() for _ in range(VIEWERS)]
        until = served.pictures.made + 40
        for numbers in await asyncio.gather(*(line.pictures(until) for line in lines)):
            assert len(numbers) >= 40
            assert in_order(numbers)


async def test_who_comes_back_gets_what_was_missed_and_then_the_newest_whole():
    async with a_stream() as served:
        line = await served.line()
        before = await line.pictures(served.pictures.made + 3)
        line.writer.close()
        other = await served.line()
        await other.pictures(before[-1] + 50)
        again = await served.line(last_id=line.last_id)
        name, past = await again.event()
        assert (name, past["whole"]) == ("past", True)
        rows = past["rows"]
        assert [int(row[0]) for row in rows] == list(range(before[-1] + 1, before[-1] + 1 + len(rows)))
        assert rows[0][1:] == [[float(rows[0][0])] * 3] * len(ZONES)
        name, newest = await again.event()
        assert (name, int(newest["now"])) == ("live", int(rows[-1][0]) + 1)
        assert newest["more"]


async def test_an_id_in_the_query_does_the_same_and_the_browsers_own_goes_before_it():
    async with a_stream() as served:
        line = await served.line("after=")
        assert (await line.pictures(served.pictures.made + 3))[0] == 1
        numbers = await (await served.line(f"after={line.last_id}")).pictures(served.pictures.made + 3)
        assert numbers[0] == int(line.last_id.partition("-")[2]) + 1
        line = await served.line("after=", last_id=line.last_id)
        assert (await line.event())[1]["whole"]


@pytest.mark.parametrize("last_id", ["", "7", "nothing-1", "00000000-2", "\xb2-\xb2"])
async def test_an_unknown_id_is_said_and_gets_all_there_is(last_id):
    async with a_stream() as served:
        await (await served.line()).pictures(served.pictures.made + 3)
        line = await served.line(last_id=last_id)
        name, past = await line.event()
        assert (name, past["whole"]) == ("past", False)
        assert past["rows"][0][0] == "1"


async def test_an_id_from_before_a_restart_or_from_the_future_is_unknown():
    async with a_stream() as served:
        line = await served.line()
        await line.pictures(served.pictures.made + 3)
        run = line.last_id.partition("-")[0]
        for number in (10**6, "9" * 5000):
            assert not (await (await served.line(last_id=f"{run}-{number}")).event())[1]["whole"]
        await served.doors.aclose()
        first = served.pictures.made + 1
        await served.open()
        await (await served.line()).pictures(served.pictures.made + 10)
        back = await served.line(last_id=line.last_id)
        _, past = await back.event()
        assert (past["whole"], int(past["rows"][0][0])) == (False, first)


async def test_only_the_last_minutes_are_kept_and_who_was_away_for_longer_is_told():
    async with a_stream() as served:
        await served.doors.aclose()
        await served.open(every_s=0)
        line = await served.line()
        await line.pictures(served.pictures.made + 1)
        await (await served.line()).pictures(served.pictures.made + KEPT + 50)
        name, past = await (await served.line(last_id=line.last_id)).event()
        assert (name, past["whole"], len(past["rows"])) == ("past", False, KEPT - 1)


async def test_a_slow_viewer_holds_up_nobody_and_misses_nothing_that_is_kept():
    async with a_stream() as served:
        served.pictures.more = "x" * 100_000  # more than sockets hold
        slow, quick = await served.line(), await served.line()
        assert in_order(await quick.pictures(served.pictures.made + 200))
        assert in_order(await slow.pictures(served.pictures.made + 1))
        assert "past" in slow.names
        assert "past" not in quick.names


async def test_a_stream_in_which_nothing_is_sent_says_that_it_is_there():
    async with a_stream(heartbeat_s=0.02) as served:
        await served.doors.aclose()
        await served.open(every_s=3600)
        line = await served.line("after=")
        names = [(await line.event())[0] for _ in range(4)]
        assert names[-1] == "comment"
        assert set(names) <= {"past", "live", "comment"}


async def test_a_database_that_is_away_is_told_and_the_loops_figures_go_on():
    async with a_stream() as served:
        line = await served.line()
        await line.pictures(served.pictures.made + 1)
        last_id, served.pictures.away = line.last_id, True
        while (told := await line.event())[0] != "away":
            pass
        assert [zone["zone"] for zone in told[1]["zones"]] == list(ZONES)
        served.pictures.away = False
        await line.pictures(served.pictures.made + 3)
        name, past = await (await served.line(last_id=last_id)).event()
        assert (name, past["whole"]) == ("past", True)
        assert in_order([int(row[0]) for row in past["rows"]])


async def test_a_database_that_is_locked_is_told_as_away_and_old_figures_as_none():
    async with a_stream(slowest_s=0.5) as served:
        line = await served.line()
        await line.pictures(served.pictures.made + 1)
        served.pictures.unlocked.clear()
        while (await line.event())[0] != "away":
            pass
        assert [(await line.event())[0] for _ in range(2)] == ["away"] * 2
        comes_back = await served.line(last_id=line.last_id)
        assert (await comes_back.event())[0] in ("past", "away")
        assert (await comes_back.event())[0] == "away"
        served.pictures.unlocked.set()
        numbers = await line.pictures(served.pictures.made + 10)
        (late,) = served.pictures.late
        assert late not in numbers, "what was asked for while it was locked tells of then"


async def test_the_end_of_a_session_ends_its_stream_at_once_and_no_other():
    async with a_stream() as served:
        one, other = await served.line("secret=one"), await served.line("secret=other")
        await one.pictures(served.pictures.made + 2)
        served.everybody.gone.add("one")
        served.stream.somebody_left()
        with suppress(TypeError):  # the end is no event
            await one.pictures(10**9)
        assert in_order(await other.pictures(served.pictures.made + 20))


async def test_the_end_of_the_server_ends_streams_that_wait():
    async with a_stream() as served:
        await served.doors.aclose()
        await served.open(every_s=3600)
        line = await served.line("after=")
        await line.event()
        await served.doors.aclose()
        while await line.event() is not None:
            pass


async def test_signing_out_ends_the_streams_of_that_session(tmp_path):
    async with a_desk(tmp_path) as desk:
        vera = await desk.sign_in("vera")
        async with vera._session.get(f"{desk.base}/v1/stream") as response:
            assert await response.content.readuntil(b"\n\n")
            assert (await vera.form("/sign-out", []))[0] == 303
            async with asyncio.timeout(PATIENCE_S):
                await response.content.read()


async def test_a_picture_changes_its_stamp_with_each_fact(tmp_path):
    async with a_desk(tmp_path) as desk:
        vera, anna = await desk.sign_in("vera"), await desk.sign_in("anna")
        before = (await vera.get("/v1/live"))[1]["stamp"]
        desk.parts.clock.pass_by(timedelta(seconds=1))
        assert (await vera.get("/v1/live"))[1]["stamp"] == before
        seen = {"draft": desk.bid("bid-1").draft.digest}
        assert (await anna.post("/v1/bids/bid-1/check", seen))[0] == 200
        assert (await vera.get("/v1/live"))[1]["stamp"] != before
