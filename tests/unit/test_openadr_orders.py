"""Orders and peak windows in our words: every signal of 2.0b is followed, or refused with its reason."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from aggregator.model.market import OrderMode
from market_adapters.openadr.translate import response_code, to_call
from market_adapters.openadr.wire import parse
from tests.protocol.vtn import CONTEXT, HALF_HOUR, KW, START, an_event, distribute
from tests.unit.test_openadr_translate import GBP, NOON, PROFILE, a_call, a_signal

MULTIPLE = {"name": "customUnit", "description": "multiple", "unit": "times", "scale": "none"}
KWH = {"name": "energyReal", "description": "RealEnergy", "unit": "Wh", "scale": "k"}
PERCENT = {"name": "customUnit", "description": "share", "unit": "percent", "scale": "none"}


def an_order(*signals, **event):
    return a_call("dispatch/day-ahead", *signals, **event)


def values(call):
    return [step.value for step in call.content.steps]


def in_units(**unit):
    return {**KW, **unit}


def custom(unit, scale="none"):
    return {"name": "customUnit", "description": "power", "unit": unit, "scale": scale}


def read(text):
    (event,) = parse(text.encode()).body.events
    return event, to_call(event, PROFILE, vtn_id="DSO-Test", received_at=NOON, raw=b"raw")


def with_period(*properties):
    """Return an order whose active period has more properties."""
    return distribute(an_event()).replace("</properties>", "".join(properties) + "</properties>")


TOLERANCE = "<tolerance><tolerate><startafter>{}</startafter></tolerate></tolerance>"
XCAL = 'xmlns="urn:ietf:params:xml:ns:icalendar-2.0"'


def a_span(name, text):
    return f"<ei:{name}><duration {XCAL}>{text}</duration></ei:{name}>"


# orders


@pytest.mark.parametrize(
    ("unit", "wire", "kw"),
    [
        (in_units(scale="none"), -30_000.0, 30.0),
        (in_units(scale="k"), -30.0, 30.0),
        (in_units(scale="M"), -0.03, 30.0),
        (custom("W"), -30_000.0, 30.0),
        (custom("kW"), -30.0, 30.0),
        (custom("MW"), -0.03, 30.0),
        (custom("W", "k"), -30.0, 30.0),
    ],
)
def test_an_order_is_read_in_every_unit_of_power(unit, wire, kw):
    assert values(an_order(a_signal("LOAD_DISPATCH", (wire,), unit, "delta"))) == [kw]


def test_a_load_control_set_point_is_a_set_point():
    call = an_order(a_signal("LOAD_CONTROL", (-12.0, 3.0), KW, "x-loadControlSetpoint"))
    assert (call.content.mode, values(call)) == (OrderMode.SETPOINT, [12.0, -3.0])


def test_a_multiplier_is_read_as_it_is():
    call = an_order(a_signal("LOAD_DISPATCH", (1.5, 0.0), None, "multiplier"))
    assert (call.content.mode, values(call)) == (OrderMode.MULTIPLIER, [1.5, 0.0])


@pytest.mark.parametrize("name", ["SIMPLE", "simple"])
def test_a_level_beside_an_order_is_read_and_not_followed(name):
    order = a_signal("LOAD_DISPATCH", (-30.0,), KW, "delta")
    assert values(an_order(order, a_signal(name, (2,), None, "level"))) == [30.0]


def test_a_level_beside_an_order_must_be_one():
    order = a_signal("LOAD_DISPATCH", (-30.0,), KW, "delta")
    assert "level 7" in an_order(order, a_signal("simple", (7,), None, "level")).problem


@pytest.mark.parametrize(
    ("signals", "says"),
    [
        ([a_signal("CHARGE_STATE", (40.0,), KWH, "setpoint")], "drivers"),
        ([a_signal("CHARGE_STATE", (-5.0,), KWH, "delta")], "drivers"),
        ([a_signal("LOAD_CONTROL", (0.5,), PERCENT, "x-loadControlCapacity")], "every car"),
        ([a_signal("LOAD_CONTROL", (1.0,), PERCENT, "x-loadControlLevelOffset")], "no size"),
        ([a_signal("LOAD_CONTROL", (10.0,), PERCENT, "x-loadControlPercentOffset")], "multiplier"),
        ([a_signal("LOAD_CONTROL", (-30.0,), KW, "setpoint")], "x-loadControlSetpoint allowed"),
        ([a_signal("LOAD_DISPATCH", (-30.0,), KWH, "delta")], "energyReal"),
        ([a_signal("LOAD_DISPATCH", (-30.0,), None, "delta")], "no unit"),
        ([a_signal("ELECTRICITY_PRICE", (100.0,), GBP)], "LOAD_DISPATCH"),
        ([a_signal("BID_ENERGY", (-30.0,), KWH, "setpoint")], "LOAD_DISPATCH"),
        ([a_signal("x-SOMETHING", (-30.0,), KW, "delta")], "x-SOMETHING"),
        ([a_signal("SIMPLE", (1,), None, "level")], "exactly one of LOAD_DISPATCH, LOAD_CONTROL"),
        (
            [
                a_signal("LOAD_DISPATCH", (-30.0,), KW, "delta"),
                a_signal("LOAD_CONTROL", (-30.0,), KW, "x-loadControlSetpoint"),
            ],
            "exactly one",
        ),
        ([a_signal("LOAD_DISPATCH", (-30.0,), KW, "delta")] * 2, "each once"),
    ],
)
def test_an_order_without_one_clear_meaning_is_refused_with_its_reason(signals, says):
    call = an_order(*signals)
    assert call.content is None
    assert says in call.problem
    assert response_code(call.problem) == 460


def test_priority_ramp_and_notice_are_kept():
    event = an_event()
    event["event_descriptor"]["priority"] = 2
    _, call = read(
        distribute(event).replace(
            "</properties>",
            a_span("x-eiNotification", "PT2H") + a_span("x-eiRampUp", "PT10M") + "</properties>",
        )
    )
    order = call.content
    assert (order.priority, order.notice_s, order.ramp_up_s, order.delay_s) == (2, 7200.0, 600.0, 0.0)
    assert order.ramp_starts_at == START - timedelta(minutes=10)


def test_a_randomised_start_moves_the_whole_order_by_a_delay_of_its_own():
    _, call = read(with_period(TOLERANCE.format("PT10M")))
    _, again = read(with_period(TOLERANCE.format("PT10M")))
    delay = timedelta(seconds=call.content.delay_s)
    assert again.content == call.content
    assert timedelta(0) <= delay <= timedelta(minutes=10)
    assert delay.total_seconds() == int(delay.total_seconds())
    starts = [step.interval.start for step in call.content.steps]
    assert starts == [START + delay, START + HALF_HOUR + delay]
    assert call.content.window.end == START + 2 * HALF_HOUR + delay
    assert call.interval.start == START


def test_delays_spread_over_the_tolerance_and_stay_with_their_event():
    text = with_period(TOLERANCE.format("PT3S"))
    delays = {read(text.replace("DSP-1", f"E{n}"))[1].content.delay_s for n in range(60)}
    assert delays == {0.0, 1.0, 2.0, 3.0}
    amended = text.replace("<ei:modificationNumber>0<", "<ei:modificationNumber>1<")
    assert read(amended)[1].content.delay_s == read(text)[1].content.delay_s


def test_a_start_without_end_of_the_calendar_is_a_problem():
    _, call = read(with_period(TOLERANCE.format("P30D")).replace("2025-01-15T17", "9999-12-31T17"))
    assert "start" in call.problem


# the active period


def lasting(period, *intervals, start=START, signal=None):
    """Return an event's call whose intervals last so long, whatever its active period says."""
    made = an_event(kw=(-30.0,) * len(intervals))
    if signal is not None:
        made["event_descriptor"]["market_context"] = f"{CONTEXT}/peak"
        made["event_signals"] = [signal]
    (signal,) = made["event_signals"]
    for interval, length in zip(signal["intervals"], intervals, strict=True):
        interval.update(dtstart=start, duration=length)
        start += length
    head, told, rest = distribute(made).partition("<ei:eiActivePeriod>")
    length = f"<duration>PT{period.total_seconds():g}S</duration>"
    return read(head + told + re.sub("<duration>P[^<]*</duration>", length, rest, count=1))[1]


