"""The link and the simulated fleet over a real WebSocket on loopback, on a fast clock."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from aggregator.clock import FastClock, Pace, start_fast_clock
from aggregator.model.metering import CarReport, Outcome, Purpose, SetPoint
from aggregator.model.time import parse_instant, utc_text
from dispatch.fleet_simulator.script import Act, Kind
from dispatch.fleet_simulator.server import FleetServer, listen_on, serving
from dispatch.links.simulated import SimulatedLink
from tests.fakes.simulated_fleet import FIVE_PM, HOUR, MINUTE, Watched, a_leaf, a_stay, charging_from

SECOND = timedelta(seconds=1)
FACTOR = 600.0
PATIENCE_S = 5.0


@pytest.fixture
def clock() -> FastClock:
    return start_fast_clock([Pace(FIVE_PM - MINUTE, FACTOR)])


@asynccontextmanager
async def playing(watched: Watched, clock: FastClock, port: int = 0) -> AsyncIterator[str]:
    """Serve the world, and play it; yield the address."""
    listener = listen_on(f"127.0.0.1:{port}")
    server = FleetServer(watched.world, clock)
    async with serving(server, listener):
        task = asyncio.create_task(server.play(None))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@asynccontextmanager
async def linked(url: str, clock: FastClock, **settings: float) -> AsyncIterator[SimulatedLink]:
    async with SimulatedLink(url, clock, longest_wait_s=0.1, **settings) as link:
        yield link


def two_cars(clock: FastClock, acts: list[Act] | None = None, **stay: datetime) -> Watched:
    """One car plugged in, one away."""
    cars = [a_leaf(), a_leaf("leaf-2")]
    here = a_stay(**{"plugged_in_at": FIVE_PM - HOUR, "arrival_soc": 0.4, **stay})
    return Watched(cars, [here], acts, starts_at=clock.now())


def a_point(clock: FastClock, export_w: int, seconds: float = 120, car_id: str = "leaf-1") -> SetPoint:
    now = clock.now()
    return SetPoint(car_id, export_w, now, now + seconds * SECOND, Purpose.INSTRUCTION)


async def first(link: SimulatedLink, wanted: Callable[[CarReport], bool] = lambda report: True) -> CarReport:
    async with asyncio.timeout(PATIENCE_S):
        async for batch in link.reports():
            for report in batch:
                if wanted(report):
                    return report
    raise AssertionError("the link ended")


async def test_a_set_point_is_acknowledged_obeyed_and_measured(clock: FastClock) -> None:
    async with playing(two_cars(clock), clock) as url, linked(url, clock) as link:
        await first(link)
        told = await link.apply([a_point(clock, 3000), a_point(clock, 3000, car_id="leaf-2")])
        assert list(told) == [Outcome.ACCEPTED, Outcome.REFUSED]
        assert (await first(link, lambda report: report.export_w == 3000)).car_id == "leaf-1"
        assert list(await link.apply([])) == []


async def test_a_set_point_expires_though_the_gateway_is_gone(clock: FastClock) -> None:
    watched = two_cars(clock)
    async with playing(watched, clock) as url:
        async with linked(url, clock) as link:
            await first(link)
            point = a_point(clock, 5000, seconds=90)
            assert list(await link.apply([point])) == [Outcome.ACCEPTED]
        await clock.sleep_until(point.expires_at + MINUTE)
        async with linked(url, clock) as link:
            assert (await first(link)).export_w <= 0
    rows = [(parse_instant(row["at"]), int(row["export_w"])) for row in watched.truth()]
    assert any(export_w == 5000 and abs(at - point.expires_at) < SECOND for at, export_w in rows)
    assert all(export_w <= 0 for at, export_w in rows if at > point.expires_at + SECOND)


async def test_a_gateway_that_comes_back_gets_every_charger_and_the_half_hours_it_missed() -> None:
    clock = start_fast_clock([Pace(FIVE_PM - MINUTE, 10_000)])
    async with playing(two_cars(clock), clock) as url:
        async with linked(url, clock) as link:
            await first(link)
        await clock.sleep_until(FIVE_PM + 61 * MINUTE)
        async with linked(url, clock) as link:
            stream = link.reports()
            batches = [await anext(stream) for _ in range(4)]
    state, *missed = batches
    assert [(report.car_id, report.plugged) for report in state] == [("leaf-1", True), ("leaf-2", False)]
    assert {report.measured_at for report in state} == {state[0].measured_at}
    assert state[0].measured_at > FIVE_PM + HOUR
    assert [{report.measured_at for report in batch} for batch in missed] == [
        {FIVE_PM},
        {FIVE_PM + 30 * MINUTE},
        {FIVE_PM + HOUR},
    ]
    registers = [batch[0].import_wh for batch in (*missed, state)]
    assert registers == sorted(registers)


async def test_a_gateway_that_comes_back_hears_of_cars_that_came_and_left_meanwhile() -> None:
    clock = start_fast_clock([Pace(FIVE_PM - MINUTE, 10_000)])
    visit = {"plugged_in_at": FIVE_PM + 10 * MINUTE, "plugged_out_at": FIVE_PM + 20 * MINUTE}
    async with playing(two_cars(clock, **visit), clock) as url:
        await clock.sleep_until(FIVE_PM + 25 * MINUTE)
        async with linked(url, clock) as link:
            stream = link.reports()
            _, *missed = [await anext(stream) for _ in range(4)]
    came, left = (batch for batch in missed if len(batch) == 1)
    assert [(one.measured_at, one.plugged) for one in (*came, *left)] == [
        (visit["plugged_in_at"], True),
        (visit["plugged_out_at"], False),
    ]
    assert came[0].import_wh <= left[0].import_wh


async def test_the_link_comes_back_by_itself_and_says_unreachable_meanwhile(clock: FastClock) -> None:
    watched = two_cars(clock)
    async with playing(watched, clock) as url:
        port = int(url.rpartition(":")[2])
        link = SimulatedLink(url, clock, longest_wait_s=0.05)
        await link.__aenter__()
        await first(link)
    assert list(await link.apply([a_point(clock, 3000)] * 2)) == [Outcome.UNREACHABLE] * 2
    assert not link.is_up
    asked_at = clock.now()
    async with playing(watched, clock, port):
        assert (await first(link, lambda report: report.measured_at > asked_at)).car_id == "leaf-1"
        assert list(await link.apply([a_point(clock, 3000)])) == [Outcome.ACCEPTED]
        await link.__aexit__(None, None, None)


async def test_a_car_that_leaves_is_told_at_once(clock: FastClock) -> None:
    left_at = FIVE_PM + 75 * SECOND
    async with (
        playing(two_cars(clock, plugged_out_at=left_at), clock) as url,
        linked(url, clock) as link,
    ):
        gone = await first(link, lambda report: report.car_id == "leaf-1" and not report.plugged)
    assert (gone.measured_at, gone.soc, gone.export_w) == (left_at, None, 0)


async def test_a_boost_is_told_at_once_and_wins(clock: FastClock) -> None:
    pressed_at = FIVE_PM + 75 * SECOND
    boost = Act(car_id="leaf-1", at=pressed_at, kind=Kind.BOOST)
    async with playing(two_cars(clock, [boost]), clock) as url, linked(url, clock) as link:
        await first(link)
        assert list(await link.apply([a_point(clock, 7000, seconds=600)])) == [Outcome.ACCEPTED]
        assert (await first(link, lambda report: report.boost)).measured_at == pressed_at
        assert list(await link.apply([a_point(clock, 7000)])) == [Outcome.REFUSED]
        await first(link, lambda report: report.export_w == -7400)


async def test_a_fallback_told_while_the_link_is_down_arrives_when_it_is_up(clock: FastClock) -> None:
    watched = two_cars(clock)
    with listen_on("127.0.0.1:0") as free:
        port = free.getsockname()[1]
    async with linked(f"http://127.0.0.1:{port}", clock) as link:
        charge_from = clock.now() + 3 * MINUTE
        await link.set_fallback(charging_from(charge_from, "leaf-1", "leaf-2"))
        async with playing(watched, clock, port):
            charging = await first(link, lambda report: report.export_w < -7000)
    assert charge_from < charging.measured_at < charge_from + 3 * MINUTE


async def test_the_newest_gateway_wins(clock: FastClock) -> None:
    async with playing(two_cars(clock), clock) as url, aiohttp.ClientSession() as session:
        older = await session.ws_connect(f"{url}/link")
        assert json.loads((await older.receive()).data)["type"] == "reports"
        async with linked(url, clock) as link:
            await first(link)
            async with asyncio.timeout(PATIENCE_S):
                while (message := await older.receive()).type is aiohttp.WSMsgType.TEXT:
                    pass
            assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
            assert list(await link.apply([a_point(clock, 3000)])) == [Outcome.ACCEPTED]


async def test_the_fleet_lives_through_nonsense_and_keeps_browsers_out(clock: FastClock) -> None:
    point = {"car_id": "leaf-1", "export_w": 3000, "expires_at": utc_text(clock.now() + 9 * MINUTE)}
    nonsense = [
        "",
        "[]",
        '{"type": "set_points", "ref": 1}',
        json.dumps({"type": "set_points", "ref": 1, "points": [point | {"export_w": 1.5}]}),
        json.dumps({"type": "set_points", "ref": 1, "points": [point | {"expires_at": "2025-01-08T18:00"}]}),
        '{"type": "fallback", "ref": 1, "cars": {"leaf-1": {"most_w": 7400, "charge_from": NaN}}}',
        '{"type": "shutdown", "ref": 1}',
    ]
    async with playing(two_cars(clock), clock) as url, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await session.ws_connect(f"{url}/link", origin="https://example.org")
        async with session.ws_connect(f"{url}/link") as socket:
            for text in nonsense:
                await socket.send_str(text)
            await socket.send_bytes(b"\xff")
            await socket.send_str(json.dumps({"type": "set_points", "ref": 2, "points": [point]}))
            async with asyncio.timeout(PATIENCE_S):
                while (answer := json.loads((await socket.receive()).data))["type"] != "ack":
                    pass
    assert answer == {"type": "ack", "ref": 2, "outcomes": ["accepted"]}


@asynccontextmanager
async def a_fleet_that_says(*texts: str, answer: str | None = None) -> AsyncIterator[str]:
    """A fleet controller that says what it likes, and answers set-points as it likes or not at all."""

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(timeout=0.1)
        await socket.prepare(request)
        for text in texts:
            await socket.send_str(text)
        async for _ in socket:
            if answer is not None:
                await socket.send_str(answer)
        return socket

    app = web.Application()
    app.router.add_get("/link", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    with listen_on("127.0.0.1:0") as listener:
        await web.SockSite(runner, listener).start()
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/link"
        await runner.cleanup()


@pytest.mark.parametrize(
    "answer",
    [None, "{}", '{"type": "ack", "ref": 1, "outcomes": []}', '{"type": "ack", "ref": 9, "outcomes": []}'],
    ids=["nothing", "nonsense", "too few outcomes", "another's"],
)
async def test_without_a_right_acknowledgement_a_set_point_is_unreachable(
    clock: FastClock, answer: str | None
) -> None:
    async with (
        a_fleet_that_says('{"type": "reports", "cars": []}', answer=answer) as url,
        linked(url, clock, ack_timeout_s=0.2) as link,
    ):
        async with asyncio.timeout(PATIENCE_S):
            while not link.is_up:  # noqa: ASYNC110 - what is waited for is the network
                await asyncio.sleep(0.01)
        assert list(await link.apply([a_point(clock, 3000)])) == [Outcome.UNREACHABLE]


def bad_rows(good: dict[str, object]) -> Iterator[dict[str, object]]:
    for name, value in {
        "soc": float("nan"),
        "export_w": float("inf"),
        "import_wh": -1,
        "export_wh": 1.5,
        "plugged": "yes",
        "car_id": "",
        "measured_at": "2025-01-08T17:00:00",
        "target_soc": 1.01,
        "depart_at": 1736355600,
        "true_soc": 0.5,
    }.items():
        yield good | {name: value}
    yield good | {"measured_at": utc_text(FIVE_PM + 99 * HOUR)}
    yield {name: value for name, value in good.items() if name != "export_wh"}


async def test_bad_reports_are_dropped_and_the_good_ones_beside_them_kept(clock: FastClock) -> None:
    good: dict[str, object] = {
        "car_id": "leaf-1",
        "measured_at": utc_text(FIVE_PM - MINUTE),
        "plugged": True,
        "soc": 0.5,
        "export_w": 0,
        "import_wh": 7,
        "export_wh": 0,
    }
    row = json.dumps(good)
    mixed = json.dumps({"type": "reports", "cars": [*bad_rows(good), 7, None, good | {"car_id": "leaf-2"}]})
    broken = ["", "{", "[]", '{"type": "reports"}', '{"type": "rumours"}', f'{{"cars": [{row}]}}', "null"]
    async with (
        a_fleet_that_says(*broken, mixed, f'{{"type": "reports", "cars": [{row}]}}') as url,
        linked(url, clock) as link,
    ):
        stream = link.reports()
        assert [report.car_id for report in await anext(stream)] == ["leaf-2"]
        (report,) = await anext(stream)
        assert (report.car_id, report.soc, report.import_wh, report.boost) == ("leaf-1", 0.5, 7, False)


async def test_a_clock_that_is_ahead_is_logged_once_however_many_reports_it_stamps(clock: FastClock) -> None:
    late = start_fast_clock([Pace(FIVE_PM - 12 * MINUTE, FACTOR)])
    with capture_logs() as logs:
        async with playing(two_cars(clock), clock) as url, linked(url, late) as link:
            async with asyncio.timeout(PATIENCE_S):
                await late.sleep_until(FIVE_PM - 5 * MINUTE)
            assert list(await link.apply([a_point(clock, 3000)])) == [Outcome.ACCEPTED]
    dropped = [entry for entry in logs if entry.get("reason") == "measured in the future"]
    assert len(dropped) == 1


async def test_reports_end_when_the_link_is_closed(clock: FastClock) -> None:
    async with playing(two_cars(clock), clock) as url:
        async with linked(url, clock) as link:
            await first(link)
        async with asyncio.timeout(PATIENCE_S):
            assert all([batch async for batch in link.reports()])


@contextmanager
def a_closed_port() -> Iterator[str]:
    with listen_on("127.0.0.1:0") as listener:
        address = listener.getsockname()[1]
    yield f"http://127.0.0.1:{address}"


async def test_a_fleet_that_was_never_there_is_unreachable_at_once(clock: FastClock) -> None:
    with a_closed_port() as url:
        async with linked(url, clock) as link, asyncio.timeout(0.5):
            assert list(await link.apply([a_point(clock, 3000)])) == [Outcome.UNREACHABLE]
            await link.set_fallback(charging_from(FIVE_PM))


PROGRAM = """
import sys
from datetime import timedelta
from pathlib import Path
from aggregator.clock import Pace, start_fast_clock
from dispatch.fleet_simulator import run
from tests.fakes.simulated_fleet import FIVE_PM, a_leaf
folder = Path(sys.argv[1])
clock = start_fast_clock([Pace(FIVE_PM - timedelta(minutes=1), 600)])
sys.exit(run([a_leaf()], folder / "sessions.csv", None, "127.0.0.1:0", clock, folder / "out", None, 1, 60))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_program_in_good_order(tmp_path: Path, number: signal.Signals) -> None:
    header = "car_id,plugged_in_at,plugged_out_at,energy_kwh,arrival_soc"
    row = "leaf-1,2025-01-08T16:00:00Z,2025-01-09T07:00:00Z,8,0.5"
    (tmp_path / "sessions.csv").write_text(f"{header}\n{row}\n")
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert "fleet_plays" in program.stdout.readline()
        program.send_signal(number)
        assert program.wait(timeout=PATIENCE_S) == 0
    assert (tmp_path / "out" / "truth.csv").read_text().count("\n") > 1
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["departures"] == []
