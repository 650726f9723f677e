"""The one Chromium of a process of tests."""

import pytest_asyncio

from tests.desk.browsing import a_chromium


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium():
    """A browser that runs; each page that somebody asks for is as in a browser of its own."""
    async with a_chromium() as browser:
        yield browser