SECOND, MINUTE, TEN_MINUTES = timedelta(seconds=1), timedelta(minutes=1), timedelta(minutes=10)
LEVEL = a_signal("SIMPLE", (2,), None, "level")
PRICE = a_signal("ELECTRICITY_PRICE", (900.0,), GBP)


@pytest.mark.parametrize("signal", [None, LEVEL, PRICE], ids=["order", "level", "price"])
def test_an_interval_that_outlasts_the_active_period_is_refused(signal):
    call = lasting(TEN_MINUTES, 2 * HALF_HOUR, signal=signal)
    assert call.content is None
    assert "2025-01-15T18:00:00Z" in call.problem
    assert "within the active period, 2025-01-15T17:00:00Z to 2025-01-15T17:10:00Z" in call.problem
    assert response_code(call.problem) == 454


def test_intervals_that_together_outlast_the_active_period_are_refused():
    assert lasting(HALF_HOUR, TEN_MINUTES, TEN_MINUTES, TEN_MINUTES, MINUTE + SECOND).problem
    assert lasting(HALF_HOUR, TEN_MINUTES, TEN_MINUTES, TEN_MINUTES).problem is None


def test_a_last_second_of_rounded_lengths_is_no_matter():
    assert lasting(HALF_HOUR, HALF_HOUR + SECOND / 2).problem is None


