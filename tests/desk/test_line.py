"""The desk in Chromium while things change under it: lines break, gates close, drafts go stale."""

import asyncio
import json
import re
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from playwright.async_api import expect

from aggregator.model.opportunity import DeliveryStarted, Instructed, Stage
from tests.desk.browsing import browsing, connected, in_chromium
from tests.desk.test_attention import an_order
from tests.desk.world import NOW, a_desk

pytestmark = in_chromium

ZONE = "Hendon Way"
GATE = timedelta(hours=2)
DRAWN = """canvas => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height)
    .data.filter(Boolean).length"""
FOUR = re.compile(r"^(4|4\.0|3\.9)\d*$")
AT_LEAST_FOUR = re.compile(r"^([4-9]|\d\d+)$")


class Relay:
    """A line between browser and desk that can be cut."""

    def __init__(self, to):
        self._to, self._writers, self._server = to, set(), None
        self.port = 0

    async def mend(self):
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self):
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _pass(self, reader, writer):
        with suppress(OSError):
            back, out = await asyncio.open_connection("127.0.0.1", self._to)
            self._writers |= {writer, out}
            await asyncio.gather(self._copy(reader, out), self._copy(back, writer))

    async def _copy(self, reader, writer):
        with suppress(OSError):
            while data := await reader.read(2**16):
                writer.write(data)
                await writer.drain()
        writer.close()
        self._writers.discard(writer)


@asynccontextmanager
async def a_relay(desk):
    relay = Relay(int(desk.base.rpartition(":")[2]))
    await relay.mend()
    direct, desk.base = desk.base, f"http://127.0.0.1:{relay.port}"
    try:
        yield relay, direct
    finally:
        desk.base = direct
        await relay.cut()


@asynccontextmanager
async def time_passing(desk):
    """Let the domain's second pass with each tenth of one."""

    async def tick():
        while True:
            desk.parts.clock.pass_by(timedelta(seconds=1))
            await asyncio.sleep(0.1)

    ticking = asyncio.create_task(tick())
    try:
        yield
    finally:
        ticking.cancel()


async def told(desk, base):
    """Return how many pictures of different instants the desk has sent so far."""
    desk.base, there = base, desk.base
    vera = await desk.sign_in("vera")
    desk.base = there
    async with vera._session.get(f"{base}/v1/stream?after=") as response:
        past = json.loads((await response.content.readuntil(b"\n\n")).partition(b"data: ")[2] or "null")
        while past is None:
            past = json.loads((await response.content.readuntil(b"\n\n")).partition(b"data: ")[2] or "null")
    return len({row[0] for row in past["rows"]})


async def test_a_line_that_breaks_leaves_no_hole_in_the_chart_and_both_are_said(tmp_path, chromium):
    async with (
        a_desk(tmp_path) as desk,
        a_relay(desk) as (relay, direct),
        browsing(desk, chromium) as people,
        time_passing(desk),
    ):
        vera = await people.signed_in("vera", "/live")
        chart = vera.locator(f"[data-chart='{ZONE}']")
        await expect(chart).to_have_attribute("data-points", AT_LEAST_FOUR)
        await relay.cut()
        await expect(vera.locator("#link")).to_have_attribute("data-state", "lost")
        banner = vera.locator("#banner")
        await expect(banner).to_contain_text("Not connected: figures are from")
        points = int(await chart.get_attribute("data-points"))
        await relay.mend()
        await connected(vera)
        await expect(banner).to_have_text("Connected again; nothing was missed.")
        after, sent = int(await chart.get_attribute("data-points")), await told(desk, direct)
        assert after >= points + 3  # what came while the line was down is there
        assert after in (sent, sent + 1)
        await expect(banner).to_be_hidden()
        people.faults.clear()  # the browser itself tells of the line that is down


