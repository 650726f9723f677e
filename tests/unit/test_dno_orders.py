"""What becomes of an order: pure functions of the scenario, of what was received and of the time."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from market_adapters.dno_simulator.book import Book
from market_adapters.dno_simulator.edge import BadFile, checked
from market_adapters.dno_simulator.events import Notice, as_event
from market_adapters.dno_simulator.market import delivery, orders, terms
from market_adapters.dno_simulator.notices import edition, notices
from market_adapters.dno_simulator.reading import Opt
from market_adapters.dno_simulator.scenario import Scenario
from market_adapters.dno_simulator.settle import in_force, instructed_kwh
from market_adapters.dno_simulator.span import Span

DAY = "2025-01-08T"
HALF_HOUR = timedelta(minutes=30)
HEAD = {
    "vtn_id": "DSO-Demo",
    "market_context": "http://dso.example/flex",
    "starts_at": "2025-01-08T00:00:00Z",
    "ends_at": "2025-01-09T00:00:00Z",
}
CALL = {
    "id": "C1",
    "zone": "Hendon Way",
    "product": "operational",
    "start": f"{DAY}17:00:00Z",
    "end": f"{DAY}18:00:00Z",
    "kw": [30.0, 20.0],
    "publish_at": f"{DAY}16:00:00Z",
    "price_gbp_per_mwh": 500.0,
}


def at(time: str) -> datetime:
    return datetime.fromisoformat(f"{DAY}{time}:00+00:00")


def played(**changes: Any) -> tuple[Scenario, Book]:
    scenario = checked(Scenario, HEAD | {"call": [CALL | changes]}, "x.toml")
    return scenario, Book(scenario)


def seen(scenario: Scenario, book: Book, time: str) -> Notice | None:
    return next(iter(notices(scenario, book, at(time))), None)


def kwh(scenario: Scenario, book: Book, start: str, end: str, *out: Span) -> float:
    (call,) = scenario.call
    made = in_force(orders(call, book, at("23:59")), out)
    return instructed_kwh(Span(at(start), at(end)), terms(call, scenario, book).slots, made)


def test_a_call_needs_no_bid_and_pays_what_it_says() -> None:
    scenario, book = played()
    assert seen(scenario, book, "15:59") is None
    notice = seen(scenario, book, "16:00")
    assert notice is not None
    assert (notice.id, notice.context, notice.comment) == (
        "C1", "http://dso.example/flex/dispatch/operational", ""
    )  # fmt: skip
    assert notice.signals[0].values == (-30.0, -20.0)
    assert terms(scenario.call[0], scenario, book).price_gbp_per_mwh == (500.0, 500.0)
    assert kwh(scenario, book, "17:00", "18:00") == 25.0


def test_an_open_end_is_told_later_and_is_a_modification() -> None:
    scenario, book = played(kw=30.0, end_told_at=f"{DAY}17:40:00Z")
    before, after = seen(scenario, book, "17:30"), seen(scenario, book, "17:40")
    assert before is not None
    assert after is not None
    assert (before.modification, before.signals[0].values, before.status(at("17:30"))) == (
        0,
        (-30.0,),
        "active",
    )
    event = as_event(before, at("17:30"), timedelta(0))
    assert event["active_period"]["duration"] == timedelta(0)
    assert [i["duration"] for i in event["event_signals"][0]["intervals"]] == [timedelta(0)]
    assert (after.modification, after.span.end, after.signals[0].values) == (1, at("18:00"), (-30.0, -30.0))
    assert kwh(scenario, book, "17:00", "18:00") == 30.0


def test_an_open_end_may_be_cancelled_before_it_is_told() -> None:
    scenario, book = played(end_told_at=f"{DAY}17:50:00Z", cancel_at=f"{DAY}17:30:00Z")
    notice = seen(scenario, book, "17:30")
    assert notice is not None
    assert notice.status(at("17:30")) == "cancelled"
    assert seen(scenario, book, "17:50") == notice
    assert kwh(scenario, book, "17:00", "18:00") == 15.0


def test_an_order_shifted_and_lengthened_is_delivered_where_it_went() -> None:
    amend = [
        {"at": f"{DAY}16:30:00Z", "shift_minutes": 30},
        {"at": f"{DAY}17:10:00Z", "kw": [30.0, 20.0, 10.0]},
    ]
    scenario, book = played(amend=amend)
    notice = seen(scenario, book, "17:10")
    assert notice is not None
    assert (notice.modification, notice.span) == (2, Span(at("17:30"), at("19:00")))
    made = orders(scenario.call[0], book, at("17:10"))
    assert delivery(scenario.call[0], made) == Span(at("17:00"), at("19:00"))
    assert kwh(scenario, book, "17:00", "17:30") == 0.0
    assert [kwh(scenario, book, *half) for half in (("17:30", "18:00"), ("18:30", "19:00"))] == [15.0, 5.0]
    assert seen(scenario, book, "19:59") is not None  # kept an hour after its new end
    assert seen(scenario, book, "20:00") is None


def test_a_shortened_order_ends_earlier() -> None:
    scenario, book = played(amend=[{"at": f"{DAY}17:10:00Z", "scale": [1.0]}])
    notice = seen(scenario, book, "17:10")
    assert notice is not None
    assert notice.span.end == at("17:30")
    assert kwh(scenario, book, "17:00", "18:00") == 15.0


def test_an_order_that_vanishes_is_gone_and_no_longer_in_force() -> None:
    scenario, book = played(vanish_at=f"{DAY}17:15:00Z")
    before, after = (edition(scenario, book, at(time)) for time in ("17:14", "17:15"))
    assert (len(before), len(after)) == (1, 0)
    assert kwh(scenario, book, "17:00", "18:00") == 7.5


def test_a_lower_modification_is_handed_out_and_does_not_count() -> None:
    behind = [{"from": f"{DAY}17:20:00Z", "to": f"{DAY}17:30:00Z"}]
    scenario, book = played(amend=[{"at": f"{DAY}17:10:00Z", "scale": 0.5}], behind=behind)
    found = [seen(scenario, book, time) for time in ("17:00", "17:10", "17:20", "17:30")]
    assert [notice.modification for notice in found if notice] == [0, 1, 0, 1]
    assert kwh(scenario, book, "17:20", "17:30") == 2.5


def test_a_setpoint_says_the_same_order_as_net_power() -> None:
    scenario, book = played(signal="setpoint")
    for half in range(2):
        key = ("Hendon Way", at("17:00") + half * HALF_HOUR)
        book.nominated[key] = [(at("15:00"), -2.0), (at("16:01"), 9.0)]  # the second came after the call
    notice = seen(scenario, book, "16:00")
    assert notice is not None
    assert (notice.signals[0].type, notice.signals[0].values) == ("setpoint", (-26.0, -16.0))
    assert kwh(scenario, book, "17:00", "18:00") == 25.0


def test_what_was_opted_out_of_is_not_ordered_until_the_opt_is_taken_back() -> None:
    scenario, book = played()
    book.take_opt(Opt("O1", "optOut", "emergency", "C1"), at("17:15"))
    book.take_opt(Opt("O2", "optOut", "emergency", "another"), at("17:00"))
    assert kwh(scenario, book, "17:00", "18:00", *book.opted_out("C1")) == 7.5
    book.cancel_opt("O1", at("17:30"))
    assert kwh(scenario, book, "17:00", "18:00", *book.opted_out("C1")) == 17.5
    book.cancel_opt("O1", at("17:45"))
    assert book.opted_out("C1") == (Span(at("17:15"), at("17:30")),)


def test_the_form_of_an_event_is_as_the_scenario_says() -> None:
    form = {
        "test": True,
        "priority": 3,
        "answer": "never",
        "notification_minutes": 20.0,
        "ramp_up_minutes": 5.0,
        "random_start_minutes": 2.0,
    }
    scenario, book = played(form=form, market_context="http://other.example")
    notice = seen(scenario, book, "16:00")
    assert notice is not None
    event = as_event(notice, at("16:00"), timedelta(hours=1))
    about = event["event_descriptor"]
    assert (about["test_event"], about["priority"], event["response_required"]) == (True, 3, "never")
    assert about["market_context"] == "http://other.example/dispatch/operational"
    assert about["created_date_time"] == at("17:00")
    period = event["active_period"]
    assert period["tolerance"] == {"startafter": timedelta(minutes=2)}
    assert (period["notification_period"], period["ramp_up_period"]) == (
        timedelta(minutes=20), timedelta(minutes=5)
    )  # fmt: skip
    assert [notice.status(at(time)) for time in ("16:54", "16:55", "17:00", "18:00")] == [
        "far", "near", "active", "completed"
    ]  # fmt: skip


def test_a_peak_may_have_a_price_beside_its_level() -> None:
    peak = {"id": "P", "zones": ["A"], "start": f"{DAY}16:00:00Z", "end": f"{DAY}19:00:00Z", "level": 2}
    peak |= {"publish_at": f"{DAY}10:00:00Z", "price_gbp_per_mwh": 650.0}
    scenario = checked(Scenario, HEAD | {"peak": [peak]}, "x.toml")
    (notice,) = notices(scenario, Book(scenario), at("10:00"))
    assert [(s.name, s.values, s.unit) for s in notice.signals] == [
        ("SIMPLE", (2.0,), None),
        ("ELECTRICITY_PRICE", (650.0,), "gbp_per_mwh"),
    ]


def test_events_are_handed_out_again_when_the_scenario_says() -> None:
    scenario = checked(Scenario, HEAD | {"call": [CALL], "deliver_again_at": [f"{DAY}16:30:00Z"]}, "x.toml")
    book = Book(scenario)
    first, again = (edition(scenario, book, at(time)) for time in ("16:00", "16:30"))
    assert first != again
    assert {row[:2] for row in first} == {row[:2] for row in again} == {("C1", 0)}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"publish_at": f"{DAY}18:00:00Z"}, "call[0].publish_at"),
        ({"end_told_at": f"{DAY}18:00:00Z"}, "call[0].end_told_at"),
        ({"vanish_at": f"{DAY}15:00:00Z"}, "call[0].vanish_at"),
        ({"vanish_at": f"{DAY}17:10:00Z", "cancel_at": f"{DAY}17:20:00Z"}, "call[0].vanish_at"),
        ({"behind": [{"from": f"{DAY}17:10:00Z", "to": f"{DAY}17:10:00Z"}]}, "call[0].behind[0].to"),
        ({"amend": [{"at": f"{DAY}17:10:00Z", "scale": [1.0] * 3}]}, "call[0].amend[0]"),
        ({"amend": [{"at": f"{DAY}17:10:00Z", "shift_minutes": 0.5}]}, "call[0].amend[0].shift_minutes"),
        ({"signal": "level"}, "call[0].signal"),
        ({"form": {"answer": "maybe"}}, "call[0].form.answer"),
        ({"form": {"priority": -1}}, "call[0].form.priority"),
        ({"form": {"test": "yes"}}, "call[0].form.test"),
        ({"level": 1.0}, "call[0].level"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(BadFile) as error:
        played(**changes)
    assert field in [fault.split(": ")[1] for fault in error.value.faults]


@pytest.mark.parametrize(
    ("table", "row", "field"),
    [
        ("fail", {"kind": "fire"}, "fail[0].kind"),
        ("fail", {"kind": "raw"}, "fail[0].file"),
        ("fail", {"kind": "raw", "file": "none.xml"}, "fail[0].file"),
        ("fail", {"kind": "clock_offset"}, "fail[0].offset_s"),
        ("fail", {"kind": "reset", "offset_s": 1.0}, "fail[0].offset_s"),
        ("fail", {"kind": "raw", "file": "/dev/null", "service": "EiEvent"}, "fail[0].service"),
        ("fail", {"kind": "reset", "service": "EiNothing"}, "fail[0].service"),
    ],
)
def test_what_is_refused_of_a_fault(table: str, row: dict[str, Any], field: str) -> None:
    window = {"from": f"{DAY}10:00:00Z", "to": f"{DAY}11:00:00Z"}
    with pytest.raises(BadFile) as error:
        checked(Scenario, HEAD | {table: [window | row]}, "x.toml")
    assert field in [fault.split(": ")[1] for fault in error.value.faults]


ASKED = {"at": f"{DAY}10:00:00Z", "request_id": "R"}
NO_FILES = {"cert": "/dev/null", "key": "/dev/null"}
PRINT = "00:" * 9 + "00"


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"report": [ASKED | {"specifier": "x", "to": f"{DAY}11:00:00Z"}]}, "report[0].to"),
        ({"cancel_report": [ASKED | {"by": "post"}]}, "cancel_report[0].by"),
        ({"registration": [{"at": f"{DAY}10:00:00Z", "kind": "marry"}]}, "registration[0].kind"),
        ({"tls": NO_FILES | {"ca": "/dev/null"}}, "tls.cert"),
        ({"signing": NO_FILES | {"ven_fingerprint": PRINT}}, "signing.key"),
        ({"signing": NO_FILES | {"ven_fingerprint": "00"}}, "signing.ven_fingerprint"),
        ({"call": [CALL, CALL]}, "call.id"),
    ],
)
def test_what_is_refused_of_the_rest(more: dict[str, Any], field: str) -> None:
    with pytest.raises(BadFile) as error:
        checked(Scenario, HEAD | more, "x.toml")
    assert field in [fault.split(": ")[1] for fault in error.value.faults]
