"""What a trader must not miss, nor see wrongly: lapsed bids, crowds of alarms, stops, and amended margins."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html import unescape

import numpy as np
import pytest

from aggregator import acting
from aggregator.forecast import Horizon
from aggregator.forecast.outlook import Outlook
from aggregator.model.explanation import Worth
from aggregator.model.money import gained, pounds
from aggregator.model.opportunity import (
    AwardCancelled,
    Awarded,
    DeliveryStarted,
    Instructed,
    OptedOut,
    RequirementCancelled,
    Stage,
    Submitted,
)
from aggregator.model.time import HALF_HOUR, Interval
from aggregator.store import Alarm
from aggregator.web.ahead import Ahead
from aggregator.web.alarms_view import grouped
from aggregator.web.effect import effect_of
from aggregator.web.evening import evening_after, through_kw
from aggregator.web.live_view import live_view
from aggregator.web.today_view import today_view
from aggregator.zone_forecast import ZoneForecast
from tests.builders import an_award, an_instruction, some_steps
from tests.desk.world import EVENING, NOW, PRODUCT, ZONE, a_bid, a_desk, a_key, approved

GATE = NOW + timedelta(hours=2)


def acknowledged(draft):
    return Submitted(NOW, draft.report_id)


async def test_a_bid_that_lapsed_undecided_stands_on_today_that_day_and_is_an_alarm(tmp_path):
    async with a_desk(tmp_path) as desk:
        gateway = desk.parts.gateway
        assert today_view(gateway.workflow, "anna").lapsed == ()
        desk.parts.clock.set(GATE)
        gateway.tick()
        (row,) = today_view(gateway.workflow, "anna").lapsed
        assert (row.bid, row.stage, max(row.offered_kw)) == ("bid-1", Stage.CLOSED, 50.0)
        told = [alarm.text for alarm in desk.store.alarms.open() if alarm.code == "undecided"]
        assert len(told) == 1
        assert f"{ZONE}, Wed 15 Jan 17:00 to 19:00" in told[0]
        anna = await desk.sign_in("anna")
        _, page = await anna.get("/")
        assert "Lapsed today" in page
        assert "undecided" in page
        desk.parts.clock.set(GATE + timedelta(days=1))
        assert "bid-1" not in [row.bid for row in today_view(gateway.workflow, "anna").lapsed]


async def test_a_bid_without_an_answer_when_its_window_begins_is_told_and_counts_no_more(tmp_path):
    async with a_desk(tmp_path) as desk:
        gateway = desk.parts.gateway
        flow = gateway.workflow
        a_bid(desk.store, "bid-9", approved, acknowledged, event="requirement-9")
        desk.parts.clock.set(EVENING.start - timedelta(seconds=1))
        before = today_view(flow, "anna")
        assert (before.unanswered, before.money[0].decided) == ((), 1)
        desk.parts.clock.set(EVENING.start)
        for ticked in (False, True):
            view = today_view(flow, "anna")
            assert [row.bid for row in view.unanswered] == ["bid-9"]
            assert (view.money[0].decided, view.money[0].decided_gbp) == (0, 0)
            anna = await desk.sign_in("anna")
            assert "Not answered by the DNO" in (await anna.get("/"))[1]
            for path in ("/bids?shown=all", "/bids/bid-9"):
                _, page = await anna.get(path)
                told = (
                    "the DNO had not answered when its window began" if ticked else "no answer from the DNO"
                )
                assert told in page
            gateway.tick()
        (alarm,) = [one for one in desk.store.alarms.open() if one.code == "unanswered"]
        assert (alarm.where, f"{ZONE}, Wed 15 Jan 17:00 to 19:00" in alarm.text) == ("bid-9", True)
        desk.parts.clock.set(EVENING.start + timedelta(hours=15))
        assert [row.bid for row in today_view(flow, "anna").unanswered] == ["bid-9"]
        desk.parts.clock.set(EVENING.start + timedelta(hours=39))
        assert today_view(flow, "anna").unanswered == ()


async def test_what_was_taken_back_stands_on_today_that_day_with_who_did_it(tmp_path):
    async with a_desk(tmp_path) as desk:
        flow, anna = desk.parts.gateway.workflow, await desk.sign_in("anna")
        assert today_view(flow, "anna").taken_back == ()
        award = an_award(key=a_key("award-9"), zone=ZONE, product_id=PRODUCT, window=EVENING)
        later = a_key("award-9", 1)
        awarded = (approved, acknowledged, Awarded(NOW, award))
        a_bid(desk.store, "bid-91", *awarded, AwardCancelled(NOW, later), event="requirement-91")
        ours = OptedOut(NOW + timedelta(minutes=5), "a charger recall", "anna")
        a_bid(desk.store, "bid-92", *awarded, DeliveryStarted(NOW), ours, event="requirement-92")
        theirs = RequirementCancelled(NOW, a_key("requirement-93", 1))
        a_bid(desk.store, "bid-93", theirs, event="requirement-93")
        desk.parts.clock.set(NOW + timedelta(minutes=10))
        rows = today_view(flow, "anna").taken_back
        assert [row.bid for row, _ in rows] == ["bid-92", "bid-91", "bid-93"]
        page = " ".join((await anna.get("/"))[1].split())
        assert "withdrawn by us 12:05, to settle" in page
        assert "the DNO took its award back" in page
        assert "the DNO took its need back" in page
        desk.parts.clock.set(NOW + timedelta(days=1))
        assert today_view(flow, "anna").taken_back == ()


async def test_alarms_of_a_kind_stand_together_and_go_with_one_press(tmp_path):
    async with a_desk(tmp_path) as desk:
        for n in range(3, 45):
            at = NOW + timedelta(seconds=n)
            desk.store.alarms.raise_(Alarm(at, "not_following", f"car-{n}", "told 3.0 kW"))
        desk.store.alarms.raise_(Alarm(NOW, "order_short", ZONE, "2.0 kWh are missing"))
        groups = {group.code: group for group in grouped(desk.store.alarms.open())}
        assert {code: len(group.alarms) for code, group in groups.items()} == {
            "not_following": 43,
            "order_short": 1,
        }
        crowd = groups["not_following"]
        assert (crowd.first_at, crowd.last_at) == (NOW, NOW + timedelta(seconds=44))
        assert len(crowd.places) == 43
        anna, vera = await desk.sign_in("anna"), await desk.sign_in("vera")
        for path in ("/", "/live"):
            _, page = await anna.get(path)
            assert "43 alarms" in page
            assert "Acknowledge all 43" in page
            assert "Acknowledge all" not in (await vera.get(path))[1]
        numbers = [("alarms", str(one.alarm_id)) for one in crowd.at_once]
        status, _, _ = await anna.form("/v1/alarms/acknowledge", numbers)
        assert status == 303
        assert [alarm.code for alarm in desk.store.alarms.open()] == ["order_short"]
        (deed,) = [one for one in desk.store.desk_trail.all() if one.action == "acknowledge"]
        assert deed.subject == acting.named([one.alarm_id for one in crowd.alarms])


async def test_a_stopped_zone_has_no_target_and_no_order_that_runs(tmp_path):
    async with a_desk(tmp_path) as desk:
        parts, flow = desk.parts, desk.parts.gateway.workflow
        acting.stop(flow, parts.gateway.settings.fleet.zones, ZONE, "smoke", "vera")
        parts.gateway.book.refresh(parts.clock.now())
        zone = next(zone for zone in live_view(parts.gateway, parts.controller).zones if zone.zone == ZONE)
        assert (zone.stopped, zone.target_kw, zone.serving, zone.ordered_kw) == (True, None, None, None)
        vera = await desk.sign_in("vera")
        _, page = await vera.get("/live")
        assert "no order or plan is followed." in page
        assert "stopped: not followed" in page
        assert "its order runs" not in page
        assert "Nominated charging is not forced" in page
        assert "runs now" not in (await vera.get("/"))[1]


def half_as_good(need, model, new, slots):
    """Value an amended draft: half of what the model's earns, and always delivered."""
    why = replace(new.why, margin_p10_gbp=model.why.margin_p10_gbp / 2, miss=0.0, valued_anew=True)
    return replace(new, expected_margin_gbp=model.expected_margin_gbp / 2, why=why)


