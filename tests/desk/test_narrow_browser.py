"""In Chromium: no page scrolls sideways on a phone, and a key that somebody may not use says why."""

import pytest
from playwright.async_api import expect

from tests.desk.browsing import browsing, in_chromium
from tests.desk.test_held import a_sent_bid
from tests.desk.world import a_desk

pytestmark = in_chromium

PAGES = (
    "/",
    "/bids",
    "/bids/bid-1",
    "/live",
    "/fleet",
    "/settlement",
    "/settlement/bid-5",
    "/audit",
    "/fleet/car-1",
    "/rules",
)


async def test_no_page_scrolls_sideways_at_360_pixels(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as browsers:
        anna = await browsers.signed_in("anna", "/", width=360)
        wide = {}
        for path in PAGES:
            await browsers.go(anna, path)
            wide[path] = await anna.evaluate("document.documentElement.scrollWidth")
            for box in await anna.locator(".filter input, .filter select, .filter button").all():
                if await box.is_visible():
                    rect = await box.bounding_box()
                    wide[path] = max(wide[path], rect["x"] + rect["width"])
        assert {path: width for path, width in wide.items() if width > 360} == {}


@pytest.mark.parametrize(
    ("user", "path", "said"),
    [
        ("vera", "bid-1", {"a": "", "e": "vera is no trader", "r": "vera is no trader or approver", "w": ""}),
        ("ben", "bid-9", {"e": "ben is no trader", "r": "withdraw it instead", "w": "ben is no trader"}),
        ("vera", "bid-5", {key: "" for key in "aerw"}),
    ],
)
async def test_a_key_that_one_may_not_use_says_why(tmp_path, chromium, user, path, said):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as browsers:
        a_sent_bid(desk)
        person = await browsers.signed_in(user, f"/bids/{path}")
        for key, words in said.items():
            await browsers.go(person, f"/bids/{path}")
            await person.keyboard.press(key)
            await expect(person.locator("#key-said")).to_contain_text(f"{key}: ")
            await expect(person.locator("#key-said")).to_contain_text(words)
            await expect(person.locator("#key-said")).to_be_visible()
