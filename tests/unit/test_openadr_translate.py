"""A platform's events in our words: sign, scale, and what is not ours."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from aggregator.model.market import Award, Direction, Instruction, OrderMode, PeakWindow, Requirement
from aggregator.ports import CallKind
from market_adapters.openadr.profile import Profile, kind_by_path
from market_adapters.openadr.translate import response_code, to_call
from market_adapters.openadr.units import from_wire, to_wire
from market_adapters.openadr.wire import parse
from market_adapters.openadr.wire_events import Unit, WireSignal
from tests.protocol.vtn import CONTEXT, HALF_HOUR, KW, START, an_event, distribute

PROFILE = Profile(CONTEXT, ("Hendon Way",), {"day-ahead": Direction.UP, "turn-up": Direction.DOWN})
NOON = datetime(2025, 1, 14, 12, tzinfo=UTC)
GBP = {"name": "currencyPerKWh", "description": "currencyPerKWh", "unit": "GBP", "scale": "m"}
GBP_PER_MW_H = {"name": "customUnit", "description": "availability", "unit": "GBP/MW/h", "scale": "none"}


def a_signal(name, values, measurement=None, kind="price"):
    intervals = [
        {"dtstart": START + n * HALF_HOUR, "duration": HALF_HOUR, "signal_payload": value}
        for n, value in enumerate(values)
    ]
    return {
        "signal_name": name,
        "signal_type": kind,
        "signal_id": "s",
        "measurement": measurement,
        "intervals": intervals,
    }


def a_call(programme, *signals, profile=PROFILE, **event):
    made = an_event(**event)
    made["event_descriptor"]["market_context"] = f"{CONTEXT}/{programme}"
    if signals:
        made["event_signals"] = list(signals)
    (read,) = parse(distribute(made).encode()).body.events
    return to_call(read, profile, vtn_id="DSO-Test", received_at=NOON, raw=b"raw")


def a_need(values=(-36.0, -36.0)):
    return a_signal("LOAD_DISPATCH", values, KW, "delta")


def test_a_requirement_is_a_magnitude_in_the_products_direction():
    ceiling = a_signal("ELECTRICITY_PRICE", (620.0, 600.0), GBP)
    availability = a_signal("x-AVAILABILITY_PRICE", (5.0, 5.0), GBP_PER_MW_H)
    call = a_call("requirement/day-ahead", a_need(), ceiling, availability)
    need = call.content
    assert isinstance(need, Requirement)
    assert (need.needed_kw, need.utilisation_ceiling, need.availability_ceiling) == (
        (36.0, 36.0),
        Decimal(600),
        Decimal(5),
    )
    assert call.kind is CallKind.REQUIREMENT
    assert [slot.start for slot in need.slots] == [START, START + HALF_HOUR]


def test_a_down_product_asks_for_load():
    assert a_call("requirement/turn-up", a_need((10.0, 0.0))).content.needed_kw == (10.0, 0.0)


def test_a_sign_against_the_product_is_a_problem():
    call = a_call("requirement/day-ahead", a_need((36.0, 36.0)))
    assert call.content is None
    assert "day-ahead" in call.problem


def test_an_award_has_the_price_of_the_slots_awarded():
    cleared = a_signal("BID_LOAD", (-30.0, 0.0), KW, "setpoint")
    call = a_call("award/day-ahead", cleared, a_signal("BID_PRICE", (596.5, 0.0), GBP))
    assert isinstance(call.content, Award)
    assert call.content.awarded_kw == (30.0, 0.0)
    assert call.content.utilisation_gbp_per_mwh == Decimal("596.5")
    assert call.opportunity_ref == "REQ-1"


def test_an_order_counts_export_and_holds_from_the_platforms_stamp():
    order = a_call("dispatch/day-ahead").content
    assert isinstance(order, Instruction)
    assert (order.mode, [step.value for step in order.steps]) == (OrderMode.DELTA, [30.0, 30.0])
    assert order.issued_at == START - timedelta(days=1)


def test_an_order_may_be_a_set_point_of_any_sign():
    order = a_call("dispatch/day-ahead", a_signal("LOAD_DISPATCH", (12.0, -3.0), KW, "setpoint")).content
    assert (order.mode, [step.value for step in order.steps]) == (OrderMode.SETPOINT, [-12.0, 3.0])


def test_an_open_ended_order_lasts_as_long_as_the_profile_says():
    made = an_event(kw=(-30.0,))
    text = distribute(made).replace("PT30M", "PT0S")
    (read,) = parse(text.encode()).body.events
    call = to_call(read, PROFILE, vtn_id="v", received_at=NOON, raw=b"")
    assert call.interval is None
    assert call.content.window.end == START + PROFILE.open_end
    assert call.content.open_ended


def test_a_peak_window_has_levels():
    level = a_signal("SIMPLE", (2, 3), None, "level")
    call = a_call("peak", level)
    assert isinstance(call.content, PeakWindow)
    assert call.content.level_at(START + HALF_HOUR) == 3


def test_a_cancelled_event_has_no_content():
    call = a_call("dispatch/day-ahead", status="cancelled")
    assert (call.cancelled, call.content, call.problem) == (True, None, None)


def test_another_sign_convention_is_configuration():
    exporting = Profile(CONTEXT, ("Hendon Way",), {"day-ahead": Direction.UP}, load_sign=-1)
    assert a_call("requirement/day-ahead", a_need((36.0, 36.0)), profile=exporting).content.needed_kw == (
        36.0,
        36.0,
    )


@pytest.mark.parametrize(
    ("programme", "signals", "event", "says", "code"),
    [
        ("requirement/day-ahead", [a_signal("x-WHAT", (1.0,), KW, "delta")], {}, "x-WHAT", 460),
        (
            "requirement/day-ahead",
            [a_signal("LOAD_DISPATCH", (1.0,), GBP, "delta")],
            {},
            "currencyPerKWh",
            460,
        ),
        ("requirement/day-ahead", [a_signal("LOAD_DISPATCH", (1.0,), KW, "level")], {}, "level", 460),
        ("requirement/day-ahead", [], {"zone": "Mars"}, "Hendon Way", 462),
        ("requirement/week-ahead", [], {}, "day-ahead, turn-up", 454),
        ("something/else", [], {}, CONTEXT, 454),
        ("more/dispatch/day-ahead", [], {}, CONTEXT, 454),
        ("award/day-ahead", [a_signal("BID_LOAD", (-1.0,), KW, "setpoint")], {}, "BID_PRICE", 460),
    ],
)
def test_what_is_not_ours_is_a_problem_that_says_what_is_allowed(programme, signals, event, says, code):
    call = a_call(programme, *signals, **event)
    assert call.content is None
    assert says in call.problem
    assert response_code(call.problem) == code


@pytest.mark.parametrize(
    ("context", "kind"),
    [
        ("http://any/prefix/requirement/x", "requirement"),
        ("award/x", "award"),
        ("http://h/dispatch/peak", "dispatch"),
        ("http://h/peak/", "peak"),
        ("http://h/requirement", "unknown"),
        ("", "unknown"),
    ],
)
def test_a_kind_is_known_by_the_last_parts_whatever_the_prefix(context, kind):
    assert kind_by_path(context)[0] == kind


@pytest.mark.parametrize(
    ("unit", "kind", "value", "expected"),
    [
        (Unit("powerReal", "W", "k"), "delta", -30.0, 30.0),
        (Unit("powerReal", "W", "none"), "delta", -30_000.0, 30.0),
        (Unit("powerReal", "W", "M"), "setpoint", 0.03, -30.0),
        (Unit("powerReal", "W", "k"), "multiplier", 2.0, None),
        (Unit("currencyPerKWh", "GBP", "m"), "price", 596.0, 596.0),
        (Unit("currencyPerKWh", "GBP", "none"), "price", 0.596, 596.0),
        (Unit("currencyPerKWh", "EUR", "none"), "price", 0.596, None),
        (Unit("customUnit", "GBP/MW/h", "none"), "price", 5.0, 5.0),
        (Unit("energyReal", "Wh", "k"), "delta", 5.0, None),
        (Unit("powerReal", "W", "T"), "delta", 1e308, None),
        (None, "delta", 1.0, None),
    ],
)
def test_units_and_scales(unit, kind, value, expected):
    assert from_wire(WireSignal("LOAD_DISPATCH", kind, "s", unit, ()), value) == expected


@pytest.mark.parametrize(
    ("r_id", "on_wire"),
    [
        ("A/B/export_kw", -30.0),
        ("A/export_kwh", -30.0),
        ("A/nominated_kwh", -30.0),
        ("A/metered_kwh", -30.0),
        ("A/delivered_kwh", 30.0),
        ("A/day-ahead/kw/1", -30.0),
        ("A/day-ahead/util/1", 30.0),
        ("A/day-ahead/avail/2", 30.0),
    ],
)
def test_power_and_energy_count_load_on_the_wire_and_service_does_not(r_id, on_wire):
    assert to_wire(r_id, 30.0) == on_wire
