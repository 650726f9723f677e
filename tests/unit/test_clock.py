import json
import time
from datetime import timedelta

import pytest

from aggregator.cli import run
from aggregator.clock import FastClock, Pace, RealClock
from aggregator.clock_file import read_clock
from aggregator.model.errors import BadMessage
from aggregator.model.time import parse_instant, utc_text
from market_adapters.dno_simulator.clock import read_clock as dno_clock
from tests.builders import EVENING, NOON

PACES = (Pace(NOON, 600.0), Pace(EVENING.start, 60.0))
SLOW_FROM_S = 5 * 3600 / 600


def a_clock(began_s_ago):
    return FastClock(time.time() - began_s_ago, PACES)


def test_a_real_clock_is_aware_and_goes_on():
    clock = RealClock()
    now = clock.now()
    assert now.utcoffset().total_seconds() == 0
    assert clock.wall_seconds_until(now) == 0


@pytest.mark.parametrize(
    ("began_s_ago", "domain_s"), [(1, 600), (SLOW_FROM_S, 5 * 3600), (SLOW_FROM_S + 10, 5 * 3600 + 600)]
)
def test_a_fast_clock_runs_at_the_pace_in_force(began_s_ago, domain_s):
    shown = a_clock(began_s_ago).now() - NOON
    assert shown.total_seconds() == pytest.approx(domain_s, abs=300)


def test_a_fast_clock_knows_the_wall_seconds_to_any_instant():
    clock = a_clock(0)
    assert clock.wall_seconds_until(EVENING.start) == pytest.approx(SLOW_FROM_S, abs=0.5)
    assert clock.wall_seconds_until(EVENING.end) == pytest.approx(SLOW_FROM_S + 120, abs=0.5)
    assert clock.wall_seconds_until(NOON) == 0


async def test_a_sleeper_wakes_when_the_domain_shows_the_instant():
    clock = a_clock(SLOW_FROM_S - 0.05)
    await clock.sleep_until(EVENING.start)
    assert clock.now() >= EVENING.start


def test_a_clock_file_says_the_same_to_every_process(tmp_path):
    path = tmp_path / "clock.json"
    path.write_text(a_clock(3).to_json())
    one, other = read_clock(path), read_clock(path)
    assert abs((one.now() - other.now()).total_seconds()) < 60
    assert one.to_json() == other.to_json() == path.read_text()
    assert isinstance(read_clock(None), RealClock)


GOOD = {"wall_epoch_s": 1.0, "steps": [{"from": "2025-01-15T12:00:00Z", "factor": 60}]}


@pytest.mark.parametrize(
    "change",
    [
        {"steps": []},
        {"steps": None},
        {"steps": [{"from": "2025-01-15T12:00:00", "factor": 60}]},
        {"steps": [{"from": "2025-01-15T12:00:00Z", "factor": 0}]},
        {"steps": [{"from": "2025-01-15T12:00:00Z", "factor": float("nan")}]},
        {"steps": [{"from": "2025-01-15T12:00:00Z", "factor": float("inf")}]},
        {"steps": [*GOOD["steps"], {"from": "2025-01-15T11:00:00Z", "factor": 1}]},
        {"wall_epoch_s": "soon"},
        {"wall_epoch_s": float("nan")},
    ],
    ids=str,
)
def test_a_wrong_clock_file_is_refused(tmp_path, change):
    path = tmp_path / "clock.json"
    path.write_text(json.dumps(GOOD | change))
    with pytest.raises(BadMessage, match=r"clock\.json"):
        read_clock(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '"12:00"'])
def test_a_file_that_is_no_clock_is_refused(tmp_path, text):
    path = tmp_path / "clock.json"
    path.write_text(text)
    with pytest.raises(BadMessage, match=r"clock\.json"):
        read_clock(path)


def test_a_missing_clock_file_is_refused(tmp_path):
    with pytest.raises(BadMessage, match=r"none\.json"):
        read_clock(tmp_path / "none.json")


