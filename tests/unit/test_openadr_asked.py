"""What a platform asks to be told: taken, refused, repeated, replaced, cancelled."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from aggregator.model.time import Interval
from aggregator.ports import NO_TIME, Report
from market_adapters.openadr.asked import KEPT, MOST_REQUESTS, ReportBook, read_asked
from market_adapters.openadr.reports import offered
from market_adapters.openadr.wire import WireReportRequest

NOON = datetime(2025, 1, 14, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
OFFERED = offered(("Canvey",), {"day-ahead": 1})
KWH, KW = "Canvey/export_kwh", "Canvey/export_kw"


class Memory(dict):
    def recall(self, vtn_id, name):
        return self.get((vtn_id, name))

    def remember(self, vtn_id, name, value):
        self[vtn_id, name] = value


def wanted(request_id="RR-1", specifier="telemetry", **changes):
    request = WireReportRequest(request_id, specifier, MINUTE, 5 * MINUTE, None, None, (KWH,))
    return replace(request, **changes)


def read(*requests, now=NOON, standing=()):
    return read_asked(requests, OFFERED, standing=standing, vtn_id="DSO", granularity=MINUTE, now=now)


def the_request(*requests, **options):
    (request,) = read(*requests, **options).requests
    return request


def test_what_is_known_is_taken_and_what_is_not_is_refused():
    asked = read(
        wanted("1"),
        wanted("2", "what"),
        wanted("3", r_ids=(KW, "Canvey/volts")),
        wanted("4", r_ids=("x",)),
        wanted("5", "METADATA", r_ids=("0",)),
    )
    assert [(one.request_id, one.r_ids) for one in asked.requests] == [("1", (KWH,)), ("3", (KW,))]
    assert asked.refusals == (
        "2: no report 'what'",
        "3: no r_id Canvey/volts in 'telemetry'",
        "4: no r_id x in 'telemetry'",
    )
    assert asked.metadata == "5"


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (wanted(granularity=timedelta(seconds=1.5)), "whole seconds"),
        (wanted(back_duration=timedelta(milliseconds=5)), "whole seconds"),
        (wanted(granularity=timedelta(seconds=1), back_duration=timedelta(days=1)), "10000 intervals"),
        (wanted(specifier="history"), "reportInterval"),
        (wanted(specifier="history", start=NOON), "reportInterval"),
        (
            wanted(specifier="history", start=NOON, length=timedelta(days=3650), back_duration=NO_TIME),
            "10000",
        ),
    ],
    ids=["fraction", "period", "too many", "no window", "no end", "too long"],
)
def test_what_cannot_be_done_is_refused(request_, why):
    asked = read(request_)
    assert asked.requests == ()
    assert why in asked.refusals[0]


def test_requests_without_end_are_bounded():
    standing = [str(n) for n in range(MOST_REQUESTS)]
    asked = read(wanted("7"), wanted("new"), standing=standing)
    assert [one.request_id for one in asked.requests] == ["7"]
    assert f"more than {MOST_REQUESTS}" in asked.refusals[0]


def test_a_one_shot_is_the_last_whole_interval():
    once = the_request(wanted(granularity=NO_TIME, back_duration=NO_TIME))
    assert (once.once, once.granularity, once.ends_at) == (True, MINUTE, NOON)
    started = the_request(wanted(granularity=NO_TIME, back_duration=NO_TIME, start=NOON))
    assert started.window == Interval(NOON, NOON + MINUTE)


def test_history_is_answered_once_however_often_it_should_be_sent():
    history = the_request(wanted(specifier="history", start=NOON, length=timedelta(hours=1)))
    assert (history.once, history.window) == (True, Interval(NOON, NOON + timedelta(hours=1)))


def test_a_repeated_request_is_the_same_one_and_another_content_takes_its_place():
    memory = Memory()
    book = ReportBook("DSO", memory)
    first = the_request(wanted())
    assert book.ask([first], NOON, registered=True) == (first,)
    again = the_request(wanted(), now=NOON + MINUTE)
    assert book.ask([again], NOON + MINUTE, registered=True) == (first,)
    other = the_request(wanted(r_ids=(KW,)), now=NOON + 2 * MINUTE)
    assert book.ask([other], NOON + 2 * MINUTE, registered=False) == (other,)
    assert ReportBook("DSO", memory).standing() == (other,)
    assert ReportBook("other", memory).standing() == ()


def test_a_platform_that_makes_new_ids_when_it_registers_us_replaces_its_own():
    book = ReportBook("DSO", Memory())
    book.ask(
        [the_request(wanted("old")), the_request(wanted("status", "status", r_ids=()))], NOON, registered=True
    )
    book.ask([the_request(wanted("by poll"))], NOON, registered=False)
    gone, new = book.ask([the_request(wanted("new"))], NOON, registered=True)
    assert (gone.request_id, gone.cancelled, new.request_id) == ("old", True, "new")
    assert book.pending() == ("status", "by poll", "new")


def answer_to(request, *, last=True, at=NOON):
    return Report("r", "DSO", request.request_id, request.specifier, at, (), last)


def test_one_that_was_answered_stands_no_more_and_is_not_answered_again_when_repeated():
    book = ReportBook("DSO", Memory())
    once = the_request(wanted(back_duration=NO_TIME))
    book.ask([once], NOON, registered=True)
    book.told(answer_to(once, last=False))
    assert book.pending() == ("RR-1",)
    book.told(answer_to(once))
    assert (book.pending(), book.standing()) == ((), ())
    again = the_request(wanted(back_duration=NO_TIME), now=NOON + MINUTE)
    assert book.ask([again], NOON + MINUTE, registered=True) == ()
    assert book.ask([again], NOON + MINUTE, registered=False) == (again,)
    book.told(answer_to(once))
    assert book.pending() == ("RR-1",)


def test_one_asked_for_by_poll_is_forgotten_once_answered():
    memory = Memory()
    book = ReportBook("DSO", memory)
    once = the_request(wanted(back_duration=NO_TIME))
    book.ask([once], NOON, registered=False)
    book.told(answer_to(once))
    assert memory["DSO", "reports_asked"] == "{}"


def test_a_cancelled_request_is_gone():
    book = ReportBook("DSO", Memory())
    request = the_request(wanted())
    book.ask([request], NOON, registered=True)
    assert book.cancel(["RR-1", "RR-1", "RR-9"], NOON, to_follow=False) == (replace(request, cancelled=True),)
    assert book.standing() == ()


def test_with_a_report_to_follow_it_ends_now_and_stands_no_more():
    memory = Memory()
    book = ReportBook("DSO", memory)
    request = the_request(wanted())
    book.ask([request], NOON, registered=True)
    cancelled_at = NOON + timedelta(seconds=200.5)
    (last,) = book.cancel(["RR-1"], cancelled_at, to_follow=True)
    assert last.window == Interval(request.starts_at, NOON + timedelta(seconds=200))
    assert (last.asked_at, last.cancelled) == (request.asked_at, False)
    book = ReportBook("DSO", memory)
    assert (book.pending(), book.standing()) == ((), (last,))
    book.told(answer_to(last, at=cancelled_at))
    assert book.standing() == ()


@pytest.mark.parametrize(
    "request_",
    [
        wanted(specifier="settlement", r_ids=()),
        wanted(start=NOON + timedelta(hours=1), length=timedelta(hours=1)),
    ],
    ids=["not measured", "not begun"],
)
def test_where_nothing_can_follow_it_is_just_cancelled(request_):
    book = ReportBook("DSO", Memory())
    request = the_request(request_)
    book.ask([request], NOON, registered=True)
    (gone,) = book.cancel(["RR-1"], NOON, to_follow=True)
    assert gone.cancelled
    assert book.standing() == ()


def test_a_one_shot_that_is_cancelled_with_a_report_to_follow_is_still_answered():
    book = ReportBook("DSO", Memory())
    once = the_request(wanted(back_duration=NO_TIME))
    book.ask([once], NOON, registered=True)
    assert book.cancel(["RR-1"], NOON, to_follow=True) == (once,)
    assert (book.pending(), book.standing()) == ((), (once,))


def test_bids_and_windows_that_are_over_are_forgotten_after_a_month():
    book = ReportBook("DSO", Memory())
    over = wanted("over", start=NOON, length=timedelta(hours=1))
    bid = wanted("bid", "bid", r_ids=("Canvey/day-ahead/kw/1",))
    book.ask([the_request(over), the_request(bid), the_request(wanted())], NOON, registered=False)
    book.ask([], NOON + KEPT, registered=False)
    assert book.pending() == ("over", "bid", "RR-1")
    book.ask([], NOON + KEPT + timedelta(hours=2), registered=False)
    assert book.pending() == ("RR-1",)
