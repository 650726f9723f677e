import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_adapters.dno_simulator.clock import WALL_CLOCK, DomainClock, Step, read_clock
from market_adapters.dno_simulator.edge import BadFile

START = datetime(2025, 1, 7, 13, tzinfo=UTC)
HOUR = timedelta(hours=1)
CLOCK = DomainClock(
    1000.0, (Step(START, 3600.0), Step(START + 10 * HOUR, 60.0), Step(START + 11 * HOUR, 3600.0))
)


@pytest.mark.parametrize(
    ("wall_s", "hours"),
    [
        (999.0, -1.0),
        (1000.0, 0.0),
        (1005.0, 5.0),
        (1010.0, 10.0),
        (1040.0, 10.5),
        (1070.0, 11.0),
        (1071.0, 12.0),
    ],
)
def test_each_step_runs_at_its_own_pace(wall_s: float, hours: float) -> None:
    assert CLOCK.at(wall_s) == START + hours * HOUR
    assert CLOCK.wall_s(START + hours * HOUR) == pytest.approx(wall_s)


@given(st.floats(-1e5, 1e5))
def test_wall_and_domain_time_are_each_others_inverse(wall_s: float) -> None:
    assert CLOCK.wall_s(CLOCK.at(wall_s)) == pytest.approx(wall_s, abs=1e-6)


@given(st.lists(st.floats(-1e5, 1e5), min_size=2, max_size=2).map(sorted))
def test_time_never_runs_back(walls: list[float]) -> None:
    assert CLOCK.at(walls[0]) <= CLOCK.at(walls[1])


def test_without_a_file_domain_time_is_wall_time() -> None:
    assert read_clock(None) is WALL_CLOCK
    assert WALL_CLOCK.at(1.5) == datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)
    now = WALL_CLOCK.now()
    assert WALL_CLOCK.at(WALL_CLOCK.wall_s(now + HOUR)) == now + HOUR


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "clock.json"
    steps = [
        {"from": "2025-01-07T13:00:00Z", "factor": 600.0},
        {"from": "2025-01-08T14:00:00+01:00", "factor": 60},
    ]
    file.write_text(json.dumps({"wall_epoch_s": 12.0, "starts_at": "2025-01-07T13:00:00Z", "steps": steps}))
    assert read_clock(file).latest() == DomainClock(12.0, (Step(START, 600.0), Step(START + 24 * HOUR, 60.0)))


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    file = tmp_path / "clock.json"
    steps = [
        {"from": "2025-01-07T13:00:00", "factor": 0},
        {"from": "soon", "factor": float("inf"), "pace": 1},
    ]
    file.write_text(json.dumps({"wall_epoch_s": "now", "starts_at": "2025-01-07T13:00:00Z", "steps": steps}))
    with pytest.raises(BadFile) as error:
        read_clock(file)
    places = [line.split(": ")[1] for line in error.value.faults]
    assert sorted(places) == [
        "steps[0].factor",
        "steps[0].from",
        "steps[1].factor",
        "steps[1].from",
        "steps[1].pace",
        "wall_epoch_s",
    ]


def test_steps_out_of_order_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "clock.json"
    steps = [{"from": "2025-01-07T14:00:00Z", "factor": 1}, {"from": "2025-01-07T13:00:00Z", "factor": 1}]
    file.write_text(json.dumps({"wall_epoch_s": 0, "starts_at": "2025-01-07T13:00:00Z", "steps": steps}))
    with pytest.raises(BadFile) as error:
        read_clock(file)
    assert len(error.value.faults) == 2


@pytest.mark.parametrize("text", ["", "[1]", "{"])
def test_what_is_no_clock_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "clock.json"
    file.write_text(text)
    with pytest.raises(BadFile):
        read_clock(file)
    with pytest.raises(BadFile):
        read_clock(tmp_path / "missing.json")
