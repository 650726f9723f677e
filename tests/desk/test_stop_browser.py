"""In Chromium: the red button stops, and a key leads to the restart."""

from playwright.async_api import expect

from tests.desk.browsing import browsing, in_chromium, violations
from tests.desk.world import a_desk

pytestmark = in_chromium


async def test_the_red_button_stops_and_a_key_leads_to_the_restart(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        vera = await people.signed_in("vera", "/live")
        await vera.get_by_role("button", name="Emergency stop").click()
        told = vera.locator("#told .flash.stopped")
        await expect(told).to_contain_text("Stopped")
        await expect(told).to_be_focused()
        assert [halt.zone for halt in desk.store.halts.standing()] == [None]
        assert await violations(vera) == []
        for name, words in (("otto", "Restart V2G"), ("ben", "Restart V2G, as the second person")):
            person = await people.signed_in(name, "/live")
            await person.keyboard.press("a")
            restart = person.locator("#restart-1")
            await expect(restart).to_have_text(words)
            await expect(restart).to_be_focused()
            await person.keyboard.press("j")  # on an alarm the key acknowledges, as ever
            await person.keyboard.press("a")
            await expect(restart).not_to_be_focused()
            await restart.press("Enter")
            await expect(person.locator("#told .flash.good")).to_be_visible()
        assert desk.store.halts.standing() == ()
        await expect(vera.locator(".flash.halt")).to_have_count(0)


async def test_without_scripts_the_red_button_stops_too(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        vera = await people.signed_in("vera", "/live", java_script_enabled=False)
        await vera.get_by_role("button", name="Emergency stop").click()
        await expect(vera.locator("#told .flash.stopped")).to_contain_text("Stopped")
