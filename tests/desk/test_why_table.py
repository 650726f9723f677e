"""Why a bid costs what it does: its parts' costs, and prices only where the bid asks them."""

import re

from tests.desk.world import a_desk


async def parts_of(person, name):
    _, page = await person.get(f"/bids/{name}")
    table = page.partition("Marginal cost")[2].partition("</table>")[0]
    return page, re.findall(r"£[0-9.,]+", re.sub(r"<[^>]+>", "", table.partition("<tbody>")[2]))


async def test_a_bid_of_one_price_tells_its_parts_costs_alone(tmp_path):
    async with a_desk(tmp_path) as desk:
        page, told = await parts_of(await desk.sign_in("vera"), "bid-1")
        assert "Alone it would ask" not in page
        assert "Price asked" not in page
        assert told == ["£150.00", "£182.40"]


async def test_the_solvers_gap_says_what_it_is_of(tmp_path):
    async with a_desk(tmp_path) as desk:
        page, _ = await parts_of(await desk.sign_in("vera"), "bid-1")
        assert "Gap: by what share of its margin at most a better plan could earn more" in page
