"""In Chromium: an alarm's words have the width of their card, with a box to tick or without one."""

import pytest

from aggregator.store import Alarm
from tests.desk.browsing import browsing, in_chromium
from tests.desk.world import NOW, a_desk

pytestmark = in_chromium


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("name", ["vera", "ben"])
async def test_a_single_alarm_stands_in_whole_lines(tmp_path, chromium, name, width):
    async with a_desk(tmp_path) as desk, browsing(desk, chromium) as people:
        desk.store.alarms.raise_(Alarm(NOW, "order_short", "Hendon Way", "2.0 kWh are missing"))
        person = await people.signed_in(name, "/live", width=width)
        for path in ("/live", "/"):
            await people.go(person, path)
            words = person.locator(".alarms label > span").first
            assert (await words.bounding_box())["width"] > 150, path
