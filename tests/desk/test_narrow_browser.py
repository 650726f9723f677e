"""In Chromium: no page scrolls sideways on a phone, and a key that somebody may not use says why."""

import re
from datetime import UTC, datetime

import pytest
from playwright.async_api import expect

from aggregator.model.explanation import PricedPart
from aggregator.store import AuditRun
from tests.desk.browsing import browsing, connected, in_chromium, violations
from tests.desk.test_held import a_sent_bid
from tests.desk.world import a_bid, a_desk, the_why

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

HIGHEST_CAR_PX = 90

A_LONG_TIME = datetime(2024, 8, 28, 19, 46, tzinfo=UTC)
"""One that takes as much room as any: Wed 28 Aug 20:46."""


async def test_no_page_scrolls_sideways_at_360_pixels(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as browsers:
        desk.store.audits.add(AuditRun(A_LONG_TIME, "sue", True, {"promises": []}))
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


async def test_a_table_of_prices_fits_a_phone_and_its_columns_say_their_units(tmp_path, chromium):
    parts = (PricedPart(11.0, 598.0, 1145.25), PricedPart(22.0, 98.0, 1145.25))
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as browsers:
        a_bid(desk.store, "dear", event="dear", why=the_why(parts=parts))
        anna = await browsers.signed_in("anna", "/bids/dear", width=360)
        for box in await anna.locator(".scroll:has(.plain)").all():
            assert await box.evaluate("box => box.scrollWidth <= box.clientWidth"), await box.inner_text()
        heads = await anna.locator(".slots thead th:not(:first-child)").all_inner_texts()
        assert heads
        assert all("kW" in head for head in heads), heads
        heads = await anna.locator("table:not(.slots).plain thead th").all_inner_texts()
        assert [re.findall("kW|£/MWh", head) for head in heads] == [["kW"], ["£/MWh"]]
        for cell in await anna.locator("table:not(.slots).plain tbody td").all_inner_texts():
            assert cell.count("MWh") == 0, "once, above"


async def test_a_figure_and_its_unit_stay_on_one_line(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as browsers:
        anna = await browsers.signed_in("anna", "/bids", width=360)
        broken = """() => [...document.querySelectorAll("main .unit")].filter((unit) => {
            const figure = unit.previousSibling, range = document.createRange();
            if (figure?.nodeType !== Node.TEXT_NODE || !unit.offsetParent) return false;
            range.setStart(figure, figure.data.trimEnd().length - 1);
            range.setEnd(figure, figure.data.trimEnd().length);
            return Math.abs(range.getBoundingClientRect().bottom - unit.getBoundingClientRect().bottom) > 9;
        }).map((unit) => unit.parentElement.textContent)"""
        for width in range(330, 420, 6):  # somewhere a line would end between the two
            await anna.set_viewport_size({"width": width, "height": 800})
            for path in ("/", "/bids?shown=all", "/live"):
                await browsers.go(anna, path)
                assert await anna.evaluate(broken) == [], (path, width)


async def test_a_car_s_half_hours_fit_a_phone(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as browsers:
        await desk.parts.minutes(35)
        anna = await browsers.signed_in("anna", "/fleet/car-1", width=360)
        await anna.locator("summary", has_text="Half-hour by half-hour").click()
        table = anna.locator(".scroll:has(table)", has_text="Average")
        assert await table.evaluate("box => box.scrollWidth <= box.clientWidth")
        heads = await table.locator("thead th").all_inner_texts()
        assert [re.findall("kWh?$", head) for head in heads] == [[], ["kW"], ["kWh"], [], []]


async def test_a_car_of_the_fleet_is_a_few_short_lines_on_a_phone(tmp_path, chromium):
    kept = (
        "Hendon Way",
        "90%",
        "floor 30%",
        "target 80%",
        "kW",
        "needed",
        "V2G on",
        "G99",
        "granted",
        "heard",
    )
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as browsers:
        vera = await browsers.signed_in("vera", "/fleet", width=360)
        row = vera.locator("#row-car-1")
        assert (await row.bounding_box())["height"] <= HIGHEST_CAR_PX
        told = " ".join((await row.inner_text()).split())
        labels = await row.evaluate(
            """row => [...row.querySelectorAll("[data-label]")]
                .map((one) => getComputedStyle(one, "::before").content).join(" ")"""
        )
        assert [words for words in kept if words not in f"{told} {labels}"] == []
        assert await violations(vera) == []


@pytest.mark.parametrize("width", [1280, 360])
async def test_what_the_fleet_does_stands_on_one_line_of_its_tile(tmp_path, chromium, width):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as browsers:
        anna = await browsers.signed_in("anna", "/live", width=width)
        tile = anna.locator(".small-ones li").first
        figure = tile.locator("[data-live=fleet_kw]")
        high_px = (await figure.bounding_box())["height"]
        await desk.shut_door()  # so that nothing is written over it
        await figure.evaluate(
            "one => { one.firstChild.data = one.firstChild.data.replace(/^[0-9.]+/, '−1352.0'); }"
        )
        assert (await figure.bounding_box())["height"] == high_px
        assert await tile.evaluate("tile => tile.scrollWidth <= tile.clientWidth")
        browsers.faults.clear()  # the browser itself tells of the line that is down
        await desk.open_door()


@pytest.mark.parametrize("kw", [-120.0, -1500.0, -12000.0])
async def test_no_sign_of_a_chart_is_cut_off(tmp_path, chromium, kw):
    inked = """async (kw) => {
        const box = document.querySelector("[data-chart]"), zone = box.dataset.chart;
        const figures = {target_kw: kw, nominated_kw: kw, metered_kw: kw};
        for (const now of ["2025-01-15T14:00:00Z", "2025-01-15T14:30:00Z"])
            deskCharts.live({now, zones: [{zone, ...figures}]});
        await null;  // drawn by now, and no picture of the desk's own came between
        const canvas = box.querySelector("canvas"), copy = new OffscreenCanvas(4, canvas.height);
        copy.getContext("2d").drawImage(canvas, 0, 0);
        return copy.getContext("2d").getImageData(0, 0, 4, canvas.height).data.some((one) => one);
    }"""
    async with a_desk(tmp_path, heard=False) as desk, browsing(desk, chromium) as browsers:
        anna = await browsers.signed_in("anna", "/live")
        assert not await anna.evaluate(inked, kw)


@pytest.mark.parametrize("minutes", [2, 7, 12, 34, 75, 170])
async def test_a_chart_on_a_phone_tells_more_than_one_time(tmp_path, chromium, minutes):
    said = """async (minutes) => {
        const told = [], fill = CanvasRenderingContext2D.prototype.fillText;
        CanvasRenderingContext2D.prototype.fillText = function (text, ...more) {
            if (/^[0-9]{2}:[0-9]{2}/.test(text)) told.push(text);
            return fill.call(this, text, ...more);
        };
        const now = Date.parse("2025-01-15T14:13:00Z"), at = (n) => new Date(now + n * 6e4).toISOString();
        const zones = [...document.querySelectorAll("[data-chart]")].map((box) => box.dataset.chart);
        deskCharts.past({zones, rows: [[at(-minutes), ...zones.map(() => [1, 1, 1])]]}, false);
        told.length = 0;
        const figures = {target_kw: 1, nominated_kw: 1, metered_kw: 1};
        deskCharts.live({now: at(0), zones: [{zone: zones[0], ...figures}]});
        await null;  // drawn by now, and no picture of the desk's own came between
        CanvasRenderingContext2D.prototype.fillText = fill;
        return told;
    }"""
    async with a_desk(tmp_path, heard=False) as desk, browsing(desk, chromium) as browsers:
        anna = await browsers.signed_in("anna", "/live", width=360)
        told = await anna.evaluate(said, minutes)
        assert len(told) >= 2, told
        assert len(set(told)) == len(told), told
        await connected(anna)


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
