"""A desk whose database does not answer: pages that say so and come back by themselves."""

import asyncio
import re
from html import unescape

import pytest

from tests.desk.driver_steps import a_driver
from tests.desk.world import a_desk
from tests.postgres import running

HIDDEN = r'<input type="hidden" name="(\w+)" value="([^"]*)">'


@pytest.fixture
def server():
    """A server that may be stopped: no other test has it."""
    with running() as server:
        yield server


async def test_pages_say_that_the_database_does_not_answer_and_try_again(tmp_path, server):
    async with a_desk(tmp_path, database=server.create()) as desk:
        anna, driver = await desk.sign_in("anna"), await a_driver(desk)
        draft = desk.bid("bid-1").draft.digest
        await asyncio.to_thread(server.stop, "immediate")
        looks = [(anna, path) for path in ("/", "/fleet", "/settlement", "/audit", "/rules")]
        for who, path in [*looks, (driver, "/my-car")]:
            status, page = await who.get(path)
            assert status == 503, path
            assert "the database does not answer" in page
            assert '<meta http-equiv="refresh" content="5">' in page
            assert f'href="{path}"' in page
        status, body = await anna.get("/v1/audit")
        assert (status, body["detail"]) == (503, "the database does not answer")
        status, _, page = await driver.form("/my-car/boost", [])
        assert status == 503
        assert "refresh" not in page
        sent = [("draft", draft), ("reason", "too <b>little</b>")]
        status, _, page = await anna.form("/v1/bids/bid-1/reject", sent)
        assert status == 503
        for words in (
            "nothing was done",
            "too &lt;b&gt;little",
            'action="/v1/bids/bid-1/reject"',
            "Send it again",
        ):
            assert words in page
        assert "<b>" not in page
        again = [(name, unescape(value)) for name, value in re.findall(HIDDEN, page)]
        assert {name for name, _ in again} == {"csrf", "key", "draft", "reason"}
        wrong = [("user", "anna"), ("password", "a-secret")]
        assert "a-secret" not in (await anna.form("/sign-in", wrong))[2]
        await asyncio.to_thread(server.start)
        async with asyncio.timeout(20):
            while (await anna.get("/audit"))[0] != 200:  # noqa: ASYNC110 - a server starts
                await asyncio.sleep(0.1)
        assert desk.store.drivers.all() == ()
        for _ in range(2):  # sent again, and again
            async with anna._session.post(
                f"{desk.base}/v1/bids/bid-1/reject", data=again, allow_redirects=False
            ) as response:
                assert response.status == 303
        assert [one.action for one in desk.store.desk_trail.about("bid-1")] == ["reject"]
