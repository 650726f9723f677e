"""In Chromium: keys that can do nothing, and sorting where there are no heads to press."""

import pytest
from playwright.async_api import expect

from tests.desk.browsing import browsing, in_chromium
from tests.desk.world import a_desk

pytestmark = in_chromium


async def test_letters_after_a_key_that_can_do_nothing_act_no_more(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as browsers:
        anna = await browsers.signed_in("anna", "/bids/bid-4")
        await anna.keyboard.press("r")
        await expect(anna.locator("#key-said")).to_contain_text("it can only be withdrawn, not refused")
        await anna.keyboard.type("half a sentence")
        await anna.keyboard.press("Enter")
        assert anna.url.endswith("/bids/bid-4")
        await anna.locator("#do-withdraw").focus()
        await expect(anna.locator("#key-said")).to_have_text("")
        await anna.keyboard.press("t")
        await anna.wait_for_url(f"{desk.base}/")
        await anna.keyboard.press("w")
        await expect(anna.locator("#key-said")).to_have_text("w: no bid to withdraw here")


@pytest.mark.parametrize("java_script_enabled", [True, False], ids=["scripts", "no scripts"])
async def test_a_phone_sorts_by_a_field_and_no_hidden_link_takes_the_focus(
    tmp_path, chromium, java_script_enabled
):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as browsers:
        how = {"width": 360, "java_script_enabled": java_script_enabled}
        vera = await browsers.signed_in("vera", "/bids", **how)
        for path, sort in (("/bids", "zone"), ("/fleet", "soc")):
            await vera.goto(desk.base + path)
            await vera.select_option("#f-sort", sort)
            await vera.locator("form.filter button").click()
            await vera.wait_for_url(f"**{path}?*sort={sort}*")
            await expect(vera.locator("#f-sort")).to_have_value(sort)
            assert await vera.locator("thead a:visible").count() == 0


async def test_on_a_wide_screen_the_heads_sort_and_the_field_is_not_there(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as browsers:
        vera = await browsers.signed_in("vera", "/bids?sort=margin")
        await expect(vera.locator("#f-sort")).to_be_hidden()
        await vera.locator("form.filter button").click()
        await vera.wait_for_url("**sort=margin*")
