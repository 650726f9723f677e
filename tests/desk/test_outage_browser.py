"""The desk in Chromium without its database: figures go on, the stop holds, what was said gets old."""

import re
from datetime import timedelta

import pytest
from playwright.async_api import expect

from tests.desk.browsing import browsing, connected, in_chromium
from tests.desk.test_stop_without_database import Outage
from tests.desk.world import a_desk
from tests.postgres import running

pytestmark = in_chromium

SEEN = """isSeen => {
  Object.defineProperty(document, "hidden", {get: () => !isSeen, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture
def outage():
    """A server of its own that goes and comes back."""
    with running() as server:
        found = Outage(server)
        yield found
        if found.is_on:
            found.end()


async def test_live_goes_on_without_the_database_and_its_stop_holds(tmp_path, outage, chromium):
    async with a_desk(tmp_path, database=outage.server.create()) as desk, browsing(desk, chromium) as people:
        anna = await people.signed_in("anna", "/live")
        metered = anna.locator("[data-zone='Hendon Way'] [data-of=metered_kw]")
        await expect(metered).to_have_text("6.0 kW")
        await outage.begins()
        await expect(anna.locator("#link")).to_have_text("no database")
        await expect(anna.locator("#banner")).to_contain_text("moving figures are the control loop's")
        await desk.parts.minute(stored=False)
        await expect(anna.locator("#clock")).to_have_text("12:02:00")
        await anna.keyboard.press("Shift+S")
        told = anna.locator("#told .flash")
        await expect(told).to_have_text(
            "Stopped Stopped in the loop at 12:02:00; it will be written down when the database is back. "
        )
        assert desk.parts.gateway.book.stopped()
        await desk.parts.minute(stored=False)
        await expect(anna.locator("[data-zone='Hendon Way'] h2 .state")).to_have_text("stopped")
        fresh = await anna.context.new_page()
        await fresh.goto(f"{desk.base}/live")
        await expect(fresh.locator("#stop-without-database button")).to_be_visible()
        await fresh.close()
        await outage.ends()
        await connected(anna)
        await expect(told).to_contain_text("Before the connection was back: stopped")
        await expect(told).to_have_class(re.compile("past"))
        await expect(anna.locator(".flash.halt")).to_contain_text("by anna")
        people.faults.clear()  # the browser itself tells of what was answered 503


async def test_a_tab_that_is_shown_again_during_an_outage_says_at_once_how_old_it_is(
    tmp_path, outage, chromium
):
    async with a_desk(tmp_path, database=outage.server.create()) as desk, browsing(desk, chromium) as people:
        for path in ("/live", "/bids"):
            anna = await people.signed_in("anna", path)
            await anna.evaluate(SEEN, False)
            await expect(anna.locator("#link")).to_have_text("paused")
            await outage.begins()
            await desk.parts.minute(stored=False)
            shown = f"{desk.parts.clock.now() - timedelta(minutes=1):%H:%M:%S}"
            await anna.evaluate(SEEN, True)
            await expect(anna.locator("#link")).to_have_text("no database", timeout=2000)
            await expect(anna.locator("#banner")).to_contain_text(f"what you see is from {shown}")
            await outage.ends()
            await connected(anna)
        people.faults.clear()  # the browser itself tells of what was answered 503


async def test_a_tab_that_is_shown_again_after_the_gateway_went_says_at_once_how_old_it_is(
    tmp_path, chromium
):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        anna = await people.signed_in("anna", "/live")
        await anna.evaluate(SEEN, False)
        await desk.shut_door()
        await anna.wait_for_timeout(3000)
        await anna.evaluate(SEEN, True)
        await expect(anna.locator("#banner")).to_contain_text("figures are from 12:01:00", timeout=2000)
        await desk.open_door()
        await connected(anna)
        people.faults.clear()  # the browser itself tells of the line that is down


async def test_what_was_said_last_says_when_once_the_line_is_lost(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        anna = await people.signed_in("anna", "/live")
        await anna.locator("[name=alarms]").check()
        await anna.locator("#acknowledge-ticked").click()
        told = anna.locator("#told .flash")
        await expect(told).to_contain_text("Done 1 acknowledged by anna")
        await desk.shut_door()
        await expect(anna.locator("#link")).to_have_attribute("data-state", "lost")
        await expect(told).to_contain_text("As of 12:01:00: done 1 acknowledged by anna")
        await expect(told).to_have_class(re.compile("past"))
        await desk.open_door()
        await connected(anna)
        people.faults.clear()  # the browser itself tells of the line that is down