@pytest.mark.parametrize("period", [HALF_HOUR, timedelta(0)], ids=["closed", "open-ended"])
def test_an_interval_before_the_active_period_is_refused(period):
    assert "2025-01-15T16:59:00Z" in lasting(period, TEN_MINUTES, start=START - MINUTE).problem


def test_what_the_intervals_leave_out_of_the_active_period_is_not_ordered():
    call = lasting(2 * HALF_HOUR, TEN_MINUTES, start=START + MINUTE)
    assert (call.problem, call.interval.end) == (None, START + 2 * HALF_HOUR)
    assert (call.content.window.start, call.content.window.end) == (START + MINUTE, START + 11 * MINUTE)


def test_intervals_of_an_open_ended_event_may_have_an_end():
    ended = lasting(timedelta(0), HALF_HOUR).content
    assert (ended.window.end, ended.open_ended) == (START + HALF_HOUR, False)


def test_a_randomised_start_may_move_an_order_beyond_its_active_period():
    text = with_period(TOLERANCE.format("PT10M"))
    calls = [read(text.replace("DSP-1", f"E{n}"))[1] for n in range(5)]
    assert all(call.problem is None for call in calls)
    assert any(call.content.window.end > call.interval.end for call in calls)


# peak windows


def test_a_peak_window_may_be_a_price():
    call = a_call("peak", a_signal("ELECTRICITY_PRICE", (900.0, -20.0), GBP))
    peak = call.content
    assert [peak.price_at(START + n * HALF_HOUR) for n in range(3)] == [900.0, -20.0, None]
    assert peak.level_at(START) == 0


def test_a_peak_window_may_have_level_and_price():
    call = a_call(
        "peak", a_signal("SIMPLE", (2,), None, "level"), a_signal("ELECTRICITY_PRICE", (900.0,), GBP)
    )
    assert (call.content.level_at(START), call.content.price_at(START)) == (2, 900.0)


@pytest.mark.parametrize("kind", ["priceRelative", "priceMultiplier"])
def test_a_price_relative_to_another_is_refused(kind):
    call = a_call("peak", a_signal("ELECTRICITY_PRICE", (1.5,), GBP, kind))
    assert kind in call.problem
    assert response_code(call.problem) == 460


def test_a_peak_window_of_nothing_is_refused():
    call = a_call("peak", a_signal("LOAD_DISPATCH", (1.5,), KW, "delta"))
    assert response_code(call.problem) == 460


# targets


def targeted(programme, targets):
    event = an_event()
    event["event_descriptor"]["market_context"] = f"{CONTEXT}/{programme}"
    event["targets"] = targets
    if programme == "peak":
        event["event_signals"] = [a_signal("SIMPLE", (2, 2), None, "level")]
    return read(distribute(event))[1]