def an_order(modification, *kw):
    slots = Interval(NOW - timedelta(minutes=30), NOW + timedelta(minutes=90)).slots(HALF_HOUR)
    key = a_key("order-5", modification)
    return an_instruction(key=key, zone=ZONE, product_id=PRODUCT, steps=some_steps(*kw, slots=slots))


def ahead_on(desk):
    parts = desk.parts
    parts.gateway.book.refresh(parts.clock.now())
    zones = live_view(parts.gateway, parts.controller).zones
    return [level for zone in zones if zone.zone == ZONE for bid in zone.bids for level in bid.ahead]


async def test_live_tells_what_an_order_will_be_and_what_the_dno_amended_of_it(tmp_path):
    async with a_desk(tmp_path) as desk:
        assert ahead_on(desk) == []  # 3 kW to the end, as it was
        flow, at = desk.parts.gateway.workflow, desk.parts.clock.now()
        flow.record(desk.bid("bid-5"), Instructed(at, an_order(1, 3, 3, 1.5)), by="platform")
        assert ahead_on(desk) == [
            Ahead(NOW + HALF_HOUR, 1.5, 3.0, "kW", at, 3.0),
            Ahead(NOW + 2 * HALF_HOUR, None, 1.5, "kW", at, 3.0),
        ]
        vera = await desk.sign_in("vera")
        _, page = await vera.get("/")
        said = " ".join(re.sub("<[^>]*>", "", page).split())
        assert "3 kW ordered now, 1.5 kW from 12:30 (amended 12:01)" in said
        _, page = await vera.get("/live")
        said = " ".join(unescape(re.sub("<[^>]*>", "", page)).split())
        assert "From 12:30: 3 kW → 1.5 kW ordered; amended 12:01, was 3 kW" in said
        assert "From 13:00: 1.5 kW → nothing ordered; amended 12:01, was 3 kW" in said
        _, told = await vera.get("/v1/live")
        (zone,) = [zone for zone in told["zones"] if zone["zone"] == ZONE]
        assert [(level["ordered"], level["was"]) for level in zone["ahead"]] == [(1.5, 3.0), (None, 3.0)]
        flow.record(desk.bid("bid-5"), Instructed(at, an_order(2, 3, 3, 3, 3)), by="platform")
        assert [(level.value, level.was) for level in ahead_on(desk)] == [(3.0, 1.5), (3.0, None)]
        desk.parts.clock.set(NOW + 3 * HALF_HOUR)
        assert ahead_on(desk) == []


