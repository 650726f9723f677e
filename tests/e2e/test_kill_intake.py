"""The gateway killed again and again while events come in: each answer has its one fact, none comes twice.

The test turns the clock, and the DNO publishes needs, then awards and orders; each kill falls into the
moments after a delivery, before or after the answer. Gateways are forked from a server that has everything
imported, so that a new one is there within a second.
"""

import random
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from aggregator.audit import run_audit
from aggregator.audit.evidence import Evidence
from aggregator.audit.messages import event_key, p7_approval, p8_durable
from aggregator.config import read_settings
from aggregator.demo import day
from aggregator.demo.run import Stage, prepare
from aggregator.kept_clock import Hands
from aggregator.model.time import utc_text
from aggregator.store import open_store

from .hand_clock import hand_clock
from .processes import PATIENCE_S, fork_dno, fork_gateway, wait
from .stored import fact_versions, unheard_ends
from .traffic import Version, answered_at, answers, delivered, reports

pytestmark = pytest.mark.slow

STARTS_AT = datetime(2025, 1, 7, 13, 30, tzinfo=UTC)
LONGEST_LIFE_S = 0.6
"""A gateway is killed at most this long after a delivery; half of them within a tenth of it."""

GATE_AT = STARTS_AT + timedelta(minutes=30)
AWARDED_AT = GATE_AT + timedelta(minutes=1)
ORDERED_AT = GATE_AT + timedelta(minutes=3)
AMENDED_AT = GATE_AT + timedelta(minutes=5)
CANCELLED_AT = GATE_AT + timedelta(minutes=7)
ORDER_TIMES = sorted(2 * (AWARDED_AT, ORDERED_AT, AMENDED_AT, CANCELLED_AT))
ENDS_AT = STARTS_AT + timedelta(hours=6)
ZONES = ("Canvey", "Hendon Way", "Wrotham")
FIRST = datetime(2025, 1, 8, 17, tzinfo=UTC)
HALF_HOUR = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Need:
    """A need of one half-hour, and how its order fares."""

    name: str
    zone: str
    start: datetime
    publish_at: datetime
    amended: bool
    cancelled: bool

    def toml(self) -> str:
        lines = [
            "[[requirement]]",
            f'id = "{self.name}"',
            f'zone = "{self.zone}"',
            'product = "day-ahead"',
            f"start = {utc_text(self.start)}",
            f"end = {utc_text(self.start + HALF_HOUR)}",
            "kw = 10.0",
            "ceiling_gbp_per_mwh = 598.0",
            f"publish_at = {utc_text(self.publish_at)}",
            f"gate_closure_at = {utc_text(GATE_AT)}",
            f"award_at = {utc_text(AWARDED_AT)}",
            f"dispatch_at = {utc_text(ORDERED_AT)}",
        ]
        lines += [f"cancel_at = {utc_text(CANCELLED_AT)}"] if self.cancelled else []
        lines += (
            ["[[requirement.amend]]", f"at = {utc_text(AMENDED_AT)}", "scale = 0.5"] if self.amended else []
        )
        return "\n".join(lines)


NEEDS = tuple(
    Need(
        f"REQ-{n}",
        ZONES[n % 3],
        FIRST + n // 3 * HALF_HOUR,
        STARTS_AT + timedelta(minutes=1 + n),
        amended=n % 2 == 0,
        cancelled=n % 3 == 0,
    )
    for n in range(9)
)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """A folder with all that is left after many kills and a last run that was left in peace."""
    stage = _prepared(tmp_path_factory.mktemp("intake") / "out")
    hands = hand_clock(stage.out, STARTS_AT)
    chance = random.Random(10)
    with ExitStack() as stack:
        dno = fork_dno(stage, stack)
        _kill_often(stage, chance, hands, (need.publish_at for need in NEEDS[1:]), stack)
        gateway = _served(stage, stack)
        wait(lambda: {need.name for need in NEEDS if need.start == FIRST} <= _bid_for(stage))
        wait(lambda: not _unanswered(stage))  # before the gate closes
        hands.move(AWARDED_AT)
        wait(lambda: any(version.event_id.startswith("AWD-") for version in _delivered_last(stage)))
        gateway.kill()
        gateway.join()
        _kill_often(stage, chance, hands, ORDER_TIMES, stack)
        gateway = _served(stage, stack)
        wait(lambda: Version("DSP-REQ-0", 2) in _delivered_last(stage) and not _unanswered(stage))
        for program in (gateway, dno):
            program.terminate()
            program.join(PATIENCE_S)
            assert program.exitcode == 0
    return stage


