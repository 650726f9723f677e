"""In Chromium: a row that loses its tick says so where it was ticked, until the next action."""

from datetime import timedelta
from decimal import Decimal

from playwright.async_api import expect

from tests.desk.browsing import browsing, in_chromium, violations
from tests.desk.world import NOW, a_desk

pytestmark = in_chromium

WEDNESDAY = "Hendon Way Wed 15 Jan 17:00–19:00"
THURSDAY = "Hendon Way Thu 16 Jan 17:00–19:00"


async def test_a_gate_that_takes_a_tick_along_says_so_in_place(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        ben = await people.signed_in("ben", "/bids?shown=todo")
        note = ben.locator("#unticked")
        await expect(note).to_be_hidden()
        for key in ("j", "x", "j", "x"):
            await ben.keyboard.press(key)
        await expect(ben.locator("#tick-bid-1")).to_be_checked()
        desk.parts.clock.set(NOW + timedelta(hours=2))
        await expect(note).to_have_attribute("role", "status")
        await expect(note).to_have_text(f"No longer ticked: {WEDNESDAY}, its gate closed at 14:00")
        await expect(note.locator("time")).to_have_attribute("title", "2025-01-14 14:00:00 UTC")
        await expect(ben.locator("#tick-bid-2")).to_be_checked()
        desk.parts.gateway.tick()
        await expect(ben.locator("#banner")).to_contain_text(f"{WEDNESDAY} no longer in this list")
        await ben.locator("#banner button").click()
        await expect(ben.locator("#row-bid-1")).to_have_count(0)
        await expect(note).to_contain_text(WEDNESDAY)
        assert await violations(ben) == []
        await ben.locator("#approve-ticked").click()
        await expect(ben.locator(".flash.good")).to_contain_text("approved by ben")
        await expect(note).to_be_hidden()


async def test_the_only_tick_that_lapses_with_its_row_is_told_of(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        ben = await people.signed_in("ben", "/bids?shown=todo")
        await ben.locator("#tick-bid-1").check()
        desk.parts.clock.set(NOW + timedelta(hours=2))
        desk.parts.gateway.tick()
        await expect(ben.locator("#row-bid-1")).to_have_count(0)  # made anew by itself
        await expect(ben.locator("#unticked")).to_contain_text(f"{WEDNESDAY}, its gate closed at 14:00")
        await people.go(ben, "/bids")
        await expect(ben.locator("#unticked")).to_be_hidden()


async def test_a_tick_says_why_it_could_not_be_kept(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        ben, flow = await people.signed_in("ben", "/bids"), desk.parts.gateway.workflow
        for name in ("bid-1", "bid-2", "bid-3"):
            await ben.locator(f"#tick-{name}").check()
        one = desk.bid("bid-3")
        flow.amend(one, one.draft.digest, "anna", None, Decimal(250))
        one = desk.bid("bid-2")
        flow.approve(one, one.draft.digest, "cleo")
        await expect(ben.locator("#banner")).to_contain_text("drafted anew")
        await expect(ben.locator("#banner")).to_contain_text("approved, leaving")
        await ben.locator("#banner button").click()
        note = ben.locator("#unticked")
        await expect(note).to_contain_text(f"{THURSDAY}, its draft has changed")
        await expect(note).to_contain_text(f"{THURSDAY}, now approved, leaving")
        await expect(note).not_to_contain_text(WEDNESDAY)
        await expect(ben.locator("#tick-bid-1")).to_be_checked()


async def test_what_was_sent_itself_is_told_by_its_answer_alone(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        ben, flow = await people.signed_in("ben", "/bids?shown=todo"), desk.parts.gateway.workflow
        for name in ("bid-2", "bid-3"):
            await ben.locator(f"#tick-{name}").check()
        one = desk.bid("bid-2")
        flow.amend(one, one.draft.digest, "anna", None, Decimal(250))
        await ben.locator("#approve-ticked").click()
        await expect(ben.locator(".flash.bad")).to_contain_text("the draft changed after it was shown")
        await expect(ben.locator(".flash.good")).to_contain_text("approved by ben")
        await expect(ben.locator("#unticked")).to_be_hidden()
