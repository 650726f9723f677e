"""The chart of a bid of which the DNO awarded only a part."""

import re

from playwright.async_api import expect

from tests.desk.browsing import browsing, in_chromium
from tests.desk.test_awards_in_part import a_part, acknowledged
from tests.desk.world import a_bid, a_desk, approved

pytestmark = in_chromium


async def test_a_part_award_is_drawn_and_named_in_the_chart_of_its_bid(tmp_path, chromium):
    async with a_desk(tmp_path, empty=True) as desk, browsing(desk, chromium) as people:
        a_part(desk.store, 8.0, 8.0, 4.0, 4.0)
        a_bid(desk.store, "bid-2", approved, acknowledged, event="requirement-2")
        vera = await desk.sign_in("vera")
        (_, part), (_, whole) = [await vera.get(f"/v1/bids/{name}/fan") for name in ("bid-1", "bid-2")]
        assert {row["awarded_kw"] for row in part["slots"]} == {None, 8.0, 4.0}
        assert {row["awarded_kw"] for row in whole["slots"]} == {None}
        page = await people.signed_in("vera", "/bids/bid-1")
        fan = page.locator("#fan")
        await expect(fan).to_have_attribute("data-drawn", "yes")
        await expect(fan).to_have_attribute(
            "aria-label", re.compile("awarded 4.0 kW to 8.0 kW of 16.0 kW bid")
        )
        await expect(fan.locator(".u-legend")).to_contain_text("Awarded")
        await people.go(page, "/bids/bid-2")
        await expect(page.locator("#fan")).to_have_attribute("data-drawn", "yes")
        await expect(page.locator("#fan .u-legend")).not_to_contain_text("Awarded")
