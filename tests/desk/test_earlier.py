"""What Live knows of before the gateway was started: metered, target and nomination, and a gap as one."""

import json
from datetime import timedelta

import pytest

from aggregator import acting
from aggregator.model.time import parse_instant, utc_text
from aggregator.web.earlier import PART, Earlier
from tests.desk.world import NOW, ZONE, a_desk

MINUTE = timedelta(minutes=1)


async def played(folder):
    """Let a desk's order run for twenty minutes, then be down for ten."""
    async with a_desk(folder) as desk:
        await desk.parts.minutes(20)


def rows_of(desk, newest, first=None):
    """Return the rows before a picture: minutes from ``NOW`` to each, and the zone's figures."""
    zones = desk.parts.gateway.settings.fleet.zones
    rows = Earlier(desk.parts.gateway)(utc_text(first or newest), utc_text(newest))
    found = [(json.loads(row)[0], json.loads(row)[1 + zones.index(ZONE)]) for row in rows]
    return {(parse_instant(at) - NOW) / MINUTE: tuple(figures) for at, figures in found}


async def test_after_a_restart_the_running_event_s_past_is_known_and_the_gap_is_one(tmp_path):
    await played(tmp_path)
    async with a_desk(tmp_path, empty=True, at=NOW + 30 * MINUTE) as desk:
        rows = rows_of(desk, desk.parts.clock.now())
    assert list(rows) == [2.5, 7.5, 12.5, 17.5, 22.5, 27.5]  # nothing was measured before
    for at in (7.5, 12.5, 17.5):
        assert rows[at] == (4.0, 1.0, pytest.approx(6.0))  # nominated 1 kW, ordered 3 kW, two cars give 3 kW
    assert rows[27.5] == (None, None, None)


async def test_what_the_stream_has_itself_is_not_told_again_and_old_things_are_not(tmp_path):
    await played(tmp_path)
    async with a_desk(tmp_path, empty=True, at=NOW + 30 * MINUTE) as desk:
        assert list(rows_of(desk, NOW + 15 * MINUTE, first=NOW + 11 * MINUTE)) == [2.5, 7.5]
        assert rows_of(desk, NOW + timedelta(hours=5), first=NOW + 20 * MINUTE) == {}


async def test_a_stopped_zone_had_no_target(tmp_path):
    async with a_desk(tmp_path) as desk:
        parts = desk.parts
        await parts.minutes(6)
        acting.stop(parts.gateway.workflow, parts.gateway.settings.fleet.zones, ZONE, "smoke", "vera")
        await parts.minutes(6)
        rows = rows_of(desk, parts.clock.now())
    assert [target for target, *_ in rows.values()] == [4.0, None]
    assert PART == 5 * MINUTE


async def test_who_opens_live_after_a_restart_is_told_what_was_before(tmp_path):
    await played(tmp_path)
    async with a_desk(tmp_path, empty=True, at=NOW + 30 * MINUTE) as desk:
        vera = await desk.sign_in("vera")
        async with vera._session.get(f"{desk.base}/v1/stream?after=") as response:
            while (await response.content.readline()).strip() != b"event: past":
                pass
            past = json.loads((await response.content.readline()).partition(b": ")[2])
    assert not past["whole"]
    assert parse_instant(past["rows"][0][0]) == NOW + 2.5 * MINUTE
