"""Chromium in front of a desk: pages that notice every fault, and axe."""

import os
import shutil
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import async_playwright, expect

from tests.desk.world import PASSWORDS

AXE = (Path(__file__).parents[1] / "vendor" / "axe.min.js").read_text()
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
COLOURS = ["color-contrast", "link-in-text-block"]
FAULTS_ONLY = {"resultTypes": ["violations"]}
"""Every rule is run; of what passes axe works no list out, which takes it longer than the rules."""

expect.set_options(timeout=20_000)

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None and os.environ.get("CI") != "true", reason="there is no Chromium on the path"
)

one_browser = pytest.mark.asyncio(loop_scope="session")
"""Chromium is started once a process of tests, in a loop that lasts as long; people share nothing in it."""

in_chromium = [needs_chromium, one_browser, pytest.mark.xdist_group("browser"), pytest.mark.slow]


class Browsing:
    """Browsers of people; what goes wrong in their pages, or leaves the host, is kept."""

    def __init__(self, chromium, desk):
        self._chromium, self.desk = chromium, desk
        self._contexts = []
        self.faults, self.hosts = [], set()

    async def page(self, width=1280, **more):
        context = await self._chromium.new_context(viewport={"width": width, "height": 900}, **more)
        self._contexts.append(context)
        page = await context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on(
            "console",
            lambda line: self.faults.append(line.text) if line.type in ("error", "warning") else None,
        )
        page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        return page

    async def signed_in(self, name, path="/", **more):
        page = await self.page(**more)
        await page.goto(f"{self.desk.base}/sign-in?next={path}")
        await page.fill("input[name=user]", name)
        await page.fill("input[name=password]", PASSWORDS[name])
        await page.press("input[name=password]", "Enter")
        if more.get("java_script_enabled", True):
            await connected(page)
        return page

    async def go(self, page, path):
        await page.goto(self.desk.base + path)
        await connected(page)

    async def close(self):
        for context in self._contexts:
            await context.close()


async def connected(page):
    """Wait until the live picture comes."""
    await expect(page.locator("#link")).to_have_attribute("data-state", "live")


async def violations(page):
    """Return what axe finds against WCAG 2.2 AA and its best practices, in short; in the dark, of colours."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE)
    found = []
    for scheme, rules in (("dark", {"runOnly": COLOURS}), ("light", {})):
        await page.emulate_media(color_scheme=scheme)
        violated = (await page.evaluate("rules => axe.run(rules)", {**rules, **FAULTS_ONLY}))["violations"]
        found += [(scheme, one["id"], [node["target"] for node in one["nodes"]][:3]) for one in violated]
    return found


@asynccontextmanager
async def a_chromium():
    """Run Chromium."""
    assert CHROMIUM is not None, "Chromium must be there: apt-get install chromium"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        await browser.close()


@asynccontextmanager
async def browsing(desk, chromium):
    """Let people browse; nothing may have gone wrong in any page by the end, nor left the host."""
    found = Browsing(chromium, desk)
    try:
        yield found
    finally:
        await found.close()
    assert found.faults == []
    assert found.hosts <= {desk.base.rpartition("/")[2]}
