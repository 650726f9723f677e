"""Settlement, Audit and Rules in Chromium: for everybody, on a phone, by keyboard, while work goes on."""

from playwright.async_api import expect

from aggregator.desk_settings import ApprovalRule
from tests.desk.browsing import browsing, connected, in_chromium, violations
from tests.desk.money_world import DAY, a_delivered_desk, a_late_reading

pytestmark = in_chromium

PATHS = (
    f"/settlement?{DAY}",
    "/settlement?from=2024-01-01&to=2024-01-02",
    "/settlement/bid-5",
    "/settlement/bid-5?half_hour=12:00&car=car-1",
    "/audit",
    "/audit?user=nobody",
    "/rules",
)
WRONG = ("/settlement?from=2025-13-01&to=2025-01-02", "/audit?day=2025-02-30")
RULE = ApprovalRule(rule_id="small", written_by="anna", approved_by="ben", max_kw=20.0, min_margin_gbp=1.0)
HEAVIEST_PAGE = 150_000
A_WHILE_MS = 60_000


async def ready(page):
    """Wait until nothing is worked on any more."""
    await expect(page.locator("[data-working]")).to_have_count(0, timeout=A_WHILE_MS)


async def test_every_page_is_accessible_fits_a_phone_and_is_light(tmp_path, chromium):
    async with a_delivered_desk(tmp_path, rule=(RULE,)) as desk, browsing(desk, chromium) as people:
        page = await people.signed_in("sue")
        for path in PATHS:
            for width in (1280, 360):
                await page.set_viewport_size({"width": width, "height": 800})
                await people.go(page, path)
                await ready(page)
                assert await violations(page) == [], (path, width)
                assert await page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)
        for path in WRONG:
            await people.go(page, path)
            await expect(page.locator(".flash.bad")).to_be_visible()
            assert await violations(page) == [], path
            assert people.faults.pop().endswith("422 (Unprocessable Entity)")
        other = await people.page()
        loaded = []
        other.on("requestfinished", lambda request: loaded.append(request))  # noqa: PLW0108 - it marks it
        await other.context.add_cookies(await page.context.cookies())
        await people.go(other, PATHS[0])
        sizes = [(await one.sizes())["responseBodySize"] for one in loaded]
        assert sum(sizes) <= HEAVIEST_PAGE


async def test_registers_behind_a_figure_fit_a_phone(tmp_path, chromium):
    async with a_delivered_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        sue = await people.signed_in("sue", "/settlement/bid-5?half_hour=12:00", width=360)
        for box in await sue.locator(".scroll:visible").all():
            assert await box.evaluate("box => box.scrollWidth <= box.clientWidth"), await box.inner_text()


async def test_a_statement_is_made_and_walked_back_by_keyboard(tmp_path, chromium):
    async with a_delivered_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        sue = await people.signed_in("sue")
        await sue.keyboard.press("s")
        await sue.wait_for_url("**/settlement")
        await connected(sue)
        await ready(sue)
        await expect(sue.locator("#event-bid-5")).to_contain_text("no version yet")
        await sue.locator("#do-settle").focus()
        await sue.keyboard.press("Enter")
        await expect(sue.locator(".flash").first).to_contain_text("is being made")
        await expect(sue.locator("#event-bid-5")).to_contain_text("version 1", timeout=A_WHILE_MS)
        await expect(sue.locator(".flash.good", has_text="1 new version")).to_be_visible()
        a_late_reading(desk, 1400)
        await people.go(sue, f"/settlement?{DAY}&zone=Hendon%20Way")  # another question: worked out anew
        await ready(sue)
        await expect(sue.locator("#event-bid-5")).to_contain_text("differs from version 1")
        await sue.keyboard.press("j")
        await expect(sue.locator("#event-bid-5 a")).to_be_focused()
        await sue.keyboard.press("Enter")
        await sue.wait_for_url("**/settlement/bid-5")
        await connected(sue)
        await sue.locator("#e-half-hour").select_option("2025-01-14T12:00:00Z")
        await sue.locator("#e-car").select_option("car-1")
        await sue.locator("text=Explain").last.focus()
        await sue.keyboard.press("Enter")
        await expect(sue.locator(".steps").first).to_contain_text("car-1: net export 0.100 kWh")
        await expect(sue.locator(".figures")).to_contain_text("1.100 kWh")


async def test_what_is_worked_on_says_so_and_is_there_by_itself(tmp_path, chromium):
    async with a_delivered_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        vera = await people.signed_in("vera", f"/settlement?{DAY.replace('&', '%26')}")
        await expect(vera.locator("[data-working] progress")).to_be_visible()
        assert await violations(vera) == []
        await expect(vera.locator("#event-bid-5")).to_be_visible(timeout=A_WHILE_MS)
        await expect(vera.locator("#do-settle")).to_have_count(0)
        async with vera.expect_download() as taken:
            await vera.locator("a", has_text="statement.csv").first.click()
        assert (await (await taken.value).path()).read_text().startswith("zone,product,opportunity")


async def test_an_audit_is_run_from_the_page(tmp_path, chromium):
    async with a_delivered_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        otto = await people.signed_in("otto")
        await otto.keyboard.press("d")
        await otto.wait_for_url("**/audit")
        await connected(otto)
        await otto.locator("#do-audit").focus()
        await otto.keyboard.press("Enter")
        await expect(otto.locator(".flash").first).to_contain_text("the audit runs")
        await expect(otto.locator(".working, .state.bad").first).to_be_visible()
        await expect(otto.locator("text=nothing checked: a failure").first).to_be_visible(timeout=A_WHILE_MS)
        await expect(otto.locator(".figures")).to_contain_text("for otto")
        await expect(otto.locator("tr", has_text="audit 1 is done").first).to_be_visible()
        await otto.keyboard.press("u")
        await otto.wait_for_url("**/rules")


async def test_it_works_without_scripts_and_prints(tmp_path, chromium):
    async with a_delivered_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        sue = await people.signed_in(
            "sue", f"/settlement?{DAY.replace('&', '%26')}", java_script_enabled=False
        )
        await expect(sue.locator("#do-settle")).to_be_visible(timeout=A_WHILE_MS)  # made anew by itself
        await sue.locator("#do-settle").click()
        await expect(sue.locator(".flash").first).to_contain_text("is being made")
        await expect(sue.locator("#p-from")).to_have_value("2025-01-14")
        await expect(sue.locator("#event-bid-5")).to_contain_text("version 1", timeout=A_WHILE_MS)
        await sue.emulate_media(media="print")
        await expect(sue.locator("nav")).to_be_hidden()
        await expect(sue.locator("#event-bid-5")).to_be_visible()
