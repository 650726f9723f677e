"""The clock that waits: never past a hold by more than the slack, never backwards, one time for all."""

import json
import time
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.clock import Pace
from aggregator.clock_file import read_clock
from aggregator.demo.timekeeper import GATEWAY, SIMULATORS, Leg, Timekeeper
from aggregator.kept_clock import Hands, KeptClock
from aggregator.model.errors import BadMessage
from market_adapters.dno_simulator.clock import read_clock as read_clock_as_dno
from market_adapters.dno_simulator.edge import BadFile
from tests.builders import NOON

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
SLACK = 5 * SECOND
LEGS = (Leg(NOON, 36_000.0, SLACK), Leg(NOON + HOUR, 3_600_000.0, SLACK))
PATIENCE_S = 10.0


def until(shown, patience_s=PATIENCE_S):
    deadline = time.monotonic() + patience_s
    while not shown():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def everybody_lets_go(clock):
    for name in (*GATEWAY, *SIMULATORS):
        clock.hold(name, None)


def test_it_starts_when_the_last_program_is_there(tmp_path):
    with Timekeeper(tmp_path, LEGS) as keeper:
        ours, dno = read_clock(tmp_path / "clock.json"), read_clock_as_dno(tmp_path / "clock.json")
        ours.hold("dispatch", None)
        ours.hold("fleet", NOON + HOUR)
        until(lambda: keeper.waited_s > 0.05)
        assert ours.now() == dno.now() == NOON + SLACK
        dno.started()
        until(lambda: ours.now() == NOON + HOUR + SLACK)
        assert dno.now() == keeper.clock.now() == NOON + HOUR + SLACK


def test_a_worker_s_hold_keeps_every_program_back_until_it_is_there_or_gone(tmp_path):
    with Timekeeper(tmp_path, LEGS) as keeper:
        everybody_lets_go(keeper.clock)
        keeper.clock.hold("dispatch", NOON + 2 * HOUR)
        until(lambda: keeper.clock.now() == NOON + 2 * HOUR + SLACK)
        keeper.let_go(GATEWAY)
        until(lambda: keeper.clock.now() > NOON + 3 * HOUR)


async def test_a_sleeper_wakes_though_the_clock_was_held(tmp_path):
    with Timekeeper(tmp_path, LEGS) as keeper:
        everybody_lets_go(keeper.clock)
        await keeper.clock.sleep_until(NOON + HOUR / 2)
        assert keeper.clock.now() >= NOON + HOUR / 2


holds = st.none() | st.integers(-3600, 7200).map(lambda s: NOON + s * SECOND)


@given(st.lists(st.tuples(st.floats(0, 0.02), holds), max_size=30))
def test_it_never_runs_back_nor_past_a_hold_by_more_than_the_slack(tmp_path_factory, moves):
    keeper = Timekeeper(tmp_path_factory.mktemp("clock"), LEGS)
    everybody_lets_go(keeper.clock)
    for wall_s, hold in moves:
        before = keeper.clock.now()
        keeper.clock.hold("dispatch", hold)
        keeper._step(wall_s)
        after = keeper.clock.now()
        assert after >= before
        assert hold is None or after <= max(before, hold + SLACK)
        assert after - before <= timedelta(seconds=wall_s * 3_600_000)


def test_it_says_at_least_how_long_to_wait(tmp_path):
    clock = KeptClock(Hands.make(tmp_path / "hands", NOON, ()), [Pace(NOON, 60.0), Pace(NOON + HOUR, 3600.0)])
    assert clock.wall_seconds_until(NOON) == 0
    assert clock.wall_seconds_until(NOON + 2 * HOUR) == pytest.approx(60 + 1)
    assert clock.wall_seconds_until(NOON + SECOND / 1e6) > 0


@pytest.mark.parametrize(
    "change",
    [
        {"hands": "nowhere"},
        {"holders": ["dno"]},
        {"holders": None},
        {"hands": "../clock.json"},
        {"hands": ""},
    ],
    ids=str,
)
def test_hands_that_do_not_fit_are_refused(tmp_path, change):
    Timekeeper(tmp_path, LEGS)
    path = tmp_path / "clock.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BadMessage, match=r"clock\.json: hands"):
        read_clock(path)


@pytest.mark.parametrize(
    "change",
    [
        {"hands": "nowhere"},
        {"holders": []},
        {"holders": ["fleet"]},
        {"holders": [*"abcdefgh", "dno"]},
        {"wall_epoch_s": 1.0},
        {"hands": None},
    ],
    ids=str,
)
def test_the_dno_refuses_hands_that_do_not_fit(tmp_path, change):
    Timekeeper(tmp_path, LEGS)
    path = tmp_path / "clock.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BadFile, match=r"clock\.json"):
        read_clock_as_dno(path)