async def test_an_amended_bid_s_own_margin_is_shown_first_then_kept_and_summed(tmp_path):
    async with a_desk(tmp_path) as desk:
        flow = desk.parts.gateway.workflow
        flow.revalue = half_as_good
        one = desk.bid("bid-1")
        model, half = one.draft, one.draft.expected_margin_gbp / 2
        found = effect_of(flow, one, "anna", 10.0, None)
        assert found.now == Worth(model.expected_margin_gbp, model.why.margin_p10_gbp, 6.0, 0.9)
        assert found.then == Worth(half, model.why.margin_p10_gbp / 2, 6.0, 1.0)
        anna = await desk.sign_in("anna")
        _, page = await anna.get("/bids/bid-1?kw=10&price=")
        assert "Nine days in ten at least (P10)" in page
        assert "cannot be worked out anew" not in page
        status, _ = await anna.post("/v1/bids/bid-1/amend", {"draft": model.digest, "kw": 10.0})
        after = desk.bid("bid-1").draft
        change_gbp = gained(half, model.expected_margin_gbp)
        assert (status, after.expected_margin_gbp, after.why.change.margin_gbp) == (200, half, change_gbp)
        tomorrow = today_view(flow, "anna").money[1]
        assert (tomorrow.waiting, tomorrow.waiting_gbp, tomorrow.waiting_unknown) == (
            1,
            pounds(Decimal(half)),
            0,
        )
        _, page = await anna.get("/bids/bid-1")
        assert "of the model&#39;s draft</span>" not in page
        assert "the margin could not be worked out anew" not in page
        assert "not known" not in (await anna.get("/"))[1]
        assert "amended it" not in (await anna.get("/bids"))[1]


