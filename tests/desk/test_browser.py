"""The desk in Chromium: by keyboard, for everybody, on a phone, without scripts, when the line is down."""

from datetime import timedelta

from playwright.async_api import expect

from aggregator.model.opportunity import Stage
from aggregator.store import Alarm, Halt
from tests.desk.browsing import browsing, connected, in_chromium, violations
from tests.desk.world import NOW, a_desk

pytestmark = in_chromium

PATHS = ("/", "/bids", "/bids?shown=all&zone=Wrotham", "/bids/bid-1", "/bids/bid-2?kw=20&price=200", "/live")
HEAVIEST_PAGE = 150_000

A4_PX = 718
"""Upright, with margins of a centimetre."""


async def test_every_page_is_accessible_fits_a_phone_and_is_light(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        desk.store.halts.stop(Halt("Wrotham", NOW, "ben", "a recall"))
        page = await people.page()
        await page.goto(f"{desk.base}/sign-in")
        assert await violations(page) == []
        page = await people.signed_in("anna")
        for path in PATHS:
            for width in (1280, 360):
                await page.set_viewport_size({"width": width, "height": 800})
                await people.go(page, path)
                if "/bids/" in path:
                    await expect(page.locator("#fan")).to_have_attribute("data-drawn", "yes")
                assert await violations(page) == [], (path, width)
                assert await page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)
        await page.goto(f"{desk.base}/bids/nothing")
        await connected(page)
        assert await violations(page) == []
        assert people.faults.pop().endswith("404 (Not Found)")
        await page.press("body", "?")
        await expect(page.locator("#help")).to_be_visible()
        assert await violations(page) == []
        other = await people.page()
        loaded = []
        other.on("requestfinished", lambda request: loaded.append(request))  # noqa: PLW0108 - it marks it
        await other.context.add_cookies(await page.context.cookies())
        await people.go(other, "/bids/bid-1")
        await expect(other.locator("#fan")).to_have_attribute("data-drawn", "yes")
        sizes = [(await one.sizes())["responseBodySize"] for one in loaded]
        assert len(sizes) > len(PATHS)
        assert sum(sizes) <= HEAVIEST_PAGE


