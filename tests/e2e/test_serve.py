"""How ``flexloop serve`` ends: asked to, or because a worker crashed; either way it lets go of every car."""

import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from aggregator.clock import Pace, start_fast_clock
from aggregator.demo import day
from aggregator.demo.run import Stage, prepare
from aggregator.model.metering import Purpose, SetPoint
from aggregator.model.time import HALF_HOUR, floor_half_hour

from .processes import PATIENCE_S, fork, fork_gateway, wait
from .truth import RAMP_DOWN_KWH, Seen, giving, lost, seen, told

pytestmark = pytest.mark.slow

STARTS_AT = datetime(2025, 1, 8, 17, 24, tzinfo=UTC)
"""Within the evening's dear hours, when many cars give energy by their own plan."""

FACTOR = 30.0
"""Set-points of 120 s end after four wall seconds: a gateway that lets go of its cars is gone by then."""
MINUTE = timedelta(minutes=1)
LEAST_GIVING = 10


@dataclass(frozen=True, slots=True)
class Ended:
    """A gateway that has ended while cars were giving energy; the fleet played on for a while.

    Attributes:
        giving: The cars that were giving energy when it was asked to end.
        asked_at: When that was, in domain time.
        ended_at: When its process was gone.
        followed_until: Until when the fleet was followed, without a gateway.
    """

    code: int | None
    stage: Stage
    giving: list[str]
    asked_at: datetime
    ended_at: datetime
    followed_until: datetime

    @property
    def seen(self) -> dict[str, list[Seen]]:
        return seen(self.stage.out / "fleet" / "truth.csv")

    @property
    def told(self) -> dict[str, list[SetPoint]]:
        return told(self.stage.url)


@pytest.fixture
def end_by(tmp_path: Path) -> Callable[[Callable[[ForkServerProcess, Stage], object]], Ended]:
    """Play until cars give energy, end the gateway in the way given, and follow the fleet for a while."""

    def play(end: Callable[[ForkServerProcess, Stage], object]) -> Ended:
        stage = prepare(tmp_path / "out")
        clock = start_fast_clock([Pace(STARTS_AT, FACTOR)])
        (stage.out / "clock.json").write_text(clock.to_json())
        with ExitStack() as stack:
            fleet = _start_fleet(stage, stack)
            gateway = fork_gateway(stage, stack)
            wait(lambda: len(giving(told(stage.url), clock.now())) >= LEAST_GIVING)
            names, asked_at = giving(told(stage.url), clock.now()), clock.now()
            end(gateway, stage)
            gateway.join(PATIENCE_S)
            ended_at = clock.now()
            followed_until = floor_half_hour(ended_at) + HALF_HOUR
            wait(lambda: clock.now() > followed_until + MINUTE, 2 * PATIENCE_S)  # a half-hour takes 60 s
            _stop(fleet)
        return Ended(gateway.exitcode, stage, names, asked_at, ended_at, followed_until)

    return play


def test_sigterm_ends_it_with_0_and_every_car_released(
    end_by: Callable[[Callable[[ForkServerProcess, Stage], object]], Ended],
) -> None:
    ended = end_by(lambda gateway, _: gateway.terminate())
    assert ended.code == 0
    _must_have_been_released(ended)
    _must_be_at_rest(ended)


@pytest.mark.parametrize("table", ["set_points", "facts"], ids=["the recorder", "the clockwork"])
def test_a_worker_that_crashes_ends_it_with_1_and_every_car_released(
    end_by: Callable[[Callable[[ForkServerProcess, Stage], object]], Ended], table: str
) -> None:
    ended = end_by(lambda _, stage: _drop(stage, table))
    assert ended.code == 1
    assert f"no such table: {table}" in (ended.stage.out / "gateway.log").read_text()
    if table != "set_points":
        _must_have_been_released(ended)
    _must_be_at_rest(ended)


def _must_have_been_released(ended: Ended) -> None:
    last = {name: points[-1] for name, points in ended.told.items()}
    assert {last[name].purpose for name in ended.giving} == {Purpose.RELEASE}
    for name, point in last.items():
        assert point.purpose is Purpose.RELEASE or point.expires_at <= ended.ended_at, name


def _must_be_at_rest(ended: Ended) -> None:
    """Fail where a car gave energy after the gateway was gone: released means at once, not in two minutes."""
    rows = ended.seen
    followed = {name: list(lost(rows[name], ended.ended_at, ended.followed_until)) for name in ended.giving}
    stayed = [name for name, after_end in followed.items() if after_end]  # the others left meanwhile
    assert len(stayed) >= LEAST_GIVING // 2
    for name in stayed:
        for before, after, lost_kwh in followed[name]:
            assert lost_kwh <= RAMP_DOWN_KWH, (name, before, after)


def _drop(stage: Stage, table: str) -> None:
    with closing(sqlite3.connect(stage.out / "flexloop.db", timeout=10)) as database, database:
        database.execute(f"DROP TABLE {table}")


def _start_fleet(stage: Stage, stack: ExitStack) -> ForkServerProcess:
    arguments = [
        *("--clock", str(stage.out / "clock.json"), "simulate", "fleet"),
        *("--fleet", str(day.DATA / "fleet.csv"), "--sessions", str(day.DATA / "sessions.csv")),
        *("--out", str(stage.out / "fleet"), "--listen", f"127.0.0.1:{stage.link_port}"),
        *("--interval-s", str(day.REPORTING_S)),
    ]
    return fork(arguments, stage.out / "fleet.log", stack)


def _stop(fleet: ForkServerProcess) -> None:
    fleet.terminate()
    fleet.join(PATIENCE_S)
    assert fleet.exitcode == 0
