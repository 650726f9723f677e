"""The same in Chromium: by keyboard, and while things change under the page."""

from datetime import timedelta

import pytest
from playwright.async_api import expect

from aggregator.store import Alarm
from tests.desk.browsing import browsing, needs_chromium, violations
from tests.desk.world import NOW, a_desk

pytestmark = [needs_chromium, pytest.mark.xdist_group("browser"), pytest.mark.slow]


async def test_a_crowd_of_alarms_is_one_row_by_keyboard(tmp_path):
    async with a_desk(tmp_path) as desk, browsing(desk) as people:
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
