"""In Chromium, on paper: charts in ink whatever the screen's colours, and wide; tables begin at once."""

import re

from playwright.async_api import expect

from tests.desk.browsing import browsing, in_chromium
from tests.desk.world import a_desk

pytestmark = in_chromium

A4_PX, A4_HIGH_PX = 718, 1047
"""Upright, with margins of a centimetre."""

PIXELS = """(() => {
    const canvas = box.querySelector("canvas"), copy = new OffscreenCanvas(canvas.width, canvas.height);
    copy.getContext("2d", {willReadFrequently: true}).drawImage(canvas, 0, 0);
    return copy.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
})()"""

HOW_DARK = """box => {
    const data = PIXELS;
    let dark = 0;
    for (let n = 0; n < data.length; n += 4)
        if (data[n + 3] > 200 && data[n] + data[n + 1] + data[n + 2] < 240) dark += 1;
    return 4 * dark / data.length;
}""".replace("PIXELS", PIXELS)
"""Which part of a chart is covered with what is nearly black."""

COLOURS = """box => {
    const data = PIXELS, found = {};
    for (let n = 0; n < data.length; n += 4)
        if (data[n + 3] === 255) {
            const hex = (one) => one.toString(16).padStart(2, "0");
            const name = [0, 1, 2].map((one) => hex(data[n + one])).join("");
            found[name] = (found[name] ?? 0) + 1;
        }
    return Object.keys(found).filter((name) => found[name] > 20);
}""".replace("PIXELS", PIXELS)
DARK = {"3fb597", "7cc0ee", "ff8f86", "9aa5a0", "12303f", "33403b", "a4b1ab"}
"""Of the screen's dark colours, those that charts use: lines, words, and what lies over a window."""

ON_PAPER = re.compile("on-paper")

SHARE_OF_CARD = """box => {
    const {paddingLeft, paddingRight} = getComputedStyle(box.parentElement);
    const room = box.parentElement.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight);
    return box.querySelector("canvas").getBoundingClientRect().width / room;
}"""

A_PAGE_AND_A_HALF = """(rows, page) => {
    while (rows.offsetHeight < 1.5 * page) rows.append(rows.firstElementChild.cloneNode(true));
}"""


async def test_charts_are_printed_in_ink_and_as_wide_as_the_paper(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        anna = await people.signed_in("anna", "/live", color_scheme="dark")
        await desk.parts.minutes(3)
        for path, chart in (("/live", "[data-chart]"), ("/bids/bid-1", "#fan")):
            await people.go(anna, path)
            page, box = anna.locator("html"), anna.locator(chart).first
            await expect(box.locator("canvas")).to_be_visible()
            assert set(await box.evaluate(COLOURS)) & DARK, path
            await anna.emulate_media(media="print", color_scheme="dark")
            await anna.set_viewport_size({"width": A4_PX, "height": 1000})
            await expect(page).to_have_class(ON_PAPER)  # it is told so with its next frame
            assert not set(await box.evaluate(COLOURS)) & DARK, path
            assert await box.evaluate(HOW_DARK) < 0.1, path
            assert await box.evaluate(SHARE_OF_CARD) > 0.9, path
            await anna.set_viewport_size({"width": 1280, "height": 900})
            await anna.emulate_media(media="screen", color_scheme="dark")
            await expect(page).not_to_have_class(ON_PAPER)
            assert set(await box.evaluate(COLOURS)) & DARK, (path, "on screen again")
            assert await box.evaluate(SHARE_OF_CARD) > 0.9, path


async def test_what_the_browser_s_own_print_asks_for_is_drawn_before_it(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        anna = await people.signed_in("anna", "/live", color_scheme="dark")
        box = anna.locator("[data-chart]").first
        await expect(box.locator("canvas")).to_be_visible()
        await anna.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert not set(await box.evaluate(COLOURS)) & DARK
        await anna.evaluate("window.dispatchEvent(new Event('afterprint'))")
        assert set(await box.evaluate(COLOURS)) & DARK


async def test_a_long_table_begins_beneath_what_stands_above_it(tmp_path, chromium):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        vera = await people.signed_in("vera", "/fleet", width=A4_PX)
        await vera.emulate_media(media="print")
        await vera.locator("tbody").evaluate(A_PAGE_AND_A_HALF, A4_HIGH_PX)
        top_px = (await vera.locator("table").bounding_box())["y"]
        assert top_px < 0.4 * A4_HIGH_PX, "with half a page of the table it fills no more than one"
        printed = await vera.pdf(format="A4", margin=dict.fromkeys(("top", "bottom", "left", "right"), "1cm"))
        assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 2
