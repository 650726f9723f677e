"""The demo's day with the gateway killed twice in the middle of the dispatch: nothing lost, nothing twice."""

import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aggregator.demo import day
from aggregator.demo.result import Result
from aggregator.demo.run import (
    conclude,
    end,
    prepare,
    start,
    start_gateway,
    watch,
)
from aggregator.demo.story import Story
from aggregator.demo.timekeeper import GATEWAY, Leg, Timekeeper
from aggregator.model.opportunity import Awarded, Instructed, Received, Settled
from aggregator.store import open_store
from dispatch.controller import WORKER

from .traffic import answers, reports
from .truth import RAMP_DOWN_KWH, giving, lost, seen, told

pytestmark = pytest.mark.slow

KILL_AT = (datetime(2025, 1, 8, 17, 12, tzinfo=UTC), datetime(2025, 1, 8, 18, 20, tzinfo=UTC))
MOST_UNCONTROLLED = timedelta(seconds=120)
AWAY = timedelta(minutes=6)
"""For so long the gateway is away, however long its restart takes on this machine."""


@dataclass(frozen=True, slots=True)
class Killed:
    """A day that has ended, and when its gateway was killed."""

    out: Path
    result: Result
    killed_at: tuple[datetime, ...]


def legs() -> list[Leg]:
    evening = next(leg for leg in day.LEGS if leg.since == day.EVENING.start)
    slow = [replace(evening, since=at, factor=60.0) for at in KILL_AT]
    again = [replace(evening, since=at + AWAY) for at in KILL_AT]
    return sorted([*day.LEGS, *slow, *again], key=lambda leg: leg.since)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    stage = prepare(tmp_path_factory.mktemp("killed") / "out")
    started = time.monotonic()
    killed_at = []
    with ExitStack() as stack:
        story = Story(stack.enter_context(open_store(stage.url, create=False)), str)
        timekeeper = stack.enter_context(Timekeeper(stage.out, legs()))
        programs = start(stage, 1, stack)
        for at in KILL_AT:
            watch(programs, stage, timekeeper.clock, story, at)
            programs.gateway.kill()
            programs.gateway.wait()
            timekeeper.let_go(GATEWAY)
            killed_at.append(timekeeper.clock.now())
            timekeeper.clock.hold(WORKER, killed_at[-1] + AWAY)
            programs = replace(programs, gateway=start_gateway(stage, stack))
        watch(programs, stage, timekeeper.clock, story, day.ENDS_AT)
        end(programs)
        assert programs.gateway.returncode == 0
    return Killed(
        stage.out, conclude(stage, time.monotonic() - started, timekeeper.waited_s), tuple(killed_at)
    )


def test_every_promise_is_kept_all_the_same(killed: Killed) -> None:
    broken = {one.promise: one.breaches for one in killed.result.audit.findings if one.verdict != "kept"}
    assert broken == {}


def test_it_carried_on_and_the_dno_agrees(killed: Killed) -> None:
    assert len(killed.result.events) == 3
    for event in killed.result.events:
        assert event.dno_agrees, event
        assert event.delivered_kwh > 0, event


def test_no_event_was_taken_twice(killed: Killed) -> None:
    with open_store(f"sqlite:///{killed.out / 'flexloop.db'}", create=False) as store:
        for name in store.journal.ids():
            happened = Counter(type(recorded.fact) for recorded in store.journal.facts(name))
            assert (happened[Received], happened[Awarded], happened[Settled]) == (1, 1, 1), name
            assert happened[Instructed] == (2 if day.AMENDED_ZONE in name else 1), name


def test_the_dno_got_one_answer_per_event_and_one_content_per_report(killed: Killed) -> None:
    messages = killed.out / "dno" / "messages.jsonl"
    answered = answers(messages)
    assert len(answered) == 14  # three zones: peak, need, award, order; one amended, one cancelled
    assert {opt for opts in answered.values() for opt in opts} == {"optIn"}
    sent = reports(messages)
    assert sum(name.startswith("settlement:") for name in sent) == 3
    for report_id, contents in sent.items():
        assert len(set(contents)) == 1, report_id


def test_no_car_gave_energy_without_control(killed: Killed) -> None:
    """Until the new gateway speaks to it, a car gives nothing from 120 s after the kill on."""
    points, rows = told(f"sqlite:///{killed.out / 'flexloop.db'}"), seen(killed.out / "fleet" / "truth.csv")
    cars = day.fleet().by_id
    for at in killed.killed_at:
        names = giving(points, at)
        assert len(names) > 10
        for name in names:
            spoken_at = next((point.issued_at for point in points[name] if point.issued_at > at), day.ENDS_AT)
            charger = cars[name].charger
            for before, after, lost_kwh in lost(rows[name], at, spoken_at):
                free = max(timedelta(0), at + MOST_UNCONTROLLED - before.at)
                may_kwh = charger.discharge_kw / charger.eta_discharge * (free / timedelta(hours=1))
                assert lost_kwh <= may_kwh + RAMP_DOWN_KWH, (name, before, after)
            assert any(row.at > at + MOST_UNCONTROLLED for row in rows[name])