async def test_an_amended_bids_margin_that_nobody_knows_is_in_no_sum(tmp_path):
    async with a_desk(tmp_path) as desk:
        flow = desk.parts.gateway.workflow
        one = desk.bid("bid-1")
        before = today_view(flow, "anna").money[1]
        acting.amend(flow, one, one.draft.digest, "anna", 10.0, None)
        after = today_view(flow, "anna").money[1]
        assert (before.waiting, before.waiting_unknown) == (1, 0)
        assert (after.waiting, after.waiting_gbp, after.waiting_unknown) == (0, 0, 1)
        one = flow.approve(desk.bid("bid-1"), desk.bid("bid-1").draft.digest, "ben")
        decided = today_view(flow, "anna").money[1]
        assert (decided.decided, decided.decided_gbp, decided.decided_unknown) == (0, 0, 1)
        anna = await desk.sign_in("anna")
        assert "1 margin not known" in (await anna.get("/"))[1]
        assert "Expected margin of the model's draft" in (await anna.get("/bids/bid-1"))[1].replace(
            "&#39;", "'"
        )


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("kw=&price=", "state another level or price"),
        ("kw=50&price=", "that changes nothing"),
        ("kw=&price=300.00", "that changes nothing"),
        ("kw=abc&price=", "abc is not"),
        ("kw=99&price=", "outside 0 to 50"),
    ],
)
async def test_an_amendment_that_cannot_be_is_said_in_its_place_and_not_offered(tmp_path, asked, said):
    async with a_desk(tmp_path) as desk:
        anna = await desk.sign_in("anna")
        status, page = await anna.get(f"/bids/bid-1?{asked}")
        assert status == 200
        assert said in page
        assert "do-amend" not in page


async def test_the_effect_says_which_figures_are_the_models(tmp_path):
    async with a_desk(tmp_path) as desk:
        anna = await desk.sign_in("anna")
        _, page = await anna.get("/bids/bid-1?kw=20&price=")
        assert "do-amend" in page
        assert "as what it was made from is not what the gateway knows now. P(deliver) is 90% or more" in page


async def test_what_was_said_goes_once_it_is_no_longer_true(tmp_path):
    async with a_desk(tmp_path) as desk:
        vera, otto, ben = [await desk.sign_in(name) for name in ("vera", "otto", "ben")]
        await vera.post("/v1/stops", {"reason": "smoke"})
        first = (await otto.post("/v1/restarts"))[1]["action"]
        await otto.form("/v1/restarts", [])
        refused = max(one.action_id for one in desk.store.desk_trail.all())
        told = f"/live?did={first}-{refused}"
        _, page = await otto.get(told)
        assert "otto has said so already" in page
        assert "a second person must" in page
        desk.parts.clock.pass_by(timedelta(seconds=1))
        assert (await ben.post("/v1/restarts"))[0] == 200
        _, page = await otto.get(told)
        assert "otto has said so already" not in page
        assert "a second person must" not in page


async def test_after_the_gate_no_refusal_is_offered_though_the_clock_has_not_ticked(tmp_path):
    async with a_desk(tmp_path) as desk:
        anna = await desk.sign_in("anna")
        desk.parts.clock.set(GATE)
        _, page = await anna.get("/bids/bid-1")
        assert 'id="do-' not in page.replace('id="do-effect"', "")
        assert desk.bid("bid-1").stage is Stage.IN_REVIEW


