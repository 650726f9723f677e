"""Fleet, a car and a driver's own page in Chromium: for all, on a phone, by keyboard, without scripts."""

from datetime import timedelta

import pytest
from playwright.async_api import expect

from tests.desk.browsing import browsing, connected, in_chromium, violations
from tests.desk.driver_steps import driving
from tests.desk.world import a_desk

pytestmark = in_chromium

PATHS = ("/fleet", "/fleet?shown=silent", "/fleet/car-1", "/fleet/car-1?night=2025-01-10")
HEAVIEST_PAGE = 150_000


async def fits(page, width, where):
    assert await violations(page) == [], (where, width)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width, (where, width)


async def test_every_page_is_accessible_and_fits_a_phone(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        await desk.parts.minutes(35)
        desk.parts.clock.pass_by(timedelta(minutes=3))
        vera = await people.signed_in("vera")
        driver = await people.page()
        await driver.goto(f"{desk.base}/my-car")
        await fits(driver, 1280, "sign in")
        driver = await driving(people, desk)
        for width in (1280, 360):
            for path in PATHS:
                await vera.set_viewport_size({"width": width, "height": 800})
                await people.go(vera, path)
                await vera.evaluate(
                    "document.querySelectorAll('details').forEach((one) => { one.open = true; })"
                )
                await fits(vera, width, path)
            await driver.set_viewport_size({"width": width, "height": 740})
            await driver.goto(f"{desk.base}/my-car")
            await fits(driver, width, "/my-car")
            shown = driver.locator(".narrow-one" if width < 760 else ".wide-one").first
            await expect(shown).to_be_visible()
        await driver.fill("#depart-at", "2024-01-01T00:00")
        await driver.click("#say-departure")
        await expect(driver.locator("#wrong-departure-depart_at")).to_be_visible()
        await fits(driver, 360, "what is wrong")
        assert people.faults.pop().endswith("422 (Unprocessable Entity)")
        await driver.goto(f"{desk.base}/bids")
        await expect(driver.locator("main")).to_contain_text("a driver sees the page of the own car")
        await fits(driver, 360, "/bids")
        assert people.faults.pop().endswith("403 (Forbidden)")


async def test_a_driver_who_was_refused_a_page_meets_no_fault_while_the_gateway_is_away(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        driver, thrown = await driving(people, desk), []
        await driver.goto(f"{desk.base}/bids")
        driver.on("pageerror", lambda error: thrown.append(str(error)))
        await desk.shut_door()
        await driver.evaluate("window.dispatchEvent(new Event('online'))")
        await driver.wait_for_timeout(500)
        assert thrown == []
        people.faults.clear()  # the browser itself tells of the page that was refused
        await desk.open_door()


async def test_pages_are_light(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        driver = await driving(people, desk)
        page = await people.page()
        loaded = []
        page.on("requestfinished", lambda request: loaded.append(request))  # noqa: PLW0108 - it marks it
        await page.context.add_cookies(await driver.context.cookies())
        await page.goto(f"{desk.base}/my-car")
        assert sum([(await one.sizes())["responseBodySize"] for one in loaded]) <= HEAVIEST_PAGE


async def test_the_fleet_by_keyboard_and_made_anew_by_itself(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        vera = await people.signed_in("vera", "/")
        await vera.keyboard.press("f")
        await vera.wait_for_url("**/fleet")
        await connected(vera)
        await expect(vera.locator("nav a[aria-current]")).to_have_text("Fleet")
        for key in ("j", "j", "k", "Enter"):
            await vera.keyboard.press(key)
        await vera.wait_for_url("**/fleet/car-1")
        await connected(vera)
        await expect(vera.locator("svg.night").first).to_be_visible()
        await vera.locator("#night-before").focus()
        await vera.keyboard.press("Enter")
        await vera.wait_for_url("**/fleet/car-1?night=2025-01-13")
        await people.go(vera, "/fleet")
        for key, path in (("power", "/fleet?sort=power"), ("car", "/fleet"), ("zone", "/fleet?sort=zone")):
            await vera.locator(f"#sort-{key}").press("Enter")
            await vera.wait_for_url(f"**{path}#sort-{key}")
            await connected(vera)
            await expect(vera.locator(f"#sort-{key}")).to_be_focused()
        desk.parts.clock.pass_by(timedelta(minutes=4))
        await expect(vera.locator("#row-car-2 .state")).to_have_text("silent")


async def test_a_driver_says_it_all_by_keyboard_on_a_phone(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        driver = await driving(people, desk, width=360)
        await driver.locator("#boost-hours").focus()
        await driver.keyboard.press("Tab")
        await expect(driver.locator("#boost-on")).to_be_focused()
        await driver.keyboard.press("Enter")
        await expect(driver.locator(".flash.good")).to_contain_text("Boost is on")
        await driver.locator("#boost-off").press("Enter")
        await expect(driver.locator(".flash.good")).to_contain_text("Boost is off")
        await driver.locator("#amount").fill("70")
        await driver.keyboard.press("Enter")
        await expect(driver.locator(".flash.good")).to_contain_text("with 70%")
        await expect(driver.locator("#need-now")).to_contain_text("said for once")
        await driver.locator("#level").fill("20")
        await driver.keyboard.press("Enter")
        level = driver.locator("#level")
        await expect(level).to_have_value("20")
        await expect(level).to_be_focused()
        await expect(driver.locator("#wrong-floor-level")).to_contain_text("at least 30%: the car")
        await level.fill("50")
        await driver.keyboard.press("Enter")
        await expect(driver.locator(".flash.good")).to_contain_text("Your floor is 50%, 100 miles")
        await driver.locator("#v2g-off").press("Enter")
        await expect(driver.locator("#v2g-now")).to_contain_text("V2G is off")
        assert people.faults.pop().endswith("422 (Unprocessable Entity)")


@pytest.mark.parametrize("scripts", [True, False])
async def test_a_driver_goes_on_from_the_answer(tmp_path, chromium, scripts):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        driver = await driving(people, desk, width=360, java_script_enabled=scripts)
        flash = driver.locator(".flash")
        for button, words in (
            ("#boost-on", "Boost is on"),
            ("#boost-off", "Boost is off"),
            ("#say-departure", "Needed"),
            ("#say-floor", "Your floor is"),
            ("#v2g-off", "V2G is off"),
        ):
            await driver.locator(button).press("Enter")
            await expect(flash).to_contain_text(words)
            await expect(flash).to_be_focused()
            await expect(flash).to_be_in_viewport()
        await driver.locator("#level").fill("20")
        await driver.locator("#say-floor").click()
        await expect(driver.locator("#level")).to_be_focused()
        assert driver.url.endswith("/my-car/floor")
        assert people.faults.pop().endswith("422 (Unprocessable Entity)")
        await driver.goto(driver.url)  # as one does who comes back to it later
        assert driver.url == f"{desk.base}/my-car"
        await expect(flash).to_have_count(0)


async def test_a_drivers_page_works_without_scripts(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        driver = await driving(people, desk, java_script_enabled=False)
        await driver.locator("#boost-on").click()
        await expect(driver.locator(".flash.good")).to_contain_text("Boost is on")
        await driver.locator("text=Sign out").click()
        await expect(driver.locator("input[name=token]")).to_be_visible()


async def test_what_a_driver_sees_is_shown_anew_and_forms_are_left_alone(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        driver = await driving(people, desk)
        await driver.locator("#amount").fill("55")
        desk.parts.clock.pass_by(timedelta(minutes=4))
        await driver.evaluate("window.dispatchEvent(new Event('online'))")
        await expect(driver.locator(".does")).to_contain_text("Not heard of for 4 min")
        await expect(driver.locator("#amount")).to_have_value("55")
        await desk.shut_door()
        await driver.evaluate("window.dispatchEvent(new Event('online'))")
        await expect(driver.locator("#banner")).to_contain_text("what you see is from 12:05:00")
        people.faults.clear()  # the browser itself tells of the line that is down
        await desk.open_door()
        await driver.evaluate("window.dispatchEvent(new Event('online'))")
        await expect(driver.locator("#banner")).to_be_hidden()
        (token,) = desk.store.tokens.all()
        desk.store.tokens.revoke(token.token_id, desk.parts.clock.now())
        await driver.locator("#amount").evaluate("field => { field.value = field.defaultValue; }")
        await driver.evaluate("window.dispatchEvent(new Event('online'))")
        await expect(driver.locator("input[name=token]")).to_be_visible()
