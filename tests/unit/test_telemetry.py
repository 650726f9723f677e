import itertools
from dataclasses import replace
from datetime import timedelta

import pytest

from aggregator.model.time import HALF_HOUR, Interval
from aggregator.ports import NO_TIME, Quality, ReportRequest
from aggregator.store import open_store
from aggregator.telemetry import MOST_VALUES, due_spans, measured_report, pieces
from tests.builders import EVENING, NOON, VTN, ZONE, a_fleet, a_reading

START = EVENING.start
MINUTE = timedelta(minutes=1)
SPAN = Interval(START, START + 5 * MINUTE)


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'flexloop.db'}", create=True) as store:
        store.readings.add(
            a_reading(charger_id=charger, measured_at=START + n * MINUTE, import_wh=0, export_wh=n * step_wh)
            for n in range(7)
            for charger, step_wh in (("charger-1", 100), ("charger-2", 50))
        )
        yield store


def a_request(**changes):
    return ReportRequest(
        **{
            "vtn_id": VTN,
            "request_id": "r-1",
            "specifier": "telemetry",
            "granularity": MINUTE,
            "back_duration": 5 * MINUTE,
            "asked_at": START,
            **changes,
        }
    )


def rows_of(store, request, span=SPAN, what="export_kwh", cars=2):
    report = measured_report(store, a_fleet(cars), [ZONE], request, span, NOON)
    return [row for row in report.rows if row.r_id == f"{ZONE}/{what}"]


def values_of(*arguments, **options):
    return [(row.interval, row.value) for row in rows_of(*arguments, **options)]


def test_a_report_gives_zone_totals_per_interval(store):
    assert values_of(store, a_request()) == [(slot, 0.15) for slot in SPAN.slots(MINUTE)]
    kw = [row.value for row in rows_of(store, a_request(), what="export_kw")]
    assert kw == pytest.approx([9.0] * 5)


def test_what_the_granularity_does_not_divide_has_a_shorter_last_interval(store):
    found = values_of(store, a_request(), Interval(START, START + timedelta(seconds=150)))
    assert [(slot.end - slot.start).total_seconds() for slot, _ in found] == [60, 60, 30]
    assert sum(kwh for _, kwh in found) == pytest.approx(0.375)


@pytest.mark.parametrize("granularity", [NO_TIME, timedelta(hours=1)])
def test_a_granularity_of_nothing_or_more_than_the_span_makes_one_interval(store, granularity):
    assert values_of(store, a_request(granularity=granularity)) == [(SPAN, 0.75)]


def test_only_what_was_asked_for_is_told(store):
    request = a_request(r_ids=(f"{ZONE}/export_kw",))
    report = measured_report(store, a_fleet(2), [ZONE, "elsewhere"], request, SPAN, NOON)
    assert {row.r_id for row in report.rows} == {f"{ZONE}/export_kw"}


def test_history_is_the_same_energy_without_the_power(store):
    request = a_request(specifier="history", back_duration=NO_TIME, window=SPAN)
    report = measured_report(store, a_fleet(2), [ZONE], request, SPAN, NOON)
    assert [row.value for row in report.rows] == [0.15] * 5
    assert report.last


def test_values_say_how_far_they_can_be_relied_on(store):
    off_grid = Interval(START + timedelta(seconds=30), START + timedelta(seconds=90))
    never_heard = Interval(START - HALF_HOUR, START)
    silent_since = Interval(START + HALF_HOUR, START + 2 * HALF_HOUR)
    assert {row.quality for row in rows_of(store, a_request())} == {Quality.GOOD}
    assert {row.quality for row in rows_of(store, a_request(), off_grid)} == {Quality.ESTIMATED}
    assert {row.quality for row in rows_of(store, a_request(), cars=3)} == {Quality.ESTIMATED}
    for span in (never_heard, silent_since):
        assert {(row.value, row.quality) for row in rows_of(store, a_request(), span)} == {
            (0.0, Quality.MISSING)
        }


