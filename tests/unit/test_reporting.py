"""What is owed to a platform, by request: queued once, in order, over restarts and outages."""

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest

from aggregator.model.time import HALF_HOUR, Interval
from aggregator.ports import NO_TIME, ReportRequest
from aggregator.reporting import KEPT, MOST_WAITING, Reporting
from aggregator.store import SendState, open_store
from tests.builders import EVENING, VTN, ZONE, a_fleet, a_nomination, a_reading

START = EVENING.start
MINUTE = timedelta(minutes=1)
LAG = 2 * MINUTE
ASKED = START + timedelta(seconds=90)


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        store.readings.add(
            a_reading(charger_id=f"charger-{n}", measured_at=START + minute * MINUTE, export_wh=minute * 100)
            for n in (1, 2)
            for minute in range(-60, 121)
        )
        yield store


def a_request(request_id="RR-1", specifier="telemetry", back=5 * MINUTE, **changes):
    request = ReportRequest(VTN, request_id, specifier, MINUTE, back, ASKED)
    return replace(request, **changes)


def reporting_on(store, *requests):
    reporting = Reporting(store, a_fleet(2), [ZONE], LAG)
    for request in requests:
        reporting.note(request)
    return reporting


def queued(store, request_id="RR-1", what="export_kwh"):
    return [
        row.interval
        for entry in store.outbox.all()
        if entry.report.request_id == request_id
        for row in entry.report.rows
        if row.r_id == f"{ZONE}/{what}"
    ]


def minutes(first, last):
    return [Interval(START + n * MINUTE, START + (n + 1) * MINUTE) for n in range(first, last)]


def test_a_periodic_request_is_told_every_interval_once(store):
    reporting = reporting_on(store, a_request())
    for minute in range(30):
        reporting.queue_due(START + minute * MINUTE)
    assert queued(store) == minutes(-5, 25)
    assert all(len(entry.report.rows) == 10 for entry in store.outbox.all())


def test_a_restart_loses_no_interval_and_tells_none_twice(store):
    reporting_on(store, a_request()).queue_due(START + 8 * MINUTE)
    reporting_on(store, a_request()).queue_due(START + 47 * MINUTE)
    assert queued(store) == minutes(-5, 45)


def test_a_restart_before_the_first_report_begins_where_it_was_asked_for(store):
    hourly = a_request(back=timedelta(hours=1))
    reporting_on(store, hourly).queue_due(START)
    reporting_on(store, hourly).queue_due(START + timedelta(hours=2, minutes=5))
    assert queued(store) == minutes(-60, 120)


def test_requests_are_served_side_by_side(store):
    energy = a_request("RR-2", back=10 * MINUTE, r_ids=(f"{ZONE}/export_kwh",))
    reporting = reporting_on(store, a_request(), energy, a_request("RR-3", "status"))
    reporting.queue_due(START + 12 * MINUTE)
    assert queued(store) == minutes(-5, 10)
    assert queued(store, "RR-2") == minutes(-10, 10)
    assert queued(store, "RR-2", "export_kw") == []
    assert len(queued(store, "RR-3", "status")) == 15


def test_two_platforms_may_use_the_same_ids(store):
    other = a_request(vtn_id="other")
    nominations = [a_request(specifier="nomination", request_id="N", vtn_id=name) for name in (VTN, "other")]
    reporting = reporting_on(store, a_request(), other, *nominations)
    reporting.queue_due(START + 12 * MINUTE)
    for name in (VTN, "other"):
        assert reporting.queue_nomination(name, [a_nomination()], START)
        assert store.outbox.waiting(name) == 4
    reporting.note(replace(other, cancelled=True))
    assert (store.outbox.waiting(VTN), store.outbox.waiting("other")) == (4, 1)


def test_other_content_under_the_same_id_goes_on_where_the_old_left_off(store):
    reporting = reporting_on(store, a_request())
    reporting.queue_due(START + 7 * MINUTE)
    other = a_request(back=10 * MINUTE, granularity=5 * MINUTE, asked_at=START + 9 * MINUTE)
    reporting.note(other)
    reporting.queue_due(START + 42 * MINUTE)
    found = queued(store)
    assert (found[0].start, found[-1].end) == (START - 5 * MINUTE, START + 40 * MINUTE)
    assert all(before.end == after.start for before, after in itertools.pairwise(found))


def test_a_request_under_an_id_that_was_cancelled_begins_anew(store):
    reporting = reporting_on(store, a_request())
    reporting.queue_due(START + 7 * MINUTE)
    reporting.note(a_request(cancelled=True))
    again = a_request(asked_at=START + 61 * MINUTE)
    reporting.note(again)
    reporting.queue_due(START + 67 * MINUTE)
    assert queued(store) == [*minutes(-5, 5), *minutes(55, 65)]
    reporting_on(store, again).queue_due(START + 72 * MINUTE)
    assert queued(store) == [*minutes(-5, 5), *minutes(55, 70)]


