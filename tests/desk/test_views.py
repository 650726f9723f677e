"""What the pages show, without a browser: rows, states, effects, figures and times."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.clockwork import CLOCKWORK
from aggregator.model.explanation import PricedPart
from aggregator.model.facts import MODEL
from aggregator.model.market import Nomination
from aggregator.model.opportunity import (
    Declined,
    DeliveryEnded,
    DeliveryStarted,
    InstructionCancelled,
    OptedOut,
    Received,
    Settled,
    Submitted,
)
from aggregator.model.time import HALF_HOUR, Interval
from aggregator.web import words
from aggregator.web.bid_view import bid_view, check_then_approval
from aggregator.web.bids_view import SORTS, Choice, bid_rows
from aggregator.web.effect import effect_of
from aggregator.web.live_view import STATES, live_view
from aggregator.web.today_view import today_view
from tests.desk.world import EVENING, NOW, a_bid, a_desk, a_key, a_need, the_why


def test_times_are_londons_and_say_utc_on_hover():
    summer = datetime(2025, 7, 1, 16, 30, tzinfo=UTC)
    text = words.at(summer)
    assert ">Tue 01 Jul 17:30<" in text
    assert 'title="2025-07-01 16:30:00 UTC"' in text
    night = Interval(summer, summer + timedelta(hours=9))
    assert words.span(night).count("<time") == 2
    assert "Wed 02 Jul 02:30" in words.span(night)


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (timedelta(0), "closed"),
        (timedelta(seconds=59), "0 min 59 s"),
        (timedelta(minutes=61), "1 h 01 min"),
        (timedelta(days=2, hours=3), "2 d 3 h"),
    ],
)
def test_how_long_is_left(left, said):
    assert words.left(NOW + left, NOW) == said


@given(st.floats(-1e6, 1e6))
def test_figures_have_their_unit_and_no_sign_of_nothing(value):
    for text in (words.signed(value, 1), str(words.pounds(value))):
        assert "-" not in text
        assert text not in (f"{words.MINUS}0.0", f"{words.MINUS}£0.00")
    assert "kW" in words.kw(value)
    assert "£" in words.pounds(value)


@given(st.floats(-1e6, 1e6))
def test_no_figure_has_digits_that_mean_nothing(value):
    told = (words.kw(value), words.kw_range((value,)), words.kw_range((value, value + 1)))
    for text in (*told, words.energy(value), words.change(value)):
        assert not re.search(r"\.\d{4}|e[-+]?\d|\N{MINUS SIGN}0\b(?!\.)", str(text)), text


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("asks GBP 300.00/MWh; GBP -1.20 less", "asks £300.00/MWh; \N{MINUS SIGN}£1.20 less"),
        ("in GBP, as agreed", "in GBP, as agreed"),
        (
            "told -7.40 kW in 16:00-19:00, on 2025-01-15",
            "told \N{MINUS SIGN}7.40 kW in 16:00–19:00, on 2025-01-15",
        ),
    ],
)
def test_the_screen_shows_pounds_in_one_way(told, shown):
    assert words.sterling(told) == shown


async def test_rows_are_filtered_sorted_and_say_who_must_act(tmp_path):
    async with a_desk(tmp_path) as desk:
        flow = desk.parts.gateway.workflow
        rows = bid_rows(flow, "ben", Choice())
        assert [row.bid for row in rows] == ["bid-1", "bid-2", "bid-3", "bid-4", "bid-5"]
        assert [row.state for row in rows] == [
            "to check",
            "checked by anna, to approve",
            "to approve",
            "approved, leaving",
            "awarded",
        ]
        assert [row.may_approve for row in rows] == [False, True, True, False, False]
        assert [row.may_approve for row in bid_rows(flow, "anna", Choice())] == [False, False, True] + [
            False
        ] * 2
        assert [row.may_check for row in rows] == [True, False, False, False, False]
        assert not any(row.may_approve or row.may_check for row in bid_rows(flow, "vera", Choice()))
        assert [row.bid for row in bid_rows(flow, "ben", Choice("todo"))] == ["bid-1", "bid-2", "bid-3"]
        assert bid_rows(flow, "ben", Choice(zone="Wrotham")) == []
        for sort in SORTS:
            assert len(bid_rows(flow, "ben", Choice(sort=sort))) == 5
        assert bid_rows(flow, "ben", Choice(sort="bid"))[-1].bid == "bid-3"
        assert rows[0].deliver == pytest.approx(0.9)


def test_a_query_that_makes_no_sense_is_as_usual():
    assert Choice.of({"shown": "x", "sort": "y"}) == Choice()


async def test_a_bid_tells_what_is_held_back_nominated_and_possible(tmp_path):
    async with a_desk(tmp_path) as desk:
        flow = desk.parts.gateway.workflow
        view = bid_view(flow, desk.bid("bid-1"), "anna")
        first = view.slots[0]
        assert (first.slot.start, first.needed_kw, first.offered_kw) == (EVENING.start, 40.0, 30.0)
        assert (first.base_kw, first.held_kw, first.nominated_kw) == (10.0, 1.0, 9.0)
        assert view.slots[2].nominated_kw == pytest.approx(0.1 - 2.0)
        assert view.may["check"] is None
        assert view.may["amend"] is None
        assert "somebody else must check" in view.may["approve"]
        assert "no bid has left yet" in view.may["withdraw"]
        assert all(bid_view(flow, desk.bid("bid-1"), "vera").may.values())
        assert "requirement-1" in view.event
        assert [line.what for line in view.history] == [
            "draft 1 put up: 20 to 50 kW at £300.00/MWh",
            "the need arrived: 20.5 to 60 kW",
        ]
        desk.parts.clock.set(NOW + timedelta(hours=3))
        closed = bid_view(flow, desk.bid("bid-1"), "anna")
        assert "the gate closed Tue 14 Jan 14:00" in closed.may["check"]
        assert not closed.row.gate_open


async def test_a_bid_s_page_says_plainly_what_is_sent_ordered_and_by_whom(tmp_path):
    async with a_desk(tmp_path) as desk:
        vera, flow = await desk.sign_in("vera"), desk.parts.gateway.workflow
        _, page = await vera.get("/bids/bid-1")
        assert "To be sent once approved:" in page
        assert "Sent:" not in page
        version = desk.bid("bid-4").version
        sent = [Submitted(NOW, "report-4")]
        flow.store.journal.append_many("bid-4", sent, expected_version=version, by=CLOCKWORK, recorded_at=NOW)
        view = bid_view(flow, desk.bid("bid-4"), "vera")
        assert (view.history[0].what, view.history[0].by) == ("sent, and acknowledged by the DNO", "")
        _, page = await vera.get("/bids/bid-4")
        assert "Sent:" in page
        assert "by clock" not in page
        assert "beyond the nomination" in (await vera.get("/bids/bid-5"))[1]


@pytest.mark.parametrize(
    ("checks", "approves", "said"),
    [
        ([], ["ben"], ""),
        (["anna"], ["ben"], "Next, anna may check it; then ben may approve it."),
        (["anna", "ben"], ["anna", "ben"], "Next, anna or ben may check it; then the other may approve it."),
        (
            ["a", "b", "c"],
            ["a", "b", "c"],
            "Next, a, b or c may check it; then another of them may approve it.",
        ),
        (
            ["a", "b"],
            ["b", "c"],
            "Next, a or b may check it; then b or c, whoever did not check it, may approve it.",
        ),
    ],
)
def test_who_decides_next_is_said_for_one_two_and_many(checks, approves, said):
    found = check_then_approval(checks, approves)
    assert found == said
    assert words.either(["a", "b", "c", "d", "e", "f"]) == "a, b, c or 3 more"


async def test_the_effect_is_shown_before_it_is_done(tmp_path):
    async with a_desk(tmp_path) as desk:
        flow, one = desk.parts.gateway.workflow, desk.bid("bid-2")
        found = effect_of(flow, one, "anna", 20.0, Decimal(200))
        assert (found.before_kwh, found.after_kwh) == (75.0, 40.0)
        assert found.before_gbp == pytest.approx(22.5)
        assert found.after_gbp == pytest.approx(8.0)
        assert found.check_lost == "anna"
        assert desk.bid("bid-2") == one
        assert "can be delivered" in effect_of(flow, one, "anna", 51.0, None).refused
        assert "ceiling" in effect_of(flow, one, "anna", None, Decimal(351)).refused
        assert "ben is no trader" in effect_of(flow, one, "ben", 20.0, None).refused


async def test_today_sorts_by_gate_and_tells_todays_money_from_tomorrows(tmp_path):
    async with a_desk(tmp_path) as desk:
        flow = desk.parts.gateway.workflow
        view = today_view(flow, "anna")
        assert [row.bid for row in view.todo] == ["bid-1", "bid-2", "bid-3"]
        assert [(event.bid, event.runs) for event in view.events] == [("bid-5", True)]
        told = [(str(money.day), money.decided, money.waiting, money.settled) for money in view.money]
        assert told == [("2025-01-14", 1, 0, 0), ("2025-01-15", 0, 1, 0), ("None", 1, 2, 0)]
        assert [money.decided_gbp for money in view.money] == pytest.approx([4.25, 0.0, 4.25])
        assert [money.waiting_gbp for money in view.money] == pytest.approx([0.0, 4.25, 8.5])
        over = [DeliveryEnded(NOW), Settled(NOW, 1, "d" * 64, "12.43"), Settled(NOW, 2, "e" * 64, "12.40")]
        version = desk.bid("bid-5").version
        flow.store.journal.append_many("bid-5", over, expected_version=version, by="test", recorded_at=NOW)
        money = today_view(flow, "anna").money[0]
        assert (money.settled, money.paid_gbp, money.decided, money.decided_gbp) == (
            1,
            Decimal("12.40"),
            0,
            0.0,
        )


async def test_live_counts_each_car_once_and_a_silent_one_gives_nothing(tmp_path):
    async with a_desk(tmp_path) as desk:
        parts = desk.parts
        view = live_view(parts.gateway, parts.controller)
        assert sum(view.states.values()) == len(parts.gateway.fleet.cars)
        assert tuple(view.states) == STATES
        assert view.states["giving"] == 2
        assert view.fleet_kw == pytest.approx(6.0)
        zone = next(zone for zone in view.zones if zone.zone == "Hendon Way")
        assert (zone.target_kw, zone.nominated_kw, zone.serving) == (4.0, 1.0, "bid-5")
        assert (zone.metered_kw, zone.ordered_kw, zone.beyond_kw) == (6.0, 3.0, 5.0)
        assert not view.loop_is_late
        parts.clock.pass_by(timedelta(minutes=4))
        view = live_view(parts.gateway, parts.controller)
        assert (view.states["silent"], view.fleet_kw) == (2, 0.0)
        assert [car.car_id for car in view.silent] == ["car-1", "car-2"]
        assert view.loop_is_late


def zone_now(parts, name="Hendon Way"):
    return next(zone for zone in live_view(parts.gateway, parts.controller).zones if zone.zone == name)


async def test_live_tells_the_nomination_of_the_running_half_hour_and_none_where_there_is_none(tmp_path):
    async with a_desk(tmp_path) as desk:
        parts, over = desk.parts, NOW + timedelta(minutes=90)
        later = [Nomination("Hendon Way", Interval(over, over + HALF_HOUR), -700, 0, 0, NOW)]
        desk.store.nominations.freeze(later)
        told = {}
        for minutes in (1, 89, 91, 121):
            parts.clock.set(NOW + timedelta(minutes=minutes))
            told[minutes] = zone_now(parts).nominated_kw, zone_now(parts, "Wrotham").nominated_kw
        assert told == {1: (1.0, None), 89: (1.0, None), 91: (-1.4, None), 121: (None, None)}
        assert words.half_hour_text(live_view(parts.gateway, parts.controller).half_hour) == "14:00–14:30"


async def test_live_marks_what_is_missing_of_an_order_once_cars_had_time_to_follow(tmp_path):
    async with a_desk(tmp_path) as desk:
        parts = desk.parts
        due = replace(zone_now(parts), settled_in=True)
        assert not zone_now(parts).settled_in  # ordered a minute ago
        assert due.missing_kw is None  # 5 of 3 kW
        assert [replace(due, metered_kw=kw).missing_kw for kw in (1.4, 3.8, 3.9)] == [
            pytest.approx(2.6),
            pytest.approx(0.2),
            None,
        ]
        down = replace(due, target_kw=-9.0, nominated_kw=-1.0)  # 8 kW more are to be drawn
        assert [replace(down, metered_kw=kw).missing_kw for kw in (-8.7, -5.0)] == [None, pytest.approx(4.0)]
        for _ in range(3):
            await parts.minute()
        assert zone_now(parts).settled_in


async def test_what_the_model_did_not_offer_is_not_a_person_s_refusal(tmp_path):
    async with a_desk(tmp_path) as desk:
        flow = desk.parts.gateway.workflow
        because = "no bid, from the least that the DNO takes upwards, would pay"
        for name, by in (("no-offer", MODEL), ("no-wish", "anna")):
            facts = [Received(NOW, a_need(name)), Declined(NOW, because, by)]
            flow.store.journal.append_many(name, facts, expected_version=0, by=by, recorded_at=NOW)
        views = [bid_view(flow, desk.bid(name), "anna") for name in ("no-offer", "no-wish")]
        assert [view.row.state for view in views] == ["not offered by the model", "refused"]
        assert [view.row.because for view in views] == [because, because]
        lines = [(view.history[0].what, view.history[0].by) for view in views]
        assert lines == [("not offered", "the model"), ("refused", "anna")]


async def test_a_bid_s_page_tells_what_was_ordered_paid_and_lost_and_why_costs_fall(tmp_path):
    async with a_desk(tmp_path) as desk:
        over = [DeliveryEnded(NOW), Settled(NOW, 1, "d" * 64, "12.43"), Settled(NOW, 2, "e" * 64, "12.40")]
        version = desk.bid("bid-5").version
        desk.store.journal.append_many("bid-5", over, expected_version=version, by="test", recorded_at=NOW)
        parts = (PricedPart(4.0, 739.64, 590.0), PricedPart(14.0, 118.65, 590.0))
        why = the_why(parts=parts, held_back_kwh=80.0, margin_p10_gbp=-3.5)
        a_bid(desk.store, "bid-6", event="requirement-6", why=why, expected_margin_gbp=-3.61)
        anna = await desk.sign_in("anna")
        (_, settled), (_, lost), (_, bids) = [
            await anna.get(path) for path in ("/bids/bid-5", "/bids/bid-6", "/bids")
        ]
    assert re.search(r'Paid <strong>£12.40</strong> · <a href="/settlement/bid-5">', settled)
    assert "ordered: 3 kW" in settled
    assert "settled: £12.40, statement version 2" in settled
    assert "The first part is the dearest" in lost
    assert "The first part is the dearest" not in settled
    assert re.search(r"more is held back than is bid", lost)
    assert "−£3.50 or more on nine days in ten (P10); the worse days lower the mean" in lost
    assert all("loss</span>" in page for page in (lost, bids))
    assert "loss</span>" not in settled


async def test_a_cancelled_order_is_said_wherever_its_bid_stands(tmp_path):
    async with a_desk(tmp_path) as desk:
        parts, flow, at = desk.parts, desk.parts.gateway.workflow, NOW + timedelta(minutes=1)
        assert [one.bid for one in zone_now(parts).bids] == ["bid-5"]
        gone = [DeliveryStarted(NOW), InstructionCancelled(at, a_key("order-5", 1))]
        version = desk.bid("bid-5").version
        flow.store.journal.append_many("bid-5", gone, expected_version=version, by="test", recorded_at=at)
        parts.gateway.book.refresh(at)
        zone = zone_now(parts)
        assert (zone.serving, zone.ordered_kw, zone.beyond_kw) == (None, None, None)
        assert [(one.bid, one.ended_at) for one in zone.bids] == [("bid-5", at)]
        view = bid_view(flow, desk.bid("bid-5"), "anna")
        assert view.row.state == "order cancelled 12:01"
        assert "its order cancelled Tue 14 Jan 12:01" in view.over
        assert [(row.order.key.event_id, row.cancelled_at) for row in view.orders] == [("order-5", at)]
        event = next(one for one in today_view(flow, "anna").events if one.bid == "bid-5")
        assert (event.runs, event.cancelled_at) == (False, at)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no car since 2025-07-15T17:40:00Z", "no car since Tue 15 Jul 18:40"),
        ("until 2025-01-08 17:00:05 UTC, for order", "until Wed 08 Jan 17:00:05, for order"),
        (
            "from 2025-01-08T17:00:00.250000Z to 2025-01-08T17:30Z",
            "from Wed 08 Jan 17:00 to Wed 08 Jan 17:30",
        ),
        ("event 2025-13-08T17:00:00Z", "event 2025-13-08T17:00:00Z"),
        ("given in 16:00-19:00", "given in 16:00–19:00"),
    ],
)
def test_what_commands_write_is_shown_by_londons_clocks_in_pounds(text, shown):
    assert words.sterling(text) == shown


async def test_windows_stay_shaded_when_they_are_cancelled_or_settled_as_long_as_their_hours_are_drawn(
    tmp_path,
):
    async with a_desk(tmp_path) as desk:
        parts, vera = desk.parts, await desk.sign_in("vera")
        shaded = 'data-windows="2025-01-14T11:30:00Z/2025-01-14T13:30:00Z "'
        assert shaded in (await vera.get("/live"))[1]
        gone = [DeliveryStarted(NOW), InstructionCancelled(NOW, a_key("order-5", 1))]
        over = [DeliveryEnded(NOW), Settled(NOW, 1, "d" * 64, "12.43")]
        for facts in (gone, over):
            version = desk.bid("bid-5").version
            desk.store.journal.append_many(
                "bid-5", facts, expected_version=version, by="test", recorded_at=NOW
            )
            parts.gateway.book.refresh(NOW)
            assert shaded in (await vera.get("/live"))[1]
        parts.clock.set(NOW + timedelta(hours=5))
        assert shaded not in (await vera.get("/live"))[1]


async def test_an_event_that_we_withdrew_is_not_called_cancelled(tmp_path):
    async with a_desk(tmp_path) as desk:
        anna, one = await desk.sign_in("anna"), desk.bid("bid-5")
        ran = (DeliveryStarted(NOW), OptedOut(NOW, "a feeder is down", "anna"))
        at = {"expected_version": one.version, "by": "anna", "recorded_at": NOW}
        desk.store.journal.append_many("bid-5", ran, **at)
        _, page = await anna.get("/")
        assert "1 of them cut short: less will come" in page
