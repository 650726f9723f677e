"""In Chromium: an amendment's effect, a loss included, stays within its card at every width."""

import pytest

from tests.desk.browsing import browsing, in_chromium
from tests.desk.world import a_desk

pytestmark = in_chromium

LOSS = """effect => { for (const cell of effect.querySelectorAll("td.num"))
    cell.innerHTML = "−£46.56 <span class='loss'><span>▼</span> loss</span>"; }"""
P10 = """effect => effect.querySelector("tbody").insertAdjacentHTML("beforeend", `<tr>
    <th scope="row">Nine days in ten at least (P10)</th>
    <td class="num">£1,145.25</td><td class="num">£1,145.25</td></tr>`)"""
"""A row that an effect has which could be worked out."""

BEYOND = """effect => {
    const right = (one) => one.getBoundingClientRect().right, card = effect.closest(".card");
    return [...effect.querySelectorAll("table, td, th, p")].filter((one) => right(one) > right(effect) + 0.5)
        .map((one) => one.textContent).concat(right(effect) > right(card) ? ["the effect"] : []);
}"""


@pytest.mark.parametrize("width", [360, 1024, 1280, 1440])
async def test_an_effect_stays_within_its_card(tmp_path, chromium, width):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        anna = await people.signed_in("anna", "/bids/bid-2?kw=20&price=200", width=width)
        effect = anna.locator("#effect")
        await effect.evaluate(P10)
        for what in ("as it is", "a loss"):
            assert await effect.evaluate(BEYOND) == [], what
            assert await anna.evaluate("document.documentElement.scrollWidth") <= width, what
            await effect.evaluate(LOSS)
        assert await effect.evaluate(BEYOND) == []
        assert await anna.evaluate("document.documentElement.scrollWidth") <= width
