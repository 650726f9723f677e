"""The same in Chromium: by keyboard, and while things change under the page."""

from datetime import timedelta
from decimal import Decimal

from playwright.async_api import expect

from aggregator.store import Alarm
from tests.desk.browsing import browsing, in_chromium, violations
from tests.desk.world import NOW, a_bid, a_desk

pytestmark = in_chromium

HEARD = """new MutationObserver((_, watch) => { watch.disconnect(); console.log("heard"); })
    .observe(document.body, {attributes: true, attributeFilter: ["data-heard"]})"""


async def test_a_crowd_of_alarms_is_one_row_by_keyboard(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        for n in range(3, 30):
            desk.store.alarms.raise_(Alarm(NOW, "not_following", f"car-{n}", "told 3.0 kW"))
        anna = await people.signed_in("anna", "/live")
        await expect(anna.locator("#alarm-1")).to_be_hidden()
        await anna.keyboard.press("j")
        summary = anna.locator("#group-not_following")
        await expect(summary).to_be_focused()
        await anna.keyboard.press("Enter")
        await expect(anna.locator("#alarm-1")).to_be_visible()
        assert await violations(anna) == []
        desk.store.alarms.raise_(Alarm(NOW + timedelta(seconds=1), "order_short", "Hendon Way", "short"))
        await expect(anna.locator("#alarm-29")).to_be_visible()  # made anew by itself
        await expect(anna.locator("#alarm-1")).to_be_visible()
        await expect(summary).to_be_focused()
        await anna.keyboard.press("a")
        await expect(anna.locator("#acknowledge-not_following")).to_be_focused()
        await anna.keyboard.press("Enter")
        await expect(anna.locator(".flash.good")).to_contain_text("28 acknowledged by anna")
        assert [alarm.code for alarm in desk.store.alarms.open()] == ["order_short"]


async def test_only_what_changed_of_this_bid_is_told_while_somebody_types(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        anna = await people.signed_in("anna", "/bids/bid-1")
        await anna.locator("#reject-reason").fill("too lit")
        one = desk.bid("bid-3")
        async with anna.expect_response("**/bids/bid-1?*"):
            desk.parts.gateway.workflow.check(one, one.draft.digest, "cleo")
        await expect(anna.locator("#banner")).to_be_hidden()
        one = desk.bid("bid-1")
        desk.parts.gateway.workflow.check(one, one.draft.digest, "cleo")
        await expect(anna.locator("#banner")).to_contain_text("Something has changed")
        await expect(anna.locator("#reject-reason")).to_have_value("too lit")


async def test_a_list_tells_which_bids_changed_and_into_what_while_somebody_ticks(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        anna = await people.signed_in("anna", "/bids?shown=todo")
        banner, flow = anna.locator("#banner"), desk.parts.gateway.workflow
        await anna.locator("#tick-bid-3").check()
        async with anna.expect_response("**/bids?*"):
            desk.store.alarms.raise_(Alarm(NOW, "order_short", "Hendon Way", "2 kWh are missing"))
        await expect(banner).to_be_hidden()
        one = desk.bid("bid-1")
        flow.check(one, one.draft.digest, "cleo")
        thursday = "Hendon Way Thu 16 Jan 17:00–19:00"
        await expect(banner).to_contain_text(
            "Hendon Way Wed 15 Jan 17:00–19:00 now checked by cleo, to approve; what you ticked is kept."
        )
        one = desk.bid("bid-2")
        flow.approve(one, one.draft.digest, "ben")
        await expect(banner).to_contain_text(f"; {thursday} no longer in this list; what you ticked is kept.")
        for n in range(6, 10):
            a_bid(desk.store, f"bid-{n}", event=f"requirement-{n}")
        await expect(banner).to_contain_text("4 bids, Hendon Way Wed 15 Jan 17:00–19:00 and 3 more, new;")
        one = desk.bid("bid-3")
        flow.amend(one, one.draft.digest, "anna", None, Decimal(250))
        await expect(banner).to_contain_text(f"{thursday} drafted anew")
        await expect(anna.locator("#tick-bid-3")).to_be_checked()
        await banner.locator("button").click()
        await expect(anna.locator("#row-bid-9")).to_be_visible()
        await expect(banner).to_be_hidden()
        await expect(anna.locator("#tick-bid-3")).to_have_count(
            0
        )  # another draft than was ticked, and her own


async def test_what_one_does_oneself_is_not_told_as_a_change_and_leaves_what_is_typed(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        anna = await people.signed_in("anna", "/bids/bid-1")
        await anna.locator("#reject-reason").fill("too lit")

        async def slowly(route):
            found = await route.fetch()
            for _ in range(3):
                async with anna.expect_event("console", lambda line: line.text == "heard"):
                    await anna.evaluate(HEARD)
            await expect(anna.locator("#banner")).to_be_hidden()
            await route.fulfill(response=found)

        await anna.route("**/bid-1/check", slowly)
        await anna.locator("#reject-reason").evaluate(
            "field => { field.style.color = 'inherit'; }"
        )  # an extension
        await anna.locator("#do-check").click()
        await expect(anna.locator(".flash.good")).to_contain_text("checked by anna")
        await expect(anna.locator("#banner")).to_be_hidden()
        await expect(anna.locator("#reject-reason")).to_have_value("too lit")


async def test_nothing_is_offered_once_the_gate_has_closed_under_the_page(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        anna = await people.signed_in("anna", "/bids/bid-1")
        await expect(anna.locator("#reject-reason")).to_be_visible()
        desk.parts.clock.set(NOW + timedelta(hours=2))
        await expect(anna.locator(".actions")).to_contain_text("The gate closed")
        await expect(anna.locator("h2#act ~ h3:visible")).to_have_count(0)
        await expect(anna.locator("#reject-reason")).to_be_hidden()
        await expect(anna.locator(".actions button:visible")).to_have_count(0)


async def test_a_reason_of_spaces_and_other_figures_are_answered_in_place(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        anna = await people.signed_in("anna", "/bids/bid-1")
        reason = anna.locator("#reject-reason")
        await reason.fill("   ")
        await anna.locator("#do-reject").click()
        assert await reason.evaluate("field => field.validationMessage") == "Say why, in words"
        await expect(reason).to_have_value("   ")
        await anna.locator("#amend-kw").fill("99")
        await anna.locator("#do-effect").click()
        await expect(anna.locator("#effect")).to_contain_text("outside 0 to 50")
        await anna.locator("#amend-kw").fill("20")
        await expect(anna.locator("#effect")).to_have_count(0)


async def test_a_gateway_that_is_gone_is_said_after_three_seconds(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        anna = await people.signed_in("anna", "/live")
        await anna.clock.set_fixed_time(NOW)
        for _ in range(2):  # the second one came after the browser's clock was set
            async with anna.expect_event("console", lambda line: line.text == "heard"):
                await anna.evaluate(HEARD)
        await desk.shut_door()
        await anna.clock.set_fixed_time(NOW + timedelta(seconds=3))
        await expect(anna.locator("#link")).to_have_text("not connected")
        await expect(anna.locator("#banner")).to_contain_text("Not connected: figures are from 12:01:00")
        people.faults.clear()  # the browser itself tells of the line that is down
        await desk.open_door()
