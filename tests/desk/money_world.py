"""A desk whose running event was delivered: each charger's register counts 3 kW, read every half-hour."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

from aggregator.model.opportunity import DeliveryEnded
from tests.builders import a_reading
from tests.desk.world import NOW, a_desk

DAY = "from=2025-01-14&to=2025-01-15"
HALF_AN_HOUR = timedelta(minutes=30)
WH_A_MINUTE = 50
PATIENCE_S = 60


def register_wh(at):
    """What a charger's register shows, as the world's own minutes have it."""
    return round(at.timestamp() / 60) * WH_A_MINUTE


def a_register(charger, at, **changes):
    told = {"received_at": at, "import_wh": 0, "export_wh": register_wh(at)}
    return a_reading(charger_id=charger, measured_at=at, **{**told, **changes})


@asynccontextmanager
async def a_delivered_desk(folder, **table):
    """Serve a desk after ``bid-5`` was delivered; nothing is settled."""
    async with a_desk(folder, **table) as desk:
        one = desk.bid("bid-5")
        times = [one.window.start + n * HALF_AN_HOUR for n in range(5)]
        desk.store.readings.add(a_register(f"charger-{n}", at) for n in (1, 2) for at in times)
        now = one.window.end + HALF_AN_HOUR
        desk.parts.clock.set(now)
        fact = DeliveryEnded(one.window.end)
        desk.store.journal.append("bid-5", fact, expected_version=one.version, by="clock", recorded_at=now)
        yield desk


def a_late_reading(desk, less_wh):
    """Learn now that a register stood lower an hour into the window."""
    at, now = NOW + HALF_AN_HOUR, desk.parts.clock.now()
    late = a_register("charger-1", at, received_at=now, export_wh=register_wh(at) - less_wh)
    desk.store.readings.add([late])


async def found(person, path, is_there):
    """Ask until what is asked for is there; another process works on it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            status, body = await person.get(path)
            assert status == 200, body
            if is_there(body):
                return body
            await asyncio.sleep(0.1)