def test_every_event_was_answered_and_always_the_same(stage: Stage) -> None:
    answered = _answered(stage)
    assert {need.name for need in NEEDS} <= {version.event_id for version in answered}
    assert any(version.event_id.startswith("DSP-") and version.modification for version in answered)
    assert not _unanswered(stage)
    for version, opts in answered.items():
        assert set(opts) == {"optIn"}, version


def test_every_answer_has_exactly_one_fact(stage: Stage) -> None:
    """But for an order that was taken back before a gateway heard of it: of that there is a note."""
    facts, took = fact_versions(stage), _answered(stage).keys() - unheard_ends(stage)
    assert {version: facts[version] for version in took} == dict.fromkeys(took, 1)
    assert set(facts.values()) == {1}
    assert len(took) > len(_answered(stage)) / 2


def test_the_fact_was_there_before_the_answer_left(stage: Stage) -> None:
    with open_store(stage.url, create=False) as store:
        recorded_at = {
            Version(key.event_id, key.modification): recorded.recorded_at
            for _, recorded in store.journal.all_facts()
            if (key := event_key(recorded.fact)) is not None
        }
    unheard = unheard_ends(stage)
    for version, at in answered_at(stage.out / "dno" / "messages.jsonl").items():
        assert version in unheard or recorded_at[version] <= at, version


def test_each_bid_has_one_content(stage: Stage) -> None:
    sent = reports(stage.out / "dno" / "messages.jsonl")
    bids = [name for name in sent if name.startswith("DSO-Demo:REQ-")]
    assert bids
    for name in bids:
        assert len(set(sent[name])) == 1, name
        assert name.endswith(":1"), name


def test_the_audit_finds_facts_and_approvals_in_order(stage: Stage) -> None:
    settings = read_settings(stage.out / "gateway.toml", stage.url)
    with open_store(stage.url, create=False) as store:
        audit = run_audit(Evidence(store, settings), [p7_approval, p8_durable])
    assert {one.promise: one.breaches for one in audit.findings if one.breaches} == {}
    assert audit.kept


def _prepared(out: Path) -> Stage:
    """Lay out the demo's folder with this test's scenario and market rules instead."""
    stage = prepare(out)
    head = [
        f'vtn_id = "{day.VTN_ID}"',
        f'market_context = "{day.MARKET_CONTEXT}"',
        f"starts_at = {utc_text(STARTS_AT)}",
        f"ends_at = {utc_text(ENDS_AT)}",
    ]
    (out / "scenario.toml").write_text("\n".join([*head, *(need.toml() for need in NEEDS)]))
    for name, said, instead in (
        ("market.toml", 'gate_local = "14:00"', f'gate_local = "{GATE_AT:%H:%M}"'),
        ("gateway.toml", "scenarios = 20", "scenarios = 2"),
    ):
        text = (out / name).read_text()
        assert said in text
        (out / name).write_text(text.replace(said, instead))
    return stage


def _kill_often(
    stage: Stage, chance: random.Random, hands: Hands, times: Iterable[datetime], stack: ExitStack
) -> None:
    """Kill a gateway at each of the times, a moment after events were handed to it."""
    for n, at in enumerate(times):
        hands.move(at)
        gateway = _served(stage, stack)
        time.sleep(chance.uniform(0, LONGEST_LIFE_S) * (0.1 if n % 2 else 1.0))
        gateway.kill()
        gateway.join()


def _served(stage: Stage, stack: ExitStack) -> ForkServerProcess:
    """Start a gateway and return once events were handed to it."""
    before = len(delivered(stage.out / "dno" / "messages.jsonl"))
    gateway = fork_gateway(stage, stack)
    wait(lambda: len(delivered(stage.out / "dno" / "messages.jsonl")) > before)
    return gateway


def _bid_for(stage: Stage) -> set[str]:
    """Return the needs that a bid came for."""
    names = (name.split(":") for name in reports(stage.out / "dno" / "messages.jsonl"))
    return {parts[1] for parts in names if parts[0] == day.VTN_ID}


def _delivered_last(stage: Stage) -> frozenset[Version]:
    deliveries = delivered(stage.out / "dno" / "messages.jsonl")
    return deliveries[-1] if deliveries else frozenset()


def _answered(stage: Stage) -> dict[Version, list[str]]:
    return answers(stage.out / "dno" / "messages.jsonl")


def _unanswered(stage: Stage) -> set[Version]:
    """Return the event versions that were handed out, were not replaced, and have no answer."""
    latest: dict[str, Version] = {}
    for versions in delivered(stage.out / "dno" / "messages.jsonl"):
        latest |= {version.event_id: version for version in versions}
    return set(latest.values()) - set(_answered(stage))