OURS = {"group_id": "Hendon Way"}


@pytest.mark.parametrize(
    "targets",
    [
        [{"group_id": "Mars"}],
        [OURS, {"group_id": "Mars"}],
        [{"resource_id": "car-1"}],
        [{"ven_id": "ven-1"}],
        [OURS, {"resource_id": "car-1"}],
        [],
    ],
    ids=["not-ours", "several", "resource", "ven", "resource-in-group", "none"],
)
def test_an_order_for_others_or_for_parts_of_a_zone_is_not_ours(targets):
    call = targeted("dispatch/day-ahead", targets)
    assert call.content is None
    assert response_code(call.problem) == 462


ASSET = '<p:meterAsset xmlns:p="http://docs.oasis-open.org/ns/emix/2011/06/power"><p:mrid>m</p:mrid></p:meterAsset>'


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("<ei:eiTarget>", f"<ei:eiTarget>{ASSET}", "meterAsset"),
        (
            "<ei:signalName>",
            f"<ei:eiTarget>{ASSET.replace('meterAsset', 'endDeviceAsset')}</ei:eiTarget><ei:signalName>",
            "endDeviceAsset of a signal",
        ),
    ],
    ids=["asset", "signal"],
)
def test_an_order_for_an_asset_or_by_a_signals_own_target_is_not_ours(old, new, said):
    text = distribute(an_event()).replace(old, new, 1)
    (event,) = parse(text.encode(), "message").body.events
    call = to_call(event, PROFILE, vtn_id="DSO-Test", received_at=NOON, raw=b"")
    assert (call.content, response_code(call.problem)) == (None, 462)
    assert said in call.problem


def test_a_peak_window_holds_in_each_of_its_groups_that_is_ours():
    call = targeted("peak", [{"group_id": "Mars"}, OURS])
    assert (call.problem, call.content.zone, call.zones) == (None, "Hendon Way", ("Mars", "Hendon Way"))
    assert response_code(targeted("peak", [{"group_id": "Mars"}]).problem) == 462


def test_a_ven_named_beside_our_group_changes_nothing():
    assert targeted("dispatch/day-ahead", [OURS, {"ven_id": "ven-1"}]).problem is None


# baselines

STRM = "urn:ietf:params:xml:ns:icalendar-2.0:stream"
BASELINE = f"""<ei:eiEventBaseline>
  <dtstart {XCAL}><date-time>2025-01-15T17:00:00Z</date-time></dtstart>
  <duration {XCAL}><duration>PT1H</duration></duration>
  <s:intervals xmlns:s="{STRM}">
    <ei:interval><duration {XCAL}><duration>PT30M</duration></duration>
      <ei:signalPayload><ei:payloadFloat><ei:value>12.5</ei:value></ei:payloadFloat></ei:signalPayload></ei:interval>
    <ei:interval><duration {XCAL}><duration>PT30M</duration></duration>
      <ei:signalPayload><ei:payloadFloat><ei:value>11</ei:value></ei:payloadFloat></ei:signalPayload></ei:interval>
  </s:intervals>
  <ei:baselineID>B-7</ei:baselineID><ei:baselineName>last week</ei:baselineName>
</ei:eiEventBaseline></ei:eiEventSignals>"""


def test_a_baseline_is_read_and_not_followed():
    text = distribute(an_event()).replace("</ei:eiEventSignals>", BASELINE)
    event, call = read(text)
    (baseline,) = event.baselines
    assert (baseline.id, baseline.name) == ("B-7", "last week")
    assert [(part.start, part.value) for part in baseline.intervals] == [
        (START, 12.5),
        (START + HALF_HOUR, 11.0),
    ]
    _, without = read(distribute(an_event()))
    assert replace(call, raw=b"") == replace(without, raw=b"")


def test_a_baseline_that_cannot_be_read_is_told():
    text = distribute(an_event()).replace("</ei:eiEventSignals>", BASELINE.replace("12.5", "NaN"))
    _, call = read(text)
    assert "eiEventBaseline" in call.problem
