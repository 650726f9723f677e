from datetime import timedelta

import pytest

from aggregator.model.errors import RuleViolation
from aggregator.model.opportunity import Received
from aggregator.ports import CallKind, Opt, VenMemory
from aggregator.store import SendState, open_store
from tests.builders import (
    NOON,
    VTN,
    ZONE,
    a_peak_entry,
    a_peak_window,
    a_report,
    a_requirement,
    an_event_key,
    an_inbox_entry,
)

LATER = NOON + timedelta(minutes=1)


def peak_key(modification=0):
    return an_event_key(event_id="peak-1", modification=modification)


def test_an_event_version_is_kept_as_it_came(store):
    entry = an_inbox_entry(raw=b"\x00\xff<x/>", kind=CallKind.UNKNOWN, decision=Opt.OUT, reason="not ours")
    assert store.inbox.put(entry) == entry
    assert store.inbox.get(entry.key) == entry
    assert store.inbox.get(an_event_key(modification=1)) is None


def test_an_event_version_that_comes_twice_keeps_its_first_decision(store):
    first = store.inbox.put(an_inbox_entry())
    assert store.inbox.put(an_inbox_entry(decision=Opt.OUT, received_at=LATER)) == first
    assert store.inbox.all() == [first]


def test_an_events_place_is_that_of_its_last_accepted_version(store):
    for name in ("one", "two"):
        fact = Received(NOON, a_requirement(key=an_event_key(event_id=name)))
        store.journal.append(name, fact, expected_version=0, by="test", recorded_at=NOON)
    store.inbox.put(an_inbox_entry(key=an_event_key(modification=10), opportunity_id="two"))
    store.inbox.put(an_inbox_entry(key=an_event_key(modification=9), opportunity_id="one"))
    store.inbox.put(an_inbox_entry(key=an_event_key(modification=11), decision=Opt.OUT))
    assert store.inbox.place_of(VTN, "requirement-1") == "two"
    assert store.inbox.place_of("other", "requirement-1") is None


def test_an_event_can_not_name_an_opportunity_that_is_not_there(store):
    with pytest.raises(RuleViolation, match="no opportunity ghost"):
        store.inbox.put(an_inbox_entry(opportunity_id="ghost"))


def test_a_peak_window_holds_for_its_zones(store):
    store.inbox.put(a_peak_entry(zones=(ZONE, "WESTGATE")))
    assert store.inbox.peaks(ZONE) == [a_peak_window()]
    assert store.inbox.peaks("WESTGATE") == [a_peak_window(zone="WESTGATE")]
    assert store.inbox.peaks("NORTHGATE") == []


def test_only_the_highest_modification_of_a_peak_holds(store):
    store.inbox.put(a_peak_entry())
    amended = a_peak_window(key=peak_key(1), steps=a_peak_window().steps[:2])
    store.inbox.put(a_peak_entry(key=peak_key(1), content=amended))
    assert store.inbox.peaks(ZONE) == [amended]


def test_a_peak_window_is_known_from_when_it_was_received(store):
    store.inbox.put(a_peak_entry(received_at=NOON))
    amended = a_peak_window(key=peak_key(1), steps=a_peak_window().steps[:2])
    store.inbox.put(a_peak_entry(key=peak_key(1), content=amended, received_at=NOON + timedelta(hours=1)))
    assert store.inbox.peaks(ZONE, NOON - timedelta(seconds=1)) == []
    assert store.inbox.peaks(ZONE, NOON) == [a_peak_window()]
    assert store.inbox.peaks(ZONE, NOON + timedelta(hours=1)) == [amended]


@pytest.mark.parametrize(
    "gone",
    [
        a_peak_entry(key=peak_key(1), cancelled=True),
        a_peak_entry(key=peak_key(1), cancelled=True, content=None, kind=CallKind.UNKNOWN),
        a_peak_entry(key=peak_key(1), content=None, decision=Opt.OUT),
        a_peak_entry(key=peak_key(1), decision=Opt.OUT),
    ],
)
def test_a_peak_that_was_taken_back_or_refused_holds_no_more(store, gone):
    store.inbox.put(a_peak_entry())
    store.inbox.put(gone)
    assert store.inbox.peaks(ZONE) == []


def test_reports_wait_oldest_first_until_acknowledged(store):
    newer = a_report(report_id="a", created_at=LATER)
    for report in (newer, a_report(), a_report(report_id="z", vtn_id="other")):
        store.outbox.put(report)
    assert [entry.report for entry in store.outbox.pending(VTN)] == [a_report(), newer]
    store.outbox.mark_sent("bid-1:1", LATER)
    store.outbox.mark_sent("bid-1:1", LATER + timedelta(minutes=1))
    assert [entry.report.report_id for entry in store.outbox.pending(VTN)] == ["a"]
    assert store.outbox.get("bid-1:1").sent_at == LATER


def test_a_report_queued_twice_is_one_and_is_not_sent_again(store):
    store.outbox.put(a_report())
    store.outbox.mark_sent("bid-1:1", LATER)
    store.outbox.put(a_report())
    assert store.outbox.pending(VTN) == []
    with pytest.raises(RuleViolation, match="another report"):
        store.outbox.put(a_report(created_at=LATER))


def test_failed_attempts_are_counted_and_a_report_can_be_given_up(store):
    store.outbox.put(a_report())
    assert (store.outbox.attempts("bid-1:1"), store.outbox.attempts("never-queued")) == (0, 0)
    store.outbox.mark_attempt("bid-1:1", NOON, "timed out")
    store.outbox.mark_attempt("bid-1:1", LATER, "HTTP 500")
    entry = store.outbox.get("bid-1:1")
    assert (entry.state, entry.attempts, entry.attempted_at) == (SendState.PENDING, 2, LATER)
    assert (entry.last_error, store.outbox.attempts("bid-1:1")) == ("HTTP 500", 2)
    store.outbox.mark_dead("bid-1:1", "the gate closed")
    assert store.outbox.pending(VTN) == []
    assert store.outbox.get("bid-1:1").last_error == "the gate closed"
    assert [entry.state for entry in store.outbox.all()] == [SendState.DEAD]


def test_only_a_pending_report_changes(store):
    store.outbox.put(a_report())
    store.outbox.mark_dead("bid-1:1", "no")
    with pytest.raises(RuleViolation, match="is dead, not pending"):
        store.outbox.mark_sent("bid-1:1", LATER)
    with pytest.raises(RuleViolation, match="is dead, not pending"):
        store.outbox.mark_attempt("bid-1:1", LATER, "x")
    with pytest.raises(RuleViolation, match="report ghost is unknown"):
        store.outbox.mark_dead("ghost", "x")


def test_a_ven_remembers_across_a_restart(made_url):
    with open_store(made_url, create=False) as store:
        memory: VenMemory = store.memory
        assert memory.recall(VTN, "registration") is None
        memory.remember(VTN, "registration", "one")
        memory.remember(VTN, "registration", "two")
        memory.remember("other", "registration", "three")
    with open_store(made_url, create=False) as store:
        assert store.memory.recall(VTN, "registration") == "two"