@pytest.mark.parametrize(
    ("now", "start"),
    [
        (datetime(2025, 1, 14, 13, 40, tzinfo=UTC), datetime(2025, 1, 14, 17, tzinfo=UTC)),
        (datetime(2025, 1, 14, 18, 59, tzinfo=UTC), datetime(2025, 1, 14, 17, tzinfo=UTC)),
        (datetime(2025, 1, 14, 19, tzinfo=UTC), datetime(2025, 1, 15, 17, tzinfo=UTC)),
        (datetime(2025, 7, 1, 17, 30, tzinfo=UTC), datetime(2025, 7, 1, 16, tzinfo=UTC)),
    ],
)
def test_tonight_is_the_evening_peak_that_runs_or_the_next(now, start):
    assert evening_after(now) == Interval(start, start + timedelta(hours=2))


async def test_today_tells_what_the_fleet_could_give_tonight(tmp_path):
    async with a_desk(tmp_path) as desk:
        anna = await desk.sign_in("anna")
        _, page = await anna.get("/")
        assert "being worked out" in page
        while "being worked out" in page:
            _, page = await anna.get("/")
        assert "could give" in page
        assert "Tue 14 Jan 17:00" in page


@pytest.mark.parametrize(("held_kwh", "kw"), [(60.0, 30.0), (500.0, 100.0)])
def test_tonight_is_what_power_and_energy_allow_all_through(held_kwh, kw):
    horizon, window = Horizon(NOW.date()), evening_after(NOW)
    power = np.full((3, 48), 100.0)
    power[:, [0, 20]] = 3.0  # at other hours
    found = Outlook(np.ones((3, 48)), power, np.full((3, 48), held_kwh))
    zone = ZoneForecast(ZONE, 1, ("a day",), horizon.slots, found)
    assert through_kw(zone, window, "p50") == kw


async def test_alarms_are_told_by_zone_and_window_by_what_they_mean_and_whether_they_are_over(tmp_path):
    async with a_desk(tmp_path) as desk:
        for n in range(3):
            cars = ", ".join(f"leaf-{4 * n + car}" for car in range(4))
            desk.store.alarms.raise_(Alarm(NOW + timedelta(seconds=n), "not_taken", cars, "not taken"))
        desk.store.alarms.raise_(Alarm(NOW, "bid_unacknowledged", "bid-1:1", "not acknowledged"))
        anna, ben, otto = [await desk.sign_in(name) for name in ("anna", "ben", "otto")]
        assert (await otto.post("/v1/stops", {"reason": "a test"}))[0] == 200
        for name in ("not_following", "not_following"):
            desk.store.alarms.raise_(Alarm(NOW, name, "car-9", "moved 0.0 kW"))
        _, before = await anna.get("/v1/live")
        for one in (ben, otto):
            assert (await one.post("/v1/restarts"))[0] == 200
        desk.store.alarms.end("not_following", "car-2", NOW + timedelta(days=1))
        _, after = await anna.get("/v1/live")
        assert before["stamp"] != after["stamp"]
        said = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", (await anna.get("/live"))[1]))
    assert "not taken : 3 alarms (12 cars or zones), leaf-8 , leaf-9 , leaf-10 and 9 more" in said
    assert "bid unacknowledged Hendon Way Wed 15 Jan 17:00–19:00" in said
    assert "not taken a charger did not take the set-point" in said
    assert "Tue 14 Jan 12:01 · over since 12:01 stopped by otto" in said
    assert "not following : 3 alarms, car-9 and car-2" in said or "not following : 3 alarms" in said
    assert "1 of them over" in said
    assert "over since Wed 15 Jan 12:00 told 3.0 kW" in said


async def test_today_says_how_many_cars_are_idle_and_that_they_may_move_a_little(tmp_path):
    async with a_desk(tmp_path) as desk:
        vera = await desk.sign_in("vera")
        tile = (await vera.get("/"))[1].partition("Fleet now")[2].partition("</li>")[0]
        assert re.search(r'"idle">\d+</span> idle, <span class="name">below 0.05 kW each<', tile)
