from datetime import timedelta

import pytest

from aggregator.model.time import HALF_HOUR, Interval
from aggregator.ports import ReportRequest
from aggregator.store import open_store
from aggregator.telemetry import due_spans, status_report, telemetry_report
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
            **changes,
        }
    )


def rows_of(store, request, span=SPAN, what="export_kwh"):
    report = telemetry_report(store, a_fleet(2), [ZONE], request, span, NOON)
    return [(row.interval, row.value) for row in report.rows if row.r_id == f"{ZONE}/{what}"]


def test_a_report_gives_zone_totals_per_interval(store):
    assert rows_of(store, a_request()) == [(slot, 0.15) for slot in SPAN.slots(MINUTE)]
    assert [kw for _, kw in rows_of(store, a_request(), what="export_kw")] == pytest.approx([9.0] * 5)


def test_a_report_covers_only_what_was_asked_for(store):
    window = Interval(START + 2 * MINUTE, START + timedelta(hours=1))
    assert [slot.start for slot, _ in rows_of(store, a_request(window=window))] == [
        START + n * MINUTE for n in (2, 3, 4)
    ]
    elsewhere = a_request(window=Interval(NOON, NOON + MINUTE))
    assert telemetry_report(store, a_fleet(2), [ZONE], elsewhere, SPAN, NOON) is None


def test_a_window_that_ends_within_an_interval_cuts_the_last_one_short(store):
    window = Interval(START, START + timedelta(seconds=150))
    found = rows_of(store, a_request(window=window))
    assert [(slot.end - slot.start).total_seconds() for slot, _ in found] == [60, 60, 30]
    assert sum(kwh for _, kwh in found) == pytest.approx(0.375)


@pytest.mark.parametrize("granularity", [timedelta(0), timedelta(hours=1)])
def test_a_granularity_of_nothing_or_more_than_the_span_makes_one_interval(store, granularity):
    assert rows_of(store, a_request(granularity=granularity)) == [(SPAN, 0.75)]


def test_a_status_says_that_zones_are_online():
    report = status_report([ZONE], a_request(specifier="status"), SPAN, NOON)
    assert [(row.r_id, row.interval, row.value) for row in report.rows] == [(f"{ZONE}/status", SPAN, 1.0)]


def test_spans_are_owed_once_their_readings_are_surely_in():
    spans = due_spans(a_request(back_duration=HALF_HOUR), START, START + 3 * HALF_HOUR, MINUTE)
    assert spans == [Interval(START + n * HALF_HOUR, START + (n + 1) * HALF_HOUR) for n in (0, 1)]
    assert due_spans(a_request(), START, START + 5 * MINUTE, MINUTE) == []
