"""The stop with one key holds before it is stored, and though the database is away."""

import asyncio
import sqlite3
from contextlib import closing

from tests.desk.world import a_desk


async def test_cars_are_stopped_though_nothing_can_be_stored_and_it_is_stored_later(tmp_path):
    async with a_desk(tmp_path) as desk:
        anna, book = await desk.sign_in("anna"), desk.parts.gateway.book
        with closing(sqlite3.connect(tmp_path / "flexloop.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            asked = asyncio.create_task(anna.post("/v1/stops", {"reason": "smoke"}))
            async with asyncio.timeout(3):
                while not book.stopped():  # noqa: ASYNC110 - what the loop follows
                    await asyncio.sleep(0.01)
            status, body = await asked
            assert status == 202
            assert "stopped in the loop at 12:01:00; it will be written down" in body["said"]
            assert desk.store.halts.standing() == ()
            other.execute("ROLLBACK")
        async with asyncio.timeout(20):
            while not desk.store.halts.standing():  # noqa: ASYNC110 - it is tried until it can be
                await asyncio.sleep(0.05)
        (halt,) = desk.store.halts.standing()
        assert (halt.zone, halt.by, halt.reason) == (None, "anna", "smoke")


async def test_a_stop_that_is_refused_stops_nothing(tmp_path):
    async with a_desk(tmp_path) as desk:
        anna = await desk.sign_in("anna")
        for body in ({"reason": " "}, {"reason": "smoke", "zone": "Atlantis"}):
            status, _ = await anna.post("/v1/stops", body)
            assert status in (409, 422)
        assert desk.parts.gateway.book.stopped() == frozenset()
        assert desk.store.halts.standing() == ()