def test_the_paces_are_read_as_written(tmp_path):
    path = tmp_path / "clock.json"
    path.write_text(json.dumps(GOOD))
    assert parse_instant(json.loads(read_clock(path).to_json())["starts_at"]) == NOON


class Wall:
    """The machine's clock, set by hand."""

    def __init__(self, monkeypatch):
        self.shown = 1_000_000.0
        monkeypatch.setattr(time, "time", lambda: self.shown)


@pytest.mark.parametrize("factor", [0.5, 10.0, 600.0])
def test_every_program_follows_a_new_pace_at_once_and_without_a_jump(tmp_path, monkeypatch, capsys, factor):
    wall, path = Wall(monkeypatch), tmp_path / "clock.json"
    path.write_text(FastClock(wall.shown, [Pace(NOON, 60.0)]).to_json())
    wall.shown += 100.0
    gateway, dno = read_clock(path), dno_clock(path)
    assert run(["--clock", str(path), "simulate", "clock", "--factor", str(factor)]) == 0
    assert f"{factor:g} times real time" in capsys.readouterr().out
    for seconds in (0.0, 1.0, 1.999, 2.001, 3.0, 3600.0):
        wall.shown = 1_000_100.0 + seconds
        shown = 60.0 * min(102.0, 100.0 + seconds) + factor * max(0.0, seconds - 2.0)
        for clock in (gateway, dno):
            assert (clock.now() - NOON).total_seconds() == pytest.approx(shown, abs=1e-3)
    assert run(["--clock", str(path), "simulate", "clock", "--factor", "60"]) == 0
    assert len(json.loads(path.read_text())["steps"]) == 3
    assert gateway.wall_seconds_until(EVENING.end) <= 0.5  # then it looks again


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--factor", "5"], 1, "keeps its pace: it begins in 50 s"),
        (["--factor", "-1"], 2, "--factor: '-1' is not allowed"),
        (["--starts-at", "2025-01-07T13:30:00Z"], 2, "--starts-at, --out: '(missing)'"),
    ],
)
def test_a_pace_that_cannot_be_changed_is_refused(tmp_path, monkeypatch, capsys, arguments, code, said):
    wall, path = Wall(monkeypatch), tmp_path / "clock.json"
    text = FastClock(wall.shown + 50.0, [Pace(NOON, 60.0)]).to_json()
    path.write_text(text)
    assert run(["--clock", str(path), "simulate", "clock", *arguments]) == code
    assert said in capsys.readouterr().err
    assert path.read_text() == text


def test_a_new_pace_may_hold_until_an_instant(tmp_path, monkeypatch, capsys):
    wall, path = Wall(monkeypatch), tmp_path / "clock.json"
    path.write_text(FastClock(wall.shown, [Pace(NOON, 60.0)]).to_json())
    wall.shown += 100.0
    clocks = read_clock(path), dno_clock(path)
    faster = ["--clock", str(path), "simulate", "clock", "--factor", "600", "--until"]
    assert run([*faster, utc_text(NOON)]) == 1
    assert "shows 2025-01-15T12:00:00Z before that" in capsys.readouterr().err
    assert run([*faster, utc_text(NOON + timedelta(seconds=60 * 102 + 6000))]) == 0
    for seconds, shown in ((2.0, 6120.0), (12.0, 12120.0), (22.0, 12720.0)):
        wall.shown = 1_000_100.0 + seconds
        for clock in clocks:
            assert (clock.now() - NOON).total_seconds() == pytest.approx(shown, abs=1e-3)


def test_a_clock_file_that_breaks_meanwhile_leaves_the_pace_as_it_is(tmp_path, monkeypatch):
    wall, path = Wall(monkeypatch), tmp_path / "clock.json"
    path.write_text(FastClock(wall.shown, [Pace(NOON, 60.0)]).to_json())
    clocks = read_clock(path), dno_clock(path)
    path.write_text("{")
    wall.shown += 10.0
    assert {(clock.now() - NOON).total_seconds() for clock in clocks} == {600.0}
