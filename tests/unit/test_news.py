"""The gateway's log tells each new fact of the journal once, also one that another process recorded."""

import pytest

from aggregator.model.opportunity import Declined, Proposed, Received
from aggregator.news import News, told
from aggregator.store import open_store
from tests.builders import NOON, a_draft, a_requirement

NEED, DRAFT = Received(NOON, a_requirement()), Proposed(NOON, a_draft())


@pytest.fixture
def journal(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        yield store.journal


def append(journal, name, *facts, by="ann"):
    version = journal.opportunity(name).version
    journal.append_many(name, facts, expected_version=version, by=by, recorded_at=NOON)


def test_each_new_fact_is_read_once_and_none_from_before(journal):
    append(journal, "old", NEED)
    news = News(journal)
    assert news.read() == []
    append(journal, "old", DRAFT)
    append(journal, "new", NEED, DRAFT)
    found = [(name, one.version, type(one.fact)) for name, one in news.read()]
    assert sorted(found, key=lambda row: row[:2]) == [
        ("new", 1, Received),
        ("new", 2, Proposed),
        ("old", 2, Proposed),
    ]
    assert news.read() == []


def test_a_line_says_who_did_what_and_why(journal):
    append(journal, "bid", NEED)
    news = News(journal)
    append(journal, "bid", Declined(NOON, "too cold", "tim"), by="tim")
    ((_, recorded),) = news.read()
    assert told(recorded) == {
        "version": 2,
        "fact": "Declined",
        "by": "tim",
        "at": "2025-01-15T12:00:00Z",
        "reason": "too cold",
    }