async def test_who_was_never_connected_is_not_connected_again(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people, time_passing(desk):
        vera = await people.signed_in("vera", "/live")
        await vera.route("**/v1/stream*", lambda route: route.abort())
        await vera.goto(f"{desk.base}/bids")
        banner = vera.locator("#banner")
        await expect(banner).to_have_text("Not connected. Trying again.")
        await vera.unroute("**/v1/stream*")
        await connected(vera)
        await expect(banner).to_have_text("Connected.")
        people.faults.clear()  # the browser itself tells of the line that was not there


async def test_a_restart_is_said_and_leaves_a_gap(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, time_passing(desk), browsing(desk, chromium) as people:
        vera = await people.signed_in("vera", "/live")
        await expect(vera.locator(f"[data-chart='{ZONE}']")).to_have_attribute("data-points", AT_LEAST_FOUR)
        await desk.shut_door()
        await expect(vera.locator("#link")).to_have_attribute("data-state", "lost")
        await desk.open_door()
        await expect(vera.locator("#banner")).to_contain_text("a gap where nothing was metered")
        people.faults.clear()


async def test_a_page_that_is_opened_begins_its_chart_with_the_last_minutes(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, time_passing(desk), browsing(desk, chromium) as people:
        vera = await people.signed_in("vera", "/")
        await expect(vera.locator("body")).to_have_attribute("data-heard", AT_LEAST_FOUR)
        await vera.keyboard.press("l")
        await vera.wait_for_url("**/live")
        chart = vera.locator(f"[data-chart='{ZONE}']")
        await expect(chart).to_have_attribute("data-points", AT_LEAST_FOUR)
        heard = int(await vera.locator("body").get_attribute("data-heard"))
        assert int(await chart.get_attribute("data-points")) >= heard + 3


async def test_the_chart_moves_and_what_is_delivered_follows_the_target(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        vera = await people.signed_in("vera", "/live")
        chart = vera.locator(f"[data-chart='{ZONE}']")
        await expect(chart).to_have_attribute("data-metered", "6")
        await expect(chart).to_have_attribute("data-target", "4")
        before = int(await chart.get_attribute("data-points"))
        await desk.parts.minute(obedient=True)
        await expect(chart).to_have_attribute("data-metered", FOUR)
        for _ in range(3):
            points = int(await chart.get_attribute("data-points"))
            await desk.parts.minute(obedient=True)
            await expect(chart).to_have_attribute("data-points", str(points + 1))
            await expect(chart).to_have_attribute("data-metered", FOUR)
        assert int(await chart.get_attribute("data-points")) >= before + 4
        canvas = chart.locator("canvas")
        assert await canvas.evaluate(DRAWN) > 0
        await expect(vera.locator(f"[data-zone='{ZONE}'] [data-of=metered_kw]")).to_have_text("4.0 kW")


async def test_a_gate_that_closes_takes_its_buttons_away_and_nothing_that_was_typed(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        desk.parts.clock.set(NOW + GATE - timedelta(seconds=90))
        anna = await people.signed_in("anna", "/bids/bid-1")
        left = anna.locator(".under .left")
        await expect(left).to_have_text("1 min 30 s")
        desk.parts.clock.pass_by(timedelta(seconds=85))
        await expect(left).to_have_text("0 min 05 s")
        await anna.locator("#reject-reason").fill("too little")
        desk.parts.clock.pass_by(timedelta(seconds=5))
        await expect(left).to_have_text("closed")
        await expect(anna.locator("#do-check")).to_be_hidden()
        actions = anna.locator(".actions")
        await expect(actions).to_contain_text("The gate closed at 14:00: nothing can be decided any more.")
        assert (await actions.inner_text()).lower().count("the gate closed") == 1
        await expect(anna.locator(".under .state")).to_have_text("gate closed")
        await expect(anna.locator("#reject-reason")).to_be_focused()
        await expect(anna.locator("#reject-reason")).to_have_value("too little")
        await expect(anna.locator("#banner")).to_contain_text("The gate closed Tue 14 Jan 14:00")
        await expect(anna.locator("#banner")).to_contain_text("what you typed is kept")
        await expect(anna.locator("#do-reject")).to_be_hidden()
        await anna.locator("#banner button").click()
        await expect(anna.locator("#reject-reason")).to_have_count(0)
        await expect(anna.locator("#cannot")).to_contain_text("The gate closed")
        assert (await actions.inner_text()).lower().count("the gate closed") == 1
        await expect(anna.locator(".under .state")).to_have_text("gate closed")
        assert desk.bid("bid-1").stage is Stage.IN_REVIEW


async def test_a_button_in_focus_whose_gate_closes_gives_it_to_the_reason(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        anna = await people.signed_in("anna", "/bids/bid-1")
        await anna.keyboard.press("a")
        await expect(anna.locator("#do-check")).to_be_focused()
        desk.parts.clock.set(NOW + GATE)
        await expect(anna.locator("#cannot")).to_be_focused()


async def test_who_approves_a_moment_after_the_gate_is_refused_with_the_reason(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        ben = await people.signed_in("ben", "/bids/bid-2")
        await expect(ben.locator("body")).to_have_attribute("data-heard", re.compile(r"^\d+$"))
        desk.parts.clock.set(NOW + GATE + timedelta(days=1))
        await ben.evaluate("document.getElementById('do-approve').click()")  # before the next picture
        await expect(ben.locator(".flash.bad")).to_contain_text("the gate closed Wed 15 Jan 14:00")
        await expect(ben.locator(".flash.bad")).to_be_focused()
        assert desk.bid("bid-2").stage is Stage.IN_REVIEW


async def test_a_tick_whose_gate_closes_is_taken_off_and_the_others_stay(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        anna = await people.signed_in("anna", "/bids")
        for name in ("bid-1", "bid-3"):
            await anna.locator(f"#tick-{name}").check()
        desk.parts.clock.set(NOW + GATE)
        await expect(anna.locator("#tick-bid-1")).to_be_disabled()
        await expect(anna.locator("#tick-bid-3")).to_be_checked()
        await expect(anna.locator("#tick-bid-1")).not_to_be_checked()


async def test_a_draft_that_goes_stale_under_a_half_filled_form_loses_nothing(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        cleo = await people.signed_in("cleo", "/bids/bid-3")
        await cleo.locator("#reject-reason").fill("the cars are away")
        anna = await desk.sign_in("anna")
        seen = {"draft": desk.bid("bid-3").draft.digest}
        assert (await anna.post("/v1/bids/bid-3/amend", {**seen, "gbp_per_mwh": 250}))[0] == 200
        await expect(cleo.locator("#banner")).to_contain_text(
            "Something has changed since this was shown: Draft 2 by anna: £300.00 /MWh → £250.00 /MWh"
        )
        await cleo.keyboard.press("Enter")
        await expect(cleo.locator(".flash.bad")).to_contain_text("the draft changed after it was shown")
        await expect(cleo.locator("h2#act + p")).to_contain_text("Draft 2 by anna")
        await expect(cleo.locator("#reject-reason")).to_have_value("the cars are away")
        await cleo.locator("#do-reject").click()
        await expect(cleo.locator(".flash.good")).to_contain_text("refused by cleo: the cars are away")


async def test_of_a_bid_that_was_delivering_before_it_is_told_what_is_new(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        flow, at = desk.parts.gateway.workflow, desk.parts.clock.now()
        flow.record(desk.bid("bid-5"), DeliveryStarted(at), by="clock")
        desk.parts.gateway.book.refresh(at)
        anna = await people.signed_in("anna", "/bids/bid-5")
        await expect(anna.locator("#cannot")).to_contain_text("nothing can be")
        await anna.locator("#withdraw-reason").fill("the cars are away")
        flow.record(desk.bid("bid-5"), Instructed(at, an_order(1, 3, 3, 1.5)), by="platform")
        desk.parts.gateway.book.refresh(at)
        banner = anna.locator("#banner")
        await expect(banner).to_contain_text(
            "Something has changed since this was shown: Tue 14 Jan 12:01:00"
        )
        await expect(banner).not_to_contain_text("nothing can be")
        await expect(banner).to_contain_text("what you typed is kept")


async def test_a_draft_that_another_person_amends_is_said_and_drawn(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        vera = await people.signed_in("vera", "/bids/bid-1")
        fan = vera.locator("#fan")
        await expect(fan).to_have_attribute("data-drawn", "yes")
        await expect(fan).to_have_attribute("data-bid", "20 50")
        anna = await desk.sign_in("anna")
        seen = {"draft": desk.bid("bid-1").draft.digest}
        assert (await anna.post("/v1/bids/bid-1/amend", {**seen, "kw": 20}))[0] == 200
        await expect(vera.locator("#banner")).to_have_text("Draft 2 by anna: 20 to 50 kW → 20 kW.")
        await expect(fan).to_have_attribute("data-bid", "20 20")
        await expect(fan).to_have_attribute("data-drawn", "yes")
        await expect(fan.locator("canvas")).to_have_count(1)


async def test_a_stop_that_is_not_answered_is_not_told_as_done_once_the_line_is_back(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, a_relay(desk) as (relay, direct), browsing(desk, chromium) as people:
        there, desk.base = desk.base, direct
        otto, ben = [await desk.sign_in(name) for name in ("otto", "ben")]
        desk.base = there
        await otto.post("/v1/stops", {"reason": "smoke"})
        first = (await otto.post("/v1/restarts"))[1]["action"]
        page = await people.signed_in("otto", "/live")
        await people.go(page, f"/live?did={first}")
        told = page.locator("#told")
        await expect(told).to_contain_text("a second person must")
        await relay.cut()
        await page.keyboard.press("Shift+S")
        await expect(told).to_contain_text("Not answered The gateway does not answer: whether this was done")
        await expect(told).to_contain_text("flexloop stop --as otto")
        await expect(page.locator("#link")).to_have_attribute("data-state", "lost")
        assert (await ben.post("/v1/restarts"))[0] == 200
        await relay.mend()
        await connected(page)
        await expect(page.locator(".flash.halt")).to_have_count(0)  # made anew by itself
        await expect(told).to_contain_text("Before the connection was back: not answered")
        await expect(told.locator(".flash")).to_have_count(1)
        await page.reload()
        await connected(page)
        await expect(told.locator(".flash")).to_have_count(0)
        people.faults.clear()  # the browser itself tells of the line that is down


async def test_what_is_ticked_outlives_a_page_made_anew_only_where_it_means_the_same(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        ben = await people.signed_in("ben", "/bids")
        for name in ("bid-2", "bid-3"):
            await ben.locator(f"#tick-{name}").check()
        anna = await desk.sign_in("anna")
        seen = {"draft": desk.bid("bid-3").draft.digest}
        assert (await anna.post("/v1/bids/bid-3/amend", {**seen, "gbp_per_mwh": 250}))[0] == 200
        await ben.locator("#banner button").click()
        await expect(ben.locator("#row-bid-3")).to_contain_text("250")
        await expect(ben.locator("#tick-bid-2")).to_be_checked()
        await expect(ben.locator("#tick-bid-3")).not_to_be_checked()


async def test_the_row_in_focus_keeps_it_while_the_table_changes(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        vera = await people.signed_in("vera", "/bids")
        for sort in ("margin", "gate"):
            await vera.locator(f"#sort-{sort}").press("Enter")
            await vera.wait_for_url(f"**/bids?*sort={sort}#sort-{sort}")
            await connected(vera)
            await expect(vera.locator(f"#sort-{sort}")).to_be_focused()
            assert await vera.evaluate("scrollY") == 0, "nothing jumps"
        for _ in range(3):
            await vera.keyboard.press("j")
        row = vera.locator("#row-bid-3 a")
        await expect(row).to_be_focused()
        anna = await desk.sign_in("anna")
        seen = {"draft": desk.bid("bid-1").draft.digest}
        assert (await anna.post("/v1/bids/bid-1/check", seen))[0] == 200
        await expect(vera.locator("#row-bid-1")).to_contain_text("checked by anna")
        await expect(row).to_be_focused()
        seen = {"draft": desk.bid("bid-2").draft.digest}
        ben = await desk.sign_in("ben")
        assert (await ben.post("/v1/bids/bid-2/reject", {**seen, "reason": "no"}))[0] == 200
        await expect(vera.locator("#row-bid-2")).to_have_count(0)
        await expect(row).to_be_focused()
