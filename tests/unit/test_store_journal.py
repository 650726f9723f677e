import threading
from datetime import timedelta

import pytest

from aggregator.model.errors import RuleViolation
from aggregator.model.opportunity import (
    Declined,
    Fact,
    GateClosed,
    Instructed,
    Opportunity,
    Proposed,
    Received,
    Settled,
    Stage,
)
from aggregator.model.time import Interval
from aggregator.store import StoredStatement
from tests.builders import (
    EVENING,
    NOON,
    PRODUCT,
    VTN,
    ZONE,
    a_draft,
    a_report,
    a_requirement,
    an_event_key,
    an_inbox_entry,
    an_instruction,
    some_steps,
)

HOUR = timedelta(hours=1)


def append(store, name: str, *facts: Fact, at_version: int, **more) -> Opportunity:
    return store.journal.append_many(
        name, facts, expected_version=at_version, by="ann", recorded_at=NOON, **more
    )


def receive(store, name="opportunity-1", **changes) -> Opportunity:
    return append(store, name, Received(NOON, a_requirement(**changes)), at_version=0)


def test_an_opportunity_nobody_heard_of_is_new(store):
    assert store.journal.opportunity("x") == Opportunity("x")
    assert store.journal.facts("x") == []


def test_a_fact_is_kept_with_who_and_when(store):
    receive(store)
    later = NOON + timedelta(minutes=5)
    proposed = store.journal.append(
        "opportunity-1", Proposed(NOON, a_draft()), expected_version=1, by="model", recorded_at=later
    )
    assert store.journal.facts("opportunity-1") == [
        (1, Received(NOON, a_requirement()), "ann", NOON),
        (2, Proposed(NOON, a_draft()), "model", later),
    ]
    assert store.journal.opportunity("opportunity-1") == proposed


def test_facts_that_are_not_all_allowed_change_nothing(store):
    receive(store)
    with pytest.raises(RuleViolation, match="Settled is not allowed when IN_REVIEW"):
        append(store, "opportunity-1", Proposed(NOON, a_draft()), Settled(NOON, 1, "d", "0"), at_version=1)
    assert store.journal.opportunity("opportunity-1").version == 1


def test_a_stale_version_is_refused_and_both_are_named(store):
    receive(store)
    append(store, "opportunity-1", Proposed(NOON, a_draft()), at_version=1)
    with pytest.raises(RuleViolation, match="opportunity-1 is at version 2, not 1"):
        append(store, "opportunity-1", Declined(NOON, "no", "bob"), at_version=1)