async def test_two_people_approve_by_keyboard_and_each_sees_the_other(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        anna = await people.signed_in("anna", "/")
        ben = await people.signed_in("ben", "/bids/bid-1")
        await expect(ben.locator(".cannot").first).to_contain_text("somebody else must check")
        await ben.locator("summary", has_text="As received").focus()
        for key in ("b", "j"):
            await anna.keyboard.press(key)
            if key == "b":
                await anna.wait_for_url("**/bids")
                await connected(anna)
        await anna.keyboard.press("Enter")
        await anna.wait_for_url("**/bids/bid-1")
        await connected(anna)
        await anna.keyboard.press("a")
        await anna.keyboard.press("Enter")
        flash = anna.locator(".flash")
        await expect(flash).to_contain_text("checked by anna; somebody else must approve it")
        await expect(flash).to_be_focused()
        await expect(anna.locator(".cannot").first).to_contain_text("anna has checked this draft")

        await expect(ben.locator("#do-approve")).to_be_visible()  # by itself
        await expect(ben.locator("summary", has_text="As received")).to_be_focused()
        await ben.keyboard.press("a")
        await ben.keyboard.press("Enter")
        await expect(ben.locator(".flash")).to_contain_text("approved by ben; the bid leaves now")
        await expect(anna.locator(".under .state")).to_have_text("approved, leaving")
        assert desk.bid("bid-1").stage is Stage.APPROVED


async def test_a_stale_screen_is_refused_and_says_so(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        ben = await people.signed_in("ben", "/bids/bid-3")
        await ben.locator("#reject-reason").fill("too low")  # who types is not interrupted
        anna = await desk.sign_in("anna")
        seen = {"draft": desk.bid("bid-3").draft.digest}
        assert (await anna.post("/v1/bids/bid-3/amend", {**seen, "gbp_per_mwh": 250}))[0] == 200
        await expect(ben.locator("#banner")).to_contain_text("Something has changed")
        await expect(ben.locator("#reject-reason")).to_have_value("too low")
        await ben.locator("#do-reject").click()
        await expect(ben.locator(".flash.bad")).to_contain_text("the draft changed after it was shown")
        await expect(ben.locator("h2#act + p")).to_contain_text("Draft 2 by anna")
        assert desk.bid("bid-3").stage is Stage.IN_REVIEW


async def test_an_amendment_shows_its_effect_first(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        anna = await people.signed_in("anna", "/bids/bid-2")
        await anna.keyboard.press("e")
        await expect(anna.locator("#amend-kw")).to_be_focused()
        await anna.keyboard.type("20")
        await anna.keyboard.press("Enter")
        effect = anna.locator("#effect")
        await expect(effect).to_contain_text("the check by anna is lost")
        await expect(effect).to_contain_text("40 kWh")
        await expect(effect).to_be_focused()
        loss = """effect => { for (const cell of effect.querySelectorAll("td.num"))
            cell.innerHTML = "−£46.56 <span class='loss'><span>▼</span> loss</span>"; }"""
        await effect.evaluate(loss)
        assert await effect.evaluate("effect => effect.scrollWidth <= effect.clientWidth")
        assert desk.bid("bid-2").last_draft_version == 1
        await anna.locator("#do-amend").click()
        await expect(anna.locator(".flash")).to_contain_text("20 kW at £300.00/MWh) is up for review")
        assert desk.bid("bid-2").draft.offered_kw == (20.0,) * 4
        await expect(anna.locator("main")).to_contain_text("From draft 1: −30 kW, +£0.00 /MWh, by anna")
        await expect(anna.locator("main")).not_to_contain_text("This is the first draft")
        await expect(anna.locator("#next-step")).to_have_text(
            "Next, anna, ben or cleo may check it;"
            " then ben or cleo, whoever did not check it, may approve it."
        )


async def test_every_action_on_a_bid_goes_by_keyboard(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        anna = await people.signed_in("anna", "/bids")
        await expect(anna.locator("#row-bid-3")).to_be_visible()
        for key in ("j", "j", "j", "k", "j", "Enter"):
            await anna.keyboard.press(key)
        await anna.wait_for_url("**/bids/bid-3")
        await connected(anna)
        await anna.keyboard.press("r")
        await expect(anna.locator("#reject-reason")).to_be_focused()
        await anna.keyboard.type("jkabt?")  # letters in a field are letters
        await anna.keyboard.press("Escape")
        await expect(anna.locator("#reject-reason")).to_have_value("jkabt?")
        await anna.keyboard.press("r")
        await anna.keyboard.press("Enter")
        await expect(anna.locator(".flash.good")).to_contain_text("refused by anna: jkabt?")
        await people.go(anna, "/bids/bid-4")
        await anna.keyboard.press("w")
        await anna.keyboard.type("a car is ill")
        await anna.keyboard.press("Enter")
        await expect(anna.locator(".flash.good")).to_contain_text("withdrawn by anna: a car is ill")
        await people.go(anna, "/")
        await expect(anna.locator("#alarms + form")).to_be_visible()
        rows = await anna.locator("[data-row]").count()
        for key in ("j",) * rows:
            await anna.keyboard.press(key)
        for key in ("x", "a"):
            await anna.keyboard.press(key)
        await expect(anna.locator("#acknowledge-ticked")).to_be_focused()
        await anna.keyboard.press("Enter")
        await expect(anna.locator(".flash.good")).to_contain_text("1 acknowledged by anna")
        assert list(desk.store.alarms.open()) == []


async def test_after_an_action_one_goes_on_from_the_row_one_was_in(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        ben = await people.signed_in("ben", "/bids")
        for key in ("j", "j", "x", "a"):
            await ben.keyboard.press(key)
        await ben.keyboard.press("Enter")
        await expect(ben.locator(".flash.good")).to_contain_text("approved by ben")
        await ben.keyboard.press("j")
        await expect(ben.locator("#row-bid-3 a")).to_be_focused()


async def test_live_stops_with_one_key_and_two_people_restart(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        vera = await people.signed_in("vera", "/live")
        zone = vera.locator("[data-zone='Hendon Way']")
        await expect(zone.locator("[data-of=metered_kw]")).to_have_text("6.0 kW")
        await expect(zone.locator("[data-of=target_kw]")).to_have_text("4.0 kW")
        desk.parts.clock.pass_by(timedelta(minutes=4))
        await expect(zone.locator("[data-of=metered_kw]")).to_have_text("0.0 kW")
        await expect(vera.locator("[data-live-state=silent]")).to_have_text("2")
        await expect(vera.locator("text=car-2").first).to_be_visible()  # made anew by itself
        await vera.keyboard.press("Shift+S")
        await expect(vera.locator(".flash.halt")).to_contain_text("Stopped: all zones by vera")
        await expect(vera.locator("#told .flash.stopped")).to_contain_text("Stopped")  # and not in green
        await expect(vera.locator(".flash.good")).to_have_count(0)
        await expect(vera.locator("[id^=restart]")).to_have_count(0)
        for name, said in (("otto", "a second person must"), ("ben", "restarted by otto and ben")):
            page = await people.signed_in(name, "/live")
            await page.locator("#restart-1").focus()
            await page.keyboard.press("Enter")
            await expect(page.locator(".flash.good")).to_contain_text(said)
        await expect(vera.locator(".flash.halt")).to_have_count(0)
        desk.store.alarms.raise_(Alarm(NOW, "order_short", "Hendon Way", "2.0 kWh are missing"))
        await expect(vera.locator(".alarms label", has_text="order short")).to_be_visible()
        await expect(vera.locator("text=Acknowledge ticked")).to_have_count(0)
        box = page.locator(".alarms label", has_text="order short").locator("input")
        await box.check()
        await page.locator("text=Acknowledge ticked").click()
        await expect(page.locator(".flash.good")).to_contain_text("1 acknowledged by ben")


async def test_what_came_of_an_action_stays_until_one_goes_on(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        ben = await people.signed_in("ben", "/bids")
        for key in ("j", "j", "x", "a", "Enter"):
            await ben.keyboard.press(key)
        flash = ben.locator(".flash.good")
        await expect(flash).to_be_focused()
        await expect(flash).to_have_attribute("role", "status")
        await expect(flash).to_contain_text("approve · Hendon Way, Thu 16 Jan 17:00–19:00")
        anna = await desk.sign_in("anna")
        seen = {"draft": desk.bid("bid-3").draft.digest, "gbp_per_mwh": 250}
        assert (await anna.post("/v1/bids/bid-3/amend", seen))[0] == 200
        await expect(ben.locator("#row-bid-3")).to_contain_text("£250.00")  # made anew by itself
        await expect(flash).to_contain_text("approved by ben")
        await expect(flash).to_be_focused()
        await ben.keyboard.press("Tab")
        await expect(ben.locator("#f-shown")).to_be_focused()
        await ben.locator("#f-zone").press("Tab")
        await ben.locator("#tick-bid-3").click()
        await ben.locator("#approve-ticked").click()
        await expect(flash).to_have_count(1)  # what is said of the next action takes its place
        await expect(flash).to_contain_text("approved by ben")
        await people.go(ben, "/bids")
        await expect(flash).to_have_count(0)


async def test_many_are_ticked_by_key_and_approved(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        ben = await people.signed_in("ben", "/bids")
        for key in ("j", "j", "x", "j", "x", "a"):
            await ben.keyboard.press(key)
        await ben.keyboard.press("Enter")
        await expect(ben.locator(".flash.good")).to_have_count(2)
        assert [desk.bid(name).stage for name in ("bid-2", "bid-3")] == [Stage.APPROVED] * 2


async def test_single_keys_can_be_switched_off(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        vera = await people.signed_in("vera", "/live")
        await vera.keyboard.press("?")
        await vera.locator("#keys-on").uncheck()
        await vera.keyboard.press("Escape")
        await vera.keyboard.press("Shift+S")
        await vera.keyboard.press("b")
        await people.go(vera, "/live")
        assert desk.store.halts.standing() == ()


async def test_it_works_without_scripts(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        ben = await people.signed_in("ben", "/bids/bid-2", java_script_enabled=False)
        await expect(ben.locator(".status")).to_contain_text("figures as of 12:01, reload for newer")
        for words in ("connecting", "Working the forecast out"):
            await expect(ben.get_by_text(words)).to_be_hidden()
        await expect(ben.get_by_text("The picture needs scripts")).to_be_visible()
        await ben.locator("#do-approve").click()
        await expect(ben.locator(".flash.good")).to_contain_text("approved by ben")
        assert desk.bid("bid-2").stage is Stage.APPROVED


async def test_who_is_signed_out_or_cut_off_is_told(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        anna = await people.signed_in("anna", "/live")
        await desk.shut_door()
        await expect(anna.locator("#link")).to_have_attribute("data-state", "lost")
        await expect(anna.locator("#banner")).to_contain_text("figures are from 12:01:00")
        people.faults.clear()  # the browser itself tells of the line that is down
        await desk.open_door()
        await connected(anna)
        await expect(anna.locator("#banner")).to_be_hidden()
        people.faults.clear()
        desk.store.desk_people.set_password("anna", "another", NOW)
        await expect(anna.locator("input[name=password]")).to_be_visible(timeout=60_000)
        people.faults.clear()


async def test_an_empty_desk_says_what_is_to_come_and_prints_plainly(tmp_path, chromium):
    async with a_desk(tmp_path, empty=True) as desk, browsing(desk, chromium) as people:
        vera = await people.signed_in("vera", "/")
        await expect(vera.locator(".empty").first).to_contain_text("No draft waits for anybody")
        await people.go(vera, "/bids")
        await expect(vera.locator(".empty")).to_contain_text("No bid is open")
        await vera.emulate_media(media="print")
        await expect(vera.locator("nav")).to_be_hidden()
        await expect(vera.locator("h1")).to_be_visible()
        desk.store.alarms.raise_(Alarm(NOW, "order_short", "Hendon Way", "2.0 kWh are missing"))
        await people.go(vera, "/live")
        await expect(vera.locator("#do-stop")).to_be_hidden()
        alarm = await vera.locator(".alarms label").bounding_box()
        assert alarm["height"] < 60, "its words stand side by side"
        await vera.set_viewport_size({"width": A4_PX, "height": 1000})
        for path in ("/", "/bids", "/live", "/settlement", "/audit"):
            await people.go(vera, path)
            assert await vera.evaluate("document.documentElement.scrollWidth") <= A4_PX, path
