"""What a driver's page answers: in the unit that was asked in; and where its forms' addresses lead."""

import re

from tests.desk.driver_steps import a_driver, said
from tests.desk.world import a_desk


async def heard(driver):
    _, page = await driver.get("/my-car")
    page = re.sub(r"<svg.*?</svg>", "", page)  # pictures tell shares as they are kept
    return page, page.partition("Heard")[2].partition("</p>")[0]


async def test_who_asks_in_miles_is_answered_in_miles(tmp_path):
    async with a_desk(tmp_path) as desk:
        driver = await a_driver(desk)
        fields = {"depart_at": "2025-01-15T06:45", "amount": "120", "unit": "miles"}
        assert (await said(driver, "departure", fields))[0] == 303
        page, told = await heard(driver)
        assert "with 120 miles, 60%." in told
        assert "<strong>120 miles, 60%</strong>" in page.partition('id="need-now"')[2]
        assert "60.06" not in page
        assert re.search(r'id="amount"[^>]* value="120"', page)
        assert re.search(r'id="departure-unit".*?value="miles" selected', page)
        await said(driver, "floor", {"level": "80", "unit": "miles"})
        page, told = await heard(driver)
        assert "Your floor is 80 miles, 40%." in told
        assert "40.04" not in page
        await said(driver, "week", {"wed_at": "06:15", "wed_amount": "150.5", "unit": "miles"})
        await said(driver, "departure/take-back")
        page, told = await heard(driver)
        assert "with 150.5 miles, 75%." in told
        assert re.search(r'id="wed-amount"[^>]* value="150.5"', page)
        assert re.search(r'id="week-unit".*?value="miles" selected', page)


async def test_who_asks_in_percent_is_answered_in_percent(tmp_path):
    async with a_desk(tmp_path) as desk:
        driver = await a_driver(desk)
        await said(driver, "departure", {"depart_at": "2025-01-15T06:45", "amount": "80.5"})
        page, told = await heard(driver)
        assert "with 80.5%." in told
        assert "<strong>80.5%</strong> (161 miles)" in page
        assert 'value="miles" selected' not in page
        await said(driver, "floor", {"level": "50"})
        assert "Your floor is 50%, 100 miles." in (await heard(driver))[1]


async def test_the_address_of_a_form_leads_to_the_page(tmp_path):
    async with a_desk(tmp_path) as desk:
        driver = await a_driver(desk)
        for path in ("departure", "boost/take-back"):
            asked = driver._session.get(f"{desk.base}/my-car/{path}", allow_redirects=False)
            async with asked as response:
                assert (response.status, response.headers.get("Location")) == (303, "/my-car"), path
        assert (await driver.get("/my-car/nothing"))[0] == 404
