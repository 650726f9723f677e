"""The emergency stop while the database is away: for it alone a session that was seen lately is enough."""

import asyncio
import re
from datetime import timedelta
from html import unescape

import pytest

from aggregator.model.errors import Unavailable
from tests.desk.test_stream import Line
from tests.desk.world import a_desk
from tests.postgres import running

STOPPED = "stopped in the loop at 12:01:00; it will be written down when the database is back"
SMOKE = {"reason": "smoke"}
FIELDS = r'<input type="hidden" name="(\w+)" value="([^"]*)">'


@pytest.fixture(scope="module")
def server():
    """A server that may be stopped: no other test has it."""
    with running() as server:
        yield server


class Outage:
    """Lets the database go, and come back."""

    def __init__(self, server):
        self.server, self.is_on = server, False

    async def begins(self):
        await asyncio.to_thread(self.server.stop, "immediate")
        self.is_on = True

    async def ends(self):
        await asyncio.to_thread(self.end)

    def end(self):
        self.server.start()
        self.is_on = False


@pytest.fixture
def outage(server):
    """An outage that is over at the end."""
    found = Outage(server)
    yield found
    if found.is_on:
        found.end()


async def until(met):
    async with asyncio.timeout(30):
        while not met():  # noqa: ASYNC110 - a server starts
            await asyncio.sleep(0.05)


def stands(desk):
    try:
        return desk.store.halts.standing()
    except Unavailable:
        return ()


async def test_a_stop_holds_at_once_and_is_written_down_once_when_the_database_is_back(
    tmp_path, server, outage
):
    async with a_desk(tmp_path, database=server.create()) as desk:
        anna, book = await desk.sign_in("anna"), desk.parts.gateway.book
        await outage.begins()
        for key in ("one", "one", "two"):  # sent again it is the same stop, whatever its key
            status, body = await anna.post("/v1/stops", SMOKE, key=key)
            assert (status, body["status"], body["said"]) == (202, 202, STOPPED)
            assert (body["name"], body["subject"], body["action"]) == ("stop", "all zones", None)
            assert body["at"] == "2025-01-14T12:01:00Z"
        assert book.stopped() == frozenset(desk.parts.gateway.settings.fleet.zones)
        await desk.parts.minute(stored=False)
        assert all(point.export_w <= 0 for point in desk.parts.link.told)
        await outage.ends()
        await until(lambda: stands(desk))
        (halt,) = desk.store.halts.standing()
        assert (halt.zone, halt.by, halt.reason) == (None, "anna", "smoke")
        assert f"{halt.at:%H:%M:%S}" == "12:01:00"  # since when the cars stand, though it is stored later
        (row,) = [one for one in desk.store.desk_trail.all() if one.action == "stop"]
        assert (row.user, row.key, row.status) == ("anna", "one", 200)
        assert "2025-01-14T12:01:00Z" in row.said
        status, again = await anna.post("/v1/stops", SMOKE, key="one")
        assert (status, again["action"]) == (200, row.action_id)


async def test_it_is_the_only_action_for_which_being_known_suffices(tmp_path, server, outage):
    async with a_desk(tmp_path, database=server.create()) as desk:
        anna, ben = await desk.sign_in("anna"), await desk.sign_in("ben")
        draft = desk.bid("bid-1").draft.digest
        await anna.get("/v1/live")
        await outage.begins()
        for path, body in (
            ("/v1/restarts", {}),
            ("/v1/bids/bid-1/check", {"draft": draft}),
            ("/v1/approvals", {"bids": [{"bid": "bid-1", "draft": draft}]}),
            ("/v1/audits", {}),
        ):
            status, said = await anna.post(path, body)
            assert (status, said["detail"]) == (503, "the database does not answer; nothing was done")
        assert (await anna.get("/v1/live"))[0] == 503
        for wrong, field in (({"zone": "Mars"}, "body: zone"), ({"reason": "  "}, "body: reason")):
            status, said = await anna.post("/v1/stops", SMOKE | wrong)
            assert (status, said["faults"][0]["field"]) == (422, field)
        status, _ = await anna.post("/v1/stops", SMOKE, headers={"X-CSRF-Token": ben.csrf})
        assert status == 403
        assert desk.parts.gateway.book.stopped() == frozenset()


async def test_who_has_left_or_was_not_seen_lately_is_not_known(tmp_path, server, outage):
    async with a_desk(tmp_path, database=server.create()) as desk:
        gone, idle, vera = [await desk.sign_in(name) for name in ("anna", "ben", "vera")]
        for who in (gone, idle):
            await who.get("/v1/live")
        secrets = [cookie.value for cookie in gone._session.cookie_jar]
        await gone.form("/sign-out", [])
        gone._session.cookie_jar.update_cookies({"flexloop": secrets[0]})
        desk.wall.pass_by(timedelta(minutes=16))
        await vera.get("/v1/live")
        await outage.begins()
        for who in (gone, idle):
            status, body = await who.post("/v1/stops", SMOKE)
            assert status == 503
            assert "nothing was done" in body["detail"]
            assert "end the gateway" in body["detail"]
        assert desk.parts.gateway.book.stopped() == frozenset()
        desk.wall.pass_by(timedelta(hours=1))  # an outage makes nobody unknown who was there when it began
        assert (await vera.post("/v1/stops", SMOKE))[1]["said"] == STOPPED


async def test_a_page_that_cannot_be_made_has_the_stop_or_says_what_to_do(tmp_path, server, outage):
    async with a_desk(tmp_path, database=server.create()) as desk:
        anna, nobody = await desk.sign_in("anna"), await desk.sign_in("ben")
        desk.wall.pass_by(timedelta(minutes=16))
        await anna.get("/v1/live")
        await outage.begins()
        status, page = await nobody.get("/live")
        assert status == 503
        assert 'action="/v1/stops"' not in page
        assert "end the gateway" in page
        status, page = await anna.get("/live")
        assert status == 503
        assert 'action="/v1/stops"' in page
        sent = [(name, unescape(value)) for name, value in re.findall(FIELDS, page)]
        async with anna._session.post(f"{desk.base}/v1/stops", data=sent) as response:
            page = await response.text()
            assert response.status == 202
            assert STOPPED in re.sub(r"</?time[^>]*>", "", page)
            assert "<h1>Stopped</h1>" in page
            assert "Try again" not in page
            assert "Send it again" not in page
        assert desk.parts.gateway.book.stopped()


async def test_the_stream_goes_on_with_figures_of_the_loop(tmp_path, server, outage):
    async with a_desk(tmp_path, database=server.create()) as desk:
        anna = await desk.sign_in("anna")
        async with anna._session.get(f"{desk.base}/v1/stream") as response:
            line = Line(response.content, None)
            assert await response.content.readuntil(b"\n\n")
            name, before = await line.event()
            assert name == "live"
            await outage.begins()
            while (await line.event())[0] != "away":
                pass
            await desk.parts.minute(stored=False)
            seen = []
            for _ in range(15):  # longer than what lies between looks whether somebody is signed in
                name, picture = await line.event()
                seen.append((name, picture["now"] > before["now"]))
            assert set(seen) == {("away", True)}
            (zone,) = [one for one in picture["zones"] if one["zone"] == "Hendon Way"]
            (then,) = [one for one in before["zones"] if one["zone"] == "Hendon Way"]
            assert zone["nominated_kw"] == then["nominated_kw"]
            assert zone["metered_kw"] == 6.0
            await outage.ends()  # what the loop left is stored before the desk closes