def test_other_content_that_says_from_when_begins_there(store):
    reporting = reporting_on(store, a_request())
    reporting.queue_due(START + 7 * MINUTE)
    window = Interval(START + 30 * MINUTE, START + 33 * MINUTE)
    reporting.note(a_request(window=window, asked_at=START + 9 * MINUTE))
    reporting.queue_due(START + 42 * MINUTE)
    assert queued(store) == [*minutes(-5, 5), *minutes(30, 33)]
    last = [entry.report.last for entry in store.outbox.all()]
    assert last == [False, False, True]


def test_a_request_is_cancelled_with_what_waits_for_it(store):
    reporting = reporting_on(store, a_request(), a_request("RR-2"))
    reporting.queue_due(START + 12 * MINUTE)
    first = store.outbox.all()[0].report.report_id
    store.outbox.mark_sent(first, START)
    reporting.note(a_request(cancelled=True))
    reporting.queue_due(START + 30 * MINUTE)
    states = {entry.state for entry in store.outbox.all() if entry.report.request_id == "RR-1"}
    assert states == {SendState.SENT, SendState.DEAD}
    assert queued(store, "RR-2") == minutes(-5, 25)


@pytest.mark.parametrize("specifier", ["telemetry", "status"])
def test_a_one_shot_is_the_last_whole_interval_and_told_once(store, specifier):
    once = a_request(specifier=specifier, back=NO_TIME)
    reporting = reporting_on(store, once)
    for minute in range(9):
        reporting.queue_due(START + minute * MINUTE)
    reporting_on(store, once).queue_due(START + 20 * MINUTE)
    (entry,) = store.outbox.all()
    assert {row.interval for row in entry.report.rows} == set(minutes(0, 1))
    assert entry.report.last
    reporting.note(replace(once, asked_at=ASKED + 10 * MINUTE))
    reporting.queue_due(START + 20 * MINUTE)
    assert len(store.outbox.all()) == 2


def test_history_is_told_back_to_what_is_stored_and_once(store):
    window = Interval(START - timedelta(hours=2), START + timedelta(hours=1))
    history = a_request(specifier="history", back=NO_TIME, window=window, granularity=HALF_HOUR)
    reporting = reporting_on(store, history)
    reporting.queue_due(START + timedelta(hours=1))
    assert store.outbox.all() == []
    reporting.queue_due(START + timedelta(hours=1, minutes=5))
    reporting.queue_due(START + timedelta(hours=2))
    (entry,) = store.outbox.all()
    assert [(row.value, row.quality) for row in entry.report.rows] == [
        *[(0.0, "missing")] * 2,
        *[(6.0, "good")] * 4,
    ]


def test_an_outage_fills_no_outbox_and_loses_nothing(store):
    reporting = reporting_on(store, a_request(back=MINUTE, window=Interval(START, START + 450 * MINUTE)))
    known_until = START + 460 * MINUTE
    reporting.queue_due(known_until)
    reporting.queue_due(known_until)
    assert store.outbox.waiting(VTN) == MOST_WAITING
    while waiting := store.outbox.pending(VTN):
        for entry in waiting:
            store.outbox.mark_sent(entry.report.report_id, known_until)
        reporting.queue_due(known_until)
    assert queued(store) == minutes(0, 450)


def test_what_was_told_is_forgotten_in_time_and_nothing_else(store):
    reporting = reporting_on(store, a_request(), a_request("RR-N", "nomination"))
    reporting.queue_due(START + 12 * MINUTE)
    reporting.queue_nomination(VTN, [a_nomination()], START)
    for entry in store.outbox.all()[:-1]:
        store.outbox.mark_sent(entry.report.report_id, START)
    assert store.outbox.prune(("telemetry",), START) == 0
    kept_pending = store.outbox.all()[-1].report.report_id
    reporting.queue_due(START + KEPT + timedelta(days=2))
    left = {entry.report.report_id for entry in store.outbox.all()}
    assert kept_pending in left
    assert any(name.startswith("nomination:") for name in left)
    assert not any(
        entry.sent_at == START for entry in store.outbox.all() if entry.report.specifier == "telemetry"
    )


def test_nominations_and_statements_go_to_the_latest_request_that_wants_the_zone(store):
    elsewhere = a_request("RR-3", "nomination", asked_at=ASKED + 2 * MINUTE, r_ids=("Mars/nominated_kwh",))
    newer = a_request("RR-2", "nomination", asked_at=ASKED + MINUTE)
    reporting = reporting_on(store, a_request("RR-1", "nomination"), newer, elsewhere)
    assert reporting.request_for(VTN, "nomination", ZONE) == newer
    assert reporting.request_for("other", "nomination", ZONE) is None
    assert reporting.queue_nomination(VTN, [a_nomination()], START)
    assert [entry.report.request_id for entry in store.outbox.all()] == ["RR-2"]