def test_a_gap_between_two_readings_is_an_estimate_that_adds_to_the_wh(store):
    later = START + timedelta(hours=1)
    store.readings.add(
        a_reading(charger_id=f"charger-{n}", measured_at=later, import_wh=0, export_wh=9_000) for n in (1, 2)
    )
    found = rows_of(store, a_request(granularity=10 * MINUTE), Interval(START, later))
    assert sum(row.value for row in found) == pytest.approx(18.0)
    assert {row.quality for row in found[1:]} == {Quality.ESTIMATED}


def test_a_status_says_which_zones_were_heard_of(store):
    request = a_request(specifier="status", granularity=NO_TIME)
    for span, online in ((SPAN, 1.0), (Interval(NOON, NOON + MINUTE), 0.0)):
        report = measured_report(store, a_fleet(2), [ZONE], request, span, NOON)
        assert [(row.r_id, row.interval, row.value) for row in report.rows] == [
            (f"{ZONE}/status", span, online)
        ]


def spans_of(request, since, now, lag=MINUTE):
    return list(due_spans(request, since, now, lag))


def test_spans_are_owed_once_their_readings_are_surely_in():
    request = a_request(back_duration=HALF_HOUR)
    spans = spans_of(request, START, START + 3 * HALF_HOUR)
    assert spans == [Interval(START + n * HALF_HOUR, START + (n + 1) * HALF_HOUR) for n in (0, 1)]
    assert spans_of(a_request(), START, START + 5 * MINUTE) == []


def test_without_a_start_the_first_span_is_the_last_whole_one_before_it_was_asked_for():
    assert a_request(asked_at=START + 7 * MINUTE).starts_at == START
    assert a_request(asked_at=START + 7 * MINUTE).ends_at is None


def test_spans_lie_between_the_start_and_end_of_the_window_and_on_its_own_grid():
    window = Interval(START + 2 * MINUTE, START + 14 * MINUTE)
    request = a_request(window=window)
    found = spans_of(request, window.start, START + HALF_HOUR)
    assert [(span.start, span.end) for span in found] == [
        (START + 2 * MINUTE, START + 7 * MINUTE),
        (START + 7 * MINUTE, START + 12 * MINUTE),
        (START + 12 * MINUTE, START + 14 * MINUTE),
    ]
    assert spans_of(request, START + 9 * MINUTE, START + HALF_HOUR)[0].end == START + 12 * MINUTE
    assert spans_of(request, window.end, START + HALF_HOUR) == []
    assert len(spans_of(request, window.start, START + 14 * MINUTE)) == 2


def test_one_that_is_answered_once_waits_until_it_is_measured_and_asked_for():
    request = a_request(back_duration=NO_TIME, asked_at=START + timedelta(seconds=150))
    span = Interval(START + MINUTE, START + 2 * MINUTE)
    assert (request.starts_at, request.ends_at) == (span.start, span.end)
    assert spans_of(request, span.start, span.end) == []
    assert spans_of(request, span.start, span.end + MINUTE) == [span]
    past = replace(request, window=SPAN, asked_at=NOON + timedelta(days=1))
    assert spans_of(past, SPAN.start, NOON + timedelta(hours=12)) == []
    assert spans_of(past, SPAN.start, past.asked_at) == [SPAN]


def test_a_long_span_is_told_in_parts_of_whole_intervals():
    span = Interval(START, START + timedelta(days=3))
    request = a_request(specifier="history", back_duration=NO_TIME, window=span)
    parts = list(pieces(request, span, [ZONE, "elsewhere"]))
    step = MOST_VALUES // 2 * MINUTE
    assert [part.end - part.start for part in parts[:-1]] == [step] * (len(parts) - 1)
    assert (parts[0].start, parts[-1].end) == (span.start, span.end)
    assert all(before.end == after.start for before, after in itertools.pairwise(parts))
