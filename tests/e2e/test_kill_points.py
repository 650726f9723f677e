"""The gateway killed at each point between an event's receipt and the end of its answer.

The test turns the clock: an event is published, five gateways in a row die over it, each at the next point,
and what is stored and what the platform heard must be just what that point allows. Needs and orders take
turns; the orders are under a standing contract, so that no bid must come first.
"""

import json
import os
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aggregator.demo import day
from aggregator.demo.run import Stage, prepare
from aggregator.model.time import utc_text
from aggregator.store import open_store

from .deaths import POINTS, after_answer, after_receipt, fork_until, in_transaction
from .hand_clock import hand_clock
from .processes import PATIENCE_S, fork_dno, fork_gateway, gateway_arguments, wait
from .stored import fact_versions
from .traffic import Version, answers

pytestmark = pytest.mark.slow

EVENTS = 100 if os.environ.get("FLEXLOOP_SOAK") else 2
"""Each costs five gateways their lives."""

STARTS_AT = datetime(2025, 1, 7, 0, 10, tzinfo=UTC)
MINUTE, HALF_HOUR = timedelta(minutes=1), timedelta(minutes=30)
FIRST = datetime(2025, 1, 8, 17, tzinfo=UTC)
ZONES = ("Canvey", "Hendon Way", "Wrotham")
SIGKILL = -9


def name(n: int) -> str:
    return f"{'CALL' if n % 2 else 'REQ'}-{n}"


def published_at(n: int) -> datetime:
    return STARTS_AT + (n + 1) * MINUTE


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """A folder with what is left after all deaths and a last gateway that was left in peace."""
    stage = prepared(tmp_path_factory.mktemp("points") / "out")
    hands = hand_clock(stage.out, STARTS_AT)
    with ExitStack() as stack:
        dno = fork_dno(stage, stack)
        for n in range(EVENTS):
            hands.move(published_at(n))
            for point in POINTS:
                gateway = fork_until(point, gateway_arguments(stage), stage.out / "gateway.log", stack)
                gateway.join(PATIENCE_S)
                assert gateway.exitcode == SIGKILL, (n, point.__name__)
                must_be_as_left(stage, Version(name(n), 0), point)
        gateway = fork_gateway(stage, stack)
        heard = {version: len(opts) for version, opts in heard_by(stage).items()}
        wait(lambda: all(len(opts) > heard.get(v, 0) for v, opts in heard_by(stage).items()))
        for program in (gateway, dno):
            program.terminate()
            program.join(PATIENCE_S)
            assert program.exitcode == 0
    return stage


def must_be_as_left(stage: Stage, version: Version, point: object) -> None:
    """Compare what is stored and what the platform heard with what a death at a point may leave."""
    stored = fact_versions(stage)[version]
    heard = heard_by(stage).get(version, [])
    assert stored == (0 if point in {after_receipt, in_transaction} else 1), point
    assert heard == (["optIn"] if point is after_answer else []), point


def test_no_event_is_lost_and_none_is_answered_two_ways(stage: Stage) -> None:
    heard = heard_by(stage)
    assert set(heard) == {Version(name(n), 0) for n in range(EVENTS)}
    for version, opts in heard.items():
        assert set(opts) == {"optIn"}, version
        assert len(opts) > 1, version  # the platform was told again, and the same


def test_nothing_is_done_twice(stage: Stage) -> None:
    assert fact_versions(stage) == Counter(Version(name(n), 0) for n in range(EVENTS))


def test_the_platform_counts_each_order_once(stage: Stage) -> None:
    calls = json.loads((stage.out / "dno" / "result.json").read_text())["calls"]
    assert [call["opt"] for call in calls] == [{call["id"]: "optIn"} for call in calls]
    with open_store(stage.url, create=False) as store:
        names = [one.opportunity_id for one in store.journal.find(vtn_id=day.VTN_ID)]
    assert len(names) == len(set(names)) == EVENTS


def prepared(out: Path) -> Stage:
    """Lay out the demo's folder with this test's scenario, and a standing contract."""
    stage = prepare(out)
    head = [
        f'vtn_id = "{day.VTN_ID}"',
        f'market_context = "{day.MARKET_CONTEXT}"',
        f"starts_at = {utc_text(STARTS_AT)}",
        f"ends_at = {utc_text(FIRST)}",
    ]
    (out / "scenario.toml").write_text("\n".join([*head, *map(toml, range(EVENTS))]))
    for file, said, instead in (
        ("market.toml", "standing_contract = false", "standing_contract = true"),
        ("gateway.toml", "scenarios = 20", "scenarios = 2"),
    ):
        text = (out / file).read_text()
        assert said in text
        (out / file).write_text(text.replace(said, instead))
    return stage


def toml(n: int) -> str:
    """The n-th event: a need, or an order under the standing contract."""
    start = FIRST + n // 3 * HALF_HOUR
    lines = [
        f"[[{'call' if n % 2 else 'requirement'}]]",
        f'id = "{name(n)}"',
        f'zone = "{ZONES[n % 3]}"',
        'product = "day-ahead"',
        f"start = {utc_text(start)}",
        f"end = {utc_text(start + HALF_HOUR)}",
        "kw = 10.0",
        f"publish_at = {utc_text(published_at(n))}",
    ]
    if n % 2 == 0:
        lines += ["ceiling_gbp_per_mwh = 598.0", "gate_closure_at = 2025-01-07T14:00:00Z"]
        lines += ["award_at = 2025-01-07T14:05:00Z"]
    return "\n".join(lines)


def heard_by(stage: Stage) -> dict[Version, list[str]]:
    return answers(stage.out / "dno" / "messages.jsonl")
