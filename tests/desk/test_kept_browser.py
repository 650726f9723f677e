"""What somebody types in Chromium outlives the end of a session and a database that is locked."""

import sqlite3
from contextlib import closing

from playwright.async_api import expect

from aggregator.model.opportunity import Stage
from tests.desk.browsing import browsing, connected, in_chromium, violations
from tests.desk.driver_steps import a_token, driving
from tests.desk.world import PASSWORDS, a_desk

pytestmark = in_chromium

BACK = "window.dispatchEvent(new Event('focus'))"


async def signs_in(page, name):
    await page.fill("input[name=user]", name)
    await page.fill("input[name=password]", PASSWORDS[name])
    await page.press("input[name=password]", "Enter")
    await connected(page)


async def signs_out(page):
    await page.locator(".me summary").click()
    await page.locator(".me button").click()
    await expect(page.locator("input[name=password]")).to_be_visible()


async def test_a_session_that_ends_takes_nothing_that_is_typed(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        anna = await people.signed_in("anna", "/bids/bid-1")
        reason, banner = anna.locator("#reject-reason"), anna.locator("#banner")
        await reason.fill("too little")
        other = await anna.context.new_page()
        await other.goto(f"{desk.base}/bids")
        await connected(other)
        await signs_out(other)
        await expect(banner).to_contain_text("Your session is over. What you typed is kept here.")
        await expect(banner).to_contain_text("Figures are from 12:01:00.")
        await expect(anna.locator("#link")).to_have_text("signed out")
        await expect(reason).to_have_value("too little")
        await anna.locator("#do-reject").click()
        await expect(banner).to_contain_text("Your session is over: nothing was done. What you typed is kept")
        assert await violations(anna) == []
        async with anna.context.expect_page() as opened:
            await banner.locator("a").click()
        tab = await opened.value
        await signs_in(tab, "ben")
        await anna.evaluate(BACK)
        await expect(banner).to_contain_text("ben has signed in in this browser; this page is anna's.")
        await anna.locator("#do-reject").click()
        await expect(banner).to_contain_text("Nothing was done")
        await expect(reason).to_have_value("too little")
        assert desk.bid("bid-1").stage is Stage.IN_REVIEW
        await signs_out(tab)
        await signs_in(tab, "anna")
        await anna.evaluate(BACK)
        await expect(banner).to_have_text("Signed in again; what you typed is kept.")
        await expect(reason).to_have_value("too little")
        for name in ("ben", "anna"):
            await signs_out(tab)
            await expect(banner).to_contain_text(
                "Your session is over" if name == "ben" else "ben has signed in"
            )
            await signs_in(tab, name)
            await anna.locator("#do-reject").click()
            if name == "ben":
                await expect(banner).to_contain_text("ben has signed in")
                await expect(banner).to_contain_text("Nothing was done")
        await expect(banner).to_have_text("Signed in again; what you typed is kept.")
        await expect(anna.locator("#told .flash")).to_contain_text(
            "Not sent You have signed in again since: press"
        )
        await expect(anna.locator("#link")).to_have_attribute("data-state", "live")
        await expect(reason).to_have_value("too little")
        assert desk.bid("bid-1").stage is Stage.IN_REVIEW
        await anna.locator("#do-reject").click()
        await expect(banner).to_be_hidden()
        await expect(anna.locator(".flash.good")).to_contain_text("refused by anna: too little")
        done = [(one.user, one.action) for one in desk.store.desk_trail.about("bid-1")]
        assert done == [("anna", "reject")]
        people.faults.clear()  # the browser itself tells of what was answered 401 and 403


async def test_a_token_that_is_revoked_takes_nothing_that_its_driver_types(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        driver = await driving(people, desk)
        banner, amount, level = driver.locator("#banner"), driver.locator("#amount"), driver.locator("#level")
        await amount.fill("55")
        await driver.locator("#mon-at").evaluate("field => field.closest('details').open = true")
        await driver.locator("#mon-at").fill("06:45")
        (token,) = desk.store.tokens.all()
        desk.store.tokens.revoke(token.token_id, desk.parts.clock.now())
        await driver.evaluate("window.dispatchEvent(new Event('online'))")
        await expect(banner).to_contain_text("You are signed out. What you typed is kept here.")
        assert await violations(driver) == []
        await driver.locator("#say-departure").click()
        await expect(banner).to_contain_text("You are signed out: nothing was sent. What you typed is kept")
        await expect(amount).to_have_value("55")
        async with driver.context.expect_page() as opened:
            await banner.locator("a").click()
        tab = await opened.value
        await tab.fill("input[name=token]", a_token(desk, "car-2")[1])
        await tab.press("input[name=token]", "Enter")
        await expect(tab.locator("#now-title")).to_contain_text("car-2")
        await driver.locator("#say-departure").click()
        await expect(banner).to_contain_text(
            "car-2 has signed in in this browser; this page is car-1's: nothing was sent."
        )
        await tab.locator("text=Sign out").click()
        await tab.fill("input[name=token]", a_token(desk)[1])
        await tab.press("input[name=token]", "Enter")
        await expect(tab.locator("#now-title")).to_contain_text("car-1")
        await driver.evaluate(BACK)
        await expect(banner).to_have_text("Signed in again; what you typed is kept.")
        await expect(amount).to_have_value("55")
        await expect(driver.locator("#mon-at")).to_have_value("06:45")
        await level.fill("45")
        await driver.locator("#say-departure").click()
        await expect(driver.locator(".flash.good")).to_contain_text("with 55%")
        await expect(level).to_have_value("45")
        await expect(driver.locator("#mon-at")).to_have_value("06:45")
        assert desk.parts.gateway.said.words().keys() == {"car-1"}


async def test_a_form_that_meets_a_locked_database_stays_and_is_done_once(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        anna = await people.signed_in("anna", "/bids/bid-1")
        reason = anna.locator("#reject-reason")
        await reason.fill("too little")
        await anna.locator("#amend-kw").fill("20")
        await anna.locator("#do-effect").click()
        await expect(anna.locator("#effect")).to_contain_text("40 kWh")
        await expect(reason).to_have_value("too little")
        with closing(sqlite3.connect(tmp_path / "flexloop.db", isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            await anna.locator("#do-reject").click()
            told = anna.locator("#told .flash")
            await expect(told).to_contain_text("nothing was done. What you typed is kept.")
            await expect(told).to_be_focused()
            await expect(reason).to_have_value("too little")
            holder.execute("ROLLBACK")
        await anna.locator("#do-reject").click()
        await expect(anna.locator(".flash.good")).to_contain_text("refused by anna: too little")
        people.faults.clear()  # the browser itself tells of what was answered 503
