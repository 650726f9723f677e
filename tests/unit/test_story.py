"""The demo's story: in order, never backwards, and readable whatever the number of alarms."""

from datetime import timedelta

import pytest

from aggregator.demo import day
from aggregator.demo.story import Story
from aggregator.model.opportunity import Approved, Proposed, Received, Submitted
from aggregator.store import Alarm, open_store
from tests.builders import a_draft, a_requirement

AT = day.STARTS_AT
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
DRAFT = a_draft()


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        yield store


@pytest.fixture
def lines():
    return []


@pytest.fixture
def story(store, lines):
    return Story(store, lines.append)


def append(store, fact, recorded_at):
    version = store.journal.opportunity("a:ZONE").version
    store.journal.append("a:ZONE", fact, expected_version=version, by="x", recorded_at=recorded_at)


def test_facts_keep_the_journals_order_and_time_never_runs_backwards(store, story, lines):
    append(store, Received(AT, a_requirement()), AT + 2 * SECOND)
    append(store, Proposed(AT, DRAFT), AT + 9 * SECOND)
    append(store, Approved(AT, DRAFT.digest, "ann"), AT + 8 * SECOND)
    story.tell_news(AT + MINUTE)
    append(store, Submitted(AT, "r"), AT + 5 * SECOND)
    story.tell_news(AT + 2 * MINUTE)
    assert [line.split("  ")[1].split(" ")[1] for line in lines] == ["the", "draft", "approved", "bid"]
    times = [line.split("  ")[0] for line in lines]
    assert times == sorted(times)
    assert times[-1] == times[-2]


def test_alarms_are_one_line_a_quarter_of_an_hour(store, story, lines):
    for n in range(1, 8):
        store.alarms.raise_(Alarm(AT + n * MINUTE, "short_of_target", f"leaf-{n}", "will miss its target"))
    store.alarms.raise_(Alarm(AT + 8 * MINUTE, "not_taken", "leaf-1, leaf-2", "2 set-points were not taken"))
    store.alarms.raise_(Alarm(AT + 16 * MINUTE, "not_taken", "leaf-9", "a set-point was not taken"))
    story.tell_news(AT + 14 * MINUTE)
    assert lines == []
    story.tell_news(AT + 17 * MINUTE)
    assert lines == [
        "Tue 13:45:00  alarms: 7 short of their target at full power"
        " (leaf-1, leaf-2, leaf-3, ...); 2 without their set-point (leaf-1, leaf-2)"
    ]
    store.alarms.raise_(
        Alarm(AT + 14 * MINUTE, "not_taken", "leaf-8", "told late: a line of the next quarter")
    )
    story.tell_news(AT + 18 * MINUTE)
    assert len(lines) == 1
    story.tell_news(AT + 31 * MINUTE)
    assert lines[1:] == ["Tue 14:00:00  alarms: 2 without their set-point (leaf-9, leaf-8)"]


def test_an_alarm_by_itself_is_told_in_full(store, story, lines):
    store.alarms.raise_(Alarm(AT, "short_of_target", "leaf-1", "will miss its target by 0.42 kWh"))
    story.tell_news(AT + 15 * MINUTE)
    assert lines == ["Tue 13:45:00  alarm: leaf-1: will miss its target by 0.42 kWh"]
