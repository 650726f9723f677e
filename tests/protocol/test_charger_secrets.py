"""Each charger proves its own secret over a real link; one that can't is neither heard nor told."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest

from aggregator.clock import Pace, start_fast_clock
from aggregator.files.secrets import read_secrets
from aggregator.model.errors import BadMessage
from aggregator.model.fleet import Fleet
from aggregator.model.metering import Outcome, Purpose, SetPoint
from dispatch.fleet_simulator.server import FleetServer, listen_on, serving
from dispatch.links.simulated import SimulatedLink
from tests.builders import a_fleet
from tests.fakes.simulated_fleet import FIVE_PM, MINUTE, Watched, a_leaf, a_stay

RIGHT = {"leaf-1": "a" * 20, "leaf-2": "b" * 20}
PATIENCE_S = 10.0


class Refusals(list):
    """Whom a link refused; ``whole`` is set once it is everybody."""

    def __init__(self):
        super().__init__()
        self.whole = asyncio.Event()

    def append(self, car_id):
        super().append(car_id)
        if len(self) == len(RIGHT):
            self.whole.set()


@asynccontextmanager
async def linked(known, theirs):
    """Yield a link that knows some secrets to a fleet that has some, and whom it refused."""
    clock, refused = start_fast_clock([Pace(FIVE_PM, 600.0)]), Refusals()
    cars = [a_leaf(), a_leaf("leaf-2")]
    watched = Watched(cars, [a_stay(), a_stay("leaf-2")], starts_at=FIVE_PM)
    server, listener = FleetServer(watched.world, clock, theirs), listen_on("127.0.0.1:0")
    async with serving(server, listener):
        playing = asyncio.create_task(server.play(None))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with SimulatedLink(url, clock, secrets=known, refused=refused.append) as link:
            yield link, clock, refused
        playing.cancel()
        with suppress(asyncio.CancelledError):
            await playing


async def heard(link, batches=3):
    """Return the cars that are heard in some batches."""
    names = set()
    async with asyncio.timeout(PATIENCE_S):
        async for batch in link.reports():
            names |= {report.car_id for report in batch}
            batches -= 1
            if not batches:
                return names
    raise AssertionError("the link ended")


def points(clock):
    now = clock.now()
    return [SetPoint(name, 3000, now, now + 2 * MINUTE, Purpose.INSTRUCTION) for name in RIGHT]


async def test_chargers_that_prove_their_secrets_are_heard_and_told():
    async with linked(RIGHT, RIGHT) as (link, clock, refused):
        assert await heard(link) == {"leaf-1", "leaf-2"}
        assert await link.apply(points(clock)) == (Outcome.ACCEPTED,) * 2
        assert refused == []


@pytest.mark.parametrize(
    "theirs", [RIGHT | {"leaf-2": "c" * 20}, RIGHT | {"leaf-2": "a" * 20}, {"leaf-1": "a" * 20}]
)
async def test_one_with_a_wrong_secret_another_s_or_none_is_refused_and_told_once(theirs):
    async with linked(RIGHT, theirs) as (link, clock, refused):
        assert await heard(link) == {"leaf-1"}
        assert await link.apply(points(clock)) == (Outcome.ACCEPTED, Outcome.UNREACHABLE)
        assert await heard(link) == {"leaf-1"}
        assert refused == ["leaf-2"]


async def test_a_fleet_that_proves_nothing_is_refused_whole():
    async with linked(RIGHT, {}) as (link, clock, refused):
        await asyncio.wait_for(refused.whole.wait(), PATIENCE_S)
        assert await link.apply(points(clock)) == (Outcome.UNREACHABLE,) * 2
        assert refused == ["leaf-1", "leaf-2"]


async def test_where_nobody_has_a_secret_nobody_has_to_prove_one():
    async with linked({}, RIGHT) as (link, _, refused):
        assert await heard(link) == {"leaf-1", "leaf-2"}
        assert refused == []


def a_file(tmp_path, *lines):
    path = tmp_path / "secrets.csv"
    path.write_text("\n".join(("charger_id,secret", *lines)) + "\n")
    return path


def test_a_file_of_secrets_is_read_by_car(tmp_path):
    fleet = a_fleet(2)
    path = a_file(tmp_path, f"charger-2,{'b' * 16}", f"charger-1,{'a' * 16}")
    assert read_secrets(path, fleet) == {"car-1": "a" * 16, "car-2": "b" * 16}
    assert read_secrets(None, fleet) == {}
    assert read_secrets(a_file(tmp_path), Fleet((), "f" * 64)) == {}


def test_a_file_of_secrets_with_faults_tells_them_all_and_no_secret(tmp_path):
    same = "s3cret-" * 3
    path = a_file(tmp_path, f"charger-1,{same}", f"charger-2,{same}", "charger-9,short", "charger-1")
    with pytest.raises(BadMessage) as error:
        read_secrets(path, a_fleet(3))
    told = str(error.value)
    for part in ("line 2", "line 3", "line 4.charger_id", "line 4.secret", "line 5", "charger-3"):
        assert part in told
    assert "s3cret" not in told
    assert "short" not in told.replace("shorter", "")
    with pytest.raises(BadMessage, match="columns charger_id, secret"):
        path.write_text(f"{same},x\n")
        read_secrets(path, a_fleet(3))