def test_two_who_act_at_once_make_one_row_and_one_refusal(store):
    receive(store)
    together = threading.Barrier(2)
    refused: list[str] = []

    def decline(who: str) -> None:
        together.wait()
        try:
            append(store, "opportunity-1", Declined(NOON, "too cold", who), at_version=1)
        except RuleViolation as violation:
            refused.append(str(violation))

    threads = [threading.Thread(target=decline, args=(who,)) for who in ("ann", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == ["opportunity-1 is at version 2, not 1: it changed after it was read"]
    assert len(store.journal.facts("opportunity-1")) == 2


def test_two_who_begin_the_same_opportunity_make_one(store):
    receive(store)
    with pytest.raises(RuleViolation, match="at version 1, not 0"):
        receive(store)


def test_the_event_and_the_reports_are_stored_with_the_fact(store):
    append(
        store,
        "opportunity-1",
        Received(NOON, a_requirement()),
        at_version=0,
        inbox=an_inbox_entry(),
        reports=[a_report()],
    )
    assert store.inbox.get(an_event_key()) == an_inbox_entry(opportunity_id="opportunity-1")
    assert [entry.report for entry in store.outbox.pending(VTN)] == [a_report()]


def test_an_event_version_is_decided_once(store):
    append(store, "one", Received(NOON, a_requirement()), at_version=0, inbox=an_inbox_entry())
    with pytest.raises(RuleViolation, match="event requirement-1 modification 0 of dno was decided before"):
        append(store, "two", Received(NOON, a_requirement()), at_version=0, inbox=an_inbox_entry())
    assert store.journal.ids() == ("one",)


def test_an_event_about_another_opportunity_is_refused(store):
    with pytest.raises(RuleViolation, match="is about two, not one"):
        append(
            store,
            "one",
            Received(NOON, a_requirement()),
            at_version=0,
            inbox=an_inbox_entry(opportunity_id="two"),
        )
    assert store.journal.ids() == ()


def test_a_report_that_clashes_takes_the_fact_back(store):
    store.outbox.put(a_report())
    with pytest.raises(RuleViolation, match="another report was already queued as bid-1:1"):
        append(
            store,
            "one",
            Received(NOON, a_requirement()),
            at_version=0,
            inbox=an_inbox_entry(),
            reports=[a_report(rows=())],
        )
    assert store.journal.ids() == ()
    assert store.inbox.all() == []


def test_a_statement_is_stored_with_its_fact_or_not_at_all(store):
    orphan = StoredStatement("one", 2, "late readings", "d2", b"2")
    with pytest.raises(RuleViolation, match="version 2 does not follow version 0"):
        append(store, "one", Received(NOON, a_requirement()), at_version=0, statement=orphan)
    first = StoredStatement("one", 1, "first settlement", "d1", b"1")
    append(store, "one", Received(NOON, a_requirement()), at_version=0, statement=first)
    assert store.statements.latest("one") == first


def test_a_fact_of_no_zone_in_time_is_no_fact(store):
    with pytest.raises(ValueError, match="has no time zone"):
        append(store, "one", Received(NOON.replace(tzinfo=None), a_requirement()), at_version=0)
    assert store.journal.ids() == ()


def test_opportunities_are_found_by_what_is_known_of_them(store):
    receive(store, "early", key=an_event_key(event_id="e-1"))
    tomorrow = Interval(EVENING.start + 24 * HOUR, EVENING.end + 24 * HOUR)
    receive(store, "late", key=an_event_key(event_id="e-2"), window=tomorrow, zone="WESTGATE")
    append(store, "late", GateClosed(NOON), at_version=1)
    find = store.journal.find

    def names(**wanted):
        return [found.opportunity_id for found in find(**wanted)]

    assert names() == ["early", "late"]
    assert names(vtn_id=VTN, event_id="e-2") == ["late"]
    assert names(zone=ZONE, product=PRODUCT) == ["early"]
    assert names(product="other") == []
    assert names(stages=[Stage.CLOSED, Stage.SETTLED]) == ["late"]
    assert names(stages=[]) == []
    assert names(overlapping=tomorrow) == ["late"]
    assert names(overlapping=Interval(EVENING.end, tomorrow.start)) == []
    assert find(event_id="e-1") == [store.journal.opportunity("early")]


def test_an_order_under_a_standing_contract_is_found_by_its_own_event_and_whole_span(store):
    order = an_instruction(steps=some_steps(30))
    append(store, "call", Instructed(NOON, order), at_version=0)
    amended = an_instruction(key=an_event_key(event_id="dispatch-1", modification=1))
    append(store, "call", Instructed(NOON, amended), at_version=1)
    last_half_hour = Interval(EVENING.end - HOUR / 2, EVENING.end)
    found = store.journal.find(event_id="dispatch-1", overlapping=last_half_hour)
    assert [one.instruction for one in found] == [amended]


def test_all_facts_come_whole_and_in_order(store):
    for name in ("b", "a"):
        receive(store, name)
        append(store, name, Proposed(NOON, a_draft()), at_version=1)
    seen = [(name, recorded.version) for name, recorded in store.journal.all_facts()]
    assert seen == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]


def test_appends_go_on_while_all_facts_are_read_and_do_not_show(store):
    receive(store, "a")
    walk = store.journal.all_facts()
    assert next(walk)[0] == "a"
    receive(store, "b")
    assert list(walk) == []
